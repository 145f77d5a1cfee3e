//! Layers of the `Router`, and services around it.

use axum::{
    extract::{MatchedPath, Path, Request},
    middleware::{from_fn, Next},
    response::Response,
    routing::get,
    Router, ServiceExt,
};
use tokio::net::TcpListener;
use tower::Layer;
use tower_conditional::{ConditionalLayer, Outcome};
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, ServiceExt::<Request>::into_make_service(app())).await
}

/// Middleware that changes the path wraps the whole `Router`, because it must run
/// before routing. Middleware that reads the route, and `ConditionalLayer`, are layers
/// of the `Router`.
pub fn app() -> NormalizePath<Router> {
    let router = Router::new()
        .route("/notes/{id}", get(note))
        .layer(ConditionalLayer::new().report_outcome(true))
        .route_layer(from_fn(note_outcome));
    NormalizePathLayer::trim_trailing_slash().layer(router)
}

async fn note(Path(id): Path<u32>) -> String {
    format!("the text of note {id}")
}

/// Prints the route, the status and the outcome of the inner layer. There are few
/// routes, so a route makes a good label of a metric.
async fn note_outcome(route: MatchedPath, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let outcome = response.extensions().get::<Outcome>();
    eprintln!("{} {} {outcome:?}", route.as_str(), response.status());
    response
}
