//! Reports the outcome of a request in the counters of the layer, in an event (feature
//! `tracing`), and in an extension of the response.

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
    /// Whether the outcome is added to the extensions of the response.
    pub(crate) in_extensions: bool,
}

impl Reporter {
    /// Reports the outcome of a request that is answered with `status`.
    #[inline]
    pub(crate) fn report(&self, outcome: Outcome, status: StatusCode, extensions: &mut Extensions) {
        self.counters.count(outcome);
        decided!(outcome, status);
        // If this layer only forwarded the request, the response keeps the outcome of
        // an inner layer.
        let lets_through = matches!(outcome, Outcome::Proceeded | Outcome::LeftAlone(_));
        if self.in_extensions && !(lets_through && extensions.get::<Outcome>().is_some()) {
            extensions.insert(outcome);
        }
    }

    pub(crate) fn stats(&self, bytes_kept: u64) -> Stats {
        self.counters.sum(bytes_kept)
    }
}
