//! Notes that lose no edit.

mod store;

use axum::{
    extract::{Path, Query, State},
    http::{header::CONTENT_TYPE, StatusCode},
    response::{IntoResponse, Result},
    routing::get,
    Json, Router,
};
use serde_json::{json, Map, Value};
use tokio::net::TcpListener;
use tower_conditional::{ConditionalLayer, EntityTag, Preconditions};

use self::store::Notes;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app("notes.sqlite")?).await?)
}

/// The layer tags the list, and answers reads of unchanged content with 304. Writes
/// pass through the layer to the handlers.
pub fn app(file: &str) -> rusqlite::Result<Router> {
    let api = Router::new()
        .route("/notes", get(list))
        .route("/notes/{name}", get(read).put(replace).patch(amend).delete(delete))
        .with_state(Notes::open(file)?);
    let layer = ConditionalLayer::new().problem_details(true);
    Ok(Router::new().nest("/api", api).layer(layer))
}

/// Lists a page of names. The next page is `/api/notes?after=NEXT`.
async fn list(
    notes: State<Notes>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>> {
    let after = query.into_iter().find(|(name, _)| name == "after");
    let names = notes.names(after.unwrap_or_default().1).await?;
    Ok(Json(json!({ "next": names.get(99), "names": names })))
}

async fn read(
    notes: State<Notes>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse> {
    let note = notes.find(name).await?.ok_or(StatusCode::NOT_FOUND)?;
    Ok((note.tag, [(CONTENT_TYPE, "application/json")], note.json))
}

/// Stores the bytes exactly as they were sent. So the response may have the tag of the
/// new note, and the client needs no GET before its next edit.
async fn replace(
    notes: State<Notes>,
    Path(name): Path<String>,
    preconditions: Preconditions,
    json: String,
) -> Result<(EntityTag, StatusCode)> {
    serde_json::from_str::<Map<_, _>>(&json).map_err(|_| StatusCode::BAD_REQUEST)?;
    notes.edit(name, preconditions, |_| Ok(Some(json))).await
}

/// Changes the members that the patch names, and keeps all others.
async fn amend(
    notes: State<Notes>,
    Path(name): Path<String>,
    preconditions: Preconditions,
    Json(patch): Json<Map<String, Value>>,
) -> Result<(EntityTag, StatusCode)> {
    let change = |json: Option<String>| {
        let note = serde_json::from_str(&json.ok_or(StatusCode::NOT_FOUND)?);
        let mut note: Map<_, _> = note.expect("only objects are stored");
        merge(&mut note, patch);
        Ok(Some(Value::Object(note).to_string()))
    };
    notes.edit(name, preconditions, change).await
}

/// Applies a JSON merge patch (RFC 7396). It removes the members that it names with
/// `null`.
fn merge(object: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match value {
            Value::Null => {
                object.remove(&name);
            }
            Value::Object(patch) => {
                let mut inner = match object.remove(&name) {
                    Some(Value::Object(inner)) => inner,
                    _ => Map::new(),
                };
                merge(&mut inner, patch);
                object.insert(name, inner.into());
            }
            value => {
                object.insert(name, value);
            }
        }
    }
}

async fn delete(
    notes: State<Notes>,
    Path(name): Path<String>,
    preconditions: Preconditions,
) -> Result<StatusCode> {
    let change = |json: Option<_>| json.map(|_| None).ok_or(StatusCode::NOT_FOUND);
    let (_, status) = notes.edit(name, preconditions, change).await?;
    Ok(status)
}
