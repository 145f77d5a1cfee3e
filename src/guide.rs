//! The longer pages, beside the [crate docs](crate).
//!
//! By task: [recipes] · [edits that are not lost](writes) · [calling an API](client) ·
//! [several servers](several_servers) · [nginx and other proxies](proxies) ·
//! [troubleshooting] · [migrating].
//!
//! For comparison: [other layers](compare) · [other servers](peers) · [benchmarks].
//!
//! How it works: [design] · [the RFCs, sentence by sentence](rfc_coverage) ·
//! [changelog].

/// Whole programs to copy from.
#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

/// Edits that are not lost: a check in the transaction, a guard, or a layer.
#[doc = include_str!("guide/writes.md")]
pub mod writes {}

/// What replicas agree on, and what they can share.
#[doc = include_str!("guide/several_servers.md")]
pub mod several_servers {}

/// Calling an API: polling it, and editing through it.
#[cfg(feature = "client")]
#[doc = include_str!("guide/client.md")]
pub mod client {}

/// nginx, Varnish, and proxies that compress.
#[doc = include_str!("guide/proxies.md")]
pub mod proxies {}

/// What to do when something looks wrong.
#[doc = include_str!("guide/troubleshooting.md")]
pub mod troubleshooting {}

/// From other layers to this one.
#[doc = include_str!("guide/migrating.md")]
pub mod migrating {}

/// How other layers answer the same requests.
#[doc = include_str!("guide/compare.md")]
pub mod compare {}

/// nginx, Caddy, Express, Django, actix-files and `ServeDir`, by the conformance suite.
#[doc = include_str!("guide/peers.md")]
pub mod peers {}

/// What the layer costs.
#[doc = include_str!("guide/benchmarks.md")]
pub mod benchmarks {}

/// The layout of the code, its promises, and the reasons for its decisions.
#[doc = include_str!("guide/design.md")]
pub mod design {}

/// Each MUST, SHOULD and MAY of the RFCs: the code for it, and the tests.
#[doc = include_str!("guide/rfc_coverage.md")]
pub mod rfc_coverage {}

/// What changed.
#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
