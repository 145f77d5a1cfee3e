//! What compression outside of the layer, such as a proxy's, does to tags.

use std::sync::Arc;

/// What compression outside of the layer does to tags: see
/// [`ConditionalLayer::outer_compression`](crate::ConditionalLayer::outer_compression).
///
/// # Examples
///
/// Apache's `mod_deflate`:
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
    /// Compression that weakens or removes tags, as nginx's does, or none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether it leaves tags as they are. Default: false.
    ///
    /// A strong tag names bytes, and all encodings would share one. So with true, all
    /// tags are weak, those of the inner service too, and every 200 and 304 says
    /// `Vary: accept-encoding`.
    ///
    /// Weak tags still make 304s. In If-Match and If-Range they never match, so clients
    /// can neither guard their writes with them nor resume a download.
    pub fn keeps_tags(self, keeps_tags: bool) -> Self {
        Self { keeps_tags, ..self }
    }

    /// Sets the suffixes that it may append to tags. Default: none.
    ///
    /// Some proxies turn `"abc"` into `"abc-gzip"` (Apache's httpd), `"abc;gzip"` or
    /// `"abc--gzip"` (Jetty), and clients send that back. With these suffixes named,
    /// such a tag in If-None-Match is taken for the one that was sent, and answered
    /// with a 304 that carries the tag without the suffix.
    ///
    /// This is for If-None-Match alone, where the meaning counts: If-Match and If-Range
    /// are about bytes, and never match such a tag.
    pub fn adds_suffixes<T: AsRef<str>>(self, suffixes: impl IntoIterator<Item = T>) -> Self {
        let suffixes = suffixes.into_iter().filter(|suffix| !suffix.as_ref().is_empty());
        let suffixes = suffixes.map(|suffix| suffix.as_ref().as_bytes().into()).collect();
        Self { suffixes, ..self }
    }

    /// Returns true if there is compression outside, as far as is said.
    pub(super) fn is_named(&self) -> bool {
        self.keeps_tags || !self.suffixes.is_empty()
    }

    /// Returns the suffixes.
    pub(super) fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes.iter().map(|suffix| &**suffix)
    }
}
