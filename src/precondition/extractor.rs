//! A source that takes what it needs from the request with Axum's extractors.

use std::{fmt, future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use axum::{body::to_bytes, extract::FromRequestParts, response::IntoResponse};
use http::{request, Response};

use super::{
    config::FromSource,
    layer::PreconditionLayer,
    source::{IntoRepresentation, NoState, StateOrAnswer, StateSource},
};

/// A [`StateSource`] that gets what an extractor of Axum's takes from the request; see
/// [`PreconditionLayer::from_extractor`].
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
    /// Makes a layer as [`new`](PreconditionLayer::new) does, from a closure that takes
    /// an extractor of Axum's, or a tuple of them: the parameters of the path, say.
    ///
    /// It has to be inside the router, as `Router::layer` or `route_layer`, so that the
    /// path has been matched by then. `nest` may be around it.
    ///
    /// If the extractor rejects the request, its rejection is the answer, as it would
    /// be that of the handler: 400 (Bad Request) where the path has no number in it,
    /// and not the 503 of a source that fails.
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
    /// let notes = Router::new().route("/notes/{id}", put(|| async {})).layer(layer);
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
