//! What a `WriteGuard` does with the content of a write: when it counts as whole, how
//! slowly it may come, what memory it takes, and what becomes of it if it is refused.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::{service_fn, ServiceExt};

use crate::support::{
    guarded::{boxed, guarded, App},
    harness::{reply, request, IM},
    wire::{fed, Feed},
};

/// A body that says how long it is, and is fed.
struct Promising {
    body: Body,
    length: u64,
}

impl HttpBody for Promising {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

fn promising(length: u64, first: &'static str) -> (Feed, Body) {
    let (feed, body) = fed(first);
    (feed, Body::new(Promising { body, length }))
}

/// What a handler got of the content of writes: all of it, or as far as it came.
#[derive(Clone, Default)]
struct Got(Arc<Mutex<Vec<Result<String, String>>>>);

impl Got {
    fn service(&self) -> App {
        let got = self.clone();
        boxed(service_fn(move |request: Request<Body>| {
            let got = got.clone();
            async move {
                if request.method() == Method::GET {
                    return Ok::<_, Infallible>(reply(200, &[("etag", "\"1\"")], "old"));
                }
                let (mut body, mut content) = (request.into_body(), String::new());
                let whole = loop {
                    match body.frame().await {
                        Some(Ok(frame)) => {
                            content += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
                        }
                        Some(Err(_)) => break Err(content),
                        None => break Ok(content),
                    }
                };
                let status = if whole.is_ok() { 204 } else { 400 };
                got.0.lock().unwrap().push(whole);
                Ok(reply(status, &[], ""))
            }
        }))
    }

    fn take(&self) -> Vec<Result<String, String>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A stream over HTTP/2 that is reset without an error ends like one that is whole.
#[tokio::test]
async fn content_that_ends_before_its_length_is_not_whole() {
    for lines in [&[(IM, "\"1\"")][..], &[]] {
        for streams in [false, true] {
            for (length, sent, is_whole) in
                [(6, &["abc"][..], false), (6, &["abc", "de"], false), (6, &["abc", "def"], true)]
            {
                let got = Got::default();
                let app = boxed(guarded(got.service()).stream_uploads(streams));
                let (feed, body) = promising(length, "");
                for piece in sent {
                    feed.send(Ok(Frame::data(Bytes::from(*piece)))).unwrap();
                }
                drop(feed);
                let write = request("PUT", "/note", lines).map(|_| body);
                let status = app.oneshot(write).await.unwrap().status();
                let case = format!("{lines:?} {streams} {sent:?}");
                assert_eq!(status, if is_whole { 204 } else { 400 }, "{case}");
                let wholes = got.take().into_iter().filter(Result::is_ok).count();
                assert_eq!(wholes, usize::from(is_whole), "{case}");
            }
        }
    }
}
