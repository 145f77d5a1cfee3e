//! Why a value could not be read or changed.

use std::{error, fmt, time::Duration};

use http::StatusCode;

use crate::body::BoxError;

/// Why [`Polled::refresh`](super::Polled::refresh) or
/// [`Update::run`](super::Update::run) failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The service failed: there was no answer.
    Service(BoxError),
    /// The answer has this status, which is none that can be used.
    Status(StatusCode),
    /// The content broke off, or was not as long as it said.
    Content(BoxError),
    /// The content is longer than the limit that was set.
    TooLarge,
    /// The closure that makes the value of the content failed.
    Value(BoxError),
    /// The response has no strong tag, so that a write could not be guarded. Nothing
    /// was written.
    NoStrongTag,
    /// Other writes came in between each time. Nothing was written.
    Conflict,
    /// Whether the write was done is not known: its answer was lost, and the resource
    /// has neither the old nor the new content. The source says what happened last.
    InDoubt(Box<Self>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(_) => f.write_str("the service failed"),
            Self::Status(status) => write!(f, "the answer was {status}"),
            Self::Content(_) => f.write_str("the content could not be read to its end"),
            Self::TooLarge => f.write_str("the content is longer than the limit"),
            Self::Value(_) => f.write_str("the content could not be used"),
            Self::NoStrongTag => {
                f.write_str("the resource has no strong tag, so a write could not be guarded")
            }
            Self::Conflict => f.write_str("other writes came in between each time"),
            Self::InDoubt(_) => f.write_str("whether the write was done is not known"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Service(error) | Self::Content(error) | Self::Value(error) => Some(&**error),
            Self::InDoubt(error) => Some(&**error),
            Self::Status(_) | Self::TooLarge | Self::NoStrongTag | Self::Conflict => None,
        }
    }
}

/// A refresh failed. The value from before is still there.
#[derive(Debug)]
#[non_exhaustive]
pub struct RefreshError {
    /// What failed.
    pub error: Error,
    /// How long ago the value that is held was current for certain; `None` if there is
    /// none.
    pub age: Option<Duration>,
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.age {
            Some(age) => write!(f, "{}; the value held is {} s old", self.error, age.as_secs()),
            None => write!(f, "{}; no value is held", self.error),
        }
    }
}

impl error::Error for RefreshError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.error.source()
    }
}

/// Why content that came cannot be used.
#[derive(Clone, Copy, Debug)]
pub(super) enum ContentError {
    /// It ended early, or went on behind its end.
    WrongLength,
    /// Nothing tells its end from a connection that broke.
    UnknownEnd,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongLength => "the content is not as long as its Content-Length says",
            Self::UnknownEnd => "the end of the content cannot be told from a broken connection",
        })
    }
}

impl error::Error for ContentError {}

impl From<ContentError> for Error {
    fn from(error: ContentError) -> Self {
        Self::Content(error.into())
    }
}
