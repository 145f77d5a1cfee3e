//! Ranges, against `http-range-header`.

use std::{convert::Infallible, future::ready};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    header::{CONTENT_RANGE, RANGE},
    Request, Response, StatusCode,
};
use http_body_util::{BodyExt, Full};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::ConditionalLayer;

use crate::{input::Input, Comparison, Right, Row};

/// The value of a `Range` field, and how much content there is.
#[derive(Debug)]
struct Case {
    value: String,
    length: u64,
}

fn of(length: u64, value: &str) -> Case {
    Case { value: value.to_owned(), length }
}

/// The parts that are sent, by their first and last byte; none if the whole is sent, or
/// 416.
type Parts = Vec<(u64, u64)>;

const ROWS: [Row<Case, Parts>; 7] = [
    Row {
        name: "a part of nothing",
        right: Right::Ours,
        because: "RFC 9110, 14.1.2: no byte of empty content can be asked for",
        example: || of(0, "bytes=0-"),
        explains: |case, ours, _| case.length == 0 && ours.is_empty(),
    },
    Row {
        name: "several ranges",
        right: Right::Either,
        because: "RFC 9110, 14.2: a server MAY ignore Range; ours sends the whole",
        example: || of(9, "bytes=0-1, 4-5"),
        explains: |case, ours, _| case.value.contains(',') && ours.is_empty(),
    },
    Row {
        name: "more at the end than there is",
        right: Right::Ours,
        because: "RFC 9110, 14.1.2: then the entire representation is used",
        example: || of(9, "bytes=-10"),
        explains: |case, ours, theirs| {
            case.value.contains("=-") && *ours == [(0, case.length - 1)] && theirs.is_empty()
        },
    },
    Row {
        name: "a unit with capital letters",
        right: Right::Ours,
        because: "RFC 9110, 14.1: range units are case-insensitive",
        example: || of(9, "Bytes=0-1"),
        explains: |case, _, theirs| !case.value.starts_with("bytes") && theirs.is_empty(),
    },
    Row {
        name: "leading zeros",
        right: Right::Ours,
        because: "RFC 9110, 14.1.1: first-pos = 1*DIGIT",
        example: || of(9, "bytes=00-01"),
        explains: |case, _, theirs| {
            let mut numbers = case.value.split(['=', '-']).map(str::trim);
            numbers.any(|number| number.len() > 1 && number.starts_with('0')) && theirs.is_empty()
        },
    },
    Row {
        name: "a number beyond 64 bits",
        right: Right::Ours,
        because: "RFC 9110, 14.1.2: a last-pos beyond the end is the last byte that there is",
        example: || of(9, "bytes=1-99999999999999999999"),
        explains: |case, _, theirs| {
            let is_large = |number: &str| number.len() > 19 && number.parse::<u64>().is_err();
            case.value.split(['=', '-']).map(str::trim).any(is_large) && theirs.is_empty()
        },
    },
    Row {
        name: "white space around the range",
        right: Right::Either,
        because: "RFC 9110, 5.6.1 and 14.1.1: it has a place only between members",
        example: || of(9, "bytes= 0-1"),
        explains: |case, ours, theirs| {
            case.value.contains([' ', '\t']) && ours.len() == 1 && theirs.is_empty()
        },
    },
];

#[test]
fn ranges_http_range_header() {
    Comparison { peer: "http-range-header", rows: &ROWS, ours, theirs }.run(case);
}

/// What the layer sends. The part has the bytes that it says.
fn ours(case: &Case) -> Parts {
    let length = usize::try_from(case.length).unwrap();
    let content: Bytes = (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let whole = content.clone();
    let inner = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(whole.clone()))))
    });
    let service = ConditionalLayer::new().ranges(true).layer(inner);
    let request = Request::get("/").header(RANGE, &case.value).body(()).unwrap();
    let response = service.oneshot(request).now_or_never().unwrap().unwrap();
    let (head, body) = response.into_parts();
    let sent = body.collect().now_or_never().unwrap().unwrap().to_bytes();
    if head.status != StatusCode::PARTIAL_CONTENT {
        assert!(head.status == StatusCode::OK && sent == content || head.status == 416);
        return Vec::new();
    }
    let range = head.headers[CONTENT_RANGE].to_str().unwrap();
    let range = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap().0;
    let (first, last) = range.split_once('-').unwrap();
    let (first, last) = (first.parse().unwrap(), last.parse().unwrap());
    let [from, to] = [first, last].map(|place: u64| usize::try_from(place).unwrap());
    assert_eq!(sent, content[from..=to]);
    vec![(first, last)]
}

fn theirs(case: &Case) -> Parts {
    let parsed = http_range_header::parse_range_header(&case.value);
    let parts = parsed.and_then(|parsed| parsed.validate(case.length)).unwrap_or_default();
    parts.into_iter().map(|part| (*part.start(), *part.end())).collect()
}

fn case(input: &mut Input<'_>) -> Case {
    let length = input.pick(&[0, 1, 2, 9, 10, 300]);
    let mut value =
        input.pick(&["bytes=", "bytes=", "bytes=", "bytes=", "Bytes=", "items="]).to_owned();
    for place in 0..input.pick(&[1, 1, 1, 1, 2, 3]) {
        value += if place > 0 { input.pick(&[",", ", ", " , ", ",,"]) } else { "" };
        value += &match input.below(8) {
            0 | 1 => format!("{}-", number(input)),
            2 | 3 => format!("-{}", number(input)),
            4 => String::new(),
            _ => format!("{}-{}", number(input), number(input)),
        };
    }
    if input.one_in(4) {
        let place = input.below(value.len() + 1);
        let text = input.pick(&[" ", "\t", "-", ",", "+", "0", "=", "x", "."]);
        value.insert_str(place, text);
    }
    Case { value, length }
}

fn number(input: &mut Input<'_>) -> String {
    match input.below(12) {
        0 => "18446744073709551615".to_owned(),
        1 => "99999999999999999999".to_owned(),
        2 => "007".to_owned(),
        3 => "299".to_owned(),
        _ => input.below(12).to_string(),
    }
}
