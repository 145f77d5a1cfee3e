//! `PreconditionLayer` and `WriteGuard`: preconditions evaluated before the handler
//! runs.

mod config;
mod from_source;
mod guard;
mod layer;
mod locks;
mod service;
mod source;

#[cfg(feature = "axum")]
pub use self::guard::{AxumGuardFuture, AxumRouter};
pub use self::{
    config::FromSource,
    from_source::PreconditionFuture,
    guard::{GuardFuture, WriteGuard},
    layer::PreconditionLayer,
    service::PreconditionService,
    source::{IntoRepresentation, StateSource},
};
