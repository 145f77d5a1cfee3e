//! What is known about the resource before the checks are made.

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    header::{CONTENT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH},
    HeaderName, HeaderValue, Request, StatusCode, Uri,
};
use tower_conditional::{EntityTag, HttpDate};

use crate::answer::Answer;

/// The answers to plain requests, and the user's settings.
pub(crate) struct Baseline {
    /// The answer to a GET without preconditions.
    pub(crate) plain: Answer,
    /// The first answer that was encoded, and the `Accept-Encoding` of its request; or
    /// why there is none.
    pub(crate) encoded: Result<(HeaderValue, Answer), Why>,
    /// An answer that is an error, and its URI.
    pub(crate) error: Option<(Uri, Answer)>,
    pub(crate) encodings: Vec<HeaderValue>,
    pub(crate) query: Option<Request<Bytes>>,
    pub(crate) write: Option<Request<Bytes>>,
    /// Whether the resource had the content of the write before the first check of
    /// writes.
    pub(crate) was_written: Option<bool>,
    pub(crate) can_change: bool,
    pub(crate) can_restore: bool,
}

/// Why a check is not applicable.
pub(crate) type Why = Cow<'static, str>;

impl Baseline {
    pub(crate) fn tag(&self) -> Result<EntityTag, Why> {
        self.plain.tag().ok_or("there is no valid entity tag".into())
    }

    pub(crate) fn strong_tag(&self) -> Result<EntityTag, Why> {
        let tag = self.tag()?;
        if tag.is_weak() {
            return Err("the entity tag is weak".into());
        }
        Ok(tag)
    }

    /// Returns a tag that the resource does not have.
    pub(crate) fn another_tag(&self) -> HeaderValue {
        let [first, second] = ["\"another\"", "\"yet-another\""].map(HeaderValue::from_static);
        if self.is_another(&first) {
            first
        } else {
            second
        }
    }

    /// Returns true unless this is the tag of the resource, strong or weak.
    pub(crate) fn is_another(&self, tag: &HeaderValue) -> bool {
        match (self.plain.tag(), EntityTag::try_from(tag)) {
            (Some(current), Ok(tag)) => !tag.weak_eq(&current),
            _ => true,
        }
    }

    pub(crate) fn date(&self) -> Result<HttpDate, Why> {
        self.plain.last_modified().ok_or("there is no valid Last-Modified".into())
    }

    /// Returns a conditional field for which the answer to a GET should be 304.
    pub(crate) fn revalidation(&self) -> Result<(HeaderName, HeaderValue), Why> {
        match (self.tag(), self.date()) {
            (Ok(tag), _) => Ok((IF_NONE_MATCH, tag.into())),
            (Err(_), Ok(date)) => Ok((IF_MODIFIED_SINCE, date.into())),
            (Err(_), Err(_)) => Err("there is no valid validator".into()),
        }
    }

    pub(crate) fn encoded(&self) -> Result<&(HeaderValue, Answer), Why> {
        self.encoded.as_ref().map_err(Why::clone)
    }

    pub(crate) fn query(&self) -> Result<&Request<Bytes>, Why> {
        self.query.as_ref().ok_or("no query was given (`Check::queries`)".into())
    }

    pub(crate) fn write(&self) -> Result<&Request<Bytes>, Why> {
        self.write.as_ref().ok_or("no write was given (`Check::writes`)".into())
    }

    /// Sets `was_written` before the first check of writes. Later calls do nothing,
    /// because a check may have run the write since.
    pub(crate) fn look_for_write(&mut self) {
        let content = self.write.as_ref().map(|write| &**write.body());
        let is_written = content.is_some() && content == self.plain.bytes();
        self.was_written.get_or_insert(is_written);
    }
}

/// Returns true if the content of an answer is encoded.
pub(crate) fn is_encoded(answer: &Answer) -> bool {
    answer.status() == StatusCode::OK
        && answer
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Returns why no answer to these values of `Accept-Encoding` was encoded.
pub(crate) fn no_encoding(plain: &Answer, asked: &[HeaderValue]) -> Why {
    match plain.length() {
        _ if asked.is_empty() => "no encoding is asked for (`Check::encodings`)".into(),
        Some(length @ 1..SURELY_ENCODED) if !is_encoded(plain) => Cow::Owned(format!(
            "no encoding is offered; the content of {length} bytes may be too short for a \
             compression layer"
        )),
        _ => "no encoding is offered".into(),
    }
}

/// Content of so many bytes is seldom too short. By default, compression layers leave
/// content alone that is shorter than 20 bytes to 1 KiB.
const SURELY_ENCODED: u64 = 1024;

/// Returns the date that is `seconds` after `date`.
pub(crate) fn seconds_after(date: HttpDate, seconds: i64) -> HttpDate {
    HttpDate::from_unix_seconds(date.unix_seconds().saturating_add(seconds)).unwrap_or(date)
}
