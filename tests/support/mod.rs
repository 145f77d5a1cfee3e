//! What tests share. Each test program has all of it and uses some.
#![allow(dead_code)]

pub(crate) mod encoder;
pub(crate) mod exchange;
pub(crate) mod executor;
pub(crate) mod file_server;
pub(crate) mod guarded;
pub(crate) mod handler;
pub(crate) mod harness;
pub(crate) mod note;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod pip;
pub(crate) mod port;
pub(crate) mod random;
pub(crate) mod repr_digest;
pub(crate) mod scripted_body;
pub(crate) mod server;
pub(crate) mod slow_peer;
pub(crate) mod wire;
