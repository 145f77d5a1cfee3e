//! The Last-Modified that can be trusted: what one resource's dates have meant so far.
//!
//! # What is decided
//!
//! A response comes with a tag, with a date of the inner service's (*given*), with both, or with a tag alone, for which a
//! date can be *minted*. What may a client's date prove about it?
//!
//! 1. A minted date is the second in which the present content was first seen, or the first second after all dates sent
//!    and all other content seen so far, whichever is later. It is sent once the clock has reached it, and never before
//!    (RFC 9110, 8.8.2.1); until then the content is *pending* and no date matches it.
//! 2. A client's date equal to a minted one proves that the content is unchanged. Any other date proves that it is not.
//! 3. A client's date equal to a given one proves the same, unless that date was seen with other content.
//! 4. A client's date later than the given one proves it too (the RFC's "not modified since"), but only if it is later
//!    than the last moment at which other content was seen, or may have been: before the memory began, or before
//!    anything in this shard was forgotten.
//!
//! # Why no 304 follows that is wrong
//!
//! *A minted date stands for exactly one content of its key.* It is greater than `last_sent`, which is the greatest date
//! sent for the key by this memory (given ones clamped to the clock), and sending it raises `last_sent` to it. So no two
//! contents are sent with one minted date while the entry lives. When the entry is forgotten, `last_sent` lives on in the
//! shard's watermark, from which new entries start; and the memory's own watermark starts at the second in which it was
//! made, which is no earlier than any date that its predecessor, reading the same clock, has sent. A client that sends a
//! minted date back therefore holds the one content that was sent with it, and if that date is still the present one, the
//! content has not changed in between: a change, even one that is undone, ends the date. Reading, deciding and sending
//! are one critical section of the shard, so no interleaving of responses comes between. A slow response that brings old
//! content late is a change, and a change back after it another. A client that sends the time at which it received a
//! response, in place of the date in it, is served too: in that second, other content was seen, so it is nobody's date.
//!
//! *A given date* is the inner service's word. What it is worth is checked against all dates sent for the key: `sent`
//! keeps the last few, and whether they were seen with one content or more; a date that may have been dropped from there
//! counts as seen with more. For rule 4, `others_seen` is the greatest of all moments and dates at which other content was
//! seen; up to there a later date proves nothing. So a rollback is safe: the client's
//! 10:00 belongs to the newer file, which was seen at 10:00 or later.
//!
//! What remains: other replicas, whose dates are unknown here (a minted one hits if both mint the same second for
//! different content; a given one is as good as the replicas' agreement); a clock that was set back across a restart; a
//! client that makes up a date which hits exactly; and an inner service that misleads a memory which cannot know better:
//! it gives one date to two contents of which the memory saw only one, or a date from the future before a restart, or
//! dates only now and then, so that one it gives after a restart is one that was minted before.

use crate::rules::{HttpDate, LastModified};

/// What one response shows of its resource.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sighting {
    /// Content with a tag (hashed), and a date if the inner service gave one.
    Tagged(u64, Option<HttpDate>),
    /// A date without a tag.
    Dated(HttpDate),
}

/// What the memory says of a response's modification date.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Modified {
    /// The inner service gave this date.
    Given {
        date: HttpDate,
        /// A client's date after this one may be compared by order, others only by equality.
        ordered_after: HttpDate,
        /// The date was seen with more than one content and proves nothing.
        muddled: bool,
    },
    /// This date was minted, and is being sent.
    Minted(HttpDate),
    /// A date will be minted; none may be sent yet.
    Pending,
}

impl Modified {
    /// Returns how a client's date is to be compared, the earliest of which is `asked`.
    pub(crate) fn last_modified(self, asked: Option<HttpDate>) -> LastModified {
        match self {
            Self::Given { muddled: true, .. } | Self::Pending => LastModified::Unsettled,
            Self::Given { date, ordered_after, .. } if asked > Some(ordered_after) => LastModified::Given(date),
            Self::Given { date, .. } | Self::Minted(date) => LastModified::FirstSeen(date),
        }
    }
}

/// What a shard knows of dates whose resources it has forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watermark {
    /// When the memory was made.
    start: HttpDate,
    /// Nothing forgotten was seen, or sent with a minted date, later.
    moment: HttpDate,
    /// Nothing forgotten was seen, or had any date, later.
    greatest: HttpDate,
}

impl Watermark {
    pub(super) fn new(start: HttpDate) -> Self {
        Self { start, moment: start, greatest: start }
    }

    pub(super) fn forget(&mut self, resource: &Resource) {
        self.moment = self.moment.max(resource.last_sent).max(resource.seen);
        self.greatest = self.greatest.max(self.moment).max(resource.greatest);
    }

    /// Returns true if `date` may have been sent for something forgotten.
    ///
    /// Dates from before the start are the inner service's own, of which nothing is known either way.
    fn covers(&self, date: HttpDate) -> bool {
        self.start < date && date <= self.moment
    }
}

/// The content of a resource, as far as it must be told from other content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Content {
    Tag(u64),
    /// No tag is known; the date stands in for it.
    Dated(HttpDate),
    /// More than one content.
    Several,
}

/// What is remembered of one resource.
#[derive(Debug)]
pub(super) struct Resource {
    content: Content,
    /// The date that the inner service gave last.
    given: Option<HttpDate>,
    /// The date minted for the present content, whether it was sent or not.
    assigned: HttpDate,
    /// The greatest date sent so far, as the clock stood.
    last_sent: HttpDate,
    /// The last moment at which anything was seen.
    seen: HttpDate,
    /// The greatest date that the inner service ever gave; not clamped.
    greatest: HttpDate,
    /// The greatest moment or date of other content than the present.
    others_seen: HttpDate,
    /// Dates sent, with their content.
    sent: [Option<(HttpDate, Content)>; SENT],
    /// The greatest date that `sent` had no more room for.
    dropped: Option<HttpDate>,
}

impl Resource {
    pub(super) fn new(sighting: Sighting, watermark: &Watermark, now: HttpDate) -> Self {
        Self {
            content: match sighting {
                Sighting::Tagged(tag, _) => Content::Tag(tag),
                Sighting::Dated(date) => Content::Dated(date),
            },
            given: None,
            assigned: now.max(watermark.moment.next_second()),
            last_sent: watermark.moment,
            seen: watermark.moment,
            greatest: watermark.greatest,
            others_seen: watermark.greatest,
            sent: [None; SENT],
            dropped: None,
        }
    }

    /// Takes in a response and says what its date is worth. `mint`: whether a date may be minted and sent.
    pub(super) fn see(
        &mut self,
        sighting: Sighting,
        mint: bool,
        watermark: &Watermark,
        now: HttpDate,
    ) -> Option<Modified> {
        let (content, given) = match sighting {
            Sighting::Tagged(tag, given) => (Content::Tag(tag), given),
            // Nothing says that the content changed.
            Sighting::Dated(date) if self.given == Some(date) => (self.content, Some(date)),
            Sighting::Dated(date) => (Content::Dated(date), Some(date)),
        };
        if given.is_some_and(|date| self.content == Content::Dated(date)) {
            // What was known by its date alone has got a name.
            self.rename(content);
        }
        if content != self.content {
            self.content = content;
            self.others_seen = self.seen.max(self.greatest);
            self.assigned = now.max(self.last_sent.max(self.seen).next_second());
        }
        self.given = given;
        self.seen = self.seen.max(now);
        self.greatest = self.greatest.max(given.unwrap_or(now));

        match given {
            Some(date) => {
                let muddled = self.send(date, watermark.covers(date));
                Some(Modified::Given { date, ordered_after: self.others_seen, muddled })
            }
            None if !mint => None,
            None if now < self.assigned => Some(Modified::Pending),
            None if self.send(self.assigned, false) => {
                // The inner service gave this very date to other content, before it was due.
                self.assigned = self.assigned.next_second();
                Some(Modified::Pending)
            }
            None => Some(Modified::Minted(self.assigned)),
        }
        .inspect(|modified| {
            if let Modified::Given { date, .. } | Modified::Minted(date) = *modified {
                // Clamped, or one date in 2099 would end all minted ones.
                self.last_sent = self.last_sent.max(date.min(now));
            }
        })
    }

    /// Records that `date` is sent with the present content, and returns true if it has been, or may have been, sent with
    /// other content.
    fn send(&mut self, date: HttpDate, maybe_before: bool) -> bool {
        if let Some((_, content)) = self.sent.iter_mut().flatten().find(|(sent, _)| *sent == date) {
            if *content != self.content {
                *content = Content::Several;
            }
            return *content == Content::Several;
        }
        let muddled = maybe_before || Some(date) <= self.dropped;
        let content = if muddled { Content::Several } else { self.content };
        // An empty place comes before all dates.
        if let Some(lowest) = self.sent.iter_mut().min_by_key(|place| place.map(|(date, _)| date)) {
            self.dropped = self.dropped.max(lowest.map(|(date, _)| date));
            *lowest = Some((date, content));
        }
        muddled
    }

    fn rename(&mut self, content: Content) {
        for (_, sent) in self.sent.iter_mut().flatten().filter(|(_, sent)| *sent == self.content) {
            *sent = content;
        }
        self.content = content;
    }
}

const SENT: usize = 3;

#[cfg(test)]
mod tests;
