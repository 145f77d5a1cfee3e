//! What a layer did with a request, and why.

use std::fmt;

/// What a layer did with one request.
///
/// The variants name the answers that the layer itself makes. If the inner service of a
/// [`ConditionalLayer`](crate::ConditionalLayer) answers 304, the outcome of the layer
/// is `LeftAlone(Reason::Status)`.
///
/// Read the outcome from [`ResponseBody::outcome`](crate::ResponseBody::outcome). With
/// [`ConditionalLayer::report_outcome`](crate::ConditionalLayer::report_outcome), it is
/// also in the response's extensions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The layer sent the response with a tag that it made from the content, or from a
    /// hash in a [`Manifest`](crate::Manifest).
    Tagged,
    /// The layer answered 304 (Not Modified).
    NotModified,
    /// The layer answered 412 (Precondition Failed).
    PreconditionFailed,
    /// The layer answered a write without a precondition with 428 (Precondition
    /// Required).
    PreconditionRequired,
    /// The layer refused the request, because the state of the resource is not known.
    ///
    /// The answer is 503 (Service Unavailable), or the response that
    /// [`on_error`](crate::PreconditionLayer::on_error) makes. A
    /// [`WriteGuard`](crate::WriteGuard) may also answer with the response to its own
    /// GET, such as a 401.
    StateUnavailable,
    /// The layer did not send a 206 (Partial Content) or 416 of the inner service.
    ///
    /// That response may be of another version than the one that the request names, for
    /// example in If-Range. The answer is 503 with `Retry-After: 1`, or, for a browser,
    /// 307 to the same URI. If the client tries again, it gets the whole content.
    PartRefused,
    /// A [`WriteGuard`](crate::WriteGuard) answered a write with 413 (Content
    /// Too Large).
    ///
    /// The content of the write is larger than
    /// [`body_limit`](crate::WriteGuard::body_limit).
    ContentTooLarge,
    /// A [`WriteGuard`](crate::WriteGuard) answered a write with 408 (Request Timeout).
    ///
    /// The content of the write arrived too slowly.
    ContentTooSlow,
    /// A [`WriteGuard`](crate::WriteGuard) answered a write with 503 (Service
    /// Unavailable).
    ///
    /// The write waited longer than [`lock_timeout`](crate::WriteGuard::lock_timeout)
    /// for other writes, or the guard already held too much content of other requests
    /// in memory.
    Busy,
    /// A PUT whose If-Match failed was answered with 204 (No Content).
    ///
    /// The resource already has the content of the PUT. See
    /// [`WriteGuard::idempotent_puts`](crate::WriteGuard::idempotent_puts).
    AlreadyStored,
    /// The request was forwarded, because its preconditions hold or because it
    /// has none.
    ///
    /// This is an outcome of a [`PreconditionLayer`](crate::PreconditionLayer) or a
    /// [`WriteGuard`](crate::WriteGuard).
    Proceeded,
    /// The layer made no tag, or did not evaluate the request, for this reason.
    LeftAlone(Reason),
}

/// Why the layer made no tag for a response, or did not evaluate a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The layer does not handle the method:
    ///
    /// - For a [`ConditionalLayer`](crate::ConditionalLayer), it is not GET, HEAD
    ///   or QUERY.
    /// - For a [`PreconditionLayer`](crate::PreconditionLayer), it is OPTIONS, TRACE or
    ///   CONNECT, or QUERY if [`query`](crate::PreconditionLayer::query) is not set.
    /// - For a [`WriteGuard`](crate::WriteGuard), the request is not a write.
    Method,
    /// [`handle_when`](crate::ConditionalLayer::handle_when) returned false.
    Request,
    /// The response is not a 200.
    Status,
    /// The inner service set an entity tag.
    ///
    /// The layer keeps this tag, and evaluates the preconditions against it.
    OwnTag,
    /// The response has an `ETag` that is not a valid entity tag.
    ///
    /// Often the quotes are missing. The layer sends this `ETag` unchanged. No tag of a
    /// client matches it.
    InvalidTag,
    /// The response has the extension [`Untagged`](crate::Untagged).
    Untagged,
    /// The response has `Cache-Control: no-store`.
    NoStore,
    /// The media type is that of a stream.
    ///
    /// Streams are `text/event-stream`, `multipart/x-mixed-replace` and gRPC.
    Streaming,
    /// The response has a `Content-Range`, so its content is only a part.
    Partial,
    /// The `Content-Security-Policy` has a nonce.
    ///
    /// The content contains the nonce, so the content differs each time.
    Nonce,
    /// An outer layer of this crate needs no tag from this layer:
    ///
    /// - A [`PreconditionLayer`](crate::PreconditionLayer) knows the tag and adds it.
    /// - The request is the GET of a [`WriteGuard`](crate::WriteGuard). The guard asks
    ///   only for the date of the resource, or only whether the resource exists.
    KnownState,
    /// The layer already holds 64 MiB of content in memory.
    ///
    /// See [`buffer_limit`](crate::ConditionalLayer::buffer_limit).
    Busy,
    /// [`tag_when`](crate::ConditionalLayer::tag_when) returned false.
    Predicate,
    /// A HEAD was answered without content, so there is nothing to hash.
    ///
    /// See [`head_as_get`](crate::ConditionalLayer::head_as_get).
    EmptyHead,
    /// The content is larger than
    /// [`buffer_limit`](crate::ConditionalLayer::buffer_limit).
    TooLarge,
    /// The content has too many small frames.
    ///
    /// The limit is 1,024 frames, plus one frame for every 64 bytes of the
    /// [`buffer_limit`](crate::ConditionalLayer::buffer_limit). Each frame takes memory
    /// in addition to its bytes.
    TooManyFrames,
    /// The content was not ready in time.
    ///
    /// See [`body_timeout`](crate::ConditionalLayer::body_timeout).
    NotReady,
    /// The body ended with an error.
    ///
    /// A [`WriteGuard`](crate::WriteGuard) reports this for the body of a request, and
    /// answers 400 (Bad Request).
    BodyError,
    /// The content was longer or shorter than announced, or did not end after trailers.
    ///
    /// An invalid `Content-Length` counts, too.
    WrongLength,
    /// A [`PreconditionLayer`](crate::PreconditionLayer) could not find out the
    /// current state:
    ///
    /// - Its closure returned [`Unknown`](crate::Representation::Unknown), and the
    ///   layer does not require a precondition of this request. The request
    ///   was forwarded.
    /// - Its Axum extractor (`PreconditionLayer::from_extractor`) rejected the request
    ///   with a status other than 5xx. The layer sent this rejection.
    UnknownState,
    /// The closure of a [`PreconditionLayer`](crate::PreconditionLayer) failed, or its
    /// Axum extractor rejected the request with a server error (5xx).
    ///
    /// The request was forwarded, because it is not a write, and no
    /// [`on_error`](crate::PreconditionLayer::on_error) is set.
    StateUnavailable,
}

impl fmt::Display for Outcome {
    /// Writes the outcome in a few words, such as `not modified` or `left alone:
    /// too large`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tagged => "tagged",
            Self::NotModified => "not modified",
            Self::PreconditionFailed => "precondition failed",
            Self::PreconditionRequired => "precondition required",
            Self::StateUnavailable => "state unavailable",
            Self::PartRefused => "part refused",
            Self::ContentTooLarge => "content too large",
            Self::ContentTooSlow => "content too slow",
            Self::Busy => "busy",
            Self::AlreadyStored => "already stored",
            Self::Proceeded => "proceeded",
            Self::LeftAlone(reason) => return write!(f, "left alone: {reason}"),
        })
    }
}

impl fmt::Display for Reason {
    /// Writes the reason in a few words, such as `too large`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "method",
            Self::Request => "request",
            Self::Status => "status",
            Self::OwnTag => "own tag",
            Self::InvalidTag => "invalid tag",
            Self::Untagged => "untagged",
            Self::NoStore => "no-store",
            Self::Streaming => "streaming",
            Self::Partial => "partial",
            Self::Nonce => "nonce",
            Self::KnownState => "known state",
            Self::Busy => "busy",
            Self::Predicate => "predicate",
            Self::EmptyHead => "empty HEAD",
            Self::TooLarge => "too large",
            Self::TooManyFrames => "too many frames",
            Self::NotReady => "not ready",
            Self::BodyError => "body error",
            Self::WrongLength => "wrong length",
            Self::UnknownState => "unknown state",
            Self::StateUnavailable => "state unavailable",
        })
    }
}

impl Reason {
    /// All reasons, in the order of the variants.
    pub(crate) const ALL: [Self; 21] = [
        Self::Method,
        Self::Request,
        Self::Status,
        Self::OwnTag,
        Self::InvalidTag,
        Self::Untagged,
        Self::NoStore,
        Self::Streaming,
        Self::Partial,
        Self::Nonce,
        Self::KnownState,
        Self::Busy,
        Self::Predicate,
        Self::EmptyHead,
        Self::TooLarge,
        Self::TooManyFrames,
        Self::NotReady,
        Self::BodyError,
        Self::WrongLength,
        Self::UnknownState,
        Self::StateUnavailable,
    ];

    /// Returns true if the content may have a tag of this layer that is not known here,
    /// for example because the layer did not read the content to its end.
    ///
    /// If-Match then does not fail, because it may name that tag.
    pub(crate) fn leaves_tag_unknown(self) -> bool {
        match self {
            Self::EmptyHead
            | Self::TooLarge
            | Self::TooManyFrames
            | Self::NotReady
            | Self::BodyError
            | Self::KnownState
            | Self::Busy
            | Self::WrongLength => true,
            Self::Method
            | Self::Request
            | Self::Status
            | Self::OwnTag
            | Self::InvalidTag
            | Self::Untagged
            | Self::NoStore
            | Self::Streaming
            | Self::Partial
            | Self::Nonce
            | Self::Predicate
            | Self::UnknownState
            | Self::StateUnavailable => false,
        }
    }
}
