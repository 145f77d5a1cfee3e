//! The setting `compress_with`, and compression inside of the layer: each coding has a
//! tag of its own, and all of them stand for one state.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, response::IntoResponse, routing::get, Router};
use http::{Extensions, HeaderMap, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tower::{layer::util::Identity, service_fn, Layer, Service, ServiceExt};
use tower_conditional::{
    ConditionalLayer, EntityTag, HttpDate, InnerTags, OuterCompression, PreconditionLayer,
    Preconditions, Representation, Validators,
};
use tower_http::compression::{predicate::SizeAbove, CompressionLayer};

use crate::support::{
    encoder::{encode, Encoder},
    guarded::{boxed, App},
    harness::{date, layer, reply, request, run, streamed, tag, Lines, IM, IMS, INM, IUS, LM},
    scripted_body::{
        data, frames, script, trailers,
        Step::{Data, Error, Trailers, Yield},
    },
};

const AE: &str = "accept-encoding";
const TEXT: &str = "a text that is long enough to be worth compressing";
const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];

/// What a client gets.
#[derive(Debug, PartialEq)]
struct Got {
    status: u16,
    headers: HeaderMap,
    content: Vec<u8>,
    size: Option<u64>,
}

impl Got {
    fn line(&self, name: &str) -> Option<&str> {
        let lines: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(lines.len() <= 1, "{name}: {lines:?}");
        lines.first().map(|line| line.to_str().unwrap())
    }

    /// Status, tag and coding.
    fn gist(&self) -> (u16, Option<&str>, Option<&str>) {
        (self.status, self.line("etag"), self.line("content-encoding"))
    }
}

fn ask_as(app: &App, method: &str, lines: Lines<'_>) -> Got {
    run(async {
        let response = app.clone().oneshot(request(method, "/", lines)).await.unwrap();
        let (head, body) = response.into_parts();
        let size = body.size_hint().exact();
        let content = body.collect().await.unwrap().to_bytes().to_vec();
        Got { status: head.status.as_u16(), headers: head.headers, content, size }
    })
}

fn ask(app: &App, lines: Lines<'_>) -> Got {
    ask_as(app, "GET", lines)
}

/// Puts the layer with an encoder outside around a function.
fn app(answer: impl Fn(&HeaderMap) -> Response<Body> + Clone + Send + Sync + 'static) -> App {
    with_layer(layer().0, answer)
}

fn with_layer(
    layer: ConditionalLayer,
    answer: impl Fn(&HeaderMap) -> Response<Body> + Clone + Send + Sync + 'static,
) -> App {
    boxed(layer.compress_with(Encoder::default()).layer(service(answer)))
}

fn service(
    answer: impl Fn(&HeaderMap) -> Response<Body> + Clone + Send + Sync + 'static,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
       + Clone
       + Send
       + Sync {
    service_fn(move |request: Request<Body>| {
        let response = answer(request.headers());
        async { Ok(response) }
    })
}

/// A handler with a tag of its own.
fn own(tag: &'static str) -> impl Fn(&HeaderMap) -> Response<Body> + Clone + Send + Sync {
    move |_| reply(200, &[("etag", tag), ("accept-ranges", "bytes")], TEXT)
}

#[test]
fn each_coding_has_a_tag_of_its_own_and_a_304() {
    let generated = tag(TEXT);
    let opaque = generated.trim_matches('"');
    for (name, app, opaque) in [
        ("own", app(own("\"v1\"")), "v1"),
        ("generated", app(|_| reply(200, &[], TEXT)), opaque),
        (
            "careless",
            {
                let encoder = Encoder { is_careless: true, ..Encoder::default() };
                boxed(layer().0.compress_with(encoder).layer(service(own("\"v1\""))))
            },
            "v1",
        ),
    ] {
        let plain = ask(&app, &[]);
        let expected = format!("\"{opaque}\"");
        assert_eq!(plain.gist(), (200, Some(&*expected), None), "{name}");
        assert_eq!((plain.line("vary"), &*plain.content), (Some(AE), TEXT.as_bytes()), "{name}");
        let again = ask(&app, &[(INM, &expected)]);
        assert_eq!(again.gist(), (304, Some(&*expected), None), "{name}");
        assert_eq!(again.line("vary"), Some(AE), "{name}");
        for coding in CODINGS {
            let expected = format!("\"{opaque}~{coding}\"");
            let accept = (AE, coding);
            let whole = ask(&app, &[accept]);
            assert_eq!(whole.gist(), (200, Some(&*expected), Some(coding)), "{name}");
            assert_eq!(whole.content, encode(coding, TEXT.as_bytes()), "{name} {coding}");
            let (vary, ranges) = (whole.line("vary"), whole.line("accept-ranges"));
            assert_eq!((vary, ranges), (Some(AE), None), "{name} {coding}");
            let again = ask(&app, &[accept, (INM, &expected)]);
            assert_eq!(again.gist(), (304, Some(&*expected), None), "{name} {coding}");
            assert_eq!(again.line("vary"), Some(AE), "{name} {coding}");
            assert_eq!((again.size, again.line("content-length")), (None, None), "{name}");
        }
    }
}

#[test]
fn if_none_match_of_a_read_counts_a_coding_that_the_client_accepts() {
    let app = app(own("\"v1\""));
    let both = "gzip, br";
    for (list, accepts, expected) in [
        ("\"v1~gzip\"", "gzip", Some("\"v1~gzip\"")),
        ("W/\"v1~gzip\"", "gzip", Some("W/\"v1~gzip\"")),
        ("\"v1~gzip\"", "x-gzip", Some("\"v1~gzip\"")),
        ("\"v1~gzip\"", "*", Some("\"v1~gzip\"")),
        ("\"v1~gzip\"", "br, gzip;q=0.1", Some("\"v1~gzip\"")),
        // A shared cache holds gzip only, and asks for a client that takes none.
        ("\"v1~gzip\"", "", None),
        ("\"v1~gzip\"", "identity", None),
        ("\"v1~gzip\"", "br", None),
        ("\"v1~gzip\"", "gzip;q=0", None),
        ("\"v1~gzip\"", "gzip;q=0, *", None),
        ("\"v1~gzip\"", "gzip;q=x", None),
        ("\"v1~br\", \"v1~gzip\"", "gzip", Some("\"v1~gzip\"")),
        ("\"v1~br\", \"v1~gzip\"", both, Some("\"v1~br\"")),
        ("\"v1~gzip\", \"v1~br\"", both, Some("\"v1~gzip\"")),
        ("\"v0\", \"v1~br\"", both, Some("\"v1~br\"")),
        ("\"v0~br\", \"v1\"", both, Some("\"v1\"")),
        ("\"v1\"", both, Some("\"v1\"")),
        ("\"v1\"", "gzip, identity;q=0", None),
        ("\"v1\"", "gzip, *;q=0", None),
        ("\"v0~gzip\"", both, None),
        ("\"v1~gzip~gzip\"", both, None),
        ("\"v1~lzma\"", "lzma", None),
        ("\"v1-gzip\"", both, None),
        ("\"v1~identity\"", both, None),
        // A 304 without a tag: which of its copies the client means is not known.
        ("*", both, Some("")),
        ("*", "", Some("\"v1\"")),
    ] {
        let got = ask(&app, &[(INM, list), (AE, accepts)]);
        let seen = (got.status == 304).then(|| got.line("etag").unwrap_or_default());
        assert_eq!(seen, expected, "{list} for {accepts}: {got:?}");
    }
}

#[test]
fn a_304_by_date_has_no_tag_where_a_coding_is_accepted() {
    let (layer, clock) = layer();
    let app =
        boxed(layer.compress_with(Encoder::default()).layer(service(|_| reply(200, &[], TEXT))));
    ask(&app, &[]);
    clock.set(20);
    let date = ask(&app, &[]).line(LM).unwrap().to_owned();
    assert_eq!(ask(&app, &[(IMS, &date)]).gist(), (304, Some(&*tag(TEXT)), None));
    assert_eq!(ask(&app, &[(IMS, &date), (AE, "gzip")]).gist(), (304, None, None));
}

#[test]
fn an_own_tag_that_ends_in_a_coding_is_kept_apart() {
    for (own_tag, plain, encoded) in [
        ("\"v1~gzip\"", "\"v1~gzip~identity\"", "\"v1~gzip~gzip\""),
        ("W/\"v1~gzip\"", "W/\"v1~gzip~identity\"", "W/\"v1~gzip~gzip\""),
        ("\"v1~identity\"", "\"v1~identity~identity\"", "\"v1~identity~gzip\""),
        ("\"~br\"", "\"~br~identity\"", "\"~br~gzip\""),
        ("\"v1~lzma\"", "\"v1~lzma\"", "\"v1~lzma~gzip\""),
    ] {
        let app = app(own(own_tag));
        assert_eq!(ask(&app, &[]).line("etag"), Some(plain));
        assert_eq!(ask(&app, &[(AE, "gzip")]).line("etag"), Some(encoded));
        for (held, accepts) in [(plain, ""), (plain, "gzip"), (encoded, "gzip")] {
            let again = ask(&app, &[(INM, held), (AE, accepts)]);
            assert_eq!(again.gist(), (304, Some(held), None), "{own_tag} {held} {accepts}");
        }
        assert_eq!(ask(&app, &[(INM, encoded)]).status, 200, "{own_tag}");
    }
    // The client holds gzip of `"v1"`.
    let app = app(own("\"v1~gzip\""));
    assert_eq!(ask(&app, &[(INM, "\"v1~gzip\""), (AE, "gzip")]).status, 200);
    assert_eq!(ask(&app, &[(IM, "\"v1~gzip\""), (AE, "gzip")]).status, 412);
    // Without compression it is the same.
    let plain = boxed(layer().0.layer(service(own("\"v1~gzip\""))));
    assert_eq!(ask(&plain, &[]).line("etag"), Some("\"v1~gzip~identity\""));
    assert_eq!(ask(&plain, &[(INM, "\"v1~gzip~identity\"")]).status, 304);
    assert_eq!(ask(&plain, &[(INM, "\"v1~gzip\"")]).status, 200);
}

#[test]
fn a_tag_is_weak_unless_the_content_is_whole_in_memory() {
    let stream = || {
        let half = TEXT.len() / 2;
        let frames = [&TEXT[..half], &TEXT[half..]].map(|text| Ok(Frame::data(text.into())));
        streamed(futures_util::stream::iter(frames))
    };
    let late = || {
        let frame = async {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Frame::data(bytes::Bytes::from(TEXT)))
        };
        Body::new(http_body_util::StreamBody::new(futures_util::stream::once(frame)))
    };
    let generated = format!("\"{}~gzip\"", tag(TEXT).trim_matches('"'));
    let strong = [("etag", "\"v1\"")];
    let weak = [("etag", "W/\"v1\"")];
    type Answer = Arc<dyn Fn() -> Response<Body> + Send + Sync>;
    let answers: [(&str, Answer, Option<&str>); 6] = [
        ("whole", Arc::new(move || reply(200, &strong, TEXT)), Some("\"v1~gzip\"")),
        ("weak", Arc::new(move || reply(200, &weak, TEXT)), Some("W/\"v1~gzip\"")),
        ("streamed", Arc::new(move || reply(200, &strong, stream())), Some("W/\"v1~gzip\"")),
        ("late", Arc::new(move || reply(200, &strong, late())), Some("W/\"v1~gzip\"")),
        // It was read ahead.
        ("hashed", Arc::new(move || reply(200, &[], stream())), Some(&generated)),
        ("late, hashed", Arc::new(move || reply(200, &[], late())), Some(&generated)),
    ];
    for (name, answer, expected) in answers {
        let app = app(move |_| answer());
        let got = ask(&app, &[(AE, "gzip")]);
        assert_eq!(got.line("etag"), expected, "{name}");
        assert_eq!(got.content, encode("gzip", TEXT.as_bytes()), "{name}");
    }
}

/// A body may say its size, and come in pieces all the same.
#[test]
fn a_tag_of_sized_content_that_is_not_ready_is_weak() {
    let slow = || {
        let frame = async {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Frame::data(bytes::Bytes::from(TEXT)))
        };
        let frames = http_body_util::StreamBody::new(futures_util::stream::once(frame));
        let mut response = Response::new(Sized(Body::new(frames), TEXT.len() as u64));
        response.headers_mut().insert("etag", "\"v1\"".parse().unwrap());
        response.map(Body::new)
    };
    let got = ask(&app(move |_| slow()), &[(AE, "gzip")]);
    assert_eq!(got.line("etag"), Some("W/\"v1~gzip\""));
    assert_eq!(got.content, encode("gzip", TEXT.as_bytes()));
}

/// A body of a size that is known.
struct Sized(Body, u64);

impl http_body::Body for Sized {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<bytes::Bytes>, axum::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.1)
    }
}

#[test]
fn content_that_the_service_encodes_itself_keeps_its_tag() {
    let stored = [("etag", "\"v1\""), ("content-encoding", "gzip")];
    let app = app(move |_| reply(200, &stored, TEXT));
    for accepts in ["", "gzip", "br"] {
        let got = ask(&app, &[(AE, accepts)]);
        assert_eq!(got.gist(), (200, Some("\"v1\""), Some("gzip")), "{accepts}");
        assert_eq!((got.content, got.headers.get("vary")), (TEXT.into(), None), "{accepts}");
        assert_eq!(ask(&app, &[(AE, accepts), (INM, "\"v1\"")]).status, 304, "{accepts}");
    }
}

#[test]
fn a_coding_that_a_tag_cannot_name_leaves_no_tag() {
    let app = app(own("\"v1\""));
    for accepts in ["lzma", "dcb"] {
        let got = ask(&app, &[(AE, accepts)]);
        assert_eq!(got.gist(), (200, None, Some(accepts)));
    }
}

#[test]
fn a_handler_that_answers_304_itself_sees_plain_tags() {
    let answers = |headers: &HeaderMap| {
        let asked = headers.get(INM).map(|list| list.to_str().unwrap().to_owned());
        match asked.as_deref() {
            Some("\"v1\"" | "W/\"v1\"") => reply(304, &[("etag", "\"v1\"")], ""),
            Some("\"bare\"") => reply(304, &[], ""),
            _ => reply(200, &[("etag", "\"v2\""), ("x-asked", &asked.unwrap_or_default())], TEXT),
        }
    };
    for app in [app(answers), boxed(layer().0.layer(Encoder::default().layer(service(answers))))] {
        for (list, accepts, expected) in [
            ("\"v1~gzip\"", "gzip", (304, Some("\"v1~gzip\""))),
            ("W/\"v1~gzip\"", "gzip", (304, Some("W/\"v1~gzip\""))),
            ("\"v1~br\", \"v1~gzip\"", "gzip", (304, Some("\"v1~gzip\""))),
            ("\"v1\"", "gzip", (304, Some("\"v1\""))),
            ("\"v1\", \"v1~br\"", "", (304, Some("\"v1\""))),
            ("\"bare~gzip\"", "gzip", (304, Some("\"bare~gzip\""))),
        ] {
            let got = ask(&app, &[(INM, list), (AE, accepts)]);
            assert_eq!((got.status, got.line("etag")), expected, "{list} for {accepts}");
        }
        // What the client does not accept, and what has two meanings, it never sees.
        for (list, accepts, seen) in [
            ("\"v1~gzip\"", "", ""),
            ("\"v1~gzip\"", "br", ""),
            ("\"x\", \"y~br\", W/\"v1~gzip~identity\", z", "br", "\"x\", \"y\""),
            ("\"v1~gzip~gzip\"", "gzip", ""),
        ] {
            let got = ask(&app, &[(INM, list), (AE, accepts)]);
            assert_eq!((got.status, got.line("x-asked")), (200, Some(seen)), "{list}");
        }
    }
}

#[test]
fn a_check_in_the_handler_knows_codings() {
    let answer = |headers: &HeaderMap| {
        let current = EntityTag::strong("v1").unwrap();
        let preconditions = Preconditions::new(&http::Method::GET, headers);
        match preconditions.check(&current) {
            Ok(()) => reply(200, &[("etag", "\"v1\"")], TEXT),
            Err(rejection) => Response::<String>::from(rejection).map(Body::from),
        }
    };
    for app in [app(answer), boxed(service(answer))] {
        for (list, accepts, expected) in [
            ("\"v1~gzip\"", "gzip", (304, Some("\"v1~gzip\""))),
            ("W/\"v1~gzip\"", "gzip", (304, Some("W/\"v1~gzip\""))),
            ("\"v0\", \"v1~gzip\"", "gzip", (304, Some("\"v1~gzip\""))),
            ("\"v1\"", "gzip", (304, Some("\"v1\""))),
            ("\"v1~gzip\"", "", (200, Some("\"v1\""))),
        ] {
            let got = ask(&app, &[(INM, list), (AE, accepts)]);
            assert_eq!((got.status, got.line("etag")), expected, "{list} for {accepts}");
        }
    }
}

#[test]
fn if_range_matches_no_coding_and_if_match_takes_range_away() {
    let cuts = |headers: &HeaderMap| {
        if headers.contains_key("range") {
            let part = [("etag", "\"v1\""), ("content-range", "bytes 0-1/50")];
            return reply(206, &part, &TEXT[..2]);
        }
        reply(200, &[("etag", "\"v1\""), ("accept-ranges", "bytes")], TEXT)
    };
    let inside = |layer: ConditionalLayer| with_layer(layer, cuts);
    let outside = |layer: ConditionalLayer| with_layer(layer, own("\"v1\""));
    let range = ("range", "bytes=0-1");
    for (name, app) in [
        ("the handler cuts", inside(layer().0)),
        ("forwards", inside(layer().0.forward(tower_conditional::ForwardedFields::All))),
        ("the layer cuts", outside(layer().0.ranges(true))),
    ] {
        // So that the layer knows the tag of the handler.
        assert_eq!(ask(&app, &[]).status, 200);
        for (lines, expected) in [
            (&[range][..], 206),
            (&[range, ("if-range", "\"v1\"")], 206),
            (&[range, (IM, "\"v1\"")], 206),
            (&[range, ("if-range", "\"v1~gzip\"")], 200),
            (&[range, ("if-range", "\"v1~gzip\""), (AE, "gzip")], 200),
            (&[range, (IM, "\"v1~gzip\"")], 200),
            (&[range, (IM, "\"v1~gzip\""), (AE, "gzip")], 200),
            (&[range, (IM, "\"v0~gzip\", \"v1~br\"")], 200),
            (&[range, (IM, "\"v0~gzip\"")], 412),
            (&[(IM, "\"v1~gzip\"")], 200),
        ] {
            assert_eq!(ask(&app, lines).status, expected, "{name}: {lines:?}");
        }
    }
    // A part is of the plain content, and says so.
    let part = ask(&outside(layer().0.ranges(true)), &[range, (AE, "gzip")]);
    assert_eq!(part.gist(), (206, Some("\"v1\""), None));
}

/// RFC 9110, 15.3.7: a 206 has the `Vary` of the 200.
#[test]
fn a_part_varies_by_the_coding_as_the_whole_does() {
    let cuts = |headers: &HeaderMap| match headers.contains_key("range") {
        true => reply(206, &[("etag", "\"v1\""), ("content-range", "bytes 0-1/50")], "a "),
        false => reply(203, &[("etag", "\"v1\"")], TEXT),
    };
    let keeps = || layer().0.outer_compression(OuterCompression::new().keeps_tags(true));
    for (name, app) in [
        ("the layer cuts", with_layer(layer().0.ranges(true), own("\"v1\""))),
        ("the handler cuts", with_layer(layer().0, cuts)),
        ("a proxy", boxed(keeps().layer(service(cuts)))),
    ] {
        for accepts in ["identity", "gzip"] {
            let part = ask(&app, &[("range", "bytes=0-1"), (AE, accepts)]);
            assert_eq!((part.status, part.line("vary")), (206, Some(AE)), "{name} {accepts}");
            let whole = ask(&app, &[(AE, accepts)]);
            assert!([200, 203].contains(&whole.status), "{name} {}", whole.status);
            assert_eq!(whole.line("vary"), Some(AE), "{name} {accepts}");
        }
    }
    // The service has encoded these parts itself.
    let stored = |_: &HeaderMap| {
        reply(206, &[("content-encoding", "gzip"), ("content-range", "bytes 0-1/9")], "ab")
    };
    assert_eq!(ask(&with_layer(layer().0, stored), &[(AE, "gzip")]).line("vary"), None);
}

#[test]
fn allows_range_knows_codings() {
    let now = HttpDate::from_unix_seconds(1_780_000_000).unwrap();
    for (own_tag, name, value, expected) in [
        ("v1", "if-range", "\"v1\"", true),
        ("v1", "if-range", "\"v1~gzip\"", false),
        ("v1", "if-range", "\"v1~identity\"", false),
        ("v1~gzip", "if-range", "\"v1~gzip\"", false),
        ("v1~gzip", "if-range", "\"v1~gzip~identity\"", true),
        ("v1", IM, "\"v1\"", true),
        ("v1", IM, "\"v1~gzip\"", false),
        ("v1", IM, "\"v0~gzip\", \"v1\"", true),
    ] {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())]);
        let current = Representation::from(EntityTag::strong(own_tag).unwrap());
        let preconditions = Preconditions::new(&http::Method::GET, &headers);
        assert_eq!(preconditions.allows_range(&current, now), expected, "{own_tag} {value}");
    }
}

/// The date of the content is that of each coding of it. A client that accepts a coding
/// may hold encoded bytes, whatever encodes them.
#[test]
fn a_date_allows_no_part_to_a_client_that_accepts_a_coding() {
    let date = date(-100);
    let given = date.clone();
    let cuts = move |headers: &HeaderMap| {
        let fields = [(LM, &*given), ("accept-ranges", "bytes")];
        if headers.contains_key("range") {
            return reply(
                206,
                &[&fields[..], &[("content-range", "bytes 9-49/50")]].concat(),
                &TEXT[9..],
            );
        }
        reply(200, &fields, TEXT)
    };
    let given = date.clone();
    let whole = move |_: &HeaderMap| reply(200, &[(LM, &given)], TEXT);
    let source = {
        let date: HttpDate = date.parse().unwrap();
        move |_: &http::request::Parts| {
            let validators = Validators::from(EntityTag::strong("v1").unwrap());
            std::future::ready(Representation::from(validators.last_modified(date)))
        }
    };
    let compressed = || layer().0.compress_with(Encoder::default());
    for (name, cuts_inside, app) in [
        ("the handler cuts", true, boxed(compressed().layer(service(cuts.clone())))),
        ("the layer cuts", false, with_layer(layer().0.ranges(true), whole.clone())),
        (
            "compression inside",
            true,
            boxed(layer().0.layer(Encoder::default().layer(service(cuts.clone())))),
        ),
        (
            "of a proxy",
            true,
            boxed(Encoder::default().layer(layer().0.layer(service(cuts.clone())))),
        ),
        (
            "a source",
            true,
            boxed(compressed().layer(PreconditionLayer::new(source).layer(service(cuts)))),
        ),
    ] {
        // So that the layer knows the date of the handler.
        assert_eq!(ask(&app, &[]).status, 200);
        let range = ("range", "bytes=9-");
        for field in ["if-range", IUS] {
            for (accepts, is_part) in [
                ("", true),
                ("identity", true),
                ("identity;q=1, *;q=0", true),
                ("gzip;q=0", true),
                ("gzip", false),
                ("br;q=x", false),
                ("*", false),
            ] {
                // A part shows no date of the whole content.
                let is_part = is_part && (field == "if-range" || !cuts_inside);
                let got = ask(&app, &[range, (field, &date), (AE, accepts)]);
                let expected = if is_part { 206 } else { 200 };
                assert_eq!(got.status, expected, "{name} {field} {accepts}");
            }
        }
    }
}

#[test]
fn compression_inside_the_layer_names_codings_too() {
    let app = |layer: ConditionalLayer| {
        let encoder = Encoder { is_careless: true, ..Encoder::default() };
        boxed(layer.layer(encoder.layer(service(own("\"v1\"")))))
    };
    let plain = app(layer().0.ranges(true));
    let got = ask(&plain, &[]);
    assert_eq!((got.line("etag"), got.line("accept-ranges")), (Some("\"v1\""), Some("bytes")));
    for coding in CODINGS {
        let expected = format!("\"v1~{coding}\"");
        let got = ask(&plain, &[(AE, coding), ("range", "bytes=0-1")]);
        assert_eq!(got.gist(), (200, Some(&*expected), Some(coding)));
        assert_eq!(got.line("accept-ranges"), None, "{coding}");
        let again = ask(&plain, &[(AE, coding), (INM, &expected)]);
        assert_eq!(again.gist(), (304, Some(&*expected), None));
        // The client holds the plain content.
        let again = ask(&plain, &[(AE, coding), (INM, "\"v1\"")]);
        assert_eq!(again.gist(), (304, Some("\"v1\""), None));
        assert_eq!(ask(&plain, &[(INM, &expected)]).status, 200, "{coding}");
        assert_eq!(ask(&plain, &[(AE, coding), (IM, &expected)]).status, 200, "{coding}");
    }
    assert_eq!(ask(&plain, &[(AE, "lzma")]).gist(), (200, None, Some("lzma")));
}

/// The layer takes the first frame to see whether it is all.
#[test]
fn content_with_a_tag_of_its_own_comes_out_as_it_went_in() {
    let scripts = [
        vec![data(5)],
        vec![data(5), trailers()],
        vec![data(2), data(3)],
        vec![Yield, data(5)],
        vec![data(2), Yield, Yield, data(3), Yield, trailers()],
        vec![trailers()],
        vec![Error(7)],
        vec![data(5), Error(7)],
        vec![data(2), Yield, Error(7)],
        vec![data(0), data(5)],
        vec![data(4)],
        vec![data(6)],
        vec![],
    ];
    for steps in scripts {
        for tells_end in [false, true] {
            let script = || script(steps.clone()).exact(5).telling_end(tells_end);
            let service = service_fn(|_: Request<Body>| async {
                let mut response = Response::new(script());
                response.headers_mut().insert("etag", "\"v1\"".parse().unwrap());
                Ok::<_, Infallible>(response)
            });
            let service = layer().0.compress_with(Identity::new()).layer(service);
            let got = run(async {
                let response = service.oneshot(request("GET", "/", &[(AE, "gzip")])).await.unwrap();
                assert_eq!(response.headers()["etag"], "\"v1\"");
                let mut body = Box::pin(response.into_body());
                let mut got = Vec::new();
                while let Some(frame) = body.frame().await {
                    got.push(match frame.map(Frame::into_data) {
                        Ok(Ok(data)) => Data(data),
                        Ok(Err(frame)) => Trailers(frame.into_trailers().unwrap()),
                        Err(error) => Error(error),
                    });
                }
                got
            });
            assert_eq!(got, frames(steps.clone()), "{steps:?} {tells_end}");
        }
    }
}

/// Encoded bytes differ from time to time, and a hash of one response is no tag of
/// another.
#[test]
fn nothing_is_learned_of_content_that_is_encoded_on_the_fly() {
    for learns in [true, false] {
        let inner_tags = if learns { InnerTags::learn() } else { InnerTags::replace() };
        let times = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let answer = move |_: &HeaderMap| {
            let time = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let encoded = format!("{time}{TEXT}");
            let frames = [Ok::<_, Infallible>(Frame::data(bytes::Bytes::from(encoded)))];
            let body = streamed(futures_util::stream::iter(frames));
            reply(200, &[("etag", "\"v1\""), ("content-encoding", "gzip")], body)
        };
        for limit in [0, 1 << 20] {
            let layer = layer().0.inner_tags(inner_tags.clone()).buffer_limit(limit);
            let app = boxed(layer.layer(service(answer.clone())));
            let mut seen = std::collections::HashMap::new();
            for _ in 0..10 {
                let got = ask(&app, &[(AE, "gzip")]);
                let Some(tag) = got.line("etag") else { continue };
                if tag == "\"v1~gzip\"" && learns {
                    continue;
                }
                assert_eq!(seen.insert(tag.to_owned(), got.content), None, "{inner_tags:?}");
            }
        }
    }
}

#[test]
fn no_tag_of_the_plain_content_follows_encoded_content() {
    let big = || streamed(futures_util::stream::iter([Ok(Frame::data(TEXT.into()))]));
    let layer = layer().0.repr_digest(true).buffer_limit(1);
    let app = boxed(
        layer
            .compress_with(CompressionLayer::new())
            .layer(service(move |_| reply(200, &[], big()))),
    );
    for (accepts, expected) in [("", true), ("gzip", false)] {
        let trailers = run(async {
            let lines = [("te", "trailers"), (AE, accepts)];
            let response = app.clone().oneshot(request("GET", "/", &lines)).await.unwrap();
            let collected = response.into_body().collect().await.unwrap();
            collected.trailers().is_some_and(|trailers| trailers.contains_key("etag"))
        });
        assert_eq!(trailers, expected, "{accepts}");
    }
}

/// Its tag would be that of two sequences of bytes.
#[test]
fn what_the_layer_leaves_alone_has_a_tag_for_each_coding() {
    let app = with_layer(layer().0.handle_when(|_| false), own("\"v1\""));
    assert_eq!(ask(&app, &[]).gist(), (200, Some("\"v1\""), None));
    let expected = (200, Some("W/\"v1~gzip\""), Some("gzip"));
    assert_eq!(ask(&app, &[(AE, "gzip")]).gist(), expected);
}

#[test]
fn a_tuple_of_layers_will_do() {
    let layers = (Encoder::default(), Identity::new());
    let app = boxed(layer().0.compress_with(layers).layer(service(own("\"v1\""))));
    assert_eq!(ask(&app, &[(AE, "br")]).gist(), (200, Some("\"v1~br\""), Some("br")));
}

/// Without them the outer half knows nothing, and leaves the response alone.
#[test]
fn a_compression_that_drops_extensions_leaves_the_304() {
    let encoder = Encoder { drops_extensions: true, ..Encoder::default() };
    let app = boxed(layer().0.compress_with(encoder).layer(service(own("\"v1\""))));
    let got = ask(&app, &[(AE, "gzip"), (INM, "\"v1~gzip\"")]);
    assert_eq!(got.gist(), (304, Some("\"v1~gzip\""), None));
}

#[test]
fn an_outer_layer_knows_the_plain_tag() {
    let inner = || layer().0.compress_with(Encoder::default()).layer(service(own("\"v1\"")));
    let twice = boxed(layer().0.layer(inner()));
    let again = boxed(layer().0.compress_with(Encoder::default()).layer(inner()));
    let exists = |_: &http::request::Parts| {
        std::future::ready(Representation::from(EntityTag::strong("v1").unwrap()))
    };
    let source = boxed(PreconditionLayer::new(exists).layer(inner()));
    for (name, app) in [("layer", twice), ("compress_with", again), ("source", source)] {
        for coding in CODINGS {
            let expected = format!("\"v1~{coding}\"");
            let got = ask(&app, &[(AE, coding)]);
            assert_eq!(got.gist(), (200, Some(&*expected), Some(coding)), "{name}");
            let again = ask(&app, &[(AE, coding), (INM, &expected)]);
            assert_eq!(again.gist(), (304, Some(&*expected), None), "{name}");
            assert_eq!(ask(&app, &[(INM, &expected)]).status, 200, "{name} {coding}");
        }
    }
}

/// The source's tag is put on what the handler left untagged.
#[test]
fn the_tag_of_a_source_names_the_coding() {
    let exists = |_: &http::request::Parts| {
        std::future::ready(Representation::from(EntityTag::strong("v1").unwrap()))
    };
    let source = || PreconditionLayer::new(exists);
    let bare = || service(|_| reply(200, &[], TEXT));
    let compressed = || layer().0.compress_with(Encoder::default());
    for (name, app) in [
        ("outside", boxed(source().layer(compressed().layer(bare())))),
        ("inside", boxed(compressed().layer(source().layer(bare())))),
        ("alone", boxed(source().layer(Encoder::default().layer(bare())))),
    ] {
        assert_eq!(ask(&app, &[]).line("etag"), Some("\"v1\""), "{name}");
        for coding in CODINGS {
            let expected = format!("\"v1~{coding}\"");
            let got = ask(&app, &[(AE, coding)]);
            assert_eq!(got.gist(), (200, Some(&*expected), Some(coding)), "{name}");
            let again = ask(&app, &[(AE, coding), (INM, &expected)]);
            assert_eq!(again.gist(), (304, Some(&*expected), None), "{name}");
        }
    }
}

#[test]
fn head_has_the_tag_of_get_or_of_the_plain_content() {
    let route = || get(|| async { ([("etag", "\"v1\"")], TEXT).into_response() });
    let layer = || layer().0.compress_with(Encoder::default());
    let inside = boxed(Router::new().route("/", route()).layer(layer()));
    let around = boxed(layer().layer(Router::new().route("/", route())));
    for (name, app, expected) in [("inside", inside, "\"v1~gzip\""), ("around", around, "\"v1\"")] {
        let head = ask_as(&app, "HEAD", &[(AE, "gzip")]);
        assert_eq!((head.status, head.line("etag")), (200, Some(expected)), "{name}");
        assert_eq!((head.line("vary"), head.content.len()), (Some(AE), 0), "{name}");
        let again = ask_as(&app, "HEAD", &[(AE, "gzip"), (INM, "\"v1~gzip\"")]);
        assert_eq!(again.gist(), (304, Some("\"v1~gzip\""), None), "{name}");
        assert_eq!(ask_as(&app, "HEAD", &[]).line("etag"), Some("\"v1\""), "{name}");
    }
}

/// A compression may encode bodies of zero bytes and those of a 304, too.
#[test]
fn what_has_no_content_is_not_encoded_whatever_the_compression_encodes() {
    let answers: [fn() -> Response<Body>; 5] = [
        || reply(200, &[], TEXT),
        || reply(200, &[("etag", "\"v1\"")], TEXT),
        || reply(200, &[("etag", "\"v1\""), ("vary", "origin, Accept-Encoding")], TEXT),
        || reply(200, &[("etag", "\"v1\""), ("content-encoding", "br")], TEXT),
        || reply(304, &[("etag", "\"v1\"")], ""),
    ];
    let layers: [fn() -> ConditionalLayer; 3] =
        [|| layer().0, || layer().0.head_as_get(true), || layer().0.handle_when(|_| false)];
    let mut unchanged = 0;
    for (layer, answer) in layers.into_iter().flat_map(|it| answers.map(|answer| (it, answer))) {
        let compression = CompressionLayer::new;
        let inner = || service(move |_| answer());
        let all = |_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true;
        let above_zero = compression().compress_when(SizeAbove::new(0));
        let by_default = boxed(layer().compress_with(compression()).layer(inner()));
        let others = [
            boxed(layer().compress_with(above_zero).layer(inner())),
            boxed(layer().compress_with(compression().compress_when(all)).layer(inner())),
        ];
        for method in ["GET", "HEAD"] {
            for list in ["\"v0\"", "\"v1\"", "\"v1~gzip\"", "*"] {
                let lines = [(INM, list), (AE, "gzip")];
                let expected = ask_as(&by_default, method, &lines);
                if expected.status == 304 {
                    unchanged += 1;
                    assert_eq!(expected.line("content-encoding"), None, "{expected:?}");
                }
                for app in &others {
                    let got = ask_as(app, method, &lines);
                    assert_eq!(got, expected, "{method} {list}");
                }
            }
        }
    }
    assert!(unchanged > 20, "{unchanged}");
}

#[test]
fn head_as_get_is_not_encoded() {
    let stream = || streamed(futures_util::stream::iter([Ok(Frame::data(TEXT.into()))]));
    let layer = layer().0.head_as_get(true).buffer_limit(1).compress_with(Encoder::default());
    let app = boxed(layer.layer(service(move |_| reply(200, &[], stream()))));
    let head = ask_as(&app, "HEAD", &[(AE, "gzip")]);
    assert_eq!(head.gist(), (200, None, None));
    assert_eq!((head.content.len(), head.line("content-length")), (0, None));
    assert_eq!(head.size, None, "the length of the content is not known");
}

#[test]
fn head_as_get_of_content_that_the_service_encodes_itself_is_as_get() {
    let stream = || streamed(futures_util::stream::iter([Ok(Frame::data(TEXT.into()))]));
    let stored = [
        ("etag", "\"v1\""),
        ("content-encoding", "gzip"),
        ("content-length", "50"),
        ("accept-ranges", "bytes"),
        ("repr-digest", "sha-256=:AAAA:"),
    ];
    let layer = || layer().0.head_as_get(true);
    let inner = || service(move |_| reply(200, &stored, stream()));
    for app in [
        boxed(layer().compress_with(Encoder::default()).layer(inner())),
        boxed(layer().compress_with(CompressionLayer::new()).layer(inner())),
    ] {
        let (get, head) = (ask(&app, &[(AE, "gzip")]), ask_as(&app, "HEAD", &[(AE, "gzip")]));
        assert_eq!(head.gist(), (200, Some("\"v1\""), Some("gzip")));
        assert_eq!(head.headers, get.headers);
        assert_eq!((head.content.len(), get.content.len()), (0, TEXT.len()));
    }
}

/// RFC 9110, 8.6: the length on a HEAD is that of the GET, which may be encoded.
#[test]
fn head_as_get_has_no_length_where_the_content_may_be_encoded() {
    let stream = || streamed(futures_util::stream::iter([Ok(Frame::data(TEXT.into()))]));
    let whole: fn() -> Body = || TEXT.into();
    let sized = [("content-length", "50")];
    let own = [("etag", "\"v1\"")];
    for (name, status, own, body) in [
        ("whole", 200, &[][..], whole),
        ("with a tag", 200, &own, whole),
        ("with a length", 200, &sized, whole),
        ("read ahead", 200, &sized, stream),
        ("not found", 404, &sized, stream),
        ("not found, whole", 404, &[], whole),
    ] {
        let own: Vec<_> = own.to_vec();
        let layer = layer().0.head_as_get(true);
        let app = with_layer(layer, move |_| reply(status, &own, body()));
        let (get, head) = (ask(&app, &[(AE, "gzip")]), ask_as(&app, "HEAD", &[(AE, "gzip")]));
        assert_eq!((get.status, get.line("content-encoding")), (status, Some("gzip")), "{name}");
        assert_eq!((head.status, head.line("content-encoding")), (status, None), "{name}");
        // Axum would add the length of a body whose size is known.
        let lengths = [&get, &head].map(|got| got.line("content-length"));
        assert_eq!((lengths, head.size, head.content.len()), ([None; 2], None, 0), "{name}");
        // Plain content is not encoded, so its length is right.
        let plain = ask_as(&app, "HEAD", &[]);
        assert_eq!(plain.line("content-length"), Some("50"), "{name}");
    }
}

/// As tower-http has it, which the documentation says.
#[test]
fn a_client_that_refuses_all_codings_gets_406() {
    let layer = layer().0.compress_with(CompressionLayer::new());
    let app = boxed(layer.layer(service(own("\"v1\""))));
    for method in ["GET", "PUT"] {
        let got = ask_as(&app, method, &[(AE, "*;q=0")]);
        assert_eq!(got.status, StatusCode::NOT_ACCEPTABLE, "{method}");
    }
}
