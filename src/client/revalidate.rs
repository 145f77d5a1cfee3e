//! `RevalidateLayer`: a client's memory of responses, each used only after the server
//! has confirmed it.

mod body;
mod future;
mod layer;
mod memory;

pub use self::{
    body::RevalidateBody,
    future::RevalidateFuture,
    layer::{Revalidate, RevalidateLayer},
};
