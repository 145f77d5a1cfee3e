//! What is kept of a GET or HEAD while the inner service works on it, and what the inner service does not get to see.

use std::sync::Arc;

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    request, Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
};

use super::{
    config::Config,
    learning::{self, TakesTrailers},
};
use crate::{
    exchange::{is_write, Known, Probe},
    fields::{ask_for_all, put},
    outcome::Reason,
    rules::{ByteRange, Current, EntityTag, HttpDate, LastModified, Preconditions, Validators},
    store::{Key, KeyReader, Made, Name, RequestKey},
    validators::{is_made, Facts},
};

/// The head of a request, borrowed.
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
    uri: &'a Uri,
    extensions: &'a Extensions,
    /// The same in one piece, where the user has to be shown it.
    parts: Option<&'a request::Parts>,
}

impl<'a, B> From<&'a Request<B>> for Head<'a> {
    #[inline]
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            version: request.version(),
            headers: request.headers(),
            uri: request.uri(),
            extensions: request.extensions(),
            parts: None,
        }
    }
}

impl<'a> From<&'a request::Parts> for Head<'a> {
    fn from(parts: &'a request::Parts) -> Self {
        let request::Parts { method, uri, version, headers, extensions, .. } = parts;
        Self { method, version: *version, headers, uri, extensions, parts: Some(parts) }
    }
}

impl<'a> Head<'a> {
    /// Returns what names the resource.
    fn name(&self, config: &'a Config) -> Name<'a> {
        match (&config.key, self.parts) {
            (Some(custom), Some(parts)) => Name::Custom(&**custom, parts),
            _ => Name::of(self.uri, self.extensions),
        }
    }

    /// Returns why the response will not be judged, if so.
    #[inline]
    pub(super) fn objection(&self, config: &Arc<Config>) -> Option<Objection> {
        if !matches!(*self.method, Method::GET | Method::HEAD) {
            let is_dated = self.headers.contains_key(IF_UNMODIFIED_SINCE);
            let is_refused = is_dated && self.hangs_on_minted_date(config);
            return Some(if is_refused { Objection::Refused } else { Objection::Passing(Reason::Method) });
        }
        let is_left_alone = config.when_request.as_ref().zip(self.parts).is_some_and(|(when, parts)| !when(parts));
        is_left_alone.then_some(Objection::Passing(Reason::Request))
    }

    /// Returns true if the layer would not leave a GET of the same resource alone.
    fn is_read_here(&self, config: &Config) -> bool {
        config.when_request.as_ref().zip(self.parts).is_none_or(|(when, parts)| {
            let mut read = parts.clone();
            read.method = Method::GET;
            when(&read)
        })
    }

    /// Returns true if nothing but a date that may have been minted keeps a write from being run.
    ///
    /// Whoever judges the write further in does not know that date, and would ignore it as the RFC asks.
    fn hangs_on_minted_date(&self, config: &Arc<Config>) -> bool {
        let asked = Asked::read(self, config);
        if self.known().is_some() || asked.preconditions.has_if_match() || !is_write(self.method) {
            return false;
        }
        let Some(date) = asked.preconditions.if_unmodified_since_date() else { return false };
        let (memory, key) = (&config.memory, &asked.key);
        let is_unknown_date = || memory.may_guard_in_vain(key, date) && self.is_read_here(config);
        config.last_modified && (memory.may_have_minted(key, date) || is_unknown_date())
    }

    /// Returns what a layer further out knows of the representation.
    fn known(&self) -> Option<&'a Known> {
        self.extensions.get::<Known>().filter(|known| known.is_about(self.uri, self.extensions))
    }
}

/// Why a response will not be judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Objection {
    /// The request must not be sent: it is a write that hangs on a date which nobody further in knows.
    Refused,
    /// The layer has nothing to do with it.
    Passing(Reason),
}

/// What a response will be judged by.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) config: Arc<Config>,
    pub(super) preconditions: Preconditions,
    pub(super) key: RequestKey,
    /// The client asked with HEAD.
    pub(super) is_head: bool,
    /// In a box, because most requests have nothing of it, and all are moved about.
    rare: Option<Box<Rare>>,
}

/// What few requests come with, and few layers ask for.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// What a layer further out knows of the representation.
    pub(super) known: Option<Known>,
    /// A layer further out wants to be told the validators.
    pub(super) is_probe: bool,
    /// The part that is wanted, where the layer serves parts.
    pub(super) range: Option<ByteRange>,
    /// Whether a tag can follow the content, where the layer sends such.
    pub(super) takes_trailers: TakesTrailers,
    /// The resource, where tags are learnt.
    pub(super) learned_key: Option<Key>,
}

impl Rare {
    const NONE: Self =
        Self { known: None, is_probe: false, range: None, takes_trailers: TakesTrailers::Never, learned_key: None };

    #[inline]
    fn of(head: &Head<'_>, name: Name<'_>, reader: &KeyReader<'_, '_>, config: &Config) -> Option<Box<Self>> {
        let may_be_known = !head.extensions.is_empty();
        let is_asked_for = config.ranges || config.trailer_tags || config.learned.is_some();
        if may_be_known || is_asked_for {
            Self::read(head, name, reader, config)
        } else {
            None
        }
    }

    fn read(head: &Head<'_>, name: Name<'_>, reader: &KeyReader<'_, '_>, config: &Config) -> Option<Box<Self>> {
        let rare = Self {
            known: head.known().cloned(),
            is_probe: head.extensions.get::<Probe>().is_some(),
            range: if config.ranges { learning::range(head) } else { None },
            takes_trailers: if config.trailer_tags { TakesTrailers::of(head) } else { TakesTrailers::Never },
            learned_key: config.learned.as_ref().map(|_| reader.careful(name)),
        };
        let Self { known, is_probe, range, takes_trailers, learned_key } = &rare;
        let is_any = known.is_some() || *is_probe || range.is_some() || learned_key.is_some();
        (is_any || *takes_trailers != TakesTrailers::Never).then(|| Box::new(rare))
    }
}

impl Asked {
    /// Reads a request.
    #[inline]
    pub(super) fn read(head: &Head<'_>, config: &Arc<Config>) -> Self {
        let mut preconditions = Preconditions::default();
        let mut reader = config.memory.keys.reader();
        for (name, line) in head.headers {
            preconditions.take_line(name.as_str(), line, || config.now());
            reader.take_line(name, line);
        }
        let name = head.name(config);
        Self {
            config: Arc::clone(config),
            preconditions,
            key: reader.key(name),
            is_head: *head.method == Method::HEAD,
            rare: Rare::of(head, name, &reader, config),
        }
    }

    /// Returns what few requests come with.
    pub(super) fn rare(&self) -> &Rare {
        static NONE: Rare = Rare::NONE;
        self.rare.as_deref().unwrap_or(&NONE)
    }

    /// Takes it, to go on with it elsewhere.
    pub(super) fn take(&mut self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            preconditions: std::mem::take(&mut self.preconditions),
            rare: self.rare.take(),
            ..*self
        }
    }

    /// Makes a request one that the inner service may see.
    #[inline]
    pub(super) fn edit<B>(&self, request: &mut Request<B>) {
        if self.preconditions.may_be_misread() || self.config.learned.is_some() || self.asks_as_get() {
            self.hide(request.headers_mut());
        }
        if self.asks_as_get() {
            *request.method_mut() = Method::GET;
        }
    }

    /// Returns true if the inner service is to be asked with GET in place of HEAD.
    pub(super) fn asks_as_get(&self) -> bool {
        self.is_head && self.config.head_as_get
    }

    /// Takes out of a request what the inner service must not judge.
    fn hide(&self, headers: &mut HeaderMap) {
        if self.config.learned.is_some() && self.rare().known.is_none() {
            self.hide_preconditions(headers);
        }
        self.hide_void_dates(headers);
        if self.preconditions.has_long_lists() {
            join_lines(headers, IF_MATCH);
            join_lines(headers, IF_NONE_MATCH);
        }
        let is_own_to_judge = self.config.ranges && self.preconditions.has_if_range();
        if is_own_to_judge
            || self.preconditions.name_what_to_part()
                && headers.contains_key(RANGE)
                && self.part_cannot_be_judged(headers)
        {
            ask_for_all(headers);
        }
        if self.asks_as_get() {
            // Range is for GET alone, and nobody asked for one.
            ask_for_all(headers);
        }
    }

    /// Takes away all preconditions, where two kinds of tag may stand for the same content: this layer knows both, and the
    /// inner service only its own.
    fn hide_preconditions(&self, headers: &mut HeaderMap) {
        // Of a part alone it may not be known which whole it is of.
        if !self.preconditions.is_empty() || self.preconditions.has_if_range() {
            ask_for_all(headers);
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

    /// Returns true if the inner service must not answer with a part, because whether it is a part of what the client
    /// means hangs on a validator that may be of the layer's making.
    ///
    /// The inner service knows nothing of such a one. If it ignores If-Range, as `ServeDir` does, it would answer with a
    /// part of other content; and of a part alone no tag can be made to judge If-Match by. Without Range the client gets
    /// the whole, which is always right.
    fn part_cannot_be_judged(&self, headers: &HeaderMap) -> bool {
        let is_ours = |key: Option<Key>| key.is_some_and(|key| !self.config.memory.is_supplied(key));
        let asked = &self.preconditions;
        let is_our_tag = |tag: &EntityTag| is_ours(self.tag_key(tag)) || self.is_made_with_suffix(tag);
        let is_in_if_range = |value: &HeaderValue| match EntityTag::try_from(value) {
            Ok(tag) => is_our_tag(&tag),
            Err(_) => is_ours(HttpDate::parse(value, self.config.now()).and_then(|date| self.date_key(date))),
        };
        headers.get_all(IF_RANGE).iter().any(is_in_if_range)
            || asked.if_match_tags().any(|tag| is_our_tag(&tag))
            || !asked.has_if_match() && is_ours(asked.if_unmodified_since_date().and_then(|date| self.date_key(date)))
    }

    /// Returns true if If-Match may name the tag that the layer would make, had it read the content.
    pub(super) fn if_match_may_hold(&self) -> bool {
        self.preconditions.if_match_tags().any(|tag| !tag.is_weak() && self.is_made(tag.opaque()))
    }

    /// Returns the key under which the evidence of the content's tag is kept.
    pub(super) fn content_key(&self, facts: &Facts) -> Option<u64> {
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
    pub(super) fn known_to_probe(&self, current: Current<'_>) -> Known {
        // The client may have a date that was minted when more was known. It must not be ignored.
        let unsettled = self.config.last_modified.then_some(LastModified::Unsettled);
        let mut validators = Validators::new();
        validators.etag = current.etag.cloned();
        validators.last_modified = current.last_modified.or(unsettled);
        Known::answer(validators, self.config.freshness)
    }

    /// Takes the tag that the inner service gave, ready to send.
    pub(super) fn own_tag(&self, facts: &Facts) -> Option<Made> {
        facts.etag.valid().map(|tag| self.made(tag.clone()))
    }

    /// Returns the key under which the memory keeps that the inner service supplied a tag that looks like one of ours.
    pub(super) fn tag_key(&self, tag: &EntityTag) -> Option<Key> {
        self.is_made(tag.opaque()).then(|| self.key.with(&self.config.memory.keys, tag.as_bytes()))
    }

    /// Returns true if a tag looks like one of ours with something behind it that a proxy is known to put there.
    fn is_made_with_suffix(&self, tag: &EntityTag) -> bool {
        let without = |suffix: &[u8]| tag.opaque().strip_suffix(suffix).is_some_and(|opaque| self.is_made(opaque));
        self.config.tolerated_suffixes.iter().any(|suffix| without(suffix))
    }

    /// Returns true if what stands between the quotes of a tag looks like what the layer makes.
    fn is_made(&self, opaque: &[u8]) -> bool {
        is_made(opaque, self.config.made_length)
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
        put(headers, name, joined);
    }
}
