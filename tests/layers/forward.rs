//! What the inner service gets to see of a request.

use std::{convert::Infallible, future::ready};

use axum::body::Body;
use http::{HeaderMap, Request};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{ForwardedFields, HttpDate, Validators};

use crate::support::{
    handler::{self, day, exists, known},
    harness::{
        ask, date, fetch, get, layer, reply, request, run, send, tag, IM, IMS, INM, IUS, LM,
    },
};

#[test]
fn forward_removes_dates_that_are_ignored() {
    // Where dates are forwarded; by default they are not.
    let dates = || layer().0.forward(ForwardedFields::Dates);
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
            let headers = send(&dates(), get(&lines), reply(200, &[], "")).forwarded.headers;
            let left: String = (0..4)
                .filter(|&i| headers.contains_key(fields[i]))
                .map(|i| i.to_string())
                .collect();
            assert_eq!(left, expected, "{asked} {text}");
        }
    }
    // Some take the first of two.
    let twice: Vec<_> = twice.iter().map(|(name, text)| (*name, &**text)).collect();
    assert!(send(&dates(), get(&twice), reply(200, &[], "")).forwarded.headers.is_empty());
}

#[test]
fn forward_withholds_dates_and_shows_them_to_inner_layers() {
    let (since, then) = (date(-60), date(-90));
    for (name, line, expected) in [(IMS, &since, 304), (IUS, &then, 412)] {
        for method in ["GET", "HEAD"] {
            let seen =
                send(&layer().0, request(method, "/", &[(name, line)]), reply(200, &[], "a"));
            assert!(seen.forwarded.headers.is_empty(), "{method} {name}");
        }
        // A source that states a date of its own still evaluates by it.
        let stated = HttpDate::parse(&since, day(1)).unwrap();
        let source = known(Validators::new().last_modified(stated).into());
        let inner = service_fn(|_: Request<Body>| {
            ready(Ok::<_, Infallible>(reply(200, &[], Body::from("content"))))
        });
        let service = layer().0.layer(source.layer(inner));
        let seen = run(service.oneshot(request("GET", "/", &[(name, line)]))).unwrap();
        assert_eq!(seen.status(), expected, "{name}");
    }
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
    // The file's own date may have been sent with anything; another one is generated.
    assert_eq!(
        ask(&layer, get(&[(IMS, &date(10))]), file).gist(),
        (200, "file", Some(&*tag("file")), None)
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
