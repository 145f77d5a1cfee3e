//! What is claimed.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{http::StatusCode, BoxError};
use futures_util::future::join_all;
use libtest_mimic::{Completion, Trial};
use tokio::sync::watch;

use crate::{
    client::{Client, If, Reply},
    server::{Application, Database, Postgres, Programs},
};

/// Makes the tests; the first that runs starts the server, which is kept for the
/// others.
pub(crate) fn trials(server: &Arc<OnceLock<Postgres>>) -> Vec<Trial> {
    macro_rules! trials {
        ($($test:ident,)+) => { vec![$(trial(stringify!($test), Arc::clone(server), $test)),+] };
    }
    trials![
        of_64_writers_in_two_processes_one_wins,
        a_version_never_comes_back,
        a_process_killed_between_two_statements_leaves_no_half,
        no_edit_is_lost_when_processes_are_killed,
    ]
}

fn trial<F: Future<Output = ()>>(
    name: &'static str,
    server: Arc<OnceLock<Postgres>>,
    test: impl FnOnce(Database) -> F + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let programs = match Programs::find() {
            Ok(programs) => programs,
            Err(reason) => return Ok(Completion::ignored_with(reason)),
        };
        let server = server.get_or_init(|| Postgres::start(&programs));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async { test(server.database(name).await).await });
        Ok(Completion::Completed)
    })
}

const WRITERS: usize = 64;
const ROUNDS: usize = 30;

/// Each round, 64 writers change what the last round's winner left; every third, they
/// create it anew.
async fn of_64_writers_in_two_processes_one_wins(database: Database) {
    let (client, processes) = (Client::new(), [database.application(), database.application()]);
    let urls = processes.each_ref().map(|process| format!("{}/notes/1", process.url));
    let mut before = String::new();
    for round in 0..ROUNDS {
        if round % 3 == 0 && round > 0 {
            let reply = client.delete(&urls[round % 2], If::Is(&before)).await.unwrap();
            assert_eq!(reply.status, StatusCode::NO_CONTENT);
            before.clear();
        }
        let is_new = before.is_empty();
        let success = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
        let writes = (0..WRITERS).map(|writer| {
            let condition = if is_new { If::IsMissing } else { If::Is(&before) };
            client.put(&urls[writer % 2], condition, format!("{round} {writer}"))
        });
        let replies: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
        let won = |reply: &Reply| reply.status == success;
        let winners: Vec<_> = (0..WRITERS).filter(|writer| won(&replies[*writer])).collect();
        let [winner] = winners[..] else { panic!("round {round}: {winners:?} won") };
        for reply in &replies {
            assert!(won(reply) || reply.status == StatusCode::PRECONDITION_FAILED, "{reply:?}");
        }
        before = replies[winner].tag.clone();
        for url in &urls {
            let reply = client.get(url).await.unwrap();
            assert_eq!((reply.tag, reply.text), (before.clone(), format!("{round} {winner}")));
        }
    }
    assert_history(&database.client).await;
}

async fn a_version_never_comes_back(database: Database) {
    let (client, mut tags) = (Client::new(), Vec::<String>::new());
    for round in 0..3 {
        // A new process each time: nothing that it remembers is needed.
        let process = database.application();
        let url = format!("{}/notes/1", process.url);
        let created = client.put(&url, If::IsMissing, "same".into()).await.unwrap();
        assert_eq!(created.status, StatusCode::CREATED, "{round}");
        let unguarded = client.put(&url, If::Nothing, "lost".into()).await.unwrap();
        assert_eq!(unguarded.status, StatusCode::PRECONDITION_REQUIRED, "{round}");
        // Those are tags of the notes that were deleted.
        for old in &tags {
            let stale = client.put(&url, If::Is(old), "lost".into()).await.unwrap();
            assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{round}: {old}");
            let stale = client.delete(&url, If::Is(old)).await.unwrap();
            assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "{round}: {old}");
        }
        let deleted = client.delete(&url, If::Is(&created.tag)).await.unwrap();
        assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{round}");
        tags.push(created.tag);
    }
    assert_history(&database.client).await;
}

/// The process is killed when its transaction has changed the note, and not yet the
/// history.
async fn a_process_killed_between_two_statements_leaves_no_half(database: Database) {
    let (client, behind) = (Client::new(), &database.client);
    let [doomed, other] = [database.application(), database.application()];
    let urls = [&doomed, &other].map(|process| format!("{}/notes/1", process.url));
    let created = client.put(&urls[0], If::IsMissing, "before".into()).await.unwrap();

    behind.batch_execute("BEGIN; LOCK TABLE revision IN SHARE MODE").await.unwrap();
    let write = |client: Client, url: String, tag: String, text: &'static str| {
        tokio::spawn(async move { client.put(&url, If::Is(&tag), text.into()).await })
    };
    let half = write(client.clone(), urls[0].clone(), created.tag.clone(), "half");
    wait_for_connections(behind, WAITING_FOR_A_LOCK, 1).await;
    let waiting = write(client.clone(), urls[1].clone(), created.tag.clone(), "whole");
    wait_for_connections(behind, WAITING_FOR_A_LOCK, 2).await;
    doomed.kill();
    assert!(half.await.unwrap().is_err(), "its client is not answered");
    let seen = client.get(&urls[1]).await.unwrap();
    assert_eq!((&*seen.text, &seen.tag), ("before", &created.tag));

    behind.batch_execute("ROLLBACK").await.unwrap();
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "no other write came first");
    let seen = client.get(&urls[1]).await.unwrap();
    assert_eq!((&*seen.text, &seen.tag), ("whole", &reply.tag));
    assert_eq!(assert_history(&database.client).await.len(), 2);
}

/// How often a process is killed, and how many writers each has.
const KILLS: u64 = 12;
const WRITERS_EACH: usize = 8;

/// Each writer adds lines to one note, and reads it again when it was refused.
/// Processes are killed and started again meanwhile.
async fn no_edit_is_lost_when_processes_are_killed(database: Database) {
    let mut processes = [database.application(), database.application()];
    let (urls, _) = watch::channel(processes.each_ref().map(url_of));
    let (client, url) = (Client::new(), url_of(&processes[0]));
    let created = client.put(&url, If::IsMissing, String::new()).await.unwrap();
    assert_eq!(created.status, StatusCode::CREATED);
    let writers = (0..2 * WRITERS_EACH)
        .map(|writer| tokio::spawn(add_lines(writer, urls.subscribe())))
        .collect::<Vec<_>>();

    for kill in 0..KILLS {
        let which = usize::from(kill % 2 == 1);
        tokio::time::sleep(Duration::from_millis(50 + kill * 37 % 100)).await;
        std::mem::replace(&mut processes[which], database.application()).kill();
        urls.send_modify(|urls| urls[which] = url_of(&processes[which]));
    }
    drop(urls);
    let mut lines = HashMap::new();
    for writer in writers {
        lines.extend(writer.await.unwrap());
    }

    // What a killed process has sent last may be committed after its end.
    drop(processes);
    wait_for_connections(&database.client, "pid <> pg_backend_pid()", 0).await;
    let revisions = assert_history(&database.client).await;
    let text = revisions.last().unwrap().as_deref().unwrap();
    assert_eq!(revisions.len(), text.lines().count() + 1);
    for line in text.lines() {
        assert!(lines.remove(line).is_some(), "twice, or written by none: {line}");
    }
    // What is left was not written, and its writer was not told that it was.
    let lost: Vec<_> = lines.iter().filter(|(_, end)| **end == End::Saved).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(!lines.is_empty(), "none was killed in the middle of a write");
}

/// What became of a line, as far as its writer knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Saved,
    /// The process was killed before it answered.
    Unknown,
}

/// Adds line after line, until there are no more processes to be had.
async fn add_lines(writer: usize, urls: watch::Receiver<[String; 2]>) -> Vec<(String, End)> {
    let (client, mut ends) = (Client::new(), Vec::new());
    while urls.has_changed().is_ok() {
        let line = format!("{writer}.{}", ends.len());
        let url = urls.borrow()[writer % 2].clone();
        match add_line(&client, &url, &line).await {
            Ok(()) => ends.push((line, End::Saved)),
            // It is started again by and by.
            Err(_) => {
                ends.push((line, End::Unknown));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    ends
}

/// Adds a line to what the note says now, as often as another writer is faster.
async fn add_line(client: &Client, url: &str, line: &str) -> Result<(), BoxError> {
    loop {
        let before = client.get(url).await?;
        assert_eq!(before.status, StatusCode::OK);
        let text = format!("{}{line}\n", before.text);
        match client.put(url, If::Is(&before.tag), text).await?.status {
            StatusCode::NO_CONTENT => return Ok(()),
            status => assert_eq!(status, StatusCode::PRECONDITION_FAILED),
        }
    }
}

fn url_of(process: &Application) -> String {
    format!("{}/notes/1", process.url)
}

const WAITING_FOR_A_LOCK: &str = "wait_event_type = 'Lock'";

/// Waits until so many connections to a database are in a state.
async fn wait_for_connections(database: &tokio_postgres::Client, state: &str, count: i64) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend' AND {state}"
    );
    let waiting = async {
        while database.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect(state);
}

/// Checks that each revision of the note was made of the one before it, and that the
/// note is the last one; returns their texts.
async fn assert_history(database: &tokio_postgres::Client) -> Vec<Option<String>> {
    let sql = "SELECT version, previous, text FROM revision WHERE id = 1 ORDER BY version";
    let (mut last, mut texts) = (None, Vec::new());
    for revision in database.query(sql, &[]).await.unwrap() {
        assert_eq!(revision.get::<_, Option<i64>>("previous"), last);
        texts.push(revision.get::<_, Option<String>>("text"));
        last = texts.last().unwrap().as_ref().map(|_| revision.get("version"));
    }
    let sql = "SELECT version, text FROM note WHERE id = 1";
    let note = database.query_opt(sql, &[]).await.unwrap();
    assert_eq!(note.as_ref().map(|note| note.get("version")), last);
    assert_eq!(note.map(|note| note.get("text")), texts.last().cloned().flatten());
    texts
}
