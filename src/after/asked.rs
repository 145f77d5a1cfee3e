//! What is kept of a GET or HEAD while the inner service works on it, and what the inner service does not get to see.

use std::sync::Arc;

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    request, HeaderMap, HeaderName, HeaderValue, Method, Uri,
};

use super::{
    config::Config,
    streams::{self, TakesTrailers},
};
use crate::{
    refusal::is_write,
    representation::{is_made, Facts, Key, Known, Made, Own, Probe, RequestKey},
    rules::{ByteRange, EntityTag, HttpDate, LastModified, Preconditions, Validators},
};

/// What a response will be judged by.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) config: Arc<Config>,
    pub(super) preconditions: Preconditions,
    pub(super) key: RequestKey,
    /// The client asked with HEAD.
    pub(super) is_head: bool,
    /// What a layer further out knows of the representation; in a box, because it is rare.
    pub(super) known: Option<Box<Known>>,
    /// A layer further out wants to be told the validators.
    pub(super) is_probe: bool,
    /// The part that is wanted, where the layer serves parts; in a box, because it is rare.
    pub(super) range: Option<Box<ByteRange>>,
    /// Whether a tag can follow the content, where the layer sends such.
    pub(super) takes_trailers: TakesTrailers,
}

impl Asked {
    /// Reads a request, and takes out of it what the inner service must not judge.
    pub(super) fn take(parts: &mut request::Parts, config: &Arc<Config>) -> Self {
        let preconditions = Preconditions::from_headers_at(&parts.headers, || config.now());
        let key = config.memory.keys.request(parts, config.key.as_deref());
        let asked = Self {
            config: Arc::clone(config),
            preconditions,
            key,
            is_head: parts.method == Method::HEAD,
            known: parts.extensions.get::<Known>().filter(|known| known.is_about(&parts.uri)).cloned().map(Box::new),
            is_probe: parts.extensions.get::<Probe>().is_some(),
            range: if config.ranges { streams::range(parts).map(Box::new) } else { None },
            takes_trailers: if config.trailer_tags { TakesTrailers::of(parts) } else { TakesTrailers::Never },
        };

        let headers = &mut parts.headers;
        if config.learned.is_some() && asked.known.is_none() {
            asked.hide_preconditions(headers);
        }
        asked.hide_void_dates(headers);
        if asked.preconditions.has_long_lists() {
            join_lines(headers, IF_MATCH);
            join_lines(headers, IF_NONE_MATCH);
        }
        let is_own_to_judge = config.ranges && asked.preconditions.has_if_range();
        if is_own_to_judge
            || asked.names_what_to_part() && headers.contains_key(RANGE) && asked.part_cannot_be_judged(headers)
        {
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
        if asked.is_head && config.head_as_get {
            parts.method = Method::GET;
            // Range is for GET alone, and nobody asked for one.
            parts.headers.remove(RANGE);
            parts.headers.remove(IF_RANGE);
        }
        asked
    }

    /// Takes away all preconditions, where two kinds of tag may stand for the same content: this layer knows both, and the
    /// inner service only its own.
    fn hide_preconditions(&self, headers: &mut HeaderMap) {
        // Of a part alone it may not be known which whole it is of.
        if !self.preconditions.is_empty() || self.preconditions.has_if_range() {
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
        for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            headers.remove(name);
        }
    }

    /// Takes away the date fields that the inner service must not judge.
    ///
    /// Deliberately: where the tag field is present the date field is void (RFC 9110, 13.1.3 and 13.1.4), and a service
    /// that knows only dates would answer 304 by it after a rollback. So is one that is not exactly one date, and some take
    /// the first of two. Nor does the inner service know anything of a minted date.
    fn hide_void_dates(&self, headers: &mut HeaderMap) {
        let (asked, memory) = (&self.preconditions, &self.config.memory);
        let is_void = |tag_field: bool, date: Option<HttpDate>| {
            tag_field || date.is_none_or(|date| memory.may_have_minted(&self.key, date))
        };
        if asked.has_if_modified_since() && is_void(asked.has_if_none_match(), asked.if_modified_since_date()) {
            headers.remove(IF_MODIFIED_SINCE);
        }
        if asked.has_if_unmodified_since() && is_void(asked.has_if_match(), asked.if_unmodified_since_date()) {
            headers.remove(IF_UNMODIFIED_SINCE);
        }
    }

    /// Returns true if there are validators that say of what representation a part is wanted.
    fn names_what_to_part(&self) -> bool {
        let asked = &self.preconditions;
        asked.has_if_range() || asked.has_if_match() || asked.has_if_unmodified_since()
    }

    /// Returns true if the inner service must not answer with a part, because whether it is a part of what the client
    /// means hangs on a validator that may be of the layer's making.
    ///
    /// The inner service knows nothing of such a one. If it ignores If-Range, as `ServeDir` does, it would answer with a
    /// part of other content; and of a part alone no tag can be made to judge If-Match by. Without Range the client gets
    /// the whole, which is always right.
    fn part_cannot_be_judged(&self, headers: &HeaderMap) -> bool {
        let is_ours = |key: Option<Key>| key.is_some_and(|key| !self.config.memory.is_supplied(key));
        let asked = &self.preconditions;
        let of_if_range = |value: &HeaderValue| match EntityTag::try_from(value) {
            Ok(tag) => self.tag_key(&tag),
            Err(_) => HttpDate::parse(value, self.config.now()).and_then(|date| self.date_key(date)),
        };
        headers.get_all(IF_RANGE).iter().any(|value| is_ours(of_if_range(value)))
            || asked.if_match_tags().any(|tag| is_ours(self.tag_key(&tag)))
            || !asked.has_if_match() && is_ours(asked.if_unmodified_since_date().and_then(|date| self.date_key(date)))
    }

    /// Returns the key under which the evidence of the content's tag is kept.
    pub(super) fn content_key(&self, facts: &Facts) -> Option<u128> {
        self.key.content(facts.varied?)
    }

    /// Returns true if the client holds the tag, maybe with something behind it that a proxy put there.
    pub(super) fn names(&self, etag: &EntityTag) -> bool {
        self.preconditions.names(etag) || self.names_with_suffix(etag)
    }

    /// Returns true if If-None-Match names the tag with something behind it that a proxy is known to put there.
    pub(super) fn names_with_suffix(&self, etag: &EntityTag) -> bool {
        self.config.tolerated_suffixes.iter().any(|suffix| self.preconditions.names_with_suffix(etag, suffix))
    }

    /// Makes a tag ready to send.
    pub(super) fn made(&self, tag: EntityTag) -> Made {
        Made::from(if self.config.is_weak() { tag.into_weak() } else { tag })
    }

    /// Says what is known of the representation to somebody who judges a write by it.
    pub(super) fn known_to_probe(&self, mut validators: Validators) -> Known {
        if validators.last_modified.is_none() && self.config.last_modified {
            // The client may have a date that was minted when more was known. It must not be ignored.
            validators.last_modified = Some(LastModified::Unsettled);
        }
        Known { uri: Uri::default(), validators, freshness: self.config.freshness }
    }

    /// Takes the tag that the inner service gave, ready to send.
    pub(super) fn own_tag(&self, facts: &mut Facts) -> Option<Made> {
        std::mem::replace(&mut facts.etag, Own::Absent).valid().map(|tag| self.made(tag))
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
}

/// Makes one line of the several that a list may have (RFC 9110, section 5.3): some inner services read only the first.
fn join_lines(headers: &mut HeaderMap, name: HeaderName) {
    let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    if let (true, Ok(joined)) = (lines.len() > 1, HeaderValue::from_bytes(&lines.join(&b", "[..]))) {
        headers.insert(name, joined);
    }
}

/// Returns true if nothing but a date that the layer minted keeps a write from being run.
///
/// Whoever judges the write further in does not know that date, and would ignore it as the RFC asks.
pub(super) fn hangs_on_minted_date(parts: &request::Parts, config: &Config) -> bool {
    let asked = Preconditions::from_headers_at(&parts.headers, || config.now());
    let is_judged = parts.extensions.get::<Known>().is_some_and(|known| known.is_about(&parts.uri));
    if is_judged || asked.has_if_match() || !is_write(&parts.method) {
        return false;
    }
    asked.if_unmodified_since_date().is_some_and(|date| {
        let key = config.memory.keys.request(parts, config.key.as_deref());
        config.memory.may_have_minted(&key, date)
    })
}
