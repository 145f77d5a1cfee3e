//! What compression outside of the layer, such as a proxy's, does to tags.

use std::sync::Arc;

/// What compression outside of the layer does to tags.
///
/// See
/// [`ConditionalLayer::outer_compression`](crate::ConditionalLayer::outer_compression).
///
/// # Examples
///
/// For Apache's `mod_deflate`:
///
/// ```
/// use tower_conditional::{ConditionalLayer, OuterCompression};
///
/// let proxy = OuterCompression::new().adds_suffixes(["-gzip"]);
/// let layer = ConditionalLayer::new().outer_compression(proxy);
/// # drop(layer);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct OuterCompression {
    pub(super) keeps_tags: bool,
    suffixes: Arc<[Box<[u8]>]>,
}

impl OuterCompression {
    /// Makes the setting for compression that weakens or removes tags, or for none.
    ///
    /// nginx weakens tags.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether the compression leaves tags unchanged. Default: false.
    ///
    /// If it does, all encodings share one strong tag, although their bytes differ. So
    /// with true, all tags are sent as weak tags, including those of the inner service,
    /// and every 200 and 304 has `Vary: accept-encoding`.
    ///
    /// Weak tags still give 304s. They never match in If-Match and If-Range, so clients
    /// can neither protect their writes nor resume a download with them.
    pub fn keeps_tags(self, keeps_tags: bool) -> Self {
        Self { keeps_tags, ..self }
    }

    /// Sets the suffixes that the compression may append to tags. Default: none.
    ///
    /// Some proxies turn `"abc"` into `"abc-gzip"` (Apache's httpd), `"abc;gzip"` or
    /// `"abc--gzip"` (Jetty), and clients send that tag back. With the suffix set here,
    /// such a tag in If-None-Match matches `"abc"`. The 304 has the tag without the
    /// suffix.
    ///
    /// This affects only If-None-Match, which compares weakly. If-Match and If-Range
    /// compare strongly, and never match a tag with a suffix.
    pub fn adds_suffixes<T: AsRef<str>>(self, suffixes: impl IntoIterator<Item = T>) -> Self {
        let suffixes = suffixes.into_iter().filter(|suffix| !suffix.as_ref().is_empty());
        let suffixes = suffixes.map(|suffix| suffix.as_ref().as_bytes().into()).collect();
        Self { suffixes, ..self }
    }

    /// Returns true if this names compression outside of the layer.
    pub(super) fn is_named(&self) -> bool {
        self.keeps_tags || !self.suffixes.is_empty()
    }

    /// Returns the suffixes.
    pub(super) fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes.iter().map(|suffix| &**suffix)
    }
}
