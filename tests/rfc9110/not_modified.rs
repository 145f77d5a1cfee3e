//! 304 (RFC 9110, 15.4.5): what it carries, and that it is never wrong.

use std::rc::Rc;

use axum::body::Body;
use http::{
    header::{ETAG, IF_MATCH, IF_NONE_MATCH},
    Extensions, HeaderMap, HeaderValue, Response, StatusCode, Version,
};
use tower_conditional::{
    ConditionalLayer, EntityTag,
    Outcome::{LeftAlone, NotModified, PreconditionFailed},
    Reason,
};

use crate::support::{
    exchange,
    handler::{self, exists, known},
    harness::{fetch, get, layer, reply, rows, send, Lines, CC, IM, IMS, INM, LM},
    scripted_body::{content, data, script},
};

const FULL: &str = r#"
    etag: "a"                 | last-modified: Sun, 22 Nov 2026 11:00:00 GMT | date: Sun, 22 Nov 2026 12:00:00 GMT
    expires: Sun, 22 Nov 2026 13:00:00 GMT | vary: accept | vary: origin | cache-control: private
    cache-control: max-age=60 | content-location: /f.json | set-cookie: a=1 | set-cookie: b=2 | x-request-id: 7
    access-control-allow-origin: * | content-security-policy: default-src 'self' | link: </next>; rel=next
    strict-transport-security: max-age=1 | accept-ranges: bytes
    content-length: 7 | content-type: text/csv | content-encoding: gzip | content-language: de | content-language: en
    content-digest: sha-256=:x: | content-range: bytes 0-6/9 | transfer-encoding: chunked | trailer: x | trailer: y
"#;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark(pub(crate) u8);

/// A response with all fields of `FULL`, and an extension.
pub(crate) fn full() -> (Vec<(&'static str, &'static str)>, Response<Body>) {
    let lines: Vec<_> = rows(FULL).flatten().map(|line| line.split_once(": ").unwrap()).collect();
    let mut response = reply(200, &lines, "content");
    response.extensions_mut().insert(Mark(7));
    (lines, response)
}

#[test]
fn not_modified_keeps_all_but_what_describes_content() {
    let (lines, response) = full();
    let seen = fetch(&[(INM, "\"a\"")], response);
    assert_eq!((seen.status(), seen.content.len(), seen.outcome), (304, 0, NotModified));
    assert_eq!(seen.head.extensions.get(), Some(&Mark(7)));
    let content =
        ["type", "encoding", "language", "digest", "range"].map(|name| format!("content-{name}"));
    for (name, _) in &lines {
        // A response with Set-Cookie is for one user, and gets no date.
        let gone = content.iter().any(|gone| gone == name)
            || ["transfer-encoding", "trailer", LM].contains(name);
        let all: Vec<_> =
            lines.iter().filter(|line| line.0 == *name && !gone).map(|line| line.1).collect();
        assert_eq!(seen.lines(name), all, "{name}");
    }
}

#[test]
fn not_modified_has_the_fields_of_the_200() {
    for lines in [&[][..], &[(CC, "private")], &[(CC, "max-age=5")], &[("vary", "accept")]] {
        let (layer, _) = layer();
        let ok = send(&layer, get(&[]), reply(200, lines, "content"));
        let again = get(&[(INM, ok.line("etag").unwrap())]);
        // And the length of its content (8.6).
        let mut expected = ok.head.headers.clone();
        expected.insert("content-length", "7".parse().unwrap());
        let not_modified = send(&layer, again, reply(200, lines, "content"));
        assert_eq!(
            (not_modified.status(), &not_modified.head.headers),
            (304, &expected),
            "{lines:?}"
        );
    }
}

#[test]
fn not_modified_by_the_inner_service_passes_as_does_its_412() {
    for code in [304, 412] {
        let seen =
            fetch(&[(INM, "\"a\"")], reply(code, &[("etag", "\"a\""), ("vary", "accept")], ""));
        assert_eq!(
            (seen.gist(), seen.line("vary")),
            ((code, "", Some("\"a\""), None), Some("accept"))
        );
    }
}

#[test]
fn not_modified_is_never_sent_for_content_that_changed() {
    let (layer, clock) = layer();
    let mut held: Option<(String, Option<String>)> = None;
    for (second, content) in
        [(10, "1"), (10, "2"), (10, "1"), (11, "3"), (11, "4"), (12, "5"), (13, "1")]
    {
        clock.set(second);
        let ask = |lines: Lines<'_>| send(&layer, get(lines), reply(200, &[], content));
        if let Some((tag, date)) = &held {
            assert_eq!(ask(&[(INM, tag)]).status(), 200, "{second} {content}");
            assert!(
                date.iter().all(|date| ask(&[(IMS, date)]).status() == 200),
                "{second} {content}"
            );
        }
        let seen = ask(&[]);
        held = Some((seen.line("etag").unwrap().to_owned(), seen.line(LM).map(str::to_owned)));
    }
}

#[tokio::test(start_paused = true)]
async fn not_modified_is_empty_from_the_start_as_is_a_412() {
    let tag = EntityTag::of(&content(&[data(5)])).to_string();
    for (headers, own, expected, polls) in [
        ([(IF_NONE_MATCH, &*tag)], None, NotModified, 1),
        ([(IF_NONE_MATCH, "*")], None, NotModified, 1),
        ([(IF_MATCH, "\"x\"")], None, PreconditionFailed, 1),
        // Its length is not known, and a 0 must not be sent for it.
        ([(IF_NONE_MATCH, "W/\"own\"")], Some("\"own\""), NotModified, 0),
        ([(IF_MATCH, "\"x\"")], Some("\"own\""), PreconditionFailed, 0),
    ] {
        let script = script([data(5)]).telling_end(true);
        let log = Rc::clone(&script.log);
        let mut response = Response::new(script);
        response.headers_mut().extend(own.map(|own| (ETAG, HeaderValue::from_static(own))));
        let sent =
            exchange::serve(&ConditionalLayer::new(), exchange::get(&headers), response).await;
        assert_eq!(sent.body().outcome(), expected, "{headers:?}");
        let is_unknown = (expected, polls) == (NotModified, 0);
        let ended = if is_unknown { (true, 0, None) } else { exchange::ENDED };
        assert_eq!(exchange::state(sent.body()), ended, "{headers:?}");
        assert_eq!((log.drops.get(), log.polls.get()), (1, polls), "{headers:?}");
        assert_eq!(exchange::receive(sent.into_body()).await.0, []);
    }
}

#[test]
fn not_modified_carries_what_the_application_adds_and_a_412_does_not() {
    let layer = known(exists("\"v1\"")).on_not_modified(|parts, headers| {
        headers.insert("vary", HeaderValue::from_static("accept"));
        headers.insert("content-location", parts.uri.path().parse().unwrap());
    });
    let seen = handler::send(&layer, "GET", &[(INM, "\"v1\"")]);
    assert_eq!(
        (seen.status(), seen.line("vary"), seen.line("content-location")),
        (304, Some("accept"), Some("/"))
    );
    assert_eq!(seen.line("etag"), Some("\"v1\""));
    let seen = handler::send(&layer, "GET", &[(IM, "\"v0\"")]);
    assert_eq!((seen.status(), seen.line("vary"), seen.line("etag")), (412, None, Some("\"v1\"")));
}

#[test]
fn not_modified_answers_a_203_too() {
    let own = [("etag", "\"a\"")];
    assert_eq!(fetch(&[(INM, "\"a\"")], reply(203, &own, "transformed")).status(), 304);
    assert_eq!(fetch(&[(INM, "\"b\"")], reply(203, &own, "transformed")).status(), 203);
    for status in [201, 202, 204, 206] {
        let seen = fetch(&[(INM, "*")], reply(status, &[], ""));
        assert_eq!(seen.status(), status);
    }
}

#[test]
fn not_modified_is_not_sent_for_a_page_with_a_nonce() {
    // Browsers would take the new nonce of the 304 for the old page, and run none of
    // its scripts.
    let policy = ("content-security-policy", "script-src 'nonce-r4nd0m'");
    // The keywords have no case.
    for text in [policy.1, "default-src 'self'; script-src 'strict-dynamic' 'Nonce-r4nd0m'"] {
        let policy = (policy.0, text);
        let seen = fetch(&[], reply(200, &[policy], "page"));
        assert_eq!((seen.line("etag"), seen.outcome), (None, LeftAlone(Reason::Nonce)), "{text}");
        let own = [policy, ("etag", "\"v1\"")];
        assert_eq!(fetch(&[(INM, "\"v1\"")], reply(200, &own, "page")).status(), 200, "{text}");
    }
    for text in ["script-src 'self' 'sha256-nonce'", "script-src 'nonce", "report-uri /nonce-"] {
        let seen = fetch(&[], reply(200, &[(policy.0, text)], "page"));
        assert!(seen.line("etag").is_some(), "{text}");
    }
    let own = [policy, ("etag", "\"v1\"")];
    // By the user's own word.
    let layer = layer().0.tag_when(|_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true);
    let seen = send(&layer, get(&[(INM, "\"v1\"")]), reply(200, &own, "page"));
    assert_eq!(seen.status(), 304);
}
