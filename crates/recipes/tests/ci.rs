//! The check of an application in CI, one test for each resource.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{extract::State, http::Request, routing::get, Router};
use tower_conditional::{ConditionalLayer, EntityTag, Preconditions, Rejection};
use tower_conditional_conformance::check;

/// Replace this with your application.
fn app() -> Router {
    Router::new()
        .route("/note", get(read).put(write))
        .with_state(Arc::new(Mutex::new("text".to_owned())))
        .layer(ConditionalLayer::new())
}

type Note = State<Arc<Mutex<String>>>;

async fn read(State(note): Note) -> String {
    note.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn write(
    State(note): Note,
    preconditions: Preconditions,
    text: String,
) -> Result<(), Rejection> {
    let mut note = note.lock().unwrap_or_else(PoisonError::into_inner);
    preconditions.check_required(EntityTag::of(note.as_bytes()))?;
    *note = format!("{text}, after {} bytes", note.len());
    Ok(())
}

#[tokio::test]
async fn note_revalidates_and_loses_no_edit() {
    let write = Request::put("/note").body("new text").expect("a valid request");
    let report = check(app(), "/note").writes(write).await;
    report.assert_ok();
    // `assert_ok` lets a SHOULD fail. This does not.
    assert_eq!(report.failures().count(), 0, "{report}");
}
