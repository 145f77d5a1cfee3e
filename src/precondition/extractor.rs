//! A `StateSource` whose closure takes an Axum extractor instead of the request's head.

use std::{fmt, future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use axum::{body::to_bytes, extract::FromRequestParts, response::IntoResponse};
use http::{request, Response};

use super::{
    config::FromSource,
    layer::PreconditionLayer,
    source::{IntoRepresentation, StateOrAnswer, StateSource},
    source_error::NoState,
};

/// A [`StateSource`] whose closure takes an Axum extractor.
///
/// See [`PreconditionLayer::from_extractor`].
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub struct ExtractorSource<E, F> {
    state: Arc<F>,
    extractor: PhantomData<fn() -> E>,
}

impl<E, F, Fut> PreconditionLayer<FromSource<ExtractorSource<E, F>>>
where
    E: FromRequestParts<()> + Send + 'static,
    F: Fn(E) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoRepresentation<Error: Send>> + Send + 'static,
{
    /// Makes a layer from a closure that takes an Axum extractor, or a tuple of them.
    ///
    /// For example, `Path` passes the path parameters to the closure. Otherwise the
    /// layer works like one from [`new`](PreconditionLayer::new).
    ///
    /// The extractor must implement `FromRequestParts<()>`: it gets no state of the
    /// router. So `State` does not compile here. Move a clone of the state into the
    /// closure instead. If an extractor of your own needs the state, let it take the
    /// state from an `Extension`. The extractor may run twice for a read, as the
    /// closure does.
    ///
    /// Add the layer with `Router::route_layer`, so that the router matches the path
    /// before the layer runs. The router may be nested. `Router::layer` also works, but
    /// it wraps the fallback of the router, too. A fallback has no path parameters, so
    /// the extractor may fail there.
    ///
    /// If the extractor rejects the request, the client gets this rejection, as if the
    /// handler had used the extractor. In the example below, a path without a number
    /// gets 400 (Bad Request). The function of
    /// [`on_error`](PreconditionLayer::on_error) is not called.
    ///
    /// A rejection that is a server error (5xx) is not the fault of the request, so the
    /// client does not get it. The state is then not known: a write with preconditions
    /// gets 503 (Service Unavailable), and other requests are forwarded to the inner
    /// service. For example, `Path` fails in this way in a fallback, so a GET there
    /// gets the answer of the fallback, such as 404.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{collections::HashMap, sync::Arc};
    ///
    /// use axum::{body::Body, extract::Path, routing::put, Router};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_conditional::{EntityTag, PreconditionLayer, Representation};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let versions = Arc::new(HashMap::from([(7, 3_u64)]));
    /// let layer = PreconditionLayer::from_extractor(move |Path(id): Path<u64>| {
    ///     let version = versions.get(&id).copied();
    ///     async move {
    ///         match version {
    ///             Some(version) => Representation::from(EntityTag::from(version)),
    ///             None => Representation::Missing,
    ///         }
    ///     }
    /// });
    /// let notes =
    ///     Router::new().route("/notes/{id}", put(|| async {})).route_layer(layer);
    /// let app: Router = Router::new().nest("/api", notes);
    ///
    /// for (path, status) in [
    ///     ("/api/notes/7", StatusCode::OK),
    ///     ("/api/notes/8", StatusCode::PRECONDITION_FAILED),
    ///     ("/api/notes/x", StatusCode::BAD_REQUEST),
    /// ] {
    ///     let write = Request::put(path).header("if-match", "\"3\"");
    ///     let response = app.clone().oneshot(write.body(Body::empty())?).await?;
    ///     assert_eq!(response.status(), status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn from_extractor(state: F) -> Self {
        Self::from_source(ExtractorSource { state: Arc::new(state), extractor: PhantomData })
    }
}

impl<E, F, Fut> StateSource for ExtractorSource<E, F>
where
    E: FromRequestParts<()> + Send + 'static,
    F: Fn(E) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoRepresentation<Error: Send>> + Send + 'static,
{
    type Error = <Fut::Output as IntoRepresentation>::Error;
    type Future = Pin<Box<dyn Future<Output = StateOrAnswer<Self::Error>> + Send>>;

    fn state(&self, parts: &request::Parts) -> Self::Future {
        let (mut parts, state) = (parts.clone(), Arc::clone(&self.state));
        Box::pin(async move {
            let extracted = E::from_request_parts(&mut parts, &()).await;
            StateOrAnswer(match extracted.map_err(IntoResponse::into_response) {
                Ok(extracted) => state(extracted).await.into_result(),
                Err(rejection) => {
                    let (head, body) = rejection.into_parts();
                    let content = to_bytes(body, usize::MAX).await.unwrap_or_default();
                    Err(NoState::Answered(Box::new(Response::from_parts(head, content))))
                }
            })
        })
    }
}

impl<E, F> fmt::Debug for ExtractorSource<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractorSource").finish_non_exhaustive()
    }
}
