//! `RevalidateLayer` keeps responses for a client, and reuses a response only after the
//! server has confirmed it.

mod body;
mod future;
mod layer;
mod memory;

pub use self::{
    body::RevalidateBody,
    future::RevalidateFuture,
    layer::{Revalidate, RevalidateLayer},
};
