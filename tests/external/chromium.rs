//! Chromium loads a compressed page twice, and finds digests right by its own hash. It
//! seeks in a sound: it plays on, also where the file was replaced meanwhile, and never
//! one version and the other.

use std::{
    fs, mem,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::{from_fn_with_state, Next},
    response::{Html, Response},
    routing::{get, post},
    Router,
};
use tokio::{process, sync::mpsc, time::timeout};
use tower_conditional::{ConditionalLayer, InnerTags};
use tower_http::compression::CompressionLayer;

use crate::{
    site::{ago, Daemon, Site, LARGE},
    support::{
        file_server::content,
        wire::{axum, within, Folder},
    },
};

/// What the browser asked by and got, a line each.
type Log = Arc<Mutex<Vec<String>>>;

pub(crate) async fn chromium_revalidates_a_page_by_the_tag_of_its_coding() {
    let page = format!("<title>page</title><p>{}</p>", "a page, ".repeat(100));
    let log = Log::default();
    let compressed = ConditionalLayer::new().compress_with(CompressionLayer::new());
    let app = Router::new()
        .route(
            "/",
            get({
                let page = page.clone();
                move || async { Html(page) }
            }),
        )
        .layer(compressed)
        .layer(from_fn_with_state(Arc::clone(&log), note));
    let address = axum(app).await;
    let folder = Folder::new("chromium-page");
    let profile = folder.0.join("profile");
    fs::create_dir_all(&profile).unwrap();
    let shown = async || {
        let mut command = chromium(&profile, &format!("http://{address}/"));
        command.arg("--dump-dom");
        let mut command = process::Command::from(command);
        let output = command.kill_on_drop(true).output();
        let output = timeout(Duration::from_secs(120), output).await.unwrap().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = shown().await;
    assert!(first.contains(&"a page, ".repeat(100)), "{first}");
    let asked = mem::take(&mut *log.lock().unwrap());
    let [line] = &asked[..] else { panic!("{asked:?}") };
    let tag = line.strip_prefix("none 200 ").unwrap();
    assert!(tag.starts_with('"') && tag.contains('~'), "{tag}");

    assert_eq!(shown().await, first);
    assert_eq!(*log.lock().unwrap(), [format!("{tag} 304 {tag}")]);
}

async fn note(State(log): State<Log>, request: Request, next: Next) -> Response {
    let is_page = request.uri().path() == "/";
    let asked = request.headers().get("if-none-match").cloned();
    let response = next.run(request).await;
    if is_page {
        let text = |value: Option<&http::HeaderValue>| {
            value.map_or("none", |value| value.to_str().unwrap()).to_owned()
        };
        let (asked, tag) = (text(asked.as_ref()), text(response.headers().get("etag")));
        log.lock().unwrap().push(format!("{asked} {} {tag}", response.status().as_u16()));
    }
    response
}

pub(crate) async fn chromium_agrees_with_each_digest() {
    let (said, mut says) = mpsc::unbounded_channel();
    let layer = || ConditionalLayer::new().repr_digest(true);
    let text = || async { "a page, ".repeat(100) };
    let plain = Router::new().route("/plain", get(text)).layer(layer());
    let compressed = layer().compress_with(CompressionLayer::new());
    let compressed = Router::new().route("/compressed", get(text)).layer(compressed);
    let routes = Router::new()
        .route("/page", get(async || Html(DIGESTS)))
        .route("/said", post(move |line: String| async move { said.send(line).unwrap() }))
        .merge(plain)
        .merge(compressed);
    let site = Site::serving("chromium-digests", |files| {
        files.layer(layer().inner_tags(InnerTags::replace())).merge(routes)
    });
    let site = site.await;
    site.put("/file.bin", &content(1, LARGE), ago(3_600, 0));
    let _chromium = browse(&site);
    let lines = within(says.recv()).await.unwrap();
    let expected = [
        "/plain 200 right",
        // It shows the content decoded: a digest of the plain text would seem right.
        "/compressed 200 none",
        // Trailers are not shown.
        "/file.bin 200 none",
        "/file.bin 200 right",
        "parts 206 206 206 right",
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
}

/// Hashes what it fetches, and says whether that is what `Repr-Digest` says.
const DIGESTS: &str = "<!doctype html><script>
const take = async (path, headers) => {
  const response = await fetch(path, { cache: 'no-store', headers })
  const digest = response.headers.get('repr-digest')
  return { status: response.status, digest, content: await response.arrayBuffer() }
}
const verdict = async (digest, content) => {
  if (digest === null) return 'none'
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', content))
  return digest === `sha-256=:${btoa(String.fromCharCode(...hash))}:` ? 'right' : 'wrong'
}
const run = async () => {
  const lines = []
  for (const path of ['/plain', '/compressed', '/file.bin', '/file.bin']) {
    const { status, digest, content } = await take(path)
    lines.push(`${path} ${status} ${await verdict(digest, content)}`)
  }
  const parts = []
  for (const range of ['0-999999', '1000000-1999999', '2000000-']) {
    parts.push(await take('/file.bin', { range: `bytes=${range}` }))
  }
  const whole = await new Blob(parts.map((part) => part.content)).arrayBuffer()
  const verdicts = await Promise.all(parts.map((part) => verdict(part.digest, whole)))
  const all = new Set(verdicts)
  lines.push(`parts ${parts.map((part) => part.status).join(' ')} ${[...all].join(' ')}`)
  return lines.join('\\n')
}
const say = (body) => fetch('/said', { method: 'POST', body })
run().then(say, (error) => say(`fails: ${error}`))
</script>";

pub(crate) async fn chromium_seeks_and_plays_on_when_the_file_is_replaced() {
    for (case, age, seconds) in [
        ("unchanged", None, 300),
        ("of the same size", Some(60), 300),
        ("older and longer", Some(90_000), 310),
    ] {
        let (mut page, routes) = Page::new();
        let site =
            Site::serving("chromium", |files| files.layer(ConditionalLayer::new()).merge(routes))
                .await;
        site.put(SOUND, &wav(OLD, 300), ago(3_600, 200));
        let _chromium = browse(&site);
        page.says().await;
        for second in [0, 200, 60] {
            assert_eq!(page.seek(second).await, plays(OLD), "{case}: {second}");
        }
        let before = site.exchanges(SOUND);
        assert!(before.iter().all(|exchange| exchange.status == 206), "{case}: {before:#?}");
        // All requests but the first are about what it holds a part of.
        assert!(before.len() > 2, "{case}: {before:#?}");
        assert!(before[1..].iter().all(|exchange| exchange.asked("if-range").is_some()), "{case}");

        let now = if let Some(age) = age {
            site.put(SOUND, &wav(NEW, seconds), ago(age, 700));
            NEW
        } else {
            OLD
        };
        for second in [280, 100, 150, 20] {
            assert_eq!(page.seek(second).await, plays(now), "{case}: {second}");
        }
        let after: Vec<_> = site.exchanges(SOUND).iter().map(|exchange| exchange.status).collect();
        let expected = if age.is_some() { [307, 200] } else { [206, 206] };
        assert_eq!(after[..2], expected, "{case}: {after:?}");
    }
}

const SOUND: &str = "/sound.wav";

/// The levels of the two versions.
const OLD: i16 = 8_192;
const NEW: i16 = -16_384;

/// Makes a sound whose samples are all of one level: 88 KB a second.
fn wav(level: i16, seconds: u32) -> Vec<u8> {
    const RATE: u32 = 44_100;
    let length = 2 * RATE * seconds;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    // PCM, one channel.
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(RATE.to_le_bytes());
    wav.extend((2 * RATE).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(length.to_le_bytes());
    wav.extend(level.to_le_bytes().repeat((length / 2) as usize));
    wav
}

/// What the page says when a sound of that level plays.
fn plays(level: i16) -> String {
    format!("plays {:.2}", f64::from(level) / 32_768.0)
}

/// A page that seeks when it is told to, and says what is heard then.
struct Page {
    seeks: mpsc::UnboundedSender<u32>,
    says: mpsc::UnboundedReceiver<String>,
}

impl Page {
    /// Makes a page, and the routes by which it is loaded and speaks with the test.
    fn new() -> (Self, Router) {
        let (seeks, to_page) = mpsc::unbounded_channel::<u32>();
        let (from_page, says) = mpsc::unbounded_channel();
        let next =
            move |State(seeks): State<Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<u32>>>>,
                  said: String| async move {
                from_page.send(said).unwrap();
                seeks.lock().await.recv().await.unwrap_or_default().to_string()
            };
        let routes = Router::new()
            .route("/page", get(async || Html(PAGE)))
            .route("/next", post(next))
            .with_state(Arc::new(tokio::sync::Mutex::new(to_page)));
        (Self { seeks, says }, routes)
    }

    async fn seek(&mut self, second: u32) -> String {
        self.seeks.send(second).unwrap();
        self.says().await
    }

    async fn says(&mut self) -> String {
        within(self.says.recv()).await.unwrap()
    }
}

/// The level that is heard is the first sample that an analyser has.
const PAGE: &str = "<!doctype html><script>
const sound = new Audio('/sound.wav')
const context = new AudioContext()
const analyser = context.createAnalyser()
context.createMediaElementSource(sound).connect(analyser)
analyser.connect(context.destination)
const heard = () => {
  const samples = new Float32Array(1)
  analyser.getFloatTimeDomainData(samples)
  return samples[0].toFixed(2)
}
const seek = (second) => new Promise((done) => {
  const fails = () => done(`fails: ${sound.error.message}`)
  if (sound.error) return fails()
  sound.onerror = fails
  sound.ontimeupdate = () => {
    if (!sound.seeking && sound.currentTime > second + 0.3) done(`plays ${heard()}`)
  }
  sound.currentTime = second
  sound.play().catch(() => {})
})
const run = async () => {
  for (let said = 'ready';;) {
    const next = await fetch('/next', { method: 'POST', body: said })
    said = await seek(Number(await next.text()))
  }
}
run()
</script>";

/// Opens the page in a Chromium of its own.
fn browse(site: &Site) -> Daemon {
    let mut command = chromium(&site.own("chromium/profile"), &site.url("/page"));
    // With the second, it does not print the page and end.
    command.args(["--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Daemon::spawn(command)
}

/// A Chromium that opens a page.
fn chromium(profile: &Path, url: &str) -> Command {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox", // Chromium refuses to run for root with it; the only page is ours.
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-proxy-server",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display())).arg(url);
    command
}
