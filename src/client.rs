//! Types for HTTP clients: they revalidate responses, and edit resources without losing
//! an edit.
//!
//! [`Polled`], [`RevalidateLayer`] and [`Update`] work with Tower services that take
//! `http::Request`, such as the client of `hyper-util`. [`StoredHead`] works with every
//! client that has a [`HeaderMap`](http::HeaderMap). [A page of the
//! guide](crate::guide::client) shows how to use these types, also with `reqwest`.
//!
//! | you have | use |
//! |---|---|
//! | a document that is read and parsed repeatedly | [`Polled`] |
//! | many resources, and client code that should not change | [`RevalidateLayer`] |
//! | a resource that several clients edit | [`Update`] |
//! | an HTTP client that is not a Tower service | [`StoredHead`] |
//!
//! Each refresh of a [`Polled`], and each request through a [`RevalidateLayer`], asks
//! the server, even while the last response is fresh by its `Cache-Control`. So both
//! return content from memory only after the server has confirmed it. To read the last
//! value of a [`Polled`] without a request, call [`Polled::get`]. If you want responses
//! from memory without a request, use a cache such as `http-cache`.

mod content;
mod error;
mod polled;
mod revalidate;
mod selection;
mod stored_head;
mod update;

pub use self::{
    error::{Error, RefreshError},
    polled::Polled,
    revalidate::{Revalidate, RevalidateBody, RevalidateFuture, RevalidateLayer},
    stored_head::StoredHead,
    update::Update,
};
