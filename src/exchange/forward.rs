//! Which conditional fields of a request the inner service may see.
//!
//! | field | not forwarded |
//! |---|---|
//! | If-Match, If-None-Match | where the layer alone knows both tags of the content |
//! | If-Modified-Since | beside If-None-Match (RFC 9110, 13.1.3), or if it is not one date |
//! | If-Unmodified-Since | beside If-Match (13.1.4), or if it is not one date |
//! | either date | also where the inner service does not know what the date stands for |
//! | Range, with If-Range | where If-Range does not hold, or the layer has to evaluate it |
//!
//! Some services evaluate less than all fields: one that knows only dates would answer
//! 304 by a date that the RFC asks to ignore, and some take the first of two dates. So
//! what is ignored is removed, and a list over several lines becomes one line: some
//! services read only the first.

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    HeaderMap, HeaderName, HeaderValue,
};

use crate::{fields::insert_field, rules::Preconditions};

/// Which conditional fields are forwarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward {
    /// If-Match and If-None-Match.
    pub(crate) tags: bool,
    pub(crate) if_modified_since: bool,
    pub(crate) if_unmodified_since: bool,
    /// Range, together with If-Range.
    pub(crate) range: bool,
}

impl Forward {
    /// Forwards what the RFC does not ask to ignore.
    pub(crate) fn new(preconditions: &Preconditions) -> Self {
        Self {
            tags: true,
            if_modified_since: !preconditions.has_if_none_match()
                && preconditions.if_modified_since_date().is_some(),
            if_unmodified_since: !preconditions.has_if_match()
                && preconditions.if_unmodified_since_date().is_some(),
            range: true,
        }
    }

    /// Removes the other fields from the head of a request.
    pub(crate) fn apply(self, preconditions: &Preconditions, headers: &mut HeaderMap) {
        if !self.tags {
            headers.remove(IF_MATCH);
            headers.remove(IF_NONE_MATCH);
        } else if preconditions.has_long_lists() {
            join_lines(headers, IF_MATCH);
            join_lines(headers, IF_NONE_MATCH);
        }
        if !self.if_modified_since {
            headers.remove(IF_MODIFIED_SINCE);
        }
        if !self.if_unmodified_since {
            headers.remove(IF_UNMODIFIED_SINCE);
        }
        if !self.range {
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
    }
}

/// Makes one line of the several that a list may have (RFC 9110, section 5.3).
fn join_lines(headers: &mut HeaderMap, name: HeaderName) {
    let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1 {
        if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b", "[..])) {
            insert_field(headers, name, joined);
        }
    }
}
