//! When preconditions are evaluated, and in which order (RFC 9110, 13.2).

use tower_conditional::{Outcome, Reason};

use crate::support::harness::{date, fetch, reply, rows, status, IM, IMS, INM, IUS, LM};

#[test]
fn precedence_is_that_of_section_13_2_2() {
    // 13.2.2, against a tag "a" and a date of 11:59, `hit`.
    let table = r#"
        # The status; If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since; `-` is absent and `()` is empty.
        200 "a" past -     -    | 412 "z" hit  -     -    | 412 a   hit  -     -    | 412 "z" -    "a"   -
        412 "z" -    -     hit  | 304 "a" -    "a"   -    | 304 "a" -    -     hit  | 200 "a" -    "z"   -
        412 -   past "a"   -    | 304 -   hit  "a"   -    | 412 -   past -     hit  | 304 -   hit  -     hit
        200 -   hit  -     past | 304 -   -    "a"   past | 200 -   -    "z"   hit  | 200 -   -    z     hit
        200 -   -    ()    hit  | 200 -   -    "x,*,y" hit  | 200 "a" past "z"   hit  | 304 "a" past "a"   past
    "#;
    let (past, hit) = (date(-90), date(-60));
    let text = |cell: &str| cell.replace("past", &past).replace("hit", &hit).replace("()", "");
    for cell in rows(table).flatten() {
        let texts: Vec<_> = cell.split_whitespace().map(text).collect();
        let lines = [IM, IUS, INM, IMS].into_iter().zip(texts[1..].iter().map(String::as_str));
        let lines: Vec<_> = lines.filter(|line| line.1 != "-").collect();
        assert_eq!(
            status(&lines, &[("etag", "\"a\""), (LM, &hit)]).to_string(),
            texts[0],
            "{lines:?}"
        );
    }
    // A response without a tag does not bring the date back.
    let own = [("etag", "unquoted"), (LM, &*hit)];
    assert_eq!(
        [status(&[(INM, "\"a\""), (IMS, &hit)], &own), status(&[(IMS, &hit)], &own)],
        [200, 304]
    );
}

#[test]
fn preconditions_are_ignored_unless_the_response_is_a_success() {
    // 13.2.1: an outage must not be hidden from clients, caches and logs.
    let own = [("etag", "\"nf\""), (LM, &*date(-60)), ("content-type", "text/plain")];
    for code in [301, 302, 400, 401, 403, 404, 410, 416, 429, 500, 503] {
        let dates = [(IMS, &*date(5)), (IUS, &*date(-90))];
        for asked in [(INM, "*"), (INM, "\"nf\""), (IM, "\"z\"")].into_iter().chain(dates) {
            let seen = fetch(&[asked], reply(code, &own, "sorry"));
            assert_eq!(
                seen.gist(),
                // A date of a failure would prove things of content.
                (code, "sorry", Some("\"nf\""), if code == 416 { Some(own[1].1) } else { None }),
                "{code} {asked:?}"
            );
            assert_eq!(seen.line("content-type"), Some("text/plain"));
        }
        let seen = fetch(&[(IM, "\"z\"")], reply(code, &[], "sorry"));
        assert_eq!(seen.gist(), (code, "sorry", None, None));
        assert_eq!(seen.outcome, Outcome::LeftAlone(Reason::Status));
    }
    // Other successes are not unmodified content, but If-Match counts where there is a
    // tag.
    for (asked, expected) in [((INM, "*"), 201), ((INM, "\"nf\""), 201), ((IM, "\"z\""), 412)] {
        assert_eq!(fetch(&[asked], reply(201, &own, "")).status(), expected, "{asked:?}");
    }
    assert_eq!(fetch(&[(IM, "\"z\"")], reply(204, &[], "")).status(), 204);
}
