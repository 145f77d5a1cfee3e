//! A body that does what its script says, and an executor that polls a task only when it was woken.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{poll_fn, Future},
    pin::{pin, Pin},
    rc::Rc,
    sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        Arc,
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use self::Step::{Data, Error, Gate, Trailers, Yield};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Error(u8),
    /// Not ready, but the task is woken at once.
    Yield,
    /// Not ready until all tasks wait.
    Gate,
}

/// What bodies wait for, and how many of them there are.
#[derive(Default)]
pub(crate) struct Outside {
    waiting: RefCell<Option<Waker>>,
    is_open: Cell<bool>,
    pub(crate) bodies: Cell<usize>,
}

/// A body that panics if it is polled after its end.
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    pub(crate) hint: SizeHint,
    pub(crate) tells_end: bool,
    ended: bool,
    outside: Rc<Outside>,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>, outside: &Rc<Outside>) -> Self {
        outside.bodies.set(outside.bodies.get() + 1);
        let steps = steps.into_iter().collect();
        let (hint, outside) = (SizeHint::new(), Rc::clone(outside));
        Self { steps, hint, tells_end: false, ended: false, outside }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = u8;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, u8>>> {
        assert!(!self.ended, "polled after its end");
        let step = self.steps.pop_front();
        if let Some(Data(data)) = &step {
            let len = data.len() as u64;
            let (lower, upper) = (self.hint.lower(), self.hint.upper());
            self.hint =
                hint(lower.saturating_sub(len), upper.map(|upper| upper.saturating_sub(len)));
        }
        match step {
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
            Some(Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Error(error)) => Poll::Ready(Some(Err(error))),
            Some(Yield) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Gate) if self.outside.is_open.take() => self.poll_frame(cx),
            Some(Gate) => {
                self.steps.push_front(Gate);
                self.outside.waiting.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
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
        self.outside.bodies.set(self.outside.bodies.get() - 1);
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

/// Returns what comes out of a script.
pub(crate) fn frames(steps: &[Step]) -> Vec<Step> {
    steps.iter().filter(|step| matches!(step, Data(_) | Trailers(_) | Error(_))).cloned().collect()
}

pub(crate) fn content(steps: &[Step]) -> Vec<u8> {
    let datas =
        steps.iter().filter_map(|step| if let Data(data) = step { Some(&data[..]) } else { None });
    datas.collect::<Vec<_>>().concat()
}

/// Reads at most `most` frames of a body. Returns them, and whether it was read to its end, and behind it.
pub(crate) fn read<B: Body<Data = Bytes, Error = u8>>(
    body: B,
    most: usize,
    outside: &Outside,
) -> (Vec<Step>, bool) {
    let mut body = pin!(body);
    let mut next = || {
        run(poll_fn(|cx| body.as_mut().poll_frame(cx)), usize::MAX, outside).map(|frame| {
            let frame = frame?.map(Frame::into_data);
            Some(match frame {
                Err(error) => Error(error),
                Ok(Ok(data)) => Data(data),
                Ok(Err(frame)) => Trailers(frame.into_trailers().ok()?),
            })
        })
    };
    let mut events = Vec::new();
    while events.len() < most {
        match next().flatten() {
            Some(event) => events.push(event),
            None => {
                assert_eq!(next(), Some(None), "it ends again");
                return (events, true);
            }
        }
    }
    (events, false)
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Runs a future; drops it after so many polls, and returns `None` then. Panics if it waits for nothing.
pub(crate) fn run<F: Future>(future: F, polls: usize, outside: &Outside) -> Option<F::Output> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    for polled in 0..polls {
        assert!(polled < 100_000, "it does not come to an end");
        if !woken.0.swap(false, SeqCst) {
            outside.is_open.set(true);
            outside.waiting.take().expect("the task is not woken, and waits for nothing").wake();
            assert!(woken.0.swap(false, SeqCst), "the task of another poll was woken");
        }
        if let Poll::Ready(output) =
            future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&woken))))
        {
            return Some(output);
        }
    }
    None
}
