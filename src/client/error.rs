//! The errors of `Polled::refresh` and `Update::run`.

use std::{error, fmt, time::Duration};

use http::StatusCode;

use crate::body::BoxError;

/// Why [`Polled::refresh`](super::Polled::refresh) or
/// [`Update::run`](super::Update::run) failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The service failed, so there was no answer.
    Service(BoxError),
    /// The response has a status that cannot be used, such as 404.
    Status(StatusCode),
    /// The content broke off, its length differs from the announced length, or its
    /// `Content-Length` is invalid.
    ///
    /// [`Update`](super::Update) also fails with this error if the end of the content
    /// cannot be distinguished from a broken connection.
    Content(BoxError),
    /// The content is longer than the content limit.
    TooLarge,
    /// The closure that parses or edits the content failed.
    ///
    /// [`Update`](super::Update) also fails with this error if the content has a
    /// `Content-Encoding`, because it cannot edit encoded content.
    Value(BoxError),
    /// The response has no strong tag, so the update has no tag for If-Match.
    ///
    /// Nothing was written.
    NoStrongTag,
    /// Another client wrote between the read and the write, and no attempt is left.
    ///
    /// Nothing was written.
    Conflict,
    /// It is not known whether the write was done.
    ///
    /// The answer to the write was lost. Reading the resource again did not show
    /// whether the write was done, or no attempt was left to read it. The error inside
    /// is that of the last attempt. It does not tell whether the write was done.
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
                f.write_str("the resource has no strong tag, so a write could not be protected")
            }
            Self::Conflict => f.write_str("other writes came in between at each attempt"),
            Self::InDoubt(_) => f.write_str("it is not known whether the write was done"),
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

/// The error of [`Polled::refresh`](super::Polled::refresh). The previous value
/// is kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct RefreshError {
    /// What failed.
    pub error: Error,
    /// How long ago the server sent or confirmed the kept value.
    ///
    /// `None` if there is no value. [`Polled::age`](super::Polled::age) says how this
    /// time is counted.
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

/// Why received content cannot be used.
#[derive(Clone, Copy, Debug)]
pub(super) enum ContentError {
    /// The content does not have the announced length, or its `Content-Length`
    /// is invalid.
    WrongLength,
    /// The end of the content cannot be distinguished from a broken connection.
    UnknownEnd,
    /// The content is encoded, so it cannot be edited.
    Encoded,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongLength => "the length of the content differs from its Content-Length",
            Self::UnknownEnd => {
                "the end of the content cannot be distinguished from a broken connection"
            }
            Self::Encoded => "the content has a Content-Encoding: do not send Accept-Encoding",
        })
    }
}

impl error::Error for ContentError {}

impl From<ContentError> for Error {
    fn from(error: ContentError) -> Self {
        Self::Content(error.into())
    }
}
