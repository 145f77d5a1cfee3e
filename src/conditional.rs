//! `ConditionalLayer` evaluates the preconditions of a request after the handler has
//! run. It takes the validators from the response, or generates them.

mod body_plan;
mod body_timeout;
mod codings;
mod compression;
mod config;
mod future;
mod generated_tags;
mod inner_tags;
mod last_modified;
mod layer;
mod learning;
mod manifest;
mod outer_compression;
mod ranges;
mod read_ahead;
mod repr_digest;
mod request;
mod respond;
mod service;
#[cfg(feature = "shared-tags")]
mod sharing;

pub use self::{
    body_timeout::BodyTimeout,
    compression::{CompressionFuture, ConditionalCompression, ConditionalCompressionLayer},
    config::ForwardedFields,
    future::ResponseFuture,
    inner_tags::InnerTags,
    layer::ConditionalLayer,
    manifest::{Manifest, ManifestError},
    outer_compression::OuterCompression,
    service::Conditional,
};
