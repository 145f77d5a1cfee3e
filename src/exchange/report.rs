//! Reports what a middleware did with a request: in counters, an event and an
//! extension.

use std::sync::Arc;

use http::{Extensions, StatusCode};

use crate::{
    outcome::Outcome,
    stats::{Counters, Stats},
    trace::decided,
};

/// Reports the outcomes of one layer and its clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporter {
    pub(crate) counters: Arc<Counters>,
    /// Whether the outcome is put into the extensions of the response.
    pub(crate) in_extensions: bool,
}

impl Reporter {
    /// Reports what was done with a request that is answered with `status`.
    #[inline]
    pub(crate) fn report(&self, outcome: Outcome, status: StatusCode, extensions: &mut Extensions) {
        self.counters.decided(outcome);
        decided!(outcome, status);
        // An inner layer's outcome says more than that this one let the request
        // through.
        let lets_through = matches!(outcome, Outcome::Proceeded | Outcome::LeftAlone(_));
        if self.in_extensions && !(lets_through && extensions.get::<Outcome>().is_some()) {
            extensions.insert(outcome);
        }
    }

    /// Returns what was counted.
    pub(crate) fn stats(&self, bytes_kept: u64) -> Stats {
        self.counters.sum(bytes_kept)
    }
}
