//! Clients of several kinds, which check each answer.

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        IF_RANGE, LAST_MODIFIED, RANGE, TE,
    },
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};
use tower::{service_fn, Layer, ServiceExt};
use tower_http::decompression::DecompressionLayer;

use crate::world::{content, count, version_in, Dice, World, LARGE, LINE, RESOURCES};

#[path = "../../tests/support/repr_digest.rs"]
#[allow(dead_code)]
mod repr_digest;

pub(crate) fn start(address: SocketAddr, end: Instant, world: &Arc<World>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let client = |number| Client { address, end, world: Arc::clone(world), dice: Dice(number) };
    for number in 0..6 {
        clients.spawn(client(number).revalidate());
    }
    clients.spawn(client(7).change_things());
    for number in 100..102 {
        clients.spawn(client(number).download());
        clients.spawn(client(number + 100).resume());
        clients.spawn(client(number + 200).abort());
        clients.spawn(client(number + 300).talk_nonsense());
        clients.spawn(client(number + 400).edit("note"));
        clients.spawn(client(number + 500).lie());
    }
    // Only one client edits these notes. A `PreconditionLayer` holds no lock, so
    // another write could come between the check and the write.
    clients.spawn(client(800).edit("source"));
    clients.spawn(client(900).break_off_edits());
    clients
}

/// The kinds of resources that are read to their end.
const KINDS: [&str; 5] = ["small", "stream", "coded", "digest", "listed"];

struct Client {
    address: SocketAddr,
    end: Instant,
    world: Arc<World>,
    dice: Dice,
}

type Connection = http1::SendRequest<Full<Bytes>>;

/// A response that a client holds.
#[derive(Clone)]
struct Held {
    version: u64,
    head: HeaderMap,
}

impl Client {
    fn goes_on(&self) -> bool {
        Instant::now() < self.end
    }

    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn send(
        &self,
        connection: &mut Connection,
        method: Method,
        uri: &str,
        fields: &HeaderMap,
    ) -> Response<Incoming> {
        connection.ready().await.unwrap();
        let text = if method == Method::PUT { "edited" } else { "" };
        let mut request = Request::new(Full::from(text));
        (*request.method_mut(), *request.uri_mut()) = (method, uri.parse().unwrap());
        request.headers_mut().insert("host", HeaderValue::from_static("soak"));
        request.headers_mut().extend(fields.clone());
        count(&self.world.tally.requests);
        connection.send_request(request).await.unwrap()
    }

    async fn get(
        &self,
        connection: &mut Connection,
        uri: &str,
        fields: &HeaderMap,
    ) -> Response<Incoming> {
        self.send(connection, Method::GET, uri, fields).await
    }

    /// Reads and checks the answer to a GET without `Range`. Returns `None` for a 304.
    async fn read(
        &self,
        uri: &str,
        asked: &HeaderMap,
        response: Response<Incoming>,
    ) -> Option<Held> {
        let tally = &self.world.tally;
        let (head, body) = response.into_parts();
        let (version, head, status) = (version_of(&head.headers), head.headers, head.status);
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let got = collected.to_bytes();
        if status == StatusCode::NOT_MODIFIED {
            count(&tally.not_modified);
            tally.right(got.is_empty(), || format!("{uri}: a 304 with content"));
            return None;
        }
        tally.right(status == StatusCode::OK, || format!("{uri}: {status} to {asked:?}"));
        for digest in [head.get("repr-digest"), trailers.get("repr-digest")].into_iter().flatten() {
            count(&tally.digests);
            let is_right = repr_digest::is_digest_of(digest.to_str().unwrap(), &got);
            tally.right(is_right, || format!("{uri}: a wrong digest"));
        }
        if head.contains_key(CONTENT_ENCODING) {
            count(&tally.coded);
            let accepts = asked.contains_key(ACCEPT_ENCODING);
            tally.right(accepts, || format!("{uri}: a coding that was not accepted"));
        }
        let got = decoded(&head, got).await;
        // All lines are equal, so the content is compared in pieces of ten lines.
        let is_whole = got.chunks(LINE * 10).all(|part| part == content(uri, version, part.len()));
        tally.right(is_whole, || format!("{uri}: content of another version"));
        self.world.was_sent(uri, &head, version);
        Some(Held { version, head })
    }

    /// Keeps responses, and asks whether the newest or an older one is still current:
    /// by tag, by date, or by both.
    async fn revalidate(mut self) {
        let mut connection = self.connect().await;
        let mut held: Vec<Vec<Held>> = vec![Vec::new(); RESOURCES * KINDS.len()];
        while self.goes_on() {
            let (place, kind) = (self.dice.below(RESOURCES), self.dice.below(KINDS.len()));
            let uri = format!("/{}/{place}", KINDS[kind]);
            let own = &mut held[place * KINDS.len() + kind];
            let mut asked = self.usual_fields();
            let replays = self.dice.below(4) == 0;
            let chosen =
                if replays { self.dice.below(own.len().max(1)) } else { own.len().max(1) - 1 };
            let chosen = own.get(chosen).cloned();
            if let Some(chosen) = &chosen {
                let by = self.dice.below(4);
                // The gzip and the plain content may have the same date. So if the client
                // holds gzip, a request with only the date must accept gzip, too.
                if by == 1 && chosen.head.contains_key(CONTENT_ENCODING) {
                    asked.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
                }
                let fields =
                    [(IF_NONE_MATCH, ETAG, by != 1), (IF_MODIFIED_SINCE, LAST_MODIFIED, by != 0)];
                for (field, of_head, _) in fields.into_iter().filter(|(.., is_sent)| *is_sent) {
                    asked.extend(chosen.head.get(of_head).map(|value| (field, value.clone())));
                }
            }
            let response = self.get(&mut connection, &uri, &asked).await;
            if response.status() == StatusCode::NOT_MODIFIED {
                let present = version_of(response.headers());
                let is_same = chosen.as_ref().is_some_and(|chosen| chosen.version == present);
                self.world
                    .tally
                    .right(is_same, || format!("{uri}: a 304 of {present} to {asked:?}"));
                let is_coded =
                    chosen.is_some_and(|chosen| chosen.head.contains_key(CONTENT_ENCODING));
                let can_read = !is_coded || asked.contains_key(ACCEPT_ENCODING);
                self.world.tally.right(can_read, || format!("{uri}: a 304 for gzip to {asked:?}"));
            }
            if let Some(new) = self.read(&uri, &asked, response).await {
                own.truncate(7);
                own.push(new);
            }
        }
    }

    /// Returns `Accept-Encoding`, `TE`, both or neither, at random.
    fn usual_fields(&mut self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        if self.dice.below(2) == 0 {
            fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if self.dice.below(2) == 0 {
            fields.insert(TE, HeaderValue::from_static("trailers"));
        }
        fields
    }

    /// Sends tags of content that the client does not have: tags of other resources,
    /// tags with another coding, and invented tags. A 304 is right if one of the tags
    /// names the current version.
    async fn lie(mut self) {
        let mut connection = self.connect().await;
        let mut tags = vec!["\"v1\"".to_owned(), "\"\"".to_owned(), "\"~gzip\"".to_owned()];
        while self.goes_on() {
            let uri =
                format!("/{}/{}", KINDS[self.dice.below(KINDS.len())], self.dice.below(RESOURCES));
            let mut asked = self.usual_fields();
            let mut list: Vec<String> = Vec::new();
            for _ in 0..=self.dice.below(3) {
                let tag = tags[self.dice.below(tags.len())].clone();
                list.push(match self.dice.below(6) {
                    0 => tag.replace("~gzip", ""),
                    1 => format!("{}~gzip\"", tag.trim_end_matches('"')),
                    2 => format!("W/{}", tag.trim_start_matches("W/")),
                    3 => tag.to_uppercase(),
                    _ => tag,
                });
            }
            asked.insert(IF_NONE_MATCH, list.join(", ").parse().unwrap());
            let response = self.get(&mut connection, &uri, &asked).await;
            count(&self.world.tally.lies);
            if response.status() == StatusCode::NOT_MODIFIED {
                let present = version_of(response.headers());
                // The tag with the coding and the tag without it name the same version,
                // even if the server has sent only one of them.
                let is_named = list.iter().any(|tag| {
                    let plain = tag.replace("~gzip\"", "\"");
                    let coded = format!("{}~gzip\"", plain.trim_end_matches('"'));
                    [plain, coded].iter().any(|tag| self.world.names(&uri, tag, present))
                });
                self.world
                    .tally
                    .right(is_named, || format!("{uri}: a 304 of {present} to {asked:?}"));
            }
            if let Some(new) = self.read(&uri, &asked, response).await {
                let tag = new.head.get(ETAG).map(|tag| tag.to_str().unwrap().to_owned());
                tags.extend(tag);
                tags.drain(..tags.len().saturating_sub(40));
            }
        }
    }

    async fn change_things(mut self) {
        let mut connection = self.connect().await;
        while self.goes_on() {
            // The second half of the resources seldom changes, so that downloads can
            // be resumed.
            let places = if self.dice.below(16) == 0 { RESOURCES } else { RESOURCES / 2 };
            let uri = format!("/small/{}", self.dice.below(places));
            let response = self.send(&mut connection, Method::POST, &uri, &HeaderMap::new()).await;
            response.into_body().collect().await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fetches large content slowly. Then fetches a part of it with If-Range.
    async fn download(mut self) {
        let mut connection = self.connect().await;
        while self.goes_on() {
            let uri = format!("/large/{}", self.dice.below(RESOURCES));
            let response = self.get(&mut connection, &uri, &HeaderMap::new()).await;
            let (head, mut body) = response.into_parts();
            let (version, mut got) = (version_of(&head.headers), Vec::new());
            while let Some(frame) = body.frame().await {
                got.extend(frame.unwrap().into_data().unwrap_or_default());
                if self.dice.below(20) == 0 {
                    sleep(Duration::from_millis(3)).await;
                }
            }
            let tally = &self.world.tally;
            tally.right(got == content(&uri, version, LARGE), || format!("{uri}: mixed content"));
            let start = LINE * self.dice.below(LARGE / LINE - 50);
            let mut fields = HeaderMap::new();
            let range = format!("bytes={start}-{}", start + LINE * 50 - 1);
            fields.insert(RANGE, range.parse().unwrap());
            fields.insert(IF_RANGE, head.headers[ETAG].clone());
            let response = self.get(&mut connection, &uri, &fields).await;
            let (head, body) = response.into_parts();
            let part = body.collect().await.unwrap().to_bytes();
            let is_part = head.status == StatusCode::PARTIAL_CONTENT;
            // A 206 must have a part of the downloaded content. A 200 has new content.
            let is_right = if is_part {
                count(&tally.parts);
                part == got[start..][..LINE * 50]
            } else {
                version_in(&part) == version_of(&head.headers)
            };
            tally.right(is_right, || format!("{uri}: a part of another version"));
        }
    }

    /// Breaks off a download, and resumes it with If-Range. In the end, all of the
    /// content must be of one version.
    async fn resume(mut self) {
        while self.goes_on() {
            let uri = format!("/replaced/{}", RESOURCES - 1 - self.dice.below(4));
            let Some((begun, mut got)) = self.begin(&uri).await else { continue };
            let mut fields = HeaderMap::new();
            fields.insert(RANGE, format!("bytes={}-", got.len()).parse().unwrap());
            fields.insert(IF_RANGE, begun.head[ETAG].clone());
            let mut connection = self.connect().await;
            let (head, body) = self.get(&mut connection, &uri, &fields).await.into_parts();
            let rest = body.collect().await.unwrap().to_bytes();
            let tally = &self.world.tally;
            let version = match head.status {
                StatusCode::PARTIAL_CONTENT => {
                    count(&tally.resumed);
                    got.extend(rest);
                    begun.version
                }
                StatusCode::OK => {
                    got = rest.into();
                    version_of(&head.headers)
                }
                // The content changed during the request, so the answer must be 503.
                status => {
                    let is_refused = status == StatusCode::SERVICE_UNAVAILABLE;
                    tally.right(is_refused, || format!("{uri}: {status}"));
                    continue;
                }
            };
            tally.right(got == content(&uri, version, LARGE), || format!("{uri}: glued content"));
        }
    }

    /// Downloads the first part of large content, if the response has a tag.
    async fn begin(&mut self, uri: &str) -> Option<(Held, Vec<u8>)> {
        let mut connection = self.connect().await;
        let response = self.get(&mut connection, uri, &HeaderMap::new()).await;
        let (head, mut body) = response.into_parts();
        // At the first download, the tag of large content is known only at its end.
        if !head.headers.contains_key(ETAG) {
            body.collect().await.unwrap();
            return None;
        }
        let (stop, mut got) = (self.dice.below(LARGE / 2), Vec::new());
        while got.len() < stop {
            let frame = body.frame().await.unwrap().unwrap();
            got.extend(frame.into_data().unwrap_or_default());
        }
        // A client may lose the last bytes that it has received.
        got.truncate(stop);
        Some((Held { version: version_of(&head.headers), head: head.headers }, got))
    }

    /// Edits notes, and sends some edits twice. The second write must be refused.
    async fn edit(mut self, kind: &'static str) {
        let mut connection = self.connect().await;
        while self.goes_on() {
            let uri = format!("/{kind}/{}", self.dice.below(4));
            let asked = self.usual_fields();
            let response = self.get(&mut connection, &uri, &asked).await;
            let Some(held) = self.read(&uri, &asked, response).await else { continue };
            let tag = &held.head[ETAG];
            let mut fields = HeaderMap::new();
            fields.insert("x-version", held.version.into());
            fields.insert(IF_MATCH, tag.clone());
            for is_replayed in [false, true] {
                let response = self.send(&mut connection, Method::PUT, &uri, &fields).await;
                let status = response.status();
                response.into_body().collect().await.unwrap();
                let tally = &self.world.tally;
                let is_refused = status == StatusCode::PRECONDITION_FAILED;
                if is_refused {
                    count(&tally.refused);
                }
                let is_usual = is_refused || !is_replayed && status == StatusCode::NO_CONTENT;
                tally.right(is_usual, || format!("PUT {uri}: {status}, {is_replayed}"));
                if self.dice.below(2) == 0 {
                    break;
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends half of an edit, and closes the connection. If-Match is `*`, or has tags
    /// that the client does not hold.
    async fn break_off_edits(mut self) {
        while self.goes_on() {
            let uri = format!("/note/{}", 4 + self.dice.below(RESOURCES - 4));
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let condition = ["*", "\"made up\"", "W/\"a\", \"b\""][self.dice.below(3)];
            let text = format!(
                "PUT {uri} HTTP/1.1\r\nHost: soak\r\nx-version: 0\r\nIf-Match: {condition}\r\n\
                 Content-Length: 6\r\n\r\nedi"
            );
            stream.write_all(text.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(2)).await;
            count(&self.world.tally.aborted);
        }
    }

    /// Stops reading content before its end, and closes the connection.
    async fn abort(mut self) {
        let kinds = ["large", "small", "stream", "coded", "replaced", "listed", "digest"];
        while self.goes_on() {
            let mut connection = self.connect().await;
            let kind = kinds[self.dice.below(kinds.len())];
            let uri = format!("/{kind}/{}", self.dice.below(RESOURCES));
            let fields = self.usual_fields();
            let mut body = self.get(&mut connection, &uri, &fields).await.into_body();
            for _ in 0..self.dice.below(4) {
                body.frame().await;
            }
            count(&self.world.tally.aborted);
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Sends malformed requests, parts of requests, and invalid dates and tags.
    async fn talk_nonsense(mut self) {
        let tags = "\"a, W/\"b\", ".repeat(5000);
        while self.goes_on() {
            let fields = [
                "If-None-Match: \"a\r\nIf-None-Match: *, \"\r\n".to_owned(),
                format!("If-None-Match: {tags}\r\n"),
                "If-Modified-Since: yesterday\r\nIf-Match:\r\n".to_owned(),
                "Range: bytes=--\r\nIf-Range: *\r\n".to_owned(),
                "X: y\r\n".repeat(200),
                "If-None-Match \0\r\n".to_owned(),
            ];
            let kind = ["small", "large", "stream", "coded", "note"][self.dice.below(5)];
            let text = format!(
                "GET /{kind}/{} HTTP/1.1\r\nHost: soak\r\n{}\r\n",
                self.dice.below(RESOURCES),
                fields[self.dice.below(6)]
            );
            let is_cut = self.dice.below(4) == 0;
            let sent = if is_cut { &text[..self.dice.below(text.len())] } else { &text };
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            // The server may refuse the request before all of it is written.
            if stream.write_all(sent.as_bytes()).await.is_ok() {
                let mut answer = [0; 64];
                let read =
                    tokio::time::timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
                let is_304 =
                    matches!(read, Ok(Ok(len)) if answer[..len].starts_with(b"HTTP/1.1 304"));
                self.world.tally.right(!is_304, || format!("a 304 to {text}"));
            }
            count(&self.world.tally.malformed);
            sleep(Duration::from_millis(2)).await;
        }
    }
}

fn version_of(head: &HeaderMap) -> u64 {
    let version = head.get(HeaderName::from_static("x-version"));
    version.unwrap_or_else(|| panic!("{head:?}")).to_str().unwrap().parse().unwrap()
}

/// Decodes the content of a response.
async fn decoded(head: &HeaderMap, content: Bytes) -> Bytes {
    if !head.contains_key(CONTENT_ENCODING) {
        return content;
    }
    let inner = service_fn(|_: Request<()>| {
        let mut response = Response::new(Full::new(content.clone()));
        *response.headers_mut() = head.clone();
        ready(Ok::<_, Infallible>(response))
    });
    let response = DecompressionLayer::new().layer(inner).oneshot(Request::new(())).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}
