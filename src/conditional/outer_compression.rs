//! The setting for compression outside of the layer, such as that of a proxy.

use std::sync::Arc;

use crate::rules::EntityTag;

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
    /// Makes the default setting: there is no outer compression, or it weakens tags (as
    /// nginx does) or removes them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether the compression leaves tags unchanged. Default: false.
    ///
    /// With true, the layer makes all tags weak, including those of the inner service,
    /// because otherwise one strong tag would name different bytes. The layer also adds
    /// `Vary: accept-encoding` to every 200, 206 and 304.
    ///
    /// Put a [`PreconditionLayer`](crate::PreconditionLayer) inside of the layer.
    /// Outside, it would add strong tags all the same.
    ///
    /// Weak tags still give 304s. They never match in If-Match and If-Range, so clients
    /// can neither protect their writes nor resume a download with them.
    pub fn keeps_tags(self, keeps_tags: bool) -> Self {
        Self { keeps_tags, ..self }
    }

    /// Sets the suffixes that the compression may append to tags. Default: none.
    ///
    /// Some proxies turn `"abc"` into `"abc-gzip"` (Apache's httpd), `"abc;gzip"` or
    /// `"abc--gzip"` (Jetty), and clients send that tag back. If the suffix is set
    /// here, such a tag in If-None-Match matches `"abc"`. The layer's 304 has the tag
    /// without the suffix. The tag matches whatever `Accept-Encoding` the request has,
    /// because some proxies remove that field before they compress the response.
    ///
    /// The suffixes are ignored only in If-None-Match, where weak comparison is
    /// enough. If-Match and If-Range need equal bytes, so a tag with a suffix never
    /// matches there.
    ///
    /// # Panics
    ///
    /// Panics if a suffix has a character that is not allowed in a tag, such as a quote
    /// or a space.
    pub fn adds_suffixes<T: AsRef<str>>(self, suffixes: impl IntoIterator<Item = T>) -> Self {
        let suffixes = suffixes.into_iter().filter(|suffix| !suffix.as_ref().is_empty());
        let bytes = |suffix: T| {
            let suffix = suffix.as_ref();
            assert!(EntityTag::strong(suffix).is_ok(), "no tag can end with {suffix:?}");
            suffix.as_bytes().into()
        };
        Self { suffixes: suffixes.map(bytes).collect(), ..self }
    }

    /// Returns true if anything differs from the default.
    pub(super) fn is_named(&self) -> bool {
        self.keeps_tags || !self.suffixes.is_empty()
    }

    pub(super) fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes.iter().map(|suffix| &**suffix)
    }
}
