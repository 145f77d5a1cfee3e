//! What is sent, and what is wanted in answer.

use bytes::Bytes;
use http::{
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE},
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
};

use crate::{answer::Answer, baseline::Baseline};

/// One request of a check.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) method: Method,
    /// Where it goes, if not to the resource that is checked.
    pub(crate) uri: Option<Uri>,
    pub(crate) fields: HeaderMap,
    pub(crate) content: Bytes,
    /// The resource is changed before it is sent.
    pub(crate) after_change: bool,
    pub(crate) expect: Expect,
}

/// Checks the last of the answers that were received so far.
pub(crate) type Expect = fn(&Baseline, &[Answer], &Answer) -> Result<(), Fault>;

/// Why a check did not pass.
pub(crate) enum Fault {
    /// Something else was wanted: this.
    Wrong(String),
    /// There is nothing to check, and this is why.
    Moot(String),
}

impl Step {
    pub(crate) fn get(expect: Expect) -> Self {
        let (method, fields) = (Method::GET, HeaderMap::new());
        Self { method, uri: None, fields, content: Bytes::new(), after_change: false, expect }
    }

    pub(crate) fn head(expect: Expect) -> Self {
        Self { method: Method::HEAD, ..Self::get(expect) }
    }

    /// Sends a given request.
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
        Self { after_change: true, ..self }
    }

    /// Adds a field line.
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.fields.append(name, value.into());
        self
    }
}

/// Writes a field value out of parts of which none has a control character.
pub(crate) fn value(parts: &[&[u8]]) -> HeaderValue {
    HeaderValue::from_bytes(&parts.concat()).expect("no control characters")
}

// ----- What may be wanted -----

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

/// The answer without preconditions.
pub(crate) fn whole(baseline: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    want(seen.status() == StatusCode::OK, "200 (OK), as without preconditions")?;
    let lacks_content = seen.length() == Some(0) && baseline.plain.length() != Some(0);
    want(!lacks_content, "200 (OK) with the content")
}

/// A 304, or the answer without preconditions.
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

/// A refusal, or the answer without preconditions.
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

/// The answer without preconditions, or one that says that they cannot be read.
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

/// A part of the content; without one, ranges are not offered, and there is nothing to
/// check.
pub(crate) fn part(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if seen.status() == StatusCode::PARTIAL_CONTENT {
        Ok(())
    } else {
        moot("no ranges are offered")
    }
}

// ----- How it is shown -----

/// Writes down what is sent, a line each.
pub(crate) fn show_request(request: &Request<Bytes>, log: &mut Vec<String>) {
    log.push(format!("> {} {}", request.method(), request.uri()));
    show_fields('>', request.headers(), log);
    if !request.body().is_empty() {
        log.push(format!("> ({} bytes of content)", request.body().len()));
    }
}

/// Writes down what was answered.
pub(crate) fn show_answer(answer: &Answer, log: &mut Vec<String>) {
    log.push(format!("< {}", answer.status()));
    show_fields('<', answer.headers(), log);
    log.push(format!("< ({})", answer.content));
}

fn show_fields(side: char, fields: &HeaderMap, log: &mut Vec<String>) {
    for (name, value) in fields {
        // Reports end up in the logs of CI.
        let is_secret = value.is_sensitive()
            || [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE].contains(name);
        let shown = if is_secret { "(not shown)".to_owned() } else { legible(value.as_bytes()) };
        log.push(format!("{side} {name}: {shown}"));
    }
}

/// Writes bytes as text, and cuts it off where it gets long.
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

/// Characters of a field value that are shown.
const MOST_SHOWN: usize = 120;
