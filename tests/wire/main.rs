//! What clients see on the wire: real connections over loopback, HTTP/1.1 read byte by
//! byte, HTTP/2 frame by frame.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[cfg(all(feature = "axum", feature = "client"))]
mod client;
#[cfg(feature = "client")]
mod client_lies;
mod codings;
mod digests;
mod downloads;
mod files;
mod http1;
mod http2;
mod manifest;
mod new_tag;
mod precondition;
mod proxy;
mod stacks;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod upgrades;
