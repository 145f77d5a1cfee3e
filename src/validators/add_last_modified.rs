//! Which responses get a `Last-Modified` that they lack.

/// Which responses get a `Last-Modified` that they lack, and what else they get with
/// it.
///
/// A response with a date that says nothing about its freshness is *heuristically
/// fresh* ([RFC 9111, section 4.2.2]): a browser that sees an old `Last-Modified` and
/// neither `max-age` nor `no-cache` may use its copy for a while without asking. So
/// adding the date alone would switch revalidation off for clients that asked every
/// time before.
///
/// A response states its freshness with `max-age`, `s-maxage`, `no-cache` or
/// `no-store` in `Cache-Control`, or with `Expires`. `private` alone does not.
///
/// [RFC 9111, section 4.2.2]: https://www.rfc-editor.org/rfc/rfc9111.html#section-4.2.2
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddLastModified {
    /// All, and those that do not state their freshness get `Cache-Control: no-cache`,
    /// too: caches may store them, and ask every time, which is what a 304 is for. The
    /// default.
    ///
    /// A shared cache whose own configuration gives silent responses a lifetime
    /// (nginx's `proxy_cache_valid`, stock Varnish) stops storing them then. Behind
    /// such a proxy, state `Cache-Control` in the application or choose
    /// [`IfFreshnessStated`](Self::IfFreshnessStated).
    #[default]
    WithNoCache,
    /// Only those that state their freshness: a tag alone makes nothing fresh.
    IfFreshnessStated,
    /// All, and nothing else is added. Only if you know all clients and caches.
    Alone,
    /// None.
    Never,
}

impl AddLastModified {
    /// Returns true if a response gets a date; `is_silent` if it does not state its
    /// freshness.
    pub(crate) fn adds_date(self, is_silent: bool) -> bool {
        match self {
            Self::WithNoCache | Self::Alone => true,
            Self::IfFreshnessStated => !is_silent,
            Self::Never => false,
        }
    }

    /// Returns true if a response that gets a date gets `no-cache`, too.
    pub(crate) fn adds_no_cache(self, is_silent: bool) -> bool {
        self == Self::WithNoCache && is_silent
    }
}
