//! Pages with more details than the [crate docs](crate).
//!
//! By task: [recipes] · [edits that are not lost](writes) · [calling an API](client) ·
//! [several servers](several_servers) · [nginx and other proxies](proxies) ·
//! [troubleshooting] · [migrating].
//!
//! For comparison: [other layers](compare) · [other servers](peers) · [benchmarks].
//!
//! How it works: [design] · [the RFCs, sentence by sentence](rfc_coverage) ·
//! [changelog].

/// Complete programs that you can copy.
#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

/// Edits that are not lost: by a check in the transaction, by a `WriteGuard`, or by
/// a `PreconditionLayer`.
#[doc = include_str!("guide/writes.md")]
pub mod writes {}

/// What is the same on all replicas without shared state, and what replicas can share.
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

/// How to replace other layers with this one.
#[doc = include_str!("guide/migrating.md")]
pub mod migrating {}

/// How other layers answer the same requests.
#[doc = include_str!("guide/compare.md")]
pub mod compare {}

/// The results of the conformance suite for nginx, Caddy, Express, Django, actix-files
/// and `ServeDir`.
#[doc = include_str!("guide/peers.md")]
pub mod peers {}

/// How much time the layer takes.
#[doc = include_str!("guide/benchmarks.md")]
pub mod benchmarks {}

/// The layout of the code, its promises, and the reasons for its decisions.
#[doc = include_str!("guide/design.md")]
pub mod design {}

/// Each MUST, SHOULD and MAY of the RFCs, with its code and its tests.
#[doc = include_str!("guide/rfc_coverage.md")]
pub mod rfc_coverage {}

/// What changed in each version.
#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
