//! The example with a database: of many writers who saw the same version, one wins.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{env, fs, path::PathBuf, process};

use axum::{
    body::Body,
    http::{Request, StatusCode},
    Router,
};
use http_body_util::BodyExt;
use tower::ServiceExt;

#[path = "../src/main.rs"]
#[allow(dead_code, unreachable_pub)]
mod lost_update;

struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("{name}_{}.sqlite", process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

async fn ask(
    app: Router,
    method: &str,
    uri: &str,
    line: Option<(&str, &str)>,
    text: &str,
) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(uri);
    let request =
        line.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let (head, body) =
        app.oneshot(request.body(Body::from(text.to_owned())).unwrap()).await.unwrap().into_parts();
    let tag = head.headers.get("etag").map_or("", |tag| tag.to_str().unwrap()).to_owned();
    (
        head.status.as_u16(),
        tag,
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn the_second_of_two_editors_overwrites_nothing() {
    let file = File::new("two_editors");
    let app = lost_update::app(&file.0).unwrap();
    let (any, v1, v2) = (Some(("if-none-match", "*")), Some(("if-match", "\"v1\"")), "\"v2\"");
    for (method, line, text, status, tag) in [
        ("GET", None, "", 404, ""),
        ("PUT", v1, "too early", 412, ""),
        ("PUT", None, "unguarded", 428, ""),
        ("PUT", any, "first", 204, "\"v1\""),
        ("PUT", any, "again", 412, "\"v1\""),
        ("PUT", v1, "second", 204, v2),
        ("PUT", v1, "third", 412, v2),
        ("GET", Some(("if-none-match", v2)), "", 304, v2),
        ("GET", v1, "", 412, v2),
    ] {
        let (got, etag, _) = ask(app.clone(), method, "/notes/1", line, text).await;
        assert_eq!((got, &*etag), (status, tag), "{method} {line:?} {text}");
    }
    assert_eq!(
        ask(app, "GET", "/notes/1", None, "").await,
        (200, v2.to_owned(), "second".to_owned())
    );
}

#[test]
fn of_many_writers_who_saw_the_same_version_one_wins() {
    let file = File::new("many_writers");
    // What the disk says is not the question here.
    rusqlite::Connection::open(&file.0)
        .unwrap()
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    let app = lost_update::app(&file.0).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(
            ask(app.clone(), "PUT", "/notes/1", Some(("if-none-match", "*")), "").await.0,
            204
        );
        for round in 1..=300 {
            let tag = format!("\"v{round}\"");
            let writers = (0..64).map(|writer| {
                let (app, tag) = (app.clone(), tag.clone());
                let text = format!("{round} {writer}");
                tokio::spawn(async move {
                    ask(app, "PUT", "/notes/1", Some(("if-match", &tag)), &text).await.0
                })
            });
            let mut won = Vec::new();
            for (writer, task) in writers.collect::<Vec<_>>().into_iter().enumerate() {
                match StatusCode::from_u16(task.await.unwrap()).unwrap() {
                    StatusCode::NO_CONTENT => won.push(writer),
                    status => assert_eq!(status, 412),
                }
            }
            let [winner] = won[..] else { panic!("round {round}: {won:?} won") };
            let content = ask(app.clone(), "GET", "/notes/1", None, "").await.2;
            assert_eq!(content, format!("{round} {winner}"));
        }
    });
}
