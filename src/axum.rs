//! The integration with Axum: an extractor, and conversions into responses.

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::request;

use crate::{
    clock,
    exchange::{insert_validators, Preconditions, Rejection},
    header_map::insert_field,
    rules::{EntityTag, HttpDate, Validators},
};

/// Extracts the preconditions of a request, and its method, which decides between 304
/// and 412.
///
/// The extraction never fails. If the request has no preconditions,
/// [`check`](Preconditions::check) succeeds. If the handler also has errors of another
/// type, such as `StatusCode`, let the handler return `axum::response::Result`.
///
/// # Examples
///
/// With this handler no edit is lost if clients send If-Match. If
/// [`check`](Preconditions::check) fails, `?` returns the 412. The handler stores the
/// content exactly as it was sent, so the answer may have the tag of the new content.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::{
///     extract::State,
///     http::StatusCode,
///     response::Result,
///     routing::put,
///     Router,
/// };
/// use tokio::sync::Mutex;
/// use tower_conditional::{EntityTag, Preconditions};
///
/// async fn write(
///     State(note): State<Arc<Mutex<String>>>,
///     preconditions: Preconditions,
///     new: String,
/// ) -> Result<(EntityTag, StatusCode)> {
///     let mut note = note.lock().await;
///     preconditions.check(EntityTag::of(note.as_bytes()))?;
///     *note = new;
///     Ok((EntityTag::of(note.as_bytes()), StatusCode::NO_CONTENT))
/// }
///
/// let app: Router =
///     Router::new().route("/note", put(write)).with_state(Arc::default());
/// # drop(app);
/// ```
impl<S: Sync> FromRequestParts<S> for Preconditions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        self.respond(clock::now(), Body::from)
    }
}

/// Sets `ETag`, so that a handler can return `(tag, Json(item))`.
///
/// In the answer to a PUT, send the tag of the new content: the client can use it for
/// the next edit, without a GET. **Do not send a tag if the content was not stored
/// exactly as it was sent** ([RFC 9110, section 9.3.4]), for example if it was parsed
/// and serialised again, trimmed, or completed with a date. The client would take this
/// tag for the tag of the content that it sent. An `Option<EntityTag>` that is `None`
/// sets no field.
///
/// A tag that ends with `~` and the name of a coding is sent with `~identity` at its
/// end; see [`EntityTag`].
///
/// # Examples
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse, routing::put, Router};
/// use tower_conditional::EntityTag;
///
/// async fn write(sent: String) -> impl IntoResponse {
///     let stored = sent.trim_end();
///     // Store the content here.
///     let tag = (stored == sent).then(|| EntityTag::of(stored.as_bytes()));
///     (tag, StatusCode::NO_CONTENT)
/// }
///
/// let app: Router = Router::new().route("/note", put(write));
/// # drop(app);
/// ```
///
/// [RFC 9110, section 9.3.4]: https://www.rfc-editor.org/rfc/rfc9110.html#section-9.3.4
impl IntoResponseParts for EntityTag {
    type Error = Infallible;

    fn into_response_parts(self, head: ResponseParts) -> Result<ResponseParts, Infallible> {
        Validators::from(self).into_response_parts(head)
    }
}

/// Makes an empty response with this `ETag`.
///
/// A handler can return `(StatusCode::NO_CONTENT, tag)`.
impl IntoResponse for EntityTag {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

/// Sets `Last-Modified`, if the date is before the current second.
///
/// In the current second the content may change again, and would get the same date
/// ([RFC 9110, section 8.8.2.2]).
///
/// [RFC 9110, section 8.8.2.2]: https://www.rfc-editor.org/rfc/rfc9110.html#section-8.8.2.2
impl IntoResponseParts for HttpDate {
    type Error = Infallible;

    fn into_response_parts(self, head: ResponseParts) -> Result<ResponseParts, Infallible> {
        Validators::new().last_modified(self).into_response_parts(head)
    }
}

/// Sets `ETag` and `Last-Modified`, as [`EntityTag`] and [`HttpDate`] do. A validator
/// that is `None` sets no field.
impl IntoResponseParts for Validators {
    type Error = Infallible;

    fn into_response_parts(self, mut head: ResponseParts) -> Result<ResponseParts, Infallible> {
        let (mut own, ()) = http::Response::new(()).into_parts();
        insert_validators(&mut own, &self, clock::now());
        for (name, value) in &own.headers {
            insert_field(head.headers_mut(), name.clone(), value.clone());
        }
        head.extensions_mut().extend(own.extensions);
        Ok(head)
    }
}
