//! The setting for the tags of the inner service.

use std::sync::Arc;

use super::manifest::Manifest;
use crate::store::ListedFiles;
#[cfg(feature = "shared-tags")]
use crate::{stats::Stats, store::SharedTags};

/// What happens to the strong tags of the inner service.
///
/// An inner tag is a tag of the inner service. A content tag is the hash of the
/// content, as the layer makes it. See
/// [`ConditionalLayer::inner_tags`](crate::ConditionalLayer::inner_tags) for the three
/// policies.
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
    /// Sends inner tags unchanged. This is the default.
    pub fn keep() -> Self {
        Self::default()
    }

    /// Learns the content tag for each inner tag, and leaves inner tags valid.
    pub fn learn() -> Self {
        Self { policy: Policy::Learn, ..Self::default() }
    }

    /// Learns the content tag for each inner tag, and never sends inner tags.
    pub fn replace() -> Self {
        Self { policy: Policy::Replace, ..Self::default() }
    }

    /// Sets whether the layer also learns tags by date and length. Default: false.
    ///
    /// With true, it uses date and length where the inner service gives no strong tag.
    ///
    /// Set it only if you control how the files' modification times are set. `rsync`,
    /// `tar`, container images and `cp -p` keep or normalise these times, and two
    /// contents with the same date and length would share a tag. With
    /// [`keep`](Self::keep) it has no effect, because nothing is learned.
    ///
    /// # Examples
    ///
    /// `ServeDir` of tower-http 0.6 sends dates but no tags:
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

    /// Sets a list of files whose tags are known before the first request. Default:
    /// none.
    ///
    /// The files of a [`Manifest`] have their content tags from the first request on,
    /// on all servers, and a 304 reads no content. Use it for services that send files,
    /// such as `ServeDir`, and wrap only such a service in the layer.
    ///
    /// The path of the request names the file. If the path ends with a slash, the file
    /// is `index.html` in that folder. If the response has a `Content-Encoding`, the
    /// file name also ends with `.gz`, `.br`, `.zst` or `.zz`. The tags equal those
    /// that the layer makes by hashing, so servers with and without a manifest agree.
    ///
    /// The response must have a length, and a strong tag or a date.
    /// [`trust_dates`](Self::trust_dates) is not needed for listed files. [`Manifest`]
    /// explains how far a list is trusted, and why to call [`check`](Manifest::check).
    /// With [`keep`](Self::keep) it has no effect.
    ///
    /// # Examples
    ///
    /// See [`Manifest`].
    pub fn manifest(self, manifest: Manifest) -> Self {
        Self { manifest: Some(manifest), ..self }
    }

    /// Returns the files of the manifest, none of which has been seen yet.
    pub(super) fn listed_files(&self) -> Option<Arc<ListedFiles>> {
        let manifest = if self.learns() { self.manifest.as_ref() } else { None };
        manifest.map(|manifest| Arc::new(manifest.listed_files()))
    }

    /// Shares the learned tags of large content with other servers.
    ///
    /// If one server has hashed a file, the others have its tag from their second
    /// request on, and can resume downloads with it. Content within the
    /// [`buffer_limit`](crate::ConditionalLayer::buffer_limit) needs no store, because
    /// each server makes the same tag at once.
    ///
    /// **No request waits for the store.** If a tag is not known here, the response is
    /// sent without it, and the layer asks the store in the background, at most once in
    /// five seconds. If the store is slow, down or empty, responses lack tags, and
    /// nothing else happens.
    ///
    /// The tags of content with a strong inner tag are shared. With
    /// [`trust_dates`](Self::trust_dates), the tags of content with a date are also
    /// shared, if the response has no `Vary`. The tag is not shared if the content
    /// changed within the last two seconds, or if its date is before 1990, because such
    /// a date was set for many files at once. If two servers have different content for
    /// one URI with the same inner tag, both send the same tag. Use different
    /// namespaces for such servers; see [`SharedTags::new`].
    ///
    /// The [`key`](crate::ConditionalLayer::key) contains the authority by default.
    /// Servers with different names share nothing, unless `Host` is the same behind the
    /// balancer. With [`keep`](Self::keep) this setting has no effect.
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

    /// Returns true if the layer learns content tags.
    pub(super) fn learns(&self) -> bool {
        self.policy != Policy::Keep
    }

    /// Returns true if an inner tag stays valid after its content tag was learned.
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
