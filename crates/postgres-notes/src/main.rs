//! Notes in PostgreSQL that lose no edit, with any number of processes.
//!
//! Run it with `DATABASE_URL=postgres://localhost/notes cargo run -p postgres-notes`.
//! Start more processes on other addresses with `ADDR=127.0.0.1:4000`.
//!
//! The preconditions of each write are evaluated inside the write's transaction, which
//! first locks the note's row. So the result is still true when the write is
//! committed, whatever other processes do. A layer in front of the handler could not
//! guarantee that.

use std::{env, error, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::{header::RETRY_AFTER, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
    Router,
};
use deadpool_postgres::{Manager, Pool, PoolError, Transaction};
use tokio::net::TcpListener;
use tokio_postgres::{error::SqlState, Config, NoTls};
use tower_conditional::{ConditionalLayer, EntityTag, Preconditions, Rejection, Representation};

type Result<T, E = Failure> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let notes = Notes::open(env::var("DATABASE_URL")?.parse()?).await?;
    let address = env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app(notes)).await?)
}

/// Makes the whole application. The layer answers with 304 if a client has the current
/// note, and passes writes through.
fn app(notes: Notes) -> Router {
    Router::new()
        .route("/notes/{id}", get(read).put(write).delete(delete))
        .with_state(Arc::new(notes))
        .layer(ConditionalLayer::new())
}

type Stored = State<Arc<Notes>>;

async fn read(State(notes): Stored, Path(id): Path<i64>) -> Result<(EntityTag, String)> {
    notes.find(id).await?.ok_or(Failure::Missing)
}

async fn write(
    State(notes): Stored,
    Path(id): Path<i64>,
    preconditions: Preconditions,
    text: String,
) -> Result<(EntityTag, StatusCode)> {
    notes.write(id, &preconditions, &text).await
}

async fn delete(
    State(notes): Stored,
    Path(id): Path<i64>,
    preconditions: Preconditions,
) -> Result<StatusCode> {
    notes.delete(id, &preconditions).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tables of the notes and of their versions.
///
/// **A version is never used twice**, even if notes are deleted and created again: all
/// versions come from one sequence, which a rollback does not set back. A counter in
/// the row would start again with a new row, and the tag of the deleted note would
/// match the new one.
const SCHEMA: &str = "
BEGIN;
-- Two processes may start at the same time.
SELECT pg_advisory_xact_lock(1);
CREATE SEQUENCE IF NOT EXISTS note_version;
CREATE TABLE IF NOT EXISTS note (
    id bigint PRIMARY KEY,
    version bigint NOT NULL UNIQUE,
    text text NOT NULL
);
CREATE TABLE IF NOT EXISTS revision (
    version bigint PRIMARY KEY,
    id bigint NOT NULL,
    previous bigint,
    text text -- NULL: deleted
);
COMMIT;";

/// Limits how long a lost host, or a process that hangs in a transaction, delays other
/// processes: five seconds.
const SESSION: &str = "-c lock_timeout=5s -c idle_in_transaction_session_timeout=5s";

struct Notes {
    pool: Pool,
}

impl Notes {
    async fn open(mut config: Config) -> Result<Self, Box<dyn error::Error>> {
        config.options(SESSION).connect_timeout(Duration::from_secs(5));
        let pool = Pool::builder(Manager::new(config, NoTls)).max_size(16).build()?;
        pool.get().await?.batch_execute(SCHEMA).await?;
        Ok(Self { pool })
    }

    async fn find(&self, id: i64) -> Result<Option<(EntityTag, String)>> {
        let sql = "SELECT version, text FROM note WHERE id = $1";
        let Some(row) = self.pool.get().await?.query_opt(sql, &[&id]).await? else {
            return Ok(None);
        };
        Ok(Some((tag(row.try_get(0)?), row.try_get(1)?)))
    }

    /// Saves a note if the preconditions hold. Returns its new tag, and the status of
    /// the answer: 201 if the note is new (RFC 9110, section 9.3.4).
    ///
    /// If this future is dropped, or the process ends, the transaction is rolled back.
    async fn write(
        &self,
        id: i64,
        preconditions: &Preconditions,
        text: &str,
    ) -> Result<(EntityTag, StatusCode)> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let before = lock(&transaction, id).await?;
        preconditions.check_required(state(before))?;

        let (sql, status) = if before.is_some() {
            let sql = "UPDATE note SET version = nextval('note_version'), text = $2 WHERE id = $1
                RETURNING version";
            (sql, StatusCode::NO_CONTENT)
        } else {
            // There was no row to lock. This inserts nothing if another writer was
            // faster.
            let sql = "INSERT INTO note VALUES ($1, nextval('note_version'), $2)
                ON CONFLICT DO NOTHING RETURNING version";
            (sql, StatusCode::CREATED)
        };
        let row = transaction.query_opt(sql, &[&id, &text]).await?.ok_or(Failure::Changed)?;
        let version: i64 = row.try_get(0)?;
        let sql = "INSERT INTO revision VALUES ($1, $2, $3, $4)";
        transaction.execute(sql, &[&version, &id, &before, &text]).await?;
        transaction.commit().await?;
        Ok((tag(version), status))
    }

    /// Deletes a note if the preconditions hold.
    async fn delete(&self, id: i64, preconditions: &Preconditions) -> Result<()> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        // A missing note is a 404, whatever the preconditions (RFC 9110, 13.2.1).
        let before = lock(&transaction, id).await?.ok_or(Failure::Missing)?;
        preconditions.check_required(tag(before))?;

        transaction.execute("DELETE FROM note WHERE id = $1", &[&id]).await?;
        let sql = "INSERT INTO revision VALUES (nextval('note_version'), $1, $2, NULL)";
        transaction.execute(sql, &[&id, &before]).await?;
        Ok(transaction.commit().await?)
    }
}

/// Locks a note until the transaction ends, and returns its version.
async fn lock(transaction: &Transaction<'_>, id: i64) -> Result<Option<i64>> {
    let sql = "SELECT version FROM note WHERE id = $1 FOR UPDATE";
    let row = transaction.query_opt(sql, &[&id]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Returns the state against which preconditions are evaluated.
fn state(version: Option<i64>) -> Representation {
    version.map_or(Representation::Missing, |version| Representation::Exists(tag(version).into()))
}

fn tag(version: i64) -> EntityTag {
    EntityTag::strong(format!("v{version}")).expect("a number has only digits")
}

/// Why a note was not read or written.
enum Failure {
    Missing,
    Refused(Rejection),
    /// Another process created the note between the check and the insertion.
    Changed,
    /// The note was locked for too long.
    Busy,
    Database(Box<dyn error::Error + Send + Sync>),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            Self::Busy
        } else {
            Self::Database(error.into())
        }
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::Database(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Missing => StatusCode::NOT_FOUND.into_response(),
            Self::Refused(rejection) => rejection.into_response(),
            Self::Changed => StatusCode::PRECONDITION_FAILED.into_response(),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response(),
            Self::Database(error) => {
                eprintln!("{error:?}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
