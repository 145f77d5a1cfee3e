//! Last-Modified: the date that is sent with a response, and what a client's
//! date proves.
//!
//! A date is used as a name of content, like a tag. A client's date proves "unchanged"
//! only if it is equal to the date of the current content (RFC 9110, 13.1.3 allows
//! that). It proves "changed" only if it is earlier than the date that the handler gave
//! with this response. All other dates prove nothing: for a read they lead neither to a
//! 304 nor to a 412.
//!
//! # Memory
//!
//! The memory is an array of buckets, indexed by the hash of the URI. A bucket has
//! eight entries of 24 bytes, a date called `floor` (see below), and the set of request
//! fields that its responses named in `Vary`. A key is a URI with the values of these
//! fields. An entry describes the current content of one key. If all eight entries are
//! taken, a new key replaces the entry whose content was sent longest ago.
//!
//! # Invariant
//!
//! *Content is old if a response of the bucket had it, and no entry describes it any
//! more. `floor` is at least one second later than each second in which old content was
//! sent. No response has a date in the future.*
//!
//! So old content was never sent with a date greater than `floor`. It was also received
//! no later than `floor`, if each response is received in the second in which it is
//! sent, or in the next. A date greater than `floor` is thus safe as the name of the
//! current content. When other content replaces the current content, `floor` rises
//! above that date, so no later content of the key gets the date.
//!
//! The time of receipt matters because some clients send it, or the `Date` of the
//! response, instead of Last-Modified. `Date` may be written a second after the
//! evaluation, and the client's clock may be a second off. So `floor` has the extra
//! second.
//!
//! # Rules
//!
//! 1. `floor` starts as the second after the *start*, which is when this memory is
//!    created. When an entry is forgotten, `floor` is raised above its `seen`, the last
//!    second in which its content was sent.
//! 2. Content is named by its tag. Without a tag it is named by the handler's date, if
//!    that is in 1990 or later and at least two seconds old. Content is *unknown* if it
//!    has no such name, or if the fields in its `Vary` are not known. Contents whose
//!    known lengths differ are never the same. Otherwise a response has the content of
//!    an entry if both have the same name, and also in these cases:
//!    - The entry is named by a date. The response has the same date, and a tag. The
//!      tag becomes the name of the entry.
//!    - The entry is named by a tag, and has a date of the handler that is at least two
//!      seconds before `seen`. The response has the same date, and no tag.
//! 3. A handler's date is accepted if it is in 1990 or later, not after now, and
//!    greater than `floor`, which rule 4 raises first. For a key without an entry,
//!    `floor` does not matter if the date is at least two seconds before the start:
//!    this layer has sent nothing so early. If the clock was set back, the earliest
//!    second that the bucket has seen counts instead of the start.
//! 4. New content raises `floor` above the `seen` of the content that it replaces. If
//!    the handler's date is accepted, it becomes the date of the content. Otherwise a
//!    date is generated: now, or the first second above `floor` if that is later.
//!    `floor` then rises to the generated date, so that other keys get other dates. It
//!    stays if that date is more than eight seconds after now, so that frequent changes
//!    do not move it far into the future. Content that is sent again keeps its date.
//! 5. Unknown content, failures and private answers, such as those with `Set-Cookie`,
//!    get no Last-Modified, and raise `floor` above now. If an entry of the same URI
//!    has a date within a second of now, the entry gets a new date. Otherwise a client
//!    could send the time at which it received such an answer, and that time could
//!    equal the date of the entry. A field that is new in `Vary` makes the bucket
//!    forget all its entries.
//! 6. A generated date is sent from its own second on, if the handler gives no date
//!    with this response. Any other date is sent only from the next second on: before
//!    that, the content may change again, and the handler may give the new content the
//!    same date.
//! 7. Some responses give the client no content that it could keep, so they are not
//!    recorded: the response to a HEAD that fails or has no tag, a 412 and a 416. A 304
//!    with a tag is recorded like content with this tag. A 304 without a tag counts as
//!    unknown content.
//! 8. An inner layer of this crate may *state* the date: it compares the dates of
//!    clients itself, and passes its own date to this layer in an extension of the
//!    response. The entry then records only that the date is stated, and this layer
//!    compares no date. If the inner layer later states no date, the response counts as
//!    new content.
//!
//! Most responses change nothing, or only `seen`, so they are handled under the shared
//! lock. A response that changes more is evaluated again under the exclusive lock. The
//! clock is read while the lock is held. Otherwise a response could wait for the lock,
//! and then be recorded with a second that is already over.
//!
//! # What remains
//!
//! In these cases a date can still match other content:
//!
//! - Another replica generated the date.
//! - The clock was set back during a restart.
//! - The handler gave one date to two contents, and one of them was forgotten.
//! - The handler gave one date to two contents with different keys.
//! - The handler gave one date to two contents, one of them has no tag, and their
//!   lengths are not known to differ.
//! - A date or a time of receipt from before a restart equals a handler's date.
//! - The client invents the date, or ignores `Vary`.
//! - The client sends its time of receipt, and by its clock that is more than a second
//!   before or after the evaluation.

use std::sync::{
    atomic::{AtomicU32, Ordering},
    OnceLock, PoisonError, RwLock,
};

use super::resource_key::{Fields, RequestKey};
use crate::rules::{DateEvidence, HttpDate};

/// The dates of one layer's resources, in at most 2 MiB, which are allocated in steps
/// of 32 KiB.
pub(crate) struct Dates {
    /// The second in which this memory was created.
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
    /// The length of the content, if it is known.
    pub(crate) length: Option<u64>,
    /// True for a successful response to a GET. Only such a response shows whether the
    /// handler gives a date for this content.
    pub(crate) shows_date: bool,
    /// The fields in `Vary`. `None` if they are not known. Also `None` for failures and
    /// private answers, which get no date.
    pub(crate) varied: Option<Fields>,
    pub(crate) inside: Inside,
}

impl<'a> Observation<'a> {
    /// Makes the observation for content whose date an inner layer states (rule 8).
    pub(crate) fn stated(request: &'a RequestKey) -> Self {
        let (tag, given, length, varied) = (None, None, None, None);
        Self { request, tag, given, length, shows_date: true, varied, inside: Inside::States }
    }
}

/// What an inner layer of this crate does with the dates of a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Inside {
    /// There is no such layer, or it does nothing with dates. Only this layer generates
    /// dates.
    Nothing,
    /// It evaluates If-Unmodified-Since of writes against the date of its responses.
    Compares,
    /// It also states the date (rule 8), so this layer does not compare the date.
    States,
}

impl Dates {
    /// Makes an empty memory. Nothing is known about responses before `now`.
    pub(crate) fn new(now: HttpDate) -> Self {
        let groups = (0..BUCKETS / GROUP).map(|_| OnceLock::new()).collect();
        Self { start: seconds(now), groups }
    }

    /// Records a response, and returns what a client's date proves about it. The date
    /// that proves "unchanged" is also the date to send.
    #[inline]
    pub(crate) fn record(&self, seen: Observation<'_>, now: impl Fn() -> HttpDate) -> DateEvidence {
        let lock = self.bucket(seen.request);
        // This closure is called while the lock is held.
        let seen = || Response::new(seen, now());
        let same = lock.read().unwrap_or_else(PoisonError::into_inner).repeat(&seen());
        same.unwrap_or_else(|| lock.write().unwrap_or_else(PoisonError::into_inner).change(&seen()))
    }

    /// Returns true if the layer may have generated `date` for the resource.
    ///
    /// If so, a write with this date must be refused: the inner service does not know a
    /// generated date, and would ignore it or compare it with another date.
    ///
    /// Each entry of the resource has a date of one of three kinds:
    ///
    /// - Compared inside: an inner layer compares the dates of writes.
    /// - Given: the handler gave the date, and still gives it.
    /// - Generated: any other date, such as one that the handler no longer gives.
    ///
    /// The first case that applies gives the result:
    ///
    /// 1. True if `date` is the generated date of an entry.
    /// 2. False if the layer does not handle reads of the resource (`serves_reads()`):
    ///    it then generates no dates for it.
    /// 3. True if an entry has another generated date: earlier content may have had
    ///    `date`, also in an earlier process or on another replica.
    /// 4. False if `date` is the given date of an entry, or if the date of any entry is
    ///    compared inside.
    /// 5. True if `date` is between the start and `floor`: content that is forgotten by
    ///    now may have had it.
    /// 6. False in all other cases.
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
        let is_foreign = |entry: &DateEntry| {
            entry.is_compared_inside() || entry.is_known() && entry.date == date
        };
        let is_generated = |entry: &DateEntry| !entry.is_compared_inside() && !entry.is_known();
        let may_be = is_sent && !own().any(is_foreign) || own().any(is_generated);
        own().any(|entry| is_generated(entry) && entry.date == date) || may_be && serves_reads()
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder is less than its divisor")]
    fn bucket(&self, request: &RequestKey) -> &RwLock<Entries> {
        let place = request.resource % BUCKETS;
        let (floor, earliest) = (Floor(self.start.saturating_add(1)), self.start);
        let new = || Bucket(RwLock::new(Entries { floor, earliest, ..Entries::default() }));
        let make = || (0..GROUP).map(|_| new()).collect();
        &self.groups[(place / GROUP) as usize].get_or_init(make)[(place % GROUP) as usize].0
    }
}

/// A response, and the second in which it is evaluated.
struct Response<'a> {
    seen: Observation<'a>,
    /// The handler's date, if it is in 1990 or later, and not after now.
    given: Option<u32>,
    /// The name of its content (rule 2). `None` for unknown content, failures and
    /// private answers.
    name: Option<u64>,
    /// The length of its content, as the part [`LENGTH`] of a name.
    length: u64,
    /// The fields in `Vary`, if the content has a name.
    fields: Fields,
    now: u32,
}

impl<'a> Response<'a> {
    #[inline]
    fn new(seen: Observation<'a>, now: HttpDate) -> Self {
        let now = seconds(now);
        let given = seen.given.map(seconds).filter(|given| (YEAR_1990..=now).contains(given));
        let dated = given.filter(|given| given.saturating_add(2) <= now).map(named);
        let length = seen.length.map_or(0, length_in_name);
        let tag = seen.tag.map(|tag| tag & !(FLAGS | LENGTH) | TAGGED);
        let name = seen.varied.and(tag.or(dated)).map(|name| name | length);
        let fields = name.and(seen.varied).unwrap_or_default();
        if seen.inside == Inside::States {
            return Self { seen, given: None, name: Some(STATED), length: 0, fields: 0, now };
        }
        Self { seen, given, name, length, fields, now }
    }

    /// Returns true if an inner layer compares clients' dates with the date of this
    /// response.
    fn is_compared_inside(&self) -> bool {
        match self.seen.inside {
            Inside::Nothing => false,
            Inside::Compares => self.seen.given.is_some(),
            Inside::States => true,
        }
    }
}

/// Aligned to 64 bytes, so that two buckets do not share a cache line.
#[repr(align(64))]
struct Bucket(RwLock<Entries>);

#[derive(Default)]
struct Entries {
    floor: Floor,
    /// The earliest second of the clock that this bucket has seen, including the start.
    earliest: u32,
    /// All fields that responses of this bucket named in `Vary`.
    fields: Fields,
    entries: [DateEntry; 8],
}

impl Entries {
    /// Handles a response that changes only `seen`, or nothing. Returns `None` for any
    /// other response.
    #[inline]
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

    /// Handles a response that changes more than `seen`.
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
                entry.date = floor.generate(now);
                entry.name &= !(HANDLERS | UNKNOWN);
            }
            return DateEvidence::DOUBT;
        };
        // Take the entry of this key, or else the entry whose content was sent
        // longest ago.
        let place = entries.iter_mut().min_by_key(|entry| (entry.key != key, entry.last_seen()));
        let Some(entry) = place else { return DateEvidence::DOUBT };
        let is_present = entry.key == key;
        let is_its_date = |given| is_same(entry.name, named(given) | response.length);
        if is_present && response.given.is_some_and(is_its_date) {
            // A tag becomes known for content that had none.
            entry.name = name | entry.name & (FLAGS | LENGTH);
        } else if !entry.holds(key, name) {
            floor.raise(entry.last_seen());
            let is_older = |given: u32| !is_present && given.saturating_add(1) < *earliest;
            let believed = response.given.filter(|given| floor.0 < *given || is_older(*given));
            (entry.name, entry.date) = match believed {
                _ if name == STATED => (name, NEVER),
                Some(given) => (name | HANDLERS, given),
                None => (name, floor.generate(now)),
            };
            entry.seen = AtomicU32::new(if is_present { entry.last_seen() } else { now });
            entry.key = key;
        }
        entry.name = entry.name_given(response);
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

    fn generate(&mut self, now: u32) -> u32 {
        let date = now.max(self.0.saturating_add(1));
        // A date above the floor is safe for its own key. The floor is raised so that
        // other keys get other dates, because a cache may send the date of another
        // variant. The floor is raised only to a few seconds ahead of the clock.
        // Otherwise content that changes at each of many requests would move the floor,
        // and all dates of the bucket, far into the future.
        if date <= now.saturating_add(AHEAD) {
            self.0 = date;
        }
        date
    }
}

/// The current content of one key.
#[derive(Default)]
struct DateEntry {
    /// The upper half identifies the URI, and the lower half the variant of that URI.
    key: u64,
    /// The name of the content (rule 2): the hash of its tag, marked by the flag
    /// [`TAGGED`]; or its date; or [`STATED`], if an inner layer states the date (rule
    /// 8). It also has the [`LENGTH`] of the content, if that is known. [`HANDLERS`],
    /// [`UNKNOWN`] and [`INSIDE`] are further flags.
    name: u64,
    date: u32,
    /// The last second in which the content was sent. Atomic, because responses that
    /// change nothing else raise it under the shared lock.
    seen: AtomicU32,
}

impl DateEntry {
    fn last_seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }

    fn is_of(&self, request: &RequestKey) -> bool {
        (self.key ^ request.resource) & URI == 0
    }

    /// Returns true if the response has the URI of this entry, and a client may receive
    /// the response in the second of this entry's date.
    fn is_near(&self, response: &Response<'_>) -> bool {
        self.is_of(response.seen.request) && self.date.abs_diff(response.now) <= 1
    }

    /// Returns true if the flags of this entry are those that the response shows.
    fn is_as_given(&self, response: &Response<'_>) -> bool {
        self.name == self.name_given(response)
    }

    /// Returns the name of this entry with what the response shows: whether the handler
    /// still gives a date, whether an inner layer compares it, and the length.
    #[inline]
    fn name_given(&self, response: &Response<'_>) -> u64 {
        if !response.seen.shows_date {
            return self.name;
        }
        let is_unknown = self.name & HANDLERS != 0 && response.seen.given.is_none();
        let unknown = if is_unknown { UNKNOWN } else { 0 };
        let inside = if response.is_compared_inside() { INSIDE } else { 0 };
        let length = if self.name & LENGTH == 0 { response.length } else { 0 };
        self.name & !(UNKNOWN | INSIDE) | unknown | inside | length
    }

    /// Returns true if the handler gave the date, and still gives it.
    fn is_known(&self) -> bool {
        self.name & (HANDLERS | UNKNOWN) == HANDLERS
    }

    /// Returns true if an inner layer compares the date that a write sends.
    fn is_compared_inside(&self) -> bool {
        self.name & INSIDE != 0
    }

    /// Returns true if the content of the entry has this key and this name.
    fn holds(&self, key: u64, name: u64) -> bool {
        // The date also names the content, if it was old enough when the content was
        // last sent (rule 2).
        let is_name = self.name & HANDLERS != 0 && self.date.saturating_add(2) <= self.last_seen();
        let by_date = || named(self.date) | self.name & LENGTH;
        self.key == key && (is_same(self.name, name) || is_name && is_same(by_date(), name))
    }

    /// Records that the content is sent.
    fn send(&self, response: &Response<'_>) -> DateEvidence {
        let (given, now) = (response.seen.given, response.now);
        if self.last_seen() < now {
            self.seen.fetch_max(now, Ordering::Relaxed);
        }
        // During the second of a handler's date, the content may change again and
        // keep that date.
        let is_handlers = self.name & HANDLERS != 0;
        // The last second that fits into an entry also stands for all later seconds, so
        // it names no content.
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

/// Returns the name of content that has this date, no tag, and no known length.
fn named(date: u32) -> u64 {
    u64::from(date) << 4
}

/// Returns a length as the part [`LENGTH`] of a name. Two lengths in 65,536 have the
/// same part.
fn length_in_name(length: u64) -> u64 {
    // Fibonacci hashing. 0 stands for a length that is not known.
    (length.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48).max(1) << 48
}

/// Returns true if two names are of the same content: of the same tag or date, and of
/// the same length, if both lengths are known.
#[inline]
fn is_same(one: u64, other: u64) -> bool {
    let differences = (one ^ other) & !FLAGS;
    let is_of_one_length = differences & LENGTH == 0 || one & LENGTH == 0 || other & LENGTH == 0;
    differences & !LENGTH == 0 && is_of_one_length
}

/// Returns the seconds since 1970. A date outside of the range of `u32` becomes the
/// first or last second of that range. Neither of these is ever sent.
fn seconds(date: HttpDate) -> u32 {
    u32::try_from(date.unix_seconds().max(0)).unwrap_or(u32::MAX)
}

/// The first second of 1990. Earlier dates name no content, because tools give them to
/// files of any content: Nix 1970, zip 1980, npm 1985.
pub(crate) const YEAR_1990: u32 = 631_152_000;
/// The number of buckets, for 65,536 entries.
const BUCKETS: u64 = 1 << 13;
/// The number of buckets that are allocated together.
const GROUP: u64 = 128;
/// The half of a key that identifies the URI. A write compares only this half: it
/// concerns all variants, and its request fields may differ from those of the reads.
/// The other half of the URI's hash selects the bucket.
const URI: u64 = !0 << 32;
/// Flags of a name. `TAGGED`: the name is the hash of a tag. `HANDLERS`: the handler
/// gave the date.
const TAGGED: u64 = 0b01;
const HANDLERS: u64 = 0b10;
/// A flag of a name, together with [`HANDLERS`]: the handler no longer gives that date.
const UNKNOWN: u64 = 0b100;
/// A flag of a name: an inner layer compares the date that a write sends.
const INSIDE: u64 = 0b1000;
const FLAGS: u64 = HANDLERS | UNKNOWN | INSIDE;
/// The part of a name that is made from the length of the content. 0 if the length is
/// not known.
const LENGTH: u64 = 0xFFFF << 48;
/// The name of all content whose date an inner layer states. No other content has it.
const STATED: u64 = 0;
/// The date in the entry of such content: a second that is never sent.
const NEVER: u32 = u32::MAX;
/// How many seconds ahead of the clock a generated date may raise the floor.
const AHEAD: u32 = 8;

#[cfg(test)]
mod tests;
