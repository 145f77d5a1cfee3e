//! Validators that are known before the inner service runs, and the extensions by which
//! the layers of this crate share them.

use http::{header::ETAG, response, Extensions, StatusCode, Uri};

use super::{insert_plain_tag, response_head::complete_date};
use crate::{
    rules::{DateEvidence, EntityTag, HttpDate, Validators},
    validators::{AddLastModified, Untagged},
};

/// The validators that a layer knows for a representation, such as those that the
/// closure of a `PreconditionLayer` returns. They are in the extensions of a request
/// for inner layers, and in the extensions of a response for outer layers.
///
/// Even if `etag` and `date` are `None`, this extension tells the other layers that one
/// layer evaluates writes. That layer would not know a date that another layer
/// generates, so the other layers generate no dates.
#[derive(Clone, Debug)]
pub(crate) struct KnownValidators {
    /// The resource that has these validators.
    target: Target,
    pub(crate) etag: Option<EntityTag>,
    pub(crate) date: Option<DateEvidence>,
    add_last_modified: AddLastModified,
}

/// The target of a request, as one layer sees it.
///
/// An application may reuse the extensions of a request in a request for another
/// resource. So each extension contains the target for which it is valid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    uri: Uri,
    /// How many path segments routers had removed from the URI before that layer.
    nested: usize,
}

/// In the extensions of a response: its `Last-Modified` was generated, so an earlier
/// date of a client does not prove a change. An inner layer adds this extension if an
/// outer layer has removed the dates of the request to compare them itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GeneratedDate;

/// Tells inner layers what a guard needs to know to evaluate a write. It is in the
/// extensions of the GET that the guard sends.
///
/// A `ConditionalLayer` returns the validators as [`KnownValidators`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Probe {
    /// Only whether a representation exists, as for `If-Match: *`. No content is read.
    Existence,
    /// Only the date. No content is read if the inner service gives a date.
    Date,
    Tag,
}

/// In the extensions of a write: a guard evaluates its preconditions against the
/// validators of the inner layers, including generated dates.
#[derive(Clone, Debug)]
pub(crate) struct GuardedWrite(pub(crate) Target);

impl KnownValidators {
    /// Makes the validators for the target of a request.
    pub(crate) fn new(
        uri: &Uri,
        extensions: &Extensions,
        validators: Validators,
        add_last_modified: AddLastModified,
    ) -> Self {
        let Validators { etag, last_modified } = validators;
        let date = last_modified.map(DateEvidence::Stated);
        let target = Target::new(uri, extensions);
        Self { target, etag, date, add_last_modified }
    }

    /// Makes the answer to a [`Probe`].
    pub(crate) fn answer(
        etag: Option<EntityTag>,
        date: Option<DateEvidence>,
        add_last_modified: AddLastModified,
    ) -> Self {
        Self { target: Target::default(), etag, date, add_last_modified }
    }

    pub(crate) fn without_validators(self) -> Self {
        Self { etag: None, date: None, ..self }
    }

    /// Adds the validators to the extensions of a response. If `self` has no tag or no
    /// date, the tag or date of an inner layer is kept.
    pub(crate) fn add_to(mut self, response: &mut Extensions) {
        if let Some(inner) = response.remove::<Self>() {
            self.etag = self.etag.or(inner.etag);
            self.date = self.date.or(inner.date);
        }
        response.insert(self);
    }

    /// Returns true if a request with this URI and these extensions is about the
    /// same resource.
    pub(crate) fn is_about(&self, uri: &Uri, extensions: &Extensions) -> bool {
        self.target.is(uri, extensions)
    }

    /// Adds the validators that a response lacks, if it is a 200 or 206. `is_sized` is
    /// true if the body knows its size.
    ///
    /// A 304 gets no validators, because the inner service may have evaluated
    /// another state.
    pub(crate) fn complete(&self, head: &mut response::Parts, is_sized: bool, now: HttpDate) {
        let is_content = matches!(head.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        if !is_content || head.extensions.get::<Untagged>().is_some() {
            return;
        }
        if let (Some(etag), false) = (&self.etag, head.headers.contains_key(ETAG)) {
            insert_plain_tag(head, etag, is_sized);
        }
        let date = self.date.and_then(DateEvidence::date);
        complete_date(&mut head.headers, date, self.add_last_modified, now);
    }
}

impl Target {
    pub(crate) fn new(uri: &Uri, extensions: &Extensions) -> Self {
        Self { uri: uri.clone(), nested: nested(extensions).count() }
    }

    /// Returns true if a request with this URI and these extensions has this target.
    /// The path may have become shorter: routers may have removed a prefix, and a
    /// middleware may have removed the slash at the end.
    ///
    /// An equal end of the path is not enough: `/archive/notes/1` is not `/notes/1`. So
    /// the removed prefix is compared, too.
    pub(crate) fn is(&self, uri: &Uri, extensions: &Extensions) -> bool {
        let mut rest = segments(self.uri.path());
        // In a pattern, `{` starts the name of a parameter. A parameter matches
        // any segment.
        let mut taken = nested(extensions).skip(self.nested);
        let is_prefix = taken.all(|pattern| {
            rest.next().is_some_and(|segment| pattern == segment || pattern.contains('{'))
        });
        is_prefix && rest.eq(segments(uri.path())) && self.uri.query() == uri.query()
    }
}

/// Returns the segments that Axum's routers have removed from a path so far. In place
/// of a segment that matched a parameter, this returns the pattern, such as `{id}`.
#[cfg(feature = "axum")]
fn nested(extensions: &Extensions) -> impl Iterator<Item = &str> {
    segments(extensions.get().map_or("", axum::extract::NestedPath::as_str))
}

#[cfg(not(feature = "axum"))]
fn nested(_: &Extensions) -> impl Iterator<Item = &str> {
    segments("")
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}
