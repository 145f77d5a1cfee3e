//! A list of files with the hashes of their contents.

use std::{
    collections::hash_map::Entry,
    error, fmt, fs,
    io::{self, Read},
    path::Path,
    str::FromStr,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use crate::{
    clock::system_time,
    rules::{checksums, file_name, Checksum, HttpDate},
    store::{FileFacts, FileList, ListedFiles, Trust},
    validators::{Digest, Sha256},
};

/// A list of files with their SHA-256 hashes, made before the first request.
///
/// See [`InnerTags::manifest`](crate::InnerTags::manifest).
///
/// # The list
///
/// [`read`](Self::read) and `str::parse` take the output of `sha256sum`, one line for
/// each file. A column between hash and name may give the length in bytes, with one
/// space before it and two after it:
///
/// ```text
/// 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  index.html
/// 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752 4096  app.js.gz
/// ```
///
/// Names are relative to the root of the file server. A line may have a `*` before the
/// name (binary mode), a name that `sha256sum` has escaped, or a name that starts with
/// `./`. Empty lines and comments (`#`) are ignored. The list may be from Windows
/// (CRLF, a byte order mark). It is an error if a name is absolute, has a component
/// `..`, or is not UTF-8. It is also an error if two lines give one file different
/// hashes or lengths. To make a list:
///
/// ```text
/// cd files && find . -type f ! -name SHA256SUMS -exec sha256sum {} + > SHA256SUMS
/// ```
///
/// # How far the list is trusted
///
/// A hash is right only as long as the file does not change. So the layer remembers
/// the validators that the inner service gives first for a file: a strong tag, or date
/// and length. If the inner service gives other validators later, the file has
/// changed. The layer then ignores the line of this file, and learns the tag as for a
/// file without a line.
///
/// | | what the line of a file is used for until the layer has hashed the file |
/// |---|---|
/// | not checked | 304s and whole content, but no parts (206) |
/// | [`check`](Self::check) | everything, while date and length are as in the check |
/// | [`verify`](Self::verify) | everything: `verify` has hashed the file |
///
/// Without `verify`, the layer hashes each file once: when it first sends the whole
/// content, or all parts in order. If the hash differs from the list, the layer ignores
/// the line from then on. It emits an event at level WARN (feature `tracing`), and
/// counts the file in
/// [`Stats::manifest_mismatches`](crate::Stats::manifest_mismatches). The responses up
/// to then had a wrong tag. Only `verify` detects a wrong hash before it is used.
///
/// A change that keeps both length and modification time of a file is detected only if
/// the inner service gives the file another tag. So deploy into a new folder, or
/// restart the server.
///
/// # Examples
///
/// ```
/// use tower::Layer;
/// use tower_conditional::{ConditionalLayer, InnerTags, Manifest, ManifestError};
/// use tower_http::services::ServeDir;
///
/// # let root = std::env::temp_dir().join(format!("manifest-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&root).unwrap();
/// # let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
/// # let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
/// # std::fs::write(root.join("hello.txt"), "hello").unwrap();
/// # let file = std::fs::File::options().write(true).open(root.join("hello.txt")).unwrap();
/// # file.set_modified(long_ago).unwrap();
/// # std::fs::write(root.join("SHA256SUMS"), format!("{hash}  hello.txt\n")).unwrap();
/// let manifest = Manifest::read(root.join("SHA256SUMS"))?.check(&root)?;
/// let inner_tags = InnerTags::replace().manifest(manifest);
/// let layer = ConditionalLayer::new().inner_tags(inner_tags).ranges(true);
/// let files = layer.layer(ServeDir::new(&root));
/// # drop(files);
/// # std::fs::remove_dir_all(&root).unwrap();
/// # Ok::<(), ManifestError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Manifest {
    files: Arc<FileList>,
    /// The prefix of request paths, with a slash at the end.
    prefix: Arc<str>,
    /// When the list was made, if known.
    made: Option<SystemTime>,
}

impl Manifest {
    /// Reads a list from a file, such as `SHA256SUMS`.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or if a line is invalid. The error names the
    /// file and the line.
    pub fn read(list: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let list = list.as_ref();
        let read = || Ok((fs::metadata(list)?.modified().ok(), fs::read(list)?));
        let (made, text) = read().map_err(|error| ManifestError::io(list, error))?;
        Ok(Self { made, ..Self::parse(&text, &format!("{}:", list.display()))? })
    }

    /// Makes a list from names and hashes, such as those of `rust_embed`.
    ///
    /// # Errors
    ///
    /// Fails if a name is invalid, such as an absolute path or `..`, or if one name has
    /// two hashes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::Manifest;
    ///
    /// let hash = [0x2c; 32];
    /// let manifest = Manifest::from_pairs([("hello.txt", hash)])?;
    /// assert!(Manifest::from_pairs([("../hello.txt", hash)]).is_err());
    /// # drop(manifest);
    /// # Ok::<(), tower_conditional::ManifestError>(())
    /// ```
    pub fn from_pairs<N: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, [u8; 32])>,
    ) -> Result<Self, ManifestError> {
        let mut files = FileList::new();
        for (name, hash) in pairs {
            let name = name.as_ref();
            file_name(name)
                .map(|name| Checksum { name, hash, length: None })
                .and_then(|checksum| add(&mut files, checksum))
                .map_err(|problem| ManifestError::new(format!("{name:?}: {problem}")))?;
        }
        Ok(Self { files: Arc::new(files), ..Self::default() })
    }

    /// Sets the prefix under which the files are served. Default: none.
    ///
    /// The layer compares the names in the list with the path of the request. If a
    /// router or `nest` inside the layer removes a prefix from the path, set that
    /// prefix here, without percent escapes.
    ///
    /// # Errors
    ///
    /// Fails if the prefix has a component `..`.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::Router;
    /// use tower_conditional::{ConditionalLayer, InnerTags, Manifest};
    /// use tower_http::services::ServeDir;
    ///
    /// let manifest = Manifest::from_pairs([("app.js", [7; 32])])?.under("/assets")?;
    /// let inner_tags = InnerTags::replace().manifest(manifest);
    /// let app: Router = Router::new()
    ///     .nest_service("/assets", ServeDir::new("files"))
    ///     .layer(ConditionalLayer::new().inner_tags(inner_tags));
    /// # drop(app);
    /// # Ok::<(), tower_conditional::ManifestError>(())
    /// ```
    pub fn under(self, prefix: &str) -> Result<Self, ManifestError> {
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            name => file_name(name)
                .map(|name| name + "/")
                .map_err(|problem| ManifestError::new(format!("prefix {prefix:?}: {problem}")))?,
        };
        Ok(Self { prefix: prefix.into(), ..self })
    }

    /// Compares the list with the metadata of the files below `root`.
    ///
    /// Each file must exist, and must not be newer than the list. If the list gives a
    /// length, the file must have it. The manifest remembers the length and the date of
    /// each file. If a file is later sent with another length or date, the layer
    /// ignores its line.
    ///
    /// If a file was changed within the last two seconds, `check` waits until the
    /// change is two seconds old. Otherwise another change within the same second could
    /// not be detected. `check` fails if the file is changed again meanwhile. Waiting
    /// blocks the thread, so call `check` before the server starts.
    ///
    /// A list from `str::parse` or [`from_pairs`](Self::from_pairs) has no date. With
    /// such a list, `check` cannot detect that a file is newer than the list.
    ///
    /// # Errors
    ///
    /// Fails if a file does not meet these conditions, or if its metadata cannot be
    /// read. The error names the file.
    pub fn check(self, root: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let made = self.made;
        self.compare(root.as_ref(), |path, facts, metadata| {
            if let (Some(made), Ok(modified)) = (made, metadata.modified())
                && modified > made
            {
                return Err(ManifestError::of(path, "it is newer than the list"));
            }
            facts.trust = facts.trust.max(Trust::Checked);
            Ok(())
        })
    }

    /// Hashes the files below `root` and compares them with the list.
    ///
    /// The manifest remembers the length and the date of each file. The layer does not
    /// hash these files again while length and date are unchanged.
    ///
    /// This reads all of the files and blocks the thread, so call it before the server
    /// starts. Each file must meet the conditions of [`check`](Self::check), except
    /// that it may be newer than the list.
    ///
    /// # Errors
    ///
    /// Fails if the hash of a file differs from the list, if the file does not meet
    /// these conditions, or if it cannot be read. The error names the file.
    pub fn verify(self, root: impl AsRef<Path>) -> Result<Self, ManifestError> {
        self.compare(root.as_ref(), |path, facts, before| {
            let hash = hash_of(path).map_err(|error| ManifestError::io(path, error))?;
            let after = settled(path)?;
            if hash != facts.hash {
                return Err(ManifestError::of(path, "its hash differs from the list"));
            }
            if before.len() != after.len() || before.modified().ok() != after.modified().ok() {
                return Err(ManifestError::of(path, BEING_CHANGED));
            }
            facts.trust = Trust::Verified;
            Ok(())
        })
    }

    /// Compares each file below `root` with its line in the list. `agrees` does the
    /// part in which [`check`](Self::check) and [`verify`](Self::verify) differ.
    fn compare(
        mut self,
        root: &Path,
        agrees: impl Fn(&Path, &mut FileFacts, &fs::Metadata) -> Result<(), ManifestError>,
    ) -> Result<Self, ManifestError> {
        for (name, facts) in Arc::make_mut(&mut self.files) {
            let path = root.join(&**name);
            let metadata = settled(&path)?;
            if !metadata.is_file() {
                return Err(ManifestError::of(&path, "it is not a file"));
            }
            if facts.length.is_some_and(|length| length != metadata.len()) {
                return Err(ManifestError::of(&path, "its length differs from the list"));
            }
            agrees(&path, facts, &metadata)?;
            facts.length = Some(metadata.len());
            facts.modified = metadata.modified().ok().map(HttpDate::nearest);
        }
        Ok(self)
    }

    /// Returns the list as the map of files that a layer keeps.
    pub(super) fn listed_files(&self) -> ListedFiles {
        ListedFiles::new(&self.files, &self.prefix)
    }

    /// Parses a list. In errors, `origin` precedes the number of the line.
    fn parse(text: &[u8], origin: &str) -> Result<Self, ManifestError> {
        let mut files = FileList::new();
        for (number, checksum) in checksums(text) {
            checksum
                .and_then(|checksum| add(&mut files, checksum))
                .map_err(|problem| ManifestError::new(format!("{origin}{number}: {problem}")))?;
        }
        Ok(Self { files: Arc::new(files), ..Self::default() })
    }
}

impl FromStr for Manifest {
    type Err = ManifestError;

    /// Parses the text of a list, such as that of `include_str!`.
    fn from_str(text: &str) -> Result<Self, ManifestError> {
        Self::parse(text.as_bytes(), "line ")
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("files", &self.files.len())
            .field("under", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The error for a [`Manifest`] that cannot be used.
///
/// The message names the file, or the line, or both.
#[derive(Debug)]
pub struct ManifestError {
    message: String,
    cause: Option<io::Error>,
}

impl ManifestError {
    fn new(message: String) -> Self {
        Self { message, cause: None }
    }

    fn of(path: &Path, problem: &str) -> Self {
        Self::new(format!("{}: {problem}", path.display()))
    }

    fn io(path: &Path, cause: io::Error) -> Self {
        Self { message: path.display().to_string(), cause: Some(cause) }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manifest: {}", self.message)?;
        self.cause.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// Adds a line of a list. The same line may occur twice.
fn add(files: &mut FileList, checksum: Checksum) -> Result<(), &'static str> {
    let Checksum { name, hash, length } = checksum;
    let facts = FileFacts { hash, length, modified: None, trust: Trust::Claimed };
    match files.entry(name.into()) {
        Entry::Vacant(entry) => drop(entry.insert(facts)),
        Entry::Occupied(entry) if *entry.get() == facts => {}
        Entry::Occupied(_) => return Err("the file is already listed with another hash or length"),
    }
    Ok(())
}

/// Returns the metadata of a file once its last change is two seconds old. Fails if it
/// is changed meanwhile.
///
/// This does not wait for a file whose date is in the future. A change from now on sets
/// an earlier date, and is detected by that.
fn settled(path: &Path) -> Result<fs::Metadata, ManifestError> {
    let read = || fs::metadata(path).map_err(|error| ManifestError::io(path, error));
    let metadata = read()?;
    let age = metadata.modified().ok().and_then(|date| system_time().duration_since(date).ok());
    let left = age.and_then(|age| SETTLED.checked_sub(age)).unwrap_or_default();
    if left.is_zero() {
        return Ok(metadata);
    }
    thread::sleep(left);
    let later = read()?;
    if later.modified().ok() != metadata.modified().ok() {
        return Err(ManifestError::of(path, BEING_CHANGED));
    }
    Ok(later)
}

fn hash_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = fs::File::open(path)?;
    let (mut digest, mut buffer) = (Sha256::default(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finish()),
            Ok(bytes) => digest.update(buffer.get(..bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How old the last change of a file must be. A younger file may still get other
/// content with the same date.
const SETTLED: Duration = Duration::from_secs(2);

const BEING_CHANGED: &str = "it is being changed";
