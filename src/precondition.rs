//! `PreconditionLayer`: validators known, and preconditions evaluated, before the handler runs.

mod from_get;
mod from_source;
mod layer;
mod locks;
mod service;
mod source;

pub use self::{
    from_get::FromGetFuture,
    from_source::PreconditionFuture,
    layer::{FromGet, FromSource, PreconditionLayer},
    service::Precondition,
    source::{IntoRepresentation, Source},
};
