//! The settings of `PreconditionLayer`, and those that it shares with `WriteGuard`.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{request, HeaderMap, Response, StatusCode};
use http_body::Body;

use super::source::StateSource;
use crate::{
    body::ResponseBody,
    clock::{self, Clock},
    exchange::{
        reject, respond_empty, respond_problem, KnownValidators, Rejection, Reporter,
        RequestPredicate,
    },
    outcome::Outcome,
    rules::{HttpDate, Validators},
    validators::AddLastModified,
};

/// The `K` of a [`PreconditionLayer<K>`](crate::PreconditionLayer) whose state comes
/// from a [`StateSource`]. It contains the source and its settings.
pub struct FromSource<F: StateSource> {
    pub(super) source: Arc<F>,
    pub(super) on_error: Option<Arc<ErrorAnswer<F::Error>>>,
    pub(super) on_not_modified: Option<Arc<HeadEdit>>,
    pub(super) add_validators: bool,
    /// Whether the source is also called for a QUERY.
    pub(super) query: bool,
    pub(super) add_last_modified: AddLastModified,
}

impl<F: StateSource> FromSource<F> {
    /// Returns the extension that tells the other layers of this crate the validators
    /// of the target. It contains no validators if `add_validators` is false.
    pub(super) fn known(&self, parts: &request::Parts, validators: Validators) -> KnownValidators {
        let validators = if self.add_validators { validators } else { Validators::new() };
        KnownValidators::new(&parts.uri, &parts.extensions, validators, self.add_last_modified)
    }
}

impl<F: StateSource> Clone for FromSource<F> {
    fn clone(&self) -> Self {
        Self {
            source: Arc::clone(&self.source),
            on_error: self.on_error.clone(),
            on_not_modified: self.on_not_modified.clone(),
            ..*self
        }
    }
}

impl<F: StateSource> fmt::Debug for FromSource<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromSource")
            .field("add_validators", &self.add_validators)
            .field("add_last_modified", &self.add_last_modified)
            .finish_non_exhaustive()
    }
}

/// The settings that `PreconditionLayer` and `WriteGuard` share.
#[derive(Clone)]
pub(super) struct PreconditionConfig {
    pub(super) required: Option<Arc<RequestPredicate>>,
    pub(super) weak_if_match: bool,
    /// Whether the content of a refusal is an `application/problem+json` document.
    pub(super) problem_details: bool,
    pub(super) clock: Arc<Clock>,
    pub(super) reporter: Reporter,
}

impl Default for PreconditionConfig {
    fn default() -> Self {
        Self {
            required: None,
            weak_if_match: false,
            problem_details: false,
            clock: Arc::new(clock::system_time),
            reporter: Reporter::default(),
        }
    }
}

impl PreconditionConfig {
    pub(super) fn now(&self) -> HttpDate {
        HttpDate::nearest((self.clock)())
    }

    /// Makes the 304, 412 or 428 for a request whose precondition fails or is missing.
    pub(super) fn reject<B: Body>(
        &self,
        rejection: Rejection,
        accepts_coding: bool,
    ) -> Response<ResponseBody<B>> {
        let rejection = rejection.with_problem(self.problem_details);
        reject(rejection, self.now(), accepts_coding, &self.reporter)
    }

    /// Makes a response with this status. The `detail` is only sent in a problem
    /// document.
    pub(super) fn refuse<B: Body>(
        &self,
        status: StatusCode,
        detail: &str,
        outcome: Outcome,
    ) -> Response<ResponseBody<B>> {
        if self.problem_details {
            respond_problem(status, detail, outcome, &self.reporter)
        } else {
            respond_empty(status, outcome, &self.reporter)
        }
    }

    /// Returns true if the application requires a precondition for this write.
    pub(super) fn requires(&self, parts: &request::Parts) -> bool {
        self.required.as_ref().is_some_and(|required| required(parts))
    }
}

impl fmt::Debug for PreconditionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreconditionConfig")
            .field("report_outcome", &self.reporter.in_extensions)
            .finish_non_exhaustive()
    }
}

pub(super) type ErrorAnswer<E> = dyn Fn(E) -> Response<Bytes> + Send + Sync;

pub(super) type HeadEdit = dyn Fn(&request::Parts, &mut HeaderMap) + Send + Sync;
