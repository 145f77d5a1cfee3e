//! A body that does what its script says. The fuzz targets use it, too.

use std::{
    cell::Cell,
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{ready, Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::time;

use self::Step::{Data, Error, Gate, Sleep, Trailers, Yield};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Error(u32),
    /// Not ready, but the task is woken at once.
    Yield,
    /// Not ready for so many milliseconds.
    Sleep(u64),
    /// Not ready until a gate is opened.
    Gate,
}

/// A body that does what its script says; it panics if it is polled after its end.
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    hint: SizeHint,
    tells_end: bool,
    sleep: Option<Pin<Box<time::Sleep>>>,
    ended: bool,
    pub(crate) log: Rc<Log>,
}

/// What bodies did, and what they wait for.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) polls: Cell<usize>,
    pub(crate) bytes: Cell<usize>,
    pub(crate) drops: Cell<usize>,
    made: Cell<usize>,
    waiting: Cell<Option<Waker>>,
    is_open: Cell<bool>,
}

impl Log {
    /// Lets one body pass one gate; returns true if a body waits there.
    pub(crate) fn open_gate(&self) -> bool {
        self.is_open.set(true);
        let waiting = self.waiting.take();
        let is_waiting = waiting.is_some();
        waiting.into_iter().for_each(Waker::wake);
        is_waiting
    }

    /// Returns how many bodies there are.
    pub(crate) fn alive(&self) -> usize {
        self.made.get() - self.drops.get()
    }
}

/// Makes a body of unknown size that tells its end only when polled.
pub(crate) fn script(steps: impl IntoIterator<Item = Step>) -> Script {
    logged(steps, &Rc::default())
}

/// The same, with a log that it shares with other bodies.
pub(crate) fn logged(steps: impl IntoIterator<Item = Step>, log: &Rc<Log>) -> Script {
    log.made.set(log.made.get() + 1);
    Script {
        steps: steps.into_iter().collect(),
        hint: SizeHint::new(),
        tells_end: false,
        sleep: None,
        ended: false,
        log: Rc::clone(log),
    }
}

impl Script {
    pub(crate) fn exact(self, bytes: u64) -> Self {
        self.hint(bytes, Some(bytes))
    }

    pub(crate) fn hint(mut self, lower: u64, upper: Option<u64>) -> Self {
        self.hint = hint(lower, upper);
        self
    }

    /// `is_end_stream` is true as soon as nothing more comes.
    pub(crate) fn telling_end(mut self, tells_end: bool) -> Self {
        self.tells_end = tells_end;
        self
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = u32;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, u32>>> {
        assert!(!self.ended, "polled after its end");
        self.log.polls.set(self.log.polls.get() + 1);
        while let Some(step) = self.steps.front().cloned() {
            match step {
                Gate if !self.log.is_open.take() => {
                    self.log.waiting.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Sleep(millis) => {
                    let sleep = || Box::pin(time::sleep(Duration::from_millis(millis)));
                    ready!(self.sleep.get_or_insert_with(sleep).as_mut().poll(cx));
                    self.sleep = None;
                }
                _ => {}
            }
            self.steps.pop_front();
            match step {
                Data(data) => {
                    let len = data.len() as u64;
                    let upper = self.hint.upper().map(|upper| upper.saturating_sub(len));
                    self.hint = hint(self.hint.lower().saturating_sub(len), upper);
                    self.log.bytes.set(self.log.bytes.get() + data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Error(error) => return Poll::Ready(Some(Err(error))),
                Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Sleep(_) | Gate => {}
            }
        }
        self.ended = true;
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.log.drops.set(self.log.drops.get() + 1);
    }
}

pub(crate) fn hint(lower: u64, upper: Option<u64>) -> SizeHint {
    let mut hint = SizeHint::new();
    if let Some(upper) = upper {
        hint.set_upper(upper.max(lower));
    }
    hint.set_lower(lower);
    hint
}

pub(crate) fn data(len: usize) -> Step {
    Data((0..len).map(|i| (i * 31 / 8) as u8).collect())
}

pub(crate) fn trailers() -> Step {
    Trailers(HeaderMap::from_iter([(
        HeaderName::from_static("x-sum"),
        HeaderValue::from_static("7"),
    )]))
}

/// Returns what comes out of a script.
pub(crate) fn frames(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    steps.into_iter().filter(|step| matches!(step, Data(_) | Trailers(_) | Error(_))).collect()
}

/// Returns the content of a script.
pub(crate) fn content(steps: &[Step]) -> Vec<u8> {
    let datas =
        steps.iter().filter_map(|step| if let Data(data) = step { Some(&data[..]) } else { None });
    datas.collect::<Vec<_>>().concat()
}
