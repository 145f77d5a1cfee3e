//! The table of notes.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{http::StatusCode, response::Result};
use rusqlite::{
    params, Connection, OptionalExtension, Row, Transaction, TransactionBehavior,
};
use tower_conditional::{EntityTag, Preconditions, Representation};

/// There is one counter for the versions of all notes. So no version is used twice,
/// even if notes are deleted and created again.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS counter (version INTEGER NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT * FROM counter);
CREATE TABLE IF NOT EXISTS note
    (name TEXT PRIMARY KEY, version INTEGER NOT NULL, json TEXT NOT NULL);";

#[derive(Clone)]
pub(crate) struct Notes(Arc<Mutex<Connection>>);

pub(crate) struct Note {
    pub(crate) tag: EntityTag,
    pub(crate) json: String,
}

impl Notes {
    pub(crate) fn open(file: &str) -> rusqlite::Result<Self> {
        let db = Connection::open(file)?;
        db.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(db))))
    }

    pub(crate) async fn names(&self, after: String) -> Result<Vec<String>> {
        self.with(move |db| names(db, &after)).await
    }

    pub(crate) async fn find(&self, name: String) -> Result<Option<Note>> {
        self.with(move |db| find(db, &name)).await
    }

    /// Changes a note if the preconditions hold. Returns the tag of the new version and
    /// the status of the answer. `change` gets the note, and returns the new one, or
    /// the status of the refusal. `None` is a note that does not exist. `change` stores
    /// nothing.
    pub(crate) async fn edit(
        &self,
        name: String,
        preconditions: Preconditions,
        change: impl FnOnce(Option<String>) -> Result<Option<String>, StatusCode>
            + Send
            + 'static,
    ) -> Result<(EntityTag, StatusCode)> {
        self.with(move |db| {
            // Until the commit, no other process can write, so the check stays true.
            let transaction =
                db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let note = find(&transaction, &name)?;
            let (state, done) = match &note {
                Some(note) => (Representation::from(&note.tag), StatusCode::NO_CONTENT),
                // The answer to a PUT that creates (RFC 9110, section 9.3.4).
                None => (Representation::Missing, StatusCode::CREATED),
            };
            // A 404 stays one, with any preconditions (RFC 9110, section 13.2.1).
            let json = match change(note.map(|note| note.json)) {
                Ok(json) => json,
                Err(status) => return Ok(Err(status.into())),
            };
            // 412, or 428 if there is no precondition. The transaction is rolled back.
            match preconditions.check_required(state) {
                Ok(()) => Ok(Ok((commit(transaction, &name, json)?, done))),
                Err(refusal) => Ok(Err(refusal.problem_details().into())),
            }
        })
        .await?
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let db = Arc::clone(&self.0);
        let work = move || work(&mut db.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(work).await;
        done.expect("the work does not panic").map_err(|error| {
            eprintln!("{error}");
            StatusCode::INTERNAL_SERVER_ERROR.into()
        })
    }
}

fn names(db: &Connection, after: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM note WHERE name > ?1 ORDER BY name LIMIT 100";
    db.prepare(sql)?.query_map([after], |row| row.get(0))?.collect()
}

fn find(db: &Connection, name: &str) -> rusqlite::Result<Option<Note>> {
    let sql = "SELECT version, json FROM note WHERE name = ?1";
    let note = |row: &Row<'_>| Ok(Note { tag: tag(row.get(0)?), json: row.get(1)? });
    db.query_row(sql, [name], note).optional()
}

fn commit(
    transaction: Transaction<'_>,
    name: &str,
    json: Option<String>,
) -> rusqlite::Result<EntityTag> {
    let sql = "UPDATE counter SET version = version + 1 RETURNING version";
    let version = transaction.query_row(sql, [], |row| row.get(0))?;
    match json {
        Some(json) => {
            let sql = "REPLACE INTO note VALUES (?1, ?2, ?3)";
            transaction.execute(sql, params![name, version, json])?
        }
        None => transaction.execute("DELETE FROM note WHERE name = ?1", [name])?,
    };
    transaction.commit()?;
    Ok(tag(version))
}

fn tag(version: i64) -> EntityTag {
    EntityTag::from(version.unsigned_abs())
}
