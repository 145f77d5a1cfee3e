//! Uploads by curl, Python and nghttp, refused and let through, with and without
//! `Expect: 100-continue`: what the client sees, and what the server holds in memory.
//! `UPLOAD_MIB=1024 cargo test --all-features --test external uploads` sends as much,
//! and prints the figures.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use axum::{body::Body, routing::get, Router};
use http::{StatusCode, Version};
use http_body_util::BodyExt;
use tower_conditional::{ConditionalLayer, EntityTag};

use crate::{
    site::{run_within, said},
    support::{
        guarded::guarded,
        wire::{axum, hyper, Folder, MISS, TEXT},
    },
};

/// How this program is told to be the server.
pub(crate) const SERVE: &str = "serve-uploads";

/// Serves uploads until it is killed.
pub(crate) async fn serve() {
    let note = Router::new().fallback(get(|| async { TEXT }).put(count));
    let note = note.layer(ConditionalLayer::new());
    let router = Router::new()
        .route_service("/streamed", guarded(note.clone()).stream_uploads(true))
        .route_service("/read", guarded(note));
    let http1 = axum(router.clone()).await;
    println!("{http1} {}", hyper(Version::HTTP_2, router).await);
    std::future::pending::<()>().await;
}

/// Answers how many bytes came.
async fn count(mut body: Body) -> Result<String, StatusCode> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        bytes += frame.data_ref().map_or(0, |data| data.len());
    }
    Ok(bytes.to_string())
}

/// A gibibyte over HTTP/2 takes a while where nothing is optimised.
const LONG: Duration = Duration::from_secs(300);

/// The server, in a process of its own.
struct Server {
    process: Child,
    http1: SocketAddr,
    http2: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut process = command.arg(SERVE).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (http1, http2) = line.trim().split_once(' ').unwrap();
        Self { process, http1: http1.parse().unwrap(), http2: http2.parse().unwrap() }
    }

    /// The most memory that it has had, in MiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An upload that a program is to make.
struct Upload<'a> {
    file: &'a str,
    bytes: u64,
    version: Version,
    url: String,
    if_match: Option<&'a str>,
    expects_continue: bool,
}

impl Upload<'_> {
    /// Returns true if nothing is sent before the server asks for it. Hyper sends no
    /// 100 over HTTP/2, and programs do not wait for it there, or not for long.
    fn waits(&self) -> bool {
        self.expects_continue && self.version == Version::HTTP_11
    }
}

/// What a program says of the response.
#[derive(Debug)]
struct Seen {
    /// `None` if it reports an error.
    status: Option<u16>,
    content: String,
    /// How many bytes it has sent, if it says so.
    sent: Option<u64>,
}

/// One that does not wait for the 100 may report that the server reads no more, and not
/// what it answered: a broken pipe, or the reset with which HTTP/2 ends an upload that
/// is not read (RFC 9113, 8.1; an error to curl 7.88, but not to newer ones).
pub(crate) async fn curl_sees_what_becomes_of_an_upload() {
    uploads("curl", &[Version::HTTP_11, Version::HTTP_2], curl).await;
}

pub(crate) async fn python_sees_what_becomes_of_an_upload() {
    uploads("python", &[Version::HTTP_11], python).await;
}

pub(crate) async fn nghttp_sees_what_becomes_of_an_upload() {
    uploads("nghttp", &[Version::HTTP_2], nghttp).await;
}

/// A small one is read away before it is refused, so that there is nothing to reset.
pub(crate) async fn curl_sees_that_a_small_upload_is_refused() {
    let folder = Folder::new("uploads-small");
    let (file, bytes, server) = (folder.0.join("file"), 100 << 10, Server::start());
    fs::File::create(&file).unwrap().set_len(bytes).unwrap();
    for (version, address) in [(Version::HTTP_11, server.http1), (Version::HTTP_2, server.http2)] {
        let (file, url) = (file.to_str().unwrap(), format!("http://{address}/streamed"));
        let if_match = Some(MISS);
        let upload = Upload { file, bytes, version, url, if_match, expects_continue: false };
        for _ in 0..10 {
            assert_eq!(curl(&upload).await.status, Some(412), "{version:?}");
        }
    }
}

async fn uploads(program: &str, versions: &[Version], send: impl AsyncFn(&Upload<'_>) -> Seen) {
    let mebibytes = env::var("UPLOAD_MIB").map_or(16, |mebibytes| mebibytes.parse().unwrap());
    let folder = Folder::new(&format!("uploads-{program}"));
    let (file, bytes) = (folder.0.join("file"), mebibytes << 20);
    fs::File::create(&file).unwrap().set_len(bytes).unwrap();
    let (server, current) = (Server::start(), EntityTag::of(TEXT.as_bytes()).to_string());
    let idle = server.peak();
    for (path, if_match, status) in [
        ("/streamed", None, 200),
        ("/streamed", Some(&*current), 200),
        ("/streamed", Some(MISS), 412),
        ("/read", Some(&*current), 413),
    ] {
        for (version, expects_continue) in versions.iter().flat_map(|v| [(*v, false), (*v, true)]) {
            let address = if version == Version::HTTP_2 { server.http2 } else { server.http1 };
            let (file, url) = (file.to_str().unwrap(), format!("http://{address}{path}"));
            let upload = Upload { file, bytes, version, url, if_match, expects_continue };
            let start = Instant::now();
            let seen = send(&upload).await;
            let case = format!(
                "{program} {version:?} {path} {if_match:?}, expects 100: {expects_continue}, \
                 {seen:?}"
            );
            if env::var_os("UPLOAD_MIB").is_some() {
                println!("{case}, {:?}, peak: {} MiB", start.elapsed(), server.peak());
            }
            let may_be_cut = program == "curl" && status >= 400 && !upload.waits();
            assert!(seen.status == Some(status) || may_be_cut && seen.status.is_none(), "{case}");
            if status == 200 {
                assert_eq!(seen.content, bytes.to_string(), "{case}");
            } else if upload.waits() {
                assert_eq!(seen.sent, Some(0), "{case}");
            }
        }
    }
    // Much less than one upload.
    assert!(server.peak() < idle + mebibytes / 2, "{idle} {}", server.peak());
}

async fn curl(upload: &Upload<'_>) -> Seen {
    let version = match upload.version {
        Version::HTTP_2 => "--http2-prior-knowledge",
        _ => "--http1.1",
    };
    let expect = if upload.expects_continue { "expect: 100-continue" } else { "expect:" };
    let if_match = upload.if_match.map(|tag| format!("if-match: {tag}"));
    let mut arguments = vec!["-sS", "-T", upload.file, "-H", expect, version, &upload.url];
    arguments.extend(["-w", "\n%{http_code} %{size_upload}"]);
    arguments.extend(if_match.iter().flat_map(|line| ["-H", line]));
    let output = run_within(LONG, "curl", &arguments).await;
    let (content, figures) = split(&output);
    Seen {
        status: output.status.success().then(|| figures[0].parse().unwrap()),
        sent: Some(figures[1].parse().unwrap()),
        content,
    }
}

/// Waits for the 100 if it is to come, and reads the response though the server takes
/// no more; as careful clients do.
const PYTHON: &str = r#"
import http.client, select, socket, sys
host, path, file, size, expect, *tag = sys.argv[1:]
client = http.client.HTTPConnection(host, timeout=30)
client.putrequest("PUT", path)
client.putheader("Content-Length", size)
for value in tag:
    client.putheader("If-Match", value)
if expect == "true":
    client.putheader("Expect", "100-continue")
client.endheaders()
sent = 0
if expect == "true":
    select.select([client.sock], [], [], 30)
    goes_on = client.sock.recv(13, socket.MSG_PEEK) == b"HTTP/1.1 100 "
else:
    goes_on = True
if goes_on:
    with open(file, "rb") as content:
        try:
            while piece := content.read(1 << 16):
                client.send(piece)
                sent += len(piece)
        except OSError:
            pass
response = client.getresponse()
print(response.read().decode())
print(response.status, sent)
"#;

async fn python(upload: &Upload<'_>) -> Seen {
    let (_, url) = upload.url.split_once("://").unwrap();
    let (host, path) = url.split_at(url.find('/').unwrap());
    let (bytes, expects) = (upload.bytes.to_string(), upload.expects_continue.to_string());
    let mut arguments = vec!["-c", PYTHON, host, path, upload.file, &bytes, &expects];
    arguments.extend(upload.if_match);
    let output = run_within(LONG, "python3", &arguments).await;
    assert!(output.status.success(), "{}", said(&output));
    let (content, figures) = split(&output);
    let sent = Some(figures[1].parse().unwrap());
    Seen { status: Some(figures[0].parse().unwrap()), content, sent }
}

async fn nghttp(upload: &Upload<'_>) -> Seen {
    let if_match = upload.if_match.map(|tag| format!("-Hif-match: {tag}"));
    let mut arguments = vec!["-d", upload.file, "-H:method: PUT", "-s", &upload.url];
    arguments.extend(if_match.as_deref());
    if upload.expects_continue {
        arguments.push("--expect-continue");
    }
    let output = run_within(LONG, "nghttp", &arguments).await;
    // The content, a legend and a table of one line.
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text.trim_end().lines().last().unwrap();
    let status = row.split_whitespace().nth(4).unwrap().parse().ok();
    let content = text.split("*****").next().unwrap().trim().to_owned();
    Seen { status, content, sent: None }
}

/// Splits what a program printed into content and a last line of figures.
fn split(output: &Output) -> (String, Vec<String>) {
    let text = std::str::from_utf8(&output.stdout).unwrap().trim_end();
    let (content, figures) = text.rsplit_once('\n').unwrap_or(("", text));
    (content.to_owned(), figures.split(' ').map(str::to_owned).collect())
}
