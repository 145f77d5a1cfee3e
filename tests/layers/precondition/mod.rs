//! `PreconditionLayer`: a file for each setting or stage.

mod add_validators;
mod content;
mod extractor;
mod guard;
mod locks;
mod probe;
mod problem_details;
mod require;
mod source;
mod writes;
