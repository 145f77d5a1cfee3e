//! The requests of a check, and the expected answers.

use bytes::Bytes;
use http::{
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE},
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
};

use crate::{answer::Answer, baseline::Baseline, fields::single_line};

/// One request of a check.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) method: Method,
    /// The target, if it is not the resource that is checked.
    pub(crate) uri: Option<Uri>,
    pub(crate) fields: HeaderMap,
    pub(crate) content: Bytes,
    /// The change that is made to the resource before this request.
    pub(crate) after: Option<Alteration>,
    /// A field of this request whose value is copied from the last answer.
    pub(crate) echo: Option<Echo>,
    pub(crate) expect: Expect,
}

/// A field of the request (`name`), and the field of the last answer from which its
/// value is copied (`of`).
#[derive(Clone)]
pub(crate) struct Echo {
    name: HeaderName,
    of: HeaderName,
}

/// The changes that the user can make to the resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alteration {
    /// The resource gets other content.
    Change,
    /// The resource gets older content again, with the date of that content.
    Restore,
}

/// Checks an answer. The arguments are the baseline, the earlier answers of this check,
/// and the answer.
pub(crate) type Expect = fn(&Baseline, &[Answer], &Answer) -> Result<(), Fault>;

/// Why a check did not pass.
pub(crate) enum Fault {
    /// The answer is wrong. The text says which answer was expected.
    Wrong(String),
    /// There is nothing to check. The text says why.
    Moot(String),
}

impl Step {
    pub(crate) fn get(expect: Expect) -> Self {
        Self {
            method: Method::GET,
            uri: None,
            fields: HeaderMap::new(),
            content: Bytes::new(),
            after: None,
            echo: None,
            expect,
        }
    }

    pub(crate) fn head(expect: Expect) -> Self {
        Self { method: Method::HEAD, ..Self::get(expect) }
    }

    /// Makes a step that sends a given request.
    pub(crate) fn given(request: &Request<Bytes>, expect: Expect) -> Self {
        Self {
            method: request.method().clone(),
            uri: Some(request.uri().clone()),
            fields: request.headers().clone(),
            content: request.body().clone(),
            ..Self::get(expect)
        }
    }

    pub(crate) fn at(self, uri: &Uri) -> Self {
        Self { uri: Some(uri.clone()), ..self }
    }

    pub(crate) fn after_change(self) -> Self {
        Self { after: Some(Alteration::Change), ..self }
    }

    pub(crate) fn after_restore(self) -> Self {
        Self { after: Some(Alteration::Restore), ..self }
    }

    /// Sends the field `name` with the value that the field `of` has in the
    /// last answer.
    pub(crate) fn echoing(self, name: HeaderName, of: HeaderName) -> Self {
        Self { echo: Some(Echo { name, of }), ..self }
    }

    /// Returns the step with the field that is copied from the last answer.
    pub(crate) fn filled(&self, before: &[Answer]) -> Result<Self, Fault> {
        let mut step = self.clone();
        let Some(Echo { name, of }) = step.echo.take() else { return Ok(step) };
        let value = before.last().and_then(|answer| single_line(answer.headers(), &of));
        match value {
            Some(value) => Ok(step.with(name, value.clone())),
            None => moot(format!("the answer has no {of}")),
        }
    }

    /// Adds a field line.
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.fields.append(name, value.into());
        self
    }
}

/// Returns the method QUERY (RFC 10008).
pub(crate) fn query_method() -> Method {
    Method::from_bytes(b"QUERY").expect("a token")
}

/// Joins parts to a field value. The parts must not contain control characters.
pub(crate) fn value(parts: &[&[u8]]) -> HeaderValue {
    HeaderValue::from_bytes(&parts.concat()).expect("no control characters")
}

// ----- What may be expected -----

pub(crate) fn wrong<T>(wanted: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Wrong(wanted.into()))
}

pub(crate) fn moot<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Moot(why.into()))
}

pub(crate) fn want(claim: bool, wanted: &str) -> Result<(), Fault> {
    if claim {
        Ok(())
    } else {
        wrong(wanted)
    }
}

pub(crate) fn anything(_: &Baseline, _: &[Answer], _: &Answer) -> Result<(), Fault> {
    Ok(())
}

pub(crate) fn not_modified(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::NOT_MODIFIED, "304 (Not Modified)")
}

/// Expects the answer that a request without preconditions gets.
pub(crate) fn whole(baseline: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::OK, "200 (OK), as without preconditions")?;
    let lacks_content = seen.length() == Some(0) && baseline.plain.length() != Some(0);
    want(!lacks_content, "200 (OK) with the content")
}

/// Expects a 304, or the answer that a request without preconditions gets.
pub(crate) fn not_modified_or_whole(
    baseline: &Baseline,
    seen: &[Answer],
    last: &Answer,
) -> Result<(), Fault> {
    if last.status() == StatusCode::NOT_MODIFIED {
        return Ok(());
    }
    if last.status() != StatusCode::OK {
        return wrong("304 (Not Modified), or 200 (OK) with the content");
    }
    whole(baseline, seen, last)
}

/// Expects a 412, or the answer that a request without preconditions gets.
pub(crate) fn refused_or_whole(
    baseline: &Baseline,
    seen: &[Answer],
    last: &Answer,
) -> Result<(), Fault> {
    if last.status() == StatusCode::PRECONDITION_FAILED {
        return Ok(());
    }
    if last.status() != StatusCode::OK {
        return wrong("412 (Precondition Failed), or 200 (OK) with the content");
    }
    whole(baseline, seen, last)
}

/// Expects the answer that a request without preconditions gets, or 400 (Bad Request).
pub(crate) fn whole_or_bad_request(
    baseline: &Baseline,
    seen: &[Answer],
    last: &Answer,
) -> Result<(), Fault> {
    if last.status() == StatusCode::BAD_REQUEST {
        return Ok(());
    }
    whole(baseline, seen, last)
}

pub(crate) fn refused(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::PRECONDITION_FAILED, "412 (Precondition Failed)")
}

pub(crate) fn refused_or_bad_request(
    _: &Baseline,
    _: &[Answer],
    seen: &Answer,
) -> Result<(), Fault> {
    let is_refused =
        matches!(seen.status(), StatusCode::PRECONDITION_FAILED | StatusCode::BAD_REQUEST);
    want(is_refused, "412 (Precondition Failed)")
}

/// Expects a 206. For any other answer there is nothing to check, because the service
/// does not support ranges.
pub(crate) fn part(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if seen.status() == StatusCode::PARTIAL_CONTENT {
        Ok(())
    } else {
        moot("no ranges are offered")
    }
}

// ----- How it is shown -----

/// Logs a request, line by line.
pub(crate) fn show_request(request: &Request<Bytes>, log: &mut Vec<String>) {
    log.push(format!("> {} {}", request.method(), request.uri()));
    show_fields('>', request.headers(), log);
    if !request.body().is_empty() {
        log.push(format!("> ({} bytes of content)", request.body().len()));
    }
}

/// Logs an answer, line by line.
pub(crate) fn show_answer(answer: &Answer, log: &mut Vec<String>) {
    log.push(format!("< {}", answer.status()));
    show_fields('<', answer.headers(), log);
    log.push(format!("< ({})", answer.content));
}

fn show_fields(side: char, fields: &HeaderMap, log: &mut Vec<String>) {
    for (name, value) in fields {
        // Values of these fields are not shown, because reports end up in
        // the logs of CI.
        let is_secret = value.is_sensitive()
            || [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE].contains(name);
        let shown = if is_secret { "(not shown)".to_owned() } else { legible(value.as_bytes()) };
        log.push(format!("{side} {name}: {shown}"));
    }
}

/// Returns bytes as text of at most [`MOST_SHOWN`] characters.
fn legible(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "..",
        None => text,
    }
}

/// How many characters of a field value are shown.
const MOST_SHOWN: usize = 120;
