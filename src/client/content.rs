//! Content that is received, up to a limit, and as long as it said.

use std::{
    future::{poll_fn, Future},
    pin::pin,
};

use bytes::{Buf, Bytes};
use http::{header::CONTENT_LENGTH, HeaderMap};
use http_body::Body;
use tower_service::Service;

use super::error::{Error, WrongLength};
use crate::{body::BoxError, rules::SingleField};

/// Content that is copied while it comes.
#[derive(Debug)]
pub(super) struct Recorder {
    content: Vec<u8>,
    limit: usize,
    promised: Option<u64>,
}

impl Recorder {
    /// Starts with the head of a response.
    pub(super) fn new(headers: &HeaderMap, limit: usize) -> Result<Self, Error> {
        let promised = content_length(headers).map_err(|error| Error::Content(error.into()))?;
        let recorder = Self { content: Vec::new(), limit, promised };
        match promised {
            Some(promised) if promised > recorder.limit as u64 => Err(Error::TooLarge),
            _ => Ok(recorder),
        }
    }

    /// Copies the next bytes.
    pub(super) fn push(&mut self, mut data: impl Buf) -> Result<(), Error> {
        if data.remaining() > self.limit - self.content.len() {
            return Err(Error::TooLarge);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            self.content.extend_from_slice(chunk);
            data.advance(chunk.len());
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    /// Returns the content, which has ended, in memory of just its size.
    pub(super) fn finish(self) -> Result<Bytes, Error> {
        let len = self.content.len() as u64;
        if self.promised.is_some_and(|promised| promised != len) {
            return Err(Error::Content(WrongLength.into()));
        }
        Ok(self.content.into_boxed_slice().into())
    }
}

/// Reads `Content-Length`.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, WrongLength> {
    let mut length = SingleField::Absent;
    headers.get_all(CONTENT_LENGTH).iter().for_each(|line| length.take_length(line));
    match length {
        SingleField::Absent => Ok(None),
        SingleField::Value(length) => Ok(Some(length)),
        SingleField::Invalid => Err(WrongLength),
    }
}

/// Reads content to its end.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, limit: usize) -> Result<Bytes, Error>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut recorder = Recorder::new(headers, limit)?;
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| Error::Content(error.into()))?;
        if let Ok(data) = frame.into_data() {
            recorder.push(data)?;
        }
    }
    recorder.finish()
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

/// Waits until a service is ready.
pub(super) async fn ready<S, R>(service: &mut S) -> Result<(), Error>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| Error::Service(error.into()))
}

/// Waits for an answer.
pub(super) async fn answer<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    E: Into<BoxError>,
{
    future.await.map_err(|error| Error::Service(error.into()))
}

/// How much content is read at most, unless set otherwise: 16 MiB.
pub(super) const CONTENT_LIMIT: usize = 16 << 20;

#[cfg(test)]
mod tests {
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
            let mut headers = HeaderMap::new();
            for line in promised {
                headers.append(CONTENT_LENGTH, line.parse().unwrap());
            }
            let content = Recorder::new(&headers, 8).and_then(|mut recorder| {
                frames.iter().try_for_each(|frame| recorder.push(frame.as_bytes()))?;
                recorder.finish()
            });
            let expected = kept.then(|| frames.concat().into_bytes());
            assert_eq!(content.ok().map(Vec::from), expected, "{promised:?} {frames:?}");
        }
    }
}
