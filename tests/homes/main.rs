//! Tonic over loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod grpc;
#[path = "../support/mod.rs"]
mod support;

use self::support::{
    peer::{ask, request, tag_of},
    server::listen,
    wire::{MISS, TEXT},
};
