//! The answer to a request, in bounded memory.

use std::{
    fmt::{self, Debug},
    future::poll_fn,
    pin::pin,
    time::{Duration, SystemTime},
};

use bytes::{Buf, BufMut};
use http::{
    header::{AsHeaderName, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED},
    response, Extensions, HeaderMap, Response, StatusCode, Version,
};
use http_body::Body;
use tower_conditional::{
    predicate::{DefaultPredicate, Predicate},
    EntityTag, HttpDate,
};

use crate::{fields::single_line, timeout::within};

/// An answer, and its content as far as it was read.
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) content: ReceivedBody,
}

/// The content of an answer, as far as it was read.
pub(crate) struct ReceivedBody {
    /// At most [`LIMIT`] bytes.
    bytes: Vec<u8>,
    has_trailers: bool,
    end: ReadEnd,
}

/// How the reading of content ended.
enum ReadEnd {
    Whole,
    /// The content was not read, because it is an event stream, or because the content
    /// of the first answer did not end in time.
    Unread,
    TooLong,
    Slow,
    Broken(String),
}

impl Answer {
    /// Reads the content of a response: at most [`LIMIT`] bytes, and for at
    /// most `timeout`.
    pub(crate) async fn read<B>(
        response: Response<B>,
        timeout: Duration,
        may_be_endless: bool,
    ) -> Self
    where
        B: Body,
        B::Error: Debug,
    {
        let (head, body) = response.into_parts();
        let mut reading = Reading::default();
        let end = if head.status.is_success() && (may_be_endless || is_stream(&head.headers)) {
            if body.is_end_stream() {
                ReadEnd::Whole
            } else {
                ReadEnd::Unread
            }
        } else {
            within(timeout, reading.take(body)).await.unwrap_or(ReadEnd::Slow)
        };
        let Reading { bytes, has_trailers, .. } = reading;
        Self { head, content: ReceivedBody { bytes, has_trailers, end } }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns true if the answer has this field.
    pub(crate) fn has(&self, name: impl AsHeaderName) -> bool {
        self.head.headers.contains_key(name)
    }

    /// Returns the entity tag, if there is exactly one valid one.
    pub(crate) fn tag(&self) -> Option<EntityTag> {
        EntityTag::try_from(single_line(self.headers(), ETAG)?).ok()
    }

    /// Returns the modification date, if there is exactly one valid one.
    pub(crate) fn last_modified(&self) -> Option<HttpDate> {
        date(self.headers(), LAST_MODIFIED)
    }

    /// Returns the value of `Content-Length`, if it is a number.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Returns true if there is no content and no trailer section.
    pub(crate) fn is_empty(&self) -> bool {
        self.content.bytes.is_empty()
            && !self.content.has_trailers
            && matches!(self.content.end, ReadEnd::Whole)
    }

    /// Returns true if at least one byte of content was read.
    pub(crate) fn has_content(&self) -> bool {
        !self.content.bytes.is_empty()
    }

    /// Returns the content, if it was read to its end.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        matches!(self.content.end, ReadEnd::Whole).then_some(&self.content.bytes)
    }

    /// Returns the number of bytes of content, if all of them were received.
    pub(crate) fn length(&self) -> Option<u64> {
        self.bytes().map(|bytes| bytes.len() as u64)
    }

    /// Returns true if the content is known to differ from that of another answer.
    pub(crate) fn differs_from(&self, other: &Self) -> bool {
        let is_known =
            |answer: &Self| matches!(answer.content.end, ReadEnd::Whole | ReadEnd::TooLong);
        is_known(self) && is_known(other) && self.content.bytes != other.content.bytes
    }

    /// Returns true if the content may have no end.
    pub(crate) fn may_be_endless(&self) -> bool {
        matches!(self.content.end, ReadEnd::Unread | ReadEnd::Slow)
    }

    /// Returns true if the content ended in an error.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.content.end, ReadEnd::Broken(_))
    }
}

impl fmt::Display for ReceivedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.bytes.len();
        let bytes = if length == 1 { "byte" } else { "bytes" };
        match &self.end {
            ReadEnd::Whole if length == 0 => f.write_str("no content"),
            ReadEnd::Whole => write!(f, "{length} {bytes} of content"),
            ReadEnd::Unread => f.write_str("content that was not read: it may have no end"),
            ReadEnd::TooLong => write!(f, "more than {LIMIT} bytes of content"),
            ReadEnd::Slow => write!(f, "{length} {bytes} of content, and no end in sight"),
            ReadEnd::Broken(error) => {
                write!(f, "{length} {bytes} of content, then an error: {error}")
            }
        }?;
        f.write_str(if self.has_trailers { ", and trailers" } else { "" })
    }
}

/// Returns the date of a field, if the field has exactly one line and a valid date.
pub(crate) fn date(headers: &HeaderMap, name: impl AsHeaderName) -> Option<HttpDate> {
    HttpDate::parse(single_line(headers, name)?.as_bytes(), now())
}

/// Returns the current time, which is needed to read dates with two-digit years.
pub(crate) fn now() -> HttpDate {
    // `wasm32-unknown-unknown` has no clock. There it is always 1970.
    let now = if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        SystemTime::UNIX_EPOCH
    } else {
        SystemTime::now()
    };
    HttpDate::try_from(now).unwrap_or_else(|_| last_date())
}

/// Returns the last HTTP date: Fri, 31 Dec 9999 23:59:59 GMT.
pub(crate) fn last_date() -> HttpDate {
    HttpDate::from_unix_seconds(253_402_300_799).expect("a year of four digits")
}

/// The content that was read so far.
#[derive(Default)]
struct Reading {
    bytes: Vec<u8>,
    frames: usize,
    has_trailers: bool,
}

impl Reading {
    async fn take<B>(&mut self, body: B) -> ReadEnd
    where
        B: Body,
        B::Error: Debug,
    {
        let mut body = pin!(body);
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return ReadEnd::Broken(format!("{error:?}")),
            };
            self.has_trailers |= frame.is_trailers();
            self.frames += 1;
            if frame.into_data().is_ok_and(|data| !self.take_data(data)) {
                return ReadEnd::TooLong;
            }
            if self.frames > FRAMES {
                return ReadEnd::Slow;
            }
        }
        ReadEnd::Whole
    }

    /// Keeps the bytes that fit within [`LIMIT`]. Returns true if all of them did.
    fn take_data(&mut self, mut data: impl Buf) -> bool {
        let taken = data.remaining().min(LIMIT - self.bytes.len());
        self.bytes.put((&mut data).take(taken));
        !data.has_remaining()
    }
}

/// Returns true if the media type is that of a stream, which may have no end.
fn is_stream(headers: &HeaderMap) -> bool {
    // The layer's default predicate detects streams by their media type. Deliberately
    // only `Content-Type` is passed to it, because other fields may be another reason
    // not to tag the response.
    let mut types = HeaderMap::new();
    for line in headers.get_all(CONTENT_TYPE) {
        types.append(CONTENT_TYPE, line.clone());
    }
    !DefaultPredicate::new().may_tag(StatusCode::OK, Version::HTTP_11, &types, &Extensions::new())
}

/// The maximum number of bytes of content that are read of one answer.
const LIMIT: usize = 1 << 20;

/// The maximum number of frames that are read of one answer. This limit is needed
/// because frames may be empty.
const FRAMES: usize = 1 << 16;
