//! The setting that decides which responses get a `Last-Modified` and a `no-cache`.

/// Which responses get a `Last-Modified`, and whether they also get `no-cache`.
///
/// If a response has a `Last-Modified` and does not state its freshness, it is
/// *heuristically fresh* ([RFC 9111, section 4.2.2]): a browser may use its copy for a
/// while without a request, and the older the date, the longer. So if the layer added
/// only a date, clients that used to revalidate each time would stop doing so.
///
/// A response states its freshness with `max-age`, `s-maxage`, `no-cache` or `no-store`
/// in `Cache-Control`, or with `Expires`. A response with only `private` does not state
/// its freshness.
///
/// With every variant, only *eligible* responses get a date. For a
/// [`ConditionalLayer`](crate::ConditionalLayer), the 200 to a GET or HEAD is eligible
/// if it has a tag, and is neither [private](crate#cookies-and-private-responses) nor
/// `no-store`. For a [`PreconditionLayer`](crate::PreconditionLayer), a 200 or 206 is
/// eligible if the layer knows its date. Whether a date of the handler is sent does not
/// depend on this setting.
///
/// [RFC 9111, section 4.2.2]: https://www.rfc-editor.org/rfc/rfc9111.html#section-4.2.2
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddLastModified {
    /// Eligible responses get a `Last-Modified`. This is the default.
    ///
    /// If such a response does not state its freshness, and has no date of the handler,
    /// it also gets `Cache-Control: no-cache`: caches may store it, but must revalidate
    /// it each time.
    ///
    /// Some shared caches are configured to assign a lifetime to responses that do
    /// not state their freshness (`proxy_cache_valid` of nginx, the default of
    /// Varnish). Because of `no-cache`, such caches no longer store these
    /// responses. Behind such a cache, set `Cache-Control` in the application or
    /// choose [`IfFreshnessStated`](Self::IfFreshnessStated).
    #[default]
    WithNoCache,
    /// Eligible responses get a date only if they state their freshness.
    ///
    /// The others get only a tag, so they do not become heuristically fresh.
    IfFreshnessStated,
    /// Eligible responses get a date, and `no-cache` is not added.
    ///
    /// Clients and caches may then use old copies without a request. So choose this
    /// only if you know that all clients and caches revalidate each time.
    Alone,
    /// The layer adds no date.
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
