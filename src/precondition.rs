//! `PreconditionLayer` and `WriteGuard` evaluate preconditions before the handler runs.

mod config;
#[cfg(feature = "axum")]
mod extractor;
mod from_source;
mod guard;
mod layer;
mod locks;
mod service;
mod source;

pub use self::{
    config::FromSource,
    from_source::PreconditionFuture,
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
