//! Which responses may be tagged.
//!
//! There are two kinds of reasons not to tag a response. First, a tag would be wrong,
//! for example because the response has `Content-Range` (see `conditional::body_plan`).
//! No predicate changes that. Second, a tag would be useless, for example for a stream.
//! A [`Predicate`] decides about this, and the user can replace it.

use http::{
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    response, Extensions, HeaderMap, StatusCode, Version,
};

use super::{
    cache_control,
    response_fields::{has_nonce, is_streaming, ResponseFields},
};
use crate::outcome::Reason;

/// Decides which responses may be tagged.
///
/// A closure is a predicate, and [`and`](Self::and) combines two predicates. A
/// predicate is called only for a 200 without `Content-Range` and without the extension
/// [`Untagged`]. No tag is made for other responses.
///
/// # Examples
///
/// The HTML pages of this service contain a CSRF token, so their tags would never
/// match. The layer tags and hashes only JSON:
///
/// ```
/// use http::{
///     header::CONTENT_TYPE, Extensions, HeaderMap, StatusCode, Version,
/// };
/// use tower_conditional::{
///     predicate::{DefaultPredicate, Predicate},
///     ConditionalLayer,
/// };
///
/// let is_json = |_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions| {
///     headers.get(CONTENT_TYPE).is_some_and(|value| value == "application/json")
/// };
/// let layer = ConditionalLayer::new().tag_when(DefaultPredicate::new().and(is_json));
/// # drop(layer);
/// ```
pub trait Predicate {
    /// Returns true if the response with this head may be tagged.
    fn may_tag(
        &self,
        status: StatusCode,
        version: Version,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> bool;

    /// Combines two predicates. The new predicate returns true if both do.
    fn and<P: Predicate>(self, other: P) -> And<Self, P>
    where
        Self: Sized,
    {
        And { first: self, second: other }
    }
}

impl<F> Predicate for F
where
    F: Fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool,
{
    fn may_tag(
        &self,
        status: StatusCode,
        version: Version,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> bool {
        self(status, version, headers, extensions)
    }
}

/// Two predicates that must both return true.
///
/// [`Predicate::and`] returns this type.
#[derive(Clone, Copy, Debug)]
pub struct And<A, B> {
    first: A,
    second: B,
}

impl<A: Predicate, B: Predicate> Predicate for And<A, B> {
    fn may_tag(
        &self,
        status: StatusCode,
        version: Version,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> bool {
        self.first.may_tag(status, version, headers, extensions)
            && self.second.may_tag(status, version, headers, extensions)
    }
}

/// The default predicate of a layer.
///
/// It returns false for:
///
/// - `Cache-Control: no-store`: clients may not keep a copy, so there is nothing
///   to revalidate.
/// - `text/event-stream`, `multipart/x-mixed-replace` and `application/grpc*`: these
///   are streams of messages.
/// - A `Content-Security-Policy` with a nonce: the content contains the nonce, so it
///   differs in each response.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DefaultPredicate;

impl DefaultPredicate {
    /// Makes the predicate.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Predicate for DefaultPredicate {
    fn may_tag(&self, _: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
        let is_no_store =
            headers.get_all(CACHE_CONTROL).iter().any(|line| cache_control::read(line).no_store);
        let has_nonce = headers.get_all(CONTENT_SECURITY_POLICY).iter().any(has_nonce);
        !is_no_store && !has_nonce && !headers.get_all(CONTENT_TYPE).iter().any(is_streaming)
    }
}

/// A response extension: the layer makes no tag for a response that has it.
///
/// # Examples
///
/// ```
/// use axum::{response::IntoResponse, Extension};
/// use tower_conditional::Untagged;
///
/// async fn random() -> impl IntoResponse {
///     (Extension(Untagged), "4")
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // This type will never have a field.
pub struct Untagged;

/// Returns the reason why a 200 may not be tagged. `custom` replaces the default
/// predicate.
#[inline]
pub(crate) fn ineligible(
    fields: &ResponseFields,
    head: &response::Parts,
    custom: Option<&(dyn Predicate + Send + Sync)>,
) -> Option<Reason> {
    if fields.has_content_range {
        return Some(Reason::Partial);
    }
    if head.extensions.get::<Untagged>().is_some() {
        return Some(Reason::Untagged);
    }
    let usual = match (fields.is_no_store, fields.is_streaming, fields.has_nonce) {
        (true, ..) => Some(Reason::NoStore),
        (false, true, _) => Some(Reason::Streaming),
        (false, false, true) => Some(Reason::Nonce),
        (false, false, false) => None,
    };
    let Some(custom) = custom else { return usual };
    if custom.may_tag(StatusCode::OK, head.version, &head.headers, &head.extensions) {
        return None;
    }
    usual.or(Some(Reason::Predicate))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::{rules::HttpDate, store::Keys};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn object(
        headers: &HeaderMap,
        extensions: &Extensions,
        custom: Option<&(dyn Predicate + Send + Sync)>,
    ) -> Option<Reason> {
        let fields = ResponseFields::read(headers, &Keys::new(), || HttpDate::MIN);
        let mut head = http::Response::new(()).into_parts().0;
        (head.headers, head.extensions) = (headers.clone(), extensions.clone());
        ineligible(&fields, &head, custom)
    }

    #[test]
    fn the_usual_responses_are_spared() {
        for (lines, expected) in [
            (&[("content-type", "application/json")][..], None),
            (&[("content-type", "text/event-streams-of-thought")], Some(Reason::Streaming)),
            (&[("content-type", "text/event-stream; charset=utf-8")], Some(Reason::Streaming)),
            (&[("content-type", "Text/Event-Stream")], Some(Reason::Streaming)),
            (&[("content-type", "multipart/x-mixed-replace; boundary=b")], Some(Reason::Streaming)),
            (&[("content-type", "application/grpc+proto")], Some(Reason::Streaming)),
            (&[("content-type", "text")], None),
            (&[("cache-control", "private, no-store")], Some(Reason::NoStore)),
            (&[("cache-control", "no-cache, private")], None),
            (&[("content-range", "bytes 0-1/2")], Some(Reason::Partial)),
            (&[], None),
        ] {
            assert_eq!(object(&headers(lines), &Extensions::new(), None), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_custom_predicate_stands_in_for_the_usual_one() {
        let yes = |_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| true;
        let no = |_: StatusCode, _: Version, _: &HeaderMap, _: &Extensions| false;
        let (stream, part) =
            (headers(&[("content-type", "text/event-stream")]), headers(&[("content-range", "x")]));
        let ask = |headers: &HeaderMap, custom: &(dyn Predicate + Send + Sync)| {
            object(headers, &Extensions::new(), Some(custom))
        };
        assert_eq!(ask(&stream, &yes), None);
        assert_eq!(ask(&part, &yes), Some(Reason::Partial), "no setting makes a part the whole");
        assert_eq!(ask(&HeaderMap::new(), &no), Some(Reason::Predicate));
        assert_eq!(ask(&stream, &no), Some(Reason::Streaming), "the better reason is reported");
        assert_eq!(ask(&stream, &DefaultPredicate::new().and(yes)), Some(Reason::Streaming));
        assert_eq!(ask(&HeaderMap::new(), &DefaultPredicate::new().and(yes)), None);
        assert_eq!(ask(&HeaderMap::new(), &yes.and(no)), Some(Reason::Predicate));

        let mut extensions = Extensions::new();
        extensions.insert(Untagged);
        let seen = object(&HeaderMap::new(), &extensions, Some(&yes));
        assert_eq!(seen, Some(Reason::Untagged));
    }
}
