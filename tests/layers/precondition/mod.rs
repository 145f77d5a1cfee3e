//! `PreconditionLayer`: a file for each setting or stage.

mod add_validators;
mod codings;
mod guard;
mod locks;
mod probe;
mod require;
mod source;
mod writes;
