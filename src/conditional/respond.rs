//! Turns the response of the inner service into the response to send.
//!
//! 1. [`ResponseContext::plan`] decides whether the content is read to make a tag.
//! 2. [`ResponseContext::respond`] adds the validators to the head, evaluates the
//!    preconditions against them, and sends 304, 412 or the response.

use std::borrow::Cow;

use http::{
    header::{CONTENT_LENGTH, ETAG, TRANSFER_ENCODING},
    response, StatusCode,
};
use http_body::Body;

use super::{
    last_modified::SentDate,
    learning::LearnableContent,
    request::{ReadMethod, RequestContext},
};
use crate::{
    body::ResponseBody,
    exchange::{
        apply_decision, insert_etag, refuse_part, write_failed_read, GeneratedDate, PartRefusal,
    },
    header_map::insert_field,
    outcome::{Outcome, Reason},
    rules::{Current, Decision, EntityTag, SingleField},
    store::{length_text, ContentTag, InnerValidator, TagRef},
    validators::{add_no_cache, Digest, ResponseFields},
};

/// A response of the inner service, with the request that it answers.
pub(super) struct ResponseContext<'a> {
    pub(super) request: &'a RequestContext,
    pub(super) head: &'a mut response::Parts,
    pub(super) fields: &'a ResponseFields,
    /// The data with which the layer finds or learns the tag of the content. `None` if
    /// no tag can be learned.
    pub(super) learnable: &'a mut Option<Box<LearnableContent>>,
}

impl<'a> ResponseContext<'a> {
    /// Turns the head into the one to send, and returns the body to send.
    ///
    /// `tag` is the tag of the content, or the reason why there is none.
    pub(super) fn respond<D: Digest, B: Body>(
        &mut self,
        tag: Result<ContentTag, Reason>,
        mut body: ResponseBody<B>,
    ) -> ResponseBody<B> {
        if self.fields.has_transfer_encoding && tag.is_ok() && body.size_hint().exact().is_some() {
            // An upstream sent the content in chunks, and now the content has a
            // known length. A message must not have both `Transfer-Encoding`
            // and `Content-Length`.
            self.head.headers.remove(TRANSFER_ENCODING);
        }
        let untagged = tag.as_ref().err().copied();
        let has_content = !(self.request.may_lack_content() && body.is_end_stream());
        let is_encoded = self.is_encoded_on_the_fly(&body);
        // It tells apart two contents to which the inner service gave one date.
        let length = if self.fields.last_modified.is_present() { self.length(&body) } else { None };
        let action = self.evaluate(tag, has_content, is_encoded, length);
        #[cfg(feature = "shared-tags")]
        if untagged.is_some() {
            self.ask_store();
        }
        self.act::<D, B>(action, untagged, &mut body);
        if self.request.config.encodes_outside() {
            self.vary_by_coding();
        }
        if self.request.config.is_compressed {
            self.prepare_for_compression(&mut body);
        }
        let (reporter, head) = (&self.request.config.reporter, &mut *self.head);
        reporter.report(body.outcome(), head.status, &mut head.extensions);
        body
    }

    /// Turns the body into the one to send.
    #[inline]
    fn act<D: Digest, B: Body>(
        &mut self,
        action: Action,
        untagged: Option<Reason>,
        body: &mut ResponseBody<B>,
    ) {
        match action {
            Action::NotModified { is_part } => self.end_not_modified(is_part, body),
            Action::PreconditionFailed => self.end_precondition_failed(body),
            Action::RefusePart => body.end(Outcome::PartRefused),
            Action::Send { .. } if self.request.asks_as_get() => {
                self.keep_length(body);
                body.withhold();
            }
            Action::Send { range_allowed } => {
                if let Some(is_allowed) = range_allowed {
                    self.serve_range(is_allowed, body);
                }
                let learnable = self.learnable.as_ref();
                if untagged.is_some() || learnable.is_some_and(|content| content.is_unverified()) {
                    self.hash_while_sent::<D, B>(untagged, body);
                }
            }
        }
    }

    /// Evaluates the preconditions against the validators of the response, and turns
    /// its head into the one to send.
    fn evaluate(
        &mut self,
        tag: Result<ContentTag, Reason>,
        has_content: bool,
        is_encoded: bool,
        length: Option<u64>,
    ) -> Action {
        let untagged = tag.as_ref().err().copied();
        let inner_tag = if untagged.is_some() { self.kept_tag() } else { None };
        let known = match &tag {
            Ok(tag) => Some(tag.borrowed()),
            Err(_) => inner_tag.as_deref().map(TagRef::from),
        };
        let may_generate = self.may_generate_date(known, has_content);
        let date = self.last_modified(known, may_generate, length);
        let etag = known.map(|tag| tag.tag);
        let current = Current { etag: self.tag_of_part(etag).or(etag), date: Some(date.evidence) };
        let refusal = self.refused_part(current);
        self.note_inner_validators(known, date.evidence);
        self.answer_probe(current);
        if let Some(refusal) = refusal {
            refuse_part(self.head, refusal);
            return Action::RefusePart;
        }
        let decision = self.decide(current, untagged);
        // Content that is encoded on the fly may have other bytes each time: no parts.
        let range_allowed = if is_encoded { None } else { self.range_allowed(current) };
        let config = &self.request.config;
        let is_part = self.head.status == StatusCode::PARTIAL_CONTENT;
        if let (true, Some(etag), None) = (config.repr_digest, etag, untagged) {
            self.add_repr_digest(etag, decision);
        }
        let is_coded = self.set_coded_tag(etag, decision, untagged.is_some(), is_encoded);
        // Remove fields before inserting, so that fewer are scanned.
        apply_decision(self.head, decision);
        let headers = &mut self.head.headers;
        if !is_coded {
            if let Ok(tag) = tag {
                insert_etag(headers, tag.into_value());
            } else if let (Some(etag), true) = (etag, config.outer_compression.keeps_tags) {
                insert_etag(headers, etag.into());
            }
        }
        self.add_date(date.sent, may_generate && decision != Decision::PreconditionFailed);
        match decision {
            Decision::NotModified => Action::NotModified { is_part },
            Decision::PreconditionFailed => Action::PreconditionFailed,
            Decision::Proceed => Action::Send { range_allowed },
        }
    }

    /// Adds `Repr-Digest`, if the layer hashed the content.
    ///
    /// A tag does not prove that the layer hashed the content: a tag from a manifest is
    /// at first not compared with the content.
    fn add_repr_digest(&mut self, etag: &EntityTag, decision: Decision) {
        if self.learnable.as_ref().is_none_or(|learnable| !learnable.is_unverified()) {
            self.set_repr_digest(etag, decision);
        }
    }

    /// Sets `Last-Modified`, and the fields and extensions that a generated date needs.
    #[inline]
    fn add_date(&mut self, date: SentDate, may_generate: bool) {
        let is_generated = matches!(date, SentDate::Generated(_));
        date.set(&mut self.head.headers, &self.fields.last_modified);
        if may_generate && self.asks_each_time() {
            add_no_cache(&mut self.head.headers);
        }
        if is_generated && self.request.extras().is_date_withheld {
            self.head.extensions.insert(GeneratedDate);
        }
    }

    /// Returns how to refuse a 206 or 416 that may be of another version than the one
    /// that If-Range names. `None` for other responses.
    #[inline]
    fn refused_part(&self, current: Current<'_>) -> Option<PartRefusal> {
        let refusal = self.request.part_refusal?;
        if !self.is_other_part(current) {
            return None;
        }
        // The layer remembers the refusal, so that the retry gets the whole content.
        self.request.config.inner_validators.refuse_part(self.request.key.resource());
        Some(refusal)
    }

    /// Returns the tag that an outer layer knows, for a 206 or 416 without a strong
    /// tag. The outer layer verifies that the response is of the version with this tag.
    fn tag_of_part(&self, own: Option<&EntityTag>) -> Option<&'a EntityTag> {
        match self.head.status {
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE
                if self.request.preconditions.binds_range()
                    && own.is_none_or(EntityTag::is_weak) =>
            {
                self.request.tag_known_outside()
            }
            _ => None,
        }
    }

    /// If the request is the GET that a guard sends before a write, gives the guard
    /// the validators.
    #[inline]
    fn answer_probe(&mut self, current: Current<'_>) {
        if self.request.extras().probe.is_some() {
            self.head.extensions.insert(self.request.answer_probe(current));
        }
    }

    /// Returns true if the response needs `no-cache`, because a generated date would
    /// make it heuristically fresh.
    ///
    /// Deliberately also true in the first seconds, in which the date is not sent yet:
    /// `Cache-Control` is then the same as later.
    #[inline]
    fn asks_each_time(&self) -> bool {
        matches!(self.fields.last_modified, SingleField::Absent)
            && self.request.config.add_last_modified.adds_no_cache(self.fields.is_silent)
    }

    /// Returns true if this 206 or 416 may be of another version than the one that
    /// If-Range names.
    fn is_other_part(&self, current: Current<'_>) -> bool {
        let RequestContext { config, preconditions, .. } = self.request;
        let is_named = || preconditions.allows_range_of(current, config.now());
        match self.head.status {
            StatusCode::PARTIAL_CONTENT => !is_named() || self.has_date_of_another_length(),
            StatusCode::RANGE_NOT_SATISFIABLE
                if self.request.tag_known_outside().is_some() && is_named() =>
            {
                false
            }
            // A 416 means that the client already has all of the content, or that the
            // content is shorter now. If the length is that of the version that
            // If-Range names, the content is not shorter.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let length = self.complete_length();
                length.is_none() || !self.has_named(|known| known.length == length)
            }
            _ => false,
        }
    }

    /// Returns true if If-Range is a date that the inner service gave to content of
    /// another length than this 206 states. Then two contents have this date.
    fn has_date_of_another_length(&self) -> bool {
        let is_date = |value| EntityTag::try_from(value).is_err();
        let length = self.complete_length();
        length.is_some()
            && self.request.preconditions.if_range_value().is_some_and(is_date)
            && self.has_named(|_| true)
            && !self.has_named(|known| known.length.is_none() || known.length == length)
    }

    /// Returns true if the layer remembers validators that If-Range names, and for
    /// which `claim` is true.
    fn has_named(&self, claim: impl Fn(&InnerValidator) -> bool) -> bool {
        let RequestContext { config, preconditions, key, .. } = self.request;
        let Some(value) = preconditions.if_range_value() else { return false };
        let is_it = |known: &InnerValidator| {
            claim(known) && known.is_named_by(value, &config.keys, config.now())
        };
        config.inner_validators.find(key.resource(), is_it).is_some()
    }

    /// Returns the tag of the inner service, for content that has no tag of this layer.
    ///
    /// If no tag of the inner service may be sent, removes `ETag` and returns `None`.
    fn kept_tag(&mut self) -> Option<Cow<'a, EntityTag>> {
        if self.request.replaces_tag(self.head) {
            self.head.headers.remove(ETAG);
            return None;
        }
        self.inner_tag()
    }

    /// Decides by the preconditions what to send.
    #[inline]
    fn decide(&self, current: Current<'_>, untagged: Option<Reason>) -> Decision {
        let (preconditions, status) = (&self.request.preconditions, self.head.status);
        // Preconditions are ignored if the response without them is not a success (RFC
        // 9110, 13.2.1).
        if preconditions.is_empty() || !status.is_success() {
            return Decision::Proceed;
        }
        // A 203 is a 200 that an inner proxy has transformed.
        let is_whole = matches!(status, StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION);
        let is_partial = status == StatusCode::PARTIAL_CONTENT;
        // A 206 without a tag may be of any version, so If-Match fails. One exception:
        // the 206 is sent if If-Match may name a generated tag.
        let is_known = if is_partial { !self.request.if_match_may_hold() } else { is_whole };
        let has_unknown_tag = current.etag.is_none()
            && (!is_known || untagged.is_some_and(Reason::leaves_tag_unknown));
        let is_broken = matches!(untagged, Some(Reason::BodyError | Reason::WrongLength));
        // If the layer did not compute the tag, the content may have the tag that
        // If-Match names. So If-Match must not fail.
        if is_broken || has_unknown_tag && preconditions.has_if_match() {
            return Decision::Proceed;
        }
        let is_query = self.request.method == ReadMethod::Query;
        let mut decision = preconditions.evaluate_read(current, is_query);
        if let (Decision::Proceed, Some(etag)) = (decision, current.etag)
            && self.request.lists_tag_with_suffix(etag)
        {
            decision = Decision::NotModified;
        }
        if decision != Decision::NotModified {
            return decision;
        }
        // Only a 200, a 203, or a 206 with validators becomes a 304.
        let is_dated = current.date.is_some_and(|date| date.date().is_some());
        let is_validated = current.etag.is_some() || is_dated;
        // The 304 would carry a new nonce, but the client's copy contains the old one.
        let is_stale_nonce = self.fields.has_nonce && self.request.config.tag_when.is_none();
        if is_stale_nonce || !(is_whole || is_partial && is_validated) {
            return Decision::Proceed;
        }
        decision
    }

    /// Returns whether If-Range allows a 206. `None` if the layer does not serve ranges
    /// of this content.
    fn range_allowed(&self, current: Current<'_>) -> Option<bool> {
        let config = &self.request.config;
        let is_whole = self.head.status == StatusCode::OK && !self.fields.has_content_range;
        if !config.ranges || !is_whole || !self.allows_parts() {
            return None;
        }
        let is_strong = current.etag.is_some_and(|etag| !etag.is_weak());
        let preconditions = &self.request.preconditions;
        is_strong.then(|| {
            preconditions.allows_range_of(current, config.now())
                && preconditions.date_allows_range_of(current)
        })
    }

    /// Returns true if parts (206) of the content may have the tag of the content.
    pub(super) fn allows_parts(&self) -> bool {
        self.learnable.as_ref().is_none_or(|content| content.allows_parts())
    }

    /// Gives a 304 an empty body. If the length of the 200 is known, and no compression
    /// outside may change it, the 304 has it in `Content-Length` (RFC 9110, 8.6).
    ///
    /// Otherwise `Content-Length: 0` would be wrong. Axum adds this field to a body of
    /// exactly zero bytes, so the body gets an unknown size. One exception: if the
    /// client accepts a coding, the body has exactly zero bytes. An outer
    /// `CompressionLayer` would encode a body of unknown size, and an encoded 304
    /// breaks HTTP/2. (With `compress_with`, the body later gets an unknown size in
    /// this case, too, because [`prepare_for_compression`] prevents the encoding.)
    ///
    /// [`prepare_for_compression`]: Self::prepare_for_compression
    fn end_not_modified<B: Body>(&mut self, is_part: bool, body: &mut ResponseBody<B>) {
        let config = &self.request.config;
        let length = self.length(body);
        if !self.request.is_head() {
            config.reporter.counters.not_sent(length.unwrap_or(0));
        }
        body.end(Outcome::NotModified);
        // The length of a 206 is not that of the 200.
        let length = if is_part { None } else { length };
        match length {
            _ if !self.request.accepts_coding && (length.is_none() || config.encodes_outside()) => {
                body.end_of_unknown_size(Outcome::NotModified);
            }
            // The length is that of the content before an outer layer encodes it, so it
            // is not sent.
            _ if config.encodes_outside() => {}
            Some(length) => {
                insert_field(&mut self.head.headers, CONTENT_LENGTH, length_text(length));
            }
            None => {}
        }
    }

    /// Ends the body of a 412, or makes it a problem document.
    #[cold]
    fn end_precondition_failed<B: Body>(&mut self, body: &mut ResponseBody<B>) {
        let outcome = Outcome::PreconditionFailed;
        body.end(outcome);
        if self.request.config.problem_details && !self.request.is_head() {
            let problem = write_failed_read(self.head, &self.request.preconditions);
            *body = ResponseBody::whole(problem.into(), outcome);
        }
    }

    /// Sets the `Content-Length` of the content that is dropped because the request is
    /// a HEAD.
    fn keep_length(&mut self, body: &impl Body) {
        let head = &mut *self.head;
        let Some(length) = body.size_hint().exact() else { return };
        let may_have_length =
            !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let is_framed =
            [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| head.headers.contains_key(name));
        if may_have_length && !is_framed {
            insert_field(&mut head.headers, CONTENT_LENGTH, length.into());
        }
    }

    /// Returns the length of the content that the head or the body states. `None` if
    /// both are silent, or if they contradict each other.
    pub(super) fn length(&self, body: &impl Body) -> Option<u64> {
        let may_lack_content = self.request.may_lack_content();
        match (&self.fields.content_length, body.size_hint().exact()) {
            (SingleField::Value(length), Some(exact)) => {
                (may_lack_content || *length == exact).then_some(*length)
            }
            (SingleField::Value(length), None) => Some(*length),
            // If a HEAD has no content, the length of the GET's content is not known.
            (SingleField::Absent, Some(0)) if may_lack_content => None,
            (SingleField::Absent, exact) => exact,
            (SingleField::Invalid, _) => None,
        }
    }
}

/// What to do with a response.
#[derive(Clone, Copy)]
enum Action {
    /// `is_part` is true if the response of the inner service is a 206.
    NotModified {
        is_part: bool,
    },
    PreconditionFailed,
    /// Do not send this 206 or 416, because it may be of another version.
    RefusePart,
    /// `range_allowed` is the result of [`ResponseContext::range_allowed`].
    Send {
        range_allowed: Option<bool>,
    },
}
