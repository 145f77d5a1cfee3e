//! What the inner body says reaches the client: scripted bodies, served through the layer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod script;
mod task;

use std::{
    convert::Infallible,
    future::{poll_fn, ready, Future},
    iter::repeat_n,
    panic,
    pin::{pin, Pin},
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::Poll,
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{
    header::{CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH},
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
};
use http_body::Body;
use http_body_util::Full;
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use tokio::{net::UdpSocket, runtime, time};
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{
    ConditionalLayer, Digest, EntityTag,
    Outcome::{LeftAlone, NotModified, PreconditionFailed, Tagged},
    Reason::{BodyError, EmptyHead, NotReady, TooLarge, TooManyFrames, WrongLength},
    ResponseBody,
};

use self::{
    script::{
        content, data, frames, script, trailers, Script,
        Step::{self, Data, Error, Gate, Sleep, Trailers, Yield},
    },
    task::Task,
};

// ----- The server and the client -----

type Sent = Response<ResponseBody<Script>>;

fn get(headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::new(());
    let headers =
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
    request.headers_mut().extend(headers);
    request
}

/// Serves one request, answered with `response`.
async fn serve(layer: &ConditionalLayer, request: Request<()>, response: Response<Script>) -> Sent {
    let mut response = Some(response);
    let inner = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(response.take().unwrap())));
    layer.layer(inner).oneshot(request).await.unwrap()
}

async fn serve_script(layer: &ConditionalLayer, script: Script) -> Sent {
    serve(layer, get(&[]), Response::new(script)).await
}

fn etag(sent: &Sent) -> Option<EntityTag> {
    sent.headers().get(ETAG).map(|value| EntityTag::try_from(value).unwrap())
}

/// What a body says of itself: whether it is at its end, and the bounds of its size.
type State = (bool, u64, Option<u64>);

fn state(body: &impl Body) -> State {
    (body.is_end_stream(), body.size_hint().lower(), body.size_hint().upper())
}

/// Reads a body to its end. Returns what came, and its state before each event and before the end.
async fn read<B: Body<Data = Bytes, Error = u32>>(
    mut body: Pin<&mut B>,
) -> (Vec<Step>, Vec<State>) {
    let (mut events, mut states) = (Vec::new(), Vec::new());
    loop {
        states.push(state(&*body));
        let event = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return (events, states),
            Some(Err(error)) => Error(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Data(data),
                Err(frame) => Trailers(frame.into_trailers().unwrap()),
            },
        };
        events.push(event);
    }
}

/// Reads what was sent to its end, and beyond.
async fn receive(body: ResponseBody<Script>) -> (Vec<Step>, Vec<State>) {
    let mut body = pin!(body);
    let read = read(body.as_mut()).await;
    for _ in 0..2 {
        assert_eq!(state(&*body), ENDED);
        assert!(poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_none(), "it ends again");
    }
    read
}

const ENDED: State = (true, 0, Some(0));

fn in_paused_time<T>(future: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// Tests a property with the same cases every time.
fn for_all<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}

// ----- What goes in comes out -----

/// A response with a script, and how it is served.
#[derive(Clone, Debug)]
struct Case {
    steps: Vec<Step>,
    /// Lower and upper bound of the size hint.
    hint: (u64, Option<u64>),
    tells_end: bool,
    content_lengths: Vec<String>,
    deadline: Option<u64>,
    patience: u64,
}

const LIMIT: u64 = 64;

fn cases() -> impl Strategy<Value = Case> {
    let step = prop_oneof![
        9 => vec(any::<u8>(), 0..24).prop_map(|data| Data(data.into())),
        3 => Just(Yield),
        1 => (0..700_u64).prop_map(Sleep),
    ];
    let last =
        select(vec!["", "", "", "y", "t", "yty", "e", "edt", "td", "te", "tt"]).prop_map(|steps| {
            let step = |step| match step {
                'd' => data(3),
                'e' => Error(7),
                't' => trailers(),
                _ => Yield,
            };
            steps.chars().map(step).collect::<Vec<_>>()
        });
    let settings = (select(vec![None, Some(500), Some(900)]), select(vec![0, 0, 300]));
    let claims = (0..8, 0..9, select(vec![-64, -1, 1, 64]), any::<bool>());
    (vec(step, 0..9), last, claims, settings).prop_map(
        |(mut steps, last, claims, (deadline, patience))| {
            steps.extend(last);
            let (hint, lengths, lie, tells_end) = claims;
            let len = content(&steps).len() as i64;
            let (len, lie) = (len as u64, (len + lie).max(0) as u64);
            let hint = match hint {
                0..3 => (0, None),
                3..5 => (len, Some(len)),
                5 => (len / 2, Some(len + 9)),
                6 => (lie, None),
                _ => (lie, Some(lie)),
            };
            let content_lengths = match lengths {
                0..5 => vec![],
                5 => vec![len.to_string()],
                6 => vec![len.to_string(); 2],
                7 => vec![lie.to_string()],
                _ => vec![len.to_string(), "x".to_owned()],
            };
            Case { steps, hint, tells_end, content_lengths, deadline, patience }
        },
    )
}

#[test]
fn whatever_comes_out_is_what_went_in() {
    for_all(1500, &cases(), |case| {
        let layer = ConditionalLayer::new()
            .buffer_limit(LIMIT as usize)
            .sized_body_timeout(case.deadline.map_or(Duration::ZERO, Duration::from_millis))
            .unsized_body_timeout(Duration::from_millis(case.patience));
        let script = || {
            script(case.steps.clone()).hint(case.hint.0, case.hint.1).telling_end(case.tells_end)
        };
        let mut response = Response::new(script());
        for length in &case.content_lengths {
            response.headers_mut().append(CONTENT_LENGTH, length.parse().unwrap());
        }
        let log = Rc::clone(&response.body().log);
        let (events, states) = in_paused_time(async { read(pin!(script())).await });
        let (waited, tag, outcome, (sent_events, sent_states)) = in_paused_time(async {
            let start = time::Instant::now();
            let sent = serve(&layer, get(&[]), response).await;
            let waited = start.elapsed().as_millis() as u64;
            (waited, etag(&sent), sent.body().outcome(), receive(sent.into_body()).await)
        });
        prop_assert_eq!(&sent_events, &events);
        let knows_size = case.hint.1 == Some(case.hint.0) || !case.content_lengths.is_empty();
        let patience = if knows_size { case.deadline.unwrap_or(0) } else { case.patience };
        prop_assert!(waited <= patience + 2, "waited {} of {} ms", waited, patience);
        prop_assert_eq!(log.drops.get(), 1);

        // A tag is made only of what is whole, and always where nothing stands against it.
        let content = content(&case.steps);
        prop_assert_eq!(tag, (outcome == Tagged).then(|| EntityTag::of(&content)), "{:?}", outcome);
        let len = content.len() as u64;
        let is_data = |event: &Step| matches!(event, Data(_));
        let first_other = events.iter().position(|event| !is_data(event)).unwrap_or(events.len());
        let is_whole = events.iter().all(|event| !matches!(event, Error(_)))
            && events.len() <= first_other + 1;
        let (lower, upper) = case.hint;
        let is_true = case.content_lengths.iter().all(|length| *length == len.to_string())
            && lower <= len
            && upper.is_none_or(|upper| len <= upper);
        if !is_whole || !is_true || len > LIMIT {
            prop_assert_ne!(outcome, Tagged);
        } else if lower <= LIMIT && is_never_late(&case.steps) {
            prop_assert_eq!(outcome, Tagged);
        }

        // What the body says of itself is true; or as untrue as it was.
        let mut left = len;
        for (i, &(is_end, lower, upper)) in sent_states.iter().enumerate() {
            let rest = &events[i..];
            prop_assert!(!is_end || rest.is_empty(), "at its end before {:?}", rest);
            if outcome != Tagged {
                prop_assert_eq!((lower, upper), (states[i].1, states[i].2));
            } else if case.hint.1 == Some(case.hint.0)
                || !events.iter().any(|event| !is_data(event))
            {
                prop_assert_eq!((lower, upper), (left, Some(left)));
            } else {
                prop_assert_eq!(
                    (lower, upper),
                    (left, None),
                    "a size is not exact where trailers are to be sent"
                );
            }
            prop_assert!(!is_true || lower <= left && upper.is_none_or(|upper| left <= upper));
            if let Some(Data(data)) = rest.first() {
                left -= data.len() as u64;
            }
        }
        Ok(())
    });
}

/// Returns true if the body is never pending twice between two frames.
fn is_never_late(steps: &[Step]) -> bool {
    let is_pending = |step: &Step| matches!(step, Yield | Sleep(_) | Gate);
    !steps.iter().any(|step| matches!(step, Sleep(_)))
        && !steps.windows(2).any(|two| two.iter().all(is_pending))
}

#[test]
fn a_tag_does_not_depend_on_how_the_content_is_cut() {
    let cuts = vec((0..70_000_usize, any::<bool>()), 0..20);
    for_all(
        40,
        &(0..150_000_usize, cuts, any::<(bool, bool)>()),
        |(len, cuts, (knows_size, tells_end))| {
            let Data(content) = data(len) else { unreachable!() };
            let mut rest = content.clone();
            let mut steps = Vec::new();
            for (cut, yields) in cuts {
                steps.push(Data(rest.split_to(cut.min(rest.len()))));
                steps.extend(yields.then_some(Yield));
            }
            steps.push(Data(rest));
            let script = script(steps);
            let script = if knows_size { script.exact(len as u64) } else { script };
            let sent =
                Task::new(serve_script(&ConditionalLayer::new(), script.telling_end(tells_end)))
                    .run();
            prop_assert_eq!(etag(&sent), Some(EntityTag::of(&content)));
            Ok(())
        },
    );
}

// ----- Which bodies are read, and for how long they are waited for -----

#[tokio::test(start_paused = true)]
async fn outcome_and_wait_are_those_of_the_table() {
    let usual = || ConditionalLayer::new().buffer_limit(LIMIT as usize);
    let never = || usual().sized_body_timeout(Duration::ZERO);
    let millis = Duration::from_millis;
    let empties = |count| repeat_n(data(0), count);
    let late = LeftAlone(NotReady);
    // The deadline counts from the first time that the content was not ready, whatever it brings after that.
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
            usual().unsized_body_timeout(millis(50)),
            &[],
            script([Sleep(30), data(1)]),
            Tagged,
            30,
        ),
        (
            "too long, of unknown size",
            usual().unsized_body_timeout(millis(99)),
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
            usual().sized_body_timeout(millis(900)),
            &[],
            slow().exact(3),
            Tagged,
            799,
        ),
        ("much too slow", usual(), &["1"], script([Sleep(60_000), data(1)]), late, 500),
        (
            "too long, of known length",
            usual().unsized_body_timeout(millis(900)),
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
async fn a_head_is_tagged_only_by_content_that_is_there() {
    for (script, length, expected) in [
        (script([data(3)]), None, Tagged),
        (script([data(3)]), Some("3"), Tagged),
        (script([]).telling_end(true), None, LeftAlone(EmptyHead)),
        (script([]).telling_end(true), Some("3"), LeftAlone(EmptyHead)),
        (script([]).exact(0), Some("3"), LeftAlone(EmptyHead)),
    ] {
        let mut response = Response::new(script);
        response
            .headers_mut()
            .extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from_static(length))));
        let mut request = get(&[]);
        *request.method_mut() = Method::HEAD;
        let sent = serve(&ConditionalLayer::new(), request, response).await;
        assert_eq!(sent.body().outcome(), expected, "{length:?}");
        assert_eq!(etag(&sent).is_some(), expected == Tagged);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_streams_on() {
    let start = time::Instant::now();
    let script = script([data(1), Gate, data(2), Sleep(9000), Error(5)]).exact(3);
    let log = Rc::clone(&script.log);
    let mut body = serve_script(&ConditionalLayer::new(), script).await.into_body();
    assert_eq!(start.elapsed().as_millis() / 10, 50);
    // What was read comes at once; then the client's task, which is another one, is woken when the inner body is ready.
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

// ----- What a body says of itself -----

#[tokio::test(start_paused = true)]
async fn a_body_knows_its_size_and_its_end_in_every_state() {
    let usual = || ConditionalLayer::new().buffer_limit(LIMIT as usize);
    let two = || [data(2), data(3)];
    let three = || [data(2), data(3), trailers()];
    let late = || [data(2), Yield, Yield, data(3)];
    let exact = |left| (false, left, Some(left));
    for (name, script, expected) in [
        ("buffered", script(two()), &[exact(5), exact(3), ENDED][..]),
        ("buffered, bounded", script(two()).hint(1, Some(9)), &[exact(5), exact(3), ENDED]),
        ("buffered, known", script(two()).exact(5), &[exact(5), exact(3), ENDED]),
        (
            "trailers",
            script(three()),
            &[(false, 5, None), (false, 3, None), (false, 0, None), (true, 0, None)],
        ),
        ("trailers, known", script(three()).exact(5), &[exact(5), exact(3), exact(0), ENDED]),
        ("empty", script([]), &[ENDED]),
        ("an empty frame", script([data(0)]), &[exact(0), ENDED]),
        ("replayed", script(late()), &[(false, 0, None); 3]),
        (
            "replayed, telling",
            script(late()).telling_end(true),
            &[(false, 0, None), (false, 0, None), (true, 0, None)],
        ),
        (
            "bounded",
            script(late()).hint(4, Some(9)),
            &[(false, 4, Some(9)), (false, 2, Some(7)), (false, 0, Some(4))],
        ),
        ("error", script([data(2), Error(1)]), &[(false, 0, None); 3]),
        ("too large", script([data(60), data(9)]), &[(false, 0, None); 3]),
        (
            "untouched",
            script([data(70)]).hint(65, None).telling_end(true),
            &[(false, 65, None), (true, 0, None)],
        ),
        ("too long", script(two()).exact(4), &[exact(4), exact(2), (false, 0, Some(0))]),
        (
            "too long, telling",
            script(two()).exact(4).telling_end(true),
            &[exact(4), exact(2), ENDED],
        ),
    ] {
        let sent = serve_script(&usual(), script).await;
        assert_eq!(receive(sent.into_body()).await.1, expected, "{name}");
    }
    assert_eq!(state(&ResponseBody::<Script>::default()), ENDED);
}

/// Hyper takes a body that is at its end from the start for a complete, empty one, and says so to the client. A body
/// that promised more and ends must look as broken as it is, until the client has polled its end.
#[tokio::test]
async fn content_that_fails_to_come_does_not_pass_for_empty_content() {
    let sent = serve_script(&ConditionalLayer::new(), script([]).exact(5)).await;
    assert_eq!(sent.body().outcome(), LeftAlone(WrongLength));
    assert_eq!(state(sent.body()), (false, 5, Some(5)));
    assert_eq!(receive(sent.into_body()).await.0, []);
}

#[tokio::test(start_paused = true)]
async fn a_304_and_a_412_are_empty_from_the_start_and_hold_nothing() {
    let tag = EntityTag::of(&content(&[data(5)])).to_string();
    for (headers, own, expected, polls) in [
        ([(IF_NONE_MATCH, &*tag)], None, NotModified, 1),
        ([(IF_NONE_MATCH, "*")], None, NotModified, 1),
        ([(IF_MATCH, "\"x\"")], None, PreconditionFailed, 1),
        ([(IF_NONE_MATCH, "W/\"own\"")], Some("\"own\""), NotModified, 0),
        ([(IF_MATCH, "\"x\"")], Some("\"own\""), PreconditionFailed, 0),
    ] {
        let script = script([data(5)]).telling_end(true);
        let log = Rc::clone(&script.log);
        let mut response = Response::new(script);
        response.headers_mut().extend(own.map(|own| (ETAG, HeaderValue::from_static(own))));
        let sent = serve(&ConditionalLayer::new(), get(&headers), response).await;
        assert_eq!(sent.body().outcome(), expected, "{headers:?}");
        assert_eq!(state(sent.body()), ENDED, "{headers:?}");
        assert_eq!((log.drops.get(), log.polls.get()), (1, polls), "{headers:?}");
        assert_eq!(receive(sent.into_body()).await.0, []);
    }
}

// ----- Where and how it is polled -----

/// Serves slow bodies, known size and not, to a layer that would wait if it could.
async fn slow_bodies_stream_on() {
    let layer = ConditionalLayer::new().unsized_body_timeout(Duration::from_secs(1));
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
fn outside_tokio_nothing_panics_and_slow_bodies_stream_on() {
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
fn without_tokio_timers_slow_bodies_stream_on() {
    runtime::Builder::new_current_thread().build().unwrap().block_on(slow_bodies_stream_on());
}

#[test]
fn dropping_the_future_anywhere_drops_the_inner_body_once() {
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
fn dropping_the_body_anywhere_drops_the_inner_body_once() {
    let layer = ConditionalLayer::new().buffer_limit(LIMIT as usize);
    let frames = || [data(1), data(2), data(3)];
    for (make, expected) in [
        (script as fn([Step; 3]) -> Script, Tagged),
        (|steps| script(steps.into_iter().chain([Error(1)])), LeftAlone(BodyError)),
        (
            |steps| script(steps.into_iter().flat_map(|step| [step, Yield, Yield])),
            LeftAlone(NotReady),
        ),
        (|steps| script(steps.into_iter().chain([data(70)])), LeftAlone(TooLarge)),
        (|steps| script(steps).hint(65, None), LeftAlone(TooLarge)),
    ] {
        for count in 0..=frames().len() + 1 {
            let script = make(frames());
            let log = Rc::clone(&script.log);
            let mut body = Task::new(serve_script(&layer, script)).run().into_body();
            assert_eq!(body.outcome(), expected);
            for _ in 0..count {
                let _ = Task::new(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).run();
            }
            assert!(log.drops.get() <= 1);
            drop(body);
            assert_eq!(log.drops.get(), 1, "{expected:?}, after {count} frames");
        }
    }
}

#[test]
fn one_poll_reads_no_more_than_8_frames_or_64_kib() {
    let layer = ConditionalLayer::new();
    for (count, len) in [(100, 0), (100, 1), (50, 10_000), (20, 32 * 1024), (3, 300_000)] {
        let script = script(repeat_n(data(len), count));
        let log = Rc::clone(&script.log);
        let mut task = Task::new(serve_script(&layer, script));
        loop {
            let (polls, octets) = (log.polls.get(), log.octets.get());
            let is_ready = task.poll().is_ready();
            let (polls, octets) = (log.polls.get() - polls, log.octets.get() - octets);
            assert!(polls <= 8, "{count} x {len}: {polls} in one poll");
            assert!(
                octets < 64 * 1024 + len.max(1),
                "{count} x {len}: {octets} octets in one poll"
            );
            if is_ready {
                break;
            }
        }
    }
}

#[test]
fn one_poll_hashes_no_more_than_64_kib() {
    let layer = ConditionalLayer::new();
    for (count, len) in [(1, 1 << 20), (1 << 10, 1 << 10)] {
        let script = script(repeat_n(data(len), count)).exact(1 << 20).telling_end(true);
        let log = Rc::clone(&script.log);
        let mut task = Task::new(serve_script(&layer, script));
        let mut after_reading = 0;
        let sent = loop {
            let poll = task.poll();
            after_reading += usize::from(log.octets.get() == 1 << 20);
            if let Poll::Ready(sent) = poll {
                break sent;
            }
        };
        assert_eq!(sent.body().outcome(), Tagged);
        assert!(after_reading >= 16, "1 MiB was hashed in {after_reading} polls");
    }
}

// ----- Preconditions on what has no tag -----

#[tokio::test(start_paused = true)]
async fn preconditions_on_a_body_that_was_given_up_let_it_pass() {
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

// ----- Others on the same worker -----

/// A hash that only counts how often it is fed.
#[derive(Default)]
struct Fed;

static FED: AtomicUsize = AtomicUsize::new(0);

impl Digest for Fed {
    type Output = [u8; 32];

    fn update(&mut self, _: &[u8]) {
        FED.fetch_add(1, SeqCst);
    }

    fn finish(self) -> [u8; 32] {
        [0; 32]
    }
}

#[tokio::test]
async fn a_socket_is_looked_at_between_slices() {
    const SLICES: usize = 128;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(socket.local_addr().unwrap()).await.unwrap();
    socket.send(b"!").await.unwrap();
    let hashing = tokio::spawn(async {
        let content = Bytes::from(vec![0; SLICES * 64 * 1024]);
        let service = service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(Full::new(content.clone()))))
        });
        let layer = ConditionalLayer::new().buffer_limit(SLICES * 64 * 1024).digest::<Fed>();
        layer.layer(service).oneshot(Request::new(())).await.unwrap();
    });
    // It is there already, but the driver has to say so.
    let listening = tokio::spawn(async move {
        socket.recv(&mut [0]).await.unwrap();
        FED.load(SeqCst)
    });
    hashing.await.unwrap();
    assert_eq!(FED.load(SeqCst), SLICES);
    let seen_after = listening.await.unwrap();
    assert!(seen_after < SLICES / 4, "seen after {seen_after} of {SLICES} slices");
}
