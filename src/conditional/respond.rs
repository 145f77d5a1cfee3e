//! From the inner response to the one that is sent.
//!
//! 1. [`ResponseContext::plan`] says whether the content is to be read for a tag.
//! 2. [`ResponseContext::respond`] gives the head its validators, evaluates the
//!    preconditions by them, and sends 304, 412 or the response.

use http::{
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, TRANSFER_ENCODING},
    response, Response, StatusCode,
};
use http_body::Body;

use super::{learning::LearnableContent, request::RequestContext};
use crate::{
    body::ResponseBody,
    exchange::{apply_decision, insert_etag, insert_last_modified, pass_on, vary_by},
    fields::insert_field,
    outcome::{Outcome, Reason},
    rules::{Current, Decision, SingleField},
    store::{ContentTag, ResponseDate},
    validators::{Digest, FreshnessPolicy, ResponseFields},
};

/// A response of the inner service, with the request that it answers.
pub(super) struct ResponseContext {
    pub(super) request: RequestContext,
    pub(super) head: response::Parts,
    pub(super) fields: ResponseFields,
    /// What the content is looked up by, if its tag is to be learned.
    pub(super) learnable: Option<Box<LearnableContent>>,
}

impl ResponseContext {
    /// Reads the head of a response, when it has the validators that an outer layer
    /// knows.
    #[inline]
    pub(super) fn new(
        request: RequestContext,
        mut head: response::Parts,
        body: &impl Body,
    ) -> Self {
        let config = &request.config;
        if let Some(known) = &request.extras().known {
            known.complete(&mut head, config.now());
        }
        let fields = ResponseFields::read(&head.headers, &config.dates.keys, || config.now());
        let mut context = Self { request, head, fields, learnable: None };
        context.learnable = LearnableContent::of(&context, body);
        context
    }

    /// Makes the response to send.
    ///
    /// `tag` is that of the content, or why there is none.
    #[inline(always)]
    pub(super) fn respond<D: Digest, B: Body>(
        mut self,
        tag: Result<ContentTag, Reason>,
        mut body: ResponseBody<B>,
    ) -> Response<ResponseBody<B>> {
        if self.fields.has_transfer_encoding && tag.is_ok() && body.size_hint().exact().is_some() {
            // It came in chunks through a proxy, and has a length now. A message has one framing.
            self.head.headers.remove(TRANSFER_ENCODING);
        }
        let untagged = tag.as_ref().err().copied();
        let has_content = !(self.request.is_head && body.is_end_stream());
        let Evaluation { decision, range_allowed } = self.evaluate(tag, has_content);
        match decision {
            Decision::NotModified => {
                let length = if self.request.is_head { None } else { self.length(&body) };
                self.request.config.reporter.counters.not_sent(length.unwrap_or(0));
                body.end(Outcome::NotModified);
            }
            Decision::PreconditionFailed => body.end(Outcome::PreconditionFailed),
            Decision::Proceed if self.request.asks_as_get() => {
                self.keep_length(&body);
                body.withhold();
            }
            Decision::Proceed => {
                if let Some(is_allowed) = range_allowed {
                    self.serve_range(is_allowed, &mut body);
                }
                if let Some(reason) = untagged {
                    self.hash_while_sent::<D, B>(reason, &mut body);
                }
            }
        }
        pass_on(self.head, body, &self.request.config.reporter)
    }

    /// Evaluates the preconditions by what is known of the response, and makes its head
    /// the one to send.
    #[inline]
    fn evaluate(&mut self, tag: Result<ContentTag, Reason>, has_content: bool) -> Evaluation {
        let (tag, untagged) = self.outgoing_tag(tag);
        if let (Some(tag), true) = (tag.as_deref(), self.may_be_ranged()) {
            self.note(self.request.tag_key(&tag.tag), untagged.is_some());
        }
        let date = self.last_modified(tag.as_deref(), has_content);
        let current = Current {
            etag: tag.as_deref().map(|tag| &tag.tag),
            last_modified: date.as_ref().map(ResponseDate::last_modified),
        };
        if self.request.extras().is_probe {
            let answer = self.request.answer_probe(current);
            self.head.extensions.insert(answer);
        }
        let decision = self.decide(current, untagged);
        let range_allowed = self.range_allowed(current);
        let config = &self.request.config;
        let is_varied = matches!(self.head.status, StatusCode::OK | StatusCode::NOT_MODIFIED);
        if config.behind_compression && is_varied {
            vary_by(&mut self.head.headers, ACCEPT_ENCODING);
        }
        // Remove fields before inserting, so that fewer are scanned.
        apply_decision(&mut self.head, decision);
        let headers = &mut self.head.headers;
        if let (Some(tag), true) = (tag, untagged.is_none() || config.is_weak()) {
            insert_etag(headers, tag.into_value());
        }
        if let Some(ResponseDate::Generated(_, text)) = date {
            let asks_each_time = self.fields.is_silent
                && config.freshness == FreshnessPolicy::NoCache
                && decision != Decision::PreconditionFailed;
            insert_last_modified(headers, text, asks_each_time);
        }
        Evaluation { decision, range_allowed }
    }

    /// Returns the tag to evaluate by and to send, and why the content has none of the
    /// layer's.
    fn outgoing_tag(
        &mut self,
        tag: Result<ContentTag, Reason>,
    ) -> (Option<ContentTag>, Option<Reason>) {
        match tag {
            Ok(tag) => (Some(tag), None),
            Err(reason) if self.request.replaces_tag(&self.head) => {
                self.head.headers.remove(ETAG);
                (None, Some(reason))
            }
            Err(reason) => {
                let inner = self.request.inner_tag(&self.fields);
                (inner.map(ContentTag::Computed), Some(reason))
            }
        }
    }

    /// Says what the preconditions ask for in place of this response.
    #[inline]
    fn decide(&self, current: Current<'_>, untagged: Option<Reason>) -> Decision {
        let (preconditions, status) = (&self.request.preconditions, self.head.status);
        // Preconditions are ignored where the response without them would be no success (RFC
        // 9110, 13.2.1).
        if preconditions.is_empty() || !status.is_success() {
            return Decision::Proceed;
        }
        let is_whole = status == StatusCode::OK;
        let is_partial = status == StatusCode::PARTIAL_CONTENT;
        // A part can be of another version: it is sent for no tag that the layer cannot have
        // generated.
        let is_known = if is_partial { !self.request.if_match_may_hold() } else { is_whole };
        let has_unknown_tag = current.etag.is_none()
            && (!is_known || untagged.is_some_and(Reason::leaves_tag_unknown));
        let is_broken = matches!(untagged, Some(Reason::BodyError | Reason::WrongLength));
        // If-Match would fail by chance where the content has a tag that was not found out.
        if is_broken || has_unknown_tag && preconditions.has_if_match() {
            return Decision::Proceed;
        }
        let mut decision = preconditions.evaluate_read(current);
        if let (Decision::Proceed, Some(etag)) = (decision, current.etag) {
            if self.request.lists_tag_with_suffix(etag) {
                decision = Decision::NotModified;
            }
        }
        // Other successes are no representation that a client could hold.
        let is_validated = current.etag.is_some() || current.last_modified.is_some();
        if decision == Decision::NotModified && !(is_whole || is_partial && is_validated) {
            return Decision::Proceed;
        }
        decision
    }

    /// Returns `Some` if the layer serves parts of this content: whether If-Range
    /// allows it.
    fn range_allowed(&self, current: Current<'_>) -> Option<bool> {
        let config = &self.request.config;
        if !config.ranges || self.head.status != StatusCode::OK {
            return None;
        }
        let is_strong = current.etag.is_some_and(|etag| !etag.is_weak());
        is_strong.then(|| self.request.preconditions.allows_range_of(current, config.now()))
    }

    /// Says in the head how long the content would be that a HEAD does not get.
    fn keep_length(&mut self, body: &impl Body) {
        let head = &mut self.head;
        let Some(length) = body.size_hint().exact() else { return };
        let may_have_length =
            !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let is_framed =
            [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| head.headers.contains_key(name));
        if may_have_length && !is_framed {
            insert_field(&mut head.headers, CONTENT_LENGTH, length.into());
        }
    }

    /// Returns how many bytes the content has, if the response says so and does not
    /// contradict itself.
    pub(super) fn length(&self, body: &impl Body) -> Option<u64> {
        let is_head = self.request.is_head;
        match (&self.fields.content_length, body.size_hint().exact()) {
            (SingleField::Value(length), Some(exact)) => {
                (is_head || *length == exact).then_some(*length)
            }
            (SingleField::Value(length), None) => Some(*length),
            // The body of a HEAD is not that of the GET.
            (SingleField::Absent, exact) => {
                if is_head {
                    None
                } else {
                    exact
                }
            }
            (SingleField::Invalid, _) => None,
        }
    }
}

/// What the preconditions of a request come to.
struct Evaluation {
    decision: Decision,
    /// `Some` if the layer serves parts of this content: whether If-Range allows it.
    range_allowed: Option<bool>,
}
