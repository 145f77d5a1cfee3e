//! What a layer did with a request, and the reasons.

use std::fmt;

/// What a layer did with one request.
///
/// The outcome describes the layer's own answers: a 304 from the inner service is
/// `LeftAlone(Reason::Status)`.
///
/// Read it from [`ResponseBody::outcome`](crate::ResponseBody::outcome), or, with
/// [`ConditionalLayer::report_outcome`](crate::ConditionalLayer::report_outcome), from
/// the response's extensions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The layer sent the response with a tag that it made from the content.
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
    /// The answer is 503 (Service Unavailable), or that of
    /// [`on_error`](crate::PreconditionLayer::on_error).
    StateUnavailable,
    /// The layer did not send a part, because its version may differ from If-Range.
    ///
    /// The answer is 503 with `Retry-After: 1`, or 307 to the same URI for a browser.
    /// The next try gets the whole content.
    PartRefused,
    /// A [`WriteGuard`](crate::WriteGuard) answered a write with 413 (Content Too
    /// Large).
    ///
    /// Its content is larger than [`body_limit`](crate::WriteGuard::body_limit).
    ContentTooLarge,
    /// A [`WriteGuard`](crate::WriteGuard) answered a write with 408 (Request Timeout).
    ///
    /// Its content arrived too slowly.
    ContentTooSlow,
    /// A [`WriteGuard`](crate::WriteGuard) answered a write with 503 (Service
    /// Unavailable).
    ///
    /// The write waited longer than [`lock_timeout`](crate::WriteGuard::lock_timeout),
    /// or too much content of other requests is held in memory.
    Busy,
    /// A PUT whose If-Match failed was answered with 204 (No Content).
    ///
    /// Its content is already stored; see
    /// [`WriteGuard::idempotent_puts`](crate::WriteGuard::idempotent_puts).
    AlreadyStored,
    /// The request was forwarded: its preconditions hold, or it has none.
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
    /// The method is not GET, HEAD or QUERY.
    ///
    /// For a [`PreconditionLayer`](crate::PreconditionLayer), the method is OPTIONS,
    /// TRACE or CONNECT, or it is QUERY and [`query`](crate::PreconditionLayer::query)
    /// is not set.
    Method,
    /// [`handle_when`](crate::ConditionalLayer::handle_when) returned false.
    Request,
    /// The response is not a 200.
    Status,
    /// The inner service set an entity tag.
    ///
    /// The tag is kept, and preconditions are evaluated against it.
    OwnTag,
    /// The response has an `ETag` that is not a valid entity tag.
    ///
    /// Often the quotes are missing. The field is sent unchanged, and never matches.
    InvalidTag,
    /// The response has the extension [`Untagged`](crate::Untagged).
    Untagged,
    /// The response has `Cache-Control: no-store`.
    NoStore,
    /// The media type is that of a stream.
    ///
    /// These are `text/event-stream`, `multipart/x-mixed-replace` and gRPC.
    Streaming,
    /// The response has a `Content-Range`, so its content is only a part.
    Partial,
    /// The `Content-Security-Policy` has a nonce.
    ///
    /// The content contains the nonce, so it differs each time.
    Nonce,
    /// An outer layer does not need a tag from this layer.
    ///
    /// An outer [`PreconditionLayer`](crate::PreconditionLayer) knows the tag and adds
    /// it, or a [`WriteGuard`](crate::WriteGuard) needs only to know whether the
    /// resource exists, or its date.
    KnownState,
    /// The layer already holds 64 MiB of responses.
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
    /// Keeping them would take more memory than the limit allows.
    TooManyFrames,
    /// The content was not ready in time.
    NotReady,
    /// The body ended with an error.
    ///
    /// For a [`WriteGuard`](crate::WriteGuard) it is the body of the request, which is
    /// answered with 400 (Bad Request).
    BodyError,
    /// The content was longer or shorter than announced, or continued after trailers.
    WrongLength,
    /// The source of a [`PreconditionLayer`](crate::PreconditionLayer) does not know
    /// the state.
    ///
    /// It returned [`Unknown`](crate::Representation::Unknown), and no precondition was
    /// required. Or the extractor of `PreconditionLayer::from_extractor` rejected the
    /// request.
    UnknownState,
    /// The source of a [`PreconditionLayer`](crate::PreconditionLayer) failed.
    ///
    /// The request is not a write, so it was forwarded.
    StateUnavailable,
}

impl fmt::Display for Outcome {
    /// Writes the outcome in a few words, such as `not modified` or `left alone: too
    /// large`.
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
    /// All reasons, in their order.
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

    /// Returns true if the content may have a tag that the layer did not compute.
    ///
    /// If-Match does not fail then, because it may name that tag.
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
