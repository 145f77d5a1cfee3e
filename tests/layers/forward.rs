//! What the inner service gets to see of a request.

use http::HeaderMap;

use crate::support::{
    handler::{self, day, exists, known},
    harness::{ask, date, fetch, get, layer, reply, send, tag, IM, IMS, INM, IUS, LM},
};

#[test]
fn forward_removes_dates_that_are_ignored() {
    let fields = [IM, INM, IMS, IUS];
    let (past, twice) =
        (date(-90), [(IMS, date(-90)), (IMS, date(-60)), (IUS, date(-90)), (IUS, date(-60))]);
    for (asked, valid, ignored) in [
        ("0123", "01", "01"),
        ("023", "02", "0"),
        ("123", "13", "1"),
        ("23", "23", ""),
        ("", "", ""),
    ] {
        for (text, expected) in [(&*past, valid), ("x", ignored)] {
            let lines: Vec<_> = (0..4)
                .filter(|i| asked.contains(&i.to_string()))
                .map(|i| (fields[i], text))
                .collect();
            let headers = fetch(&lines, reply(200, &[], "")).forwarded.headers;
            let left: String = (0..4)
                .filter(|&i| headers.contains_key(fields[i]))
                .map(|i| i.to_string())
                .collect();
            assert_eq!(left, expected, "{asked} {text}");
        }
    }
    // Some take the first of two.
    let twice: Vec<_> = twice.iter().map(|(name, text)| (*name, &**text)).collect();
    assert!(fetch(&twice, reply(200, &[], "")).forwarded.headers.is_empty());
}

#[test]
fn forward_joins_the_lines_of_a_list() {
    let lines =
        [(IM, "\"a\""), (INM, "W/\"é\""), (IM, "\"b,c\", \"d\""), (INM, "\"x\""), (INM, "")];
    let headers = fetch(&lines, reply(200, &[], "")).forwarded.headers;
    assert_eq!(headers.get_all(IM).iter().collect::<Vec<_>>(), ["\"a\", \"b,c\", \"d\""]);
    assert_eq!(
        headers.get_all(INM).iter().map(|line| line.as_bytes()).collect::<Vec<_>>(),
        [b"W/\"\xE9\", \"x\", "]
    );
}

#[test]
fn forward_removes_dates_that_were_generated() {
    // A page is made on the fly, and then a file with an older date takes its place.
    let (layer, _) = layer();
    assert_eq!(
        send(&layer, get(&[]), reply(200, &[], "made on the fly")).line(LM),
        Some(&*date(10))
    );
    let file = |headers: &HeaderMap| match headers.contains_key(IMS) {
        true => reply(304, &[], ""),
        false => reply(200, &[(LM, &date(-60))], "file"),
    };
    assert_eq!(
        ask(&layer, get(&[(IMS, &date(10))]), file).gist(),
        (200, "file", Some(&*tag("file")), Some(&*date(-60)))
    );
}

#[test]
fn forward_removes_what_is_ignored_before_the_handler() {
    let now = day(2).to_string();
    for (method, lines, hidden) in [
        ("GET", &[(INM, "\"v0\""), (IMS, &*now)][..], &[IMS][..]),
        ("GET", &[(IMS, &*now)], &[]),
        ("PUT", &[(IM, "\"v1\""), (IUS, &*now)], &[IUS]),
        ("PUT", &[(IUS, &*now), (INM, "\"v0\"")], &[]),
    ] {
        let seen = handler::send(known(exists("\"v1\"")), method, lines);
        for (name, _) in lines {
            assert_eq!(seen.forwards(name), !hidden.contains(name), "{method} {lines:?} {name}");
        }
    }
}
