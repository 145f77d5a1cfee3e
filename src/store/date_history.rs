//! The Last-ResponseDate that can be trusted: what one resource's dates have meant so
//! far.
//!
//! # What is decided
//!
//! A response comes with a tag, with a date of the inner service's (*given*), with
//! both, or with a tag alone, for which a date can be *generated*. What may a client's
//! date prove about it?
//!
//! 1. A generated date is the second in which the present content was first seen, or the
//!    first second after all dates sent, generated or given, and all other content seen so
//!    far, whichever is later. It is sent once the clock has reached it, and never
//!    before (RFC 9110, 8.8.2.1); until then the content is *pending* and no date
//!    matches it.
//! 2. A client's date equal to a generated one proves that the content is unchanged. Any
//!    other date proves that it is not.
//! 3. A client's date equal to a given one proves the same, unless that date was seen
//!    with other content.
//! 4. A client's date later than the given one proves it too (the RFC's "not modified
//!    since"), but only if it is later than the last moment at which other content was
//!    seen, or may have been: before this memory began, before anything in its shard
//!    was forgotten, or when a response was sent of which nothing is known.
//!
//! # Why no 304 follows that is wrong
//!
//! *A generated date stands for exactly one content of its resource.* It is greater than
//! `last_sent`, the greatest date sent for the resource by this memory, and sending it
//! raises `last_sent` to it: so nothing else was sent with it before, of
//! whatever variant, known or not. When the inner service gives it to something else
//! afterwards, it ends as if the content had changed, and no later one equals it. While
//! the resource is remembered, no two contents are sent with one generated date. When it
//! is forgotten, `last_sent` lives on in the shard's watermark, from which new
//! resources start; and the memory's own watermark starts at the second in which it was
//! made, which is no earlier than any date that its predecessor, reading the same
//! clock, has generated.
//!
//! Given dates may lie ahead of the clock: clocks differ, and local time is written as
//! GMT. `last_sent` follows them, and new dates wait until the clock has passed them.
//! But one date in 2099 must not end all generated ones. So a date given a day or more
//! before its time (more than any zone is off) counts as *absurd*, and only ends those
//! that are generated from its own second on, for its resource alone. Either way, no
//! generated date equals one that was given before.
//!
//! A client that sends a generated date back therefore holds the one content that was sent
//! with it, and if that date is still the present one, the content has not changed in
//! between: a change, even one that is undone, ends the date. Reading, deciding and
//! sending are one critical section of the shard, so no interleaving of responses comes
//! between. A slow response that brings old content late is a change, and a change back
//! after it another. A client that sends the time at which it received a response, in
//! place of the date in it, is served too: in that second, other content was
//! seen, so it is nobody's date.
//!
//! *A given date* is the inner service's word. What it is worth is checked against all
//! dates sent for the variant: `sent` keeps the last few, and whether they were seen
//! with one content or more; a date that may have been dropped from there
//! counts as seen with more. For rule 4, `others_seen` is the greatest of all moments
//! and dates at which other content was seen, and `floor` that of responses that are
//! not remembered; up to there a later date proves nothing. So a rollback is
//! safe: the client's 10:00 belongs to the newer file, which was seen at 10:00 or
//! later.
//!
//! *Variants* share `last_sent`, and have the rest of their own; for rule 4, another
//! variant is other content. A request belongs to the same variant each time: the
//! fields that tell them apart only ever become more, and then all variants are
//! forgotten as if the shard had done it.
//!
//! What remains: other replicas, whose dates are unknown here (a generated one hits if
//! both generate the same second for different content; a given one is as good as the
//! replicas' agreement); a clock that was set back across a restart; a client that
//! makes up a date which hits exactly, or sends one that was given for two variants;
//! and an inner service that misleads a memory which cannot know better. It gives one
//! date to two contents of which the memory saw only one, or has forgotten one, or saw
//! one without its tag. Or it gives a date from the future (8.8.2.1 forbids it), and
//! the process restarts, or the date is absurd and its resource forgotten. Or it dates
//! only now and then, and gives a date that was generated before a restart, or by another
//! layer.

use http::HeaderValue;

use super::resource_key::{Fields, RequestKey};
use crate::rules::{HttpDate, LastModified};

/// What one response shows of its resource.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observation {
    /// The tag, hashed.
    pub(crate) tag: Option<u64>,
    /// The date that the inner service gave.
    pub(crate) given: Option<HttpDate>,
    /// Whether a date may be generated and sent.
    pub(crate) generate: bool,
    /// The fields by which the response varies; `None` if they cannot be known.
    pub(crate) varied: Option<Fields>,
}

/// What the memory says of a response's modification date.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ResponseDate {
    /// The inner service gave it.
    Given(LastModified),
    /// This date was generated, and is being sent, as this text.
    Generated(HttpDate, HeaderValue),
    /// A date will be generated; none may be sent yet.
    Pending,
}

impl ResponseDate {
    /// Returns how a client's date compares with it.
    pub(crate) fn last_modified(&self) -> LastModified {
        match *self {
            Self::Given(given) => given,
            Self::Generated(date, _) => LastModified::FirstSeen(date),
            Self::Pending => LastModified::Unsettled,
        }
    }
}

/// What a shard knows of resources that it has forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watermark {
    /// When the memory was made.
    start: HttpDate,
    /// Nothing forgotten was seen, or sent with a generated date, later.
    moment: HttpDate,
}

impl Watermark {
    pub(super) fn new(start: HttpDate) -> Self {
        Self { start, moment: start }
    }

    pub(super) fn forget(&mut self, resource: &DateEntry) {
        let seen = resource.variants.iter().map(|variant| variant.seen).max();
        self.moment = self
            .moment
            .max(resource.last_sent)
            .max(resource.forgotten)
            .max(seen.unwrap_or(self.start));
    }

    /// Returns true if `date` may have been sent for something forgotten.
    ///
    /// Dates from before the start are the inner service's own, of which nothing is
    /// known either way.
    pub(super) fn covers(&self, date: HttpDate) -> bool {
        self.start < date && date <= self.moment
    }
}

/// What is remembered of one resource.
#[derive(Debug)]
pub(super) struct DateEntry {
    /// All fields by which its responses ever varied.
    varies_by: Fields,
    /// The one seen last comes first.
    variants: Vec<Variant>,
    /// The greatest date sent so far, generated or given, but for absurd ones.
    last_sent: HttpDate,
    /// The least date that was given a day or more before its time. From there on, none
    /// is generated.
    absurd: Option<HttpDate>,
    /// The inner service gave a date when one could have been generated last.
    is_given: bool,
    /// The first and the last date that was generated and sent.
    generated: Option<(HttpDate, HttpDate)>,
    /// The greatest moment or date of content that is not remembered.
    floor: HttpDate,
    /// The last moment at which content was seen that is not remembered.
    forgotten: HttpDate,
    /// The greatest date sent for a forgotten variant.
    lost: Option<HttpDate>,
    /// What was said last of a date.
    settled: Option<Settled>,
}

/// What was said of the date of a response. One more like it in the same second would
/// change nothing.
#[derive(Clone, Copy, Debug)]
struct Settled {
    second: HttpDate,
    given: Option<HttpDate>,
    said: LastModified,
}

impl DateEntry {
    /// `unknown` is the last moment at which a response was sent that may have been
    /// this resource's.
    pub(super) fn new(watermark: &Watermark, unknown: HttpDate) -> Self {
        Self {
            varies_by: 0,
            variants: Vec::new(),
            last_sent: watermark.moment,
            absurd: None,
            is_given: false,
            generated: None,
            floor: watermark.moment.max(unknown),
            forgotten: watermark.moment.max(unknown),
            lost: None,
            settled: None,
        }
    }

    /// Says what [`see`](Self::observe) would, if it would change nothing: the last
    /// response was like this one, in this very second.
    pub(super) fn observe_again(
        &self,
        request: &RequestKey,
        observation: Observation,
        now: HttpDate,
    ) -> Option<ResponseDate> {
        let Settled { second, given, said } = self.settled?;
        let variant = self.variants.first()?;
        let is_known = observation.varied? & !self.varies_by == 0;
        let is_same = observation.tag.map(ContentId::tagged) == Some(variant.content);
        if now != second || given != observation.given || !is_known || !is_same {
            return None;
        }
        if request.variant(self.varies_by) != Some(variant.fields) {
            return None;
        }
        match said {
            LastModified::FirstSeen(date) if observation.generate => {
                Some(ResponseDate::Generated(date, variant.sent_text()?))
            }
            LastModified::FirstSeen(_) => None,
            said => Some(ResponseDate::Given(said)),
        }
    }

    /// Takes in a response and says what its date is worth.
    pub(super) fn observe(
        &mut self,
        request: &RequestKey,
        observation: Observation,
        watermark: &Watermark,
        now: HttpDate,
    ) -> Option<ResponseDate> {
        self.settled = None;
        let Observation { tag, given, generate, varied } = observation;
        self.is_given = given.is_some() || self.is_given && !generate;
        let maybe_minted = given.is_some_and(|date| self.may_have_generated(date));
        let maybe_before = maybe_minted || given.is_some_and(|date| watermark.covers(date));
        if let Some(date) = given {
            self.spare(date, now);
        }
        let fields = varied.and_then(|varied| {
            self.vary_by(varied);
            request.variant(self.varies_by)
        });
        // A date that was generated for one content cannot name another.
        let content =
            tag.map(ContentId::tagged).or(given.filter(|_| !maybe_minted).map(ContentId::dated));
        let (Some(fields), Some(content)) = (fields, content) else {
            // Nobody knows what content this is of which variant.
            self.see_unknown(given, now);
            let worth = |date| {
                if maybe_before {
                    LastModified::Unsettled
                } else {
                    LastModified::FirstSeen(date)
                }
            };
            return given.map(|date| ResponseDate::Given(worth(date)));
        };

        self.put_first(fields, content, given, now);
        let [variant, others @ ..] = self.variants.as_mut_slice() else { return None };
        variant.observe(content, given, self.last_sent.max(self.forgotten), now);
        // A client may hold another variant.
        let mut others_seen = self.floor.max(variant.others_seen);
        for other in others {
            other.share(given);
            others_seen = others_seen.max(other.seen).max(other.greatest);
        }
        if let Some(date) = given {
            let unique = variant.send(date, maybe_before);
            let said = LastModified::Watched { date, since: others_seen, unique };
            self.settled = Some(Settled { second: now, given, said });
            return Some(ResponseDate::Given(said));
        }
        let date = variant.assigned;
        if !generate {
            return None;
        }
        if now < date || self.absurd.is_some_and(|absurd| absurd <= date) {
            return Some(ResponseDate::Pending);
        }
        variant.send(date, false);
        self.last_sent = self.last_sent.max(date);
        let (first, last) = self.generated.unwrap_or((date, date));
        self.generated = Some((first.min(date), last.max(date)));
        self.settled = Some(Settled { second: now, given, said: LastModified::FirstSeen(date) });
        Some(ResponseDate::Generated(date, variant.text()))
    }

    /// Sees to it that no date generated from now on equals one that the inner service
    /// gave.
    fn spare(&mut self, given: HttpDate, now: HttpDate) {
        if given.unix_seconds() - now.unix_seconds() < DAY {
            self.last_sent = self.last_sent.max(given);
        } else {
            self.absurd = Some(self.absurd.unwrap_or(given).min(given));
        }
    }

    /// Takes in a response that may have had any content.
    fn see_unknown(&mut self, given: Option<HttpDate>, now: HttpDate) {
        self.floor = self.floor.max(now).max(given.unwrap_or(now));
        self.forgotten = self.forgotten.max(now);
        for variant in &mut self.variants {
            variant.share(given);
            // A client may name the time of receipt.
            variant.share(Some(now));
        }
    }

    /// Returns true if the inner service dates this resource.
    pub(super) fn is_given(&self) -> bool {
        self.is_given
    }

    /// Returns true if `date` may have been generated for this resource.
    pub(super) fn may_have_generated(&self, date: HttpDate) -> bool {
        self.generated.is_some_and(|(first, last)| (first..=last).contains(&date))
    }

    /// Notes by which fields a response varies. If one is new, no request belongs to
    /// its old variant any more.
    fn vary_by(&mut self, fields: Fields) {
        if fields & !self.varies_by != 0 {
            self.varies_by |= fields;
            for variant in std::mem::take(&mut self.variants) {
                self.forget(&variant);
            }
        }
    }

    /// Puts the variant that these fields name before all others. A new one may push
    /// the last one out.
    fn put_first(
        &mut self,
        fields: u64,
        content: ContentId,
        given: Option<HttpDate>,
        now: HttpDate,
    ) {
        if let Some(place) = self.variants.iter().position(|variant| variant.fields == fields) {
            self.variants.get_mut(..=place).into_iter().for_each(|newer| newer.rotate_right(1));
            return;
        }
        if self.variants.len() >= VARIANTS {
            self.variants.pop().iter().for_each(|variant| self.forget(variant));
        }
        let new = Variant {
            fields,
            content,
            given,
            assigned: now,
            text: None,
            seen: now,
            greatest: now,
            others_seen: self.floor,
            sent: [None; SENT],
            dropped: self.lost,
        };
        // Most resources have one variant, and a `Vec` would make room for four.
        self.variants.reserve_exact(1);
        self.variants.insert(0, new);
    }

    fn forget(&mut self, variant: &Variant) {
        self.floor = self.floor.max(variant.seen).max(variant.greatest);
        self.forgotten = self.forgotten.max(variant.seen);
        let sent = variant.sent.iter().flatten().map(|(date, _)| *date).max();
        self.lost = self.lost.max(variant.dropped).max(sent);
    }
}

/// What is remembered of one variant of a resource.
#[derive(Debug)]
struct Variant {
    fields: u64,
    content: ContentId,
    /// The date that the inner service gave last.
    given: Option<HttpDate>,
    /// The date generated for the present content, whether it was sent or not.
    assigned: HttpDate,
    /// How that is written, once it was.
    text: Option<(HttpDate, HeaderValue)>,
    /// The last moment at which it was seen.
    seen: HttpDate,
    /// The greatest date that the inner service ever gave; not clamped.
    greatest: HttpDate,
    /// The greatest moment or date of other content than the present.
    others_seen: HttpDate,
    /// Dates sent, with their content.
    sent: [Option<(HttpDate, ContentId)>; SENT],
    /// The greatest date that `sent` had no more room for.
    dropped: Option<HttpDate>,
}

impl Variant {
    /// Takes in what content a response shows. Up to `last_used`, dates may stand for
    /// other content.
    fn observe(
        &mut self,
        content: ContentId,
        given: Option<HttpDate>,
        last_used: HttpDate,
        now: HttpDate,
    ) {
        // Nothing says that the content changed if a date that stands in for a tag did not.
        let is_named =
            !content.is_stand_in() || given != self.given || self.content == ContentId::SEVERAL;
        if is_named && given.is_some_and(|date| self.content == ContentId::dated(date)) {
            // What was known by its date alone has got a name.
            for (_, sent) in
                self.sent.iter_mut().flatten().filter(|(_, sent)| *sent == self.content)
            {
                *sent = content;
            }
            self.content = content;
        }
        if is_named && content != self.content {
            self.content = content;
            self.others_seen = self.others_seen.max(self.seen).max(self.greatest);
            self.assigned = now.max(self.seen.next_second());
        }
        if !self.is_out() {
            self.assigned = self.assigned.max(last_used.next_second());
        }
        if given.is_some() && self.given.is_none() {
            // Until now nobody asked what else was sent.
            self.others_seen = self.others_seen.max(now);
        }
        self.given = given;
        self.seen = self.seen.max(now);
        self.greatest = self.greatest.max(given.unwrap_or(now));
    }

    /// Takes in that a client may have this date with other content: if it was generated
    /// here, it ends.
    fn share(&mut self, given: Option<HttpDate>) {
        if Some(self.assigned) == given {
            self.content = ContentId::SEVERAL;
        }
    }

    /// Returns true if the generated date was sent.
    fn is_out(&self) -> bool {
        self.text.as_ref().is_some_and(|(date, _)| *date == self.assigned)
    }

    /// Returns the text of the generated date, if it was sent.
    fn sent_text(&self) -> Option<HeaderValue> {
        self.text.as_ref().filter(|(date, _)| *date == self.assigned).map(|(_, text)| text.clone())
    }

    /// Writes the generated date, once.
    fn text(&mut self) -> HeaderValue {
        match &self.text {
            Some((date, text)) if *date == self.assigned => text.clone(),
            _ => self.text.insert((self.assigned, self.assigned.into())).1.clone(),
        }
    }

    /// Records that `date` is sent with the present content. Returns true if it was,
    /// for certain, never sent with other content.
    fn send(&mut self, date: HttpDate, maybe_before: bool) -> bool {
        if let Some((_, content)) = self.sent.iter_mut().flatten().find(|(sent, _)| *sent == date) {
            if *content != self.content {
                *content = ContentId::SEVERAL;
            }
            return *content != ContentId::SEVERAL;
        }
        let unique = !maybe_before && Some(date) > self.dropped;
        let content = if unique { self.content } else { ContentId::SEVERAL };
        // An empty place comes before all dates.
        if let Some(lowest) = self.sent.iter_mut().min_by_key(|place| place.map(|(date, _)| date)) {
            self.dropped = self.dropped.max(lowest.map(|(date, _)| date));
            *lowest = Some((date, content));
        }
        unique
    }
}

/// The content of a representation, as far as it must be told from other content: an
/// odd number for a tag, an even one for a date that stands in for an unknown tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct ContentId(u64);

impl ContentId {
    /// More than one content.
    const SEVERAL: Self = Self(0);

    fn tagged(tag: u64) -> Self {
        Self(tag | 1)
    }

    fn dated(date: HttpDate) -> Self {
        Self(date.place() << 1)
    }

    fn is_stand_in(self) -> bool {
        self.0 & 1 == 0
    }
}

/// How many variants of a resource are remembered, and how many dates of a variant.
const VARIANTS: usize = 8;
const SENT: usize = 3;
/// In seconds.
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests;
