//! Tests of each rule of `Dates`, mostly as tables. A model of clients and servers
//! looks for a 304 after which a client keeps wrong content.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicBool, AtomicI64},
    thread,
};

use http::Request;

use super::{
    super::resource_key::{request_key, Keys},
    *,
};
use crate::rules::DateComparison;

/// A response, with what the layer knows about it.
#[derive(Clone, Copy, Debug)]
struct Shown {
    kind: Kind,
    tag: Option<u64>,
    given: Option<HttpDate>,
    length: Option<u64>,
    /// True if the layer may generate a date.
    may_generate: bool,
    varied: Option<Fields>,
    inside: Inside,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// A success to a GET, for all users.
    Content,
    /// A success to a HEAD, for all users.
    Head,
    NotModified,
    /// A 412, a 416, or a failed HEAD.
    Uncounted,
    /// Any other failure.
    Failure,
    Private,
}

/// What the layer does with a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct ObservedDate {
    sent: Sent,
    evidence: DateEvidence,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sent {
    AsGiven,
    Generated(HttpDate),
    Removed,
}

impl Dates {
    /// Records a response as the layer does.
    fn observe(
        &self,
        request: &RequestKey,
        shown: Shown,
        now: impl Fn() -> HttpDate,
    ) -> ObservedDate {
        let Shown { kind, tag, given, length, may_generate, varied, inside } = shown;
        if inside == Inside::States && !matches!(kind, Kind::Failure | Kind::Uncounted) {
            let evidence = self.record(Observation::stated(request), now);
            return ObservedDate { sent: Sent::AsGiven, evidence };
        }
        // A failure has no date that the layer inside could state.
        let inside = if inside == Inside::States { Inside::Compares } else { inside };
        let has_known_content = match kind {
            Kind::Uncounted => return ObservedDate::UNCOUNTED,
            Kind::Head if tag.is_none() => return ObservedDate::UNCOUNTED,
            Kind::Content | Kind::Head => true,
            Kind::NotModified => tag.is_some(),
            Kind::Failure | Kind::Private => false,
        };
        let varied = if has_known_content { varied } else { None };
        let shows_date = kind == Kind::Content;
        let length = length.filter(|_| shows_date);
        let seen = Observation { request, tag, given, length, shows_date, varied, inside };
        let evidence = self.record(seen, now);
        let sent = match evidence.date() {
            Some(date) if given == Some(date) => Sent::AsGiven,
            Some(date) if may_generate => Sent::Generated(date),
            _ => Sent::Removed,
        };
        ObservedDate { sent, evidence }
    }
}

impl ObservedDate {
    const DOUBT: Self = Self { sent: Sent::Removed, evidence: DateEvidence::DOUBT };
    const UNCOUNTED: Self = Self { sent: Sent::AsGiven, evidence: DateEvidence::DOUBT };

    fn is_unchanged(&self, date: HttpDate) -> bool {
        self.evidence.compare(date) == DateComparison::Unchanged
    }

    fn is_changed(&self, date: HttpDate) -> bool {
        self.evidence.compare(date) == DateComparison::Changed
    }

    fn unchanged_at(&self) -> Option<HttpDate> {
        self.evidence.date()
    }
}

/// Requests for one URI, with different values of Accept.
fn requests(resource: u64) -> [RequestKey; 3] {
    let keys = Keys::new();
    ["a", "b", "c"].map(|accept| {
        let request = Request::get("/").header("accept", accept).body(()).unwrap();
        let mut key = request_key(&keys, &request.into_parts().0);
        // All requests belong to one bucket.
        key.resource = resource << 32;
        key
    })
}

fn at(seconds: i64) -> HttpDate {
    HttpDate::from_unix_seconds(seconds).unwrap()
}

/// An empty memory that starts in second 0 of the tests.
struct Seen {
    dates: Dates,
    request: RequestKey,
}

/// Second 0 of the tests.
const START: i64 = 1_000_000_000;
const ACCEPT: Option<Fields> = Some(1);

const PLAIN: Shown = Shown {
    kind: Kind::Content,
    tag: None,
    given: None,
    length: None,
    may_generate: true,
    varied: Some(0),
    inside: Inside::Nothing,
};

const STATES: Shown = Shown { inside: Inside::States, may_generate: false, ..PLAIN };

fn tagged(tag: u64) -> Shown {
    Shown { tag: Some(tag << 8), ..PLAIN }
}

fn dated(given: i64) -> Shown {
    Shown { given: Some(at(START + given)), ..PLAIN }
}

fn both(tag: u64, given: i64) -> Shown {
    Shown { given: Some(at(START + given)), ..tagged(tag) }
}

/// Content without a tag, with a date from before the start.
fn sized(length: u64) -> Shown {
    Shown { length: Some(length), ..dated(-5) }
}

fn failure() -> Shown {
    Shown { kind: Kind::Failure, ..PLAIN }
}

impl Seen {
    fn new() -> Self {
        Self { dates: Dates::new(at(START)), request: requests(1)[0] }
    }

    fn observe(&self, now: i64, seen: Shown) -> ObservedDate {
        self.dates.observe(&self.request, seen, || at(START + now))
    }

    /// Returns the date that is sent. It is also the date that proves "unchanged".
    #[track_caller]
    fn sends(&self, now: i64, seen: Shown) -> Option<i64> {
        let date = self.observe(now, seen);
        let sent = match date.sent {
            Sent::AsGiven => seen.given,
            Sent::Generated(date) => Some(date),
            Sent::Removed => None,
        };
        assert_eq!(date.unchanged_at(), sent);
        sent.map(|date| date.unix_seconds() - START)
    }
}

#[test]
fn rule_1_what_was_sent_before_the_start_or_was_forgotten_shares_no_date() {
    let seen = Seen::new();
    assert_eq!(seen.sends(0, tagged(1)), None);
    assert_eq!(
        seen.sends(1, tagged(1)),
        None,
        "sent in second 0 before the start, received in second 1"
    );
    assert_eq!(seen.sends(2, tagged(1)), Some(2));

    let seen = Seen::new();
    assert_eq!(seen.sends(50, both(1, -5)), Some(-5));
    let own = seen.request;
    let others = (2..10).map(|other| requests(other)[0]);
    let seen = others.fold(seen, |seen, request| {
        let seen = Seen { request, ..seen };
        assert_eq!(seen.sends(50, both(1, -5)), Some(-5));
        seen
    });
    let seen = Seen { request: own, ..seen };
    assert_eq!(
        seen.sends(60, both(2, 50)),
        None,
        "forgotten content was sent in 50, and received in 51"
    );
    assert_eq!(seen.sends(61, both(2, 50)), Some(60));
}

#[test]
fn rule_2_content_is_named_by_tag_or_by_an_old_date() {
    let seen = Seen::new();
    assert_eq!(seen.sends(10, dated(-5)), Some(-5));
    assert_eq!(seen.sends(11, both(1, -5)), Some(-5), "the tag becomes known");
    assert_eq!(seen.sends(12, dated(-5)), Some(-5), "and is not known once");
    assert_eq!(seen.sends(13, both(1, -5)), Some(-5));
    assert_eq!(seen.sends(14, both(2, -5)), None, "other content with the same date");
    assert_eq!(seen.sends(16, both(2, -5)), Some(15));
    // The content was sent in the second of its date, in which it may have
    // changed again.
    let other = Seen::new();
    assert_eq!(other.sends(10, both(1, 10)), None);
    assert_eq!(other.sends(12, dated(10)), None);
    assert_eq!(other.sends(13, dated(10)), Some(12));
    // A generated date does not name content to which the handler gives the same date.
    assert_eq!(seen.sends(20, dated(15)), None);
    // The date is too young to be a name, because the content may change again in
    // this second.
    for (now, given) in [(30, 30), (31, 30), (32, 33)] {
        let seen = Seen::new();
        assert_eq!(seen.sends(now, dated(given)), None);
        assert_eq!(seen.sends(now + 1, tagged(1)), None, "unknown content was sent");
    }
    assert_eq!(Seen::new().sends(32, dated(30)), Some(30));
    assert_eq!(Seen::new().sends(32, PLAIN), None);
}

#[test]
fn rule_2_two_lengths_are_two_contents_of_one_date() {
    let tag_of = |tag, length| Shown { length: Some(length), ..both(tag, -5) };
    for (first, second, is_same) in [
        (sized(8), sized(8), true),
        (sized(8), sized(12), false),
        (sized(0), sized(1), false),
        (sized(u64::MAX), sized(0), false),
        // A length that is not known does not differ.
        (sized(8), dated(-5), true),
        (dated(-5), sized(8), true),
        (sized(8), Shown { kind: Kind::Head, ..sized(12) }, true),
        // A tag becomes known, or is not known once.
        (sized(8), tag_of(1, 8), true),
        (sized(8), tag_of(1, 12), false),
        (sized(8), both(1, -5), true),
        (tag_of(1, 8), sized(8), true),
        (tag_of(1, 8), sized(12), false),
        (both(1, -5), sized(12), true),
        (tag_of(1, 8), tag_of(1, 12), false),
        (tag_of(1, 8), tag_of(2, 8), false),
    ] {
        let seen = Seen::new();
        assert_eq!(seen.sends(10, first), Some(-5));
        let sent = |now| seen.observe(now, second).is_unchanged(at(START - 5));
        let is_counted = second.kind == Kind::Content;
        assert_eq!(sent(20), is_same && is_counted, "{first:?} {second:?}");
        // Neither content gets the date any more.
        for (now, shown) in [(30, first), (40, second), (50, first)] {
            let is_unchanged = seen.observe(now, shown).is_unchanged(at(START - 5));
            let expected = is_same && shown.kind == Kind::Content;
            assert_eq!(is_unchanged, expected, "{now} {first:?} {second:?}");
        }
    }
    // The length becomes known later, and stays known.
    let seen = Seen::new();
    for shown in [dated(-5), both(1, -5), sized(8), dated(-5), both(1, -5), sized(8)] {
        assert_eq!(seen.sends(10, shown), Some(-5));
    }
    assert!(!seen.observe(20, sized(12)).is_unchanged(at(START - 5)));
}

#[test]
fn rule_3_a_date_is_believed_if_it_cannot_have_stood_for_other_content() {
    for (given, expected, why) in [
        (-5, Some(-5), "from before the start"),
        (
            -1,
            None,
            "maybe sent by the process before, or received from this one by a clock that is behind",
        ),
        (0, None, "as the process before may have sent"),
        (1, None, "as it may have been received"),
        (2, Some(2), "above the floor"),
        (9, Some(9), "above the floor"),
        (11, Some(10), "from the future"),
        (YEAR_1990 as i64 - 1 - START, Some(10), "before 1990"),
        (YEAR_1990 as i64 - START, Some(YEAR_1990 as i64 - START), "1990"),
        (-START, Some(10), "1970"),
    ] {
        // A date that is not accepted is replaced by the first second above `floor`.
        let seen = Seen::new();
        seen.observe(10, both(1, given));
        assert_eq!(seen.sends(11, both(1, given)), expected.or(Some(10)), "{given}: {why}");
        let keep = Shown { may_generate: false, ..both(1, given) };
        let date = Seen::new().observe(11, keep);
        let is_kept = expected == Some(given);
        assert_eq!(date.sent == Sent::AsGiven, is_kept, "{given}: {why}");
    }
    // If the key has an entry, a date from before the start may come from a rollback,
    // or from a file that was moved here.
    let seen = Seen::new();
    assert_eq!(seen.sends(10, both(1, -5)), Some(-5));
    for (now, tag, given) in [(20, 2, -90), (30, 1, -5)] {
        assert_eq!(seen.sends(now, both(tag, given)), None);
        assert_eq!(seen.sends(now + 1, both(tag, given)), Some(now));
    }
    // The clock was set back, so a date before the start may be a time of receipt.
    for (given, expected) in [(-10, None), (-11, None), (-12, Some(-12))] {
        let seen = Seen::new();
        seen.observe(-10, failure());
        assert_eq!(seen.sends(20, both(1, given)), expected, "{given}");
    }
}

#[test]
fn rule_4_new_content_gets_a_new_date_and_the_same_content_keeps_its_own() {
    let seen = Seen::new();
    assert_eq!(seen.sends(10, tagged(1)), Some(10));
    assert_eq!(seen.sends(20, tagged(1)), Some(10));
    assert_eq!(seen.sends(20, both(1, 15)), Some(10), "the handler's date is replaced");
    assert_eq!(
        seen.sends(20, tagged(2)),
        None,
        "the first was sent in this second, and received in the next"
    );
    assert_eq!(seen.sends(21, tagged(2)), None);
    assert_eq!(seen.sends(22, tagged(2)), Some(22));
    assert_eq!(seen.sends(30, tagged(1)), Some(30), "a date that ended does not come back");
    // The handler gives a date at which the previous content was still sent.
    assert_eq!(seen.sends(40, both(3, 31)), None);
    assert_eq!(seen.sends(41, both(3, 31)), Some(40));
    assert_eq!(seen.sends(50, both(4, 43)), Some(43));
    // The clock is set back. No date is sent that is now in the future.
    assert_eq!(seen.sends(45, tagged(5)), None);
    assert_eq!(seen.sends(52, tagged(5)), Some(52));
}

#[test]
fn rule_4_content_that_changes_all_the_time_does_not_use_up_the_future() {
    let seen = Seen::new();
    assert_eq!(seen.sends(10, tagged(0)), Some(10));
    (1..10_000).for_each(|tag| assert_eq!(seen.sends(10, tagged(tag)), None));
    assert_eq!(
        seen.sends(10 + i64::from(AHEAD) + 1, tagged(9_999)),
        Some(10 + i64::from(AHEAD) + 1)
    );
}

#[test]
fn rule_5_what_is_unknown_failed_or_private_has_no_date_and_leaves_none() {
    let private = Shown { kind: Kind::Private, varied: Some(8), ..both(7, -9) };
    let any = Shown { varied: None, ..both(7, -9) };
    for unknown in [PLAIN, failure(), private, any, Shown { kind: Kind::NotModified, ..dated(-9) }]
    {
        let seen = Seen::new();
        let nothing = ObservedDate::DOUBT;
        assert_eq!(seen.observe(10, unknown), nothing, "{unknown:?}");
        assert_eq!(seen.sends(10, tagged(1)), None);
        assert_eq!(seen.sends(11, tagged(1)), None);
        assert_eq!(seen.sends(12, tagged(1)), Some(12));
        // In another second the answer changes no date.
        assert_eq!(seen.observe(14, unknown), nothing);
        assert_eq!(seen.sends(14, tagged(1)), Some(12));
        // In the same second, the one before or the one after, all variants
        // get a new date.
        for (now, by) in [(20, -1), (40, 0), (60, 1)] {
            let tag = now as u64;
            assert_eq!(seen.sends(now, tagged(tag)), Some(now), "{unknown:?}");
            assert_eq!(seen.observe(now + by, unknown), nothing);
            assert_eq!(seen.sends(now + 9, tagged(tag)), Some(now + by + 2));
        }
        // Another URI of the same bucket keeps its date.
        assert_eq!(seen.sends(90, tagged(1)), Some(90));
        let own = seen.request;
        let other = Seen { request: requests(2)[0], ..seen };
        assert_eq!(other.observe(90, unknown), nothing);
        let seen = Seen { request: own, ..other };
        assert_eq!(seen.sends(91, tagged(1)), Some(90));
    }
}

#[test]
fn rule_5_a_new_field_forgets_all_entries_and_another_variant_is_another_key() {
    let [a, b, _] = requests(1);
    let vary = |tag| Shown { varied: ACCEPT, ..tagged(tag) };
    let seen = Seen { request: a, ..Seen::new() };
    assert_eq!(seen.sends(10, tagged(1)), Some(10));
    assert_eq!(seen.sends(20, vary(1)), Some(20), "it has another key now");
    let seen = Seen { request: b, ..seen };
    assert_eq!(seen.sends(20, vary(2)), None, "20 stands for another variant");
    assert_eq!(seen.sends(21, vary(2)), Some(21));
    let seen = Seen { request: a, ..seen };
    assert_eq!(seen.sends(30, vary(1)), Some(20));
    assert_eq!(seen.sends(31, tagged(1)), Some(20), "it is found with fewer fields, too");
    // Content that was sent before `Vary` named the field was sent for this key, too.
    let other = Seen { request: a, ..Seen::new() };
    assert_eq!(other.sends(10, both(1, -5)), Some(-5));
    assert_eq!(
        other.sends(11, vary(2)),
        None,
        "the second in which the first may have been received"
    );
    assert_eq!(other.sends(12, vary(2)), Some(12));
    // `Vary` names a field that was not known when the request came.
    let late = Shown { varied: Some(1 << 12), ..tagged(1) };
    assert_eq!(seen.sends(32, late), None);
    assert_eq!(seen.sends(33, vary(1)), None, "nor is the key of any later such request");
    // The fields in `Vary` of a private answer or a failure do not count.
    let seen = Seen { request: a, ..Seen::new() };
    for kind in [Kind::Private, Kind::Failure] {
        seen.observe(9, Shown { kind, varied: Some(1 << 12), ..PLAIN });
    }
    assert_eq!(seen.sends(12, tagged(1)), Some(12));
}

#[test]
fn rule_6_a_date_is_sent_from_its_second_on_and_the_handlers_from_the_second_after() {
    let seen = Seen::new();
    assert_eq!(seen.sends(10, both(1, 10)), None, "it may change once more in this second");
    assert_eq!(seen.sends(10, tagged(1)), None);
    assert_eq!(seen.sends(11, both(1, 10)), Some(10));
    assert_eq!(seen.sends(9, tagged(1)), None, "the clock was set back");
    let seen = Seen::new();
    assert_eq!(seen.sends(10, both(1, 10)), None);
    assert_eq!(seen.sends(10, both(2, 10)), None);
    assert_eq!(seen.sends(11, both(2, 10)), None, "it changed in the second of its date");
    assert_eq!(
        seen.sends(12, both(2, 10)),
        None,
        "the handler gave one, so the date's second must be over"
    );
    assert_eq!(seen.sends(13, both(2, 10)), Some(12));
    assert_eq!(seen.observe(14, both(2, 10)).sent, Sent::Generated(at(START + 12)));
    let keep = Shown { may_generate: false, ..both(2, 10) };
    assert_eq!(seen.observe(15, keep).sent, Sent::Removed);
}

#[test]
fn rule_7_what_sends_no_content_is_not_counted_and_a_304_counts_by_its_tag() {
    let seen = Seen::new();
    assert_eq!(seen.sends(10, tagged(1)), Some(10));
    for passes in [
        Shown { kind: Kind::Head, ..dated(10) },
        Shown { kind: Kind::Head, varied: None, ..PLAIN },
        Shown { kind: Kind::Uncounted, ..both(9, 9) },
    ] {
        let untouched = ObservedDate::UNCOUNTED;
        assert_eq!(seen.observe(10, passes), untouched, "{passes:?}");
    }
    assert_eq!(seen.sends(11, tagged(1)), Some(10));
    let head = |tag| Shown { kind: Kind::Head, ..tagged(tag) };
    assert_eq!(seen.sends(12, head(1)), Some(10));
    assert_eq!(seen.sends(20, head(2)), Some(20), "a HEAD with a tag counts");
    let not_modified = |tag| Shown { kind: Kind::NotModified, ..tagged(tag) };
    assert_eq!(seen.sends(21, not_modified(2)), Some(20));
    assert_eq!(seen.sends(30, not_modified(3)), Some(30));
    assert_eq!(seen.sends(31, tagged(3)), Some(30));
}

#[test]
fn rule_8_a_stated_date_proves_nothing_here_and_its_content_is_old_afterwards() {
    for stated in [STATES, Shown { tag: Some(1 << 8), ..STATES }] {
        let seen = Seen::new();
        assert_eq!(seen.sends(10, both(1, -5)), Some(-5));
        for now in [20, 20, 21, 40] {
            let date = seen.observe(now, stated);
            assert_eq!(date, ObservedDate { sent: Sent::AsGiven, ..ObservedDate::DOUBT });
        }
        assert_eq!(seen.sends(50, both(1, 41)), None, "the stated content was received in 41");
        assert_eq!(seen.sends(51, both(1, 41)), Some(50));
        seen.observe(60, stated);
        assert_eq!(seen.sends(70, both(2, 62)), Some(62));
    }
}

#[test]
fn a_write_may_depend_on_a_date_that_a_layer_inside_compares() {
    let asks = |seen: &Seen, date: i64| {
        seen.dates.may_have_generated(&seen.request, at(START + date), || true)
    };
    let seen = Seen::new();
    seen.observe(60, failure());
    assert!(asks(&seen, 10));
    seen.observe(60, STATES);
    assert!(![-5, 10, 60, 61, 70].iter().any(|date| asks(&seen, *date)));
    seen.observe(60, failure());
    assert!(!asks(&seen, 60), "a failure does not change who compares");
    let seen = Seen { request: requests(2)[0], ..seen };
    assert!(asks(&seen, 10), "nothing is known about this URI");
    // A layer inside compares the dates that it finds.
    let compares = |seen| Shown { inside: Inside::Compares, may_generate: false, ..seen };
    for (now, shown, is_refused) in [
        (70, compares(tagged(1)), true),
        (71, compares(both(1, 70)), false),
        (72, compares(Shown { kind: Kind::Head, ..tagged(1) }), false),
        (73, compares(Shown { kind: Kind::NotModified, ..tagged(1) }), false),
        (74, compares(tagged(1)), true),
        (75, compares(both(1, 70)), false),
        (76, both(1, 70), true),
    ] {
        seen.observe(now, shown);
        assert_eq!(asks(&seen, 70), is_refused, "{now}");
    }
    // Another variant has a date that was generated here.
    let [a, b, _] = requests(3);
    let vary = |shown| Shown { varied: ACCEPT, ..shown };
    let seen = Seen { request: a, ..Seen::new() };
    assert_eq!(seen.sends(10, vary(tagged(1))), Some(10));
    let seen = Seen { request: b, ..seen };
    seen.observe(20, vary(STATES));
    assert!(asks(&seen, 10) && asks(&seen, 20));
}

#[test]
fn a_date_proves_unchanged_by_equality_and_changed_only_by_the_handlers_word() {
    for (seen, unchanged, changed_after) in [
        (both(1, -50), Some(-50), -50),
        // The date is not accepted, but earlier dates still prove a change.
        (both(1, 1), Some(20), 1),
        (Shown { given: Some(at(0)), ..tagged(1) }, Some(20), -START),
        // The handler's date is in the future, or there is none.
        (both(1, 70), Some(20), i64::MIN),
        (tagged(1), Some(20), i64::MIN),
        (failure(), None, i64::MIN),
        (Shown { varied: None, ..both(1, -50) }, None, i64::MIN),
    ] {
        let memory = Seen::new();
        memory.observe(20, seen);
        let date = memory.observe(30, seen);
        for asked in [-START, -90, -51, -50, -49, 0, 1, 2, 19, 20, 21, 29, 30, 31, 70, 90] {
            assert_eq!(
                date.is_unchanged(at(START + asked)),
                unchanged == Some(asked),
                "{asked} {seen:?}"
            );
            assert_eq!(
                date.is_changed(at(START + asked)),
                asked < changed_after,
                "{asked} {seen:?}"
            );
        }
    }
    // If the layer is applied twice, the inner layer may generate the same date.
    let memory = Seen::new();
    memory.observe(20, tagged(1));
    let date = memory.observe(30, both(1, 20));
    assert!(date.is_unchanged(at(START + 20)) && !date.is_changed(at(START + 10)));
    // The handler gives the same content a new date. The old date does not mean an
    // older version.
    let memory = Seen::new();
    memory.observe(20, both(1, -50));
    let date = memory.observe(30, both(1, -40));
    assert!(date.is_unchanged(at(START - 50)) && !date.is_changed(at(START - 50)));
}

#[test]
fn a_write_must_not_depend_on_a_date_that_may_have_been_generated_here() {
    let asks = |seen: &Seen, date: i64| {
        seen.dates.may_have_generated(&seen.request, at(START + date), || true)
    };
    let seen = Seen::new();
    for date in [-START, -50, 0, 1, 2, 50] {
        assert!(!asks(&seen, date), "nothing was ever sent: {date}");
    }
    // The handler gave the date, and compares dates itself.
    assert_eq!(seen.sends(20, both(1, -50)), Some(-50));
    for date in [-50, -90, 10, 20] {
        assert!(!asks(&seen, date), "{date}");
    }
    seen.observe(30, failure());
    assert_eq!(seen.sends(40, both(2, 39)), Some(39));
    for (date, expected) in
        [(-50, false), (1, false), (2, true), (31, true), (32, false), (39, false)]
    {
        assert_eq!(asks(&seen, date), expected, "{date}");
    }
    seen.observe(60, failure());
    assert!(!asks(&seen, 39), "known as the handler's");
    // The layer generates the date of this content, so the inner service knows no date
    // of it.
    assert_eq!(seen.sends(70, tagged(3)), Some(70));
    for date in [-50, 39, 70, 90] {
        assert!(asks(&seen, date), "{date}");
    }
    // Another URI of the bucket, whose entry may have been forgotten.
    let other = Seen { request: requests(2)[0], ..seen };
    for (date, expected) in [(-50, false), (1, false), (2, true), (70, true), (71, false)] {
        assert_eq!(asks(&other, date), expected, "{date}");
    }
    // A write may have other request fields than the reads.
    let [a, b, _] = requests(3);
    let seen = Seen { request: a, ..Seen::new() };
    seen.observe(10, Shown { varied: ACCEPT, ..tagged(1) });
    assert!(seen.dates.may_have_generated(&b, at(START - 50), || true));
    assert!(!seen.dates.may_have_generated(&requests(4)[0], at(START - 50), || true));
}

#[test]
fn the_last_second_names_no_content() {
    let seen = Seen::new();
    for seconds in [i64::from(u32::MAX) - 1, i64::from(u32::MAX), 253_402_300_799] {
        for tag in 0..3 {
            let date = seen.dates.observe(&seen.request, tagged(tag), || at(seconds));
            let same = tag == 0 && seconds < i64::from(u32::MAX);
            assert_eq!(date.unchanged_at(), same.then(|| at(seconds)));
        }
    }
    for given in [i64::from(u32::MAX) - START, 253_402_300_799 - START] {
        for seen in [both(9, given), dated(given)] {
            let now = || HttpDate::MAX;
            assert_eq!(Seen::new().dates.observe(&requests(1)[0], seen, now).unchanged_at(), None);
        }
    }
    assert_eq!(
        Dates::new(HttpDate::MAX).observe(&seen.request, tagged(1), || at(START)).unchanged_at(),
        None
    );
    assert!(!Dates::new(HttpDate::MAX).may_have_generated(&seen.request, at(START), || true));
}

#[test]
fn an_entry_is_24_bytes_and_a_bucket_256() {
    assert_eq!([size_of::<DateEntry>(), size_of::<Bucket>()], [24, 256]);
    assert_eq!(BUCKETS * 8, 65_536);
}

#[test]
fn what_changes_nothing_but_seen_is_answered_under_the_shared_lock() {
    let seen = Seen::new();
    let reads = |now: i64, observation| {
        let count = Cell::new(0);
        seen.dates.observe(&seen.request, observation, || {
            count.set(count.get() + 1);
            at(START + now)
        });
        count.get()
    };
    for (now, observation, expected) in [
        (10, both(1, -5), 2),
        (10, both(1, -5), 1),
        (20, both(1, -5), 1),
        (20, dated(-5), 1),
        (20, sized(8), 2),
        (20, sized(8), 1),
        (20, dated(-5), 1),
        (20, both(1, 7), 1),
        (20, failure(), 2),
        (20, failure(), 1),
        (20, both(1, -5), 1),
        (21, failure(), 2),
        (99, both(1, -5), 1),
        (99, both(2, -5), 2),
    ] {
        assert_eq!(reads(now, observation), expected, "{now} {observation:?}");
    }
    assert_eq!(seen.sends(100, both(3, 100)), None);
    assert_eq!(seen.sends(110, both(3, 100)), Some(102), "second 99 was counted");
}

#[test]
fn the_second_is_read_while_the_bucket_is_held() {
    let seen = Seen::new();
    for (tag, reads) in [(1, 2), (1, 1), (2, 2), (2, 1)] {
        let count = Cell::new(0);
        let now = || {
            count.set(count.get() + 1);
            let lock = seen.dates.bucket(&seen.request);
            assert!(lock.try_write().is_err(), "{tag}: it is not held");
            assert_eq!(
                lock.try_read().is_err(),
                count.get() == 2,
                "{tag}: decided again, held alone"
            );
            at(START + 10)
        };
        seen.dates.observe(&seen.request, tagged(tag), now);
        assert_eq!(count.get(), reads, "{tag}");
    }
}

/// Several threads record responses whose content keeps changing. Each thread then
/// checks which of its earlier dates prove "unchanged".
#[test]
fn threads_get_no_wrong_304() {
    let dates = Dates::new(at(START));
    let clock = AtomicI64::new(START + 2);
    let content = AtomicI64::new(0);
    let is_over = AtomicBool::new(false);
    let request = requests(1)[0];
    let (proved, asked) = thread::scope(|scope| {
        let work = || {
            // The date, the time of receipt and the content of the last responses.
            let mut copies: Vec<(Option<HttpDate>, HttpDate, i64)> = Vec::new();
            let (mut proved, mut asked, mut turn) = (0, 0, 0_usize);
            while !is_over.load(Ordering::Relaxed) {
                let evaluated = Cell::new(START);
                let now = || {
                    evaluated.set(clock.load(Ordering::SeqCst));
                    at(evaluated.get())
                };
                // The content may have been replaced before the response is evaluated.
                let tag = content.load(Ordering::SeqCst);
                let date = dates.observe(&request, tagged(tag.cast_unsigned()), now);
                let received = at(evaluated.get() + (turn % 2) as i64);
                for (sent, received, held) in &copies {
                    for proof in sent.iter().chain([received]) {
                        asked += 1;
                        proved += usize::from(date.is_unchanged(*proof));
                        assert!(
                            !date.is_unchanged(*proof) || *held == tag,
                            "{held} {tag} {date:?}"
                        );
                    }
                }
                let sent = match date.sent {
                    Sent::Generated(date) => Some(date),
                    _ => None,
                };
                assert!(sent.is_none_or(|sent| sent <= at(evaluated.get())));
                turn += 1;
                if copies.len() < 32 {
                    copies.push((sent, received, tag));
                } else {
                    copies[turn % 32] = (sent, received, tag);
                }
            }
            (proved, asked)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let mut random = Random(7);
        for _ in 0..400 {
            thread::sleep(std::time::Duration::from_micros(random.below(1_000)));
            if random.below(3) == 0 {
                content.store(random.below(3).cast_signed(), Ordering::SeqCst);
            } else {
                clock.fetch_add(1, Ordering::SeqCst);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    assert!(proved > 1_000, "{proved} of {asked}");
}

mod model;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % below
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}
