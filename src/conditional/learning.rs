//! Learned tags of large content: the layer computes the tag while it sends the
//! content, and sends the tag with later responses.

use std::sync::Arc;

use http::{
    header::{CONTENT_ENCODING, CONTENT_RANGE},
    HeaderMap, HeaderValue, StatusCode,
};
use http_body::Body;

use super::{
    config::Config,
    request::{ReadMethod, RequestContext},
    respond::ResponseContext,
};
use crate::{
    body::{FrameHasher, OnComplete, ResponseBody, Size},
    outcome::Reason,
    rules::{content_range, single_line, EntityTag, SingleField, TakesTrailers},
    store::{fingerprint, is_settled, shows_variant, HashedTag, Key, ListedFile, Trust},
    trace::wrong_manifest,
    validators::{ineligible, plain_tag, tag_of_hash, Digest, ResponseFields, Sha256},
};

/// The data with which the layer finds or learns the tag of a response's content.
#[derive(Debug)]
pub(super) struct LearnableContent {
    /// The key of the resource and variant.
    key: Key,
    /// The hash of what the inner service says about the content: its tag or date, and
    /// its length, type, encoding and language.
    pub(super) fingerprint: Key,
    /// The fingerprint is made from a tag, not from a date.
    by_tag: bool,
    /// The learned tag may be stored: the fingerprint identifies the content, the
    /// content did not change within the last two seconds, and its length is known.
    ///
    /// Content of unknown length may break off, and its body may still end without an
    /// error: the connection to an upstream was closed, or an HTTP/2 stream was reset
    /// with NO_ERROR. The hash of a part would then be sent with the whole content.
    may_store: bool,
    /// The tag of the content, if it was learned or if a manifest gives it.
    known: Option<EntityTag>,
    /// The file of a manifest, if the layer has not compared its hash with the
    /// content yet.
    listed: Option<Arc<ListedFile>>,
    /// The tag may be shared with other servers.
    #[cfg(feature = "shared-tags")]
    pub(super) is_shared: bool,
}

/// Stores the tag of one content as soon as it is known. That may be after the response
/// has ended.
pub(super) struct Learner {
    pub(super) config: Arc<Config>,
    key: Key,
    pub(super) fingerprint: Key,
    noted: Option<Noted>,
}

/// Identifies the stored validators of this content, to which the learned tag is added.
/// `tag` is the strong tag of the inner service.
struct Noted {
    resource: u64,
    variant: u64,
    tag: Box<[u8]>,
}

impl Learner {
    pub(super) fn learn(&self, tag: &EntityTag) {
        let config = &self.config;
        let Some(learned) = &config.learned else { return };
        learned.insert(self.key, self.fingerprint, tag.clone());
        // From now on a client may send the learned tag in If-Range.
        if let Some(Noted { resource, variant, tag: inner }) = &self.noted {
            config.inner_validators.learn((*resource, *variant), inner, tag, &config.keys);
        }
    }
}

impl LearnableContent {
    /// Makes this from the head of a response. `None` if no tag can be learned.
    ///
    /// Boxed, so that layers that do not learn hold no space for it.
    pub(super) fn of(context: &ResponseContext<'_>, body: &impl Body) -> Option<Box<Self>> {
        Self::read(context, body).map(Box::new)
    }

    fn read(context: &ResponseContext<'_>, body: &impl Body) -> Option<Self> {
        let ResponseContext { request, head, fields, .. } = context;
        let config = &request.config;
        let length = Self::complete_length(context, body)?;
        let tag = fields.etag.value();
        let date = fields.last_modified.value().copied();
        let is_strong = tag.is_some_and(|tag| !tag.is_weak());
        let evident_date = if is_strong { None } else { date };
        let is_dated = date.is_some() && length.is_some();
        // A strong tag distinguishes all representations of a resource, but a date does
        // not. The key distinguishes variants only by short hashes. So a date counts
        // only if the head itself shows the variant. The date and length of one user's
        // content prove nothing about the content of another user.
        let is_by_date = config.inner_tags.trusts_dates()
            && is_dated
            && !fields.is_private
            && fields.varied.is_some_and(shows_variant);
        let is_evident = is_strong || is_by_date;
        // The date deliberately counts even if there is an inner tag, because that tag
        // is often made from the date.
        let is_settled = date.is_none_or(|date| is_settled(date, config.now()));
        let length_listed = if is_settled && (is_strong || is_dated) { length } else { None };
        let listed = length_listed.and_then(|length| context.listed_file(length));
        if !is_evident && listed.is_none() {
            return None;
        }
        let fingerprint = fingerprint(&config.keys, tag, evident_date, length, &head.headers);
        let key = request.extras().learned_key?;
        let key = key.of_variant(request.key.variant(fields.varied?)?);
        let may_store = is_evident && is_settled && length.is_some();
        let mut content = Self {
            key,
            fingerprint,
            by_tag: is_strong,
            may_store,
            known: None,
            listed: None,
            #[cfg(feature = "shared-tags")]
            is_shared: may_store && context.may_share(length),
        };
        if is_evident {
            content.known = config.learned.as_ref()?.lookup(key, fingerprint);
        }
        match listed {
            Some(file) if content.known.is_none() => content.take_listed(file, context),
            _ => {}
        }
        Some(content)
    }

    /// Returns the length of the whole content, as `Some(None)` if it is not known.
    /// `None` if no tag can be learned from such a response.
    fn complete_length(context: &ResponseContext<'_>, body: &impl Body) -> Option<Option<u64>> {
        let ResponseContext { request, head, fields, .. } = context;
        // No tag is learned for the GET of a guard (a probe), for a QUERY, or if
        // another layer of this crate knows the validators.
        if request.extras().probe.is_some()
            || request.method == ReadMethod::Query
            || !request.has_no_known_validators(head)
        {
            return None;
        }
        // Content that is encoded on the fly may have other bytes each time, with the
        // same tag.
        if context.is_encoded_on_the_fly(body) {
            return None;
        }
        let length = match head.status {
            StatusCode::OK => context.length(body),
            StatusCode::PARTIAL_CONTENT => context.complete_length(),
            _ => return None,
        };
        let is_ineligible = || {
            let tag_when = request.config.tag_when();
            head.status == StatusCode::OK && ineligible(fields, head, tag_when).is_some()
        };
        (!fields.is_no_store && !is_ineligible()).then_some(length)
    }

    /// Takes the tag from a manifest. A part (206) gets this tag only if the
    /// manifest was compared with the file. Otherwise this file could differ from
    /// the manifest, and a client could join its parts to parts of the right file
    /// from another server.
    fn take_listed(&mut self, file: &Arc<ListedFile>, context: &ResponseContext<'_>) {
        let ResponseContext { head, fields, .. } = context;
        if head.status == StatusCode::OK || file.is_at_least(Trust::Checked) {
            let (hash, headers) = (file.hash(), &head.headers);
            self.known = Some(tag_of_hash::<Sha256>(hash, fields.is_negotiated, headers));
        }
        if !file.is_at_least(Trust::Verified) {
            self.listed = Some(Arc::clone(file));
        }
    }

    #[cfg(feature = "shared-tags")]
    pub(super) fn is_unknown(&self) -> bool {
        self.known.is_none()
    }

    /// Returns true if parts (206) of the content may have the tag of the content.
    /// False if the tag is from a manifest that was not compared with the file.
    pub(super) fn allows_parts(&self) -> bool {
        self.listed.as_ref().is_none_or(|file| file.is_at_least(Trust::Checked))
    }

    /// Returns true if the tag is from a manifest, and the layer has not compared its
    /// hash with the content yet.
    pub(super) fn is_unverified(&self) -> bool {
        self.listed.is_some()
    }

    /// Returns the tag of the content, if it is known.
    pub(super) fn lookup(
        &self,
        request: &RequestContext,
        fields: &ResponseFields,
    ) -> Option<HashedTag> {
        let tag = self.known.clone()?;
        match &fields.etag {
            // The client sent the inner service's tag of this content, so the response
            // keeps that tag.
            SingleField::Value(inner)
                if request.config.inner_tags.keeps_learned() && request.lists_tag(inner) =>
            {
                None
            }
            _ => Some(request.outgoing_tag(tag)),
        }
    }

    /// Returns the identity of this content for the memory of dates, if the inner
    /// service gives a strong tag. The identity is made from that tag, so it stays the
    /// same when the layer later learns its own tag for the content.
    pub(super) fn identity(&self) -> Option<u64> {
        self.by_tag.then(|| self.fingerprint.short())
    }

    /// Stores the tag of content that was read to its end.
    pub(super) fn store(&self, request: &RequestContext, tag: &EntityTag) {
        if let (Some(learned), true) = (&request.config.learned, self.may_store) {
            learned.insert(self.key, self.fingerprint, tag.clone());
        }
    }

    /// Returns the function that stores the tag once all of the content has been sent.
    fn store_when_sent(&self, context: &ResponseContext<'_>) -> Option<OnComplete> {
        let learner = self.may_store.then(|| self.learner(context));
        let listed = self.listed.clone().zip(context.request.config.listed.clone());
        if learner.is_none() && listed.is_none() {
            return None;
        }
        #[cfg(feature = "shared-tags")]
        let resource = context.request.extras().learned_key.filter(|_| self.is_shared);
        Some(OnComplete::Learn(Box::new(move |tag| {
            if let Some((file, listed)) = listed {
                let is_right = tag.opaque().starts_with(plain_tag(file.hash()).opaque());
                if listed.settle(&file, is_right) {
                    wrong_manifest!(file.name());
                }
            }
            if let Some(learner) = learner {
                learner.learn(&tag);
                #[cfg(feature = "shared-tags")]
                learner.publish(resource, &tag);
            }
        })))
    }

    pub(super) fn learner(&self, context: &ResponseContext<'_>) -> Learner {
        let ResponseContext { request, fields, .. } = context;
        let config = &request.config;
        // A weak tag never matches in If-Range.
        let is_sent_strong = self.by_tag && !config.outer_compression.keeps_tags;
        let inner = fields.etag.value().filter(|_| is_sent_strong);
        let noted = inner.and_then(|inner| {
            let variant = request.key.variant(fields.varied?)?;
            let (resource, tag) = (request.key.resource(), inner.as_bytes().into());
            Some(Noted { resource, variant, tag })
        });
        let Self { key, fingerprint, .. } = *self;
        Learner { config: Arc::clone(config), key, fingerprint, noted }
    }

    /// Returns the function that keeps the unfinished hash once the bytes before `next`
    /// have been sent.
    fn keep_when_sent(&self, request: &RequestContext, next: u64) -> OnComplete {
        let unfinished = Arc::clone(&request.config.unfinished);
        let content = (self.key, self.fingerprint);
        OnComplete::Continue(Box::new(move |hash| unfinished.keep(content, next, hash)))
    }
}

impl ResponseContext<'_> {
    /// Returns the file of the manifest for this content, if its line is still valid.
    fn listed_file(&self, length: u64) -> Option<&Arc<ListedFile>> {
        let Self { request, head, fields, .. } = self;
        let config = &request.config;
        let (files, name) = (config.listed.as_ref()?, request.extras().file.as_deref()?);
        let coding = single_line(&head.headers, CONTENT_ENCODING).map(HeaderValue::as_bytes);
        if coding.is_none() && fields.has_content_encoding {
            return None;
        }
        let file = files.find(name, coding)?;
        let (tag, date) = (fields.etag.value(), fields.last_modified.value().copied());
        let evident_date = if tag.is_some_and(|tag| !tag.is_weak()) { None } else { date };
        // This hash deliberately has no type and no coding: a file such as `app.js.gz`
        // can be requested by its name, or be sent as the encoding of `app.js`.
        let none = HeaderMap::new();
        let validators = fingerprint(&config.keys, tag, evident_date, Some(length), &none);
        file.holds_for(validators, date, length).then_some(file)
    }

    /// Hashes content while it is sent, if its tag can be learned, or if tag and digest
    /// can be sent as trailers.
    pub(super) fn hash_while_sent<D: Digest, B: Body>(
        &mut self,
        reason: Option<Reason>,
        body: &mut ResponseBody<B>,
    ) {
        let takes_trailers = self.request.extras().takes_trailers;
        let is_wanted = self.learnable.is_some() || takes_trailers != TakesTrailers::Never;
        if !is_wanted || self.request.is_head() {
            return;
        }
        match self.head.status {
            StatusCode::OK => {}
            StatusCode::PARTIAL_CONTENT => return self.hash_part_while_sent::<D, B>(body),
            _ => return,
        }
        let length = self.length(body);
        let is_unread =
            matches!(reason, Some(Reason::TooLarge | Reason::TooManyFrames | Reason::NotReady));
        let learn = self.learnable.as_ref().and_then(|learnable| learnable.store_when_sent(self));
        let may_follow = learn.is_some() || is_unread;
        let trailer = if may_follow { self.trailer_fields(length) } else { None };
        if learn.is_none() && trailer.is_none() {
            return;
        }
        let variant = self.fields.is_negotiated.then_some(&self.head.headers);
        let size = Size { exact: length, least: body.size_hint().lower() };
        let counters = Arc::clone(&self.request.config.reporter.counters);
        let hasher = FrameHasher::new::<D>(variant, size, learn, counters);
        body.hash(hasher.with_trailer(trailer));
    }

    /// Hashes a part (206) while it is sent, if it is the first part or follows the
    /// previous part without a gap.
    ///
    /// In this way the layer learns the tag of a file even if clients request the file
    /// only in parts.
    fn hash_part_while_sent<D: Digest, B: Body>(&mut self, body: &mut ResponseBody<B>) {
        let (request, Some(learnable)) = (self.request, &*self.learnable) else { return };
        let part = self.head.headers.get(CONTENT_RANGE).and_then(content_range);
        let Some((range, length)) = part else { return };
        let on_complete = if range.end == length {
            learnable.store_when_sent(self)
        } else {
            let is_wanted = learnable.may_store || learnable.is_unverified();
            is_wanted.then(|| learnable.keep_when_sent(request, range.end))
        };
        if on_complete.is_none() {
            return;
        }
        let bytes = range.end - range.start;
        let size = Size { exact: Some(bytes), least: bytes };
        let counters = Arc::clone(&request.config.reporter.counters);
        let hasher = if range.start == 0 {
            let variant = self.fields.is_negotiated.then_some(&self.head.headers);
            FrameHasher::new::<D>(variant, size, on_complete, counters)
        } else {
            let content = (learnable.key, learnable.fingerprint);
            let Some(hash) = request.config.unfinished.take(content, range.start) else { return };
            FrameHasher::resume(hash, size, on_complete, counters)
        };
        body.hash(hasher);
    }
}
