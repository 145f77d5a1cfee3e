//! The GET by which a guard finds out the state that a write would change, and what its
//! response says.

use http::{
    header::{
        HeaderName, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE, CONTENT_TYPE,
        ETAG, LAST_MODIFIED, VARY,
    },
    request, response, HeaderMap, HeaderValue, Request, StatusCode,
};

use crate::{
    body::RequestBody,
    exchange::{CodedTag, EncodedOnTheFly, GuardedWrite, KnownValidators, Probe},
    fields::insert_field,
    rules::{
        members, single_line, Current, DateEvidence, EntityTag, HttpDate, LastModified, State,
    },
    validators::{Sha256, TagFormat},
};

/// Makes the GET that asks for the validators of what a write is about.
pub(super) fn probe<B>(write: &request::Parts, asked: Probe) -> Request<RequestBody<B>> {
    let mut get = Request::new(RequestBody::probe());
    *get.uri_mut() = write.uri.clone();
    *get.version_mut() = write.version;
    let selects = |name: &HeaderName| {
        let is_of_a_family = ["content-", "if-", "sec-websocket-"]
            .iter()
            .any(|start| name.as_str().starts_with(start));
        !is_of_a_family && !NOT_ABOUT_THE_STATE.contains(&name.as_str())
    };
    let fields = write.headers.iter().filter(|(name, _)| selects(name));
    get.headers_mut().extend(fields.map(|(name, value)| (name.clone(), value.clone())));
    // What an inner cache kept may be old.
    insert_field(get.headers_mut(), CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    *get.extensions_mut() = write.extensions.clone();
    // It says something of the write alone.
    get.extensions_mut().remove::<GuardedWrite>();
    get.extensions_mut().insert(asked);
    get
}

/// What the GET does not take over from the write: it has no content, wants all of the
/// state, and is sent once.
///
/// `Accept-Encoding` it does take over: a service may encode what it stores, with a tag
/// for each coding, and a client mostly accepts the same when it reads and writes.
const NOT_ABOUT_THE_STATE: [&str; 15] = [
    "cache-control",
    "connection",
    "expect",
    "idempotency-key",
    "keep-alive",
    "pragma",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// The state that the response to a GET tells of.
#[derive(Default)]
pub(super) struct ProbedState {
    is_missing: bool,
    etag: Option<EntityTag>,
    date: Option<DateEvidence>,
    /// There is a tag that was not found out.
    pub(super) is_tag_unknown: bool,
}

impl ProbedState {
    /// Takes the state from a response; `None` if it tells of none.
    pub(super) fn of(head: &response::Parts, now: HttpDate) -> Option<Self> {
        match head.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Some(Self::missing()),
            // What cannot be read has no representation. So `If-None-Match: *` lets a
            // PUT through to a URI that has no GET, and If-Match does not.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Some(Self::missing()),
            status if status.is_client_error() || status.is_server_error() => None,
            status if status.is_success() => Some(Self::of_content(head, now)),
            _ => Some(Self::default()),
        }
    }

    fn missing() -> Self {
        Self { is_missing: true, ..Self::default() }
    }

    /// Takes the tag that clients get, and the date with what the inner layers know of
    /// it.
    fn of_content(head: &response::Parts, now: HttpDate) -> Self {
        let etag = plain_tag(head);
        let sent =
            single_line(&head.headers, LAST_MODIFIED).and_then(|value| HttpDate::parse(value, now));
        let known = head.extensions.get::<KnownValidators>();
        let evidence = known.and_then(|known| known.date);
        // A layer in between may have set another tag or date. A date that is not sent
        // yet counts all the same.
        let is_another = |sent: &HttpDate| {
            evidence.is_none_or(|known| known.date().is_some_and(|known| known != *sent))
        };
        let stated = |date| DateEvidence::Stated(LastModified::Given(date));
        let date = sent.filter(is_another).map(stated).or(evidence);
        let is_tag_unknown = etag.is_none() && known.is_some_and(|known| known.etag.is_none());
        Self { is_missing: false, etag, date, is_tag_unknown }
    }

    pub(super) fn state(&self) -> State<'_> {
        if self.is_missing {
            return State::Missing;
        }
        State::Exists(Current { etag: self.etag.as_ref(), date: self.date })
    }

    /// Returns true if the tag of what a write stores may be the hash of its content:
    /// there is nothing yet, or its tag looks like one.
    pub(super) fn may_be_hashed(&self) -> bool {
        self.is_missing || self.etag.as_ref().is_some_and(is_hash)
    }
}

/// Returns the tag of a state if it may be the hash of the content that a write sends:
/// nothing says that the two are told apart by anything else.
pub(super) fn hash_of_state(write: &request::Parts, head: &response::Parts) -> Option<EntityTag> {
    let is_partial_or_negotiated = |headers: &HeaderMap| {
        let names = [CONTENT_RANGE, CONTENT_ENCODING, CONTENT_LANGUAGE];
        names.iter().any(|name| headers.contains_key(name))
    };
    // Layers that compress vary by the coding, and this is the plain content.
    let mut varied = head.headers.get_all(VARY).iter().flat_map(members);
    // Of content that was encoded on the fly, the plain tag is known.
    let is_encoded = head.headers.contains_key(CONTENT_ENCODING)
        && head.extensions.get::<EncodedOnTheFly>().is_none();
    let is_plain = head.status == StatusCode::OK
        && varied.all(|field| field.eq_ignore_ascii_case(b"accept-encoding"))
        && !is_encoded
        && !head.headers.contains_key(CONTENT_LANGUAGE)
        && !is_partial_or_negotiated(&write.headers);
    let sent_type = write.headers.get(CONTENT_TYPE);
    if !is_plain || sent_type.is_some() && sent_type != head.headers.get(CONTENT_TYPE) {
        return None;
    }
    plain_tag(head).filter(is_hash)
}

/// Returns the tag of a response without the coding that it may name.
fn plain_tag(head: &response::Parts) -> Option<EntityTag> {
    let sent = EntityTag::try_from(single_line(&head.headers, ETAG)?).ok()?;
    let plain = CodedTag::plain_of(&head.extensions, &sent).cloned();
    Some(plain.unwrap_or(sent))
}

/// Returns true if a tag looks like a SHA-256.
fn is_hash(tag: &EntityTag) -> bool {
    let (opaque, format) = (tag.opaque(), TagFormat::of::<Sha256>());
    !tag.is_weak() && opaque.len() == format.digits && format.looks_generated(opaque)
}
