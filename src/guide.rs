//! The longer pages, beside the [crate docs](crate).

/// Whole programs to copy from.
#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

/// What to do when something looks wrong.
#[doc = include_str!("guide/troubleshooting.md")]
pub mod troubleshooting {}

/// nginx, Varnish, and proxies that compress.
#[doc = include_str!("guide/proxies.md")]
pub mod proxies {}

/// How no edit is lost: in the transaction, with the guard, with a source.
#[doc = include_str!("guide/writes.md")]
pub mod writes {}

/// What replicas agree on, and what they can share.
#[doc = include_str!("guide/several_servers.md")]
pub mod several_servers {}

/// The client's side: polling an API, and editing through it.
#[cfg(feature = "client")]
#[doc = include_str!("guide/client.md")]
pub mod client {}

/// How other layers answer the same requests.
#[doc = include_str!("guide/compare.md")]
pub mod compare {}

/// nginx, Caddy, Express, Django, actix-files and `ServeDir`, by the conformance suite.
#[doc = include_str!("guide/peers.md")]
pub mod peers {}

/// From other layers to this one.
#[doc = include_str!("guide/migrating.md")]
pub mod migrating {}

/// The layout of the code, its promises, and why it is as it is.
#[doc = include_str!("guide/design.md")]
pub mod design {}

/// Each MUST, SHOULD and MAY of the RFCs: where it is kept, and what shows it.
#[doc = include_str!("guide/rfc_coverage.md")]
pub mod rfc_coverage {}

/// What it costs.
#[doc = include_str!("guide/benchmarks.md")]
pub mod benchmarks {}

/// What changed.
#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
