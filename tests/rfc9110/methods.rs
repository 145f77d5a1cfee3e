//! Which methods have preconditions evaluated (RFC 9110, 13.2.1).

use http::Version;
use tower_conditional::{InnerTags, Outcome, Reason};

use crate::support::{
    harness::{date, layer, reply, request, send, tag, IM, IMS, INM, IUS},
    origin::{Site, OWN},
};

#[test]
fn methods_that_are_no_reads_pass_unchanged() {
    // 13.2.1 for those that select no representation. 9.3.4: the reply to a PUT is not
    // the representation; and a write is done when its response is there: a 304 or a
    // 412 would deny it.
    let (ours, then) = (tag("x"), date(5));
    let asked = [
        (IM, "\"z\""),
        (INM, "*"),
        (IMS, &*then),
        (IUS, &*then),
        ("if-range", &*ours),
        ("range", "bytes=0-1"),
    ];
    for method in ["PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PURGE"] {
        let request = request(method, if method == "CONNECT" { "a:1" } else { "/" }, &asked);
        let headers = request.headers().clone();
        let seen = send(&layer().0, request, reply(200, &[], "done"));
        assert_eq!(seen.gist(), (200, "done", None, None), "{method}");
        assert!(seen.head.headers.is_empty() && seen.forwarded.headers == headers, "{method}");
        assert_eq!(seen.outcome, Outcome::LeftAlone(Reason::Method));
    }
}

#[test]
fn methods_and_statuses_that_are_not_tagged_pass_unchanged_while_tags_are_replaced() {
    let site =
        Site::new(|layer| layer.inner_tags(InnerTags::replace()).repr_digest(true).ranges(true));
    let seen = site.ask_over(Version::HTTP_2, "POST", &[(IM, "\"x\""), ("range", "bytes=0-1")]);
    assert_eq!((seen.status(), seen.line("etag"), seen.trailer()), (200, Some(OWN), None));
    assert!(site.shows(IM) && site.shows("range"));
    site.origin.borrow_mut().status = 404;
    let seen = site.ask_over(Version::HTTP_2, "GET", &[("range", "bytes=0-1")]);
    assert_eq!((seen.status(), seen.trailer(), seen.content().len()), (404, None, 12));
}
