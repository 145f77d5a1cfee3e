//! Reads the system's clock. No other module does that.

use std::{str::FromStr, time::SystemTime};

use http::HeaderMap;

use crate::rules::{HttpDate, InvalidHttpDate, Validators};

/// A clock: that of the system, or one that a setting gives.
pub(crate) type Clock = dyn Fn() -> SystemTime + Send + Sync;

/// Returns the current time of the system's clock.
///
/// On `wasm32-unknown-unknown` there is no clock, so this returns the start of 1970.
pub(crate) fn system_time() -> SystemTime {
    if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        SystemTime::UNIX_EPOCH
    } else {
        SystemTime::now()
    }
}

/// Returns the current second of the system's clock.
pub(crate) fn now() -> HttpDate {
    HttpDate::nearest(system_time())
}

impl FromStr for HttpDate {
    type Err = InvalidHttpDate;

    /// Parses a date in any of the three formats of HTTP, as [`HttpDate::parse`] does.
    ///
    /// One of the formats has a two-digit year. The system's clock decides its century.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, now()).ok_or(InvalidHttpDate::new())
    }
}

impl Validators {
    /// Reads the validators from the header fields of a response that a client
    /// has received.
    ///
    /// A field that is invalid, or has several lines, is ignored. The date becomes
    /// [`LastModified::FirstSeen`](crate::LastModified::FirstSeen), which only an equal
    /// date matches: a client knows that this content had this date, but not when the
    /// content changed. The system's clock is used only to complete a two-digit year.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{header::ETAG, HeaderMap};
    /// use tower_conditional::{EntityTag, Validators};
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert(ETAG, "\"v7\"".parse().unwrap());
    /// let validators = Validators::from_headers(&headers);
    /// assert_eq!(validators.etag, Some(EntityTag::strong("v7")?));
    /// assert_eq!(validators.last_modified, None);
    /// # Ok::<(), tower_conditional::InvalidEntityTag>(())
    /// ```
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self::from_headers_at(headers, now)
    }
}
