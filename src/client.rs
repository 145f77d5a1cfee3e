//! The client's half: ask again cheaply, use again what was received, lose no edit.
//!
//! For programs that call HTTP services. All of it works over any Tower service that
//! takes `http::Request`, such as the client of `hyper-util`; [`StoredHead`] works with
//! every client that has a [`HeaderMap`](http::HeaderMap). [A page of the
//! guide](crate::guide::client) shows the whole, with `reqwest` too.
//!
//! | you have | take |
//! |---|---|
//! | a document that is read again and again, and parsed | [`Polled`] |
//! | many resources, and code that should not change | [`RevalidateLayer`] |
//! | something to change without losing the edits of others | [`Update`] |
//! | another HTTP client | [`StoredHead`] |
//!
//! Nothing here uses content without asking: freshness is no part of it, so nothing is
//! stale. Where answers from memory without asking are wanted, take a cache such as
//! `http-cache`.

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
