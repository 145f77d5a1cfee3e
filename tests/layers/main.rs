//! What the layers do beyond the RFC: their settings, their promises, and what they are
//! to other layers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[macro_use]
mod api;
mod axum;
mod both;
#[cfg(feature = "client")]
mod client;
mod conditional;
mod forward;
#[cfg(feature = "axum")]
mod known;
mod outcome;
mod precondition;
#[path = "../support/mod.rs"]
mod support;
