//! Whether a client accepts trailers (RFC 9110, sections [6.5.1] and [10.1.4]).
//!
//! [6.5.1]: https://www.rfc-editor.org/rfc/rfc9110.html#section-6.5.1
//! [10.1.4]: https://www.rfc-editor.org/rfc/rfc9110.html#section-10.1.4

use http::{header::TE, HeaderMap, Version};

use super::members;

/// When a client accepts trailers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum TakesTrailers {
    #[default]
    Never,
    /// Only after content of unknown length: over HTTP/1.1, that content is chunked,
    /// and only chunked content can have trailers.
    AfterUnknownLength,
    Always,
}

impl TakesTrailers {
    /// Reads the head of a request.
    pub(crate) fn of(version: Version, headers: &HeaderMap) -> Self {
        let takes_them = || {
            headers
                .get_all(TE)
                .iter()
                .flat_map(members)
                .any(|m| m.eq_ignore_ascii_case(b"trailers"))
        };
        match version {
            Version::HTTP_2 | Version::HTTP_3 => Self::Always,
            Version::HTTP_11 if takes_them() => Self::AfterUnknownLength,
            _ => Self::Never,
        }
    }

    /// Returns true if trailers may follow content of this length.
    pub(crate) fn allows(self, length: Option<u64>) -> bool {
        match self {
            Self::Never => false,
            Self::AfterUnknownLength => length.is_none(),
            Self::Always => true,
        }
    }
}
