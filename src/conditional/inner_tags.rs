//! The setting for the tags that the inner service gives.

use std::sync::Arc;

use super::manifest::Manifest;
use crate::store::ListedFiles;
#[cfg(feature = "shared-tags")]
use crate::{stats::Stats, store::SharedTags};

/// What becomes of the strong tags that the inner service gives: see
/// [`ConditionalLayer::inner_tags`](crate::ConditionalLayer::inner_tags).
///
/// # Examples
///
/// ```
/// use tower_conditional::{ConditionalLayer, InnerTags};
///
/// let layer = ConditionalLayer::new().inner_tags(InnerTags::replace());
/// # drop(layer);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct InnerTags {
    policy: Policy,
    trusts_dates: bool,
    manifest: Option<Manifest>,
    #[cfg(feature = "shared-tags")]
    shared: Option<SharedTags>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Policy {
    #[default]
    Keep,
    Learn,
    Replace,
}

impl InnerTags {
    /// Sends them as they are. The default.
    pub fn keep() -> Self {
        Self::default()
    }

    /// Learns which tag of the layer's each of them stands for, and leaves them valid.
    pub fn learn() -> Self {
        Self { policy: Policy::Learn, ..Self::default() }
    }

    /// Learns which tag of the layer's each of them stands for, and never sends them.
    pub fn replace() -> Self {
        Self { policy: Policy::Replace, ..Self::default() }
    }

    /// Sets whether the layer also learns by date and length, where the inner service
    /// gives no strong tag. Default: false.
    ///
    /// Set it only if you control how the files' modification times are set. Dates
    /// prove little: `rsync`, `tar`, container images and `cp -p` keep or normalise
    /// them, and two contents with one date and one length would share a tag. With
    /// [`keep`](Self::keep) nothing is learned, and it has no effect.
    ///
    /// # Examples
    ///
    /// `ServeDir` of tower-http 0.6 gives dates, and no tags:
    ///
    /// ```
    /// use tower_conditional::{ConditionalLayer, InnerTags};
    ///
    /// let inner_tags = InnerTags::replace().trust_dates(true);
    /// let layer = ConditionalLayer::new().inner_tags(inner_tags);
    /// # drop(layer);
    /// ```
    pub fn trust_dates(self, trust_dates: bool) -> Self {
        Self { trusts_dates: trust_dates, ..self }
    }

    /// Sets the tags of files that are known beforehand. Default: none.
    ///
    /// The files of a [`Manifest`] have the tags of their contents from the first
    /// request on, on all servers, and their content need not be read for a 304. It is
    /// for services that send files, such as `ServeDir`; the layer should stand around
    /// nothing else. A response is that of the file which the path of the request
    /// names: a file in that folder, `index.html` where the path ends with a slash, and
    /// the file with `.gz`, `.br`, `.zst` or `.zz` behind its name where the response
    /// has that `Content-Encoding`. The tags are those that the layer would make by
    /// hashing, so servers with and without a manifest agree.
    ///
    /// The response must have a length, and a strong tag or a date. Dates need not be
    /// trusted otherwise: that is for files that are not listed. [`Manifest`] says how
    /// far it is trusted, and why to call [`check`](Manifest::check). With
    /// [`keep`](Self::keep) it has no effect.
    ///
    /// # Examples
    ///
    /// See [`Manifest`].
    pub fn manifest(self, manifest: Manifest) -> Self {
        Self { manifest: Some(manifest), ..self }
    }

    /// Returns the files of the manifest, of which nothing was seen yet.
    pub(super) fn listed_files(&self) -> Option<Arc<ListedFiles>> {
        let manifest = if self.learns() { self.manifest.as_ref() } else { None };
        manifest.map(|manifest| Arc::new(manifest.listed_files()))
    }

    /// Shares the tags that are learned of large content with other servers.
    ///
    /// What one server has hashed once, none of the others need hash again: they have
    /// the tag from their second request on, and resume downloads by it. Content within
    /// the [`buffer_limit`](crate::ConditionalLayer::buffer_limit) needs no store: all
    /// servers make its tag at once, and it is the same everywhere.
    ///
    /// **No request waits for the store.** A tag that is not known here is asked for
    /// while the response is sent without it, once in five seconds at most. A store
    /// that is slow, down or empty costs tags and nothing else.
    ///
    /// Shared is what has a strong inner tag; with [`trust_dates`](Self::trust_dates)
    /// also what has a date, and no `Vary`. Not shared is what changed within the last
    /// two seconds, and what says to be from before 1990: such a date was set for all
    /// files alike. The inner service is trusted as always, and on all servers: if two
    /// of them have different content of one URI under one inner tag, they will have
    /// one tag. See [`SharedTags::new`] for the namespace, which keeps them apart.
    ///
    /// The [`key`](crate::ConditionalLayer::key) names the authority by default. So
    /// servers that are addressed by different names share nothing, unless `Host` is
    /// the same behind the balancer. With [`keep`](Self::keep) this has no effect.
    ///
    /// # Examples
    ///
    /// See [`SharedTags::new`], and the page [several
    /// servers](crate::guide::several_servers).
    #[cfg(feature = "shared-tags")]
    #[cfg_attr(docsrs, doc(cfg(feature = "shared-tags")))]
    pub fn store(self, store: SharedTags) -> Self {
        Self { shared: Some(store), ..self }
    }

    #[cfg(feature = "shared-tags")]
    pub(super) fn shared(&self) -> Option<&SharedTags> {
        self.shared.as_ref()
    }

    /// Sets the counters of the store.
    #[cfg(feature = "shared-tags")]
    pub(super) fn count_shared(&self, stats: &mut Stats) {
        if let Some(counts) = self.shared.as_ref().map(SharedTags::counts) {
            stats.shared_asked = counts.asked;
            stats.shared_found = counts.found;
            stats.shared_rejected = counts.rejected;
            stats.shared_published = counts.published;
        }
    }

    /// Returns true if the layer learns its own tags of the content.
    pub(super) fn learns(&self) -> bool {
        self.policy != Policy::Keep
    }

    /// Returns true if a tag of the inner service stays valid where its content has one
    /// of the layer's, too.
    pub(super) fn keeps_learned(&self) -> bool {
        self.policy == Policy::Learn
    }

    /// Returns true if no tag of the inner service may be sent.
    pub(super) fn replaces(&self) -> bool {
        self.policy == Policy::Replace
    }

    pub(super) fn trusts_dates(&self) -> bool {
        self.trusts_dates
    }
}
