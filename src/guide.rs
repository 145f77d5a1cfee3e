//! The long reads, beside the [crate docs](crate).

/// What to do when something looks wrong.
#[doc = include_str!("../TROUBLESHOOTING.md")]
pub mod troubleshooting {}

/// nginx, Varnish, and proxies that compress.
#[doc = include_str!("../PROXIES.md")]
pub mod proxies {}

/// What other layers do.
#[doc = include_str!("../COMPARE.md")]
pub mod compare {}

/// From other layers to this one.
#[doc = include_str!("../MIGRATING.md")]
pub mod migrating {}

/// Why it is as it is.
#[doc = include_str!("../DESIGN.md")]
pub mod design {}

/// What it costs.
#[doc = include_str!("../BENCHMARKS.md")]
pub mod benchmarks {}

/// What changed.
#[doc = include_str!("../CHANGELOG.md")]
pub mod changelog {}
