//! Decides which conditional fields of a request are withheld: the layer removes them,
//! so that the inner service does not see them.
//!
//! | field | withheld |
//! |---|---|
//! | tags and dates | by `ConditionalLayer` with `InnerTags::learn` or `replace` |
//! | a tag with a coding, as `"v1~gzip"` | by `ConditionalLayer`, which evaluates it |
//! | If-Modified-Since | if there is an If-None-Match (13.1.3), or it is not one date |
//! | If-Unmodified-Since | if there is an If-Match (13.1.4), or it is not one date |
//! | either date | by `ConditionalLayer`, if `forward` does not include dates |
//! | Range and If-Range | if the inner service could send a part of another version |
//!
//! RFC 9110 requires that some fields are ignored, but not all services do that. A
//! service that evaluates only dates could answer 304 although no listed tag matches.
//! Another service would use the first of two dates. So the layers remove the fields
//! that must be ignored. They also join the lines of a list into one line, because some
//! services read only the first line.

use http::{
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
    request, HeaderMap, HeaderName, HeaderValue, Request,
};

use super::Target;
use crate::{
    header_map::insert_field,
    rules::{HttpDate, PreconditionFields},
};

/// Which conditional fields are forwarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward {
    /// If-Match and If-None-Match.
    pub(crate) tags: bool,
    /// Tags in If-Match and If-None-Match that name a coding, such as `"v1~gzip"`.
    pub(crate) codings: bool,
    pub(crate) if_modified_since: bool,
    pub(crate) if_unmodified_since: bool,
    /// Range, together with If-Range.
    pub(crate) range: bool,
}

impl Forward {
    /// Forwards all fields except those that a server must ignore (RFC 9110).
    pub(crate) fn new(preconditions: &PreconditionFields) -> Self {
        Self {
            tags: true,
            codings: true,
            if_modified_since: !preconditions.has_if_none_match()
                && preconditions.if_modified_since_date().is_some(),
            if_unmodified_since: !preconditions.has_if_match()
                && preconditions.if_unmodified_since_date().is_some(),
            range: true,
        }
    }

    /// Removes the fields that are not forwarded from the head of a request.
    pub(crate) fn apply(self, preconditions: &PreconditionFields, headers: &mut HeaderMap) {
        if !self.tags {
            headers.remove(IF_MATCH);
            headers.remove(IF_NONE_MATCH);
        } else if !self.codings {
            remove_codings(preconditions, headers);
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

/// Removes the codings from tags, because the inner service knows only plain tags.
///
/// - In If-None-Match, `"v1~gzip"` becomes `"v1"`, or is left out if the client does
///   not accept gzip.
/// - If If-Match or If-Range names a coding, this removes If-Match, which the layer
///   evaluates itself. The caller must not forward `Range` either: the client has
///   encoded content, and could get a part of the plain content.
fn remove_codings(preconditions: &PreconditionFields, headers: &mut HeaderMap) {
    if preconditions.binds_coding() {
        headers.remove(IF_MATCH);
    } else {
        join_lines(headers, IF_MATCH);
    }
    match preconditions.plain_if_none_match() {
        Some(plain) => insert_field(headers, IF_NONE_MATCH, plain),
        None => drop(headers.remove(IF_NONE_MATCH)),
    }
}

/// Joins the lines of a list into one (RFC 9110, section 5.3).
fn join_lines(headers: &mut HeaderMap, name: HeaderName) {
    let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b", "[..]))
    {
        insert_field(headers, name, joined);
    }
}

/// In the extensions of a request: the dates that an outer layer has removed from the
/// fields. Inner layers of this crate and the extractor `Preconditions` still evaluate
/// these dates.
#[derive(Clone, Debug)]
pub(crate) struct WithheldDates {
    /// The target for which the dates are valid. An application may reuse the
    /// extensions in a request for another target.
    target: Target,
    if_modified_since: Option<HeaderValue>,
    if_unmodified_since: Option<HeaderValue>,
}

impl WithheldDates {
    /// Returns the dates that are valid and are not forwarded. `None` if there are no
    /// such dates.
    pub(crate) fn of<B>(
        request: &Request<B>,
        preconditions: &PreconditionFields,
        forward: Forward,
    ) -> Option<Self> {
        let counts = Forward::new(preconditions);
        let take = |name, is_withheld: bool| {
            if is_withheld {
                request.headers().get(name).cloned()
            } else {
                None
            }
        };
        let if_modified_since =
            take(IF_MODIFIED_SINCE, counts.if_modified_since && !forward.if_modified_since);
        let if_unmodified_since =
            take(IF_UNMODIFIED_SINCE, counts.if_unmodified_since && !forward.if_unmodified_since);
        if if_modified_since.is_none() && if_unmodified_since.is_none() {
            return None;
        }
        let target = Target::new(request.uri(), request.extensions());
        Some(Self { target, if_modified_since, if_unmodified_since })
    }
}

/// Reads the preconditions of a request, including dates that an outer layer removed.
pub(crate) fn read_preconditions(parts: &request::Parts, now: HttpDate) -> PreconditionFields {
    let mut preconditions = PreconditionFields::from_headers_at(&parts.headers, || now);
    let withheld = parts.extensions.get::<WithheldDates>();
    if let Some(withheld) = withheld.filter(|dates| dates.target.is(&parts.uri, &parts.extensions))
    {
        let lines = [
            (IF_MODIFIED_SINCE, &withheld.if_modified_since),
            (IF_UNMODIFIED_SINCE, &withheld.if_unmodified_since),
        ];
        for (name, line) in lines {
            if let Some(line) = line {
                preconditions.take_line(name.as_str(), line, || now);
            }
        }
    }
    preconditions
}
