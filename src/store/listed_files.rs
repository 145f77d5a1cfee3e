//! Tags from a manifest, which lists files with the hashes of their contents.
//!
//! A line of the manifest has the hash that a file had when the manifest was made, but
//! the inner service sends the current file. To notice a change of the file, the layer
//! remembers the first validators that the inner service gives for it. A line becomes
//! invalid if the inner service later gives other validators, or if the content turns
//! out to have another hash. The layer then learns the tag, as for other files.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        atomic::{AtomicU64, AtomicU8, Ordering::Relaxed},
        Arc, OnceLock,
    },
};

use super::resource_key::Key;
use crate::rules::HttpDate;

/// What is known about a file, from its line in the manifest, and from
/// `Manifest::check` or `Manifest::verify` if the user called one of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileFacts {
    /// The SHA-256 of the file's content.
    pub(crate) hash: [u8; 32],
    /// The length in bytes, if the line has it or the file was compared with the line.
    pub(crate) length: Option<u64>,
    /// The second of the file's last change, if the file was compared with the line.
    pub(crate) modified: Option<HttpDate>,
    /// What is known at the start about whether the line matches the file.
    pub(crate) trust: Trust,
}

/// What is known about whether a line of the manifest matches the file.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Trust {
    /// The line was not compared with the file.
    Claimed,
    /// `Manifest::check` found that the file has the listed length, and is not newer
    /// than the manifest. A manifest may have no length or no date to compare with.
    Checked,
    /// The content was hashed, and has the hash of the line.
    Verified,
    /// The line is invalid: the file was changed, or the hash is wrong.
    Ended,
}

/// The listed files, by their paths below the root.
pub(crate) type FileList = HashMap<Arc<str>, FileFacts>;

/// The files of a manifest, and what one layer has seen of them.
pub(crate) struct ListedFiles {
    files: HashMap<Arc<str>, Arc<ListedFile>>,
    /// The prefix of request paths. The rest of a request path is the path of the file.
    prefix: Arc<str>,
    /// How many lines had a wrong hash.
    mismatches: AtomicU64,
}

/// A line of the manifest, and what one layer has seen of the file.
#[derive(Debug)]
pub(crate) struct ListedFile {
    name: Arc<str>,
    facts: FileFacts,
    /// The hash of the first validators that the inner service gave for the file.
    bound: OnceLock<Key>,
    /// A [`Trust`] as a number, which only grows.
    trust: AtomicU8,
}

impl ListedFiles {
    pub(crate) fn new(list: &FileList, prefix: &Arc<str>) -> Self {
        let files = list.iter().map(|(name, facts)| {
            let file = ListedFile {
                name: Arc::clone(name),
                facts: facts.clone(),
                bound: OnceLock::new(),
                trust: AtomicU8::new(facts.trust as u8),
            };
            (Arc::clone(name), Arc::new(file))
        });
        Self { files: files.collect(), prefix: Arc::clone(prefix), mismatches: AtomicU64::new(0) }
    }

    /// Returns the file that is sent for the request path `name` in this coding. With a
    /// coding, that is the compressed file, such as `app.js.gz`.
    pub(crate) fn find(&self, name: &str, coding: Option<&[u8]>) -> Option<&Arc<ListedFile>> {
        let name = name.strip_prefix(&*self.prefix)?;
        match coding {
            None => self.files.get(name),
            Some(coding) => {
                let (_, ending) =
                    CODINGS.iter().find(|(known, _)| coding.eq_ignore_ascii_case(known))?;
                self.files.get(&*format!("{name}{ending}"))
            }
        }
    }

    /// Returns all listed files that may be sent for the request path `name`.
    pub(crate) fn variants<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Arc<ListedFile>> {
        let codings = CODINGS.iter().map(|(coding, _)| Some(*coding));
        [None].into_iter().chain(codings).filter_map(|coding| self.find(name, coding))
    }

    /// Records that the content of a file was hashed, and whether the hash in the
    /// manifest is right. Returns true if this makes the line invalid.
    pub(crate) fn settle(&self, file: &ListedFile, is_right: bool) -> bool {
        if is_right {
            file.raise(Trust::Verified);
            return false;
        }
        let ends = file.raise(Trust::Ended) != Trust::Ended as u8;
        self.mismatches.fetch_add(u64::from(ends), Relaxed);
        ends
    }

    /// Returns how many lines had a wrong hash.
    pub(crate) fn mismatches(&self) -> u64 {
        self.mismatches.load(Relaxed)
    }
}

impl ListedFile {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.facts.hash
    }

    /// Returns true if the file's line in the manifest is valid for content with these
    /// validators.
    ///
    /// The first call remembers `validators`. The line becomes invalid for good if
    /// a later call has other validators, or if a call has another length or date
    /// than `facts`.
    pub(crate) fn holds_for(&self, validators: Key, date: Option<HttpDate>, length: u64) -> bool {
        let facts = &self.facts;
        let is_listed = facts.length.is_none_or(|listed| listed == length)
            && facts.modified.is_none_or(|listed| date == Some(listed));
        if !is_listed || *self.bound.get_or_init(|| validators) != validators {
            self.raise(Trust::Ended);
        }
        self.is_at_least(Trust::Claimed)
    }

    /// Returns true if the line is valid, and its trust is at least `trust`.
    pub(crate) fn is_at_least(&self, trust: Trust) -> bool {
        (trust as u8..Trust::Ended as u8).contains(&self.trust.load(Relaxed))
    }

    /// Returns true if the date of the file is at least two seconds old, or is
    /// not known.
    pub(crate) fn is_settled(&self, now: HttpDate) -> bool {
        self.facts.modified.is_none_or(|date| is_settled(date, now))
    }

    /// Raises the trust, and returns the previous one.
    fn raise(&self, trust: Trust) -> u8 {
        self.trust.fetch_max(trust as u8, Relaxed)
    }
}

impl fmt::Debug for ListedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedFiles").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

/// Returns true if a date is at least two seconds old.
///
/// Content that is written from now on has another date. So a tag that the inner
/// service makes from the date names one content only.
pub(crate) fn is_settled(date: HttpDate, now: HttpDate) -> bool {
    date.next_second().next_second() <= now
}

/// The codings for which file servers send a compressed file, and the extension of that
/// file's name.
const CODINGS: [(&[u8], &str); 4] =
    [(b"gzip", ".gz"), (b"br", ".br"), (b"zstd", ".zst"), (b"deflate", ".zz")];

#[cfg(test)]
mod tests {
    use super::*;

    fn files(prefix: &str, facts: FileFacts) -> ListedFiles {
        let list = [("a.js", facts.clone()), ("a.js.gz", facts.clone()), ("b/c", facts)];
        let list = list.map(|(name, facts)| (Arc::from(name), facts));
        ListedFiles::new(&list.into_iter().collect(), &prefix.into())
    }

    fn facts() -> FileFacts {
        FileFacts { hash: [7; 32], length: None, modified: None, trust: Trust::Claimed }
    }

    #[test]
    fn a_coding_names_a_file_of_its_own() {
        let files = files("assets/", facts());
        let name = |name, coding: Option<&str>| {
            files.find(name, coding.map(str::as_bytes)).map(|file| file.name().to_owned())
        };
        assert_eq!(name("assets/a.js", None).as_deref(), Some("a.js"));
        assert_eq!(name("assets/a.js", Some("gzip")).as_deref(), Some("a.js.gz"));
        assert_eq!(name("assets/b/c", None).as_deref(), Some("b/c"));
        for (path, coding) in [
            ("a.js", None),
            ("assets", None),
            ("assets/", None),
            ("assets/a.js", Some("br")),
            ("assets/a.js", Some("x")),
            ("assets/b/c", Some("gzip")),
        ] {
            assert_eq!(name(path, coding), None, "{path} {coding:?}");
        }
        assert_eq!(files.variants("assets/a.js").count(), 2);
        assert_eq!(files.variants("a.js").count(), 0);
    }

    #[test]
    fn the_first_validators_bind_and_others_end_it_for_good() {
        let files = files("", facts());
        let file = files.find("a.js", None).unwrap();
        assert!(file.holds_for(Key(1), None, 5) && file.holds_for(Key(1), None, 5));
        assert!(!file.holds_for(Key(2), None, 5));
        assert!(!file.holds_for(Key(1), None, 5), "it does not come back");
        assert!(!files.settle(file, true));
        assert!(!file.holds_for(Key(1), None, 5), "nor by a hash that comes late");
        assert_eq!(files.mismatches(), 0);
    }

    #[test]
    fn the_listed_length_and_date_must_agree() {
        let date = HttpDate::from_unix_seconds(1_000_000_000);
        let other = HttpDate::from_unix_seconds(1_000_000_001);
        for (seen, length, holds) in
            [(date, 5, true), (date, 6, false), (other, 5, false), (None, 5, false)]
        {
            let files = files("", FileFacts { length: Some(5), modified: date, ..facts() });
            let file = files.find("a.js", None).unwrap();
            assert_eq!(file.holds_for(Key(1), seen, length), holds);
            assert_eq!(file.holds_for(Key(1), date, 5), holds);
        }
    }

    #[test]
    fn a_wrong_hash_ends_an_entry_and_is_counted_once() {
        let files = files("", facts());
        let file = files.find("a.js", None).unwrap();
        assert!(file.holds_for(Key(1), None, 5) && !file.is_at_least(Trust::Checked));
        assert!(files.settle(file, false) && !files.settle(file, false));
        assert!(!file.holds_for(Key(1), None, 5) && !file.is_at_least(Trust::Claimed));
        assert_eq!(files.mismatches(), 1);
        let other = files.find("b/c", None).unwrap();
        assert!(!files.settle(other, true) && other.is_at_least(Trust::Verified));
    }
}
