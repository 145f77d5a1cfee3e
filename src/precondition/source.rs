//! The trait `StateSource`, from which `PreconditionLayer` gets the state of
//! a resource.

use std::{convert::Infallible, future::Future};

use http::request;

use super::source_error::NoState;
use crate::rules::{EntityTag, Representation, Validators};

/// Returns the current state of the target resource of a request.
///
/// A closure implements this trait if it returns a future of a [`Representation`], an
/// [`EntityTag`], [`Validators`], or a `Result` with one of these. Before the `async`
/// block, copy what the future needs from the head of the request. The future cannot
/// borrow the head, because stable Rust cannot express that such a future is `Send`.
///
/// A [`PreconditionLayer`](crate::PreconditionLayer) may call the source twice for one
/// GET or HEAD: before the handler runs, and after the handler has answered. The second
/// call verifies that the state is still the same. **A version must never be used
/// twice.** Otherwise both calls can return the same version although the state changed
/// between them. [`PreconditionLayer::new`](crate::PreconditionLayer::new) says more
/// about versions, and has an example.
///
/// You can also implement this trait for a type of your own. Its future can be a boxed
/// future or `std::future::Ready`. With Axum,
/// [`from_extractor`](crate::PreconditionLayer::from_extractor) passes the parameters
/// of the path to a closure.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no source of validators",
    note = "`PreconditionLayer::new` takes a closure: `move |parts| async move {{ .. }}`",
    note = "`PreconditionLayer::from_source` takes a type that implements `StateSource`"
)]
pub trait StateSource {
    /// The error of a source that fails.
    type Error;

    /// The future that returns the state.
    type Future: Future<Output: IntoRepresentation<Error = Self::Error>>;

    /// Returns the state of the target resource of the request with this head.
    ///
    /// Until the future of the first call for a request is ready, the handler does not
    /// run, and no content of the request is read.
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

/// What the future of a [`StateSource`] can return.
///
/// This is a [`Representation`], an [`EntityTag`], [`Validators`], or a `Result` with
/// one of these.
///
/// An `Option` is not allowed, because `None` could mean two things. Return
/// [`Representation::Missing`] if the resource does not exist, and
/// [`Representation::Unknown`] if its state is not known.
#[diagnostic::on_unimplemented(
    message = "a source of validators cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "return a `Representation`, an `EntityTag`, `Validators`, or a `Result` with one",
    note = "replace an `Option`'s `None` by `Representation::Missing` or `::Unknown`"
)]
pub trait IntoRepresentation: sealed::Sealed {
    /// The error of a source that fails.
    type Error;

    #[doc(hidden)]
    fn into_result(self) -> Result<Representation, NoState<Self::Error>>;
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

/// The output of the future of an `ExtractorSource`: the state of the resource, or the
/// reason why there is none.
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
