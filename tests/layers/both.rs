//! Both layers in one stack.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::ready,
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        Arc,
    },
};

use axum::body::Body;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::{Layer, Service, ServiceBuilder};
use tower_conditional::{EntityTag, PreconditionLayer, Representation, Validators};

use crate::support::{
    handler::{self, day, exists, known, Handler},
    harness::{self, reply, request, run, tag, IM, INM, LM},
};

#[test]
fn both_layers_give_one_response_in_any_order() {
    let conditional = || harness::layer().0;
    let then = day(1).to_string();
    for current in [
        exists("\"v1\""),
        Validators::from(EntityTag::strong("v1").unwrap()).last_modified(day(2)).into(),
    ] {
        let outside =
            ServiceBuilder::new().layer(known(current.clone())).layer(conditional()).into_inner();
        let inside =
            ServiceBuilder::new().layer(conditional()).layer(known(current.clone())).into_inner();
        for (method, lines, status) in [
            ("GET", &[][..], 200),
            ("GET", &[(INM, "\"v1\"")], 304),
            ("GET", &[(INM, "W/\"v1\"")], 304),
            ("GET", &[(INM, &*tag("content"))], 200),
            ("GET", &[(IM, &*tag("content"))], 412),
            ("HEAD", &[(IM, "\"v0\"")], 412),
            ("PUT", &[(IM, "\"v0\"")], 412),
            ("PUT", &[(IM, "\"v1\"")], 200),
            ("GET", &[("range", "bytes=0-1"), ("if-range", &*then)], 200),
        ] {
            let (one, two) =
                (handler::send(&outside, method, lines), handler::send(&inside, method, lines));
            assert_eq!((one.status(), two.status()), (status, status), "{method} {lines:?}");
            for name in ["etag", LM, "cache-control", "vary"] {
                assert_eq!(one.line(name), two.line(name), "{method} {lines:?} {name}");
            }
            if method != "PUT" {
                assert_eq!(one.line("etag"), Some("\"v1\""), "{method} {lines:?}");
                // A date that the source does not know would come back in
                // If-Unmodified-Since and be ignored.
                let Representation::Exists(Validators { last_modified, .. }) = &current else {
                    unreachable!()
                };
                assert_eq!(one.line(LM).is_some(), last_modified.is_some(), "{method} {lines:?}");
            }
        }
    }
}

/// The handler cuts out parts, and sets no tag. The layer that knows the tag verifies
/// that the part is of its version, and adds the tag.
#[test]
fn both_layers_give_parts_by_the_tag_of_the_source_in_any_order() {
    let is_new = Arc::new(AtomicBool::new(false));
    let read = Arc::clone(&is_new);
    let source = PreconditionLayer::new(move |_| {
        ready(exists(if read.load(Relaxed) { "\"v2\"" } else { "\"v1\"" }))
    });
    let conditional = || harness::layer().0;
    let outside = ServiceBuilder::new().layer(source.clone()).layer(conditional()).into_inner();
    let inside = ServiceBuilder::new().layer(conditional()).layer(source).into_inner();
    gives_parts(&outside, &is_new);
    gives_parts(&inside, &is_new);
}

fn gives_parts<L, B>(layer: &L, is_new: &Arc<AtomicBool>)
where
    L: Layer<Handler>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Error: Debug>,
{
    let ask = |lines: harness::Lines<'_>, changes: bool, etag: &'static str| {
        is_new.store(false, Relaxed);
        let is_new = Arc::clone(is_new);
        let answer = move |request: &Request<Body>| {
            is_new.store(changes, Relaxed);
            let own = [("etag", etag)];
            let own = if etag.is_empty() { &[][..] } else { &own };
            let part = |status, range, content| {
                reply(status, &[&[("content-range", range)], own].concat(), content)
            };
            match request.headers().get("range").map(|range| range.to_str().unwrap()) {
                Some("bytes=7-") => part(416, "bytes */7", ""),
                Some(_) => part(206, "bytes 1-6/7", "ontent"),
                None => reply(200, &[("accept-ranges", "bytes")], "content"),
            }
        };
        run(handler::ask(layer, request("GET", "/", lines), Arc::new(answer)))
    };
    let (part, end) = (("range", "bytes=1-"), ("range", "bytes=7-"));
    let (old, current) = ("\"v0\"", "\"v1\"");
    for (lines, changes, status) in [
        (&[][..], false, 200),
        (&[part], false, 206),
        (&[part, ("if-range", current)], false, 206),
        (&[part, ("if-range", current)], true, 503),
        (&[part, ("if-range", old)], false, 200),
        (&[part, (IM, current)], false, 206),
        (&[part, (IM, "\"v0\", \"v1\"")], false, 206),
        (&[part, (IM, current)], true, 503),
        (&[part, (IM, old)], false, 412),
        (&[end, ("if-range", current)], false, 416),
        (&[end, ("if-range", current)], true, 503),
        (&[part, ("if-range", current)], false, 206),
    ] {
        let seen = ask(lines, changes, "");
        assert_eq!(seen.status(), status, "{lines:?} {changes}");
        let is_content = matches!(status, 200 | 206);
        assert_eq!(seen.line("etag") == Some(current), is_content || status == 412, "{lines:?}");
    }
    // A part with another tag is refused. Then the client gets the whole content.
    for status in [503, 200] {
        let seen = ask(&[part, ("if-range", current)], false, "\"other\"");
        assert_eq!(seen.status(), status);
    }
}
