//! Servers that lie on the wire: what no service over `http::Response` can show. See
//! `tests/layers/client/lies.rs` for the others.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{connect::HttpConnector, Client},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_conditional::client::{Polled, RevalidateLayer, StoredHead, Update};

use crate::support::server::listen;

/// A server's answers over HTTP/1.1, and whether it closes the connection after one.
type Script1 = &'static [(&'static str, bool)];

/// What a client comes to know, one after the other; `None` is an error.
type Known = &'static [Option<&'static str>];

struct Case {
    name: &'static str,
    answers: Script1,
    /// Whether each request asks about what is held.
    asked: &'static [bool],
    known: Known,
}

const ONE: (&str, bool) =
    ("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 3\r\n\r\none", false);
const TWO: (&str, bool) = ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo", false);
const CURRENT: (&str, bool) = ("HTTP/1.1 304 Not Modified\r\netag: \"v1\"\r\n\r\n", false);

const CASES: &[Case] = &[
    Case {
        name: "a 304",
        answers: &[ONE, CURRENT, CURRENT],
        asked: &[false, true, true],
        known: &[Some("one"), Some("one"), Some("one")],
    },
    Case {
        name: "a 304 with content",
        answers: &[
            ONE,
            ("HTTP/1.1 304 \r\netag: \"v1\"\r\ncontent-length: 5\r\n\r\nwrong", true),
            CURRENT,
        ],
        asked: &[false, true, true],
        known: &[Some("one"), Some("one"), Some("one")],
    },
    Case {
        name: "a 304 with chunks that go on as another response",
        answers: &[
            ONE,
            (
                "HTTP/1.1 304 \r\ntransfer-encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n\
                 HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 5\r\n\r\nwrong",
                true,
            ),
            CURRENT,
        ],
        asked: &[false, true, true],
        known: &[Some("one"), Some("one"), Some("one")],
    },
    Case {
        name: "an interim response with a tag, then a 304",
        answers: &[
            ONE,
            ("HTTP/1.1 103 Early Hints\r\netag: \"v9\"\r\n\r\nHTTP/1.1 304 \r\n\r\n", false),
        ],
        asked: &[false, true],
        known: &[Some("one"), Some("one")],
    },
    Case {
        name: "content that is shorter than Content-Length",
        answers: &[("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 3\r\n\r\non", true), TWO],
        asked: &[false, false],
        known: &[None, Some("two")],
    },
    Case {
        name: "chunks without the last one",
        answers: &[
            (
                "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: chunked\r\n\r\n2\r\non\r\n",
                true,
            ),
            TWO,
        ],
        asked: &[false, false],
        known: &[None, Some("two")],
    },
    Case {
        // Nothing shows that it breaks off, but it is not asked about.
        name: "content that ends with the connection",
        answers: &[("HTTP/1.1 200 OK\r\netag: \"v1\"\r\n\r\non", true), TWO],
        asked: &[false, false],
        known: &[Some("on"), Some("two")],
    },
    Case {
        name: "a transfer coding that shows no end",
        answers: &[
            ("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: identity\r\n\r\non", true),
            TWO,
        ],
        asked: &[false, false],
        known: &[Some("on"), Some("two")],
    },
    Case {
        name: "a transfer coding after the chunks",
        answers: &[
            ("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: chunked, gzip\r\n\r\non", true),
            TWO,
        ],
        asked: &[false, false],
        known: &[Some("on"), Some("two")],
    },
    Case {
        name: "a comma after the chunked coding",
        answers: &[
            ("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: chunked,\r\n\r\non", true),
            TWO,
        ],
        asked: &[false, false],
        known: &[Some("on"), Some("two")],
    },
    // Nothing decodes it, so it is not the content that the tag names.
    Case {
        name: "a transfer coding before the chunks",
        answers: &[
            ("HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: gzip, chunked\r\n\r\n\
                3\r\none\r\n0\r\n\r\n", false),
            TWO,
        ],
        asked: &[false, false],
        known: &[Some("one"), Some("two")],
    },
    Case {
        name: "two lengths",
        answers: &[
            (
                "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\none",
                true,
            ),
            TWO,
        ],
        asked: &[false, false],
        known: &[None, Some("two")],
    },
    Case {
        name: "a redirect with a tag",
        answers: &[
            ONE,
            ("HTTP/1.1 302 Found\r\netag: \"v9\"\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", false),
            CURRENT,
        ],
        asked: &[false, true, true],
        known: &[Some("one"), None, Some("one")],
    },
    Case {
        name: "no answer",
        answers: &[ONE, ("", true), CURRENT],
        asked: &[false, true, true],
        known: &[Some("one"), None, Some("one")],
    },
    Case {
        name: "half a head",
        answers: &[ONE, ("HTTP/1.1 304 Not Modi", true), CURRENT],
        asked: &[false, true, true],
        known: &[Some("one"), None, Some("one")],
    },
];

/// Serves a script, and writes down which requests ask.
async fn http1(script: Script1) -> (SocketAddr, Arc<Mutex<Vec<bool>>>) {
    let answers: VecDeque<_> = script.iter().collect();
    let (answers, asked) = (Arc::new(Mutex::new(answers)), Arc::<Mutex<Vec<_>>>::default());
    let (listener, address) = listen().await;
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(stream, Arc::clone(&answers), Arc::clone(&log)));
        }
    });
    (address, asked)
}

async fn converse(
    mut stream: TcpStream,
    answers: Arc<Mutex<VecDeque<&'static (&'static str, bool)>>>,
    log: Arc<Mutex<Vec<bool>>>,
) {
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        if !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        log.lock().unwrap().push(text.contains("if-none-match: \"v1\""));
        let (answer, closes) = answers.lock().unwrap().pop_front().expect("an answer is left");
        stream.write_all(answer.as_bytes()).await.unwrap();
        if *closes {
            return;
        }
    }
}

/// Answers over HTTP/2, each to a request of its own: a status, content, and the code
/// of a reset in place of its end.
type Script2 = &'static [(u8, &'static str, Option<u8>)];

const OK: u8 = 0x88;
const NOT_MODIFIED: u8 = 0x8b;

async fn http2(script: Script2) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        let mut script = script.iter();
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let [_, high, low, kind, flags, .., id] = head;
            let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
            stream.read_exact(&mut payload).await.unwrap();
            let answer = match kind {
                4 if flags & 1 == 0 => frame(4, 1, 0, &[]),
                1 => frames_of(script.next().expect("an answer is left"), id),
                _ => continue,
            };
            stream.write_all(&answer).await.unwrap();
        }
    });
    address
}

fn frames_of(&(status, content, reset): &(u8, &str, Option<u8>), id: u8) -> Vec<u8> {
    // The name of ETag by its index, without Huffman coding.
    let mut head = vec![status, 0x0f, 19, 4];
    head.extend(b"\"v1\"");
    let ends = u8::from(status == NOT_MODIFIED);
    let mut frames = frame(1, 4 | ends, id, &head);
    if status == OK {
        frames.extend(frame(0, u8::from(reset.is_none()), id, content.as_bytes()));
    }
    frames.extend(reset.iter().flat_map(|code| frame(3, 0, id, &[0, 0, 0, *code])));
    frames
}

fn frame(kind: u8, flags: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, id];
    frame.extend(payload);
    frame
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client(version: Version) -> HttpClient {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(version == Version::HTTP_2).build_http()
}

/// Asks so often, in each of the three ways.
async fn ask(
    way: &str,
    mut client: HttpClient,
    to: SocketAddr,
    times: usize,
) -> Vec<Option<String>> {
    let request = Request::get(format!("http://{to}/")).body(()).unwrap();
    let (polled, mut held) = (Polled::<String>::new(), None);
    let mut layer = RevalidateLayer::new(1 << 20).layer(client.clone());
    let mut known = Vec::new();
    for _ in 0..times {
        known.push(match way {
            "Polled" => {
                let parse = |content: &[u8]| String::from_utf8(content.into());
                let value = polled.refresh(&mut client, &request, parse).await;
                value.ok().map(|value| (*value).clone())
            }
            "RevalidateLayer" => {
                let request = request.clone().map(|()| Full::default());
                match layer.ready().await.unwrap().call(request).await {
                    Ok(response) => text(response).await,
                    Err(_) => None,
                }
            }
            _ => by_hand(&mut client, &request, &mut held).await,
        });
    }
    known
}

async fn text<B>(response: Response<B>) -> Option<String>
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let is_whole = response.status() == 200;
    let content = response.into_body().collect().await.ok()?.to_bytes();
    is_whole.then(|| String::from_utf8(content.into()).unwrap())
}

/// A client with `StoredHead` that keeps what has a length, or says that it has ended.
async fn by_hand(
    client: &mut HttpClient,
    request: &Request<()>,
    held: &mut Option<(StoredHead, String)>,
) -> Option<String> {
    let mut request = request.clone().map(|()| Full::default());
    let asked = held.as_ref().is_some_and(|(head, _)| head.ask(request.headers_mut()));
    let (head, mut body) = client.call(request).await.ok()?.into_parts();
    if head.status == 304 && asked {
        let (stored, content) = held.as_mut().unwrap();
        return stored.merge(&head.headers).then(|| content.clone());
    }
    let mut content = Vec::new();
    while let Some(frame) = body.frame().await {
        content.extend(frame.ok()?.into_data().unwrap());
    }
    let is_whole = is_framed(&head.headers) || head.version == Version::HTTP_2 && ended(&body);
    let content = String::from_utf8(content).unwrap();
    if head.status != 200 {
        return None;
    }
    *held = is_whole.then(|| (StoredHead::new(&head.headers), content.clone()));
    Some(content)
}

fn is_framed(headers: &http::HeaderMap) -> bool {
    let coding = headers.get("transfer-encoding");
    headers.contains_key("content-length") || coding.is_some_and(|coding| coding == "chunked")
}

fn ended(body: &Incoming) -> bool {
    body.is_end_stream()
}

const WAYS: [&str; 3] = ["Polled", "RevalidateLayer", "StoredHead"];

#[tokio::test]
async fn client_believes_no_server_that_lies_on_the_wire() {
    for Case { name, answers, asked, known } in CASES {
        for way in WAYS {
            let (address, log) = http1(answers).await;
            let result = ask(way, client(Version::HTTP_11), address, known.len()).await;
            let result: Vec<_> = result.iter().map(Option::as_deref).collect();
            assert_eq!(result, *known, "{way}: {name}");
            assert_eq!(*log.lock().unwrap(), *asked, "{way}: {name}");
        }
    }
}

#[tokio::test]
async fn client_asks_about_no_stream_that_was_reset() {
    // The second answer is a 304 in each case, which is an error unless it was asked for.
    let script: [(Script2, Known); 4] = [
        (&[(OK, "one", None), (NOT_MODIFIED, "", None)], &[Some("one"), Some("one")]),
        // Hyper takes it for the end.
        (&[(OK, "on", Some(0)), (NOT_MODIFIED, "", None)], &[Some("on"), None]),
        (&[(OK, "on", Some(2)), (NOT_MODIFIED, "", None)], &[None, None]),
        (&[(OK, "on", Some(8)), (NOT_MODIFIED, "", None)], &[None, None]),
    ];
    for (answers, known) in script {
        for way in WAYS {
            let address = http2(answers).await;
            let result = ask(way, client(Version::HTTP_2), address, known.len()).await;
            let result: Vec<_> = result.iter().map(Option::as_deref).collect();
            assert_eq!(result, known, "{way}: {answers:?}");
        }
    }
}

#[tokio::test]
async fn client_writes_no_edit_of_content_that_may_have_broken_off() {
    let reset = http2(&[(OK, "on", Some(0))]).await;
    let (closed, log) = http1(&[(
        "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: identity\r\n\r\non",
        true,
    )])
    .await;
    for (version, address) in [(Version::HTTP_2, reset), (Version::HTTP_11, closed)] {
        let update = Update::new(Request::get(format!("http://{address}/")).body(()).unwrap());
        let edit = |content: &[u8]| Ok::<_, Infallible>(Bytes::copy_from_slice(content));
        let error = update.run(client(version), edit).await.unwrap_err();
        assert_eq!(error.to_string(), "the content could not be read to its end", "{version:?}");
        let source: BoxError = error.into();
        let source = source.source().unwrap().to_string();
        assert_eq!(
            source,
            "the end of the content cannot be distinguished from a broken connection"
        );
    }
    assert_eq!(*log.lock().unwrap(), [false], "no write was sent");
}
