//! Validators that are known before the inner service runs, and how the layers of this
//! crate tell each other about them.

use http::{header::ETAG, response, Extensions, StatusCode, Uri};

use super::{insert_plain_tag, response_head::complete_date};
use crate::{
    rules::{DateEvidence, EntityTag, HttpDate, Validators},
    validators::{AddLastModified, Untagged},
};

/// The validators of the representation, as a source knows them: in the extensions of a
/// request for the inner layers, in those of a response for the outer layers.
///
/// Without validators it still says that a layer evaluates writes. That layer does not
/// know the dates that another one generates.
#[derive(Clone, Debug)]
pub(crate) struct KnownValidators {
    /// The resource.
    target: Target,
    pub(crate) etag: Option<EntityTag>,
    pub(crate) date: Option<DateEvidence>,
    add_last_modified: AddLastModified,
}

/// What a request is about, as one layer of a stack sees it.
///
/// An application may reuse the extensions of its request for one about another
/// resource, so extensions carry their target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    uri: Uri,
    /// How many path segments routers had removed before.
    nested: usize,
}

/// In the extensions of a response: its date was generated, and proves no change. Set
/// where an outer layer has withheld dates of the request, so that it may compare them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GeneratedDate;

/// In the extensions of a request: a guard asks for the validators alone, to evaluate a
/// write by them.
///
/// They come back as [`KnownValidators`], if there is a `ConditionalLayer` to know
/// them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Probe {
    /// Whether there is a representation is all that is asked (`*`). Nothing is read
    /// for it.
    Existence,
    /// Dates are compared, and no tags. Nothing is read if the inner service gives a
    /// date.
    Date,
    Tag,
}

/// In the extensions of a write: a guard evaluates its preconditions by what the inner
/// layers know, generated dates included.
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

    /// Returns the same without validators: nothing is known.
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
    /// A 304 gets none: the inner service made it for what it compared, which may be
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

    /// Returns true if a request for this URI is about the same resource. Routers may
    /// have taken a prefix off since, and some middleware the slash at the end.
    ///
    /// A suffix of the path alone is another resource: `/archive/notes/1` is not
    /// `/notes/1`.
    pub(crate) fn is(&self, uri: &Uri, extensions: &Extensions) -> bool {
        let mut rest = segments(self.uri.path());
        // A pattern has names for what differs.
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
