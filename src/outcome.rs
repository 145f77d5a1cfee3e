//! What a layer did with one request, and why.

use std::fmt;

/// What the layer did with one request.
///
/// It is about the layer's own answers: a 304 from the inner service is
/// `LeftAlone(Reason::Status)`.
///
/// Read it from [`ResponseBody::outcome`](crate::ResponseBody::outcome), or, with
/// [`ConditionalLayer::report_outcome`](crate::ConditionalLayer::report_outcome), from
/// the response's extensions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The response is sent with a tag that the layer made from its content.
    Tagged,
    /// The layer answered 304 (Not Modified).
    NotModified,
    /// The layer answered 412 (Precondition Failed).
    PreconditionFailed,
    /// The layer answered a write without a precondition with 428 (Precondition
    /// Required).
    PreconditionRequired,
    /// The state of the resource is not known, so the request was refused: with 503, or
    /// as [`on_error`](crate::PreconditionLayer::on_error) says.
    StateUnavailable,
    /// A part was not sent, because it may be of another version than If-Range names.
    /// The answer is 503 with `Retry-After: 1`, or 307 to the same URI for a browser,
    /// and the next try gets the whole.
    PartRefused,
    /// A write with preconditions was answered with 413 (Content Too Large): its
    /// content is larger than
    /// [`WriteGuard::body_limit`](crate::WriteGuard::body_limit).
    ContentTooLarge,
    /// A write was answered with 408 (Request Timeout): its content came more slowly
    /// than a [`WriteGuard`](crate::WriteGuard) holds what has come.
    ContentTooSlow,
    /// A write was answered with 503 (Service Unavailable): it waited longer than
    /// [`WriteGuard::lock_timeout`](crate::WriteGuard::lock_timeout), or too much
    /// content of other requests is held.
    Busy,
    /// A PUT whose If-Match failed was answered with 204 (No Content), because what it
    /// sent is there already; see
    /// [`WriteGuard::idempotent_puts`](crate::WriteGuard::idempotent_puts).
    AlreadyStored,
    /// A [`PreconditionLayer`](crate::PreconditionLayer) or a
    /// [`WriteGuard`](crate::WriteGuard) let the request through: its preconditions
    /// hold, or it has none.
    Proceeded,
    /// The layer made no tag for the response, or did not evaluate the request, for
    /// this reason.
    LeftAlone(Reason),
}

/// Why the layer made no tag for a response, or did not evaluate a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The method is not GET, HEAD or QUERY; for a
    /// [`PreconditionLayer`](crate::PreconditionLayer), it is OPTIONS, TRACE or
    /// CONNECT, or a QUERY that its source is [not asked
    /// for](crate::PreconditionLayer::query).
    Method,
    /// The predicate given to [`handle_when`](crate::ConditionalLayer::handle_when)
    /// said no.
    Request,
    /// The response is not a 200.
    Status,
    /// The response has an entity tag of its own. It is kept, and preconditions are
    /// evaluated by it.
    OwnTag,
    /// The response has an `ETag` field that is not an entity tag (quotes missing?). It
    /// is sent as it is, and never matches.
    InvalidTag,
    /// The response carries [`Untagged`](crate::Untagged).
    Untagged,
    /// The response says `Cache-Control: no-store`.
    NoStore,
    /// The media type is one of a stream: `text/event-stream`,
    /// `multipart/x-mixed-replace`, gRPC.
    Streaming,
    /// The response has a `Content-Range`: its content is a part, not the whole.
    Partial,
    /// The `Content-Security-Policy` has a nonce, which the content repeats: it differs
    /// each time.
    Nonce,
    /// An outer [`PreconditionLayer`](crate::PreconditionLayer) knows the tag, and adds
    /// it, or a [`WriteGuard`](crate::WriteGuard) did not ask for it.
    KnownState,
    /// The layer already holds as many bytes of responses as it may, 64 MiB; see
    /// [`buffer_limit`](crate::ConditionalLayer::buffer_limit).
    Busy,
    /// The predicate given to [`tag_when`](crate::ConditionalLayer::tag_when) said no.
    Predicate,
    /// A HEAD was answered without the content that a GET would get; see
    /// [`head_as_get`](crate::ConditionalLayer::head_as_get).
    EmptyHead,
    /// The content is larger than
    /// [`buffer_limit`](crate::ConditionalLayer::buffer_limit).
    TooLarge,
    /// The content came in so many small frames that keeping them would take more
    /// memory than the limit allows.
    TooManyFrames,
    /// The content was not ready in time.
    NotReady,
    /// The body ended with an error; for a [`WriteGuard`](crate::WriteGuard), that of a
    /// request, which is answered with 400 (Bad Request).
    BodyError,
    /// The content was longer or shorter than the response said, or went on after its
    /// trailers.
    WrongLength,
    /// The source of a [`PreconditionLayer`](crate::PreconditionLayer) said
    /// [`Unknown`](crate::Representation::Unknown), and no precondition was required;
    /// or what the source takes from the request was rejected.
    UnknownState,
    /// The source of a [`PreconditionLayer`](crate::PreconditionLayer) failed for a
    /// request that does not write.
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

    /// Returns true if the content may have a tag that was not computed.
    ///
    /// If-Match does not fail then: the content may well have the tag that it names.
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
