//! `ConditionalLayer`: validators found in the response, preconditions evaluated after the handler ran.

mod config;
mod future;
mod layer;
mod learning;
mod read_ahead;
mod request;
mod respond;
mod service;
mod wait;

pub use self::{future::ResponseFuture, layer::ConditionalLayer, service::Conditional};
