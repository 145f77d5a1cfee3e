//! Learned tags that replicas share through a store: the keys in the store, the HMAC
//! that protects the values, and the pending requests to the store.
//!
//! A layer recognises content by keyed hashes. Without a store, the hash key is random.
//! Replicas that share tags derive the hash key from a secret of the application, so
//! all of them compute the same hashes. A key in the store is an HMAC of these hashes,
//! and reveals nothing about the resource. Without the secret, an attacker can compute
//! neither a key nor a value that is accepted.

use std::{
    collections::HashMap,
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc, Mutex, MutexGuard, PoisonError,
    },
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::resource_key::{Key, Keys};
use crate::rules::{EntityTag, HttpDate};

/// A store of small values that several servers use, for [`SharedTags`].
///
/// **The functions must neither block nor wait**, because the layer calls them while it
/// handles a request. Send the work to a task or thread through a bounded queue. If the
/// queue is full, drop the work. If an answer is missing or a value is lost, a response
/// may lack its tag, but no response is wrong. So a store may be slow, may be empty
/// after a restart, and may drop values.
///
/// The crate `tower-conditional-redis` implements this trait for Redis. This trait
/// needs the feature `shared-tags`.
///
/// # Examples
///
/// A store for tests, in memory:
///
/// ```
/// use std::{collections::HashMap, sync::Mutex};
///
/// use tower_conditional::{TagAnswer, TagStore};
///
/// #[derive(Default)]
/// struct InMemory(Mutex<HashMap<[u8; 32], Vec<u8>>>);
///
/// impl TagStore for InMemory {
///     fn ask(&self, key: [u8; 32], answer: TagAnswer) {
///         if let Some(value) = self.0.lock().unwrap().get(&key) {
///             answer.found(value);
///         }
///     }
///
///     fn publish(&self, key: [u8; 32], value: Vec<u8>) {
///         self.0.lock().unwrap().insert(key, value);
///     }
/// }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "shared-tags")))]
pub trait TagStore: Send + Sync + 'static {
    /// Asks for the value stored under `key`.
    ///
    /// Pass the value to [`TagAnswer::found`], at any time and from any thread. If
    /// there is no value, or if the store cannot be reached, drop `answer`. The layer
    /// asks for the same key again after five seconds at the earliest. At most 1,024
    /// requests are pending at a time.
    fn ask(&self, key: [u8; 32], answer: TagAnswer);

    /// Stores a value, of at most 256 bytes, under `key`.
    ///
    /// Each key has only one value, but several servers may publish it. Let values
    /// expire, because the layer never removes them.
    fn publish(&self, key: [u8; 32], value: Vec<u8>);
}

/// A callback through which a [`TagStore`] returns the value of one key.
#[cfg_attr(docsrs, doc(cfg(feature = "shared-tags")))]
#[must_use = "dropping it means that nothing was found"]
pub struct TagAnswer {
    question: Question,
    entry: [u8; 32],
    learn: Box<Learn>,
}

/// Called with the tag that was found, or with `None` if the value was rejected.
type Learn = dyn FnOnce(Option<EntityTag>) + Send + Sync;

impl TagAnswer {
    /// Gives the layer the value that is stored under the key.
    ///
    /// The value is verified. If no server with the same secret made it for this key,
    /// it is dropped and counted in
    /// [`Stats::shared_rejected`](crate::Stats::shared_rejected).
    pub fn found(mut self, value: &[u8]) {
        let counts = &self.question.shared.counts;
        let tag = self.question.shared.open(&self.entry, value);
        let counter = if tag.is_some() { &counts.found } else { &counts.rejected };
        counter.fetch_add(1, Relaxed);
        self.question.is_answered = tag.is_some();
        (self.learn)(tag);
    }
}

impl fmt::Debug for TagAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagAnswer").finish_non_exhaustive()
    }
}

/// Tags of large content that servers share through a [`TagStore`].
///
/// The first server that sends the content hashes it, and publishes the tag. The other
/// servers get the tag from the store.
///
/// See [`InnerTags::store`](crate::InnerTags::store). This type needs the feature
/// `shared-tags`.
///
/// Values are authenticated with HMAC-SHA-256. An attacker who can write to the store,
/// but does not know the secret, cannot make a value that is accepted. Such an attacker
/// can only remove or damage values, so that clients download content again. An
/// attacker who can read the store sees the tags, which are hashes of content. The
/// store does not show to which resources the tags belong.
#[cfg_attr(docsrs, doc(cfg(feature = "shared-tags")))]
#[derive(Clone)]
pub struct SharedTags(Arc<SharedTagsInner>);

struct SharedTagsInner {
    store: Box<dyn TagStore>,
    /// The key of the hashes by which content is recognised. It is the same on
    /// all replicas.
    hash_key: (u64, u64),
    naming: Hmac<Sha256>,
    sealing: Hmac<Sha256>,
    asked: Mutex<HashMap<ContentId, Asked>>,
    counts: Counts,
}

/// The key of the resource, and the fingerprint of its content.
pub(crate) type ContentId = (Key, Key);

/// When a tag was last requested from the store, and whether that request is pending.
#[derive(Clone, Copy)]
struct Asked {
    second: i64,
    is_open: bool,
}

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    found: AtomicU64,
    rejected: AtomicU64,
    published: AtomicU64,
}

/// The counters for [`Stats`](crate::Stats).
pub(crate) struct SharedCounts {
    pub(crate) asked: u64,
    pub(crate) found: u64,
    pub(crate) rejected: u64,
    pub(crate) published: u64,
}

impl SharedTags {
    /// Shares tags through `store`.
    ///
    /// All servers with the same namespace and secret share their tags. Their layers
    /// must also have the same [`digest`](crate::ConditionalLayer::digest) and
    /// [`key`](crate::ConditionalLayer::key). Otherwise they share nothing.
    ///
    /// The namespace is any text that identifies the content of these servers. If the
    /// inner service may give the same tag to other content after a deploy, include the
    /// number of the release. For example, `ServeDir` makes its tags from size and
    /// modification time, and container images and build tools often set one time for
    /// all files.
    ///
    /// The secret has at least 32 bytes that cannot be guessed, such as the output
    /// of `openssl rand -hex 32`. Keep it with your other secrets. After a change of
    /// the secret, the values in the store are useless, and the servers must learn
    /// all tags again.
    ///
    /// # Errors
    ///
    /// Fails if the secret is shorter than 32 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{collections::HashMap, sync::Mutex};
    /// # use tower_conditional::{TagAnswer, TagStore};
    /// # struct Redis;
    /// # impl TagStore for Redis {
    /// #     fn ask(&self, _: [u8; 32], _: TagAnswer) {}
    /// #     fn publish(&self, _: [u8; 32], _: Vec<u8>) {}
    /// # }
    /// use tower_conditional::{ConditionalLayer, InnerTags, SharedTags};
    ///
    /// # let secret = "0123456789abcdef0123456789abcdef";
    /// let tags = SharedTags::new("downloads", secret, Redis)?;
    /// let inner_tags = InnerTags::replace().store(tags);
    /// let layer = ConditionalLayer::new().inner_tags(inner_tags);
    /// # drop(layer);
    /// # Ok::<(), tower_conditional::SecretTooShort>(())
    /// ```
    pub fn new(
        namespace: &str,
        secret: impl AsRef<[u8]>,
        store: impl TagStore,
    ) -> Result<Self, SecretTooShort> {
        let secret = secret.as_ref();
        if secret.len() < LEAST_SECRET {
            return Err(SecretTooShort { length: secret.len() });
        }
        // For each purpose a separate key is derived, so that the output for one
        // purpose reveals nothing about another.
        let derive = |purpose: &str| {
            let mut mac = keyed(secret);
            for part in [DOMAIN, purpose, namespace] {
                mac.update(&(part.len() as u64).to_le_bytes());
                mac.update(part.as_bytes());
            }
            <[u8; 32]>::from(mac.finalize().into_bytes())
        };
        let hash_key = derive("hash");
        let word = |at: usize| {
            let bytes = hash_key.get(at..).and_then(<[u8]>::first_chunk);
            u64::from_le_bytes(*bytes.unwrap_or(&[0; 8]))
        };
        Ok(Self(Arc::new(SharedTagsInner {
            store: Box::new(store),
            hash_key: (word(0), word(8)),
            naming: keyed(&derive("name")),
            sealing: keyed(&derive("seal")),
            asked: Mutex::default(),
            counts: Counts::default(),
        })))
    }

    /// Makes the [`Keys`] of a layer, which are the same on all replicas.
    pub(crate) fn keys(&self) -> Keys {
        Keys::with_secret(self.0.hash_key)
    }

    /// Returns a request to the store, for the tag of `content`. `None` in these cases:
    ///
    /// - A request for this tag is pending, or was made in the last five seconds.
    /// - There are such requests for 1,024 other tags.
    pub(crate) fn question(&self, content: ContentId, now: HttpDate) -> Option<Question> {
        let second = now.unix_seconds();
        // A request whose second is in the future does not count as recent: the clock
        // was set back.
        let is_pending = |asked: &Asked| asked.is_open || asked.is_recent(second);
        let mut asked = self.0.asked();
        if asked.get(&content).is_some_and(is_pending) {
            return None;
        }
        if asked.len() >= MOST_ASKED {
            asked.retain(|_, asked| is_pending(asked));
            if asked.len() >= MOST_ASKED {
                return None;
            }
        }
        asked.insert(content, Asked { second, is_open: true });
        Some(Question { shared: Arc::clone(&self.0), content, is_answered: false })
    }

    /// Publishes a tag for the other replicas. `hash_of_nothing` is the hash of empty
    /// content. It identifies the hash function.
    pub(crate) fn publish(&self, content: ContentId, hash_of_nothing: &[u8], tag: &EntityTag) {
        let entry = self.0.entry(content, hash_of_nothing);
        self.0.counts.published.fetch_add(1, Relaxed);
        self.0.store.publish(entry, self.0.seal(&entry, tag));
    }

    pub(crate) fn counts(&self) -> SharedCounts {
        let counts = &self.0.counts;
        SharedCounts {
            asked: counts.asked.load(Relaxed),
            found: counts.found.load(Relaxed),
            rejected: counts.rejected.load(Relaxed),
            published: counts.published.load(Relaxed),
        }
    }
}

// A store that panics leaves no inconsistent state here.
impl UnwindSafe for SharedTags {}
impl RefUnwindSafe for SharedTags {}

impl fmt::Debug for SharedTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTags").finish_non_exhaustive()
    }
}

/// A request to the store, which is pending until it is dropped.
pub(crate) struct Question {
    shared: Arc<SharedTagsInner>,
    content: ContentId,
    is_answered: bool,
}

impl Question {
    /// Asks the store. If the store has a value, `learn` is called with the tag, or
    /// with `None` if the value is not valid.
    pub(crate) fn ask(
        self,
        hash_of_nothing: &[u8],
        learn: impl FnOnce(Option<EntityTag>) + Send + Sync + 'static,
    ) {
        let shared = Arc::clone(&self.shared);
        let entry = shared.entry(self.content, hash_of_nothing);
        shared.counts.asked.fetch_add(1, Relaxed);
        shared.store.ask(entry, TagAnswer { question: self, entry, learn: Box::new(learn) });
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut asked = self.shared.asked();
        if self.is_answered {
            // The layer has learned the tag. If the layer evicts the tag later, it may
            // request the tag again at once.
            asked.remove(&self.content);
        } else if let Some(asked) = asked.get_mut(&self.content) {
            asked.is_open = false;
        }
    }
}

impl Asked {
    fn is_recent(&self, second: i64) -> bool {
        (0..PAUSE).contains(&(second - self.second))
    }
}

impl SharedTagsInner {
    /// Returns the store's key for a content.
    fn entry(&self, (resource, fingerprint): ContentId, hash_of_nothing: &[u8]) -> [u8; 32] {
        let mut mac = self.naming.clone();
        mac.update(&resource.0.to_le_bytes());
        mac.update(&fingerprint.0.to_le_bytes());
        mac.update(hash_of_nothing);
        mac.finalize().into_bytes().into()
    }

    /// Makes the value of a tag: version, HMAC, and the bytes between the quotes.
    fn seal(&self, entry: &[u8; 32], tag: &EntityTag) -> Vec<u8> {
        let mac = self.seal_of(entry, tag.opaque()).finalize().into_bytes();
        [&[VERSION], &*mac, tag.opaque()].concat()
    }

    /// Returns the tag in a value, if a replica made the value for this key (`entry`).
    fn open(&self, entry: &[u8; 32], value: &[u8]) -> Option<EntityTag> {
        if value.len() > LARGEST {
            return None;
        }
        let (mac, opaque) = value.strip_prefix(&[VERSION])?.split_at_checked(MAC_LENGTH)?;
        // The comparison takes the same time for all values, so it reveals nothing to
        // an attacker.
        self.seal_of(entry, opaque).verify_slice(mac).ok()?;
        EntityTag::strong(opaque).ok()
    }

    fn seal_of(&self, entry: &[u8; 32], opaque: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.sealing.clone();
        mac.update(&[VERSION]);
        mac.update(entry);
        mac.update(opaque);
        mac
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<ContentId, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// The error for a [`SharedTags`] secret that is shorter than 32 bytes.
#[cfg_attr(docsrs, doc(cfg(feature = "shared-tags")))]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretTooShort {
    length: usize,
}

impl fmt::Display for SecretTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret has {} bytes, and must have at least {LEAST_SECRET}", self.length)
    }
}

impl std::error::Error for SecretTooShort {}

const DOMAIN: &str = "tower-conditional shared tags";
const VERSION: u8 = 1;
const LEAST_SECRET: usize = 32;
const MAC_LENGTH: usize = 32;
/// The maximum length of a value, in bytes. With a hash of 512 bits and a variant, a
/// value has 170 bytes.
const LARGEST: usize = 256;
/// The minimum time between two requests for a content, in seconds.
const PAUSE: i64 = 5;
const MOST_ASKED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl TagStore for Nowhere {
        fn ask(&self, _: [u8; 32], _: TagAnswer) {}

        fn publish(&self, _: [u8; 32], _: Vec<u8>) {}
    }

    fn tags() -> SharedTags {
        SharedTags::new("files", [7; 32], Nowhere).unwrap()
    }

    fn second(second: i64) -> HttpDate {
        HttpDate::from_unix_seconds(1_795_348_800 + second).unwrap()
    }

    fn content(number: u128) -> ContentId {
        (Key(number), Key(1))
    }

    #[test]
    fn no_more_than_1024_questions_are_remembered_and_none_is_asked_beyond() {
        let tags = tags();
        let open: Vec<_> = (0..1024).map(|i| tags.question(content(i), second(0))).collect();
        assert!(open.iter().all(Option::is_some));
        // However much time passes, no more requests are made, neither for pending
        // contents nor for new ones.
        for (number, now) in [(0, 0), (0, 60), (5000, 0), (5000, 60)] {
            assert!(tags.question(content(number), second(now)).is_none(), "{number} {now}");
        }
        drop(open);
        assert!(tags.question(content(5000), second(4)).is_none(), "all were asked just now");
        assert!(tags.question(content(5000), second(5)).is_some(), "and forgotten");
        assert_eq!(tags.0.asked().len(), 1);
    }

    #[test]
    fn the_form_of_keys_and_values_stays() {
        // If these values change, servers with the old and the new release share no
        // tags. Then the version in the value must change, too.
        let tags = tags();
        let entry = tags.0.entry(content(3), b"hash");
        let value = tags.0.seal(&entry, &EntityTag::strong("tag").unwrap());
        assert_eq!(tags.0.hash_key, HASH_KEY);
        assert_eq!(EntityTag::of(&[&entry[..], &value].concat()).opaque(), SEALED);
        assert_eq!(value.len(), 36);
    }

    /// This value and the next one were computed by another program.
    const HASH_KEY: (u64, u64) = (4_535_748_475_661_413_714, 6_262_840_333_555_967_374);
    const SEALED: &[u8] = b"1376e97a36344c4cf9dfcea21007160eca8d31cf5e9d7ba1996b30ebac1a0323";
}
