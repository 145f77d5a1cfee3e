//! Validators that are known before the inner service runs, and the extensions by which
//! the layers of this crate share them.

use http::{header::ETAG, response, Extensions, StatusCode, Uri};

use super::{insert_plain_tag, response_head::complete_date};
use crate::{
    rules::{DateEvidence, EntityTag, HttpDate, Validators},
    validators::{AddLastModified, Untagged},
};

/// The validators of the representation from a source. They are in the extensions of a
/// request for inner layers, and in those of a response for outer layers.
///
/// Without validators this still shows that a layer evaluates writes. That layer does
/// not know the dates that another layer generates.
#[derive(Clone, Debug)]
pub(crate) struct KnownValidators {
    /// The resource.
    target: Target,
    pub(crate) etag: Option<EntityTag>,
    pub(crate) date: Option<DateEvidence>,
    add_last_modified: AddLastModified,
}

/// The target of a request, as one layer sees it.
///
/// An application may reuse the extensions of its request for one about another
/// resource, so extensions carry their target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    uri: Uri,
    /// How many path segments routers had already removed.
    nested: usize,
}

/// In the extensions of a response: its date was generated, and proves no change. It is
/// set if an outer layer removed dates from the request, because that layer compares
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GeneratedDate;

/// In the extensions of a request: a guard needs only the validators, to evaluate a
/// write.
///
/// A `ConditionalLayer` returns them as [`KnownValidators`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Probe {
    /// Only the existence of a representation matters (`*`). No content is read.
    Existence,
    /// Only dates are compared. No content is read if the inner service gives a date.
    Date,
    Tag,
}

/// In the extensions of a write: a guard evaluates its preconditions against the
/// validators of the inner layers, including generated dates.
#[derive(Clone, Debug)]
pub(crate) struct GuardedWrite(pub(crate) Target);

impl KnownValidators {
    /// Makes the validators of the target of a request.
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

    /// Returns the same value without validators.
    pub(crate) fn without_validators(self) -> Self {
        Self { etag: None, date: None, ..self }
    }

    /// Returns true if a request for this URI is about the same resource.
    pub(crate) fn is_about(&self, uri: &Uri, extensions: &Extensions) -> bool {
        self.target.is(uri, extensions)
    }

    /// Adds the validators that a response lacks, if it has content of the
    /// representation. `is_sized` is true if the body knows its size.
    ///
    /// A 304 gets none: the inner service may have compared another state.
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

    /// Returns true if a request for this URI is about the same resource. Routers may
    /// have removed a prefix since, and middleware may have removed the slash at the
    /// end.
    ///
    /// A suffix of the path alone is another resource: `/archive/notes/1` is not
    /// `/notes/1`.
    pub(crate) fn is(&self, uri: &Uri, extensions: &Extensions) -> bool {
        let mut rest = segments(self.uri.path());
        // In a pattern, `{` starts the name of a parameter, which matches any segment.
        let mut taken = nested(extensions).skip(self.nested);
        let is_prefix = taken.all(|pattern| {
            rest.next().is_some_and(|segment| pattern == segment || pattern.contains('{'))
        });
        is_prefix && rest.eq(segments(uri.path())) && self.uri.query() == uri.query()
    }
}

/// Returns the segments that Axum's routers have removed from a path so far, or the
/// patterns that these match.
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
