//! What was answered, in bounded memory.

use std::{
    fmt::{self, Debug},
    future::poll_fn,
    pin::pin,
    time::Duration,
};

use bytes::{Buf, BufMut};
use http::{
    header::{AsHeaderName, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED},
    response, HeaderMap, Response, StatusCode,
};
use http_body::Body;

use super::patience::within;
use crate::{
    clock,
    rules::{EntityTag, HttpDate},
};

/// An answer whose content was read, as far as it goes.
pub(super) struct Answer {
    pub(super) head: response::Parts,
    pub(super) content: Seen,
}

/// What is kept of content.
pub(super) struct Seen {
    /// Not more than [`LIMIT`].
    octets: Vec<u8>,
    has_trailers: bool,
    end: End,
}

/// How the reading of content ended.
enum End {
    Whole,
    /// It was not begun: the content is a stream, or an earlier one had no end.
    Unread,
    TooLong,
    Slow,
    Broken(String),
}

impl Answer {
    /// Reads the content of a response, at most [`LIMIT`] octets of it, and waits for it no longer than `patience`.
    pub(super) async fn read<B>(
        response: Response<B>,
        patience: Duration,
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
                End::Whole
            } else {
                End::Unread
            }
        } else {
            within(patience, reading.take(body)).await.unwrap_or(End::Slow)
        };
        let Reading { octets, has_trailers, .. } = reading;
        Self { head, content: Seen { octets, has_trailers, end } }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns true if a field is there.
    pub(super) fn has(&self, name: impl AsHeaderName) -> bool {
        self.head.headers.contains_key(name)
    }

    /// Returns the entity tag, if there is one that can be read, and only one.
    pub(super) fn tag(&self) -> Option<EntityTag> {
        let mut lines = self.headers().get_all(ETAG).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => EntityTag::try_from(line).ok(),
            _ => None,
        }
    }

    /// Returns the modification date, if there is one that can be read, and only one.
    pub(super) fn last_modified(&self) -> Option<HttpDate> {
        date(self.headers(), LAST_MODIFIED)
    }

    /// Returns the value of `Content-Length`, if it is a number.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Returns true if there is no content and no trailer section.
    pub(super) fn is_empty(&self) -> bool {
        self.content.octets.is_empty()
            && !self.content.has_trailers
            && matches!(self.content.end, End::Whole)
    }

    /// Returns the number of octets of content, if all were seen.
    pub(super) fn length(&self) -> Option<u64> {
        matches!(self.content.end, End::Whole).then_some(self.content.octets.len() as u64)
    }

    /// Returns true if it is known that the content differs from that of another answer.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let is_known = |answer: &Self| matches!(answer.content.end, End::Whole | End::TooLong);
        is_known(self) && is_known(other) && self.content.octets != other.content.octets
    }

    /// Returns true if content goes on for ever, as far as anybody can tell.
    pub(super) fn may_be_endless(&self) -> bool {
        matches!(self.content.end, End::Unread | End::Slow)
    }

    /// Returns true if the content ended in an error.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.content.end, End::Broken(_))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.octets.len();
        let octets = if length == 1 { "octet" } else { "octets" };
        match &self.end {
            End::Whole if length == 0 => f.write_str("no content"),
            End::Whole => write!(f, "{length} {octets} of content"),
            End::Unread => f.write_str("content that was not read: it may have no end"),
            End::TooLong => write!(f, "more than {LIMIT} octets of content"),
            End::Slow => write!(f, "{length} {octets} of content, and no end in sight"),
            End::Broken(error) => write!(f, "{length} {octets} of content, then an error: {error}"),
        }?;
        f.write_str(if self.has_trailers { ", and trailers" } else { "" })
    }
}

/// Returns the date of a field that has one line.
pub(super) fn date(headers: &HeaderMap, name: impl AsHeaderName) -> Option<HttpDate> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => HttpDate::parse(line.as_bytes(), now()),
        _ => None,
    }
}

/// Returns the present, for dates with a two-digit year.
pub(super) fn now() -> HttpDate {
    clock::now()
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    octets: Vec<u8>,
    frames: usize,
    has_trailers: bool,
}

impl Reading {
    async fn take<B>(&mut self, body: B) -> End
    where
        B: Body,
        B::Error: Debug,
    {
        let mut body = pin!(body);
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return End::Broken(format!("{error:?}")),
            };
            self.has_trailers |= frame.is_trailers();
            self.frames += 1;
            if frame.into_data().is_ok_and(|data| !self.take_data(data)) {
                return End::TooLong;
            }
            if self.frames > FRAMES {
                return End::Slow;
            }
        }
        End::Whole
    }

    /// Keeps what there is room for, and returns true if that was all.
    fn take_data(&mut self, mut data: impl Buf) -> bool {
        let taken = data.remaining().min(LIMIT - self.octets.len());
        self.octets.put((&mut data).take(taken));
        !data.has_remaining()
    }
}

/// Returns true if the content has no end by its nature.
fn is_stream(headers: &HeaderMap) -> bool {
    let media_type =
        headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes()).to_ascii_lowercase();
    STREAMS.iter().any(|stream| media_type.starts_with(stream))
}

const STREAMS: [&[u8]; 2] = [b"text/event-stream", b"multipart/x-mixed-replace"];

/// Octets of content that are read of one answer.
const LIMIT: usize = 1 << 20;

/// Frames that are read of one answer: some are empty.
const FRAMES: usize = 1 << 16;
