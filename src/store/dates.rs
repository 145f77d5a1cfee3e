//! Last-Modified: the date that a response may carry, and what a client's date proves.
//!
//! A date is used as a name of content, like a tag. Only an equal date proves
//! "unchanged" (RFC 9110, 13.1.3 allows that). Only a date that is earlier than the
//! date that the handler gave with this response proves "changed". All other dates
//! prove nothing: no 304, no 412.
//!
//! # Memory
//!
//! The memory is an array of buckets, indexed by the hash of the URI. A bucket has room
//! for eight entries of 24 bytes, a `floor`, and the request fields that its responses
//! named in `Vary`. An entry is the current content of one key, which is the URI with
//! the values of these fields. When a new key needs room, the entry that was sent
//! longest ago is forgotten.
//!
//! # Invariant
//!
//! *Take all content that was sent from the bucket and is not the current content of an
//! entry. `floor` is at least one second later than each second in which such content
//! was sent. No date is sent before its time.*
//!
//! Content that is sent in a second has a date no later than that second, and is
//! received in that second or the next. So a date greater than `floor` was never sent
//! with other content of its key, and is not the time of receipt of such content. Such
//! a date is safe as the name of the current content. It stays safe: once other content
//! replaces this content, the date is below `floor`.
//!
//! The one second allows for the time between the evaluation and the `Date` line, and
//! for the client's clock.
//!
//! # Rules
//!
//! 1. At the start, `floor` is the next second. Forgetting an entry raises `floor`
//!    above `seen`.
//! 2. Content is named by its tag. Without a tag it is named by the handler's date, if
//!    that is in 1990 or later and at least two seconds old. A tag that becomes known
//!    for that date replaces it. Content without a tag that has the handler's date of
//!    an entry is the content of that entry. Otherwise the content is unknown.
//! 3. A handler's date is accepted if it is in 1990 or later and not after now. It must
//!    also be greater than `floor` (raised by rule 4), or, if the key has no entry,
//!    earlier than all content that was sent from the bucket.
//! 4. New content raises `floor` above the old `seen`. Its date is the accepted one.
//!    Otherwise a date is generated: now, or the first second above `floor`, which then
//!    rises to that second. The same content keeps its date.
//! 5. Unknown content, failures and private answers raise `floor` above now. An entry
//!    of the same URI whose date is within a second of now gets a new date. These
//!    responses have no Last-Modified. A field that is new in `Vary` makes the bucket
//!    forget all its entries.
//! 6. A generated date is sent from its second on. A date of the handler is sent from
//!    the next second on.
//! 7. A HEAD whose content has no tag, a 412 and a 416 send no content that a client
//!    could hold, so they are not recorded. A 304 is recorded by its tag. Without a tag
//!    it is unknown content.
//!
//! Most responses change nothing, or only `seen`, so they are handled under the shared
//! lock. All others are evaluated again under the exclusive lock. The clock is read
//! while the lock is held: otherwise a response could be recorded in a second that was
//! over when it was evaluated.
//!
//! # What remains
//!
//! These cases are not covered: other replicas; a clock that is set back during a
//! restart; one date of the handler for two contents, if one of them was forgotten, has
//! no tag, or has another key; dates and times of receipt from before a restart that
//! equal a handler's date; invented dates; clients that ignore `Vary`; a time of
//! receipt more than a second after the evaluation.

use std::sync::{
    atomic::{AtomicU32, Ordering},
    OnceLock, PoisonError, RwLock,
};

use super::resource_key::{Fields, RequestKey};
use crate::rules::{DateEvidence, HttpDate};

/// The dates of one layer's resources, in at most 2 MiB, which are allocated in steps
/// of 32 KiB.
pub(crate) struct Dates {
    /// The second in which this memory was made.
    start: u32,
    groups: Box<[OnceLock<Box<[Bucket]>>]>,
}

/// What a response shows about its resource.
#[derive(Clone, Copy)]
pub(crate) struct Observation<'a> {
    pub(crate) request: &'a RequestKey,
    /// The hash of the content's tag, if it is known.
    pub(crate) tag: Option<u64>,
    /// The date that the handler gave. If the layer is applied twice, the inner layer
    /// may have generated it.
    pub(crate) given: Option<HttpDate>,
    /// The response is a success to a GET, so a handler that knows the date gives it.
    pub(crate) shows_date: bool,
    /// The fields in `Vary`. `None` if they are not known, and for failures and private
    /// answers, which have no date.
    pub(crate) varied: Option<Fields>,
}

impl Dates {
    /// Makes an empty memory. `now` is the second before which it knows nothing.
    pub(crate) fn new(now: HttpDate) -> Self {
        let groups = (0..BUCKETS / GROUP).map(|_| OnceLock::new()).collect();
        Self { start: seconds(now), groups }
    }

    /// Records a response, and returns what a client's date proves about it. The date
    /// that proves "unchanged" is the one to send.
    #[inline]
    pub(crate) fn record(&self, seen: Observation<'_>, now: impl Fn() -> HttpDate) -> DateEvidence {
        let lock = self.bucket(seen.request);
        // Called while the lock is held.
        let seen = || Response::new(seen, now());
        let same = lock.read().unwrap_or_else(PoisonError::into_inner).repeat(&seen());
        same.unwrap_or_else(|| lock.write().unwrap_or_else(PoisonError::into_inner).change(&seen()))
    }

    /// Returns true if a write must not depend on `date`. That is so if the date was
    /// generated here for the resource, or may have been, if the layer serves the reads
    /// of the resource.
    ///
    /// The inner service never saw a generated date, so it would ignore it, or compare
    /// it with its own date. For a resource that was never seen here, only dates that
    /// its bucket may have sent are refused.
    pub(crate) fn may_have_generated(
        &self,
        request: &RequestKey,
        date: HttpDate,
        serves_reads: impl FnOnce() -> bool,
    ) -> bool {
        let bucket = self.bucket(request).read().unwrap_or_else(PoisonError::into_inner);
        let date = seconds(date);
        let is_sent = self.start.saturating_add(1) < date && date <= bucket.floor.0;
        let own = || bucket.entries.iter().filter(|entry| entry.is_of(request));
        let dated = |known| own().any(|entry| entry.is_known() == known && entry.date == date);
        let may_be = is_sent && !dated(true) || own().any(|entry| !entry.is_known());
        dated(false) || may_be && serves_reads()
    }

    /// Returns the bucket of a resource.
    #[expect(clippy::indexing_slicing, reason = "a remainder is less than its divisor")]
    fn bucket(&self, request: &RequestKey) -> &RwLock<Entries> {
        let place = request.resource % BUCKETS;
        let (floor, earliest) = (Floor(self.start.saturating_add(1)), self.start);
        let new = || Bucket(RwLock::new(Entries { floor, earliest, ..Entries::default() }));
        let make = || (0..GROUP).map(|_| new()).collect();
        &self.groups[(place / GROUP) as usize].get_or_init(make)[(place % GROUP) as usize].0
    }
}

/// A response in the second in which it is evaluated.
struct Response<'a> {
    seen: Observation<'a>,
    /// The handler's date, if it is in 1990 or later, and not after now.
    given: Option<u32>,
    /// The name of its content (rule 2). `None` if the content is unknown, failed or
    /// private.
    name: Option<u64>,
    /// The fields in `Vary`, if the content has a name.
    fields: Fields,
    now: u32,
}

impl<'a> Response<'a> {
    fn new(seen: Observation<'a>, now: HttpDate) -> Self {
        let now = seconds(now);
        let given = seen.given.map(seconds).filter(|given| (YEAR_1990..=now).contains(given));
        let dated = given.filter(|given| given.saturating_add(2) <= now).map(named);
        let name = seen.varied.and(seen.tag.map(|tag| tag & !FLAGS | TAGGED).or(dated));
        let fields = name.and(seen.varied).unwrap_or_default();
        Self { seen, given, name, fields, now }
    }
}

/// Aligned to cache lines, so that two buckets do not share one.
#[repr(align(64))]
struct Bucket(RwLock<Entries>);

#[derive(Default)]
struct Entries {
    floor: Floor,
    /// The earliest second of the clock, in this bucket or at the start.
    earliest: u32,
    /// All fields that responses of this bucket named in `Vary`.
    fields: Fields,
    entries: [Entry; 8],
}

impl Entries {
    /// Handles a response that changes only `seen`, or nothing.
    fn repeat(&self, response: &Response<'_>) -> Option<DateEvidence> {
        if response.fields & !self.fields != 0 || response.now < self.earliest {
            return None;
        }
        let Some((key, name)) = response.seen.request.content(self.fields).zip(response.name)
        else {
            let is_any_near = self.entries.iter().any(|entry| entry.is_near(response));
            return (response.now < self.floor.0 && !is_any_near).then_some(DateEvidence::DOUBT);
        };
        let entry = self.entries.iter().find(|entry| entry.holds(key, name))?;
        entry.is_as_given(response).then(|| entry.send(response))
    }

    /// Handles any other response.
    fn change(&mut self, response: &Response<'_>) -> DateEvidence {
        let (Self { floor, earliest, fields, entries }, now) = (self, response.now);
        *earliest = now.min(*earliest);
        if response.fields & !*fields != 0 {
            // It is not known to which of the new keys an old entry belongs.
            *fields |= response.fields;
            std::mem::take(entries).iter().for_each(|entry| floor.raise(entry.last_seen()));
        }
        let Some((key, name)) = response.seen.request.content(*fields).zip(response.name) else {
            floor.raise(now);
            for entry in entries.iter_mut().filter(|entry| entry.is_near(response)) {
                (entry.date, entry.name) = (floor.generate(now), entry.name & !FLAGS);
            }
            return DateEvidence::DOUBT;
        };
        // The entry of this key. If there is none, the entry that was sent longest ago.
        let place = entries.iter_mut().min_by_key(|entry| (entry.key != key, entry.last_seen()));
        let Some(entry) = place else { return DateEvidence::DOUBT };
        let is_present = entry.key == key;
        if is_present && response.given.is_some_and(|given| entry.name & !FLAGS == named(given)) {
            // A tag becomes known for content that had none.
            entry.name = name | entry.name & FLAGS;
        } else if !entry.holds(key, name) {
            floor.raise(entry.last_seen());
            let is_older = |given: u32| !is_present && given.saturating_add(1) < *earliest;
            let believed = response.given.filter(|given| floor.0 < *given || is_older(*given));
            entry.name = if believed.is_some() { name | HANDLERS } else { name };
            entry.date = believed.unwrap_or_else(|| floor.generate(now));
            entry.seen = AtomicU32::new(if is_present { entry.last_seen() } else { now });
            entry.key = key;
        }
        if !entry.is_as_given(response) {
            entry.name ^= UNKNOWN;
        }
        entry.send(response)
    }
}

#[derive(Clone, Copy, Default)]
struct Floor(u32);

impl Floor {
    /// Raises the floor above a second in which content was sent.
    fn raise(&mut self, sent: u32) {
        self.0 = self.0.max(sent.saturating_add(1));
    }

    /// Generates a date.
    fn generate(&mut self, now: u32) -> u32 {
        let date = now.max(self.0.saturating_add(1));
        // Above the floor the date is safe for its own key. Raising the floor gives
        // other keys other dates, which helps caches that ask about another variant.
        // Deliberately bounded: otherwise content that changes at each of many requests
        // would move the floor, and all dates of the bucket, far into the future.
        if date <= now.saturating_add(AHEAD) {
            self.0 = date;
        }
        date
    }
}

/// The current content of one key.
#[derive(Default)]
struct Entry {
    /// The upper half identifies the URI. The lower half also identifies the variant.
    key: u64,
    /// The hash of the tag with [`TAGGED`], or a date; and [`HANDLERS`].
    name: u64,
    date: u32,
    /// The last second in which the content was sent. Concurrent responses that change
    /// nothing else raise it.
    seen: AtomicU32,
}

impl Entry {
    fn last_seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }

    fn is_of(&self, request: &RequestKey) -> bool {
        (self.key ^ request.resource) & URI == 0
    }

    /// Returns true if the time of receipt of this response may be the date of this
    /// entry.
    fn is_near(&self, response: &Response<'_>) -> bool {
        self.is_of(response.seen.request) && self.date.abs_diff(response.now) <= 1
    }

    /// Returns false if the handler has started or stopped to give the date.
    fn is_as_given(&self, response: &Response<'_>) -> bool {
        let is_given = response.seen.given.is_some();
        self.name & HANDLERS == 0 || !response.seen.shows_date || is_given == self.is_known()
    }

    /// Returns true if the handler knows the date.
    fn is_known(&self) -> bool {
        self.name & FLAGS == HANDLERS
    }

    /// Returns true if the entry is the content with this name.
    fn holds(&self, key: u64, name: u64) -> bool {
        // The content was sent when its date was old enough to name only one content.
        let is_name = self.name & HANDLERS != 0 && self.date.saturating_add(2) <= self.last_seen();
        self.key == key && (self.name & !FLAGS == name || is_name && named(self.date) == name)
    }

    /// Records that the content is sent.
    fn send(&self, response: &Response<'_>) -> DateEvidence {
        let (given, now) = (response.seen.given, response.now);
        if self.last_seen() < now {
            self.seen.fetch_max(now, Ordering::Relaxed);
        }
        // Within the second of a handler's date, the content may change again with the
        // same date.
        let is_handlers = self.name & HANDLERS != 0;
        // The last second that an entry can hold is also used for all later ones, so it
        // names no content.
        let may_change = given.is_some() || is_handlers;
        let is_due = self.date.saturating_add(may_change.into()) < now.saturating_add(1);
        let date = HttpDate::from_unix_seconds(self.date.into());
        // If the layer is applied twice, a date that the inner layer generated is not
        // the handler's.
        let is_own = |given: u32| given <= now && (is_handlers || given != self.date);
        DateEvidence::Observed {
            unchanged_at: if is_due { date } else { None },
            changed_before: given.filter(|given| is_own(seconds(*given))),
        }
    }
}

/// Returns the name of content without a tag.
fn named(date: u32) -> u64 {
    u64::from(date) << 3
}

/// Returns the seconds since 1970. A date outside of the range becomes the nearer end
/// of the range, which is never sent.
fn seconds(date: HttpDate) -> u32 {
    u32::try_from(date.unix_seconds().max(0)).unwrap_or(u32::MAX)
}

/// Earlier dates are not real: Nix dates its files 1970, zip 1980, npm 1985.
pub(crate) const YEAR_1990: u32 = 631_152_000;
/// Room for 65,536 entries.
const BUCKETS: u64 = 1 << 13;
/// Buckets that are allocated together.
const GROUP: u64 = 128;
/// The half of a key that identifies the URI. With it a write finds all variants,
/// although its fields may differ from those of the reads. The other half of the hash
/// selects the bucket.
const URI: u64 = !0 << 32;
/// Flags of a name. `TAGGED`: it is the hash of a tag. `HANDLERS`: the handler gave the
/// date.
const TAGGED: u64 = 0b01;
const HANDLERS: u64 = 0b10;
/// In a name, with [`HANDLERS`]: the handler no longer gives that date.
const UNKNOWN: u64 = 0b100;
const FLAGS: u64 = HANDLERS | UNKNOWN;
/// How many seconds generated dates may be ahead of the clock because of other keys.
const AHEAD: u32 = 8;

#[cfg(test)]
mod tests;
