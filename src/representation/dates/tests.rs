use super::*;

fn at(seconds: i64) -> HttpDate {
    HttpDate::from_unix_seconds(seconds).unwrap()
}

/// One resource in a memory made at second 0, or in a shard that has forgotten dates up to `forgotten`.
struct Seen {
    resource: Option<Resource>,
    watermark: Watermark,
}

impl Seen {
    fn new() -> Self {
        Self { resource: None, watermark: Watermark::new(at(0)) }
    }

    fn see(&mut self, now: i64, sighting: Sighting) -> Option<Modified> {
        let Self { resource, watermark } = self;
        let resource = resource.get_or_insert_with(|| Resource::new(sighting, watermark, at(now)));
        resource.see(sighting, true, watermark, at(now))
    }

    fn minted(&mut self, now: i64, tag: u64) -> Option<i64> {
        match self.see(now, Sighting::Tagged(tag, None)).unwrap() {
            Modified::Minted(date) => Some(date.unix_seconds()),
            Modified::Pending => None,
            Modified::Given { .. } => panic!("no date was given"),
        }
    }

    /// What a client's date `asked` proves about content that was given `date`.
    fn proves(&mut self, now: i64, sighting: Sighting, asked: i64) -> LastModified {
        self.see(now, sighting).unwrap().last_modified(Some(at(asked)))
    }
}

#[test]
fn a_minted_date_is_the_second_of_first_sight() {
    let mut seen = Seen::new();
    assert_eq!(seen.minted(0, 1), None, "the first second may have been another process's");
    assert_eq!(seen.minted(1, 1), Some(1));
    assert_eq!(seen.minted(9, 1), Some(1));
    assert_eq!(seen.minted(10, 2), Some(10));
    assert_eq!(seen.minted(10, 3), None, "second 10 stands for 2");
    assert_eq!(seen.minted(10, 2), None, "and no longer for 2 either");
    assert_eq!(seen.minted(11, 2), Some(11));
    assert_eq!(seen.minted(8, 2), None, "a date is not sent before its time, though the clock was set back");
    assert_eq!(seen.minted(12, 2), Some(11));
    assert_eq!(seen.minted(12, 4), None, "a client may have received 2 in second 12, and name that");
    assert_eq!(seen.minted(13, 4), Some(13));
}

#[test]
fn a_flapping_resource_does_not_drift_into_the_future() {
    let mut seen = Seen::new();
    let mut tag = 0;
    for now in 1..60 {
        for _ in 0..10 {
            tag += 1;
            seen.minted(now, tag);
        }
    }
    assert!(seen.minted(60, tag).is_some(), "one second after the last change there is a date");
}

#[test]
fn a_given_date_is_ordered_only_behind_the_last_sight_of_other_content() {
    let (old, new) = (Sighting::Tagged(1, Some(at(-900))), Sighting::Tagged(2, Some(at(-100))));
    let mut seen = Seen::new();
    assert_eq!(seen.proves(10, old, -900), LastModified::FirstSeen(at(-900)));
    assert_eq!(seen.proves(10, old, -500), LastModified::FirstSeen(at(-900)), "from before this memory");
    assert_eq!(seen.proves(10, old, 5), LastModified::Given(at(-900)));
    assert_eq!(seen.proves(20, new, 15), LastModified::Given(at(-100)));
    // Rolled back: what was seen until second 20 was newer.
    assert_eq!(seen.proves(30, old, -100), LastModified::FirstSeen(at(-900)));
    assert_eq!(seen.proves(30, old, 20), LastModified::FirstSeen(at(-900)));
    assert_eq!(seen.proves(30, old, 21), LastModified::Given(at(-900)));
}

#[test]
fn a_date_of_two_contents_proves_nothing() {
    let given = |tag, date| Sighting::Tagged(tag, Some(at(date)));
    let mut seen = Seen::new();
    assert_eq!(seen.proves(10, given(1, -9), -9), LastModified::FirstSeen(at(-9)));
    assert_eq!(seen.proves(10, given(2, -9), -9), LastModified::Unsettled);
    assert_eq!(seen.proves(10, given(1, -9), -9), LastModified::Unsettled);
    assert_eq!(seen.proves(10, given(1, -8), -8), LastModified::FirstSeen(at(-8)));

    // Not side by side, and with more dates in between than are kept.
    let mut seen = Seen::new();
    for (tag, date) in [(1, -9), (2, -8), (3, -7), (4, -6), (5, -5)] {
        assert_eq!(seen.proves(10, given(tag, date), date), LastModified::FirstSeen(at(date)));
    }
    assert_eq!(seen.proves(10, given(6, -9), -9), LastModified::Unsettled, "it may have been sent before: it was");
    assert_eq!(seen.proves(10, given(7, -4), -4), LastModified::FirstSeen(at(-4)));

    // A minted date, and then the same one from the inner service.
    let mut seen = Seen::new();
    assert_eq!(seen.minted(5, 1), Some(5));
    assert_eq!(seen.proves(6, given(2, 5), 5), LastModified::Unsettled);
    // A date from the future, and then the clock gets there.
    assert_ne!(seen.proves(6, given(3, 8), 8), LastModified::Unsettled);
    assert_eq!(seen.minted(8, 4), None);
    assert_eq!(seen.minted(9, 4), Some(9));
}

#[test]
fn one_date_in_the_far_future_does_not_end_all_dates() {
    let mut seen = Seen::new();
    seen.see(10, Sighting::Tagged(1, Some(at(4_000_000_000))));
    assert_eq!(seen.minted(11, 2), Some(11));
    assert_eq!(seen.minted(12, 3), Some(12));
}

#[test]
fn a_date_without_a_tag_stands_for_the_content() {
    let (early, late) = (Sighting::Dated(at(-900)), Sighting::Dated(at(-100)));
    let mut seen = Seen::new();
    assert_eq!(seen.proves(10, late, 5), LastModified::Given(at(-100)));
    assert_eq!(seen.proves(20, early, -100), LastModified::FirstSeen(at(-900)), "rolled back");
    // The tag becomes known, is not found out once, and is known again: the content is the same.
    let tagged = Sighting::Tagged(1, Some(at(-900)));
    for sighting in [tagged, early, tagged] {
        assert_eq!(seen.proves(30, sighting, -900), LastModified::FirstSeen(at(-900)));
        assert_eq!(seen.proves(30, sighting, 11), LastModified::Given(at(-900)));
    }
    assert_eq!(seen.proves(30, Sighting::Tagged(2, Some(at(-900))), -900), LastModified::Unsettled);
}

#[test]
fn what_a_shard_forgot_lifts_new_entries() {
    let mut first = Seen::new();
    assert_eq!(first.minted(50, 1), Some(50));
    let mut second = Seen::new();
    second.watermark.forget(first.resource.as_ref().unwrap());
    assert_eq!(second.minted(50, 2), None, "second 50 may stand for other content of this very key");
    assert_eq!(second.minted(51, 2), Some(51));

    let given = Sighting::Tagged(1, Some(at(-9)));
    let mut third = Seen { resource: None, watermark: second.watermark };
    assert_eq!(third.proves(60, given, 50), LastModified::FirstSeen(at(-9)));
    assert_eq!(third.proves(60, given, 51), LastModified::Given(at(-9)));
    assert_eq!(third.proves(60, Sighting::Tagged(2, Some(at(50))), 50), LastModified::Unsettled);
}
