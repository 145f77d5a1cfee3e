//! The evaluation of preconditions, against recorded answers of Go and nginx, and
//! against the functions of `headers` in the order of RFC 9110, section 13.2.2.

use std::{
    convert::Infallible,
    future::ready,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::FutureExt;
use headers::{ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince};
use http::{
    header::{
        HeaderName, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    },
    HeaderMap, Method, Request, Response,
};
use http_body_util::Full;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{
    ConditionalLayer, Decision, EntityTag, HttpDate, LastModified, Preconditions, Validators,
};

use crate::{input::Input, Comparison, Right, Row};

/// 304 or 412; none where the request proceeds.
type Answer = Option<u16>;

// ----- Go and nginx -----

/// A line of the table: what the fields are, and what a server answered.
#[derive(Debug)]
struct Fact {
    /// If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since, a letter
    /// each: see facts/record.go.
    fields: [char; 4],
    theirs: Answer,
}

type FactRow = Row<Fact, Answer>;

const NGINX: [FactRow; 4] = [
    Row {
        name: "If-Unmodified-Since that is no date",
        right: Right::Ours,
        because: "RFC 9110, 13.1.4: MUST ignore if it is not a valid HTTP-date",
        example: || nginx("---m"),
        explains: |fact, _, theirs| fact.fields[3] == 'm' && *theirs == Some(412),
    },
    Row {
        name: "If-Unmodified-Since beside If-Match",
        right: Right::Ours,
        because: "RFC 9110, 13.1.4: MUST ignore where there is If-Match",
        example: || nginx("c--<"),
        explains: |fact, _, theirs| {
            fact.fields[0] != '-' && fact.fields[3] != '-' && *theirs == Some(412)
        },
    },
    Row {
        name: "If-Modified-Since beside If-None-Match",
        right: Right::Ours,
        because: "RFC 9110, 13.1.3: MUST ignore where there is If-None-Match",
        example: || nginx("-c<-"),
        explains: |fact, _, _| fact.fields[1] != '-' && fact.fields[2] != '-',
    },
    Row {
        name: "If-Modified-Since with a later date",
        right: Right::Either,
        because: "RFC 9110, 13.1.3: a server may honor exact matches alone, as nginx does",
        example: || nginx("-->-"),
        explains: |fact, ours, theirs| {
            fact.fields[2] == '>' && *ours == Some(304) && theirs.is_none()
        },
    },
];

#[test]
fn preconditions_go() {
    Comparison { peer: "Go 1.19, net/http", rows: &[], ours: of_fact, theirs: recorded }
        .run_all(facts(1));
}

#[test]
fn preconditions_nginx() {
    Comparison { peer: "nginx 1.22", rows: &NGINX, ours: of_fact, theirs: recorded }
        .run_all(facts(2));
}

fn recorded(fact: &Fact) -> Answer {
    fact.theirs
}

/// Finds what nginx answered.
fn nginx(fields: &str) -> Fact {
    facts(2).find(|fact| fields.chars().eq(fact.fields)).unwrap()
}

fn fact(fields: &str, theirs: Answer) -> Fact {
    let mut letters = fields.chars();
    Fact { fields: [(); 4].map(|()| letters.next().unwrap()), theirs }
}

fn facts(column: usize) -> impl Iterator<Item = Fact> {
    let lines = FACTS.lines().skip(1).take_while(|line| !line.starts_with('#'));
    lines.map(move |line| {
        let cells: Vec<_> = line.split('\t').collect();
        fact(cells[0], of_status(cells[column].parse().unwrap()))
    })
}

fn of_status(status: u16) -> Answer {
    (status != 200).then_some(status)
}

fn of_fact(fact: &Fact) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, letter) in FIELDS.into_iter().zip(fact.fields) {
        let value = if DATE_FIELDS.contains(&name) { date_of(letter) } else { tag_of(letter) };
        headers.extend(value.map(|value| (name, value.parse().unwrap())));
    }
    let current = Validators::from("\"current\"".parse::<EntityTag>().unwrap());
    let current = current.last_modified(LastModified::Given(day(0)));
    of_decision(&Method::GET, Preconditions::new(&Method::GET, &headers).evaluate(current))
}

fn of_decision(method: &Method, decision: Decision) -> Answer {
    match decision {
        Decision::Proceed => None,
        Decision::NotModified => Some(304),
        Decision::PreconditionFailed => Some(412),
        other => panic!("{method}: {other:?}"),
    }
}

/// Returns the value for a letter of a tag; see facts/record.go.
fn tag_of(letter: char) -> Option<String> {
    let text = match letter {
        '-' => return None,
        'c' => "\"current\"",
        'w' => "W/\"current\"",
        'o' => "\"other\"",
        'l' => "\"other\", W/\"x\", \"current\"",
        '*' => "*",
        'm' => "\"other",
        _ => panic!("{letter}"),
    };
    Some(text.to_owned())
}

/// Returns the value for a letter of a date; see facts/record.go.
fn date_of(letter: char) -> Option<String> {
    match letter {
        '-' => None,
        '=' => Some(day(0).to_string()),
        '<' => Some(day(-1).to_string()),
        '>' => Some(day(1).to_string()),
        'm' => Some("yesterday".to_owned()),
        _ => panic!("{letter}"),
    }
}

fn day(number: i64) -> HttpDate {
    HttpDate::from_unix_seconds(784_111_777 + number * 86_400).unwrap()
}

// ----- Ranges with If-Range -----

/// A line of the second table.
#[derive(Debug)]
struct RangeFact {
    if_range: &'static str,
    range: &'static str,
    theirs: u16,
}

type RangeRow = Row<RangeFact, u16>;

const RANGES: [RangeRow; 2] = [
    Row {
        name: "a range that is none",
        right: Right::Ours,
        because: "RFC 9110, 14.2: a server ignores Range with an invalid ranges-specifier",
        example: || RangeFact { if_range: "-", range: "bytes=x", theirs: 416 },
        explains: |fact, ours, theirs| {
            ["bytes=3-1", "bytes=x"].contains(&fact.range) && (*ours, *theirs) == (200, 416)
        },
    },
    Row {
        name: "an unknown unit",
        right: Right::Ours,
        because: "RFC 9110, 14.2: MUST ignore Range with a range unit that it does not know",
        example: || RangeFact { if_range: "-", range: "items=0-3", theirs: 416 },
        explains: |fact, ours, theirs| {
            fact.range.starts_with("items") && (*ours, *theirs) == (200, 416)
        },
    },
];

#[test]
fn if_range_go_and_nginx() {
    let theirs = |fact: &RangeFact| fact.theirs;
    for (peer, column) in [("Go 1.19, If-Range", 1), ("nginx 1.22, If-Range", 2)] {
        let lines = FACTS.lines().skip_while(|line| !line.starts_with("# if-range")).skip(1);
        let facts = lines.map(|line| {
            let cells: Vec<_> = line.split('\t').collect();
            let (if_range, range) = cells[0].split_once(' ').unwrap();
            RangeFact { if_range, range, theirs: cells[column].parse().unwrap() }
        });
        let rows = if peer.starts_with("Go") { &RANGES[..] } else { &RANGES[..1] };
        Comparison { peer, rows, ours: of_range, theirs }.run_all(facts);
    }
}

fn of_range(fact: &RangeFact) -> u16 {
    let mut letters = fact.if_range.chars();
    let if_range = match letters.next() {
        Some('d') => date_of(letters.next().unwrap()),
        letter => tag_of(letter.unwrap()),
    };
    let inner = service_fn(|_: Request<()>| {
        let response = Response::builder().header(ETAG, "\"current\"");
        let response = response.header(LAST_MODIFIED, day(0).to_string());
        ready(Ok::<_, Infallible>(
            response.body(Full::new(Bytes::from("the news of today"))).unwrap(),
        ))
    });
    let mut request = Request::get("/").header(RANGE, fact.range).body(()).unwrap();
    let lines = if_range.map(|value| (IF_RANGE, value.parse().unwrap()));
    request.headers_mut().extend(lines);
    let service = ConditionalLayer::new().ranges(true).layer(inner);
    service.oneshot(request).now_or_never().unwrap().unwrap().status().as_u16()
}

// ----- headers -----

#[derive(Debug)]
struct Case {
    method: Method,
    fields: Vec<(HeaderName, String)>,
    etag: Option<&'static str>,
    modified: Option<i64>,
}

impl Case {
    fn of(method: Method, name: HeaderName, value: &str) -> Self {
        let fields = vec![(name, value.to_owned())];
        Self { method, fields, etag: Some("\"current\""), modified: Some(0) }
    }

    fn headers(&self) -> HeaderMap {
        let line = |(name, value): &(HeaderName, String)| (name.clone(), value.parse().unwrap());
        self.fields.iter().map(line).collect()
    }

    fn has(&self, name: &HeaderName, claim: impl Fn(&str) -> bool) -> bool {
        self.fields.iter().any(|(own, value)| own == name && claim(value))
    }
}

type CaseRow = Row<Case, Answer>;

const HEADERS: [CaseRow; 1] = [Row {
    name: "a write with If-None-Match that is no list of tags",
    right: Right::Either,
    because: "RFC 9110, 13.1.2 says nothing of it; ours refuses what may have meant *",
    example: || Case::of(Method::PUT, IF_NONE_MATCH, "current"),
    explains: |case, ours, _| {
        case.method == Method::PUT
            && *ours == Some(412)
            && case.has(&IF_NONE_MATCH, |value| {
                value.split(", ").any(|member| member.parse::<EntityTag>().is_err())
            })
    },
}];

#[test]
fn preconditions_headers() {
    let (ours, theirs) = (of_case, of_headers);
    Comparison { peer: "headers, evaluated", rows: &HEADERS, ours, theirs }.run(case);
}

fn of_case(case: &Case) -> Answer {
    let mut current = Validators::new();
    current.etag = case.etag.map(|text| text.parse().unwrap());
    current.last_modified = case.modified.map(|number| LastModified::Given(day(number)));
    let preconditions = Preconditions::new(&case.method, &case.headers());
    of_decision(&case.method, preconditions.evaluate(current))
}

/// The functions of `headers`, in the order of section 13.2.2.
fn of_headers(case: &Case) -> Answer {
    let (headers, is_read) = (case.headers(), case.method != Method::PUT);
    let etag: Option<ETag> = case.etag.map(|text| text.parse().unwrap());
    let modified = case.modified.map(|number| time(day(number)));
    let passes = match headers.typed_get::<IfMatch>() {
        Some(list) => {
            list.is_any() || etag.as_ref().is_some_and(|tag| list.precondition_passes(tag))
        }
        None => headers
            .typed_get::<IfUnmodifiedSince>()
            .zip(modified)
            .is_none_or(|(date, modified)| date.precondition_passes(modified)),
    };
    if !passes {
        return Some(412);
    }
    let none_match = headers.typed_get::<IfNoneMatch>();
    let is_same = match none_match {
        Some(list) if list == IfNoneMatch::any() => true,
        Some(list) => etag.is_some_and(|tag| !list.precondition_passes(&tag)),
        None if is_read => headers
            .typed_get::<IfModifiedSince>()
            .zip(modified)
            .is_some_and(|(date, modified)| !date.is_modified(modified)),
        None => false,
    };
    is_same.then_some(if is_read { 304 } else { 412 })
}

fn time(date: HttpDate) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(date.unix_seconds().cast_unsigned())
}

fn case(input: &mut Input<'_>) -> Case {
    let mut fields = Vec::new();
    for name in FIELDS {
        if input.flag() {
            continue;
        }
        if DATE_FIELDS.contains(&name) {
            let number = i64::from(input.byte() % 5) - 2;
            let value =
                if input.one_in(8) { "yesterday".to_owned() } else { day(number).to_string() };
            fields.push((name, value));
            continue;
        }
        for _ in 0..input.pick(&[1, 1, 1, 2]) {
            let count = input.below(3);
            let mut members = (0..=count).map(|_| {
                input.pick(&["\"current\"", "W/\"current\"", "\"other\"", "other", "*", ""])
            });
            fields.push((name.clone(), members.by_ref().collect::<Vec<_>>().join(", ")));
        }
    }
    let etag = input.pick(&[Some("\"current\""), Some("\"current\""), Some("W/\"current\""), None]);
    let modified = input.pick(&[Some(0), Some(0), Some(1), None]);
    let method = input.pick(&[Method::GET, Method::HEAD, Method::PUT]);
    Case { method, fields, etag, modified }
}

const FIELDS: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

const DATE_FIELDS: [HeaderName; 2] = [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

const FACTS: &str = include_str!("facts/facts.tsv");
