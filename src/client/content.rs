//! Reads content. Its length must be within a limit, and equal to the announced length.

use std::{
    future::{poll_fn, Future},
    pin::pin,
};

use bytes::{Buf, Bytes};
use http::{header::TRANSFER_ENCODING, response, HeaderMap, Version};
use http_body::{Body, SizeHint};
use tower_service::Service;

use super::error::{ContentError, Error};
use crate::{
    body::BoxError,
    rules::{single_line, SingleField},
};

/// A copy of content, made while the content is received.
#[derive(Debug)]
pub(super) struct Recorder {
    content: Vec<u8>,
    limit: usize,
    /// The announced length, from `Content-Length` or the body's `size_hint`.
    length: Option<u64>,
    end: End,
}

/// How the end of content is distinguished from a broken connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The announced length or the chunks show the end. An earlier end is an error.
    Framed,
    /// The body's `is_end_stream` shows the end. If an HTTP/2 stream is reset with
    /// NO_ERROR, Hyper ends the body without an error, as if it were complete. But
    /// `is_end_stream` is then false.
    Stream,
    /// Nothing shows the end. HTTP/1 content with neither a length nor chunks ends when
    /// the connection closes, even if the connection was broken. An example is content
    /// with `Transfer-Encoding: gzip` (RFC 9112, section 6.3).
    Unknown,
}

impl Recorder {
    /// Makes a recorder for the content of a response. Fails if `Content-Length` is
    /// invalid, or if the content is known to be longer than `limit`.
    pub(super) fn new(
        head: &response::Parts,
        hint: &SizeHint,
        limit: usize,
    ) -> Result<Self, Error> {
        let length = content_length(&head.headers)?.or(hint.exact());
        let end = match head.version {
            _ if length.is_some() => End::Framed,
            Version::HTTP_11 if is_chunked(&head.headers) => End::Framed,
            version if version > Version::HTTP_11 => End::Stream,
            _ => End::Unknown,
        };
        if length.unwrap_or(hint.lower()) > limit as u64 {
            return Err(Error::TooLarge);
        }
        Ok(Self { content: Vec::new(), limit, length, end })
    }

    /// Copies the next bytes. Fails if the content becomes longer than the limit.
    pub(super) fn push(&mut self, mut data: impl Buf) -> Result<(), Error> {
        if data.remaining() > self.limit - self.content.len() {
            return Err(Error::TooLarge);
        }
        let room = self.room_for(data.remaining());
        self.content.reserve_exact(room - self.content.len());
        while data.has_remaining() {
            let chunk = data.chunk();
            self.content.extend_from_slice(chunk);
            data.advance(chunk.len());
        }
        Ok(())
    }

    /// Returns how many bytes of memory the copy takes once it has `more` bytes.
    ///
    /// The memory grows by doubling, but not beyond the announced length or the limit.
    pub(super) fn room_for(&self, more: usize) -> usize {
        let (room, needed) = (self.content.capacity(), self.content.len().saturating_add(more));
        if needed <= room {
            return room;
        }
        let announced = self.length.and_then(|length| length.try_into().ok());
        let most = announced.unwrap_or(self.limit).min(self.limit);
        room.saturating_mul(2).min(most).max(needed)
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// Returns the content once the body has ended. Fails if the content does not have
    /// the announced length.
    pub(super) fn finish(self, is_end_stream: bool) -> Result<ReadContent, Error> {
        let len = self.content.len() as u64;
        if self.length.is_some_and(|length| length != len) {
            return Err(ContentError::WrongLength.into());
        }
        let is_whole = self.end == End::Framed || self.end == End::Stream && is_end_stream;
        Ok(ReadContent { bytes: self.content.into_boxed_slice().into(), is_whole })
    }
}

/// Content that has ended.
#[derive(Debug)]
pub(super) struct ReadContent {
    pub(super) bytes: Bytes,
    /// True if it is certain that the content did not break off.
    pub(super) is_whole: bool,
}

/// Reads `Content-Length`. Fails if it is invalid, or if two lines differ.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ContentError> {
    match SingleField::content_length(headers) {
        SingleField::Absent => Ok(None),
        SingleField::Value(length) => Ok(Some(length)),
        SingleField::Invalid => Err(ContentError::WrongLength),
    }
}

/// Returns true if `chunked` is the only transfer coding.
///
/// If another coding comes last, such as `gzip`, nothing shows the end of the content.
/// With `gzip, chunked`, an HTTP client may not decode the gzip. The bytes are then not
/// the content that the tag names.
fn is_chunked(headers: &HeaderMap) -> bool {
    let coding = single_line(headers, TRANSFER_ENCODING);
    coding.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Reads content to its end.
pub(super) async fn read<B>(
    head: &response::Parts,
    body: B,
    limit: usize,
) -> Result<ReadContent, Error>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut recorder = Recorder::new(head, &body.size_hint(), limit)?;
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| Error::Content(error.into()))?;
        if let Ok(data) = frame.into_data() {
            recorder.push(data)?;
        }
    }
    recorder.finish(body.is_end_stream())
}

/// Calls a service once it is ready.
pub(super) async fn call<S, R>(service: &mut S, request: R) -> Result<S::Response, Error>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    ready(service).await?;
    answer(service.call(request)).await
}

pub(super) async fn ready<S, R>(service: &mut S) -> Result<(), Error>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| Error::Service(error.into()))
}

pub(super) async fn answer<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    E: Into<BoxError>,
{
    future.await.map_err(|error| Error::Service(error.into()))
}

/// The default maximum length of content: 16 MiB.
pub(super) const CONTENT_LIMIT: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use http::{header::CONTENT_LENGTH, Response};

    use super::*;

    #[test]
    fn content_is_taken_up_to_its_limit_and_its_promise() {
        for (promised, frames, kept) in [
            (&[][..], &["ab", "", "c"][..], true),
            (&["3"], &["abc"], true),
            (&["3", "3"], &["abc"], true),
            (&["0"], &[], true),
            (&["3"], &["ab"], false),
            (&["3"], &["ab", "cd"], false),
            (&["3", "4"], &["abc"], false),
            (&["+3"], &["abc"], false),
            (&[""], &[], false),
            (&["99999999999999999999"], &["abc"], false),
            (&["9"], &["abcabcabc"], false),
            (&[], &["abcde", "abc", "d"], false),
            (&[], &["abcde", "abc"], true),
        ] {
            let (mut head, ()) = Response::new(()).into_parts();
            for line in promised {
                head.headers.append(CONTENT_LENGTH, line.parse().unwrap());
            }
            let recorder = Recorder::new(&head, &SizeHint::default(), 8);
            let content = recorder.and_then(|mut recorder| {
                frames.iter().try_for_each(|frame| recorder.push(frame.as_bytes()))?;
                recorder.finish(false).map(|content| content.bytes)
            });
            let expected = kept.then(|| frames.concat().into_bytes());
            assert_eq!(content.ok().map(Vec::from), expected, "{promised:?} {frames:?}");
        }
    }

    #[test]
    fn content_takes_the_memory_that_was_said_before() {
        for (promised, limit, rooms) in [
            (None, 200, &[30, 30, 60, 60, 120][..]),
            (None, 80, &[30, 30, 60, 60, 80]),
            (Some("70"), 100, &[30, 30, 60, 60, 70]),
            (Some("70"), 80, &[30, 30, 60, 60, 70]),
        ] {
            let (mut head, ()) = Response::new(()).into_parts();
            if let Some(length) = promised {
                head.headers.insert(CONTENT_LENGTH, length.parse().unwrap());
            }
            let mut recorder = Recorder::new(&head, &SizeHint::default(), limit).unwrap();
            let mut seen = Vec::new();
            for bytes in [30, 0, 10, 20, 5] {
                let room = recorder.room_for(bytes);
                recorder.push(&vec![b'x'; bytes][..]).unwrap();
                assert_eq!(recorder.content.capacity(), room, "{promised:?} {limit} {bytes}");
                seen.push(room);
            }
            assert_eq!(seen, rooms, "{promised:?} {limit}");
        }
    }

    #[test]
    fn content_is_whole_if_its_end_shows() {
        let coding = |name| (TRANSFER_ENCODING, name);
        let (chunked, length) = (coding("chunked"), (CONTENT_LENGTH, "3"));
        for (version, field, hint, ends, is_whole) in [
            (Version::HTTP_11, None, SizeHint::default(), false, false),
            (Version::HTTP_11, None, SizeHint::default(), true, false),
            (Version::HTTP_11, None, SizeHint::with_exact(3), false, true),
            (Version::HTTP_11, Some(&chunked), SizeHint::default(), false, true),
            (Version::HTTP_11, Some(&coding("Chunked")), SizeHint::default(), false, true),
            (Version::HTTP_11, Some(&coding("identity")), SizeHint::default(), true, false),
            (Version::HTTP_11, Some(&coding("gzip")), SizeHint::default(), true, false),
            (Version::HTTP_11, Some(&coding("chunked, gzip")), SizeHint::default(), true, false),
            (Version::HTTP_11, Some(&coding("gzip, chunked")), SizeHint::default(), true, false),
            (Version::HTTP_11, Some(&coding("chunked,")), SizeHint::default(), true, false),
            (Version::HTTP_11, Some(&coding("")), SizeHint::default(), true, false),
            (Version::HTTP_11, Some(&length), SizeHint::default(), false, true),
            (Version::HTTP_10, Some(&chunked), SizeHint::default(), true, false),
            (Version::HTTP_2, Some(&chunked), SizeHint::default(), false, false),
            (Version::HTTP_2, None, SizeHint::default(), false, false),
            (Version::HTTP_2, None, SizeHint::default(), true, true),
            (Version::HTTP_2, Some(&length), SizeHint::default(), false, true),
            (Version::HTTP_3, None, SizeHint::default(), false, false),
        ] {
            let (mut head, ()) = Response::new(()).into_parts();
            head.version = version;
            if let Some((name, value)) = field {
                head.headers.insert(name, value.parse().unwrap());
            }
            let mut recorder = Recorder::new(&head, &hint, 8).unwrap();
            recorder.push(&b"abc"[..]).unwrap();
            let content = recorder.finish(ends).unwrap();
            assert_eq!(content.is_whole, is_whole, "{version:?} {field:?} {hint:?} {ends}");
        }
    }
}
