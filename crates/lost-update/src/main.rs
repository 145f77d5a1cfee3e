//! Two editors, one note, a SQL database: the second to save is told so, and nothing is
//! overwritten.
//!
//! Run with `cargo run -p lost-update`.
//!
//! The layer in front refuses most of what is stale, and answers reads that match
//! without the handler. But only the check inside the transaction is sound: between the
//! layer's look and the write another writer may come, from another process too.
#![allow(clippy::print_stdout)]

use std::{
    env, error, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{self, State},
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
    Router,
};
use http_body_util::BodyExt;
use rusqlite::{params, Connection, OptionalExtension, TransactionBehavior};
use tower::ServiceExt;
use tower_conditional::{EntityTag, PreconditionLayer, Preconditions, Rejection, Representation};

type Result<T, E = Failure> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let file = env::temp_dir().join(format!("lost_update_{}.sqlite", std::process::id()));
    let app = app(&file)?;

    let (_, _, tag) = show(&app, "PUT", &[("if-none-match", "*")], "A first draft.").await?;
    println!("Two editors fetch it.\n");
    show(&app, "GET", &[], "").await?;
    show(&app, "GET", &[], "").await?;
    println!("Both save, and say which version they changed.\n");
    show(&app, "PUT", &[("if-match", &tag)], "A first draft, with a better start.").await?;
    show(&app, "PUT", &[("if-match", &tag)], "A first draft, with a better end.").await?;
    println!("Who forgets to say so is told to.\n");
    show(&app, "PUT", &[], "Something else.").await?;
    let (_, content, _) = show(&app, "GET", &[("if-none-match", &tag)], "").await?;
    assert_eq!(content, "A first draft, with a better start.");

    drop(app);
    Ok(fs::remove_file(file)?)
}

/// Sends a request and prints what it comes to.
async fn show(
    app: &Router,
    method: &str,
    lines: &[(&str, &str)],
    content: &str,
) -> Result<(StatusCode, String, String), Box<dyn error::Error>> {
    println!("> {method} /notes/1");
    let mut request = Request::builder().method(method).uri("/notes/1");
    for (name, value) in lines {
        println!("> {name}: {value}");
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::from(content.to_owned()))?).await?;
    let (head, body) = response.into_parts();
    let tag =
        head.headers.get("etag").map_or("", |tag| tag.to_str().unwrap_or_default()).to_owned();
    let content = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    println!("< {}\n< etag: {tag}\n{content}\n", head.status);
    Ok((head.status, content, tag))
}

/// The whole application, with its notes in a file.
pub fn app(file: &Path) -> rusqlite::Result<Router> {
    let notes = Arc::new(Notes::open(file)?);
    let source = Arc::clone(&notes);
    let layer = PreconditionLayer::new(move |parts| {
        let (notes, id) = (Arc::clone(&source), id_in(parts.uri.path()));
        async move {
            match id {
                Some(id) => blocking(move || notes.state(id)).await,
                None => Ok(Representation::Unknown),
            }
        }
    });
    Ok(Router::new().route("/notes/{id}", get(read).put(write)).with_state(notes).layer(layer))
}

fn id_in(path: &str) -> Option<i64> {
    path.strip_prefix("/notes/")?.parse().ok()
}

async fn read(
    State(notes): State<Arc<Notes>>,
    extract::Path(id): extract::Path<i64>,
) -> Result<impl IntoResponse> {
    match blocking(move || notes.find(id)).await? {
        Some(note) => Ok((note.tag(), note.text)),
        None => Err(Failure::Missing),
    }
}

async fn write(
    State(notes): State<Arc<Notes>>,
    extract::Path(id): extract::Path<i64>,
    asked: Preconditions,
    text: String,
) -> Result<(EntityTag, StatusCode)> {
    let note = blocking(move || notes.write(id, &asked, text)).await?;
    Ok((note.tag(), StatusCode::NO_CONTENT))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Cancelled)?
}

/// The table of notes. A note is never deleted, and so no version of it comes twice.
struct Notes {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

struct Note {
    version: i64,
    text: String,
}

impl Note {
    fn tag(&self) -> EntityTag {
        EntityTag::strong(format!("v{}", self.version)).expect("a number has only digits")
    }
}

impl Notes {
    fn open(file: &Path) -> rusqlite::Result<Self> {
        let notes = Self { file: file.to_owned(), idle: Mutex::default() };
        notes.with(|connection| {
            let sql = "CREATE TABLE IF NOT EXISTS note \
                       (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, text TEXT NOT NULL)";
            connection.execute(sql, [])
        })?;
        Ok(notes)
    }

    fn find(&self, id: i64) -> Result<Option<Note>> {
        Ok(self.with(|connection| find(connection, id))?)
    }

    /// What the preconditions of a request are judged by.
    fn state(&self, id: i64) -> Result<Representation> {
        Ok(state(self.find(id)?.as_ref()))
    }

    /// Saves a note, if the preconditions hold.
    fn write(&self, id: i64, asked: &Preconditions, text: String) -> Result<Note> {
        self.with(|connection| {
            // It has the right to write from its start on, so that what it reads stays
            // true.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let current = find(&transaction, id)?;
            asked.check_required(state(current.as_ref()))?;

            let before = current.map_or(0, |note| note.version);
            let note = Note { version: before + 1, text };
            let changed = if before == 0 {
                let sql = "INSERT INTO note (id, version, text) VALUES (?1, ?2, ?3)";
                transaction.execute(sql, params![id, note.version, note.text])?
            } else {
                // In a database whose transactions see less of each other, this is what
                // finds that the version is another.
                let sql = "UPDATE note SET version = ?2, text = ?3 WHERE id = ?1 AND version = ?4";
                transaction.execute(sql, params![id, note.version, note.text, before])?
            };
            if changed != 1 {
                return Err(Failure::Changed);
            }
            transaction.commit()?;
            Ok(note)
        })
    }

    /// Lends a connection.
    fn with<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = idle.map_or_else(|| connect(&self.file), Ok)?;
        let result = work(&mut connection);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    Ok(connection)
}

fn find(connection: &Connection, id: i64) -> rusqlite::Result<Option<Note>> {
    let sql = "SELECT version, text FROM note WHERE id = ?1";
    connection
        .query_row(sql, [id], |row| Ok(Note { version: row.get(0)?, text: row.get(1)? }))
        .optional()
}

fn state(note: Option<&Note>) -> Representation {
    note.map_or(Representation::Missing, |note| Representation::Exists(note.tag().into()))
}

/// Why a note was not read or written.
enum Failure {
    Missing,
    Refused(Rejection),
    /// Somebody else was faster, and the database found out.
    Changed,
    Cancelled,
    Database(rusqlite::Error),
}

impl From<Rejection> for Failure {
    fn from(refusal: Rejection) -> Self {
        Self::Refused(refusal)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Missing => StatusCode::NOT_FOUND.into_response(),
            Self::Refused(refusal) => refusal.into_response(),
            Self::Changed => StatusCode::PRECONDITION_FAILED.into_response(),
            Self::Cancelled => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Self::Database(error) => {
                eprintln!("{error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
