//! The setting `require_preconditions`.

use http::Method;
use tower_conditional::{EntityTag, Representation, Validators};

use crate::support::{
    handler::{self, day, exists, known},
    harness::{IM, IMS, INM, IUS},
};

#[test]
fn require_preconditions_answers_428_to_a_write_without_one() {
    let (now, then) = (day(2).to_string(), day(1).to_string());
    let dated = Representation::Exists(
        Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(day(2)),
    );
    let tagged = exists("\"v1\"");
    for (method, lines, current, status) in [
        ("GET", &[][..], &dated, 200),
        ("OPTIONS", &[], &dated, 200),
        ("CONNECT", &[], &dated, 200),
        ("POST", &[], &dated, 200),
        ("PUT", &[], &dated, 428),
        ("PATCH", &[], &dated, 428),
        ("DELETE", &[], &dated, 428),
        ("PUT", &[(IM, "\"v1\"")], &dated, 200),
        ("PUT", &[(IM, "\"v2\"")], &dated, 412),
        ("PUT", &[(IM, "")], &dated, 412),
        ("PUT", &[(INM, "*")], &dated, 412),
        ("PUT", &[(INM, "*")], &Representation::Missing, 200),
        ("PUT", &[(INM, "\"v2\"")], &dated, 428),
        ("PUT", &[(INM, "\"v1\"")], &dated, 412),
        ("PUT", &[(IUS, &now)], &dated, 200),
        ("PUT", &[(IUS, &then)], &dated, 412),
        ("PUT", &[(IUS, &now)], &tagged, 428),
        ("PUT", &[(IUS, &now)], &Representation::Missing, 428),
        ("PUT", &[(IUS, "yesterday")], &dated, 428),
        ("PUT", &[(IUS, &now), (IUS, &now)], &dated, 428),
        ("PUT", &[(IMS, &now)], &dated, 428),
        ("PUT", &[], &Representation::Unknown, 428),
        // What cannot be evaluated fails closed.
        ("PUT", &[(IM, "\"v2\"")], &Representation::Unknown, 503),
        ("PUT", &[(INM, "*")], &Representation::Unknown, 503),
    ] {
        let layer =
            known(current.clone()).require_preconditions(|parts| parts.method != Method::POST);
        let seen = handler::send(layer, method, lines);
        assert_eq!(seen.status(), status, "{method} {lines:?} {current:?}");
        assert_eq!(seen.ran(), status == 200, "{method} {lines:?} {current:?}");
        if status == 428 {
            let is_missing = matches!(current, Representation::Missing);
            let advice = if is_missing { "send If-None-Match: *" } else { "send If-Match" };
            assert!(seen.response.body().contains(advice), "{}", seen.response.body());
            assert_eq!(seen.line("content-type"), Some("text/plain; charset=utf-8"));
        }
    }
}
