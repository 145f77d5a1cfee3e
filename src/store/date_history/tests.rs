use http::Request;

use super::{
    super::resource_key::{request_key, Keys},
    *,
};

fn at(seconds: i64) -> HttpDate {
    HttpDate::from_unix_seconds(seconds).unwrap()
}

fn request(accept: &str) -> RequestKey {
    let request = Request::get("/").header("accept", accept).body(()).unwrap();
    request_key(&Keys::new(), &request.into_parts().0)
}

fn tagged(tag: u64, given: Option<i64>) -> Observation {
    // Even and odd numbers count as one, as the last bit is used otherwise.
    Observation { tag: Some(tag * 2), given: given.map(at), generate: true, varied: Some(0) }
}

fn dated(given: i64) -> Observation {
    Observation { tag: None, ..tagged(0, Some(given)) }
}

/// Has a response seen, and returns whether it changed nothing; what is said without a
/// change must be what is said with it.
fn observe(
    resource: &mut DateEntry,
    request: &RequestKey,
    observation: Observation,
    watermark: &Watermark,
    now: HttpDate,
) -> (Option<ResponseDate>, bool) {
    let again = resource.observe_again(request, observation, now);
    let before = again.is_some().then(|| format!("{resource:?}"));
    let seen = resource.observe(request, observation, watermark, now);
    if let Some(before) = before {
        assert_eq!((&again, before), (&seen, format!("{resource:?}")));
    }
    (seen, again.is_some())
}

/// One resource in a memory made at second 0, or in a shard that has forgotten dates.
struct Seen {
    resource: Option<DateEntry>,
    watermark: Watermark,
    request: RequestKey,
}

impl Seen {
    fn new() -> Self {
        Self { resource: None, watermark: Watermark::new(at(0)), request: request("a") }
    }

    fn observe(&mut self, now: i64, observation: Observation) -> Option<ResponseDate> {
        let Self { resource, watermark, request } = self;
        let resource = resource.get_or_insert_with(|| DateEntry::new(watermark, at(0)));
        observe(resource, request, observation, watermark, at(now)).0
    }

    fn generated(&mut self, now: i64, tag: u64) -> Option<i64> {
        match self.observe(now, tagged(tag, None)).unwrap() {
            ResponseDate::Generated(date, text) => {
                assert_eq!(text, date.to_string());
                Some(date.unix_seconds())
            }
            ResponseDate::Pending => None,
            ResponseDate::Given { .. } => panic!("no date was given"),
        }
    }

    /// Whether a client's date `asked` proves that the content is unchanged.
    fn proves(&mut self, now: i64, observation: Observation, asked: i64) -> bool {
        self.observe(now, observation).unwrap().last_modified().is_unchanged_since(at(asked))
    }
}

#[test]
fn a_minted_date_is_the_second_of_first_sight() {
    let mut seen = Seen::new();
    assert_eq!(seen.generated(0, 1), None, "the first second may have been another process's");
    assert_eq!(seen.generated(1, 1), Some(1));
    assert_eq!(seen.generated(9, 1), Some(1));
    assert_eq!(seen.generated(10, 2), Some(10));
    assert_eq!(seen.generated(10, 3), None, "second 10 stands for 2");
    assert_eq!(seen.generated(10, 2), None, "and no longer for 2 either");
    assert_eq!(seen.generated(11, 2), Some(11));
    assert_eq!(
        seen.generated(8, 2),
        None,
        "a date is not sent before its time, though the clock was set back"
    );
    assert_eq!(seen.generated(12, 2), Some(11));
    assert_eq!(
        seen.generated(12, 4),
        None,
        "a client may have received 2 in second 12, and name that"
    );
    assert_eq!(seen.generated(13, 4), Some(13));
}

#[test]
fn a_flapping_resource_does_not_drift_into_the_future() {
    let mut seen = Seen::new();
    let mut tag = 0;
    for now in 1..60 {
        for _ in 0..10 {
            tag += 1;
            seen.generated(now, tag);
        }
    }
    assert!(seen.generated(60, tag).is_some(), "one second after the last change there is a date");
}

#[test]
fn a_given_date_is_ordered_only_behind_the_last_sight_of_other_content() {
    let (old, new) = (tagged(1, Some(-900)), tagged(2, Some(-100)));
    let mut seen = Seen::new();
    for (now, observation, asked, expected) in [
        (10, old, -900, true),
        (10, old, -500, false), // from before this memory
        (10, old, 5, true),
        (30, new, -100, true),
        (30, new, 10, false),
        (30, new, 20, true),
        (40, new, 31, true),
        // Rolled back: what was seen until second 40 was newer.
        (50, old, -100, false),
        (50, old, 40, false),
        (50, old, 41, true),
        (50, old, -900, true),
    ] {
        assert_eq!(seen.proves(now, observation, asked), expected, "{now} {observation:?} {asked}");
    }
}

#[test]
fn a_date_of_two_contents_proves_nothing() {
    let given = |tag, date| tagged(tag, Some(date));
    let mut seen = Seen::new();
    assert!(seen.proves(10, given(1, -9), -9));
    assert!(!seen.proves(10, given(2, -9), -9));
    assert!(!seen.proves(10, given(1, -9), -9));
    assert!(seen.proves(10, given(1, -8), -8));
    assert!(seen.proves(20, given(1, -9), 11), "and yet nothing changed since second 10");

    // Not side by side, and with more dates in between than are kept.
    let mut seen = Seen::new();
    for (tag, date) in [(1, -9), (2, -8), (3, -7), (4, -6), (5, -5)] {
        assert!(seen.proves(10, given(tag, date), date));
    }
    assert!(!seen.proves(10, given(6, -9), -9), "it may have been sent before: it was");
    assert!(seen.proves(10, given(7, -4), -4));

    // A generated date, and then the same one from the inner service.
    let mut seen = Seen::new();
    assert_eq!(seen.generated(5, 1), Some(5));
    assert!(!seen.proves(6, given(2, 5), 5));
    // A date from the future, and then the clock gets there.
    assert!(seen.proves(6, given(3, 8), 8));
    assert_eq!(seen.generated(8, 4), None);
    assert_eq!(seen.generated(9, 4), Some(9));
}

#[test]
fn a_date_given_ahead_of_the_clock_is_never_minted() {
    // To content of which nobody knows whose it is; the clock was set back, perhaps.
    let mut seen = Seen::new();
    seen.observe(10, Observation { varied: None, ..tagged(1, Some(13)) });
    assert_eq!(seen.generated(12, 2), None);
    assert_eq!(seen.generated(13, 2), None, "a client may hold other content with this date");
    assert_eq!(seen.generated(14, 2), Some(14));
    // While another date waits.
    assert_eq!(seen.generated(14, 3), None);
    seen.observe(14, Observation { varied: None, ..tagged(1, Some(15)) });
    assert_eq!(seen.generated(15, 3), None);
    assert_eq!(seen.generated(16, 3), Some(16));
    // After it was sent.
    seen.observe(17, Observation { varied: None, ..tagged(1, Some(16)) });
    assert_eq!(seen.generated(18, 3), Some(18));
}

#[test]
fn one_date_in_the_far_future_does_not_end_all_dates() {
    let mut seen = Seen::new();
    for absurd in [4_000_000_000, 9 + DAY + 2, 4_000_000_001, 4_000_000_002, 4_000_000_003] {
        seen.observe(9, Observation { varied: None, ..tagged(1, Some(absurd)) });
        seen.observe(9, tagged(1, Some(absurd)));
    }
    assert_eq!(seen.generated(11, 2), Some(11));
    assert_eq!(seen.generated(12, 3), Some(12));
    // But it ends those from its own second on.
    assert_eq!(seen.generated(9 + DAY + 1, 4), Some(9 + DAY + 1));
    assert_eq!(seen.generated(9 + DAY + 2, 5), None);
    assert_eq!(seen.generated(9 + DAY + 3, 5), None);

    // A day less a second is not too far: it is waited for.
    let mut seen = Seen::new();
    seen.observe(9, tagged(1, Some(9 + DAY - 1)));
    assert_eq!(seen.generated(10, 2), None);
    assert_eq!(seen.generated(9 + DAY, 2), Some(9 + DAY));
}

#[test]
fn a_date_without_a_tag_stands_for_the_content() {
    let mut seen = Seen::new();
    assert!(seen.proves(10, dated(-100), -100));
    assert!(!seen.proves(20, dated(-900), -100), "rolled back");
    // The tag becomes known, is not found out once, and is known again: the content is the
    // same.
    for observation in [tagged(1, Some(-900)), dated(-900), tagged(1, Some(-900))] {
        assert!(seen.proves(30, observation, -900));
        assert!(seen.proves(30, observation, 21));
    }
    assert!(!seen.proves(30, tagged(2, Some(-900)), -900));

    // A date that was generated stands for what it was generated for.
    assert_eq!(seen.generated(40, 3), Some(40));
    assert!(seen.proves(41, tagged(3, Some(40)), 40), "as another layer further out sees it");
    assert!(!seen.proves(41, dated(40), 40));
}

#[test]
fn content_of_which_nothing_is_known_is_other_content() {
    let mut seen = Seen::new();
    assert!(seen.proves(10, tagged(1, Some(-900)), 5));
    for (now, unknown) in [
        (20, Observation { varied: Some(0), ..Observation::default() }),
        (30, Observation { varied: None, ..tagged(2, None) }),
        (40, Observation { generate: false, ..tagged(2, None) }),
    ] {
        assert_eq!(seen.observe(now, unknown), None);
        assert!(!seen.proves(now + 5, tagged(1, Some(-900)), now));
        assert!(seen.proves(now + 5, tagged(1, Some(-900)), now + 6));
    }
    // A client may name the second in which it received it.
    let unknown = Observation { varied: Some(0), ..Observation::default() };
    assert_eq!(seen.generated(46, 3), Some(46));
    assert_eq!(seen.observe(46, unknown), None);
    assert_eq!(seen.generated(47, 3), Some(47));
    // A date that comes and goes says nothing of the time without it.
    assert_eq!(seen.generated(50, 1), Some(50));
    assert!(!seen.proves(60, tagged(1, Some(-900)), 55));
}

#[test]
fn variants_have_dates_of_their_own_and_share_none() {
    let mut seen = Seen::new();
    let (one, two) = (request("1"), request("2"));
    let vary = |tag, given| Observation { varied: Some(1), ..tagged(tag, given) };
    let mut see = |request: &RequestKey, now: i64, observation: Observation| {
        seen.request = *request;
        seen.observe(now, observation)
    };
    let generated = |second| Some(ResponseDate::Generated(at(second), at(second).into()));
    assert_eq!(see(&one, 5, vary(1, None)), generated(5));
    assert_eq!(
        see(&two, 5, vary(2, None)),
        Some(ResponseDate::Pending),
        "second 5 stands for the other variant"
    );
    assert_eq!(see(&two, 6, vary(2, None)), generated(6));
    assert_eq!(see(&one, 6, vary(1, None)), generated(5));
    // Two variants that wait for their dates at once.
    let (three, four) = (request("3"), request("4"));
    assert_eq!(see(&three, 6, vary(3, None)), Some(ResponseDate::Pending));
    assert_eq!(see(&four, 6, vary(4, None)), Some(ResponseDate::Pending));
    assert_eq!(see(&three, 7, vary(3, None)), generated(7));
    assert_eq!(see(&four, 7, vary(4, None)), Some(ResponseDate::Pending));
    // A generated date that the inner service then gives to other content, known or not, is
    // nobody's any more.
    assert_eq!(see(&four, 8, vary(4, None)), generated(8));
    see(&two, 9, vary(5, Some(8)));
    assert_eq!(see(&four, 9, vary(4, None)), generated(9));
    see(&two, 11, Observation { varied: None, ..vary(6, Some(9)) });
    assert_eq!(see(&four, 11, vary(4, None)), Some(ResponseDate::Pending));
    // From now on another field counts, too: nobody knows which old variant a request
    // belonged to.
    let more = Observation { varied: Some(2), ..tagged(1, None) };
    assert_eq!(see(&one, 11, more), Some(ResponseDate::Pending));
    assert_eq!(see(&one, 12, more), generated(12));
    assert_eq!(
        see(&one, 13, vary(1, None)),
        generated(12),
        "a variant is found with fewer fields, too"
    );
    // A field that was not known in time.
    assert_eq!(see(&one, 14, Observation { varied: Some(1 << 7), ..tagged(1, None) }), None);
}

#[test]
fn another_variant_is_other_content() {
    let mut seen = Seen::new();
    let (one, two) = (request("1"), request("2"));
    let vary = |tag, given| Observation { varied: Some(1), ..tagged(tag, Some(given)) };
    for (now, request, observation, asked, expected) in [
        (10, one, vary(1, -900), 9, true),
        (20, two, vary(2, -500), -500, true),
        (30, one, vary(1, -900), 20, false),
        (30, one, vary(1, -900), 21, true),
        (30, one, vary(1, -900), -900, true),
    ] {
        seen.request = request;
        assert_eq!(seen.proves(now, observation, asked), expected, "{now} {observation:?} {asked}");
    }
}

#[test]
fn a_flood_of_variants_is_bounded() {
    let mut seen = Seen::new();
    let vary = |tag, given| Observation { varied: Some(1), ..tagged(tag, Some(given)) };
    for number in 0..100 {
        seen.request = request(&number.to_string());
        assert!(seen.proves(
            10,
            vary(number, -100 + number.cast_signed()),
            -100 + number.cast_signed()
        ));
    }
    assert_eq!(seen.resource.as_ref().unwrap().variants.len(), VARIANTS);
    seen.request = request("0");
    assert!(!seen.proves(11, vary(500, -100), -100), "this date was sent with forgotten content");
}

#[test]
fn what_a_shard_forgot_lifts_new_entries() {
    let mut first = Seen::new();
    assert_eq!(first.generated(50, 1), Some(50));
    let mut second = Seen::new();
    second.watermark.forget(first.resource.as_ref().unwrap());
    assert_eq!(
        second.generated(50, 2),
        None,
        "second 50 may stand for other content of this very key"
    );
    assert_eq!(second.generated(51, 2), Some(51));

    let mut third = Seen { resource: None, watermark: second.watermark, request: request("a") };
    assert!(!third.proves(60, tagged(1, Some(-9)), 50));
    assert!(third.proves(60, tagged(1, Some(-9)), 51));
    assert!(!third.proves(60, tagged(2, Some(50)), 50));
    let unknown = Observation { varied: None, ..tagged(2, Some(50)) };
    assert!(!third.proves(60, unknown, 50), "it may have been generated for other content");

    // A date ahead of the clock is remembered, too.
    let mut first = Seen::new();
    first.observe(70, tagged(1, Some(80)));
    let mut second = Seen::new();
    second.watermark.forget(first.resource.as_ref().unwrap());
    assert!(
        !second.proves(75, tagged(2, Some(-9)), 80),
        "a client holds other content with this date"
    );
    assert!(second.proves(75, tagged(2, Some(-9)), 81));
    assert_eq!(second.generated(80, 3), None);
    assert_eq!(second.generated(81, 3), Some(81));
}

#[test]
fn what_changes_nothing_is_answered_as_if_it_might() {
    let keys = Keys::new();
    let requests = ["a", "b"].map(|accept| {
        let request = Request::get("/").header("accept", accept).body(()).unwrap();
        request_key(&keys, &request.into_parts().0)
    });
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut again, mut again_given, mut generated) = (0, 0, 0);
    for _ in 0..3_000 {
        let watermark = Watermark::new(at(0));
        let mut resource = DateEntry::new(&watermark, at(0));
        let mut now = 0;
        for _ in 0..60 {
            now = (now + [2 * DAY, -2 * DAY, 1, 2, -1, 1, 0][random(15).min(6) as usize]).max(0);
            let given = match random(30) {
                0..5 => Some(now - 1),
                5 => Some(3),
                6 => Some(now + 2 * DAY),
                _ => None,
            };
            let observation = Observation {
                tag: [Some(2), Some(4), None, Some(2)][random(40).min(3) as usize],
                given: given.map(at),
                generate: given.is_none() && random(8) > 0,
                varied: [Some(1), None, Some(0)][random(60).min(2) as usize],
            };
            let (seen, unchanged) = observe(
                &mut resource,
                &requests[random(2) as usize],
                observation,
                &watermark,
                at(now),
            );
            again += usize::from(unchanged && given.is_none());
            again_given += usize::from(unchanged && given.is_some());
            generated += usize::from(matches!(seen, Some(ResponseDate::Generated(..))));
        }
    }
    assert!(
        again > 3_000 && again_given > 100 && generated > again + 3_000,
        "{again}, {again_given}; {generated}"
    );
}
