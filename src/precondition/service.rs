//! The service of `PreconditionLayer`.

use std::{fmt, sync::Arc};

use super::config::PreconditionConfig;

/// The service that [`PreconditionLayer`](crate::PreconditionLayer) makes.
#[derive(Clone)]
pub struct PreconditionService<S, K> {
    pub(super) inner: S,
    pub(super) kind: K,
    pub(super) config: Arc<PreconditionConfig>,
}

impl<S, K> PreconditionService<S, K> {
    pub(super) fn with_layer(inner: S, kind: K, config: Arc<PreconditionConfig>) -> Self {
        Self { inner, kind, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the wrapped service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, K: fmt::Debug> fmt::Debug for PreconditionService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreconditionService")
            .field("inner", &self.inner)
            .field("kind", &self.kind)
            .field("config", &self.config)
            .finish()
    }
}
