//! The probe: the GET that a guard sends for the state that a write would change. Also
//! the state in the response to a probe.

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
    header_map::insert_field,
    rules::{
        members, single_line, Current, DateEvidence, EntityTag, HttpDate, LastModified, State,
    },
    validators::{Sha256, TagFormat},
};

/// Makes the GET that asks for the validators of the target of a write.
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
    // An inner cache may have an old response.
    insert_field(get.headers_mut(), CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    *get.extensions_mut() = write.extensions.clone();
    let extensions = get.extensions_mut();
    // This extension is only valid for the write.
    extensions.remove::<GuardedWrite>();
    // The probe asks for the validators of the inner service, so the validators of an
    // outer layer are removed. The extension itself stays: it shows the inner layers that
    // an outer layer evaluates the write.
    if let Some(known) = extensions.remove::<KnownValidators>() {
        extensions.insert(known.without_validators());
    }
    extensions.insert(asked);
    get
}

/// The fields of the write that the GET does not have, besides `content-*`, `if-*` and
/// `sec-websocket-*`. They are about the content, the connection, caches, ranges,
/// retries or the method of the write.
///
/// `Accept-Encoding` is kept: a service may have a tag for each coding, and a client
/// usually accepts the same codings when it reads and writes.
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

/// The state that the response to a GET shows.
#[derive(Default)]
pub(super) struct ProbedState {
    is_missing: bool,
    etag: Option<EntityTag>,
    date: Option<DateEvidence>,
}

impl ProbedState {
    /// Reads the state from a response. `None` if the response shows no state.
    pub(super) fn of(head: &response::Parts, now: HttpDate) -> Option<Self> {
        match head.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Some(Self::missing()),
            // A resource without a GET has no representation, so for a PUT to it,
            // `If-None-Match: *` holds, and If-Match fails.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Some(Self::missing()),
            status if status.is_client_error() || status.is_server_error() => None,
            status if status.is_success() => Some(Self::of_content(head, now)),
            _ => Some(Self::default()),
        }
    }

    fn missing() -> Self {
        Self { is_missing: true, ..Self::default() }
    }

    /// Reads the tag of the plain content, and the date. The extensions of the response
    /// may contain the date of an inner layer of this crate, and what this date proves.
    fn of_content(head: &response::Parts, now: HttpDate) -> Self {
        let etag = plain_tag(head);
        let sent =
            single_line(&head.headers, LAST_MODIFIED).and_then(|value| HttpDate::parse(value, now));
        let known = head.extensions.get::<KnownValidators>();
        let evidence = known.and_then(|known| known.date);
        // If middleware has replaced the `Last-Modified` of the inner layer, the date in
        // the field counts. Otherwise the date in the extensions counts, even if there is
        // no `Last-Modified` yet.
        let is_another = |sent: &HttpDate| {
            evidence.is_none_or(|known| known.date().is_some_and(|known| known != *sent))
        };
        let stated = |date| DateEvidence::Stated(LastModified::Given(date));
        let date = sent.filter(is_another).map(stated).or(evidence);
        // During the second of a date, the content may change again and keep that date
        // (RFC 9110, section 8.8.2.2).
        let date = date.map(|evidence| match evidence {
            DateEvidence::Stated(LastModified::Given(date)) if date >= now => DateEvidence::DOUBT,
            evidence => evidence,
        });
        Self { is_missing: false, etag, date }
    }

    pub(super) fn state(&self) -> State<'_> {
        if self.is_missing {
            return State::Missing;
        }
        State::Exists(Current { etag: self.etag.as_ref(), date: self.date })
    }

    /// Returns true if the resource exists, but its tag is not known.
    ///
    /// Clients may know the tag, for example from a layer outside of the guard.
    pub(super) fn is_tag_unknown(&self) -> bool {
        !self.is_missing && self.etag.is_none()
    }

    /// Returns true if the tag after the write may be the hash of the write's content.
    /// That is so if nothing is stored yet, or if the current tag looks like a hash.
    pub(super) fn may_be_hashed(&self) -> bool {
        self.is_missing || self.etag.as_ref().is_some_and(is_hash)
    }
}

/// Returns the tag in the response to a probe, if the tag can be compared with the hash
/// of the write's content. If the two are equal, the resource has that content. These
/// conditions must hold:
///
/// - The tag looks like a hash.
/// - The content is neither a part nor negotiated nor encoded, both in the response and
///   in the write.
/// - If the write states a `Content-Type`, the response has the same one.
pub(super) fn hash_of_state(write: &request::Parts, head: &response::Parts) -> Option<EntityTag> {
    let is_partial_or_negotiated = |headers: &HeaderMap| {
        let names = [CONTENT_RANGE, CONTENT_ENCODING, CONTENT_LANGUAGE];
        names.iter().any(|name| headers.contains_key(name))
    };
    // `Vary: accept-encoding`, which compression layers add, is allowed, because the
    // plain content is compared.
    let mut varied = head.headers.get_all(VARY).iter().flat_map(members);
    // If the content was encoded on the fly, its plain tag is known.
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

/// Returns the tag of the plain content, even if the response is sent compressed.
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
