//! What is known of the resource before it is checked.

use bytes::Bytes;
use http::{
    header::{CONTENT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH},
    HeaderName, HeaderValue, Request, StatusCode, Uri,
};

use super::{answer::Answer, checks::Rule};
use crate::rules::{EntityTag, HttpDate};

/// The answers to plain requests, and what the user told.
pub(super) struct Facts {
    /// The answer to a GET without preconditions.
    pub(super) plain: Answer,
    /// The first answer that was encoded, and the `Accept-Encoding` that brought it.
    pub(super) encoded: Option<(HeaderValue, Answer)>,
    /// An error, and where it is.
    pub(super) error: Option<(Uri, Answer)>,
    pub(super) encodings: Vec<HeaderValue>,
    pub(super) write: Option<Request<Bytes>>,
    pub(super) can_change: bool,
}

/// Why a check is not applicable.
pub(super) type Why = &'static str;

impl Facts {
    pub(super) fn tag(&self) -> Result<EntityTag, Why> {
        self.plain.tag().ok_or("there is no valid entity tag")
    }

    pub(super) fn strong_tag(&self) -> Result<EntityTag, Why> {
        self.tag()
            .and_then(|tag| if tag.is_weak() { Err("the entity tag is weak") } else { Ok(tag) })
    }

    pub(super) fn date(&self) -> Result<HttpDate, Why> {
        self.plain.last_modified().ok_or("there is no valid Last-Modified")
    }

    /// Returns a field that should be answered by 304.
    pub(super) fn revalidation(&self) -> Result<(HeaderName, HeaderValue), Why> {
        match (self.tag(), self.date()) {
            (Ok(tag), _) => Ok((IF_NONE_MATCH, tag.into())),
            (Err(_), Ok(date)) => Ok((IF_MODIFIED_SINCE, date.into())),
            (Err(_), Err(_)) => Err("there is no valid validator"),
        }
    }

    pub(super) fn encoded(&self) -> Result<&(HeaderValue, Answer), Why> {
        self.encoded.as_ref().ok_or("no encoding is offered")
    }

    pub(super) fn write(&self) -> Result<&Request<Bytes>, Why> {
        self.write.as_ref().ok_or("no write was given (`Check::writes`)")
    }

    /// Returns what the user did not tell, and the check wants to know.
    pub(super) fn lacks(&self, rule: &Rule) -> Option<Why> {
        if rule.is_named("change") && !self.can_change {
            return Some("it was not said how to change the resource (`Check::changes`)");
        }
        if rule.is_named("write") {
            return self.write().err();
        }
        None
    }
}

/// Returns true if an answer has its content in a coding of its own.
pub(super) fn is_encoded(answer: &Answer) -> bool {
    answer.status() == StatusCode::OK
        && answer
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Returns the date that lies so many seconds after another.
pub(super) fn seconds_after(date: HttpDate, seconds: i64) -> HttpDate {
    HttpDate::from_unix_seconds(date.unix_seconds().saturating_add(seconds)).unwrap_or(date)
}
