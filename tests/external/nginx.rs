//! The nginx configuration of src/guide/proxies.md in a real nginx.
//!
//! Copies in nginx grow old by the clock of the machine, so these tests wait for it, a
//! second at a time.

use std::{
    fs, mem,
    path::PathBuf,
    process::{Child, Command},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::get,
    Router,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixStream};
#[cfg(feature = "client")]
use tower::{Layer, ServiceExt};
#[cfg(feature = "client")]
use tower_conditional::client::RevalidateLayer;
use tower_conditional::{AddLastModified, ConditionalLayer, EntityTag, Preconditions};

pub(crate) async fn nginx_asks_again_with_the_tag_and_is_told_not_modified() {
    let home = Home::new(&[("cache-control", "max-age=1")], ConditionalLayer::new(), &[]).await;
    for (content, cached, origin) in [
        (OLD, "MISS", 200),
        (OLD, "REVALIDATED", 304),
        (NEW, "EXPIRED", 200),
        (NEW, "REVALIDATED", 304),
    ] {
        home.write(content);
        let reply = home.ask("GET", &[]).await;
        assert_eq!((reply.status, reply.text()), (200, content), "{cached}");
        assert_eq!(
            (reply.field("etag"), reply.field("x-cache")),
            (Some(&*home.tag()), Some(cached))
        );
        assert_eq!(home.origin_said(), [origin], "{cached}");
        assert_eq!(home.origin_was_asked("if-none-match"), cached != "MISS", "{cached}");
        home.wait_until_stale().await;
    }
}

pub(crate) async fn nginx_revalidates_with_the_application_and_its_client_with_nginx() {
    for (age, cached, origin) in
        [("max-age=60", "HIT", &[][..]), ("max-age=1", "REVALIDATED", &[304])]
    {
        let home = Home::new(&[("cache-control", age)], ConditionalLayer::new(), &[]).await;
        let first = home.ask("GET", &[]).await;
        assert_eq!((first.field("x-cache"), home.origin_said()), (Some("MISS"), vec![200]));
        for (asked, status) in [(&*home.tag(), 304), ("\"another\"", 200)] {
            if cached == "REVALIDATED" {
                home.wait_until_stale().await;
            }
            let reply = home.ask("GET", &[("if-none-match", asked)]).await;
            assert_eq!((reply.status, reply.field("x-cache")), (status, Some(cached)), "{asked}");
            assert_eq!(reply.text(), if status == 200 { OLD } else { "" }, "{cached} {asked}");
            assert_eq!(reply.field("etag"), Some(&*home.tag()), "{cached} {asked}");
            assert_eq!(home.origin_said(), origin, "{cached} {asked}");
        }
    }
}

/// With a cache, nginx forwards no If-None-Match of a client. It answers 304 itself,
/// but only in place of a response that it may store.
pub(crate) async fn nginx_answers_304_only_if_it_may_store_the_response() {
    for (head, statuses) in [
        (&[("cache-control", "max-age=60")][..], [304, 304]),
        (&[("cache-control", "max-age=0, s-maxage=60")], [304, 304]),
        (&[("cache-control", "no-cache")], [200, 200]),
        // The layer adds `no-cache`.
        (&[], [200, 200]),
    ] {
        let home = Home::new(head, ConditionalLayer::new(), &[]).await;
        for status in statuses {
            let reply = home.ask("GET", &[("if-none-match", &*home.tag())]).await;
            assert_eq!(reply.status, status, "{head:?} {:?}", reply.field("x-cache"));
            assert!(!home.origin_was_asked("if-none-match"), "{head:?}");
        }
        assert!(home.origin_said().iter().all(|said| *said == 200), "{head:?}");
    }
}

pub(crate) async fn nginx_gzip_weakens_the_tag_which_matches_all_the_same() {
    for (name, edits, origin) in
        [("stored", &[][..], &[200][..]), ("passed on", NOTHING_STORED, &[200, 304, 304])]
    {
        let home = Home::new(STORED, ConditionalLayer::new(), edits).await;
        let gzip = ("accept-encoding", "gzip");
        let zipped = home.ask("GET", &[gzip]).await;
        let weak = format!("W/{}", home.tag());
        assert_eq!(
            (zipped.status, zipped.field("content-encoding")),
            (200, Some("gzip")),
            "{name}"
        );
        assert_eq!(zipped.field("etag"), Some(&*weak), "{name}");
        assert!(
            zipped.lines("vary").iter().any(|line| line.eq_ignore_ascii_case("accept-encoding")),
            "{name}"
        );
        for fields in [&[gzip, ("if-none-match", &*weak)][..], &[("if-none-match", &*weak)]] {
            let again = home.ask("GET", fields).await;
            assert_eq!((again.status, again.text()), (304, ""), "{name} {fields:?}");
            assert_eq!(again.field("content-encoding"), None, "{name} {fields:?}");
        }
        assert_eq!(home.origin_said(), origin, "{name}");
    }
}

/// The tag is weak on the 200, and may be strong on the 304.
#[cfg(feature = "client")]
pub(crate) async fn nginx_gzip_is_confirmed_to_our_client() {
    for edits in [&[][..], NOTHING_STORED] {
        let home = Home::new(STORED, ConditionalLayer::new(), edits).await;
        let said = Mutex::new(Vec::new());
        let inner = tower::service_fn(|request| async {
            let response = home.send(request).await;
            lock(&said).push(response.status().as_u16());
            Ok::<_, std::convert::Infallible>(response)
        });
        let client = RevalidateLayer::new(1 << 20).layer(inner);
        let mut contents = Vec::new();
        for _ in 0..3 {
            let request = http::Request::get("/flags").header("host", "home");
            let request = request.header("accept-encoding", "gzip").body(Full::default()).unwrap();
            let response = client.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-encoding"], "gzip");
            assert_eq!(response.headers()["etag"], format!("W/{}", home.tag()));
            contents.push(response.into_body().collect().await.unwrap().to_bytes());
        }
        assert!(!contents[0].is_empty() && contents.iter().all(|content| *content == contents[0]));
        assert_eq!(*lock(&said), [200, 304, 304], "{edits:?}");
    }
}

/// Without `gzip_vary`, nginx does not say that its encoded content varies.
#[cfg(feature = "client")]
pub(crate) async fn nginx_gzip_is_not_given_to_another_of_our_clients() {
    let edits = [NOTHING_STORED, &[("gzip_vary on;", "gzip_vary off;")]].concat();
    let home = Home::new(&[], ConditionalLayer::new(), &edits).await;
    let inner = tower::service_fn(|request| async {
        Ok::<_, std::convert::Infallible>(home.send(request).await)
    });
    let client = RevalidateLayer::new(1 << 20).layer(inner);
    for (accepts, is_encoded) in
        [("gzip", true), ("identity", false), ("identity", false), ("gzip", false)]
    {
        let request = http::Request::get("/flags").header("host", "home");
        let request = request.header("accept-encoding", accepts).body(Full::default()).unwrap();
        let response = client.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers().get("vary"), None);
        assert_eq!(response.headers().contains_key("content-encoding"), is_encoded, "{accepts}");
        let content = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(content == OLD.as_bytes(), !is_encoded, "{accepts}");
    }
    // The last one takes gzip as well as what is held.
    assert_eq!(home.origin_said(), [200, 200, 304, 304]);
}

#[cfg(feature = "client")]
pub(crate) async fn nginx_passes_the_questions_of_a_polled_value() {
    let home = Home::new(&[], ConditionalLayer::new(), NOTHING_STORED).await;
    let mut inner = tower::service_fn(|request| async {
        Ok::<_, std::convert::Infallible>(home.send(request).await)
    });
    let request = http::Request::get("/flags").header("host", "home").body(()).unwrap();
    let (polled, mut parsed) = (tower_conditional::client::Polled::new(), 0);
    for content in [OLD, OLD, NEW, NEW] {
        home.write(content);
        let parse = |content: &[u8]| {
            parsed += 1;
            String::from_utf8(content.into())
        };
        assert_eq!(*polled.refresh(&mut inner, &request, parse).await.unwrap(), content);
    }
    assert_eq!((parsed, home.origin_said()), (2, vec![200, 304, 200, 304]));
}

pub(crate) async fn nginx_lets_the_application_evaluate_writes_and_a_weakened_tag_fails() {
    let home = Home::new(STORED, ConditionalLayer::new(), &[]).await;
    let read = home.ask("GET", &[]).await;
    assert_eq!((read.field("x-cache"), home.origin_said()), (Some("MISS"), vec![200]));
    let strong = home.tag();
    for (asked, status) in
        [(format!("W/{strong}"), 412), ("\"another\"".to_owned(), 412), (strong, 204)]
    {
        let reply = home.ask("PUT", &[("if-match", &asked)]).await;
        assert_eq!(reply.status, status, "{asked}");
        assert_eq!(home.origin_said(), [status], "{asked}");
        assert_eq!(
            home.ask("GET", &[]).await.field("x-cache"),
            Some("HIT"),
            "a write throws no copy away: {asked}"
        );
    }
}

pub(crate) async fn nginx_stores_what_is_said_to_be_fresh() {
    for (head, is_stored) in [
        (&[("cache-control", "max-age=60")][..], true),
        (&[("cache-control", "max-age=0, s-maxage=60")], true),
        // As the recipe says.
        (&[("cache-control", "public, max-age=0, s-maxage=60, stale-if-error=3600")], true),
        (&[("cache-control", "no-cache, s-maxage=60")], false),
        (&[("cache-control", "no-cache")], false),
        (&[("cache-control", "max-age=0")], false),
        (&[("cache-control", "private, max-age=60")], false),
        (&[("cache-control", "max-age=60"), ("set-cookie", "session=1")], false),
    ] {
        let home = Home::new(head, ConditionalLayer::new(), &[]).await;
        // With any credentials: nginx does not look at `Authorization`.
        for (i, fields) in [&[("authorization", "Bearer a")][..], &[]].into_iter().enumerate() {
            let reply = home.ask("GET", fields).await;
            let cached = if i == 1 && is_stored { "HIT" } else { "MISS" };
            assert_eq!(
                (reply.status, reply.text(), reply.field("x-cache")),
                (200, OLD, Some(cached)),
                "{head:?}"
            );
        }
    }
}

pub(crate) async fn nginx_stores_silent_responses_unless_a_date_brings_no_cache() {
    let layer = ConditionalLayer::new;
    for (name, layer, has_date, is_stored) in [
        ("the default", layer(), true, false),
        ("no date", layer().add_last_modified(AddLastModified::IfFreshnessStated), false, true),
        ("a date and nothing else", layer().add_last_modified(AddLastModified::Alone), true, true),
    ] {
        for (edits, cached) in [(LONGER, "HIT"), (&[], "REVALIDATED")] {
            let home = Home::new(&[], layer.clone(), edits).await;
            assert_eq!(home.ask("GET", &[]).await.field("x-cache"), Some("MISS"), "{name}");
            if cached == "REVALIDATED" && is_stored {
                home.wait_until_stale().await;
            }
            let reply = home.ask("GET", &[]).await;
            let (cached, origin) = match (is_stored, cached) {
                (false, _) => ("MISS", &[200, 200][..]),
                (true, "HIT") => ("HIT", &[200][..]),
                (true, _) => ("REVALIDATED", &[200, 304][..]),
            };
            assert_eq!(
                (reply.status, reply.text(), reply.field("x-cache")),
                (200, OLD, Some(cached)),
                "{name}"
            );
            assert_eq!(reply.field("last-modified").is_some(), has_date, "{name}");
            assert_eq!(home.origin_said(), origin, "{name}");
        }
    }
}

const OLD: &str = "flags: dark-mode, new-checkout; flags: dark-mode, new-checkout; as they were";
const NEW: &str = "flags: new-checkout, dark-mode; flags: new-checkout, dark-mode; as they are now";

const STORED: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// Keeps silent responses long enough for a slow machine.
const LONGER: &[(&str, &str)] = &[("proxy_cache_valid 200 1s;", "proxy_cache_valid 200 60s;")];

/// Turns the cache of the configuration off, and leaves the rest.
const NOTHING_STORED: &[(&str, &str)] = &[("proxy_cache app;", "proxy_cache off;")];

/// An application behind an nginx of its own.
struct Home {
    nginx: Child,
    folder: PathBuf,
    origin: Arc<Origin>,
}

/// What the application knows, and what it was asked and said since the last look.
struct Origin {
    content: Mutex<&'static str>,
    said: Mutex<Vec<u16>>,
    asked: Mutex<HeaderMap>,
}

impl Home {
    /// Starts both.
    async fn new(
        head: &[(&'static str, &'static str)],
        layer: ConditionalLayer,
        edits: &[(&str, &str)],
    ) -> Self {
        static HOMES: AtomicU64 = AtomicU64::new(0);
        let number = HOMES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir()
            .join(format!("tower-conditional-nginx-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();

        let origin = Arc::new(Origin {
            content: Mutex::new(OLD),
            said: Mutex::default(),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = app(Arc::clone(&origin), head, layer);
        tokio::spawn(async move { axum::serve(listener, app).await });

        let (socket, cache) =
            (format!("unix:{}", folder.join("socket").display()), folder.join("cache"));
        let replaced = [
            ("listen 80;", &*format!("listen {socket};")),
            ("127.0.0.1:3000", &*address),
            ("/var/cache/nginx/app", cache.to_str().unwrap()),
        ];
        let mut server = documented();
        for (documented, here) in replaced.iter().chain(edits) {
            assert!(
                server.contains(documented),
                "src/guide/proxies.md no longer says {documented:?}"
            );
            server = server.replace(documented, here);
        }
        let file = folder.join("nginx.conf");
        fs::write(&file, format!("{AROUND}\nhttp {{\n{TEMPORARY}\n{server}\n}}\n")).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&folder).arg("-c").arg(&file).args(["-e", "error.log"]);
        let home = Self { nginx: nginx.spawn().unwrap(), folder, origin };
        let is_up = || std::os::unix::net::UnixStream::connect(home.folder.join("socket")).is_ok();
        home.wait("nginx does not start", is_up).await;
        home
    }

    fn write(&self, content: &'static str) {
        *lock(&self.origin.content) = content;
    }

    /// The tag of the present content.
    fn tag(&self) -> String {
        EntityTag::of(lock(&self.origin.content).as_bytes()).to_string()
    }

    /// Returns the statuses that the application gave since this was last asked.
    fn origin_said(&self) -> Vec<u16> {
        mem::take(&mut *lock(&self.origin.said))
    }

    /// Returns true if the last request that reached the application had the field.
    fn origin_was_asked(&self, field: &str) -> bool {
        lock(&self.origin.asked).contains_key(field)
    }

    /// Waits until what nginx stored just now, for a second, is stale; nginx counts in
    /// whole seconds.
    async fn wait_until_stale(&self) {
        tokio::time::sleep(Duration::from_millis(2100)).await;
    }

    async fn wait(&self, failure: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            let log = || fs::read_to_string(self.folder.join("error.log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(30), "{failure}: {}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ask(&self, method: &str, fields: &[(&str, &str)]) -> Reply {
        let request = http::Request::builder().method(method).uri("/flags").header("host", "home");
        let request =
            fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.send(request.body(Full::default()).unwrap()).await;
        let (head, body) = response.into_parts();
        let content = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status.as_u16(), headers: head.headers, content }
    }

    async fn send(&self, request: http::Request<Full<Bytes>>) -> http::Response<Incoming> {
        let stream = TokioIo::new(UnixStream::connect(self.folder.join("socket")).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let pid = self.nginx.id().to_string();
        // The master ends its workers then; killed, it could not.
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.nginx.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    content: Bytes,
}

impl Reply {
    fn lines(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.lines(name).first().copied()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

/// An application with one resource, that can be written and is served with the given
/// head.
fn app(
    origin: Arc<Origin>,
    head: &[(&'static str, &'static str)],
    layer: ConditionalLayer,
) -> Router {
    let fields = head
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let head: HeaderMap = fields.collect();
    let read =
        move |State(origin): State<Arc<Origin>>| async move { (head, *lock(&origin.content)) };
    let write = |State(origin): State<Arc<Origin>>, asked: HeaderMap| async move {
        let current = EntityTag::of(lock(&origin.content).as_bytes());
        let refusal = Preconditions::new(&Method::PUT, &asked).check(&current);
        refusal.map_or_else(|refusal| refusal.status(), |()| StatusCode::NO_CONTENT)
    };
    // Older than its first second, in which no date is generated.
    let is_made = AtomicBool::new(false);
    let ago =
        move || Duration::from_secs(if is_made.swap(true, Ordering::Relaxed) { 30 } else { 60 });
    let layer = layer.clock(move || SystemTime::now() - ago());
    Router::new()
        .route("/flags", get(read).put(write))
        .layer(layer)
        .layer(middleware::from_fn_with_state(Arc::clone(&origin), note))
        .with_state(origin)
}

/// Notes what goes between nginx and the application.
async fn note(State(origin): State<Arc<Origin>>, request: Request, next: Next) -> Response {
    lock(&origin.asked).clone_from(request.headers());
    let response = next.run(request).await;
    lock(&origin.said).push(response.status().as_u16());
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The configuration that src/guide/proxies.md shows.
fn documented() -> String {
    let text = include_str!("../../src/guide/proxies.md");
    text.split("```").find_map(|block| block.strip_prefix("nginx\n")).unwrap().to_owned()
}

const AROUND: &str =
    "daemon off; pid nginx.pid; error_log error.log; worker_processes 1; events {}";

const TEMPORARY: &str =
    "access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; \
    uwsgi_temp_path t4; scgi_temp_path t5;";
