//! `ConditionalLayer`: validators found in the response, preconditions judged after the handler ran.

mod answer;
mod asked;
mod config;
mod future;
mod layer;
mod patience;
mod reading;
mod service;
mod streams;

pub use self::{future::ResponseFuture, layer::ConditionalLayer, service::Conditional};
