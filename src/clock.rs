//! The one place that reads the system's clock.

use std::{str::FromStr, time::SystemTime};

use http::HeaderMap;

use crate::rules::{HttpDate, InvalidHttpDate, Preconditions};

/// The user's clock, or the system's.
pub(crate) type Clock = dyn Fn() -> SystemTime + Send + Sync;

/// Returns the time of the system's clock.
///
/// `wasm32-unknown-unknown` has no clock. There it is always 1970.
pub(crate) fn system_time() -> SystemTime {
    if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        SystemTime::UNIX_EPOCH
    } else {
        SystemTime::now()
    }
}

/// Returns the present second, by the system's clock.
pub(crate) fn now() -> HttpDate {
    HttpDate::nearest(system_time())
}

impl FromStr for HttpDate {
    type Err = InvalidHttpDate;

    /// Reads a date in any of the three forms of HTTP, as [`HttpDate::parse`] does.
    ///
    /// The system's clock places the two-digit year of the second form.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, now()).ok_or(InvalidHttpDate::new())
    }
}

impl Preconditions {
    /// Takes the preconditions from the header fields of a request, all lines of each.
    ///
    /// The system's clock is read only to place a date with a two-digit year.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self::from_headers_at(headers, now)
    }
}
