//! Counters of what a layer did.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, AtomicU8, Ordering::Relaxed},
};

use crate::outcome::{Outcome, Reason};

/// Counters of what a layer has done so far.
///
/// See [`ConditionalLayer::stats`](crate::ConditionalLayer::stats),
/// [`PreconditionLayer::stats`](crate::PreconditionLayer::stats) and
/// [`WriteGuard::stats`](crate::WriteGuard::stats).
///
/// [`bytes_kept`](Self::bytes_kept) and [`bytes_buffered`](Self::bytes_buffered) are
/// current values. All other counters only grow. Counters of bytes count content,
/// without heads. For a `PreconditionLayer`, all counters of bytes are 0. For a
/// `WriteGuard`, all except `bytes_buffered` are 0.
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct Stats {
    /// All requests that were answered, whatever the answer.
    pub served: u64,
    /// Responses that were sent with a tag from the layer.
    pub tagged: u64,
    /// Requests that the layer answered with 304 (Not Modified).
    pub not_modified: u64,
    /// Requests that the layer answered with 412 (Precondition Failed).
    pub precondition_failed: u64,
    /// Writes without a precondition that were answered with 428 (Precondition
    /// Required).
    pub precondition_required: u64,
    /// Requests that were refused because the state of the resource is not known.
    pub state_unavailable: u64,
    /// Responses (206 and 416) of the inner service that were not sent.
    ///
    /// They may be of another version than the one that the request names. The answer
    /// is 503 (Service Unavailable), or, for a browser, 307 (Temporary Redirect).
    pub parts_refused: u64,
    /// Writes that were refused with 413 (Content Too Large).
    pub content_too_large: u64,
    /// Writes that were refused with 408 (Request Timeout).
    ///
    /// The content of these writes arrived too slowly.
    pub content_too_slow: u64,
    /// Writes that were refused with 503 (Service Unavailable).
    ///
    /// These writes waited too long for other writes, or the guard already held too
    /// much content in memory.
    pub busy: u64,
    /// PUTs that were not run because their content was already stored.
    pub already_stored: u64,
    /// Requests that were forwarded by a
    /// [`PreconditionLayer`](crate::PreconditionLayer) or a
    /// [`WriteGuard`](crate::WriteGuard).
    pub proceeded: u64,
    /// Bytes of content that were not sent because the layer answered 304. Content of
    /// unknown length counts as 0 bytes.
    pub bytes_not_sent: u64,
    /// Bytes that were hashed to make tags.
    pub bytes_hashed: u64,
    /// Bytes that were not hashed, because the content was the same as in the last
    /// response for the resource.
    pub bytes_compared: u64,
    /// Bytes that are in the [content
    /// cache](crate::ConditionalLayer::content_cache) now.
    ///
    /// Each content in the cache counts as its length plus 512 bytes.
    pub bytes_kept: u64,
    /// Bytes of content that was read ahead and is still in memory: at most 64 MiB.
    ///
    /// For a `ConditionalLayer`, this is the content of responses that are not yet
    /// sent. For a `WriteGuard`, it is the content of requests. Content of at most 64
    /// KiB, and content in a single frame, is not counted.
    pub bytes_buffered: u64,
    /// How often a response named a field in `Vary` that the layer cannot remember.
    ///
    /// The layer remembers `Accept`, `Accept-Encoding`, `Accept-Language`, `Origin`,
    /// and the first 12 other fields that responses name. A response that names a
    /// further field gets no date.
    pub unknown_vary: u64,
    /// Files whose hash differs from the hash in the [manifest](crate::Manifest).
    ///
    /// The layer compares the hashes after it has sent the whole file.
    pub manifest_mismatches: u64,
    /// How often the store of [shared tags](crate::InnerTags::store) was asked for
    /// a tag.
    pub shared_asked: u64,
    /// Tags that were found in the store of shared tags.
    pub shared_found: u64,
    /// Values from the store of shared tags that were rejected. They were not made by a
    /// server with the same secret, or not for the key that was asked for.
    ///
    /// A count above 0 means that a value was damaged, or that another program writes
    /// to the store.
    pub shared_rejected: u64,
    /// Tags that were written to the store of shared tags.
    pub shared_published: u64,
    left_alone: [u64; Reason::ALL.len()],
}

impl Stats {
    /// Returns the number of requests whose outcome is
    /// [`LeftAlone`](crate::Outcome::LeftAlone), for each reason.
    pub fn left_alone(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().zip(self.left_alone)
    }
}

impl fmt::Debug for Stats {
    /// Writes the counters, and the reasons that occurred at least once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stats = f.debug_struct("Stats");
        stats
            .field("served", &self.served)
            .field("tagged", &self.tagged)
            .field("not_modified", &self.not_modified)
            .field("precondition_failed", &self.precondition_failed)
            .field("precondition_required", &self.precondition_required)
            .field("state_unavailable", &self.state_unavailable)
            .field("parts_refused", &self.parts_refused)
            .field("content_too_large", &self.content_too_large)
            .field("content_too_slow", &self.content_too_slow)
            .field("busy", &self.busy)
            .field("already_stored", &self.already_stored)
            .field("proceeded", &self.proceeded)
            .field("bytes_not_sent", &self.bytes_not_sent)
            .field("bytes_hashed", &self.bytes_hashed)
            .field("bytes_compared", &self.bytes_compared)
            .field("bytes_kept", &self.bytes_kept)
            .field("bytes_buffered", &self.bytes_buffered)
            .field("unknown_vary", &self.unknown_vary)
            .field("manifest_mismatches", &self.manifest_mismatches)
            .field("shared_asked", &self.shared_asked)
            .field("shared_found", &self.shared_found)
            .field("shared_rejected", &self.shared_rejected)
            .field("shared_published", &self.shared_published);
        let met = self.left_alone().filter(|(_, count)| *count > 0);
        stats
            .field(
                "left_alone",
                &met.map(|(reason, count)| (reason.to_string(), count)).collect::<BTreeMap<_, _>>(),
            )
            .finish()
    }
}

/// The counters, which need no lock. Each thread counts in one of 16 slots, so that
/// threads rarely write to the same cache line.
#[derive(Default)]
pub(crate) struct Counters {
    slots: [Slot; SLOTS],
}

/// Counters of some threads. Aligned to two cache lines, because processors fetch cache
/// lines in pairs.
#[repr(align(128))]
#[derive(Default)]
struct Slot {
    tagged: AtomicU64,
    not_modified: AtomicU64,
    precondition_failed: AtomicU64,
    precondition_required: AtomicU64,
    state_unavailable: AtomicU64,
    parts_refused: AtomicU64,
    content_too_large: AtomicU64,
    content_too_slow: AtomicU64,
    busy: AtomicU64,
    already_stored: AtomicU64,
    proceeded: AtomicU64,
    bytes_not_sent: AtomicU64,
    bytes_hashed: AtomicU64,
    bytes_compared: AtomicU64,
    left_alone: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    /// Counts a request that was answered.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome) {
        let slot = self.slot();
        let counter = match outcome {
            Outcome::Tagged => &slot.tagged,
            Outcome::NotModified => &slot.not_modified,
            Outcome::PreconditionFailed => &slot.precondition_failed,
            Outcome::LeftAlone(reason) => match slot.left_alone.get(reason as usize) {
                Some(counter) => counter,
                None => return,
            },
            Outcome::PreconditionRequired => &slot.precondition_required,
            Outcome::StateUnavailable => &slot.state_unavailable,
            Outcome::PartRefused => &slot.parts_refused,
            Outcome::ContentTooLarge => &slot.content_too_large,
            Outcome::ContentTooSlow => &slot.content_too_slow,
            Outcome::Busy => &slot.busy,
            Outcome::AlreadyStored => &slot.already_stored,
            Outcome::Proceeded => &slot.proceeded,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn not_sent(&self, bytes: u64) {
        self.slot().bytes_not_sent.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn hashed(&self, bytes: u64) {
        self.slot().bytes_hashed.fetch_add(bytes, Relaxed);
    }

    #[inline]
    pub(crate) fn compared(&self, bytes: u64) {
        self.slot().bytes_compared.fetch_add(bytes, Relaxed);
    }

    /// Returns the sums over all slots, together with `bytes_kept`.
    pub(crate) fn sum(&self, bytes_kept: u64) -> Stats {
        let mut stats = Stats { bytes_kept, ..Stats::default() };
        for slot in &self.slots {
            let of = |counter: &AtomicU64| counter.load(Relaxed);
            stats.tagged += of(&slot.tagged);
            stats.not_modified += of(&slot.not_modified);
            stats.precondition_failed += of(&slot.precondition_failed);
            stats.precondition_required += of(&slot.precondition_required);
            stats.state_unavailable += of(&slot.state_unavailable);
            stats.parts_refused += of(&slot.parts_refused);
            stats.content_too_large += of(&slot.content_too_large);
            stats.content_too_slow += of(&slot.content_too_slow);
            stats.busy += of(&slot.busy);
            stats.already_stored += of(&slot.already_stored);
            stats.proceeded += of(&slot.proceeded);
            // A response may state any length, so this sum wraps, like the counters of the
            // slots.
            stats.bytes_not_sent = stats.bytes_not_sent.wrapping_add(of(&slot.bytes_not_sent));
            stats.bytes_hashed += of(&slot.bytes_hashed);
            stats.bytes_compared += of(&slot.bytes_compared);
            for (sum, counter) in stats.left_alone.iter_mut().zip(&slot.left_alone) {
                *sum += of(counter);
            }
        }
        let left_alone = stats.left_alone.iter().sum::<u64>();
        stats.served = stats.tagged
            + stats.not_modified
            + stats.precondition_failed
            + stats.precondition_required
            + stats.state_unavailable
            + stats.parts_refused
            + stats.content_too_large
            + stats.content_too_slow
            + stats.busy
            + stats.already_stored
            + stats.proceeded
            + left_alone;
        stats
    }

    #[inline]
    fn slot(&self) -> &Slot {
        thread_local! {
            static PLACE: Cell<Option<u8>> = const { Cell::new(None) };
        }
        let place = PLACE.get().unwrap_or_else(|| {
            static NEXT: AtomicU8 = AtomicU8::new(0);
            let place = NEXT.fetch_add(1, Relaxed);
            PLACE.set(Some(place));
            place
        });
        #[expect(clippy::indexing_slicing, reason = "a remainder is less than its divisor")]
        &self.slots[usize::from(place) % SLOTS]
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum(0).fmt(f)
    }
}

const SLOTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
        }
        let counters = Counters::default();
        for (times, reason) in Reason::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counters.count(Outcome::LeftAlone(reason)));
        }
        let stats = counters.sum(0);
        assert!(stats.left_alone().map(|(_, count)| count).eq(0..Reason::ALL.len() as u64));
    }

    #[test]
    fn nothing_that_threads_count_at_once_is_lost() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SLOTS {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counters.count(Outcome::NotModified);
                        counters.not_sent(7);
                    }
                });
            }
        });
        let stats = counters.sum(5);
        assert_eq!((stats.served, stats.not_modified), (32_000, 32_000));
        assert_eq!((stats.bytes_not_sent, stats.bytes_kept), (224_000, 5));
    }
    #[test]
    fn absurd_lengths_are_no_overflow() {
        let counters = Counters::default();
        for _ in 0..2 {
            std::thread::scope(|scope| scope.spawn(|| counters.not_sent(u64::MAX)).join()).unwrap();
        }
        assert_eq!(counters.sum(0).bytes_not_sent, u64::MAX - 1);
    }
}
