//! The setting for the dates and the `no-cache` that are added to responses.

/// Which responses get a `Last-Modified`, and whether they also get `no-cache`.
///
/// If a response has a date and does not state its freshness, it is *heuristically
/// fresh* ([RFC 9111, section 4.2.2]): a browser that sees an old `Last-Modified` and
/// neither `max-age` nor `no-cache` may use its copy for a while without a request. So
/// a date alone would turn off revalidation in clients that revalidated each time
/// before.
///
/// A response states its freshness with `max-age`, `s-maxage`, `no-cache` or
/// `no-store` in `Cache-Control`, or with `Expires`. `private` alone does not.
///
/// [RFC 9111, section 4.2.2]: https://www.rfc-editor.org/rfc/rfc9111.html#section-4.2.2
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddLastModified {
    /// All responses get a date. This is the default.
    ///
    /// Responses that do not state their freshness also get `Cache-Control: no-cache`:
    /// caches may store them, but must revalidate them each time.
    ///
    /// Some shared caches are configured to assign a lifetime to responses that do not
    /// state their freshness (`proxy_cache_valid` of nginx, the default of Varnish).
    /// Because of `no-cache` they stop storing these responses. Behind such a cache,
    /// set `Cache-Control` in the application or choose
    /// [`IfFreshnessStated`](Self::IfFreshnessStated).
    #[default]
    WithNoCache,
    /// Only responses that state their freshness get a date.
    ///
    /// A response with only a tag is not heuristically fresh.
    IfFreshnessStated,
    /// All responses get a date, and `no-cache` is not added.
    ///
    /// Choose it only if you know all clients and caches.
    Alone,
    /// No response gets a date.
    Never,
}

impl AddLastModified {
    /// Returns true if a response gets a date. `is_silent` is true if the response does
    /// not state its freshness.
    pub(crate) fn adds_date(self, is_silent: bool) -> bool {
        match self {
            Self::WithNoCache | Self::Alone => true,
            Self::IfFreshnessStated => !is_silent,
            Self::Never => false,
        }
    }

    /// Returns true if a response that gets a date also gets `no-cache`.
    pub(crate) fn adds_no_cache(self, is_silent: bool) -> bool {
        self == Self::WithNoCache && is_silent
    }
}
