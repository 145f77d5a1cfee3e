//! An inner service whose answer can be changed, behind a layer: what it was asked, and
//! what came out.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::ready,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use http::{request, response, Request, Response, Version};
use http_body::Body;
use tower::{service_fn, Layer, Service};
use tower_conditional::{ConditionalLayer, EntityTag, Outcome, Untagged};

use crate::support::{
    harness::{layer, run, value, Clock, Lines},
    scripted_body::{content, data, script, Log, Script, Step},
};

pub(crate) const OWN: &str = "\"own\"";

pub(crate) struct Origin {
    pub(crate) status: u16,
    pub(crate) lines: Vec<(String, String)>,
    pub(crate) steps: Vec<Step>,
    pub(crate) size: Option<u64>,
    pub(crate) untagged: bool,
    pub(crate) least: u64,
    pub(crate) tells_end: bool,
    pub(crate) log: Rc<Log>,
    pub(crate) asked: Option<request::Parts>,
}

pub(crate) struct Site {
    pub(crate) layer: ConditionalLayer,
    pub(crate) origin: Rc<RefCell<Origin>>,
    pub(crate) clock: Clock,
}

pub(crate) struct Seen {
    pub(crate) head: response::Parts,
    pub(crate) frames: Vec<Step>,
    pub(crate) outcome: Outcome,
}

impl Seen {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn line(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        content(&self.frames)
    }

    pub(crate) fn trailer(&self) -> Option<&str> {
        match self.frames.last() {
            Some(Step::Trailers(trailers)) => {
                trailers.get("etag").map(|value| value.to_str().unwrap())
            }
            _ => None,
        }
    }
}

impl Site {
    /// Content of eight bytes and more is too large to read ahead.
    pub(crate) fn new(adjust: impl FnOnce(ConditionalLayer) -> ConditionalLayer) -> Self {
        let (layer, clock) = layer();
        let origin = Origin {
            status: 200,
            lines: vec![("etag".to_owned(), OWN.to_owned())],
            steps: vec![data(5), data(7)],
            size: Some(12),
            untagged: false,
            least: 0,
            tells_end: false,
            log: Rc::default(),
            asked: None,
        };
        Self { layer: adjust(layer.buffer_limit(7)), origin: Rc::new(RefCell::new(origin)), clock }
    }

    pub(crate) fn at(&self, after_noon: u64) {
        self.clock.set(after_noon);
    }

    pub(crate) fn answers(&self, lines: Lines<'_>, steps: &[Step], size: Option<u64>) {
        let mut origin = self.origin.borrow_mut();
        origin.lines =
            lines.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        (origin.steps, origin.size) = (steps.to_vec(), size);
    }

    pub(crate) fn head(
        &self,
        request: Request<()>,
    ) -> Response<tower_conditional::ResponseBody<Script>> {
        let origin = Rc::clone(&self.origin);
        let inner = service_fn(move |request: Request<()>| {
            let mut origin = origin.borrow_mut();
            origin.asked = Some(request.into_parts().0);
            let mut body = script(origin.steps.clone()).telling_end(origin.tells_end);
            if let Some(size) = origin.size {
                body = body.exact(size);
            } else if origin.least > 0 {
                body = body.hint(origin.least, None);
            }
            origin.log = Rc::clone(&body.log);
            let mut response = Response::builder().status(origin.status);
            if origin.untagged {
                response = response.extension(Untagged);
            }
            let lines = origin.lines.iter();
            let response =
                lines.fold(response, |response, (name, text)| response.header(name, value(text)));
            ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        });
        run(self.layer.layer(inner).call(request)).unwrap()
    }

    pub(crate) fn ask(&self, method: &str, lines: Lines<'_>) -> Seen {
        self.ask_over(Version::HTTP_11, method, lines)
    }

    pub(crate) fn ask_over(&self, version: Version, method: &str, lines: Lines<'_>) -> Seen {
        let request = Request::builder().method(method).uri("/").version(version);
        let request =
            lines.iter().fold(request, |request, (name, text)| request.header(*name, value(text)));
        let (head, body) = self.head(request.body(()).unwrap()).into_parts();
        let (outcome, mut frames) = (body.outcome(), Vec::new());
        let mut body = pin!(body);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if body.is_end_stream() && method != "HEAD" {
                break;
            }
            match body.as_mut().poll_frame(&mut cx) {
                Poll::Pending => {}
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(error))) => frames.push(Step::Error(error)),
                Poll::Ready(Some(Ok(frame))) => frames.push(match frame.into_data() {
                    Ok(data) => Step::Data(data),
                    Err(frame) => Step::Trailers(frame.into_trailers().unwrap()),
                }),
            }
        }
        Seen { head, frames, outcome }
    }

    /// Reads the head, and drops the body unread: a download that breaks off.
    pub(crate) fn break_off(&self, lines: Lines<'_>) {
        let request = Request::builder().uri("/");
        let request =
            lines.iter().fold(request, |request, (name, text)| request.header(*name, value(text)));
        drop(self.head(request.body(()).unwrap()));
    }

    pub(crate) fn shows(&self, name: &str) -> bool {
        self.origin.borrow().asked.as_ref().unwrap().headers.contains_key(name)
    }

    /// How many times the body of the last answer was polled.
    pub(crate) fn polls(&self) -> usize {
        self.origin.borrow().log.polls.get()
    }
}

pub(crate) fn tag_of(steps: &[Step]) -> String {
    EntityTag::of(&content(steps)).to_string()
}

pub(crate) fn ours() -> String {
    tag_of(&[data(5), data(7)])
}

/// Twelve bytes, and twelve others.
pub(crate) fn one() -> Vec<Step> {
    vec![Step::Data("aaaaaaaaaaaa".into())]
}

pub(crate) fn two() -> Vec<Step> {
    vec![Step::Data("bbbbbbbbbbbb".into())]
}

pub(crate) fn three() -> Vec<Step> {
    vec![Step::Data("ccccccccccccccc".into())]
}
