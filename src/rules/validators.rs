//! What the server knows of a representation
//! ([RFC 9110, section 8.8](https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8)).

use super::{EntityTag, HttpDate};

/// The state of the resource that a request is about, as far as preconditions ask for
/// it.
///
/// `Exists` does not say that there is a tag: `*` in If-Match and If-None-Match means
/// "there is a representation".
///
/// # Examples
///
/// ```
/// use tower_conditional::{EntityTag, Representation, Validators};
///
/// let saved = Some("v7");
/// let representation = match saved {
///     Some(version) => {
///         Representation::Exists(Validators::from(EntityTag::strong(version)?))
///     }
///     None => Representation::Missing,
/// };
/// # assert!(matches!(representation, Representation::Exists(_)));
/// # Ok::<(), tower_conditional::InvalidEntityTag>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Representation {
    /// There is none: a read would be answered 404, a PUT would create it.
    Missing,
    /// There is one, and these are its validators, as far as it has any.
    Exists(Validators),
    /// Nothing is known: preconditions are left to somebody else.
    Unknown,
}

impl From<Validators> for Representation {
    fn from(validators: Validators) -> Self {
        Self::Exists(validators)
    }
}

impl From<EntityTag> for Representation {
    fn from(tag: EntityTag) -> Self {
        Self::Exists(tag.into())
    }
}

impl From<&Self> for Representation {
    fn from(representation: &Self) -> Self {
        representation.clone()
    }
}

impl From<&Validators> for Representation {
    fn from(validators: &Validators) -> Self {
        validators.clone().into()
    }
}

impl From<&EntityTag> for Representation {
    fn from(tag: &EntityTag) -> Self {
        tag.clone().into()
    }
}

/// The validators of a representation; either may be absent.
///
/// # Examples
///
/// ```
/// use tower_conditional::{EntityTag, HttpDate, Validators};
///
/// let changed = HttpDate::from_unix_seconds(1_780_000_000).unwrap();
/// let validators =
///     Validators::new().etag(EntityTag::strong("v7")?).last_modified(changed);
/// # assert!(validators.etag.is_some() && validators.last_modified.is_some());
/// # Ok::<(), tower_conditional::InvalidEntityTag>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Validators {
    /// The entity tag; `None`: the representation has none, and only `*` matches it.
    pub etag: Option<EntityTag>,
    /// When it last changed; `None`: not known, and dates in preconditions are ignored.
    pub last_modified: Option<LastModified>,
}

impl Validators {
    /// Makes validators of which both are absent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the entity tag.
    pub fn etag(mut self, tag: EntityTag) -> Self {
        self.etag = Some(tag);
        self
    }

    /// Sets the modification date; an [`HttpDate`] alone counts as
    /// [`LastModified::Given`].
    pub fn last_modified(mut self, date: impl Into<LastModified>) -> Self {
        self.last_modified = Some(date.into());
        self
    }
}

impl From<EntityTag> for Validators {
    fn from(tag: EntityTag) -> Self {
        Self::new().etag(tag)
    }
}

/// A modification date, with what it proves.
///
/// | the client's date is | `Given`     | `FirstSeen` | `Watched`                  | `Unsettled` |
/// |----------------------|-------------|-------------|----------------------------|-------------|
/// | older                | has changed | has changed | has changed                | has changed |
/// | the same             | unchanged   | unchanged   | unchanged if `unique`      | has changed |
/// | newer                | unchanged   | has changed | unchanged if after `since` | has changed |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LastModified {
    /// The date at which the representation really changed: it has not changed since
    /// any later date either.
    Given(HttpDate),
    /// The second in which the present content was first seen. It names that content as
    /// a tag does, so only the very same date proves something: another server may
    /// have seen other content later.
    FirstSeen(HttpDate),
    /// A date of which it is not certain that it tells when the representation changed:
    /// a rollback brings old files back with their old dates. But the content has
    /// been watched for a while.
    Watched {
        /// The date that was given.
        date: HttpDate,
        /// No other content was seen after this moment.
        since: HttpDate,
        /// No other content was seen with this date.
        unique: bool,
    },
    /// The content changed so lately that no date can stand for it: no client's date
    /// matches.
    Unsettled,
}

impl LastModified {
    /// Returns the date to send, if there is one.
    pub(crate) fn date(self) -> Option<HttpDate> {
        match self {
            Self::Given(date) | Self::FirstSeen(date) | Self::Watched { date, .. } => Some(date),
            Self::Unsettled => None,
        }
    }

    /// Returns true if the representation is proven not to have changed since `date`.
    pub(crate) fn is_unchanged_since(self, date: HttpDate) -> bool {
        match self {
            Self::Given(changed) => changed <= date,
            Self::FirstSeen(seen) => seen == date,
            Self::Watched { date: given, since, unique } => {
                unique && given == date || given <= date && since < date
            }
            Self::Unsettled => false,
        }
    }
}

impl From<HttpDate> for LastModified {
    fn from(date: HttpDate) -> Self {
        Self::Given(date)
    }
}
