//! Which bodies are read ahead, how long they are waited for, and what becomes of those
//! that are given up.

use std::{
    future::poll_fn,
    iter::repeat_n,
    panic,
    pin::Pin,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::Poll,
    thread,
    time::Duration,
};

use http::{
    header::{CONTENT_LENGTH, IF_MATCH, IF_NONE_MATCH},
    HeaderValue, Response, StatusCode,
};
use http_body::Body;
use tokio::{runtime, time};
use tower_conditional::{
    BodyTimeout, ConditionalLayer, EntityTag,
    Outcome::{LeftAlone, Tagged},
    Reason::{BodyError, NotReady, TooLarge, TooManyFrames, WrongLength},
};

use crate::support::{
    exchange::{etag, get, receive, serve, serve_script, LIMIT},
    executor::Task,
    scripted_body::{
        content, data, frames, script, trailers, Script,
        Step::{Error, Gate, Sleep, Yield},
    },
};

#[tokio::test(start_paused = true)]
async fn read_ahead_has_the_outcome_and_the_wait_of_the_table() {
    let usual = || ConditionalLayer::new().buffer_limit(LIMIT as usize);
    let never = || usual().body_timeout(BodyTimeout::new().known_size(Duration::ZERO));
    let millis = Duration::from_millis;
    let empties = |count| repeat_n(data(0), count);
    let late = LeftAlone(NotReady);
    // The deadline counts from the first time that the content was not ready, whatever
    // it brings after that.
    let slow = || script([data(1), Sleep(300), data(1), Sleep(199), data(1), Sleep(300)]);
    for (name, layer, lengths, script, expected, wait) in [
        // Ready at once.
        ("data", usual(), &[][..], script([data(3), data(5)]), Tagged, 0),
        ("trailers", usual(), &[], script([data(3), trailers()]), Tagged, 0),
        ("trailers only", usual(), &[], script([trailers()]), Tagged, 0),
        ("nothing", usual(), &[], script([]), Tagged, 0),
        ("nothing, and says so", usual(), &["0"], script([]).exact(0).telling_end(true), Tagged, 0),
        ("length", usual(), &["3"], script([data(3)]), Tagged, 0),
        ("length twice", usual(), &["3", "3"], script([data(3)]), Tagged, 0),
        ("the limit", usual(), &[], script([data(60), data(4), data(0)]), Tagged, 0),
        ("the limit, known", usual(), &["64"], script([data(64)]).exact(64), Tagged, 0),
        // Too large, too many.
        (
            "hint above the limit",
            usual(),
            &[],
            script([data(65)]).exact(65),
            LeftAlone(TooLarge),
            0,
        ),
        (
            "lower bound above the limit",
            usual(),
            &[],
            script([data(65)]).hint(65, None),
            LeftAlone(TooLarge),
            0,
        ),
        ("length above the limit", usual(), &["65"], script([data(65)]), LeftAlone(TooLarge), 0),
        (
            "more than the limit came",
            usual(),
            &[],
            script([data(60), data(5)]),
            LeftAlone(TooLarge),
            0,
        ),
        (
            "too large before it is late",
            usual(),
            &[],
            script([data(65), Sleep(9)]),
            LeftAlone(TooLarge),
            0,
        ),
        (
            "no limit to speak of",
            usual().buffer_limit(0),
            &[],
            script([data(1)]),
            LeftAlone(TooLarge),
            0,
        ),
        ("nothing fits any limit", usual().buffer_limit(0), &[], script([data(0)]), Tagged, 0),
        ("many frames", usual(), &[], script(empties(1000)), Tagged, 0),
        ("too many frames", usual(), &[], script(empties(3000)), LeftAlone(TooManyFrames), 0),
        // Of unknown size: one wake must bring something.
        (
            "yields",
            usual(),
            &[],
            script([Yield, data(3), Yield, data(3), Yield, trailers(), Yield]),
            Tagged,
            0,
        ),
        (
            "yields between empty frames",
            never(),
            &[],
            script([Yield, data(0), Yield, data(0)]),
            Tagged,
            0,
        ),
        ("yields twice", usual(), &[], script([data(3), Yield, Yield, data(3)]), late, 0),
        ("stops to yield at the end", usual(), &[], script([data(3), Yield, Yield]), late, 0),
        ("waits", usual(), &[], script([data(3), Sleep(1), data(3)]), late, 0),
        ("waits before the first frame", usual(), &[], script([Sleep(9), data(3)]), late, 0),
        ("within bounds", usual(), &[], script([Sleep(9), data(3)]).hint(1, Some(9)), late, 0),
        (
            "patience",
            usual().body_timeout(BodyTimeout::new().unknown_size(millis(50))),
            &[],
            script([Sleep(30), data(1)]),
            Tagged,
            30,
        ),
        (
            "too long, of unknown size",
            usual().body_timeout(BodyTimeout::new().unknown_size(millis(99))),
            &[],
            slow(),
            late,
            99,
        ),
        // Of known size: until the deadline.
        ("slow", usual(), &[], script([data(1), Sleep(400), data(1)]).exact(2), Tagged, 400),
        (
            "slow, of known length",
            usual(),
            &["2"],
            script([data(1), Sleep(400), data(1)]),
            Tagged,
            400,
        ),
        ("in bits", usual(), &[], slow().exact(3), late, 500),
        (
            "a later deadline",
            usual().body_timeout(BodyTimeout::new().known_size(millis(900))),
            &[],
            slow().exact(3),
            Tagged,
            799,
        ),
        ("much too slow", usual(), &["1"], script([Sleep(60_000), data(1)]), late, 500),
        (
            "too long, of known length",
            usual().body_timeout(BodyTimeout::new().unknown_size(millis(900))),
            &["3"],
            slow(),
            late,
            500,
        ),
        ("never waits", never(), &[], script([Sleep(1), data(1)]).exact(1), late, 0),
        (
            "never waits, but for yields",
            never(),
            &["2"],
            script([data(1), Yield, data(1)]),
            Tagged,
            0,
        ),
        // Broken.
        ("error", usual(), &[], script([data(3), Error(7)]), LeftAlone(BodyError), 0),
        ("error first", usual(), &["9"], script([Error(7)]), LeftAlone(BodyError), 0),
        (
            "error behind all",
            usual(),
            &["3"],
            script([data(3), Error(7)]).exact(3),
            LeftAlone(BodyError),
            0,
        ),
        (
            "error behind trailers",
            usual(),
            &[],
            script([data(3), trailers(), Error(7)]),
            LeftAlone(BodyError),
            0,
        ),
        (
            "late error",
            usual(),
            &["3"],
            script([data(3), Sleep(30), Error(7)]),
            LeftAlone(BodyError),
            30,
        ),
        // Untrue.
        (
            "shorter than the hint",
            usual(),
            &[],
            script([data(3)]).exact(5),
            LeftAlone(WrongLength),
            0,
        ),
        (
            "longer than the hint",
            usual(),
            &[],
            script([data(3), data(1)]).exact(3),
            LeftAlone(WrongLength),
            0,
        ),
        (
            "shorter than the length",
            usual(),
            &["5"],
            script([data(3)]).telling_end(true),
            LeftAlone(WrongLength),
            0,
        ),
        (
            "longer than the length",
            usual(),
            &["3"],
            script([data(3), data(1)]),
            LeftAlone(WrongLength),
            0,
        ),
        (
            "nothing of what was said",
            usual(),
            &["3"],
            script([]).telling_end(true),
            LeftAlone(WrongLength),
            0,
        ),
        (
            "hint is not the length",
            usual(),
            &["3"],
            script([data(3)]).exact(4),
            LeftAlone(WrongLength),
            0,
        ),
        ("two lengths", usual(), &["3", "4"], script([data(3)]), LeftAlone(WrongLength), 0),
        ("no number", usual(), &["+3"], script([data(3)]), LeftAlone(WrongLength), 0),
        ("a list", usual(), &["3, 3"], script([data(3)]), LeftAlone(WrongLength), 0),
        (
            "data behind trailers",
            usual(),
            &[],
            script([trailers(), data(3)]),
            LeftAlone(WrongLength),
            0,
        ),
    ] {
        let steps: Vec<_> = script.steps.iter().cloned().collect();
        let known_at_once = name.contains("above the limit");
        let log = Rc::clone(&script.log);
        let mut response = Response::new(script);
        for length in lengths {
            response.headers_mut().append(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        let start = time::Instant::now();
        let sent = serve(&layer, get(&[]), response).await;
        let waited = start.elapsed().as_millis();
        assert_eq!(sent.body().outcome(), expected, "{name}");
        assert!((wait..=wait + 2).contains(&waited), "{name}: waited {waited} ms");
        assert_eq!(
            etag(&sent),
            (expected == Tagged).then(|| EntityTag::of(&content(&steps))),
            "{name}"
        );
        assert_eq!(sent.status(), StatusCode::OK, "{name}");
        assert!(!known_at_once || log.polls.get() == 0, "{name}: it is not touched");
        assert_eq!(receive(sent.into_body()).await.0, frames(steps), "{name}");
        assert_eq!(log.drops.get(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn read_ahead_that_is_given_up_streams_on() {
    let start = time::Instant::now();
    let script = script([data(1), Gate, data(2), Sleep(9000), Error(5)]).exact(3);
    let log = Rc::clone(&script.log);
    let mut body = serve_script(&ConditionalLayer::new(), script).await.into_body();
    assert_eq!(start.elapsed().as_millis() / 10, 50);
    // What was read comes at once; then the client's task, which is another one, is
    // woken when the inner body is ready.
    let mut next = Task::new(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
    let Poll::Ready(Some(Ok(frame))) = next.poll() else { panic!("it was read") };
    assert_eq!(frame.into_data().unwrap().len(), 1);
    let mut next = Task::new(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
    while next.is_woken() {
        assert!(next.poll().is_pending());
    }
    log.open_gate();
    let Poll::Ready(Some(Ok(frame))) = next.poll() else { panic!("it is ready") };
    assert_eq!(frame.into_data().unwrap().len(), 2);
    assert_eq!(receive(body).await.0, [Error(5)]);
    assert_eq!(start.elapsed().as_millis() / 10, 950);
}

/// Serves slow bodies, known size and not, to a layer that would wait if it could.
async fn slow_bodies_stream_on() {
    let layer = ConditionalLayer::new()
        .body_timeout(BodyTimeout::new().unknown_size(Duration::from_secs(1)));
    for size in [Some(6), None] {
        let steps = [data(1), Yield, data(2), Gate, data(3), trailers()];
        let slow = size.into_iter().fold(script(steps.clone()), Script::exact);
        let log = Rc::clone(&slow.log);
        let sent = serve_script(&layer, slow).await;
        assert_eq!(sent.body().outcome(), LeftAlone(NotReady), "{size:?}");
        log.open_gate();
        assert_eq!(receive(sent.into_body()).await.0, frames(steps));
    }
    let sent = serve_script(&layer, script([data(1), Yield, data(2)])).await;
    assert_eq!(sent.body().outcome(), Tagged);
}

/// Not even a panic that is caught: it would end a program built to abort.
#[test]
fn read_ahead_outside_tokio_does_not_panic_and_slow_bodies_stream_on() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let (this, usual) = (thread::current().id(), panic::take_hook());
    panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(usize::from(thread::current().id() == this), SeqCst);
        usual(panic);
    }));
    Task::new(slow_bodies_stream_on()).run();
    assert_eq!(PANICS.load(SeqCst), 0);
}

#[test]
fn read_ahead_without_tokio_timers_lets_slow_bodies_stream_on() {
    runtime::Builder::new_current_thread().build().unwrap().block_on(slow_bodies_stream_on());
}

#[test]
fn read_ahead_that_is_dropped_drops_the_inner_body_once() {
    let steps = || {
        [data(1), Yield, data(2), Yield].into_iter().chain(repeat_n(data(70_000), 3)).chain([Yield])
    };
    let layer = ConditionalLayer::new();
    for polls in 0.. {
        let script = script(steps());
        let log = Rc::clone(&script.log);
        let mut task = Task::new(serve_script(&layer, script));
        let is_ready = (0..polls).any(|_| task.poll().is_ready());
        drop(task);
        assert_eq!(log.drops.get(), 1, "after {polls} polls");
        if is_ready {
            assert!(polls > 8, "{polls} are too few to have met every state");
            break;
        }
    }
}

#[test]
fn read_ahead_takes_no_more_than_8_frames_or_64_kib_in_one_poll() {
    let layer = ConditionalLayer::new();
    for (count, len) in [(100, 0), (100, 1), (50, 10_000), (20, 32 * 1024), (3, 300_000)] {
        let script = script(repeat_n(data(len), count));
        let log = Rc::clone(&script.log);
        let mut task = Task::new(serve_script(&layer, script));
        loop {
            let (polls, bytes) = (log.polls.get(), log.bytes.get());
            let is_ready = task.poll().is_ready();
            let (polls, bytes) = (log.polls.get() - polls, log.bytes.get() - bytes);
            assert!(polls <= 8, "{count} x {len}: {polls} in one poll");
            assert!(bytes < 64 * 1024 + len.max(1), "{count} x {len}: {bytes} bytes in one poll");
            if is_ready {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn read_ahead_that_is_given_up_ignores_preconditions() {
    let layer = ConditionalLayer::new().buffer_limit(LIMIT as usize);
    for (steps, size, reason) in [
        (vec![data(70)], None, TooLarge),
        (vec![data(70)], Some(70), TooLarge),
        (vec![data(0); 3000], None, TooManyFrames),
        (vec![data(1), Sleep(1), data(1)], None, NotReady),
        (vec![data(1), Sleep(900), data(1)], Some(2), NotReady),
        (vec![data(1), Error(1)], None, BodyError),
        (vec![data(1)], Some(2), WrongLength),
    ] {
        for (name, value) in [(IF_MATCH, "\"x\""), (IF_MATCH, "*"), (IF_NONE_MATCH, "\"x\"")] {
            let script = size.into_iter().fold(script(steps.clone()), Script::exact);
            let sent = serve(&layer, get(&[(name.clone(), value)]), Response::new(script)).await;
            assert_eq!(
                (sent.status(), sent.body().outcome()),
                (StatusCode::OK, LeftAlone(reason)),
                "{name}"
            );
            assert_eq!(
                receive(sent.into_body()).await.0,
                frames(steps.clone()),
                "{reason:?}, {name}"
            );
        }
    }
}
