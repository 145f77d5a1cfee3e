//! Where the validators come from that are known before the inner service runs.

use std::{convert::Infallible, future::Future};

use http::request;

use crate::rules::Representation;

/// Knows the state of the resource that a request is about.
///
/// A closure is a source if it returns a future of a [`Representation`], or of a
/// `Result` with one. The future owns what it needs: it cannot borrow the request,
/// because stable Rust has no way to say that such a future is `Send`. Nothing is
/// boxed. See [`PreconditionLayer::new`](crate::PreconditionLayer::new) for an example;
/// write this trait yourself for a source that has a name, with a boxed future or one
/// of `std::future::Ready`.
pub trait StateSource {
    /// Why the state could not be learned.
    type Error;

    /// The future of the state.
    type Future: Future<Output: IntoRepresentation<Error = Self::Error>>;

    /// Starts to find out the state of the resource that the request with this head is
    /// about.
    ///
    /// The body of the request is not touched until this is done.
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
    /// Why the state could not be learned.
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

    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}

    impl Sealed for Representation {}

    impl<E> Sealed for Result<Representation, E> {}
}
