//! The source of the validators that are known before the inner service runs.

use std::{convert::Infallible, future::Future};

use http::request;

use crate::rules::Representation;

/// Knows the current state of the resource that a request is about.
///
/// A closure is a source if it returns a future of a [`Representation`], or of a
/// `Result` with one. The future owns what it needs: it cannot borrow the request,
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
/// `std::future::Ready`.
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

/// What the future of a [`StateSource`] yields: a [`Representation`], or a `Result`
/// with one.
pub trait IntoRepresentation: sealed::Sealed {
    /// Why the state is not known.
    type Error;

    #[doc(hidden)]
    fn into_result(self) -> Result<Representation, Self::Error>;
}

impl IntoRepresentation for Representation {
    type Error = Infallible;

    fn into_result(self) -> Result<Representation, Infallible> {
        Ok(self)
    }
}

impl<E> IntoRepresentation for Result<Representation, E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

mod sealed {
    use super::Representation;

    #[expect(unnameable_types, reason = "only this crate implements it")]
    pub trait Sealed {}

    impl Sealed for Representation {}

    impl<E> Sealed for Result<Representation, E> {}
}
