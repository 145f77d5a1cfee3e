//! Content that is not read ahead: what is known of it by what the inner service says, how its tag is found out while it is
//! sent, and the parts of content that clients ask for.

use std::sync::Arc;

use http::{
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE, TE, TRAILER, TRANSFER_ENCODING},
    response, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
};
use http_body::Body;

use super::request::{Asked, Head};
use crate::{
    body::{Part, Passing, ResponseBody, Size, Then},
    exchange::Known,
    fields::{add, put},
    outcome::Reason,
    rules::{complete_length, keep_for_precondition_failed, trim_ows, ByteRange, EntityTag},
    store::{said, Key, Made},
    validators::{objection, Digest, Facts, Own},
};

/// What the inner service says of its content, by which the tag of that content is known again.
#[derive(Debug)]
pub(super) struct Lesson {
    /// Where the memory keeps it.
    key: Key,
    said: Key,
    /// It was said by a tag.
    by_tag: bool,
    /// It may be taken in: the content did not change a moment ago.
    is_settled: bool,
}

impl Lesson {
    /// Takes what the head of a response says; `None` if it says nothing to go by, or nothing is to be learnt. In a box,
    /// because few layers learn.
    #[inline]
    pub(super) fn of(asked: &Asked, head: &response::Parts, facts: &Facts, body: &impl Body) -> Option<Box<Self>> {
        asked.config.learned.as_ref()?;
        Self::read(asked, head, facts, body).map(Box::new)
    }

    fn read(asked: &Asked, head: &response::Parts, facts: &Facts, body: &impl Body) -> Option<Self> {
        let config = &asked.config;
        if asked.rare().is_probe || !asked.is_sole_judge(head) {
            return None;
        }
        let length = match head.status {
            StatusCode::OK => length(asked, facts, body),
            StatusCode::PARTIAL_CONTENT => head.headers.get(CONTENT_RANGE).and_then(complete_length),
            _ => return None,
        };
        let date = facts.last_modified.valid().copied();
        let objection = || {
            let response::Parts { version, headers, extensions, .. } = head;
            objection(facts, *version, headers, extensions, config.when.as_deref())
        };
        if facts.is_no_store || head.status == StatusCode::OK && objection().is_some() {
            return None;
        }
        let tag = facts.etag.valid();
        let is_strong = tag.is_some_and(|tag| !tag.is_weak());
        let evident_date = date.filter(|_| !is_strong);
        let has_evidence = is_strong || config.trust_inner_dates && date.is_some() && length.is_some();
        if !has_evidence {
            return None;
        }
        let said = said(&config.memory.keys, tag, evident_date, length, &head.headers);
        // A tag made of a date says as little as the date where the content may change twice within it.
        let now = config.now();
        let is_settled = date.is_none_or(|date| date.next_second().next_second() <= now);
        let key = asked.rare().learned_key?.of_variant(asked.key.variant(facts.varied?)?);
        Some(Self { key, said, by_tag: is_strong, is_settled })
    }

    /// Returns the tag of the content, if it was learnt.
    pub(super) fn recall(&self, asked: &Asked, facts: &Facts) -> Option<Made> {
        let tag = asked.config.learned.as_ref()?.get(self.key, self.said)?;
        match &facts.etag {
            // The tag that the client holds is one that the inner service gave, and means the same.
            Own::Valid(own) if !asked.config.replace_inner_tags && asked.names(own) => None,
            _ => Some(asked.made(tag)),
        }
    }

    /// Returns what tells this content from others before its tag is known and afterwards, where the inner service gives a
    /// tag.
    pub(super) fn identity(&self) -> Option<u64> {
        self.by_tag.then(|| self.said.short())
    }

    /// Takes in the tag of content that was read to its end.
    pub(super) fn teach(&self, asked: &Asked, tag: &EntityTag) {
        if let Some(learned) = asked.config.learned.as_ref().filter(|_| self.is_settled) {
            learned.insert(self.key, self.said, tag.clone());
        }
    }

    /// Returns what to do with the tag, once all content was sent.
    fn when_sent(&self, asked: &Asked) -> Option<Then> {
        let learned = Arc::clone(asked.config.learned.as_ref()?);
        let Self { key, said, .. } = *self;
        self.is_settled.then(|| Then::Learn(Box::new(move |tag| learned.insert(key, said, tag))))
    }
}

/// Has content hashed while it is sent, if its tag can be learnt or sent behind it.
pub(super) fn hash_on_the_way<D: Digest, B: Body>(
    asked: &Asked,
    head: &mut response::Parts,
    facts: &Facts,
    reason: Reason,
    lesson: Option<&Lesson>,
    body: &mut ResponseBody<B>,
) {
    let is_wanted = lesson.is_some() || asked.rare().takes_trailers != TakesTrailers::Never;
    if !is_wanted || asked.is_head || head.status != StatusCode::OK {
        return;
    }
    let length = length(asked, facts, body);
    let is_unread = matches!(reason, Reason::TooLarge | Reason::TooManyFrames | Reason::NotReady);
    let sends_trailer = is_unread && asked.rare().takes_trailers.allows(length);
    let then = match lesson.and_then(|lesson| lesson.when_sent(asked)) {
        Some(learn) => learn,
        None if sends_trailer => Then::Trailer { weak: asked.config.is_weak() },
        None => return,
    };
    if matches!(then, Then::Trailer { .. }) {
        add(&mut head.headers, TRAILER, HeaderValue::from_static("etag"));
    }
    let variant = facts.is_negotiated.then(|| head.headers.clone());
    let size = Size { exact: length, least: body.size_hint().lower() };
    body.hash(Passing::new::<D>(variant, size, then, Arc::clone(&asked.config.counters)));
}

/// Returns how many octets the content has, if the response says so and does not contradict itself.
pub(super) fn length(asked: &Asked, facts: &Facts, body: &impl Body) -> Option<u64> {
    match (&facts.content_length, body.size_hint().exact()) {
        (Own::Valid(length), Some(exact)) => (asked.is_head || *length == exact).then_some(*length),
        (Own::Valid(length), None) => Some(*length),
        (Own::Absent, exact) => exact.filter(|_| !asked.is_head),
        (Own::Invalid, _) => None,
    }
}

/// Whether a client takes trailers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum TakesTrailers {
    #[default]
    Never,
    /// Over HTTP/1.1 they follow chunked content only.
    BehindUnknownLength,
    Always,
}

impl TakesTrailers {
    pub(super) fn of(request: &Head<'_>) -> Self {
        let names_them = |line: &HeaderValue| {
            let mut members = line.as_bytes().split(|&octet| octet == b',');
            members.any(|member| trim_ows(member).eq_ignore_ascii_case(b"trailers"))
        };
        match request.version {
            Version::HTTP_2 | Version::HTTP_3 => Self::Always,
            Version::HTTP_11 if request.headers.get_all(TE).iter().any(names_them) => Self::BehindUnknownLength,
            _ => Self::Never,
        }
    }

    fn allows(self, length: Option<u64>) -> bool {
        match self {
            Self::Never => false,
            Self::BehindUnknownLength => length.is_none(),
            Self::Always => true,
        }
    }
}

/// Returns the range that a request asks for, if it is a single one.
pub(super) fn range(request: &Head<'_>) -> Option<ByteRange> {
    let mut lines = request.headers.get_all(RANGE).iter();
    let only = lines.next().filter(|_| lines.next().is_none() && *request.method == Method::GET)?;
    ByteRange::parse(only)
}

/// Sends the part of the content that was asked for, and says that parts may be asked for (RFC 9110, sections 14 and
/// 13.2.2, step 5).
pub(super) fn cut<B: Body>(
    asked: &Asked,
    head: &mut response::Parts,
    facts: &Facts,
    is_allowed: bool,
    body: &mut ResponseBody<B>,
) {
    let headers = &mut head.headers;
    let Some(length) = length(asked, facts, body) else { return };
    match headers.get(ACCEPT_RANGES) {
        None => put(headers, ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        Some(units) if units == "bytes" => {}
        Some(_) => return,
    }
    // Of nothing there are no parts; all of it is as good an answer as an error.
    let Some(range) = asked.rare().range.as_ref().filter(|_| is_allowed && length > 0) else { return };
    match range.within(length) {
        Some(range) => {
            let (first, last) = (range.start, range.end - 1);
            if !put_content_range(headers, format!("bytes {first}-{last}/{length}")) {
                return;
            }
            head.status = StatusCode::PARTIAL_CONTENT;
            // These are about the octets that are sent.
            for name in ["content-digest", "content-md5"] {
                headers.remove(HeaderName::from_static(name));
            }
            // It has a length, and the trailers are about the whole.
            headers.remove(TRANSFER_ENCODING);
            headers.remove(TRAILER);
            put(headers, CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
            body.cut(Part::new(range));
        }
        None => {
            head.status = StatusCode::RANGE_NOT_SATISFIABLE;
            keep_for_precondition_failed(headers);
            put_content_range(headers, format!("bytes */{length}"));
            body.end(body.outcome());
        }
    }
}

/// Returns true if the head has it now.
fn put_content_range(headers: &mut HeaderMap, text: String) -> bool {
    if let Ok(value) = HeaderValue::try_from(text) {
        put(headers, CONTENT_RANGE, value);
    }
    headers.contains_key(CONTENT_RANGE)
}

impl Asked {
    /// Returns true if no other layer of this crate knows validators that stand for the representation.
    pub(super) fn is_sole_judge(&self, head: &response::Parts) -> bool {
        self.rare().known.is_none() && head.extensions.get::<Known>().is_none()
    }

    /// Returns true if a tag of the inner service is not to be sent.
    #[inline]
    pub(super) fn replaces_tag(&self, head: &response::Parts) -> bool {
        self.config.replace_inner_tags && self.is_sole_judge(head)
    }
}
