//! The transcript in the README is what the example prints.

use axum::body::{to_bytes, Body};
use http::{HeaderValue, Method, Request};
use tower::ServiceExt;

#[path = "../../examples/axum.rs"]
#[allow(dead_code)]
mod example;

/// One `curl` command of the README: what it sends, and the lines that it prints.
struct Shown {
    request: Request<Body>,
    lines: Vec<String>,
}

fn transcript() -> Vec<Shown> {
    let readme = include_str!("../../README.md");
    let block = readme.split("```").find(|block| block.starts_with("console\n$ curl")).unwrap();
    let commands = block.split("$ curl ").skip(1);
    let shown = commands.map(|text| {
        let mut lines = text.lines().map(str::to_owned);
        let command = lines.next().unwrap();
        let mut request = Request::builder();
        if command.starts_with("-I") {
            request = request.method(Method::HEAD);
        }
        let mut content = Body::empty();
        if let Some((_, json)) = command.split_once("-X PUT") {
            request = request.method(Method::PUT).header("content-type", "application/json");
            let (_, json) = json.split_once("--json '").unwrap();
            content = json.split('\'').next().unwrap().to_owned().into();
        }
        let url = command.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        if let Some((_, field)) = command.split_once("-H '") {
            let (name, value) = field.trim_end_matches('\'').split_once(": ").unwrap();
            request = request.header(name, HeaderValue::from_str(value).unwrap());
        }
        let request = request.uri(url).body(content).unwrap();
        Shown { request, lines: lines.map(|line| line.trim_end().to_owned()).collect() }
    });
    shown.collect()
}

/// A field as the README shows it; dates are those of the day on which it was written.
fn without_date(line: &str) -> &str {
    if line.starts_with("last-modified: ") {
        "last-modified"
    } else {
        line
    }
}

#[tokio::test]
async fn readme_shows_what_the_example_prints() {
    let app = example::app();
    // The first second has no date.
    loop {
        let response = app
            .clone()
            .oneshot(Request::get("http://127.0.0.1:3000/flags").body(Body::empty()).unwrap());
        if response.await.unwrap().headers().contains_key("last-modified") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let transcript = transcript();
    assert_eq!(transcript.len(), 3);
    for Shown { request, lines } in transcript {
        let sent = format!("{} {:?}", request.method(), request.headers());
        let response = app.clone().oneshot(request).await.unwrap();

        let status = response.status();
        // A 304 that leaves Hyper has no `content-length`; each response gets a `date`.
        let fields = response
            .headers()
            .iter()
            .filter(|(name, _)| status != 304 || *name != "content-length");
        let mut seen = vec![format!("HTTP/1.1 {status}")];
        seen.extend(fields.map(|(name, value)| {
            without_date(&format!("{name}: {}", value.to_str().unwrap())).to_owned()
        }));
        let content = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        seen.extend(std::str::from_utf8(&content).unwrap().lines().map(str::to_owned));

        let shown = lines.iter().filter(|line| !line.is_empty() && !line.starts_with("date: "));
        let mut shown: Vec<_> = shown.map(|line| without_date(line).to_owned()).collect();
        shown.sort();
        seen.sort();
        assert_eq!(seen, shown, "{sent}");
    }
}

#[tokio::test]
async fn readme_example_refuses_to_lose_an_edit() {
    let app = example::app();
    let put = |tag: &str| {
        let request = Request::put("/flags")
            .header("if-match", tag)
            .header("content-type", "application/json");
        app.clone().oneshot(request.body(Body::from(r#"{"dark-mode":false}"#)).unwrap())
    };
    let got =
        app.clone().oneshot(Request::get("/flags").body(Body::empty()).unwrap()).await.unwrap();
    let tag = got.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(put("\"another\"").await.unwrap().status(), 412);
    assert_eq!(put(&tag).await.unwrap().status(), 204);
    assert_eq!(put(&tag).await.unwrap().status(), 412, "the second editor holds an old version");
}
