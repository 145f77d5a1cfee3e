//! `PreconditionLayer`: validators known, and preconditions judged, before the handler runs.

mod from_get;
mod future;
mod layer;
mod locks;
mod service;
mod source;

pub use self::{
    from_get::FromGetFuture,
    future::PreconditionFuture,
    layer::{FromGet, FromSource, PreconditionLayer},
    service::Precondition,
    source::{IntoRepresentation, Source},
};
