//! `PreconditionLayer`: evaluates preconditions before the handler runs, by validators
//! that are known by then.

mod config;
mod from_get;
mod from_source;
mod layer;
mod locks;
mod service;
mod source;

pub use self::{
    config::{FromGet, FromSource},
    from_get::FromGetFuture,
    from_source::PreconditionFuture,
    layer::PreconditionLayer,
    service::PreconditionService,
    source::{IntoRepresentation, StateSource},
};
