//! Each program of the guide's page of recipes, served on loopback: what the page
//! promises, and the checks of `tower-conditional-conformance`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod compression;
mod events;
mod grpc;
mod metrics;
mod notes;
mod page;
mod plain_hyper;
mod proxies;
mod report;
mod response_cache;
mod scripts;
mod sessions;
mod site;
mod support;
mod whole_router;
