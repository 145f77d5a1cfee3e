//! Tests, an example and benchmarks that use `tower-conditional` together with large
//! crates of other projects.
