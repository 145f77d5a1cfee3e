//! Tags and lists of tags, against `headers`.

use headers::{ETag, HeaderMapExt, IfMatch, IfNoneMatch};
use http::{
    header::{HeaderName, ETAG, IF_MATCH, IF_NONE_MATCH},
    HeaderMap, HeaderValue, Method,
};
use tower_conditional::{Decision, EntityTag, Preconditions, Validators};

use crate::{input::Input, Comparison, Right, Row};

/// The lines of a list, and the tag of the present content.
#[derive(Debug)]
pub(crate) struct Case {
    lines: Vec<Vec<u8>>,
    current: &'static str,
}

impl Case {
    fn of(line: &[u8]) -> Self {
        Self { lines: vec![line.to_vec()], current: "\"a\"" }
    }

    fn headers(&self, name: &HeaderName) -> HeaderMap {
        let lines = self.lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap());
        lines.map(|line| (name.clone(), line)).collect()
    }

    fn has(&self, claim: impl Fn(&[u8]) -> bool) -> bool {
        self.lines.iter().any(|line| claim(line))
    }

    fn is_any_with_space(&self) -> bool {
        matches!(&self.lines[..], [line] if line != b"*" && line.trim_ascii() == b"*")
    }

    /// Returns true if a quote is not where a tag begins or ends.
    fn has_stray_quote(&self) -> bool {
        self.has(|line| !members(line).is_some_and(|all| all.iter().all(|member| is_sound(member))))
    }
}

/// Whether the list names the tag in If-Match (strongly) and in If-None-Match (weakly).
type Answer = (bool, bool);

const LISTS: [Row<Case, Answer>; 4] = [
    Row {
        name: "white space around *",
        right: Right::Either,
        because: "RFC 9110, 5.5: a parser of HTTP takes it off before",
        example: || Case::of(b"* "),
        explains: |case, ours, theirs| {
            case.is_any_with_space() && *ours == (true, true) && *theirs == (false, false)
        },
    },
    Row {
        name: "a line with obs-text: all of the list is lost",
        right: Right::Ours,
        because: "RFC 9110, 8.8.3: etagc has obs-text",
        example: || Case::of(b"\"\xFC\", \"a\""),
        explains: |case, _, theirs| case.has(|line| !line.is_ascii()) && *theirs == (false, false),
    },
    Row {
        name: "a stray quote hides the members that follow",
        right: Right::Either,
        because: "RFC 9110 does not say how a list that is none is read",
        example: || Case::of(b"\"b, \"a\""),
        explains: |case, ours, theirs| case.has_stray_quote() && ours > theirs,
    },
    Row {
        name: "a tag with a coding behind it",
        right: Right::Either,
        because: "RFC 9110, 8.8.3.3: a tag of ours names the coding, and stands for one state",
        example: || Case::of(b"\"a~gzip\""),
        explains: |case, ours, theirs| case.has(|line| line.contains(&b'~')) && ours > theirs,
    },
];

#[test]
fn entity_tag_lists_headers() {
    Comparison { peer: "headers, lists", rows: &LISTS, ours, theirs }.run(|input| Case {
        lines: lines(input),
        current: input.pick(&["\"a\"", "\"a\"", "W/\"a\"", "\"a,b\"", "\"\"", "W/\"\"", "\"z\""]),
    });
}

const TAGS: [Row<Vec<u8>, Option<Vec<u8>>>; 2] = [
    Row {
        name: "a tag with white space in it",
        right: Right::Ours,
        because: "RFC 9110, 8.8.3: etagc has no SP and no HTAB; a debug build of headers panics",
        example: || b"\"a b\"".to_vec(),
        explains: |text, ours, _| text.iter().any(|byte| b" \t".contains(byte)) && ours.is_none(),
    },
    Row {
        name: "white space around a tag",
        right: Right::Either,
        because: "RFC 9110, 5.5: a parser of HTTP takes it off before",
        example: || b"\"a\" ".to_vec(),
        explains: |text, ours, theirs| {
            text.trim_ascii() != text && ours.is_some() && theirs.is_none()
        },
    },
];

#[test]
fn entity_tags_headers() {
    let ours = |text: &Vec<u8>| {
        let tag = EntityTag::try_from(&HeaderValue::from_bytes(text).unwrap()).ok()?;
        Some(tag.as_bytes().to_vec())
    };
    let theirs = |text: &Vec<u8>| {
        let value = HeaderValue::from_bytes(text).unwrap();
        let tag = HeaderMap::from_iter([(ETAG, value)]).typed_get::<ETag>()?;
        let headers = {
            let mut headers = HeaderMap::new();
            headers.typed_insert(tag);
            headers
        };
        Some(headers[ETAG].as_bytes().to_vec())
    };
    let rows = &TAGS;
    Comparison { peer: "headers, tags", rows, ours, theirs }.run(|input| {
        let mut tag = member(input);
        if input.one_in(4) {
            tag.push(input.pick(b"\" \x7E\xFF/W"));
        }
        tag
    });
}

fn ours(case: &Case) -> Answer {
    let current = Validators::from(case.current.parse::<EntityTag>().unwrap());
    let decide =
        |name| Preconditions::new(&Method::GET, &case.headers(&name)).evaluate(current.clone());
    (decide(IF_MATCH) == Decision::Proceed, decide(IF_NONE_MATCH) == Decision::NotModified)
}

fn theirs(case: &Case) -> Answer {
    let current: ETag = case.current.parse().unwrap();
    let if_match = case.headers(&IF_MATCH).typed_get::<IfMatch>();
    let if_none_match = case.headers(&IF_NONE_MATCH).typed_get::<IfNoneMatch>();
    (
        if_match.is_some_and(|list| list.precondition_passes(&current)),
        if_none_match.is_some_and(|list| !list.precondition_passes(&current)),
    )
}

fn lines(input: &mut Input<'_>) -> Vec<Vec<u8>> {
    (0..=input.below(3)).map(|_| line(input)).collect()
}

fn line(input: &mut Input<'_>) -> Vec<u8> {
    if input.one_in(16) {
        return input.pick(&[&b"*"[..], b" *", b"", b",", b"*, \"a\"", b"**"]).to_vec();
    }
    let mut line = Vec::new();
    for place in 0..=input.below(4) {
        if place > 0 {
            line.extend(input.pick(&[", ", ",", " ,\t", ",,", " , , ", " "]).bytes());
        }
        line.extend(member(input));
    }
    if input.one_in(8) {
        let place = input.below(line.len().max(1));
        line.insert(place, input.pick(b"\",W/* a\xFC"));
    }
    line
}

/// A member of a list, or something near to one.
fn member(input: &mut Input<'_>) -> Vec<u8> {
    let opaque = input.pick(&[
        &b"a"[..],
        b"a",
        b"b",
        b"",
        b"a,b",
        b"a, b",
        b"\xFC",
        b"a~gzip",
        b"W/a",
        b"~",
        b"0123456789abcdef",
    ]);
    let (before, after) = input.pick(&[
        ("\"", "\""),
        ("\"", "\""),
        ("\"", "\""),
        ("W/\"", "\""),
        ("W/\"", "\""),
        ("w/\"", "\""),
        ("", ""),
        ("W/", ""),
        ("'", "'"),
        ("\"", ""),
    ]);
    [before.as_bytes(), opaque, after.as_bytes()].concat()
}

/// Splits a line at commas outside of quotes; `None` if a quote is left open.
fn members(line: &[u8]) -> Option<Vec<&[u8]>> {
    let mut is_quoted = false;
    let members = line.split(|&byte| {
        is_quoted ^= byte == b'"';
        byte == b',' && !is_quoted
    });
    let members = members.map(<[u8]>::trim_ascii).collect();
    (line.iter().filter(|&&byte| byte == b'"').count() % 2 == 0).then_some(members)
}

/// Returns true if a member has no quotes, or is a tag.
fn is_sound(member: &[u8]) -> bool {
    let quoted = member.strip_prefix(b"W/").unwrap_or(member);
    let inside = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    !inside.unwrap_or(member).contains(&b'"')
}
