//! Services with one fault each: those that were found in the field, and what else
//! could go wrong.

pub(crate) mod conditions;
pub(crate) mod content;
pub(crate) mod others;
pub(crate) mod writes;

use crate::served::Serve;

/// The check that must name the fault, the fault, and the service.
pub(crate) type Fault = (&'static str, &'static str, Serve);

pub(crate) fn all() -> Vec<Fault> {
    [
        content::faults(),
        conditions::lists(),
        conditions::dates(),
        conditions::order(),
        writes::faults(),
        others::queries(),
        others::cors(),
        others::digests(),
    ]
    .concat()
}
