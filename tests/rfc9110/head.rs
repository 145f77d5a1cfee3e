//! HEAD (RFC 9110, 9.3.2), and the setting `head_as_get`.

use std::future::ready;

use axum::{body::Body, routing, Router};
use futures_util::stream;
use http::{header::CONTENT_LENGTH, HeaderValue, Method, Response};
use tower::{Layer, ServiceExt};
use tower_conditional::{
    ConditionalLayer,
    Outcome::{LeftAlone, Tagged},
    PreconditionLayer,
    Reason::EmptyHead,
    Representation,
};

use crate::{
    range::ranges,
    support::{
        exchange,
        harness::{
            ask, date, get, layer, reply, request, run, send, streamed, tag, Lines, IM, INM, LM,
        },
        note::{note, plain, service},
        scripted_body::{data, script},
    },
};

#[test]
fn head_without_content_is_not_tagged() {
    let head = |lines: Lines<'_>, reply| send(&layer().0, request("HEAD", "/", lines), reply);
    for (body, own) in [
        (Body::empty(), &[][..]),
        (Body::empty(), &[("content-length", "7")]),
        (streamed(stream::empty()), &[("content-length", "7")]),
        (streamed(stream::empty()), &[]),
    ] {
        let seen = head(&[(IM, "\"x\"")], reply(200, own, body));
        assert_eq!(seen.gist(), (200, "", None, None), "{own:?}: what GET would send is not known");
        assert_eq!(seen.line("content-length"), own.first().map(|line| line.1));
    }
    let seen =
        head(&[(INM, "\"a\"")], reply(200, &[("etag", "\"a\""), ("content-length", "7")], ""));
    assert_eq!(seen.gist(), (304, "", Some("\"a\""), None));
}

#[tokio::test(start_paused = true)]
async fn head_is_tagged_only_by_content_that_is_there() {
    for (script, length, expected) in [
        (script([data(3)]), None, Tagged),
        (script([data(3)]), Some("3"), Tagged),
        (script([]).telling_end(true), None, LeftAlone(EmptyHead)),
        (script([]).telling_end(true), Some("3"), LeftAlone(EmptyHead)),
        (script([]).exact(0), Some("3"), LeftAlone(EmptyHead)),
    ] {
        let mut response = Response::new(script);
        response
            .headers_mut()
            .extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from_static(length))));
        let mut request = exchange::get(&[]);
        *request.method_mut() = Method::HEAD;
        let sent = exchange::serve(&ConditionalLayer::new(), request, response).await;
        assert_eq!(sent.body().outcome(), expected, "{length:?}");
        assert_eq!(exchange::etag(&sent).is_some(), expected == Tagged);
    }
}

/// The answer to a HEAD has no content: Hyper's HTTP/2 would send it.
#[test]
fn head_has_no_content_where_the_source_fails() {
    let failing = PreconditionLayer::new(|_| ready(Err::<Representation, _>("lost")));
    let layer = failing.on_error(Response::new);
    let seen =
        run(layer.layer(service(&note("x"), plain)).oneshot(request("HEAD", "/", &[(INM, "*")])))
            .unwrap();
    assert!(http_body::Body::is_end_stream(seen.body()));
}

#[test]
fn head_as_get_asks_for_the_content_and_drops_it() {
    let layer = layer().0.head_as_get(true);
    let seen = send(&layer, request("HEAD", "/", &[]), reply(200, &[], "content"));
    assert_eq!(seen.forwarded.method, "GET");
    assert_eq!(seen.gist(), (200, "", Some(&*tag("content")), Some(&*date(10))));
    assert_eq!((seen.line("content-length"), seen.outcome), (Some("7"), Tagged));
    assert_eq!(send(&layer, get(&[]), reply(200, &[], "content")).content, b"content");
}

/// The inner service got a GET, so it is known that the content is empty.
#[test]
fn head_as_get_of_empty_content_is_as_get() {
    let empty: fn() -> Body = Body::empty;
    let stream: fn() -> Body = || streamed(stream::empty());
    let encoded = [("etag", "\"own\""), ("content-encoding", "gzip")];
    let wrong = [("etag", "\"own\""), ("content-length", "7")];
    let of_nothing = &*tag("");
    for (own, body, etag) in [
        (&[][..], empty, of_nothing),
        (&[], stream, of_nothing),
        (&[("content-length", "0")], empty, of_nothing),
        (&encoded, empty, "\"own\""),
        (&wrong, empty, "\"own\""),
    ] {
        for held in [&[][..], &[(INM, etag)], &[(IM, "\"other\"")]] {
            let layer = layer().0.head_as_get(true);
            let ask = |method| send(&layer, request(method, "/", held), reply(200, own, body()));
            let (get, head) = (ask("GET"), ask("HEAD"));
            let status = held.first().map_or(200, |line| if line.0 == INM { 304 } else { 412 });
            assert_eq!((head.status(), head.line("etag")), (status, Some(etag)), "{own:?}");
            assert_eq!(head.line(LM), get.line(LM), "{own:?} {held:?}");
            if status == 304 {
                assert_eq!(head.head.headers, get.head.headers, "{own:?}");
            }
        }
    }
}

#[test]
fn head_has_the_length_of_the_content_on_a_304_too() {
    // 8.6. Around an Axum handler, a HEAD still has the content of the GET.
    for layer in [layer().0, layer().0.head_as_get(true)] {
        let again = request("HEAD", "/", &[(INM, &tag("content"))]);
        let seen = send(&layer, again, reply(200, &[], "content"));
        assert_eq!((seen.status(), seen.line("content-length")), (304, Some("7")));
    }
    // Without content it says nothing of the length, and with a tag of its own neither.
    let own = [("etag", "\"own\"")];
    let again = request("HEAD", "/", &[(INM, "\"own\"")]);
    let seen = send(&layer().0, again, reply(200, &own, ""));
    assert_eq!((seen.status(), seen.line("content-length")), (304, None));
}

#[test]
fn head_as_get_puts_no_length_beside_another_framing() {
    // RFC 9112, 6.2.
    let own = [("etag", "\"own\""), ("transfer-encoding", "chunked")];
    let seen =
        send(&layer().0.head_as_get(true), request("HEAD", "/", &[]), reply(200, &own, "content"));
    assert_eq!(
        (seen.line("transfer-encoding"), seen.line("content-length")),
        (Some("chunked"), None)
    );
}

#[test]
fn head_as_get_puts_no_length_on_a_204() {
    // 8.6.
    let seen = send(&layer().0.head_as_get(true), request("HEAD", "/", &[]), reply(204, &[], ""));
    assert_eq!((seen.status(), seen.line("content-length")), (204, None));
}

#[test]
fn head_as_get_asks_for_no_part() {
    // 14.2: Range is for GET.
    let layer = layer().0.head_as_get(true);
    assert_eq!(
        ask(&layer, request("HEAD", "/", &[("range", "bytes=1-")]), ranges("one")).status(),
        200
    );
}

#[test]
fn head_as_get_says_nothing_of_a_length_that_is_not_known() {
    // 8.6: a Content-Length on a HEAD is that of the GET.
    let app = Router::new()
        .route("/", routing::get(|| async { streamed(stream::pending()) }))
        .layer(layer().0.head_as_get(true));
    let response = run(app.oneshot(request("HEAD", "/", &[]))).unwrap();
    assert_eq!(response.headers().get("content-length"), None);
}

#[test]
fn head_without_content_takes_no_date_from_the_get_after_it() {
    let (layer, clock) = layer();
    for change in 0..300 {
        let content = format!("content {change}");
        clock.set(10 + 10 * change);
        let head = request("HEAD", "/", &[]);
        assert_eq!(send(&layer, head, reply(200, &[], "")).line(LM), None);
        clock.set(11 + 10 * change);
        let seen = send(&layer, request("GET", "/", &[]), reply(200, &[], content));
        assert!(seen.line(LM).is_some(), "{change}");
    }
}
