//! Decides whether the content of a response is read to make a tag.

use http::StatusCode;
use http_body::Body;

use super::respond::ResponseContext;
use crate::{
    exchange::Probe, outcome::Reason, rules::SingleField, store::HashedTag, validators::ineligible,
};

/// What to do with the content of a response.
pub(super) enum BodyPlan {
    /// Send the content as it comes, without a tag from the layer, for
    /// the given reason.
    PassThrough(Reason),
    /// As [`PassThrough`](Self::PassThrough), but the layer may learn the tag while it
    /// sends the content.
    Stream(Reason),
    /// Send the content as it comes, with the tag that was learned before or that a
    /// manifest gives.
    UseLearnedTag(HashedTag),
    /// There is no content: the tag is that of zero bytes.
    Empty,
    /// Read the content before the response is sent. The value is the length in bytes,
    /// if it is known.
    ReadAhead(Option<u64>),
}

impl ResponseContext<'_> {
    /// Decides what to do with the content of this response.
    #[inline]
    pub(super) fn plan(&mut self, body: &impl Body) -> BodyPlan {
        let plan = self.plan_body(body);
        if self.learnable.is_some() && matches!(plan, BodyPlan::PassThrough(_) | BodyPlan::Empty) {
            *self.learnable = None;
        }
        plan
    }

    #[inline]
    fn plan_body(&self, body: &impl Body) -> BodyPlan {
        let (request, fields) = (self.request, self.fields);
        if let Some(learnable) = &*self.learnable
            && let Some(tag) = learnable.lookup(request, fields)
        {
            return BodyPlan::UseLearnedTag(tag);
        }
        // Only a 200 is the whole content, so only a 200 is tagged here. A part (206) can only have
        // a tag that was learned or that a manifest gives.
        if self.head.status != StatusCode::OK {
            let is_part = self.head.status == StatusCode::PARTIAL_CONTENT;
            return if is_part && self.learnable.is_some() {
                BodyPlan::Stream(Reason::Status)
            } else {
                BodyPlan::PassThrough(Reason::Status)
            };
        }
        // An outer `PreconditionLayer` knows the tag, and adds it to the
        // response itself.
        let known = request.extras().known.as_ref();
        let is_absent = matches!(fields.etag, SingleField::Absent);
        if is_absent && known.is_some_and(|known| known.etag.is_some()) {
            return BodyPlan::PassThrough(Reason::KnownState);
        }
        // A guard that compares only dates needs no tag if the response has a date.
        let is_dated = matches!(fields.last_modified, SingleField::Value(_));
        if is_absent && is_dated && request.extras().probe == Some(Probe::Date) {
            return BodyPlan::PassThrough(Reason::KnownState);
        }
        // If the layer keeps the tag of the inner service, it need not read
        // the content.
        let inner_tag = match fields.etag {
            SingleField::Value(_) => Some(Reason::OwnTag),
            SingleField::Invalid => Some(Reason::InvalidTag),
            SingleField::Absent => None,
        };
        let inner_tag = if request.replaces_tag(self.head) { None } else { inner_tag };
        if self.learnable.is_none() {
            if let Some(reason) = inner_tag {
                return BodyPlan::PassThrough(reason);
            }
            // For learnable content, `LearnableContent::of` has already checked this.
            if let Some(reason) = ineligible(fields, self.head, request.config.tag_when()) {
                return BodyPlan::PassThrough(reason);
            }
        }
        self.plan_reading(body, inner_tag)
    }

    /// Decides what to do with content that may be tagged. `inner_tag` is `Some` if the
    /// response keeps the tag of the inner service.
    #[inline]
    fn plan_reading(&self, body: &impl Body, inner_tag: Option<Reason>) -> BodyPlan {
        let (request, fields) = (self.request, self.fields);
        let hint = body.size_hint();
        // If a HEAD has no content, the tag of the GET cannot be computed.
        if request.may_lack_content() && (body.is_end_stream() || hint.exact() == Some(0)) {
            return BodyPlan::PassThrough(Reason::EmptyHead);
        }
        let size = match (&fields.content_length, hint.exact()) {
            (SingleField::Invalid, _) => return BodyPlan::PassThrough(Reason::WrongLength),
            (SingleField::Value(length), Some(exact)) if *length != exact => {
                return BodyPlan::PassThrough(Reason::WrongLength);
            }
            (SingleField::Value(length), _) => Some(*length),
            (SingleField::Absent, exact) => exact,
        };
        let at_least = size.unwrap_or(0).max(hint.lower());
        if at_least > request.config.buffer_limit {
            return BodyPlan::Stream(inner_tag.unwrap_or(Reason::TooLarge));
        }
        // Content within the limit keeps the tag of the inner service, and the layer
        // learns no tag for it.
        if let Some(reason) = inner_tag {
            return BodyPlan::PassThrough(reason);
        }
        match (body.is_end_stream(), at_least) {
            (false, _) => BodyPlan::ReadAhead(size),
            (true, 0) => BodyPlan::Empty,
            (true, _) => BodyPlan::PassThrough(Reason::WrongLength),
        }
    }
}
