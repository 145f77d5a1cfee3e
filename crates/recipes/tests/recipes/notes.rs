//! Notes that lose no edit.

use std::{env, fs, path::PathBuf, process, sync::atomic};

use http::Request;
use serde_json::{json, Value};

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/notes/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

/// A database of its own for each test.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static COUNT: atomic::AtomicU32 = atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, atomic::Ordering::Relaxed);
        Self(env::temp_dir().join(format!("notes_{}_{number}.sqlite", process::id())))
    }

    async fn serve(&self) -> Server {
        Server::new(program::app(self.0.to_str().unwrap()).unwrap()).await
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

const ANY: (&str, &str) = ("if-none-match", "*");
const JSON: (&str, &str) = ("content-type", "application/json");
const MERGE_PATCH: (&str, &str) = ("content-type", "application/merge-patch+json");

#[tokio::test]
async fn notes_are_not_overwritten_by_the_second_editor() {
    let file = File::new();
    let server = file.serve().await;
    for (method, fields, content, status, tag) in [
        ("GET", &[][..], "", 404, ""),
        // A PUT would create it.
        ("PUT", &[("if-match", "\"1\"")], "{}", 412, ""),
        ("PUT", &[], "{}", 428, ""),
        ("PATCH", &[JSON], "{}", 404, ""),
        ("PATCH", &[JSON, ("if-match", "\"1\"")], "{}", 404, ""),
        ("PATCH", &[JSON, ANY], "{}", 404, ""),
        ("DELETE", &[], "", 404, ""),
        ("DELETE", &[("if-match", "*")], "", 404, ""),
        ("PUT", &[ANY], "[]", 400, ""),
        ("PUT", &[ANY], r#"{ "a": 1 }"#, 201, "\"1\""),
        ("PUT", &[ANY], "{}", 412, "\"1\""),
        ("PUT", &[], "{}", 428, "\"1\""),
        ("GET", &[], "", 200, "\"1\""),
        ("GET", &[("if-none-match", "\"1\"")], "", 304, "\"1\""),
        ("PUT", &[("if-match", "\"1\"")], r#"{"a":2}"#, 204, "\"2\""),
        ("PUT", &[("if-match", "\"1\"")], r#"{"a":3}"#, 412, "\"2\""),
        ("PATCH", &[JSON], r#"{"b":3}"#, 428, "\"2\""),
        ("PATCH", &[JSON, ("if-match", "\"1\"")], r#"{"b":3}"#, 412, "\"2\""),
        ("PATCH", &[JSON, ("if-match", "\"2\"")], r#"{"a":null,"b":3}"#, 204, "\"3\""),
        ("GET", &[("if-none-match", "\"2\"")], "", 200, "\"3\""),
    ] {
        let reply = server.ask(method, "/api/notes/one", fields, content).await;
        assert_eq!(
            (reply.status, reply.tag()),
            (status, tag),
            "{method} {fields:?} {content}"
        );
    }
    assert_eq!(server.get("/api/notes/one", &[]).await.text(), r#"{"b":3}"#);
}

#[tokio::test]
async fn notes_tell_a_program_what_to_send() {
    let file = File::new();
    let server = file.serve().await;
    assert_shown(&server, "Notes that lose no edit").await;
    for (fields, status, failed) in [
        (&[][..], 428, Value::Null),
        (&[("if-match", "\"0\"")], 412, json!("if-match")),
    ] {
        let reply = server.ask("DELETE", "/api/notes/one", fields, "").await;
        assert_eq!((reply.status, reply.field("content-type")), (status, PROBLEM));
        let problem: Value = serde_json::from_slice(&reply.content).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["failed_field"], failed);
        assert_eq!(problem["current_etag"], "\"2\"");
    }
}

/// As RFC 7396 says: a patch changes what it names, and nothing else.
#[tokio::test]
async fn notes_are_amended_as_the_patch_says() {
    let file = File::new();
    let server = file.serve().await;
    for (number, (note, patch, amended)) in [
        // Only a `null` in the patch removes a member.
        (r#"{"a":null,"b":1}"#, r#"{"c":2}"#, r#"{"a":null,"b":1,"c":2}"#),
        (r#"{"a":null,"b":1}"#, r#"{"a":null,"c":null}"#, r#"{"b":1}"#),
        (r#"{"a":{"b":null}}"#, r#"{"a":{"c":1}}"#, r#"{"a":{"b":null,"c":1}}"#),
        (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":null}}"#, r#"{"a":{"c":2}}"#),
        // What is no object is replaced.
        (r#"{"a":1}"#, r#"{"a":{"b":null,"c":{"d":3}}}"#, r#"{"a":{"c":{"d":3}}}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":[null]}"#, r#"{"a":[null]}"#),
        (r#"{"a":[{"b":1}]}"#, r#"{"a":[{"c":null}]}"#, r#"{"a":[{"c":null}]}"#),
        (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/api/notes/{number}");
        let created = server.ask("PUT", &path, &[ANY], note).await;
        let fields = [MERGE_PATCH, ("if-match", created.tag())];
        assert_eq!(server.ask("PATCH", &path, &fields, patch).await.status, 204);
        assert_eq!(server.get(&path, &[]).await.text(), amended, "{note} {patch}");
    }
}

const PROBLEM: &str = "application/problem+json";

#[tokio::test]
async fn notes_that_are_created_again_have_another_version() {
    let file = File::new();
    let server = file.serve().await;
    let path = "/api/notes/one";
    let first = server.ask("PUT", path, &[ANY], "{}").await;
    let old = ("if-match", first.tag());
    assert_eq!(server.ask("DELETE", path, &[old], "").await.status, 204);
    assert_eq!(server.get(path, &[]).await.status, 404);
    assert_eq!(server.ask("DELETE", path, &[old], "").await.status, 404);
    let second = server.ask("PUT", path, &[ANY], "{}").await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_ne!(second.tag(), first.tag());
    assert_eq!(server.ask("PUT", path, &[old], "{}").await.status, 412);
    assert_eq!(server.get(path, &[("if-none-match", first.tag())]).await.status, 200);
    // A process that starts later goes on counting.
    let later = file.serve().await;
    let third = later.ask("PUT", path, &[("if-match", second.tag())], "{}").await;
    assert_eq!((third.status, third.tag()), (204, "\"4\""));
}

#[tokio::test]
async fn notes_are_listed_by_the_page() {
    let file = File::new();
    let server = file.serve().await;
    for number in 0..150 {
        let path = format!("/api/notes/{number:03}");
        assert_eq!(server.ask("PUT", &path, &[ANY], "{}").await.status, 201);
    }
    assert_revalidates(&server, "/api/notes", &[]).await;
    let (mut names, mut path) = (Vec::new(), "/api/notes".to_owned());
    loop {
        let reply = server.get(&path, &[]).await;
        let page: Value = serde_json::from_slice(&reply.content).unwrap();
        names.extend(page["names"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/notes?after={next}");
    }
    assert_eq!(
        names,
        (0..150).map(|number| json!(format!("{number:03}"))).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn notes_conform() {
    let file = File::new();
    let server = file.serve().await;
    server.ask("PUT", "/api/notes/one", &[ANY], r#"{"a":1}"#).await;
    let write = Request::put("/api/notes/one").body(r#"{"a":2}"#).unwrap();
    assert_conforms(&server.check("/api/notes/one").writes(write).await, &[]);
    assert_conforms(&server.check("/api/notes").await, &[]);
}

/// Two processes have the file open, and 32 writers each have the same version.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn notes_let_one_of_many_writers_win() {
    let file = File::new();
    // Whether the disk has it is not the question here.
    let db = rusqlite::Connection::open(&file.0).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    let servers = [file.serve().await, file.serve().await];
    let mut tag =
        servers[0].ask("PUT", "/api/notes/one", &[ANY], "{}").await.tag().to_owned();
    for round in 0..100 {
        let writers = (0..64).map(|writer| {
            let (server, tag) = (servers[writer % 2].clone(), tag.clone());
            tokio::spawn(async move {
                let content = json!({ "round": round, "writer": writer }).to_string();
                let fields = [("if-match", &*tag)];
                let reply =
                    server.ask("PUT", "/api/notes/one", &fields, &content).await;
                (reply.status, reply.tag().to_owned(), content)
            })
        });
        let mut won = Vec::new();
        for task in writers.collect::<Vec<_>>() {
            match task.await.unwrap() {
                (204, tag, content) => won.push((tag, content)),
                (status, ..) => assert_eq!(status, 412),
            }
        }
        let [(new, content)] = &*won else { panic!("round {round}: {won:?} won") };
        for server in &servers {
            let reply = server.get("/api/notes/one", &[]).await;
            assert_eq!((reply.tag(), reply.text()), (&**new, &**content));
        }
        tag.clone_from(new);
    }
}
