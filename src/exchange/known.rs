//! Validators that are known before the inner service runs, and how the layers of this
//! crate tell each other of them.

use http::{response, Extensions, Uri};

use super::response_head::complete;
use crate::{
    rules::{DateEvidence, EntityTag, HttpDate, Validators},
    validators::FreshnessPolicy,
};

/// Validators that stand for the representation, whatever its content: in the
/// extensions of a request for the layers further in, in those of a response for the
/// layers further out.
///
/// Where there are none, it says that somebody who evaluates writes knows nothing of
/// what a layer makes.
#[derive(Clone, Debug)]
pub(crate) struct KnownValidators {
    /// Of what.
    target: Target,
    pub(crate) etag: Option<EntityTag>,
    pub(crate) date: Option<DateEvidence>,
    freshness: FreshnessPolicy,
    /// It is said of a write that was evaluated, and of nothing else.
    is_judgement: bool,
}

/// What a request is about, as it was seen at some place in a stack.
///
/// An application may hand its request's extensions on with a request for something
/// else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    uri: Uri,
    /// How many segments routers had taken off before that.
    nested: usize,
}

/// In the extensions of a request: somebody asks for the validators alone, to evaluate
/// a write by them.
///
/// They come back as [`KnownValidators`], if there is a `ConditionalLayer` to know
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe;

impl KnownValidators {
    /// Says what is known of the target of a request.
    pub(crate) fn new(
        uri: &Uri,
        extensions: &Extensions,
        validators: Validators,
        freshness: FreshnessPolicy,
    ) -> Self {
        let Validators { etag, last_modified } = validators;
        let date = last_modified.map(DateEvidence::Stated);
        let target = Target::new(uri, extensions);
        Self { target, etag, date, freshness, is_judgement: false }
    }

    /// Says what is known to whoever asked.
    pub(crate) fn answer(
        etag: Option<EntityTag>,
        date: Option<DateEvidence>,
        freshness: FreshnessPolicy,
    ) -> Self {
        Self { target: Target::default(), etag, date, freshness, is_judgement: false }
    }

    /// Says it of a write that was evaluated, and of nothing else.
    pub(crate) fn evaluated(self) -> Self {
        Self { is_judgement: true, ..self }
    }

    pub(crate) fn is_judgement(&self) -> bool {
        self.is_judgement
    }

    /// Returns true if these are the validators.
    pub(crate) fn states(&self, validators: &Validators) -> bool {
        let date = validators.last_modified.map(DateEvidence::Stated);
        self.etag.as_ref().is_none_or(|etag| validators.etag.as_ref() == Some(etag))
            && self.date.is_none_or(|known| date == Some(known))
    }

    /// Says that nothing is known.
    pub(crate) fn without_validators(self) -> Self {
        Self { etag: None, date: None, ..self }
    }

    /// Returns true if a request for this URI is about the same resource.
    pub(crate) fn is_about(&self, uri: &Uri, extensions: &Extensions) -> bool {
        self.target.is(uri, extensions)
    }

    /// Gives a response the validators that it lacks, if it has content of the
    /// representation.
    pub(crate) fn complete(&self, head: &mut response::Parts, now: HttpDate) {
        let date = self.date.and_then(DateEvidence::date);
        complete(head, self.etag.as_ref(), date, self.freshness, now);
    }
}

impl Target {
    pub(crate) fn new(uri: &Uri, extensions: &Extensions) -> Self {
        Self { uri: uri.clone(), nested: nested(extensions).count() }
    }

    /// Returns true if a request for this URI is about the same resource; routers take
    /// a prefix off, and some middleware the slash at the end.
    pub(crate) fn is(&self, uri: &Uri, extensions: &Extensions) -> bool {
        let (path, rest) = (self.uri.path(), uri.path());
        let (bare, bare_rest) = (path.trim_end_matches('/'), rest.trim_end_matches('/'));
        let is_rest = path.ends_with(rest) || !bare_rest.is_empty() && bare.ends_with(bare_rest);
        (is_rest || rest == "/" && self.is_prefix(extensions)) && self.uri.query() == uri.query()
    }

    /// Returns true if routers have taken all of the path off since, and put "/" in its
    /// place.
    fn is_prefix(&self, extensions: &Extensions) -> bool {
        let mut segments = segments(self.uri.path());
        // A pattern has names for what differs.
        let mut taken = nested(extensions).skip(self.nested);
        taken.all(|pattern| {
            segments.next().is_some_and(|segment| pattern == segment || pattern.contains('{'))
        }) && segments.next().is_none()
    }
}

/// Returns the segments that Axum's routers have taken off a path so far, or the
/// patterns that these fit.
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
