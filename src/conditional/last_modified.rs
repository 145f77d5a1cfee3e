//! The date of a response, given by the inner service or generated.

use http::StatusCode;

use super::respond::ResponseContext;
use crate::{
    rules::SingleField,
    store::{HashedTag, Key, Observation, ResponseDate},
    validators::FreshnessPolicy,
};

impl ResponseContext {
    /// Returns the date of this response, and what a client's date proves about it.
    #[inline]
    pub(super) fn last_modified(
        &self,
        tag: Option<&HashedTag>,
        has_content: bool,
    ) -> Option<ResponseDate> {
        let (request, head, fields) = (&self.request, &self.head, &self.fields);
        let (config, dates) = (&*request.config, &*request.config.dates);
        let status = head.status;
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return None;
        }
        let generate = config.last_modified
            && matches!(fields.last_modified, SingleField::Absent)
            && tag.is_some()
            && status == StatusCode::OK
            && has_content
            && !fields.is_no_store
            // The layer that evaluates writes knows of no date, and would ignore one that comes
            // back.
            && request.has_no_known_validators(head)
            && !(fields.is_silent && config.freshness == FreshnessPolicy::OmitLastModified);
        let given = fields.last_modified.value().copied();
        let may_be_ranged = self.may_be_ranged();
        if may_be_ranged {
            self.note(given.and_then(|date| request.date_key(date)), true);
        }
        // Where there are no dates, nothing asks for tags.
        let needs_tag = generate || given.is_some() || dates.is_used();
        let identity = || {
            let learnable = self.learnable.as_ref().and_then(|learnable| learnable.identity());
            learnable.or_else(|| Some(tag?.id(&dates.keys)))
        };
        let observation = Observation {
            tag: if needs_tag { identity() } else { None },
            given,
            generate,
            varied: fields.varied,
        };
        let date = dates.observe(&request.key, observation, config.now());
        if let (Some(ResponseDate::Generated(date, _)), true) = (&date, may_be_ranged) {
            self.note(request.date_key(*date), false);
        }
        date
    }

    /// Returns true if clients may ask for parts of this content, and send its
    /// validators in If-Range.
    pub(super) fn may_be_ranged(&self) -> bool {
        self.head.status == StatusCode::PARTIAL_CONTENT || self.fields.has_accept_ranges
    }

    /// Notes whether the inner service supplied a validator that looks like one of the
    /// layer's.
    pub(super) fn note(&self, validator: Option<Key>, supplied: bool) {
        if let Some(validator) = validator {
            self.request.config.dates.note(validator, supplied);
        }
    }
}
