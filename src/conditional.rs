//! `ConditionalLayer`: validators found in the response, preconditions evaluated after
//! the handler ran.

mod body_plan;
mod config;
mod future;
mod last_modified;
mod layer;
mod learning;

mod ranges;
mod read_ahead;
mod request;
mod respond;
mod service;
mod tags;
mod wait;

pub use self::{
    config::{ForwardedFields, InnerTags},
    future::ResponseFuture,
    layer::ConditionalLayer,
    service::Conditional,
};
