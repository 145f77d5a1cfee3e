//! Validators that are known before the inner service runs, and how the layers of this crate tell each other of them.

use http::{
    header::{CACHE_CONTROL, ETAG, LAST_MODIFIED},
    HeaderMap, HeaderValue, StatusCode,
};

use super::{freshness, Freshness};
use crate::rules::{LastModified, Validators};

/// Validators that stand for the representation, whatever its content: in the extensions of a request for the layers
/// further in, in those of a response for the layers further out.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) validators: Validators,
    pub(crate) freshness: Freshness,
}

/// In the extensions of a request: somebody asks for the validators alone, to judge a write by them.
///
/// They come back as [`Known`], if there is a `ConditionalLayer` to know them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe;

impl Known {
    /// Gives a response the validators that it lacks, if it is one about the representation.
    pub(crate) fn complete(&self, status: StatusCode, headers: &mut HeaderMap) {
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
            return;
        }
        let Validators { etag, last_modified } = &self.validators;
        if let Some(etag) = etag.as_ref().filter(|_| !headers.contains_key(ETAG)) {
            headers.insert(ETAG, HeaderValue::from(etag));
        }
        let date = last_modified.and_then(LastModified::date).filter(|_| !headers.contains_key(LAST_MODIFIED));
        let is_silent = freshness::are_silent(headers);
        if let Some(date) = date.filter(|_| !is_silent || self.freshness != Freshness::OmitLastModified) {
            headers.insert(LAST_MODIFIED, HeaderValue::from(date));
            if is_silent && self.freshness == Freshness::NoCache && status != StatusCode::NOT_MODIFIED {
                headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            }
        }
    }
}

/// Puts validators into a head, in place of what is there.
pub(crate) fn insert_validators(headers: &mut HeaderMap, validators: &Validators) {
    if let Some(etag) = &validators.etag {
        headers.insert(ETAG, HeaderValue::from(etag));
    }
    if let Some(date) = validators.last_modified.and_then(LastModified::date) {
        headers.insert(LAST_MODIFIED, HeaderValue::from(date));
    }
}
