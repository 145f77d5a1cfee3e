//! What is kept of a GET or HEAD until its response comes, and what the inner service
//! gets to see.

use std::sync::Arc;

use http::{
    header::{IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    request, Extensions, HeaderMap, HeaderValue, Method, Request, Uri, Version,
};

use super::config::Config;
use crate::{
    exchange::{Forward, KnownValidators, Probe},
    outcome::Reason,
    rules::{
        is_read, is_write, single_line, ByteRange, EntityTag, HttpDate, Preconditions,
        TakesTrailers,
    },
    store::{Key, KeyReader, Name, RequestKey},
};

/// The head of a request, borrowed.
pub(super) struct RequestHead<'a> {
    method: &'a Method,
    version: Version,
    headers: &'a HeaderMap,
    uri: &'a Uri,
    extensions: &'a Extensions,
    /// The same in one piece, for functions of the user's.
    parts: Option<&'a request::Parts>,
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
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

impl<'a> From<&'a request::Parts> for RequestHead<'a> {
    fn from(parts: &'a request::Parts) -> Self {
        let request::Parts { method, uri, version, headers, extensions, .. } = parts;
        Self { method, version: *version, headers, uri, extensions, parts: Some(parts) }
    }
}

impl<'a> RequestHead<'a> {
    /// Returns what names the resource.
    fn name(&self, config: &'a Config) -> Name<'a> {
        match (&config.key, self.parts) {
            (Some(custom), Some(parts)) => Name::Custom(&**custom, parts),
            _ => Name::of(self.uri, self.extensions),
        }
    }

    /// Returns why the response will not be evaluated, if so.
    #[inline]
    pub(super) fn bypass(&self, config: &Arc<Config>) -> Option<Bypass> {
        if !is_read(self.method) {
            let is_dated = self.headers.contains_key(IF_UNMODIFIED_SINCE);
            if is_dated && self.depends_on_generated_date(config) {
                return Some(Bypass::Reject);
            }
            return Some(Bypass::Skip(Reason::Method));
        }
        match (&config.handle_when, self.parts) {
            (Some(handle_when), Some(parts)) if !handle_when(parts) => {
                Some(Bypass::Skip(Reason::Request))
            }
            _ => None,
        }
    }

    /// Returns true if the layer would handle a GET of the same resource.
    fn serves_reads(&self, config: &Config) -> bool {
        match (&config.handle_when, self.parts) {
            (Some(handle_when), Some(parts)) => {
                let mut read = parts.clone();
                read.method = Method::GET;
                handle_when(&read)
            }
            _ => true,
        }
    }

    /// Returns true if the only precondition of this write is a date that this layer
    /// may have generated.
    ///
    /// The inner service never saw that date and would ignore the field (RFC 9110,
    /// 13.1.4), so the write would go through unchecked.
    fn depends_on_generated_date(&self, config: &Arc<Config>) -> bool {
        let request = RequestContext::read(self, config);
        let preconditions = &request.preconditions;
        if self.known().is_some() || preconditions.has_if_match() || !is_write(self.method) {
            return false;
        }
        let Some(date) = preconditions.if_unmodified_since_date() else { return false };
        let (dates, key) = (&config.dates, &request.key);
        config.last_modified
            && (dates.may_have_generated(key, date)
                || dates.may_be_forgotten_date(key, date) && self.serves_reads(config))
    }

    /// Returns the validators that an outer layer knows for the representation.
    fn known(&self) -> Option<&'a KnownValidators> {
        let known = self.extensions.get::<KnownValidators>()?;
        known.is_about(self.uri, self.extensions).then_some(known)
    }

    /// Returns the range that is asked for, if it is a single one.
    fn range(&self) -> Option<ByteRange> {
        if *self.method != Method::GET {
            // Range is ignored on other methods (RFC 9110, 14.2).
            return None;
        }
        ByteRange::parse(single_line(self.headers, RANGE)?)
    }
}

/// Why a response will not be evaluated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bypass {
    /// The request must not run: it is a write that depends on a date which the inner
    /// service does not know.
    Reject,
    /// The layer does not handle the request.
    Skip(Reason),
}

/// What is kept of a request until its response comes.
#[derive(Debug)]
pub(super) struct RequestContext {
    pub(super) config: Arc<Config>,
    pub(super) preconditions: Preconditions,
    pub(super) key: RequestKey,
    /// The method is HEAD.
    pub(super) is_head: bool,
    /// In a box, because most requests have nothing of it, and all are moved about.
    extras: Option<Box<RequestExtras>>,
}

/// What few requests come with, and few layers ask for.
#[derive(Debug, Default)]
pub(super) struct RequestExtras {
    /// The validators that an outer layer knows for the representation.
    pub(super) known: Option<KnownValidators>,
    /// An outer layer asks for the validators, to evaluate a write by them.
    pub(super) is_probe: bool,
    /// The part that is wanted, where the layer serves parts.
    pub(super) range: Option<ByteRange>,
    /// Whether a tag can follow the content, where the layer sends such.
    pub(super) takes_trailers: TakesTrailers,
    /// The resource, where tags are learned.
    pub(super) learned_key: Option<Key>,
}

impl RequestExtras {
    const NONE: Self = Self {
        known: None,
        is_probe: false,
        range: None,
        takes_trailers: TakesTrailers::Never,
        learned_key: None,
    };

    #[inline]
    fn of(
        head: &RequestHead<'_>,
        name: Name<'_>,
        reader: &KeyReader<'_, '_>,
        config: &Config,
    ) -> Option<Box<Self>> {
        let may_be_known = !head.extensions.is_empty();
        let is_wanted = config.ranges || config.trailer_tags || config.learned.is_some();
        if may_be_known || is_wanted {
            Self::read(head, name, reader, config)
        } else {
            None
        }
    }

    fn read(
        head: &RequestHead<'_>,
        name: Name<'_>,
        reader: &KeyReader<'_, '_>,
        config: &Config,
    ) -> Option<Box<Self>> {
        let takes_trailers = if config.trailer_tags {
            TakesTrailers::of(head.version, head.headers)
        } else {
            TakesTrailers::Never
        };
        let extras = Self {
            known: head.known().cloned(),
            is_probe: head.extensions.get::<Probe>().is_some(),
            range: if config.ranges { head.range() } else { None },
            takes_trailers,
            learned_key: config.learned.as_ref().map(|_| reader.collision_resistant_key(name)),
        };
        let is_any = extras.known.is_some()
            || extras.is_probe
            || extras.range.is_some()
            || extras.learned_key.is_some()
            || takes_trailers != TakesTrailers::Never;
        is_any.then(|| Box::new(extras))
    }
}

impl RequestContext {
    /// Reads a request.
    #[inline]
    pub(super) fn read(head: &RequestHead<'_>, config: &Arc<Config>) -> Self {
        let mut preconditions = Preconditions::default();
        let mut reader = config.dates.keys.reader();
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
            extras: RequestExtras::of(head, name, &reader, config),
        }
    }

    /// Returns what few requests come with.
    #[inline]
    pub(super) fn extras(&self) -> &RequestExtras {
        static NONE: RequestExtras = RequestExtras::NONE;
        self.extras.as_deref().unwrap_or(&NONE)
    }

    /// Returns true if the inner service is to be asked with GET in place of HEAD.
    pub(super) fn asks_as_get(&self) -> bool {
        self.is_head && self.config.head_as_get
    }

    /// Makes a request one that the inner service may see.
    #[inline]
    pub(super) fn edit<B>(&self, request: &mut Request<B>) {
        let is_learning = self.config.learned.is_some();
        if self.preconditions.may_be_misread() || is_learning || self.asks_as_get() {
            let headers = request.headers_mut();
            self.forward(headers).apply(&self.preconditions, headers);
        }
        if self.asks_as_get() {
            *request.method_mut() = Method::GET;
        }
    }

    /// Says which conditional fields the inner service may see.
    fn forward(&self, headers: &HeaderMap) -> Forward {
        let (preconditions, config) = (&self.preconditions, &self.config);
        let mut forward = Forward::new(preconditions);
        // The inner service does not know what a generated date stands for.
        let is_generated = |date: Option<HttpDate>| {
            date.is_some_and(|date| config.dates.may_have_generated(&self.key, date))
        };
        forward.if_modified_since &= !is_generated(preconditions.if_modified_since_date());
        forward.if_unmodified_since &= !is_generated(preconditions.if_unmodified_since_date());
        if config.learned.is_some() && self.extras().known.is_none() {
            // Two tags may stand for the same content. This layer knows both, and the inner service
            // only its own; and it may not be known which whole a part is of.
            forward.tags = false;
            forward.if_modified_since = false;
            forward.if_unmodified_since = false;
            forward.range = preconditions.is_empty() && !preconditions.has_if_range();
        }
        let is_cut_here = config.ranges && preconditions.has_if_range();
        let is_bound = preconditions.binds_range() && headers.contains_key(RANGE);
        // Range is for GET alone, so a HEAD that becomes a GET has none.
        if is_cut_here || self.asks_as_get() || is_bound && self.is_bound_to_own(headers) {
            forward.range = false;
        }
        forward
    }

    /// Returns true if the part that is asked for is bound to a validator that this
    /// layer may have generated.
    ///
    /// The inner service does not know it. If it ignores If-Range, as `ServeDir` does,
    /// it would send a part of other content; and of a part alone no tag can be
    /// made to evaluate If-Match. Without Range the client gets the whole, which is
    /// always right.
    fn is_bound_to_own(&self, headers: &HeaderMap) -> bool {
        let preconditions = &self.preconditions;
        let is_own = |key: Option<Key>| key.is_some_and(|key| !self.config.dates.is_supplied(key));
        let is_own_date =
            |date: Option<HttpDate>| is_own(date.and_then(|date| self.date_key(date)));
        let is_own_tag =
            |tag: &EntityTag| is_own(self.tag_key(tag)) || self.looks_generated_with_suffix(tag);
        let is_own_if_range = |value: &HeaderValue| match EntityTag::try_from(value) {
            Ok(tag) => is_own_tag(&tag),
            Err(_) => is_own_date(HttpDate::parse(value, self.config.now())),
        };
        headers.get_all(IF_RANGE).iter().any(is_own_if_range)
            || preconditions.if_match_tags().any(|tag| is_own_tag(&tag))
            || !preconditions.has_if_match()
                && is_own_date(preconditions.if_unmodified_since_date())
    }
}
