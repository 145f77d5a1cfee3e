//! Reads a GET, HEAD or QUERY, and keeps what is needed when its response comes.
//! Removes the fields that the inner service must not see.

use std::sync::Arc;

use http::{
    header::{IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    request, Extensions, HeaderMap, HeaderValue, Method, Request, Uri, Version,
};

use super::config::Config;
use crate::{
    exchange::{Forward, GuardedWrite, KnownValidators, PartRefusal, Probe, WithheldDates},
    header_map::insert_field,
    outcome::Reason,
    rules::{
        has_other_unit, is_query, is_read, is_write, refuses_digest, requested_file, single_line,
        AcceptedCodings, ByteRange, EntityTag, HttpDate, PreconditionFields, TakesTrailers,
    },
    store::{InnerValidator, Key, KeyReader, ListedFile, Name, RequestKey, Trust},
    validators::{plain_tag, AddLastModified},
};

/// The head of a request, borrowed.
pub(super) struct RequestHead<'a> {
    method: &'a Method,
    version: Version,
    headers: &'a HeaderMap,
    uri: &'a Uri,
    extensions: &'a Extensions,
    /// The head as one value, if a setting is a function that takes it.
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
    /// Returns what identifies the resource: the value of the `key` setting, or
    /// the URI.
    fn name(&self, config: &'a Config) -> Name<'a> {
        match (&config.key, self.parts) {
            (Some(custom), Some(parts)) => Name::Custom(&**custom, parts),
            _ => Name::of(self.uri, self.extensions),
        }
    }

    /// Returns the reason why the layer does not evaluate the response. `None` if the
    /// layer evaluates it.
    #[inline]
    pub(super) fn bypass(&self, config: &Arc<Config>) -> Option<Bypass> {
        if !is_read(self.method) && !is_query(self.method) {
            let is_dated = self.headers.contains_key(IF_UNMODIFIED_SINCE);
            if is_dated && self.depends_on_generated_date(config) {
                return Some(Bypass::Reject);
            }
            return Some(Bypass::Skip(Reason::Method));
        }
        match (&config.handle_when, self.parts) {
            (Some(handle_when), Some(parts)) if !handle_when(parts) => {
                return Some(Bypass::Skip(Reason::Request));
            }
            _ => {}
        }
        // This GET is from a guard that asks only whether the resource exists.
        // No client sees the response, so it is deliberately not evaluated.
        // Otherwise it would be recorded without a tag, and the dates of this
        // resource would become uncertain.
        let is_of_existence = self.extensions.get() == Some(&Probe::Existence);
        is_of_existence.then_some(Bypass::Skip(Reason::KnownState))
    }

    /// Returns true if a guard evaluates this write against the validators of
    /// this layer.
    fn is_guarded(&self) -> bool {
        let guarded = self.extensions.get::<GuardedWrite>();
        guarded.is_some_and(|guarded| guarded.0.is(self.uri, self.extensions))
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
    /// The inner service never saw that date, and would run the write without
    /// checking it.
    fn depends_on_generated_date(&self, config: &Arc<Config>) -> bool {
        let is_evaluated = self.known().is_some() || self.is_guarded();
        let is_generated = config.add_last_modified != AddLastModified::Never;
        if is_evaluated || !is_write(self.method) || !is_generated {
            return false;
        }
        let Some(dates) = config.dates.get() else { return false };
        let request = RequestContext::read(self, config);
        let preconditions = &request.preconditions;
        match preconditions.if_unmodified_since_date() {
            Some(date) if !preconditions.has_if_match() => {
                dates.may_have_generated(&request.key, date, || self.serves_reads(config))
            }
            _ => false,
        }
    }

    /// Returns the validators that an outer layer knows for the target of this request.
    fn known(&self) -> Option<&'a KnownValidators> {
        let known = self.extensions.get::<KnownValidators>()?;
        known.is_about(self.uri, self.extensions).then_some(known)
    }

    /// Returns the requested range, if it is a single one.
    fn range(&self) -> Option<ByteRange> {
        if *self.method != Method::GET {
            // Range is ignored on other methods (RFC 9110, 14.2).
            return None;
        }
        ByteRange::parse(single_line(self.headers, RANGE)?)
    }
}

/// The reason why the layer does not evaluate a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bypass {
    /// The request must be refused. It is a write that depends on a date that the inner
    /// service does not know.
    Reject,
    /// The layer does not handle the request.
    Skip(Reason),
}

/// The data of a request that is kept until its response comes.
#[derive(Debug)]
pub(super) struct RequestContext {
    pub(super) config: Arc<Config>,
    pub(super) preconditions: PreconditionFields,
    pub(super) key: RequestKey,
    pub(super) method: ReadMethod,
    /// The client accepts a content coding.
    pub(super) accepts_coding: bool,
    has_range: bool,
    /// How to refuse the response if it is a part (206) of another version. `None` if
    /// no If-Range was forwarded.
    pub(super) part_refusal: Option<PartRefusal>,
    /// Boxed, because most requests have no extras, and every request is moved.
    extras: Option<Box<RequestExtras>>,
}

/// The methods that the layer handles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadMethod {
    Get,
    Head,
    /// The response depends on the content of the request, so the layer remembers
    /// nothing under the URI.
    Query,
}

/// The data that only some requests have, or that only some settings need.
#[derive(Debug, Default)]
pub(super) struct RequestExtras {
    /// The validators that an outer layer knows for the representation.
    pub(super) known: Option<KnownValidators>,
    /// `Some` if the request is the GET that a guard sends before a write. The guard
    /// needs the validators of the response.
    pub(super) probe: Option<Probe>,
    /// The requested range, if the layer serves ranges.
    pub(super) range: Option<ByteRange>,
    /// Whether trailers can follow the content, if the layer sends digests.
    pub(super) takes_trailers: TakesTrailers,
    /// The client refuses the digest that the layer would send.
    pub(super) refuses_digest: bool,
    /// An outer layer of this crate has removed the dates of the request, and compares
    /// them itself.
    pub(super) is_date_withheld: bool,
    /// The key of the resource, if the layer learns tags.
    pub(super) learned_key: Option<Key>,
    /// The file that the path names, if there is a manifest.
    pub(super) file: Option<String>,
}

impl RequestExtras {
    const NONE: Self = Self {
        known: None,
        probe: None,
        range: None,
        takes_trailers: TakesTrailers::Never,
        refuses_digest: false,
        is_date_withheld: false,
        learned_key: None,
        file: None,
    };

    #[inline]
    fn of(
        head: &RequestHead<'_>,
        name: Name<'_>,
        reader: &KeyReader<'_, '_>,
        config: &Config,
    ) -> Option<Box<Self>> {
        let may_be_known = !head.extensions.is_empty();
        let is_wanted = config.ranges || config.repr_digest || config.learned.is_some();
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
        let takes_trailers = if config.repr_digest {
            TakesTrailers::of(head.version, head.headers)
        } else {
            TakesTrailers::Never
        };
        let key = config.tag_format.algorithm_key.filter(|_| config.repr_digest);
        let refuses_digest = key.is_some_and(|key| refuses_digest(head.headers, key));
        let extras = Self {
            known: head.known().cloned(),
            probe: head.extensions.get().copied(),
            range: if config.ranges { head.range() } else { None },
            takes_trailers,
            refuses_digest,
            is_date_withheld: head.extensions.get::<WithheldDates>().is_some(),
            learned_key: config.learned.as_ref().map(|_| reader.collision_resistant_key(name)),
            file: config.listed.as_ref().and_then(|_| requested_file(head.uri.path())),
        };
        let is_any = extras.known.is_some()
            || extras.probe.is_some()
            || extras.range.is_some()
            || extras.learned_key.is_some()
            || extras.is_date_withheld
            || refuses_digest
            || takes_trailers != TakesTrailers::Never;
        is_any.then(|| Box::new(extras))
    }
}

impl RequestContext {
    #[inline]
    pub(super) fn read(head: &RequestHead<'_>, config: &Arc<Config>) -> Self {
        let mut preconditions = PreconditionFields::default();
        let mut reader = config.keys.reader();
        for (name, line) in head.headers {
            preconditions.take_line(name.as_str(), line, || config.now());
            reader.take_line(name, line);
        }
        if reader.weighs_codings || reader.accepts_coding && preconditions.may_name_codings() {
            preconditions.take_accepted(AcceptedCodings::read(head.headers));
        }
        preconditions.take_accepts_coding(reader.accepts_coding);
        let name = head.name(config);
        let method = match *head.method {
            Method::GET => ReadMethod::Get,
            Method::HEAD => ReadMethod::Head,
            _ => ReadMethod::Query,
        };
        let key = reader.key(name);
        let extras = RequestExtras::of(head, name, &reader, config);
        Self {
            config: Arc::clone(config),
            preconditions,
            key,
            method,
            accepts_coding: reader.accepts_coding,
            has_range: reader.has_range,
            part_refusal: None,
            extras,
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == ReadMethod::Head
    }

    #[inline]
    pub(super) fn extras(&self) -> &RequestExtras {
        static NONE: RequestExtras = RequestExtras::NONE;
        self.extras.as_deref().unwrap_or(&NONE)
    }

    /// Returns true if this HEAD is forwarded as a GET.
    pub(super) fn asks_as_get(&self) -> bool {
        self.is_head() && self.config.head_as_get
    }

    /// Returns true if the response may lack the content that a GET would get, because
    /// the inner service got a HEAD.
    pub(super) fn may_lack_content(&self) -> bool {
        self.is_head() && !self.config.head_as_get
    }

    /// Removes the fields that the inner service must not see.
    #[inline]
    pub(super) fn edit<B>(&mut self, request: &mut Request<B>) {
        let is_learning = self.config.learned.is_some();
        if self.has_range
            || is_learning
            || self.preconditions.may_name_codings()
            || self.preconditions.may_be_misread()
            || self.asks_as_get()
        {
            self.edit_fields(request);
        }
        if self.asks_as_get() {
            *request.method_mut() = Method::GET;
        }
    }

    fn edit_fields<B>(&mut self, request: &mut Request<B>) {
        let mut forward = Forward::new(&self.preconditions);
        let preconditions = &self.preconditions;
        forward.codings = !(preconditions.may_name_codings() || preconditions.binds_coding());
        // The layer does not compare the dates of a QUERY, so the inner service
        // gets them.
        if !self.config.forwarded.dates() && self.method != ReadMethod::Query {
            forward.if_modified_since = false;
            forward.if_unmodified_since = false;
        }
        if self.config.learned.is_some() && self.extras().known.is_none() {
            // The client may send a learned tag, which the inner service does not know.
            // With the dates but not the tags, the inner service would compare only
            // the dates.
            forward.tags = false;
            forward.if_modified_since = false;
            forward.if_unmodified_since = false;
        }
        let mut inner_if_range = None;
        if self.has_range {
            (forward.range, inner_if_range) = self.forwards_range(request.headers());
            if forward.range && self.preconditions.has_if_range() {
                self.part_refusal = Some(PartRefusal::of(request.headers()));
            }
        }
        if let Some(withheld) = WithheldDates::of(request, &self.preconditions, forward) {
            request.extensions_mut().insert(withheld);
        }
        let headers = request.headers_mut();
        forward.apply(&self.preconditions, headers);
        if let (true, Some(inner)) = (forward.range, inner_if_range) {
            insert_field(headers, IF_RANGE, inner);
        }
    }

    /// Returns true if If-Match or If-None-Match may name a generated tag. To compare
    /// it, the layer needs the whole content: no tag can be computed from a part.
    fn needs_whole_for_tags(&self) -> bool {
        let (preconditions, config) = (&self.preconditions, &self.config);
        let is_known = |tag: &EntityTag| {
            self.is_tag_known_outside(tag)
                || config
                    .inner_validators
                    .find(self.key.resource(), |known| known.is_tag(tag, &config.keys))
                    .is_some()
        };
        let lists_no_known = preconditions.has_if_match()
            && !preconditions.is_if_match_any()
            && !preconditions.if_match_tags().any(|tag| is_known(&tag));
        lists_no_known || preconditions.any_if_none_match(|opaque| self.may_be_generated(opaque))
    }

    /// Returns whether `Range` is forwarded. The second value is the If-Range to
    /// forward, if it is not the client's.
    ///
    /// It is always correct to remove `Range`. The inner service then sends the whole
    /// content, and the layer cuts out the part or sends all of it.
    fn forwards_range(&self, headers: &HeaderMap) -> (bool, Option<HeaderValue>) {
        const WHOLE: (bool, Option<HeaderValue>) = (false, None);
        let (preconditions, config) = (&self.preconditions, &self.config);
        // Range is ignored on HEAD, so a HEAD that is forwarded as a GET must not have
        // one. A 206 may lack the date of the content, so If-Unmodified-Since could not
        // be compared.
        if self.asks_as_get() || preconditions.has_if_unmodified_since() {
            return WHOLE;
        }
        // If the layer serves ranges, a request for several ranges gets the whole
        // content. A range in another unit than bytes is left to the inner service.
        let is_left = |line| ByteRange::parse(line).is_some() || has_other_unit(line);
        if config.ranges && !single_line(headers, RANGE).is_some_and(is_left) {
            return WHOLE;
        }
        // The client may have encoded content, to which it must not join plain bytes.
        // Or it names a tag that only the whole content can be compared with.
        if preconditions.binds_coding() || self.needs_whole_for_tags() {
            return WHOLE;
        }
        if !preconditions.has_if_range() {
            // If tags are learned, content may have two tags: a learned one and that of
            // the inner service. A 206 has only one of them, and the client may have
            // named the other.
            let is_ambiguous = config.learned.is_some() && !preconditions.is_empty();
            return (!is_ambiguous, None);
        }
        let Some(value) = preconditions.if_range_value() else { return WHOLE };
        if preconditions.has_date_of_any_coding() {
            return WHOLE;
        }
        let is_named =
            |known: &InnerValidator| known.is_named_by(value, &config.keys, config.now());
        match config.inner_validators.find(self.key.resource(), is_named) {
            // The client named the tag of the layer. The inner service gets its own
            // tag instead.
            Some(InnerValidator { inner: Some(inner), .. })
                if EntityTag::try_from(value).is_ok() =>
            {
                (true, HeaderValue::from_bytes(&inner).ok())
            }
            Some(_) => (true, None),
            None => {
                let is_forwarded = self.may_be_inner_validator(value)
                    || self.is_listed(value)
                    || self.is_verified_outside(value);
                (is_forwarded, None)
            }
        }
    }

    /// Returns the tag that an outer layer of this crate knows for the representation.
    ///
    /// The outer layer has evaluated the preconditions against this tag. If the client
    /// names this tag and requests a part, the outer layer also verifies that a 206 or
    /// 416 is of this version. If a 206 has no tag, the outer layer adds this tag.
    ///
    /// `None` if `OuterCompression::keeps_tags` is set: the client's copy may then be
    /// plain or encoded, and the tag does not show which.
    pub(super) fn tag_known_outside(&self) -> Option<&EntityTag> {
        let known = self.extras().known.as_ref()?;
        if self.config.outer_compression.keeps_tags {
            None
        } else {
            known.etag.as_ref()
        }
    }

    fn is_tag_known_outside(&self, tag: &EntityTag) -> bool {
        self.tag_known_outside().is_some_and(|known| known.strong_eq(tag))
    }

    /// Returns true if a value of If-Range is the tag that an outer layer knows, and
    /// the inner service has given no tags. The outer layer then verifies a part.
    ///
    /// This layer refuses a 206 with another strong tag. After that, this function
    /// returns false, so the client's next try gets the whole content.
    fn is_verified_outside(&self, value: &HeaderValue) -> bool {
        let (known, resource) = (&self.config.inner_validators, self.key.resource());
        EntityTag::try_from(value).is_ok_and(|tag| self.is_tag_known_outside(&tag))
            && !known.is_refused(resource)
            && known.find(resource, InnerValidator::has_tag).is_none()
    }

    /// Returns true if a value of If-Range is the tag of the file in a manifest.
    ///
    /// Returns false if the last response had another tag, or if a 206 was refused. The
    /// client then gets the whole content. Without this rule, the inner service could
    /// send a 206 of a changed file or of another variant whenever the client tries
    /// again, and the layer would refuse each one.
    fn is_listed(&self, value: &HeaderValue) -> bool {
        let (Some(listed), Some(name)) = (&self.config.listed, &self.extras().file) else {
            return false;
        };
        let Ok(tag) = EntityTag::try_from(value) else { return false };
        let may_be_this = |file: &Arc<ListedFile>| {
            file.is_at_least(Trust::Checked)
                && file.is_settled(self.config.now())
                && tag.opaque().starts_with(plain_tag(file.hash()).opaque())
        };
        let (known, resource) = (&self.config.inner_validators, self.key.resource());
        let was_sent = |one: &InnerValidator| one.is_generated(&tag, &self.config.keys);
        !tag.is_weak()
            && (!known.knows(resource) || known.find(resource, was_sent).is_some())
            && listed.variants(name).any(may_be_this)
    }

    /// Returns true if the inner service may evaluate an If-Range whose value the layer
    /// does not know. That needs
    /// [`ForwardedFields::IfRange`](super::ForwardedFields::IfRange).
    ///
    /// Returns false if the layer knows a validator of this resource, or has refused a
    /// 206 of it. The client then gets the whole content. Without this rule, an inner
    /// service that ignores If-Range could send a 206 of another version whenever the
    /// client tries again, and the layer would refuse each one.
    fn may_be_inner_validator(&self, value: &HeaderValue) -> bool {
        let config = &self.config;
        config.forwarded.if_range()
            && !config.inner_validators.knows(self.key.resource())
            && match EntityTag::try_from(value) {
                Ok(tag) => !tag.is_weak() && !self.may_be_generated(tag.opaque()),
                Err(_) => HttpDate::parse(value, config.now()).is_some(),
            }
    }
}
