//! Tests, an example and a benchmark of `tower-conditional` beside large crates of
//! others.
