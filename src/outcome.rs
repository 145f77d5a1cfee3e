//! What became of one request, in a word.

use std::fmt;

/// What the layer did with one request.
///
/// It tells of the layer's own answers: a 304 that the inner service gave is
/// `LeftAlone(Reason::Status)`.
///
/// Read it from [`ResponseBody::outcome`](crate::ResponseBody::outcome), or, with
/// [`ConditionalLayer::report_outcome`](crate::ConditionalLayer::report_outcome), from
/// the response's extensions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The response is sent with a tag that was made from its content.
    Tagged,
    /// The preconditions were answered with 304 (Not Modified).
    NotModified,
    /// The preconditions were answered with 412 (Precondition Failed).
    PreconditionFailed,
    /// A write without a precondition was answered with 428 (Precondition Required).
    PreconditionRequired,
    /// The state of the resource could not be learned, and the request was refused for
    /// that.
    StateUnavailable,
    /// A part was not sent, because it may be of another version than the one that the
    /// client's If-Range names. The answer is 503, and the next try gets the whole.
    PartRefused,
    /// A write with preconditions was answered with 413 (Content Too Large): its
    /// content is larger than
    /// [`WriteGuard::body_limit`](crate::WriteGuard::body_limit).
    ContentTooLarge,
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
    /// The response is sent without a tag of the layer's making, or the request without
    /// its preconditions evaluated, and this is why.
    LeftAlone(Reason),
}

/// Why a response was left without a tag of the layer's making, or a request without
/// its preconditions evaluated.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The request was neither GET nor HEAD; or, for a
    /// [`PreconditionLayer`](crate::PreconditionLayer), it was one of
    /// OPTIONS, TRACE and CONNECT.
    Method,
    /// The predicate given to [`handle_when`](crate::ConditionalLayer::handle_when)
    /// said no.
    Request,
    /// The response is not a 200.
    Status,
    /// The response has an entity tag of its own; it is respected and preconditions are
    /// evaluated by it.
    OwnTag,
    /// The response has an `ETag` field that is no entity tag (quotes missing?). It is
    /// sent as it is, and evaluated as none.
    InvalidTag,
    /// The response carries [`Untagged`](crate::Untagged).
    Untagged,
    /// The response says `Cache-Control: no-store`.
    NoStore,
    /// The media type is one that is never finished: `text/event-stream`,
    /// `multipart/x-mixed-replace`, gRPC.
    Streaming,
    /// The response has a `Content-Range`: its content is a part, not the whole.
    Partial,
    /// The `Content-Security-Policy` has a nonce, which the content repeats: no two of
    /// them are the same.
    Nonce,
    /// An outer [`PreconditionLayer`](crate::PreconditionLayer) knows the validators, or
    /// a [`WriteGuard`](crate::WriteGuard) asked for none.
    KnownState,
    /// The layer holds as many bytes of responses as it may; see
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
    /// The content came in so many small frames that keeping them would cost more than
    /// the limit allows.
    TooManyFrames,
    /// The content was not ready in time.
    NotReady,
    /// The body ended with an error; for a [`WriteGuard`](crate::WriteGuard), that of a
    /// request, which is answered with 400 (Bad Request).
    BodyError,
    /// The content was longer or shorter than the response said, or went on behind its
    /// trailers.
    WrongLength,
    /// The source of a [`PreconditionLayer`](crate::PreconditionLayer) knew nothing of
    /// the resource.
    UnknownState,
    /// The source of a [`PreconditionLayer`](crate::PreconditionLayer) failed, and
    /// nothing was at stake.
    StateUnavailable,
}

impl fmt::Display for Outcome {
    /// Writes the outcome as one word or two, such as `not modified` or `left alone:
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
            Self::Busy => "busy",
            Self::AlreadyStored => "already stored",
            Self::Proceeded => "proceeded",
            Self::LeftAlone(reason) => return write!(f, "left alone: {reason}"),
        })
    }
}

impl fmt::Display for Reason {
    /// Writes the reason in a word or two, such as `too large`.
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

    /// Returns true if the content has a tag that was not found out, rather than none.
    ///
    /// If-Match then does not fail: it would by chance.
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
