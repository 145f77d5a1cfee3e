//! `ETag` (RFC 9110, 8.8.3): the generated one, and the inner service's own.

use tower_conditional::{Outcome, Reason};

use crate::support::harness::{fetch, reply, rows, status, tag, value, Lines, INM};

#[test]
fn etag_of_the_inner_service_is_kept() {
    // A tag sent in If-None-Match, and the lines of the inner `ETag`.
    let table = r#"
        304 | "a" <- "a" | "a" <- W/"a" | "" <- "" | "a,b" <- "a,b" | "é" <- "é"
        # What is no tag, or not one, is left on the response, and is none.
        200 | a <- a | "a" <- a | "a" <- w/"a" | "a b" <- "a b" | "a" <- "a" & "b"
    "#;
    for row in rows(table) {
        for cell in &row[1..] {
            let (sent, own) = cell.split_once(" <- ").unwrap();
            let own: Vec<_> = own.split(" & ").map(|own| ("etag", own)).collect();
            let seen = fetch(&[], reply(200, &own, "content"));
            let reason = if row[0] == "304" { Reason::OwnTag } else { Reason::InvalidTag };
            assert_eq!((seen.status(), seen.content.len()), (200, 7), "{cell}");
            assert_eq!(seen.outcome, Outcome::LeftAlone(reason), "{cell}");
            let kept: Vec<_> = seen.head.headers.get_all("etag").iter().cloned().collect();
            assert_eq!(kept, own.iter().map(|own| value(own.1)).collect::<Vec<_>>());
            assert_eq!(status(&[(INM, sent)], &own).to_string(), row[0], "{cell}");
        }
    }
    // Longer than some parsers take: the hex of a SHA-256.
    assert_eq!(status(&[(INM, &tag("x"))], &[("etag", &tag("x"))]), 304);
}

#[test]
fn etag_of_equal_bytes_differs_between_variants() {
    let tag_of =
        |lines: Lines<'_>| fetch(&[], reply(200, lines, "[]")).line("etag").unwrap().to_owned();
    let json = tag_of(&[("content-type", "application/json"), ("vary", "accept")]);
    let csv = tag_of(&[("content-type", "text/csv"), ("vary", "accept")]);
    assert!(json != csv && json != tag("[]"), "{json} {csv}");
    assert_eq!(
        tag_of(&[("content-type", "text/csv")]),
        tag("[]"),
        "not negotiated: what sha256sum prints"
    );
}

/// How a field compares the tags that are sent in it with the current one.
///
/// The status for If-None-Match and for If-Match, and then cells: the inner tag, and
/// the lines sent.
const COMPARISONS: &str = r#"
    # 8.8.3.2, 13.1.1 and 13.1.2: weak and strong comparison.
    304 412 | W/"1" <- W/"1" | W/"1" <- "1" | "1" <- W/"1"
    304 200 | "1" <- "1"
    200 412 | W/"1" <- W/"2" | "1" <- "2"
    # 5.6.1: lists, over all lines; and 13.1.1: `*` as the whole value.
    304 200 | "1" <- "x", "1" | "1" <- "x" & "1" | "1" <- , "x",,"1" , | "1" <- * | unquoted <- *
    200 412 | "1" <- "x" & "y" | "1" <- *, "x" | "1" <- * & *
    # 8.8.3: a comma, obs-text and nothing at all are legal inside a tag.
    304 200 | "own,tag" <- "own,tag" | "" <- "" | "é" <- "é", "z" | "z" <- "é", "z"
    200 412 | "a" <- "x,a" | "a" <- x,a | "a" <- a | "a" <- "x,*,y" | "a" <- "*"
    # What is no tag matches nothing, and does not spoil its neighbours.
    304 200 | "z" <- "a b", "z" | "z" <- "x, "z"
    200 412 | "a" <- "a b" | "foo" <- "x, "foo | "1" <- w/"1" | "1" <- "1 | "" <- | unquoted <- unquoted
"#;

/// Sends every row of the table in a field; `column` is where its status stands.
pub(crate) fn compare(name: &str, column: usize) {
    for row in rows(COMPARISONS) {
        let expected = row[0].split(' ').nth(column).unwrap();
        for cell in &row[1..] {
            let (own, lines) = cell.split_once("<-").unwrap();
            let lines: Vec<_> = lines.split('&').map(|line| (name, line.trim())).collect();
            let seen = status(&lines, &[("etag", own.trim())]);
            assert_eq!(seen.to_string(), expected, "{name} {cell}");
        }
    }
}
