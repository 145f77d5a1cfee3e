//! What the public cache-tests suite (<https://github.com/http-tests/cache-tests>, July
//! 2026: 370 tests in 26 groups) tells about revalidation, through `RevalidateLayer`.
//!
//! The suite asks for a private cache with freshness. Here the origin is always asked,
//! so what it expects from memory is due after a 304. Nine groups speak of storing,
//! asking and updating, and are rows below; where the layer differs, or a row does not
//! apply, the table says why. The other groups are counted in [`OTHER_GROUPS`].

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};
use tower_conditional::client::RevalidateLayer;

use super::{get, reply, Server};
use crate::support::harness::CC;

type Fields = Vec<(&'static str, &'static str)>;

const TAG: (&str, &str) = ("etag", "\"v1\"");
const DAY: &str = "Wed, 01 Jan 2020 00:00:00 GMT";
const MODIFIED: (&str, &str) = ("last-modified", DAY);
const DATE: (&str, &str) = ("date", "Wed, 01 Jan 2020 00:50:00 GMT");

/// A row of the table.
struct Row {
    name: String,
    steps: Vec<Step>,
    /// Why the layer does something else than the suite asks for or would like.
    differs: Option<&'static str>,
}

/// A request, and what is due.
struct Step {
    path: &'static str,
    request: Fields,
    answer: Fields,
    due: Due,
    fields: Vec<(&'static str, Option<&'static str>)>,
}

enum Due {
    /// The layer asks nothing, and gives the content of the answer.
    Whole,
    /// The layer asks, and a 304 makes it give the content of an earlier step.
    Confirmed(usize),
    /// The layer asks, and the answer is new.
    New,
    /// The layer asks, a 304 is about other content, and the layer asks for the whole.
    NotConfirmed,
    /// The question is the caller's, and so is the 304.
    Passed,
}

fn row(name: impl Into<String>, steps: impl Into<Vec<Step>>) -> Row {
    Row { name: name.into(), steps: steps.into(), differs: None }
}

impl Row {
    fn differs(self, why: &'static str) -> Self {
        Self { differs: Some(why), ..self }
    }
}

fn step(request: &[(&'static str, &'static str)], answer: &[(&'static str, &'static str)]) -> Step {
    let (request, answer) = (request.to_vec(), answer.to_vec());
    Step { path: "/flags", request, answer, due: Due::Whole, fields: Vec::new() }
}

impl Step {
    fn due(self, due: Due) -> Self {
        Self { due, ..self }
    }

    fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn has(mut self, name: &'static str, value: Option<&'static str>) -> Self {
        self.fields.push((name, value));
        self
    }

    fn request(&self) -> Request<Body> {
        let mut request = get(&self.request);
        *request.uri_mut() = format!("http://localhost{}", self.path).parse().unwrap();
        request
    }

    fn answers(&self, index: usize) -> Vec<Response<Body>> {
        let whole = || reply(200, &self.answer, content(index));
        let not_modified = || reply(304, &self.answer, "");
        match self.due {
            Due::Whole | Due::New => vec![whole()],
            Due::Confirmed(_) | Due::Passed => vec![not_modified()],
            Due::NotConfirmed => vec![not_modified(), whole()],
        }
    }
}

fn content(index: usize) -> String {
    format!("content of step {index}, in just 36 bytes.")
}

async fn check(row: &Row) {
    let answers = row.steps.iter().enumerate().flat_map(|(index, step)| step.answers(index));
    let server = Server::new(answers);
    let mut service = RevalidateLayer::new(1 << 20).layer(server.clone());
    for (index, step) in row.steps.iter().enumerate() {
        let name = format!("{}, step {index}", row.name);
        let response = service.ready().await.unwrap().call(step.request()).await.unwrap();
        for (field, value) in &step.fields {
            let field = response.headers().get(*field).map(|line| line.to_str().unwrap());
            assert_eq!(field, *value, "{name}");
        }
        let status = response.status().as_u16();
        let given = response.into_body().collect().await.unwrap().to_bytes();
        let sent = server.requests();
        let asks = ["if-none-match", "if-modified-since"]
            .iter()
            .any(|field| sent[0].headers().contains_key(*field));
        let (due, is_asked) = match step.due {
            Due::Whole => ((200, content(index)), false),
            Due::Confirmed(of) => ((200, content(of)), true),
            Due::New | Due::NotConfirmed => ((200, content(index)), true),
            Due::Passed => ((304, String::new()), true),
        };
        assert_eq!((status, &*given), (due.0, due.1.as_bytes()), "{name}");
        assert_eq!(asks, is_asked, "{name}");
        if matches!(step.due, Due::Passed) {
            assert_eq!(sent[0].headers(), step.request().headers(), "{name}");
        }
        for (field, value) in &step.request {
            let mut lines = sent[0].headers().get_all(*field).iter();
            assert!(lines.any(|line| line == value), "{name}");
        }
    }
    assert_eq!(server.left(), 0, "{}", row.name);
}

/// A field, its value on the 200 and on the 304.
struct Field(&'static str, &'static str, &'static str, Kept);

/// What becomes of a field.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    /// A 304 changes it.
    Updated,
    /// It stays as it came with the content.
    Old(Option<&'static str>),
    /// It is never kept.
    Never,
    /// It comes with its own message only.
    Once(&'static str),
    /// A response with it is not kept.
    Nothing(&'static str),
}

const OF_CONTENT: &str = "it describes the content, which a 304 does not bring";

const FIELDS: &[Field] = &[
    Field("test-header", "a", "b", Kept::Updated),
    Field("x-test-header", "a", "b", Kept::Updated),
    Field("content-foo", "a", "b", Kept::Updated),
    Field("x-content-foo", "a", "b", Kept::Updated),
    Field(CC, "max-age=1", "max-age=3600", Kept::Updated),
    Field("connection", "a", "b", Kept::Never),
    Field("content-encoding", "a", "b", Kept::Old(Some(OF_CONTENT))),
    Field("content-length", "36", "10", Kept::Old(None)),
    Field("content-location", "/a", "/b", Kept::Updated),
    Field("content-md5", "rL0Y20zC+Fzt72VPzMSk2A==", "N7UdGUp1E+RbVvZSTy1R8g==", {
        Kept::Old(Some(OF_CONTENT))
    }),
    Field("content-range", "a", "b", Kept::Nothing("a 200 with Content-Range contradicts itself")),
    Field("content-security-policy", "default-src a", "default-src b", Kept::Updated),
    Field("content-type", "text/plain", "text/plain;charset=utf-8", Kept::Old(Some(OF_CONTENT))),
    Field("clear-site-data", "cache", "cookies", Kept::Updated),
    Field("etag", "\"v1\"", "\"v2\"", Kept::Updated),
    Field("expires", "Fri, 01 Jan 2038 01:01:01 GMT", DAY, Kept::Updated),
    Field("keep-alive", "a", "b", Kept::Never),
    Field("proxy-authenticate", "a", "b", Kept::Never),
    Field("proxy-authentication-info", "a", "b", Kept::Never),
    Field("proxy-authorization", "a", "b", Kept::Never),
    Field("proxy-connection", "a", "b", Kept::Never),
    Field("public-key-pins", "a", "b", Kept::Updated),
    Field("set-cookie", "a=b", "a=c", Kept::Once("a cookie would undo what was set since")),
    Field("set-cookie2", "a=b", "a=c", Kept::Updated),
    Field("te", "a", "b", Kept::Never),
    Field("transfer-encoding", "a", "b", Kept::Never),
    Field("upgrade", "a", "b", Kept::Never),
    Field("x-frame-options", "deny", "sameorigin", Kept::Updated),
    Field("x-xss-protection", "1", "1; mode=block", Kept::Updated),
];

/// What a 304 changes in what is stored: 21 tests.
fn updates() -> Vec<Row> {
    let first = step(&[], &[MODIFIED, DATE, ("x-stored", "a")]);
    let then = step(&[], &[MODIFIED]).due(Due::Confirmed(0)).has("x-stored", Some("a"));
    let mut rows = vec![row("a field that the 304 does not have stays", [first, then])];
    rows.extend(FIELDS.iter().filter(|field| field.3 != Kept::Never).map(update));
    rows
}

fn update(&Field(name, old, new, kept): &Field) -> Row {
    let title = format!("{name} on a 304");
    if name == "etag" {
        let steps = [step(&[], &[TAG]), step(&[], &[(name, new)]).due(Due::NotConfirmed)];
        return row(title, steps).differs("with another tag, it is about other content");
    }
    let first = step(&[], &[TAG, (name, old)]);
    let again = |answer: &[_], value| step(&[], answer).due(Due::Confirmed(0)).has(name, value);
    match kept {
        Kept::Updated | Kept::Never => {
            row(title, [first, again(&[TAG, (name, new)], Some(new)), again(&[TAG], Some(new))])
        }
        Kept::Old(differs) => {
            let steps = [first, again(&[TAG, (name, new)], Some(old)), again(&[TAG], Some(old))];
            Row { differs, ..row(title, steps) }
        }
        Kept::Once(why) => {
            let steps = [first, again(&[TAG, (name, new)], Some(new)), again(&[TAG], None)];
            row(title, steps).differs(why)
        }
        Kept::Nothing(why) => row(title, [first, step(&[], &[TAG])]).differs(why),
    }
}

/// Which fields are stored: 30 tests.
fn storing() -> Vec<Row> {
    let hops =
        step(&[], &[TAG, ("connection", "x-a, x-b"), ("x-a", "1"), ("x-b", "2"), ("c", "3")]);
    let rest = step(&[], &[]).due(Due::Confirmed(0));
    let rest = rest.has("x-a", None).has("x-b", None).has("c", Some("3"));
    let mut rows = vec![row("Connection names what is not stored", [hops, rest])];
    rows.extend(FIELDS.iter().map(|&Field(name, value, _, kept)| {
        let title = format!("{name} is stored, or is not");
        let mut answer = vec![TAG, (name, value)];
        if name == "etag" {
            answer.pop();
        }
        let again = |value| step(&[], &[]).due(Due::Confirmed(0)).has(name, value);
        let first = step(&[], &answer);
        match kept {
            Kept::Updated | Kept::Old(_) => row(title, [first, again(Some(value))]),
            Kept::Never => row(title, [first, again(None)]),
            Kept::Once(why) => row(title, [first, again(None)]).differs(why),
            Kept::Nothing(why) => row(title, [first, step(&[], &[])]).differs(why),
        }
    }));
    rows
}

/// Questions by tag: 7 of 21 tests. The others are callers' own questions, which are to
/// be answered from memory while it is fresh.
fn questions_by_tag() -> Vec<Row> {
    let abc = ("abc", "123");
    let varies = || step(&[abc], &[TAG, ("vary", "Abc")]);
    let confirmed = |answer: &[_]| step(&[], answer).due(Due::Confirmed(0));
    let weak = ("etag", "W/\"v1\"");
    let passed = |tag| step(&[("if-none-match", tag)], &[TAG]).due(Due::Passed);
    vec![
        row("the question has the fields that Vary names", {
            [varies(), step(&[abc], &[TAG]).due(Due::Confirmed(0))]
        }),
        row("no question about another variant", [varies(), step(&[("abc", "456")], &[TAG])])
            .differs("the tags of variants may be the same, where a server is wrong"),
        row("a strong tag is asked about", [step(&[], &[TAG]), confirmed(&[TAG])]),
        row("a weak tag is asked about", [step(&[], &[weak]), confirmed(&[weak])]),
        row("a tag without quotes", [step(&[], &[("etag", "v1")]), step(&[], &[])])
            .differs("it is no tag, and nothing is made up from it"),
        row("a caller's question, with nothing stored", [passed("\"v1\"")]),
        row("a caller's question without quotes", [passed("v1")])
            .differs("a caller's question is not changed"),
    ]
}

/// Questions by date: 1 of 5 tests; the others as above.
fn questions_by_date() -> Vec<Row> {
    let own = step(&[("if-modified-since", DAY)], &[MODIFIED]).due(Due::Passed);
    vec![row("a caller's question about what is stored", [step(&[], &[MODIFIED, DATE]), own])]
}

/// The first request and its `Vary`, the second request, and whether it is asked about.
fn vary(
    name: &'static str,
    first: &[(&'static str, &'static str)],
    vary: &'static str,
    second: &[(&'static str, &'static str)],
    asks: bool,
) -> Row {
    let answer = [MODIFIED, DATE, ("vary", vary)];
    let due = if asks { Due::Confirmed(0) } else { Due::Whole };
    row(name, [step(first, &answer), step(second, &answer).due(due)])
}

const FOO: (&str, &str) = ("foo", "1");
const BAR: (&str, &str) = ("bar", "abc");
const BAZ: (&str, &str) = ("baz", "789");
const THREE: &str = "Foo, Bar, Baz";

/// Which variant is chosen: 20 tests.
fn variants() -> Vec<Row> {
    const OTHER: (&str, &str) = ("foo", "2");
    let varies = [MODIFIED, DATE, ("vary", "Foo")];
    let one = || step(&[FOO], &varies);
    let language = |name, second| {
        let second = ("accept-language", second);
        vary(name, &[("accept-language", "en, de")], "Accept-Language", &[second], false)
    };
    let literal = "fields are compared as they come: one content more, never a wrong one";
    let mut rows = vec![
        vary("the same", &[FOO], "Foo", &[FOO], true),
        vary("another value", &[FOO], "Foo", &[OTHER], false),
        vary("the stored one had none", &[], "Foo", &[FOO], false),
        vary("this one has none", &[FOO], "Foo", &[], false),
        row("two variants", {
            [one(), step(&[OTHER], &varies), step(&[FOO], &varies).due(Due::Confirmed(0))]
        }),
        vary("other fields do not count", &[FOO, BAR], "Foo", &[FOO, ("bar", "x")], true),
        vary("two, the same", &[FOO, BAR], "Foo, Bar", &[FOO, BAR], true),
        vary("two, one differs", &[FOO, BAR], "Foo, Bar", &[OTHER, BAR], false),
        vary("two, this one has none", &[FOO, BAR], "Foo, Bar", &[], false),
        vary("three, the same", &[FOO, BAR, BAZ], THREE, &[FOO, BAR, BAZ], true),
        vary("three, one differs", &[FOO, BAR, BAZ], THREE, &[OTHER, BAR, BAZ], false),
        vary(
            "three, in another order",
            &[FOO, BAR, BAZ],
            THREE,
            &[FOO, BAZ, ("bar", "abcde")],
            false,
        ),
        vary("three, both lack one", &[FOO, BAZ], THREE, &[FOO, BAZ], true),
        vary("any", &[FOO, BAZ], "*", &[FOO, BAZ], false),
    ];
    rows.extend(
        [
            vary("lines and a list", &[("foo", "1, 2")], "Foo", &[FOO, ("foo", "2")], false),
            language("languages in another order", "de, en"),
            language("languages in other letters", "eN, De"),
            language("languages with more spaces", "en ,   de"),
            language("a language that is preferred", "fr;q=0.5, de;q=1.0"),
            vary("other spaces", &[("foo", "1,2")], "Foo", &[("foo", "1, 2")], false),
        ]
        .map(|row| row.differs(literal)),
    );
    rows
}

/// How `Vary` is parsed: 7 tests.
fn vary_lines() -> Vec<Row> {
    let lines: [&[&str]; 7] =
        [&["*"], &["*, *"], &["*", "*"], &[", *"], &["", "*"], &["*, Foo"], &["Foo, *"]];
    lines
        .map(|lines| {
            let mut answer = vec![MODIFIED, DATE];
            answer.extend(lines.iter().map(|line| ("vary", *line)));
            let steps = [step(&[FOO, BAZ], &answer), step(&[FOO, BAZ], &answer)];
            row(format!("Vary: {lines:?}"), steps)
        })
        .into()
}

/// What the request says in `Cache-Control`: 9 of 12 tests. The others are about what
/// may be used without asking (`max-stale`, `only-if-cached`).
fn request_directives() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in
        ["max-age=0", "max-age=1", "max-age=600", "min-fresh=2000", "min-fresh=1000", "no-cache"]
    {
        let answer = [(CC, "max-age=100000"), DATE];
        rows.push(row(line, [step(&[], &answer), step(&[(CC, line)], &answer)]));
    }
    for validators in [&[MODIFIED, DATE][..], &[TAG]] {
        let again = step(&[(CC, "no-cache")], validators).due(Due::Confirmed(0));
        rows.push(row("no-cache asks", [step(&[], validators), again]));
    }
    let no_store = step(&[(CC, "no-store")], &[TAG]);
    rows.push(row("no-store", [step(&[], &[TAG]), no_store]));
    rows
}

/// What the response says in `Cache-Control`: 14 of 17 tests. The others are about
/// shared caches (`private`), and what may be used without asking.
fn response_directives() -> Vec<Row> {
    let once = |line| row(line, [step(&[], &[TAG, (CC, line)]), step(&[], &[TAG])]);
    let asks = |line| {
        let answer = [TAG, (CC, line)];
        row(line, [step(&[], &answer), step(&[], &answer).due(Due::Confirmed(0))])
    };
    let old_then_new = |line| {
        let old = step(&[], &[TAG, ("a", "1")]);
        let new = step(&[], &[("etag", "\"v2\""), (CC, line), ("a", "2")]).due(Due::New);
        let again = step(&[], &[TAG]).due(Due::Confirmed(0)).has("a", Some("1"));
        row(format!("{line} on a newer response"), [old, new, again])
    };
    let lists = "each use is confirmed first, which is what no-cache with a list asks for";
    vec![
        asks("private, max-age=3600"),
        once("no-store"),
        once("No-StOrE"),
        once("max-age=10000, no-store"),
        old_then_new("no-store"),
        old_then_new("no-store, max-age=0"),
        asks("max-age=10000, no-cache"),
        asks("max-age=10000, No-CaChE"),
        asks("no-cache"),
        asks("no-cache, max-age=10000"),
        asks("no-cache=\"a\"").differs(lists),
        asks("no-cache=\"a, b\"").differs(lists),
        asks("max-age=2, must-revalidate"),
        asks("max-age=2, immutable")
            .differs("the caller's Cache-Control stays; the suite asks for max-age=0 in it"),
    ]
}

/// Keys and cookies: 4 of 13 tests. The others are about `Age`, `Date` and freshness.
fn keys() -> Vec<Row> {
    let cookie = ("set-cookie", "a=b");
    vec![
        row("other queries are other keys", {
            [step(&[], &[TAG]).at("/flags?one"), step(&[], &[TAG]).at("/flags?two")]
        }),
        row("the same query is the same key", {
            let again = step(&[], &[TAG]).at("/flags?one").due(Due::Confirmed(0));
            [step(&[], &[TAG]).at("/flags?one"), again]
        }),
        row("Set-Cookie does not keep a response from being stored", {
            [step(&[], &[TAG, cookie]), step(&[], &[TAG]).due(Due::Confirmed(0))]
        }),
        row("a cookie of the request", [step(&[], &[TAG]), step(&[("cookie", "a=b")], &[TAG])])
            .differs("cookies tell users apart, so they are part of the key"),
    ]
}

/// The groups without rows, with how many tests they have.
const OTHER_GROUPS: &[(&str, usize, &str)] = &[
    (
        "lifetimes: Cache-Control, Age, Expires, heuristics, Pragma",
        24 + 15 + 15 + 8 + 16 + 27 + 5,
        { "nothing is used without asking, so there is no freshness to compute" },
    ),
    ("stale responses", 12, "nothing stale is ever given; an error is the caller's"),
    ("CDN-Cache-Control", 24, "it is for caches of content delivery networks"),
    ("status codes", 38, "only a 200 is kept"),
    ("methods", 1, "only GET is handled"),
    ("updates by HEAD", 5, "only GET is handled"),
    ("invalidation by writes", 16, "what is kept is asked about before each use"),
    ("partial content", 10, "requests with Range pass unchanged, and parts are not kept"),
    ("Authorization in shared caches", 4, "the layer is private, and has users apart"),
    ("interim responses", 4, "they are the HTTP client's matter"),
];

#[tokio::test]
async fn cache_suite_rows_hold_or_say_why_they_differ() {
    let groups = [
        ("updates", 21, updates()),
        ("storing", 30, storing()),
        ("questions by tag", 21, questions_by_tag()),
        ("questions by date", 5, questions_by_date()),
        ("variants", 20, variants()),
        ("lines of Vary", 7, vary_lines()),
        ("request directives", 12, request_directives()),
        ("response directives", 17, response_directives()),
        ("keys", 13, keys()),
    ];
    let (mut holds, mut differs, mut left) = (0, 0, 0);
    for (name, tests, rows) in &groups {
        assert!(rows.len() <= *tests, "{name}");
        let differing = rows.iter().filter(|row| row.differs.is_some()).count();
        for row in rows {
            check(row).await;
        }
        holds += rows.len() - differing;
        differs += differing;
        left += tests - rows.len();
    }
    let others: usize = OTHER_GROUPS.iter().map(|group| group.1).sum();
    assert_eq!((holds, differs, left + others), (92, 21, 257));
    assert_eq!(holds + differs + left + others, 370);
}

#[tokio::test]
async fn cache_suite_questions_of_callers_are_theirs() {
    const QUESTIONS: [&str; 7] = [
        "\"v1\"",
        "v1",
        "W/\"v1\"",
        "w/\"v1\"",
        "\"v1\", \"v2\", \"v3\"",
        "\"v2\", \"v1\", \"v3\"",
        "\"v2\", \"v3\", \"v1\"",
    ];
    for tag in ["\"v1\"", "v1", "W/\"v1\"", "w/\"v1\"", "W\\\"v1\"", "W\"v1\""] {
        for question in QUESTIONS {
            let stored = step(&[], &[("etag", tag)]);
            let own = [("if-none-match", question), ("if-modified-since", DAY)];
            for own in [&own[..1], &own] {
                let asked = step(own, &[("etag", tag)]).due(Due::Passed).has("etag", Some(tag));
                let stored = step(&[], &stored.answer);
                check(&row(format!("{tag}, {question}"), [stored, asked])).await;
            }
        }
    }
}
