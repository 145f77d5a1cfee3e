//! Large content: learns its tag while it is sent, and looks it up from then on.

use std::sync::Arc;

use http::{
    header::{CONTENT_RANGE, TRAILER},
    HeaderValue, StatusCode,
};
use http_body::Body;

use super::{
    request::{ReadMethod, RequestContext},
    respond::ResponseContext,
};
use crate::{
    body::{FrameHasher, OnComplete, ResponseBody, Size},
    fields::append_field,
    outcome::Reason,
    rules::{content_range, EntityTag, SingleField, TakesTrailers},
    store::{fingerprint, HashedTag, Key},
    validators::{ineligible, Digest, ResponseFields},
};

/// What the inner service says about its content, to look up the tag of that content.
#[derive(Debug)]
pub(super) struct LearnableContent {
    /// The resource and variant.
    key: Key,
    fingerprint: Key,
    /// The fingerprint is made of a tag.
    by_tag: bool,
    /// The tag may be stored: the content did not change within the last two seconds.
    is_settled: bool,
}

impl LearnableContent {
    /// Reads the head of a response; `None` if nothing can be learned.
    ///
    /// Boxed, because few layers learn.
    #[inline]
    pub(super) fn of(context: &ResponseContext<'_>, body: &impl Body) -> Option<Box<Self>> {
        context.request.config.learned.as_ref()?;
        Self::read(context, body).map(Box::new)
    }

    fn read(context: &ResponseContext<'_>, body: &impl Body) -> Option<Self> {
        let ResponseContext { request, head, fields, .. } = context;
        let config = &request.config;
        // The validators of a source stand for the representation, whatever its
        // content.
        if request.extras().probe.is_some()
            || request.method == ReadMethod::Query
            || !request.has_no_known_validators(head)
        {
            return None;
        }
        // Its bytes differ from time to time, whatever the tag says.
        if context.is_encoded_on_the_fly(body) {
            return None;
        }
        let length = match head.status {
            StatusCode::OK => context.length(body),
            StatusCode::PARTIAL_CONTENT => context.complete_length(),
            _ => return None,
        };
        let is_ineligible = || {
            head.status == StatusCode::OK && ineligible(fields, head, config.tag_when()).is_some()
        };
        if fields.is_no_store || is_ineligible() {
            return None;
        }
        let tag = fields.etag.value();
        let date = fields.last_modified.value().copied();
        let is_strong = tag.is_some_and(|tag| !tag.is_weak());
        let evident_date = if is_strong { None } else { date };
        let is_evident =
            is_strong || config.inner_tags.trusts_dates() && date.is_some() && length.is_some();
        if !is_evident {
            return None;
        }
        let fingerprint = fingerprint(&config.keys, tag, evident_date, length, &head.headers);
        // An inner tag is often made of a date. While the content may still change
        // within that second, such a tag does not name one content.
        let now = config.now();
        let is_settled = date.is_none_or(|date| date.next_second().next_second() <= now);
        let key = request.extras().learned_key?;
        let key = key.of_variant(request.key.variant(fields.varied?)?);
        Some(Self { key, fingerprint, by_tag: is_strong, is_settled })
    }

    /// Returns the tag of the content, if it was learned.
    pub(super) fn lookup(
        &self,
        request: &RequestContext,
        fields: &ResponseFields,
    ) -> Option<HashedTag> {
        let config = &request.config;
        let tag = config.learned.as_ref()?.lookup(self.key, self.fingerprint)?;
        match &fields.etag {
            // The client holds the inner tag, which stands for the same content.
            SingleField::Value(inner)
                if config.inner_tags.keeps_learned() && request.lists_tag(inner) =>
            {
                None
            }
            _ => Some(request.outgoing_tag(tag)),
        }
    }

    /// Returns what identifies this content to the memory of dates, before its tag is
    /// known and after, where the inner service gives a tag.
    pub(super) fn identity(&self) -> Option<u64> {
        self.by_tag.then(|| self.fingerprint.short())
    }

    /// Stores the tag of content that was read to its end.
    pub(super) fn store(&self, request: &RequestContext, tag: &EntityTag) {
        if let (Some(learned), true) = (&request.config.learned, self.is_settled) {
            learned.insert(self.key, self.fingerprint, tag.clone());
        }
    }

    /// Returns the function that stores the tag once all content was sent.
    fn store_when_sent(&self, request: &RequestContext) -> Option<OnComplete> {
        let learned = Arc::clone(request.config.learned.as_ref()?);
        let Self { key, fingerprint, .. } = *self;
        let store = move |tag| learned.insert(key, fingerprint, tag);
        self.is_settled.then(|| OnComplete::Learn(Box::new(store)))
    }

    /// Returns the function that keeps the hash of the parts up to `next` once they
    /// were sent.
    fn keep_when_sent(&self, request: &RequestContext, next: u64) -> OnComplete {
        let unfinished = Arc::clone(&request.config.unfinished);
        let content = (self.key, self.fingerprint);
        OnComplete::Continue(Box::new(move |hash| unfinished.keep(content, next, hash)))
    }
}

impl ResponseContext<'_> {
    /// Hashes content while it is sent, if its tag can be learned or sent after it.
    pub(super) fn hash_while_sent<D: Digest, B: Body>(
        &mut self,
        reason: Reason,
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
            matches!(reason, Reason::TooLarge | Reason::TooManyFrames | Reason::NotReady);
        let learn =
            self.learnable.as_ref().and_then(|learnable| learnable.store_when_sent(self.request));
        let on_complete = match learn {
            Some(learn) => learn,
            // It would be the tag of the plain content.
            None if self.may_be_encoded() => return,
            None if is_unread && takes_trailers.allows(length) => {
                let trailer = HeaderValue::from_static("etag");
                append_field(&mut self.head.headers, TRAILER, trailer);
                OnComplete::Trailer { weak: self.request.config.outer_compression.keeps_tags }
            }
            None => return,
        };
        let variant = self.fields.is_negotiated.then(|| self.head.headers.clone());
        let size = Size { exact: length, least: body.size_hint().lower() };
        let counters = Arc::clone(&self.request.config.reporter.counters);
        body.hash(FrameHasher::new::<D>(variant, size, on_complete, counters));
    }

    /// Hashes a part while it is sent, if it is the first, or follows the previous one
    /// without a gap.
    ///
    /// So the tag of a file is learned even if clients ask for it only in parts.
    fn hash_part_while_sent<D: Digest, B: Body>(&mut self, body: &mut ResponseBody<B>) {
        let (request, Some(learnable)) = (self.request, &*self.learnable) else { return };
        let part = self.head.headers.get(CONTENT_RANGE).and_then(content_range);
        let Some((range, length)) = part else { return };
        let on_complete = if range.end == length {
            learnable.store_when_sent(request)
        } else {
            learnable.is_settled.then(|| learnable.keep_when_sent(request, range.end))
        };
        let Some(on_complete) = on_complete else { return };
        let bytes = range.end - range.start;
        let size = Size { exact: Some(bytes), least: bytes };
        let counters = Arc::clone(&request.config.reporter.counters);
        let hasher = if range.start == 0 {
            let variant = self.fields.is_negotiated.then(|| self.head.headers.clone());
            FrameHasher::new::<D>(variant, size, on_complete, counters)
        } else {
            let content = (learnable.key, learnable.fingerprint);
            let Some(hash) = request.config.unfinished.take(content, range.start) else { return };
            FrameHasher::resume(hash, size, on_complete, counters)
        };
        body.hash(hasher);
    }
}
