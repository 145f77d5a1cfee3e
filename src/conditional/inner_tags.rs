//! The setting for the tags of the inner service.

use std::sync::Arc;

use super::manifest::Manifest;
use crate::store::ListedFiles;
#[cfg(feature = "shared-tags")]
use crate::{stats::Stats, store::SharedTags};

/// What happens to the strong tags of the inner service.
///
/// An *inner tag* is a tag that the inner service sets. A *content tag* is the tag
/// that the layer makes: the hash of the content. The policy is
/// [`keep`](Self::keep), [`learn`](Self::learn) or [`replace`](Self::replace).
/// [`ConditionalLayer::inner_tags`](crate::ConditionalLayer::inner_tags) explains
/// all three. A content tag is learned only from content of known length.
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

    /// Learns the content tag for each inner tag, and still accepts inner tags.
    ///
    /// A client that sends the inner tag of the current content gets a 304.
    pub fn learn() -> Self {
        Self { policy: Policy::Learn, ..Self::default() }
    }

    /// Learns the content tag for each inner tag, and never sends inner tags.
    pub fn replace() -> Self {
        Self { policy: Policy::Replace, ..Self::default() }
    }

    /// Sets whether date and length also identify content. Default: false.
    ///
    /// With true, the layer also learns a tag if the inner service gives no strong tag.
    /// It then sends that tag with each later response that has the same
    /// `Last-Modified` and the same length. The response must have no `Vary`, or a
    /// `Vary` that names only `Accept-Encoding`. With any other `Vary`, such as
    /// `Vary: Origin`, two variants could have the same date and length, so nothing is
    /// learned from that response. The layer also learns nothing from a response for
    /// one user, such as one with `Set-Cookie` or `Cache-Control: private`.
    ///
    /// Set it to true only if you control how the files' modification times are set.
    /// `rsync -t`, `tar`, container images and `cp -p` give a file the date of its
    /// original, or one fixed date. So a new file can have the date and the length of
    /// the file that it replaces. The new file would then get the tag of the old one.
    ///
    /// With [`keep`](Self::keep), `trust_dates` has no effect.
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

    /// Sets a list of files whose tags are known before the first request.
    /// Default: none.
    ///
    /// The files of a [`Manifest`] have their content tags from the first request on,
    /// on all servers, and a 304 reads no content. Use it for services that send files,
    /// such as `ServeDir`. The layer must wrap only such a service, because it uses the
    /// path of each request as the name of a file.
    ///
    /// If the path ends with a slash, the file is `index.html` in that folder. If the
    /// response has a `Content-Encoding`, the layer appends `.gz`, `.br`, `.zst` or
    /// `.zz` to the name. The tags equal those that the layer makes by hashing, so
    /// servers with and without a manifest send the same tags.
    ///
    /// The layer uses the manifest only for responses that have a length, and a strong
    /// tag or a date. Files in the manifest do not need
    /// [`trust_dates`](Self::trust_dates). [`Manifest`] explains how far a manifest is
    /// trusted, and why to call [`check`](Manifest::check). With [`keep`](Self::keep) a
    /// manifest has no effect.
    ///
    /// # Examples
    ///
    /// See [`Manifest`].
    pub fn manifest(self, manifest: Manifest) -> Self {
        Self { manifest: Some(manifest), ..self }
    }

    /// Returns the files of the manifest, in the state before the first request. `None`
    /// without a manifest, or if the layer learns no tags.
    pub(super) fn listed_files(&self) -> Option<Arc<ListedFiles>> {
        let manifest = if self.learns() { self.manifest.as_ref() } else { None };
        manifest.map(|manifest| Arc::new(manifest.listed_files()))
    }

    /// Shares the learned tags of large content with other servers.
    ///
    /// Once one server has hashed a file, the other servers get its tag from the store.
    /// Each of them sends the file without a tag once, and with the tag after that. A
    /// client can then resume a download at each of these servers. Content within the
    /// [`buffer_limit`](crate::ConditionalLayer::buffer_limit) needs no store, because
    /// each server makes the same tag when it first sends the content.
    ///
    /// **No request waits for the store.** If this server does not know a tag, the
    /// response is sent without it, and the layer asks the store in the background.
    /// It asks at most once in five seconds for the same content. If the store is
    /// slow, down or empty, some responses have no tag. No response is late, and no
    /// request fails.
    ///
    /// The tags of content with a strong inner tag are shared. With
    /// [`trust_dates`](Self::trust_dates), the tags of content with a date are also
    /// shared, if the response has no `Vary`. A tag is not shared while the last change
    /// of the content is less than two seconds ago. It is also not shared if the date
    /// of the content is before 1990: a build tool has probably set such a date for all
    /// files at once. If two servers have different content with the same URI and inner
    /// tag, one of them sends a wrong content tag. Use different namespaces for such
    /// servers; see [`SharedTags::new`].
    ///
    /// By default the [`key`](crate::ConditionalLayer::key) of a resource contains the
    /// authority (`Host`). So servers share a tag only if they get the same `Host`.
    /// Configure the load balancer to forward the client's `Host`.
    ///
    /// With [`keep`](Self::keep), a store has no effect.
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

    /// Copies the counters of the shared tags into `stats`.
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

    /// Returns true if the layer accepts an inner tag whose content tag it has learned.
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
