//! What a 304 changes in a stored head, against `http-cache-semantics`.

use std::{collections::BTreeSet, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_cache_semantics::{AfterResponse, CachePolicy};
use tower_conditional::{client::StoredHead, EntityTag, HttpDate};

use crate::{input::Input, Comparison, Right, Row};

/// The lines of the stored response and of the 304, and a field to look at.
#[derive(Debug)]
struct Case {
    stored: Vec<(&'static str, &'static str)>,
    answer: Vec<(&'static str, &'static str)>,
    field: &'static str,
}

impl Case {
    fn of(
        stored: &[(&'static str, &'static str)],
        answer: &[(&'static str, &'static str)],
    ) -> Self {
        let field = answer.last().map_or("etag", |(name, _)| name);
        Self { stored: stored.to_vec(), answer: answer.to_vec(), field }
    }

    fn stored(&self, name: &str) -> Vec<&'static str> {
        values(&self.stored, name)
    }

    fn answer(&self, name: &str) -> Vec<&'static str> {
        values(&self.answer, name)
    }

    /// Returns true if a validator is not of the form that it should have, or stands
    /// there twice.
    fn is_malformed(&self) -> bool {
        let is_tag = |text: &&str| text.parse::<EntityTag>().is_ok();
        [&self.stored, &self.answer].into_iter().any(|lines| {
            let (tags, dates) = (values(lines, "etag"), values(lines, "last-modified"));
            !tags.iter().all(is_tag)
                || !dates.iter().all(|text| date(text).is_some())
                || tags.len() > 1
                || dates.len() > 1
        })
    }

    /// Returns true if both have a date, and it is the same one.
    fn has_same_date(&self) -> bool {
        let [own, theirs] = [self.stored("last-modified"), self.answer("last-modified")]
            .map(|lines| lines.first().and_then(|text| date(text)));
        own.is_some() && own == theirs
    }
}

type Is = Row<Case, bool>;

const CONFIRMED: [Is; 4] = [
    Row {
        name: "a validator that is none, or two",
        right: Right::Ours,
        because: "RFC 9111, 4.3.4: what is compared is a validator; theirs compares text",
        example: || Case::of(&[("etag", "v1")], &[("etag", "v1")]),
        explains: |case, _, _| case.is_malformed(),
    },
    Row {
        name: "a 304 without validators",
        right: Right::Theirs,
        because: "RFC 9111, 4.3.4: only if the stored response has none; servers do so, and \
                  the question was about one response",
        example: || Case::of(&[("etag", "\"a\"")], &[("expires", "0")]),
        explains: |case, ours, _| {
            case.answer("etag").is_empty() && case.answer("last-modified").is_empty() && *ours
        },
    },
    Row {
        name: "one date in two forms",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: they are the same date",
        example: || Case::of(&[("last-modified", DATES[0])], &[("last-modified", DATES[1])]),
        explains: |case, ours, _| {
            case.has_same_date()
                && case.stored("last-modified") != case.answer("last-modified")
                && *ours
        },
    },
    Row {
        name: "a strong tag, the same date, and nothing stored but the date",
        right: Right::Either,
        because: "RFC 9111, 4.3.4: a strong validator that is the same; a date may be one",
        example: || {
            let date = ("last-modified", DATES[0]);
            Case::of(&[date], &[("etag", "\"a\""), date])
        },
        explains: |case, ours, _| case.stored("etag").is_empty() && case.has_same_date() && *ours,
    },
];

#[test]
fn merging_confirms_http_cache_semantics() {
    let ours = |case: &Case| our_head(case).is_some();
    let theirs = |case: &Case| their_head(case).is_some();
    let peer = "http-cache-semantics, confirmed";
    Comparison { peer, rows: &CONFIRMED, ours, theirs }.run(|input| Case {
        stored: lines(input),
        answer: lines(input),
        field: "etag",
    });
}

type Fields = Row<Case, Vec<String>>;

const FIELDS: [Fields; 8] = [
    Row {
        name: "a field that only the 304 has",
        right: Right::Ours,
        because: "RFC 9111, 3.2: a cache MUST add each field of the 304",
        example: || Case::of(&[TAG], &[TAG, ("expires", "0")]),
        explains: |case, ours, theirs| {
            case.stored(case.field).is_empty()
                && theirs.is_empty()
                && *ours == case.answer(case.field)
        },
    },
    Row {
        name: "a field of several lines",
        right: Right::Ours,
        because: "RFC 9110, 5.3: lines are a list, and all of them are the value",
        example: || {
            let lines = [TAG, ("vary", "a"), ("vary", "b")];
            Case::of(&lines, &[TAG, ("vary", "a"), ("vary", "b")])
        },
        explains: |case, _, theirs| {
            theirs.len() == 1
                && (case.stored(case.field).len() > 1 || case.answer(case.field).len() > 1)
        },
    },
    Row {
        name: "how strong the stored tag is",
        right: Right::Either,
        because: "RFC 9111, 3.2: it is about the content, which stays; theirs follows the letter",
        example: || Case::of(&[("etag", "W/\"a\"")], &[TAG]),
        explains: |case, ours, _| case.field == "etag" && *ours == case.stored("etag"),
    },
    Row {
        name: "the type of the stored content, and digests of it",
        right: Right::Either,
        because: "RFC 9111, 3.2: MAY be left as they are, for the integrity of what is stored",
        example: || Case::of(&[TAG, ("content-type", "a/a")], &[TAG, ("content-type", "a/b")]),
        explains: |case, ours, _| {
            ["content-type", "content-digest", "content-md5"].contains(&case.field)
                && *ours == case.stored(case.field)
        },
    },
    Row {
        name: "the stored names in Vary",
        right: Right::Either,
        because: "ours adds names and takes none away: with fewer, other variants would match",
        example: || Case::of(&[TAG, ("vary", "a")], &[TAG, ("vary", "b")]),
        explains: |case, ours, _| {
            let names = |lines: &[&str]| -> BTreeSet<String> {
                let lines = lines.iter().flat_map(|line| line.split(','));
                lines
                    .map(|name| name.trim().to_lowercase())
                    .filter(|name| !name.is_empty())
                    .collect()
            };
            let ours: Vec<_> = ours.iter().map(String::as_str).collect();
            let both = [case.stored("vary"), case.answer("vary")].concat();
            case.field == "vary" && names(&ours) == names(&both)
        },
    },
    Row {
        name: "a cookie of the stored response",
        right: Right::Either,
        because: "ours is not a cache: a cookie that is given out again undoes what came since",
        example: || Case { field: "set-cookie", ..Case::of(&[TAG, ("set-cookie", "a=1")], &[TAG]) },
        explains: |case, ours, theirs| {
            case.field == "set-cookie" && ours.is_empty() && !theirs.is_empty()
        },
    },
    Row {
        name: "a field that Connection names in one of the two",
        right: Right::Ours,
        because: "RFC 9111, 3.1: it is about the connection, and is not stored",
        example: || {
            let answer = [TAG, ("connection", "x-hop"), ("x-hop", "2")];
            Case::of(&[TAG, ("x-hop", "1")], &answer)
        },
        explains: |case, _, _| {
            case.field == "x-hop"
                && !(case.stored("connection").is_empty() && case.answer("connection").is_empty())
        },
    },
    Row {
        name: "what a 304 has of the fields of connections",
        right: Right::Ours,
        because: "RFC 9111, 3.1: excepted from storage",
        example: || {
            let lines = [TAG, ("proxy-authentication-info", "a")];
            Case::of(&lines, &lines)
        },
        explains: |case, ours, _| case.field == "proxy-authentication-info" && ours.is_empty(),
    },
];

#[test]
fn merging_updates_http_cache_semantics() {
    let peer = "http-cache-semantics, fields";
    let ours = |case: &Case| of_field(case, our_head(case));
    let theirs = |case: &Case| of_field(case, their_head(case));
    Comparison { peer, rows: &FIELDS, ours, theirs }.run(|input| {
        let mut case = Case { stored: lines(input), answer: lines(input), field: "etag" };
        // Both take the 304 as one about this response.
        for lines in [&mut case.stored, &mut case.answer] {
            lines.retain(|(name, _)| !["etag", "last-modified"].contains(name));
        }
        case.stored.push(input.pick(&[TAG, ("etag", "W/\"a\"")]));
        case.answer.push(input.pick(&[TAG, ("etag", "W/\"a\"")]));
        let lines = if input.flag() { &case.stored } else { &case.answer };
        // These they compute anew.
        let names = lines.iter().filter(|(name, _)| *name != "connection");
        case.field = input.pick(&names.collect::<Vec<_>>()).0;
        case
    });
}

fn of_field(case: &Case, headers: Option<HeaderMap>) -> Vec<String> {
    let headers = headers.expect("a 304 with the same tag confirms");
    let lines = headers.get_all(case.field).iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}

fn our_head(case: &Case) -> Option<HeaderMap> {
    let mut head = StoredHead::new(&map(&case.stored));
    head.merge(&map(&case.answer)).then(|| head.headers().clone())
}

fn their_head(case: &Case) -> Option<HeaderMap> {
    let request = Request::get("/").body(()).unwrap();
    let response = |status: u16, lines| {
        let mut response = Response::builder().status(status).body(()).unwrap();
        *response.headers_mut() = map(lines);
        response
    };
    let policy = CachePolicy::new(&request, &response(200, &case.stored));
    let after = policy.after_response(&request, &response(304, &case.answer), SystemTime::now());
    match after {
        AfterResponse::NotModified(_, head) => Some(head.headers),
        AfterResponse::Modified(..) => None,
    }
}

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let name = |name| HeaderName::from_static(name);
    lines.iter().map(|line| (name(line.0), HeaderValue::from_static(line.1))).collect()
}

fn values(lines: &[(&'static str, &'static str)], name: &str) -> Vec<&'static str> {
    lines.iter().filter(|line| line.0 == name).map(|line| line.1).collect()
}

fn date(text: &str) -> Option<HttpDate> {
    HttpDate::parse(text, HttpDate::from_unix_seconds(1_577_836_799).unwrap())
}

fn lines(input: &mut Input<'_>) -> Vec<(&'static str, &'static str)> {
    let mut lines = Vec::new();
    for (name, values) in CHOICES {
        for _ in 0..input.pick(&[0, 0, 1, 1, 1, 2]) {
            lines.push((name, input.pick(values)));
        }
    }
    // Two of them are an error, and seldom.
    for name in ["etag", "last-modified"] {
        let mut is_more = false;
        let keeps_more = input.one_in(16);
        lines.retain(|line| line.0 != name || keeps_more || !std::mem::replace(&mut is_more, true));
    }
    lines
}

const TAG: (&str, &str) = ("etag", "\"a\"");

const DATES: [&str; 3] = [
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Mon, 07 Nov 1994 08:49:37 GMT",
];

/// `Date`, `Age` and `Warning` are left out: theirs computes them anew.
const CHOICES: [(&str, &[&str]); 14] = [
    ("etag", &["\"a\"", "\"a\"", "W/\"a\"", "\"b\"", "W/\"b\"", "a", "\"a"]),
    ("last-modified", &[DATES[0], DATES[0], DATES[1], DATES[2], "yesterday"]),
    ("cache-control", &["max-age=60", "no-cache"]),
    ("expires", &["0", DATES[2]]),
    ("vary", &["a", "b", "a, b"]),
    ("content-length", &["5", "7"]),
    ("content-encoding", &["gzip", "br"]),
    ("content-type", &["a/a", "a/b"]),
    ("content-digest", &["sha-256=:AA==:"]),
    ("set-cookie", &["a=1", "b=2"]),
    ("connection", &["close", "x-hop", "keep-alive, x-hop"]),
    ("x-hop", &["1", "2"]),
    ("x-other", &["1", "2"]),
    ("proxy-authentication-info", &["a", "b"]),
];
