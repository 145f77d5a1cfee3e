//! The validators of a representation, and what a client's date proves ([RFC 9110,
//! section 8.8](https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8)).

use http::{
    header::{ETAG, LAST_MODIFIED},
    HeaderMap,
};

use super::{single_line, EntityTag, HttpDate};

/// The current state of the target resource of a request.
///
/// If the validators of `Exists` are empty, only `*` in If-Match and If-None-Match
/// can match.
///
/// # Examples
///
/// ```
/// use tower_conditional::{EntityTag, Representation};
///
/// let saved = Some("v7");
/// let representation = match saved {
///     Some(version) => EntityTag::strong(version)?.into(),
///     None => Representation::Missing,
/// };
/// # assert!(matches!(representation, Representation::Exists(_)));
/// # Ok::<(), tower_conditional::InvalidEntityTag>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Representation {
    /// The resource does not exist: a read would get 404, and a PUT would create it.
    Missing,
    /// The resource exists and has these validators.
    Exists(Validators),
    /// The state is not known.
    ///
    /// If the closure of a [`PreconditionLayer`](crate::PreconditionLayer) returns
    /// this, the layer leaves all preconditions to the handler. But if the layer
    /// requires a precondition of a write, and the write has one, the answer is 503
    /// (Service Unavailable). In [`Preconditions::check`](crate::Preconditions::check),
    /// a write with a precondition fails.
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

/// The validators of a representation: an optional entity tag and an optional date.
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
    /// The entity tag. If it is `None`, no tag in a precondition matches,
    /// only `*` does.
    pub etag: Option<EntityTag>,
    /// The date of the last change. If it is `None`, the preconditions with dates
    /// are ignored.
    pub last_modified: Option<LastModified>,
}

impl Validators {
    /// Makes validators without a tag and without a date.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the validators from the head of a response. `now` completes a two-digit
    /// year.
    pub(crate) fn from_headers_at(headers: &HeaderMap, now: impl FnOnce() -> HttpDate) -> Self {
        let date = single_line(headers, LAST_MODIFIED)
            .and_then(|line| HttpDate::parse_with(line.as_bytes(), now));
        Self {
            etag: single_line(headers, ETAG).and_then(|line| line.try_into().ok()),
            last_modified: date.map(LastModified::FirstSeen),
        }
    }

    /// Sets the entity tag.
    pub fn etag(mut self, tag: EntityTag) -> Self {
        self.etag = Some(tag);
        self
    }

    /// Sets the modification date. An [`HttpDate`] becomes [`LastModified::Given`].
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

/// A modification date, and how a client's date is compared with it.
///
/// A `Given` date is the time of the last change. A `FirstSeen` date is a name of
/// exactly one content: a client with any other date, older or newer, has other
/// content. The table shows what the client's date proves about the content:
///
/// | the client's date is | `Given`     | `FirstSeen` |
/// |----------------------|-------------|-------------|
/// | older                | has changed | has changed |
/// | the same             | unchanged   | unchanged   |
/// | newer                | unchanged   | has changed |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LastModified {
    /// The second in which the representation last changed.
    ///
    /// A client that sends this date or a later one has the current representation.
    ///
    /// Use this variant only if the date never goes back to an earlier one. After a
    /// rollback to an older version with its old date, a client with the newer version
    /// would get a 304.
    Given(HttpDate),
    /// The second in which the current content was first seen.
    ///
    /// The date identifies that content, like a tag. Only an equal date proves that the
    /// content is unchanged. If the client's date is later, another server may have
    /// sent it with other content.
    FirstSeen(HttpDate),
}

impl LastModified {
    /// Returns the date to send.
    pub(crate) fn date(self) -> HttpDate {
        match self {
            Self::Given(date) | Self::FirstSeen(date) => date,
        }
    }
}

impl From<HttpDate> for LastModified {
    fn from(date: HttpDate) -> Self {
        Self::Given(date)
    }
}

/// What is known about the changes of a representation. A client's date is
/// compared with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DateEvidence {
    /// The application states the date.
    Stated(LastModified),
    /// A layer has observed the dates that it sent.
    Observed {
        /// This date was sent with the current content, and with no other content.
        unchanged_at: Option<HttpDate>,
        /// The content has changed since each date that is earlier than this one.
        changed_before: Option<HttpDate>,
    },
}

/// What a client's date proves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DateComparison {
    Unchanged,
    Changed,
    /// The date proves neither that the content is unchanged nor that it has changed.
    Unknown,
}

impl DateEvidence {
    /// No date of a client proves anything.
    pub(crate) const DOUBT: Self = Self::Observed { unchanged_at: None, changed_before: None };

    /// Compares a client's date.
    pub(crate) fn compare(self, date: HttpDate) -> DateComparison {
        let is_unchanged = match self {
            Self::Stated(LastModified::Given(changed)) => changed <= date,
            Self::Stated(LastModified::FirstSeen(seen)) => seen == date,
            Self::Observed { unchanged_at, .. } => unchanged_at == Some(date),
        };
        let is_changed = match self {
            Self::Stated(_) => !is_unchanged,
            Self::Observed { changed_before, .. } => {
                changed_before.is_some_and(|changed| date < changed)
            }
        };
        match (is_unchanged, is_changed) {
            (true, _) => DateComparison::Unchanged,
            (false, true) => DateComparison::Changed,
            (false, false) => DateComparison::Unknown,
        }
    }

    /// Returns true if a client whose If-Range is this date may get a part.
    ///
    /// The date must be equal, and must be a strong validator (RFC 9110, sections
    /// 13.1.5 and 8.8.2.2). A [`LastModified::Given`] date is strong only if it is
    /// before `now`: during its own second, the content may change again.
    pub(crate) fn allows_range(self, date: HttpDate, now: HttpDate) -> bool {
        match self {
            Self::Stated(LastModified::Given(changed)) => changed == date && changed < now,
            Self::Stated(LastModified::FirstSeen(seen)) => seen == date,
            Self::Observed { unchanged_at, .. } => unchanged_at == Some(date),
        }
    }

    /// Returns this evidence without `changed_before`, so that no date proves a change.
    /// A stated date stays as it is.
    pub(crate) fn without_change(self) -> Self {
        match self {
            Self::Observed { unchanged_at, .. } => {
                Self::Observed { unchanged_at, changed_before: None }
            }
            Self::Stated(_) => self,
        }
    }

    /// Returns the date of the current representation, if it is known.
    pub(crate) fn date(self) -> Option<HttpDate> {
        match self {
            Self::Stated(stated) => Some(stated.date()),
            Self::Observed { unchanged_at, .. } => unchanged_at,
        }
    }
}

impl From<LastModified> for DateEvidence {
    fn from(stated: LastModified) -> Self {
        Self::Stated(stated)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_valid_line_is_a_validator() {
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        let date = HttpDate::from_unix_seconds(784_111_777).unwrap();
        for (tags, dates, tag, has_date) in [
            (&["\"v1\""][..], &[DATE][..], Some("\"v1\""), true),
            (&[" W/\"v1\" "], &["Sunday, 06-Nov-94 08:49:37 GMT"], Some("W/\"v1\""), true),
            (&["v1"], &["1994-11-06"], None, false),
            (&["\"v1\"", "\"v1\""], &[DATE, DATE], None, false),
            (&["\"v1\", \"v2\""], &["0"], None, false),
            (&["*"], &[""], None, false),
            (&[], &[], None, false),
        ] {
            let mut headers = HeaderMap::new();
            for tag in tags {
                headers.append(ETAG, HeaderValue::from_static(tag));
            }
            for date in dates {
                headers.append(LAST_MODIFIED, HeaderValue::from_static(date));
            }
            let validators = Validators::from_headers_at(&headers, || date);
            let found = validators.etag.map(|tag| tag.to_string());
            assert_eq!(found.as_deref(), tag, "{tags:?}");
            let expected = has_date.then_some(LastModified::FirstSeen(date));
            assert_eq!(validators.last_modified, expected, "{dates:?}");
        }
    }
}
