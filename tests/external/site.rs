//! A file server that programs use over loopback, with nothing but the default layer
//! around it: it notes what it is asked and what it answers, and breaks a download off
//! where a test says so.

use std::{
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    Router,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Version};
use http_body_util::BodyExt;
use tower::BoxError;
use tower_conditional::ConditionalLayer;
use tower_http::services::ServeDir;

use crate::support::{
    file_server::content,
    wire::{axum, hyper, Folder, GUARD},
};

/// Larger than what the layer reads ahead, and than what sockets and programs buffer.
pub(crate) const LARGE: usize = 4 << 20;

pub(crate) const SMALL: usize = 40_000;

/// A file server, with room for what programs write.
pub(crate) struct Site {
    folder: Folder,
    log: Arc<Log>,
    router: Router,
    address: SocketAddr,
}

/// What the server was asked, and what it is to break off.
#[derive(Default)]
struct Log {
    exchanges: Mutex<Vec<Exchange>>,
    cut: Mutex<Option<Cut>>,
}

/// A request, and the status that it got.
#[derive(Debug)]
pub(crate) struct Exchange {
    path: String,
    asked: HeaderMap,
    pub(crate) status: u16,
}

impl Exchange {
    pub(crate) fn asked(&self, field: &str) -> Option<&str> {
        self.asked.get(field).map(|value| value.to_str().unwrap())
    }
}

/// Where a download breaks off, and what happens then.
struct Cut {
    path: String,
    after: usize,
    then: Box<dyn FnOnce() + Send>,
}

impl Site {
    pub(crate) async fn new(name: &str) -> Self {
        Self::serving(name, |files| files.layer(ConditionalLayer::new())).await
    }

    /// Serves what is made of the file server.
    pub(crate) async fn serving(name: &str, make: impl FnOnce(Router) -> Router) -> Self {
        let (folder, log) = (Folder::new(&format!("external-{name}")), Arc::<Log>::default());
        let files = folder.0.join("files");
        fs::create_dir_all(&files).unwrap();
        let router = make(Router::new().fallback_service(ServeDir::new(&files)))
            .layer(middleware::from_fn_with_state(Arc::clone(&log), serve));
        let address = axum(router.clone()).await;
        Self { folder, log, router, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the same over HTTP/2 alone.
    pub(crate) async fn over_http2(&self) -> SocketAddr {
        hyper(Version::HTTP_2, self.router.clone()).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A path for what a program writes, below a folder that exists.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        let path = self.folder.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Puts a file there, in place of what is there.
    pub(crate) fn put(&self, path: &str, content: &[u8], modified: SystemTime) {
        replace(&self.file(path), content, modified);
    }

    /// The file behind a path.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.folder.0.join("files").join(&path[1..])
    }

    /// Breaks the next download of a path off behind so many bytes, and closes its
    /// connection.
    pub(crate) fn cut(&self, path: &str, after: usize, then: impl FnOnce() + Send + 'static) {
        let cut = Cut { path: path.to_owned(), after, then: Box::new(then) };
        *self.log.cut.lock().unwrap() = Some(cut);
    }

    /// Returns what was asked about a path since this was last called.
    pub(crate) fn exchanges(&self, path: &str) -> Vec<Exchange> {
        let mut all = std::mem::take(&mut *self.log.exchanges.lock().unwrap());
        all.retain(|exchange| exchange.path == path);
        all
    }
}

/// Puts a file in the place of another, as one step.
pub(crate) fn replace(path: &Path, content: &[u8], modified: SystemTime) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::File::options().write(true).open(&new).unwrap().set_modified(modified).unwrap();
    fs::rename(new, path).unwrap();
}

/// Notes what a program asks and gets; breaks off what is to be broken off.
async fn serve(State(log): State<Arc<Log>>, request: Request, next: Next) -> Response {
    let (path, asked) = (request.uri().path().to_owned(), request.headers().clone());
    let response = next.run(request).await;
    let cut = {
        let mut cut = log.cut.lock().unwrap();
        let is_hit = |cut: &Cut| cut.path == path && response.status().is_success();
        if cut.as_ref().is_some_and(is_hit) {
            cut.take()
        } else {
            None
        }
    };
    let status = response.status().as_u16();
    log.exchanges.lock().unwrap().push(Exchange { path, asked, status });
    match cut {
        Some(cut) => response.map(|body| break_off(body, cut)),
        None => response,
    }
}

fn break_off(body: Body, cut: Cut) -> Body {
    let frames =
        stream::unfold((body, cut.after, Some(cut.then)), |(mut body, left, then)| async move {
            if left == 0 {
                // What was sent is to arrive before the connection is closed.
                tokio::time::sleep(Duration::from_millis(300)).await;
                if let Some(then) = then {
                    then();
                }
                let broken: BoxError = "broken off".into();
                return Some((Err(broken), (body, 0, None)));
            }
            let mut data: Bytes = body.frame().await?.unwrap().into_data().unwrap();
            data.truncate(left);
            let left = left - data.len();
            Some((Ok(data), (body, left, then)))
        });
    Body::from_stream(frames)
}

/// Says which version of a file this is, if it is all of one.
#[track_caller]
pub(crate) fn assert_is(file: &Path, version: u64, case: &str) {
    let is = fs::read(file).unwrap();
    assert!(is == content(version, is.len()) && !is.is_empty(), "{case}: not version {version}");
}

/// A moment before this program started.
pub(crate) fn ago(seconds: u64, millis: u64) -> SystemTime {
    let second = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map(|now| now.as_secs() - seconds)
        .unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(second) + Duration::from_millis(millis)
}

/// Runs a program to its end, without what the machine says of proxies.
pub(crate) async fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Output {
    run_within(GUARD, program, arguments).await
}

/// The same for a program that may take longer.
pub(crate) async fn run_within(
    limit: Duration,
    program: impl AsRef<OsStr>,
    arguments: &[&str],
) -> Output {
    let mut command = tokio::process::Command::new(program);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let output = command.args(arguments).kill_on_drop(true).output();
    tokio::time::timeout(limit, output).await.expect("nothing takes that long").unwrap()
}

/// What a program said, for messages.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A program that serves, and is ended with the test.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn spawn(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Starts a program, and waits until somebody listens.
    pub(crate) async fn start(command: Command, port: u16, log: &Path) -> Self {
        let mut daemon = Self::spawn(command);
        let start = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let log = || fs::read_to_string(log).unwrap_or_default();
            assert!(daemon.0.try_wait().unwrap().is_none(), "it ended: {}", log());
            assert!(start.elapsed() < Duration::from_secs(30), "it does not start: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It ends its children then; killed, it could not.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let start = Instant::now();
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            if start.elapsed() > Duration::from_secs(10) {
                let _ = self.0.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
