//! The source of the validators that are known before the inner service runs.

use std::{convert::Infallible, future::Future};

use bytes::Bytes;
use http::{request, Response};

use super::config::ErrorAnswer;
use crate::{
    outcome::{Outcome, Reason},
    rules::{EntityTag, Representation, Validators},
};

/// Knows the current state of the resource that a request is about.
///
/// A closure is a source if it returns a future of a [`Representation`], of what becomes
/// one (an [`EntityTag`], [`Validators`]), or of a `Result` with one of these. The future owns what it needs: it cannot borrow the request,
/// because stable Rust has no way to say that such a future is `Send`. Nothing is
/// boxed.
///
/// It may be called twice for one request: before the handler runs, and after it has
/// answered, to verify that the state is still the same. **A version must never come
/// back**, or the two answers can be equal with a change in between. See
/// [`PreconditionLayer::new`](crate::PreconditionLayer::new) for more, and for an
/// example.
///
/// Implement this trait for a source that has a name, with a boxed future or
/// `std::future::Ready`. With Axum,
/// [`from_extractor`](crate::PreconditionLayer::from_extractor) takes the parameters of
/// the path.
pub trait StateSource {
    /// Why the state is not known.
    type Error;

    /// The future of the state.
    type Future: Future<Output: IntoRepresentation<Error = Self::Error>>;

    /// Returns the state of the resource that the request with this head is about.
    ///
    /// The body of the request is not polled before this is done.
    fn state(&self, parts: &request::Parts) -> Self::Future;
}

impl<F, Fut> StateSource for F
where
    F: Fn(&request::Parts) -> Fut,
    Fut: Future<Output: IntoRepresentation>,
{
    type Error = <Fut::Output as IntoRepresentation>::Error;
    type Future = Fut;

    fn state(&self, parts: &request::Parts) -> Fut {
        self(parts)
    }
}

/// What the future of a [`StateSource`] yields: a [`Representation`], an [`EntityTag`],
/// [`Validators`], or a `Result` with one of these.
///
/// An `Option` is none of them: say whether there is no such thing
/// ([`Representation::Missing`]) or whether that is not known
/// ([`Representation::Unknown`]).
#[diagnostic::on_unimplemented(
    message = "a source of validators does not yield `{Self}`",
    label = "yields `{Self}`",
    note = "it yields a `Representation`, an `EntityTag`, `Validators`, or a `Result` with one",
    note = "for an `Option`, say what `None` is: `Representation::Missing` or `::Unknown`"
)]
pub trait IntoRepresentation: sealed::Sealed {
    /// Why the state is not known.
    type Error;

    #[doc(hidden)]
    fn into_result(self) -> Result<Representation, NoState<Self::Error>>;
}

/// Why there is no state.
#[derive(Debug)]
#[expect(unnameable_types, reason = "only this crate makes it")]
pub enum NoState<E> {
    /// The source failed.
    Failed(E),
    /// The request itself is at fault, and gets this answer.
    Answered(Box<Response<Bytes>>),
}

impl<E> NoState<E> {
    /// Returns the response in place of that of the inner service, if there is one: the
    /// error of a source becomes what `on_error` makes of it.
    pub(super) fn answer(
        self,
        on_error: Option<&ErrorAnswer<E>>,
    ) -> Option<(Response<Bytes>, Outcome)> {
        match self {
            Self::Answered(response) => Some((*response, Outcome::LeftAlone(Reason::UnknownState))),
            Self::Failed(error) => Some((on_error?(error), Outcome::StateUnavailable)),
        }
    }
}

impl IntoRepresentation for Representation {
    type Error = Infallible;

    fn into_result(self) -> Result<Representation, NoState<Infallible>> {
        Ok(self)
    }
}

impl IntoRepresentation for EntityTag {
    type Error = Infallible;

    fn into_result(self) -> Result<Representation, NoState<Infallible>> {
        Ok(self.into())
    }
}

impl IntoRepresentation for Validators {
    type Error = Infallible;

    fn into_result(self) -> Result<Representation, NoState<Infallible>> {
        Ok(self.into())
    }
}

impl<T: Into<Representation>, E> IntoRepresentation for Result<T, E> {
    type Error = E;

    fn into_result(self) -> Result<Representation, NoState<E>> {
        self.map(Into::into).map_err(NoState::Failed)
    }
}

/// What a source of this crate yields that may answer a request by itself.
#[cfg(feature = "axum")]
#[derive(Debug)]
#[expect(unnameable_types, reason = "only this crate makes it")]
pub struct StateOrAnswer<E>(pub(super) Result<Representation, NoState<E>>);

#[cfg(feature = "axum")]
impl<E> IntoRepresentation for StateOrAnswer<E> {
    type Error = E;

    fn into_result(self) -> Result<Representation, NoState<E>> {
        self.0
    }
}

mod sealed {
    use super::{EntityTag, Representation, Validators};

    #[expect(unnameable_types, reason = "only this crate implements it")]
    pub trait Sealed {}

    impl Sealed for Representation {}

    impl Sealed for EntityTag {}

    impl Sealed for Validators {}

    impl<T: Into<Representation>, E> Sealed for Result<T, E> {}

    #[cfg(feature = "axum")]
    impl<E> Sealed for super::StateOrAnswer<E> {}
}
