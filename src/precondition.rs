//! `PreconditionLayer` and `WriteGuard` evaluate preconditions before the handler runs.

mod config;
#[cfg(feature = "axum")]
mod extractor;
mod future;
mod guard;
mod layer;
mod locks;
mod service;
mod source;
mod source_error;

pub use self::{
    config::FromSource,
    future::PreconditionFuture,
    guard::{GuardFuture, WriteGuard},
    layer::PreconditionLayer,
    service::PreconditionService,
    source::{IntoRepresentation, StateSource},
};
#[cfg(feature = "axum")]
pub use self::{
    extractor::ExtractorSource,
    guard::{AxumGuardFuture, AxumRouter},
};
