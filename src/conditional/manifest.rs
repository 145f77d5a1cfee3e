//! A list of files with the hashes of their contents: tags that are known beforehand.

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

/// The SHA-256 hashes of files, known before the first request: see
/// [`InnerTags::manifest`](crate::InnerTags::manifest).
///
/// # The list
///
/// [`read`](Self::read) and `str::parse` take what `sha256sum` writes, a line for each
/// file. A column between hash and name may say the length in bytes; one space stands
/// before it, and two behind it:
///
/// ```text
/// 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  index.html
/// 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752 4096  app.js.gz
/// ```
///
/// Names are relative to the root of the file server. Binary mode (`*` before the
/// name), escaped names, `./`, empty lines and comments (`#`) are understood. A name
/// that is absolute, has a component `..`, or is not UTF-8 is an error, and so are two
/// hashes of one file. To make a list:
///
/// ```text
/// cd files && find . -type f ! -name SHA256SUMS -exec sha256sum {} + > SHA256SUMS
/// ```
///
/// # How far it is trusted
///
/// A wrong hash would be a wrong tag, so each entry holds for one content only: that
/// which the inner service names by the validators that it gives first for the file (a
/// strong tag, or its date and length). Other validators say that the file was changed.
/// Then the entry ends, and the tag is learned as for any other file.
///
/// | | before the content was hashed |
/// |---|---|
/// | not checked | 304 and whole content; no parts |
/// | [`check`](Self::check) | all, for the date and the length that the file had then |
/// | [`verify`](Self::verify) | it was hashed at the start |
///
/// The content is hashed once, when it is first sent as a whole, or in parts without a
/// gap. After that nothing is hashed. If the hash is another one, the entry ends, with
/// an event at level WARN (feature `tracing`), and
/// [`Stats::manifest_mismatches`](crate::Stats::manifest_mismatches) counts it. That
/// response had the wrong tag: only `verify` keeps a wrong list from being used at all.
///
/// A change that leaves both length and modification time as they were is not seen,
/// unless the inner service gives another tag. Deploy into a new folder, or restart.
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
    /// What the paths of requests start with, with a slash behind it.
    prefix: Arc<str>,
    /// When the list was made, if that is known.
    made: Option<SystemTime>,
}

impl Manifest {
    /// Reads a list from a file, such as `SHA256SUMS`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line of it is wrong: the error names both.
    pub fn read(list: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let list = list.as_ref();
        let read = || Ok((fs::metadata(list)?.modified().ok(), fs::read(list)?));
        let (made, text) = read().map_err(|error| ManifestError::io(list, error))?;
        Ok(Self { made, ..Self::parse(&text, &format!("{}:", list.display()))? })
    }

    /// Takes names and hashes, such as those of `rust_embed` or a build script.
    ///
    /// # Errors
    ///
    /// A name is not that of a file below the root, or has two hashes.
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
    /// The names of the list are compared with the path that comes to the layer. If the
    /// layer stands outside of the router or the `nest` that removes a prefix, name the
    /// prefix here.
    ///
    /// # Errors
    ///
    /// The prefix has a component `..`.
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

    /// Compares the list with the files below `root`, without reading them: each must be
    /// there, have the length that the list says, if it says one, and be no newer than
    /// the list. Remembers the length and the date of each.
    ///
    /// Files that were changed within the last two seconds are waited for, because
    /// another change within the same second could not be told from it. It blocks the
    /// thread: call it before the server starts.
    ///
    /// A list that was parsed or made of pairs has no date, and none is compared.
    ///
    /// # Errors
    ///
    /// A file does not agree with the list, or cannot be looked at: the error names it.
    pub fn check(self, root: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let made = self.made;
        self.compare(root.as_ref(), |path, facts, metadata| {
            if let (Some(made), Ok(modified)) = (made, metadata.modified()) {
                if modified > made {
                    return Err(ManifestError::of(path, "it is newer than the list"));
                }
            }
            facts.trust = facts.trust.max(Trust::Checked);
            Ok(())
        })
    }

    /// Hashes the files below `root` and compares them with the list. Remembers the
    /// length and the date of each, so that nothing is hashed later.
    ///
    /// It takes the time to read all of the files, and blocks the thread: call it
    /// before the server starts. Otherwise it is as [`check`](Self::check), but a file
    /// may be newer than the list.
    ///
    /// # Errors
    ///
    /// A file does not agree with the list, or cannot be read: the error names it.
    pub fn verify(self, root: impl AsRef<Path>) -> Result<Self, ManifestError> {
        self.compare(root.as_ref(), |path, facts, before| {
            let hash_between = || Ok((hash_of(path)?, settled(path)?));
            let (hash, after) = hash_between().map_err(|error| ManifestError::io(path, error))?;
            if hash != facts.hash {
                return Err(ManifestError::of(path, "its content has another hash"));
            }
            if before.len() != after.len() || before.modified().ok() != after.modified().ok() {
                return Err(ManifestError::of(path, "it is being changed"));
            }
            facts.trust = Trust::Verified;
            Ok(())
        })
    }

    /// Compares each file with what the list says of it.
    fn compare(
        mut self,
        root: &Path,
        agrees: impl Fn(&Path, &mut FileFacts, &fs::Metadata) -> Result<(), ManifestError>,
    ) -> Result<Self, ManifestError> {
        for (name, facts) in Arc::make_mut(&mut self.files) {
            let path = root.join(&**name);
            let metadata = settled(&path).map_err(|error| ManifestError::io(&path, error))?;
            if !metadata.is_file() {
                return Err(ManifestError::of(&path, "it is not a file"));
            }
            if facts.length.is_some_and(|length| length != metadata.len()) {
                return Err(ManifestError::of(&path, "its length is not that of the list"));
            }
            agrees(&path, facts, &metadata)?;
            facts.length = Some(metadata.len());
            facts.modified = metadata.modified().ok().map(HttpDate::nearest);
        }
        Ok(self)
    }

    /// Returns what a layer keeps of the list.
    pub(super) fn listed_files(&self) -> ListedFiles {
        ListedFiles::new(&self.files, &self.prefix)
    }

    /// `origin` is what an error says before the number of the line.
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

    /// Reads a list from its text, such as that of `include_str!`.
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

/// Why a [`Manifest`] cannot be used. `Display` says it, with the file and the line.
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

/// Adds a line of a list. The same line twice is no error.
fn add(files: &mut FileList, checksum: Checksum) -> Result<(), &'static str> {
    let Checksum { name, hash, length } = checksum;
    let facts = FileFacts { hash, length, modified: None, trust: Trust::Claimed };
    match files.entry(name.into()) {
        Entry::Vacant(entry) => drop(entry.insert(facts)),
        Entry::Occupied(entry) if *entry.get() == facts => {}
        Entry::Occupied(_) => return Err("the file is listed before, with another hash or length"),
    }
    Ok(())
}

/// Returns the metadata of a file once its last change is two seconds old.
///
/// One that is dated in the future is not waited for: a change would set another date.
fn settled(path: &Path) -> io::Result<fs::Metadata> {
    loop {
        let metadata = fs::metadata(path)?;
        let age = metadata.modified().ok().and_then(|date| system_time().duration_since(date).ok());
        match age.and_then(|age| SETTLED.checked_sub(age)) {
            Some(left) if !left.is_zero() => thread::sleep(left),
            _ => return Ok(metadata),
        }
    }
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

/// The date of a file names one content only if no other can have been written in the
/// same second.
const SETTLED: Duration = Duration::from_secs(2);
