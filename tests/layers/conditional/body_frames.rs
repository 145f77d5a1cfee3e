//! Frames pass through the layer unchanged, and the size hint and end of a body are
//! true.

use std::{
    future::poll_fn,
    pin::{pin, Pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{header::CONTENT_LENGTH, Request, Response, Version};
use http_body::Body;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::time;
use tower_conditional::{
    BodyTimeout, ConditionalLayer, EntityTag, InnerTags,
    Outcome::{LeftAlone, Tagged},
    Reason::{BodyError, NotReady, TooLarge, WrongLength},
    ResponseBody,
};

use crate::support::{
    exchange::{
        etag, for_all, get, in_paused_time, read, receive, serve, serve_script, state, ENDED, LIMIT,
    },
    executor::Task,
    origin::{tag_of, Site, OWN},
    scripted_body::{
        content, data, script, trailers, Script,
        Step::{self, Data, Error, Gate, Sleep, Yield},
    },
};

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
fn body_frames_come_out_as_they_went_in() {
    for_all(1500, &cases(), |case| {
        let timeout = BodyTimeout::new()
            .known_size(case.deadline.map_or(Duration::ZERO, Duration::from_millis))
            .unknown_size(Duration::from_millis(case.patience));
        let layer = ConditionalLayer::new().buffer_limit(LIMIT as usize).body_timeout(timeout);
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

        // A tag is made only of what is whole, and always where nothing stands against
        // it.
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn body_frames_that_are_not_read_ahead_come_out_as_they_went_in(
        lens in vec(0..100_000_usize, 0..5),
        end in 0..4,
        tells_size in any::<bool>(),
        tagged in any::<bool>(),
        limit in 0..50_000_usize,
        learns in any::<bool>(),
    ) {
        let mut steps: Vec<_> = lens.iter().flat_map(|&len| [data(len), Yield]).collect();
        match end {
            1 => steps.push(trailers()),
            2 => steps.push(Error(7)),
            3 => drop(steps.pop()),
            _ => {}
        }
        let size = tells_size.then(|| lens.iter().sum::<usize>() as u64);
        let own = if tagged { &[("etag", OWN)][..] } else { &[] };
        let inner_tags = if learns { InnerTags::replace() } else { InnerTags::keep() };
        let site = Site::new(|layer| {
            layer.inner_tags(inner_tags).repr_digest(true).buffer_limit(limit)
        });
        for _ in 0..2 {
            site.answers(own, &steps, size);
            let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
            let bytes = |frames: &[Step]| content(frames);
            prop_assert_eq!(bytes(&seen.frames), bytes(&steps));
            let is_error = |step: &&Step| matches!(step, Error(_));
            let ends = |frames: &[Step]| frames.iter().filter(is_error).count();
            prop_assert_eq!(ends(&seen.frames), ends(&steps));
            let is_sum = |step: &&Step| {
                matches!(step, Step::Trailers(all) if all.contains_key("x-sum"))
            };
            let sums = seen.frames.iter().filter(is_sum).count();
            prop_assert_eq!(sums, usize::from(end == 1));
            if let Some(tag) = seen.trailer().or(seen.line("etag")).filter(|tag| *tag != OWN) {
                prop_assert_eq!(tag, tag_of(&steps));
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn body_frames_are_as_many_as_the_body_says(
        lens in vec(0..20_000_usize, 0..14),
        end in 0..3,
        tells_size in proptest::bool::ANY,
        tells_end in proptest::bool::ANY,
        own in proptest::bool::ANY,
        limit in 0..200_000_usize,
        replaces in proptest::bool::ANY,
        ranges in proptest::bool::ANY,
        version in 0..2,
        range in proptest::option::of((0..100_000_u64, 0..100_000_u64)),
    ) {
        let mut steps: Vec<_> = lens.iter().flat_map(|&len| [data(len), Yield]).collect();
        steps.pop();
        if end == 1 {
            steps.push(trailers());
        }
        if end == 2 {
            steps.push(Error(7));
        }
        let all = content(&steps);
        let inner_tags = if replaces { InnerTags::replace() } else { InnerTags::learn() };
        let site = Site::new(|layer| {
            layer.inner_tags(inner_tags).repr_digest(true).ranges(ranges).buffer_limit(limit)
        });
        site.origin.borrow_mut().tells_end = tells_end;
        for _ in 0..2 {
            let own = if own { &[("etag", OWN)][..] } else { &[] };
            site.answers(own, &steps, tells_size.then_some(all.len() as u64));
            let version = if version == 0 { Version::HTTP_2 } else { Version::HTTP_11 };
            let mut request = Request::builder().uri("/").header("te", "trailers");
            request = request.version(version);
            if let Some((first, last)) = range {
                request = request.header("range", format!("bytes={first}-{last}"));
            }
            let (head, body) = site.head(request.body(()).unwrap()).into_parts();
            let mut body = pin!(body);
            let mut cx = Context::from_waker(Waker::noop());
            let (mut bytes, mut promised, mut erred, mut trailed) = (Vec::new(), None, false, 0);
            loop {
                let hint = body.size_hint();
                if let Some(exact) = hint.exact() {
                    let all = *promised.get_or_insert(exact + bytes.len() as u64);
                    proptest::prop_assert_eq!(all, exact + bytes.len() as u64);
                }
                let ended = body.is_end_stream();
                match body.as_mut().poll_frame(&mut cx) {
                    Poll::Pending => proptest::prop_assert!(!ended),
                    Poll::Ready(None) => break,
                    Poll::Ready(Some(frame)) => {
                        proptest::prop_assert!(!ended, "there was more");
                        match frame {
                            Err(_) => { erred = true; break }
                            Ok(frame) => match frame.into_data() {
                                Ok(data) => {
                                    proptest::prop_assert_eq!(trailed, 0);
                                    bytes.extend_from_slice(&data);
                                }
                                Err(_) => trailed += 1,
                            },
                        }
                    }
                }
            }
            if !erred {
                let next = body.as_mut().poll_frame(&mut cx);
                proptest::prop_assert!(matches!(next, Poll::Ready(None)));
                proptest::prop_assert!(body.size_hint().lower() == 0);
            }
            let whole = match head.status.as_u16() {
                206 => {
                    let text = head.headers["content-range"].to_str().unwrap();
                    let (span, _) = text.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
                    let (first, last) = span.split_once('-').unwrap();
                    all[first.parse().unwrap()..=last.parse::<usize>().unwrap()].to_vec()
                }
                416 => Vec::new(),
                _ => all.clone(),
            };
            if erred {
                proptest::prop_assert!(whole.starts_with(&bytes));
            } else {
                proptest::prop_assert_eq!(bytes.len(), whole.len());
                proptest::prop_assert!(bytes == whole);
            }
            proptest::prop_assert!(trailed <= 1);
            if let Some(length) = head.headers.get("content-length") {
                proptest::prop_assert_eq!(length.to_str().unwrap(), whole.len().to_string());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn body_frames_end_where_the_body_says_in_every_state() {
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

/// Hyper takes a body that is at its end from the start for a complete, empty one, and
/// says so to the client. A body that promised more and ends must look as broken as it
/// is, until the client has polled its end.
#[tokio::test]
async fn body_frames_that_fail_to_come_do_not_pass_for_empty_content() {
    let sent = serve_script(&ConditionalLayer::new(), script([]).exact(5)).await;
    assert_eq!(sent.body().outcome(), LeftAlone(WrongLength));
    assert_eq!(state(sent.body()), (false, 5, Some(5)));
    assert_eq!(receive(sent.into_body()).await.0, []);
}

#[test]
fn body_that_is_dropped_drops_the_inner_body_once() {
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
