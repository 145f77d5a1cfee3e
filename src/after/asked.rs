//! What is kept of a GET or HEAD while the inner service works on it, and what the inner service does not get to see.

use std::sync::Arc;

use http::{
    header::{IF_MODIFIED_SINCE, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    request, HeaderValue, Method,
};

use super::layer::Config;
use crate::{
    representation::{is_made, Key, RequestKey},
    rules::{EntityTag, HttpDate, Preconditions},
};

/// What a response will be judged by.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) config: Arc<Config>,
    pub(super) preconditions: Preconditions,
    pub(super) key: RequestKey,
    /// The client asked with HEAD.
    pub(super) is_head: bool,
}

impl Asked {
    /// Reads a request, and takes out of it what the inner service must not judge.
    pub(super) fn take(parts: &mut request::Parts, config: &Arc<Config>) -> Self {
        let preconditions = Preconditions::from_headers_at(&parts.headers, || config.now());
        let key = config.memory.keys.request(parts, config.key.as_deref());
        let asked = Self { config: Arc::clone(config), preconditions, key, is_head: parts.method == Method::HEAD };

        // Deliberately not left to the inner service: where the tag field is present the date field is void (RFC 9110,
        // 13.1.3 and 13.1.4), and one that knows only dates would answer 304 by it after a rollback.
        if asked.preconditions.has_if_none_match() {
            parts.headers.remove(IF_MODIFIED_SINCE);
        }
        if asked.preconditions.has_if_match() {
            parts.headers.remove(IF_UNMODIFIED_SINCE);
        }
        if parts.headers.get_all(IF_RANGE).iter().any(|validator| asked.may_be_ours(validator)) {
            parts.headers.remove(RANGE);
            parts.headers.remove(IF_RANGE);
        }
        if asked.is_head && config.head_as_get {
            parts.method = Method::GET;
        }
        asked
    }

    /// Returns the key under which the memory keeps that the inner service supplied a tag that looks like one of ours.
    pub(super) fn tag_key(&self, tag: &EntityTag) -> Option<Key> {
        is_made(tag, self.config.made_length).then(|| self.key.with(&self.config.memory.keys, tag.as_bytes()))
    }

    /// Returns the key under which the memory keeps that the inner service supplied a date.
    pub(super) fn date_key(&self, date: HttpDate) -> Option<Key> {
        let octets = date.unix_seconds().to_le_bytes();
        self.config.last_modified.then(|| self.key.with(&self.config.memory.keys, &octets))
    }

    /// Returns true if a validator in If-Range may be of the layer's making.
    ///
    /// The inner service knows nothing of such a one. If it ignores If-Range, as `ServeDir` does, it would answer with a
    /// part of other content; without Range the client gets the whole, which is always right.
    fn may_be_ours(&self, validator: &HeaderValue) -> bool {
        let key = match EntityTag::try_from(validator) {
            Ok(tag) => self.tag_key(&tag),
            Err(_) => HttpDate::parse(validator, self.config.now()).and_then(|date| self.date_key(date)),
        };
        key.is_some_and(|key| !self.config.memory.is_supplied(key))
    }
}
