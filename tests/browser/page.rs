//! Drives one page in one browser, and reads the browser's network log and console.

use std::{
    collections::HashMap,
    env, fs,
    panic::{resume_unwind, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thirtyfour::{
    common::log::LoggingPrefsLogLevel, By, ChromeCapabilities, ChromiumLikeCapabilities,
    DesiredCapabilities, TypingData, WebDriver,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
};

/// The example, and a browser that has its page open.
pub struct Page {
    driver: WebDriver,
    /// What went over the wire since last looked at, by the browser's name for it.
    wire: Mutex<HashMap<String, Exchange>>,
}

/// One request and its response, as they went over the wire.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    turn: usize,
    method: String,
    path: String,
    conditions: Option<Vec<String>>,
    pub status: u64,
    /// Bytes that came: of the head, and altogether.
    head: u64,
    bytes: Option<u64>,
}

/// The newest row of the page's table.
#[derive(Debug)]
pub struct Row {
    pub status: u64,
    pub wire: String,
    pub tag: String,
    pub modified: String,
}

/// Chromium and ChromeDriver.
#[derive(Clone)]
pub struct Browser {
    chrome: PathBuf,
    chromedriver: PathBuf,
}

impl Browser {
    pub fn find() -> Option<Self> {
        let chrome = program("CHROME", &["chromium", "chromium-browser", "google-chrome"])?;
        Some(Self { chrome, chromedriver: program("CHROMEDRIVER", &["chromedriver"])? })
    }
}

/// Runs a test against the example in a browser of its own; all processes end with it.
pub async fn in_browser(browser: &Browser, name: &str, test: impl AsyncFnOnce(&Page)) {
    let Browser { chrome, chromedriver } = browser;
    let mut app = Command::new(env!("CARGO"));
    app.args(["run", "--quiet", "--all-features", "--example", "axum"]).env("ADDR", "127.0.0.1:0");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut app = spawn(app.current_dir(root).stderr(Stdio::piped()));
    let url = line_after(app.stderr.take().unwrap(), "listening on ").await;

    let mut server = spawn(Command::new(chromedriver).arg("--port=0").stdout(Stdio::piped()));
    let port = line_after(server.stdout.take().unwrap(), "successfully on port ").await;
    let port = port.trim_end_matches('.');
    let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(chrome, name))
        .await
        .unwrap();

    let page = Page { driver: driver.clone(), wire: Mutex::default() };
    let whole = async {
        page.open(&url).await;
        test(&page).await;
    };
    let passed = AssertUnwindSafe(whole).catch_unwind().await;
    let ended = driver.quit().await;
    // Chromium, if it is still there, ends with the pipe from ChromeDriver.
    server.kill().await.unwrap();
    app.kill().await.unwrap();
    passed.unwrap_or_else(|panic| resume_unwind(panic));
    ended.unwrap();
}

fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = || {
        names.iter().flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)))
    };
    env::var_os(variable).map(PathBuf::from).or_else(|| on_path().find(|file| file.is_file()))
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// Waits for a line that has `mark`, and returns the word behind it; what else is
/// printed goes to the test's output.
async fn line_after(output: impl AsyncRead + Send + Unpin + 'static, mark: &str) -> String {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, rest)) = line.split_once(mark) {
            // Reads on, so that the process never waits for a reader.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return rest.split_whitespace().next().unwrap().to_owned();
        }
        println!("{line}");
    }
    panic!("ended without {mark:?}");
}

fn capabilities(chrome: &Path, name: &str) -> ChromeCapabilities {
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&profile);
    let mut capabilities = DesiredCapabilities::chrome();
    capabilities.set_binary(chrome.to_str().unwrap()).unwrap();
    for argument in [
        "--headless",
        "--no-sandbox", // Chromium refuses to run for root with it; the only page is ours.
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--remote-debugging-pipe",
        &format!("--user-data-dir={}", profile.display()),
    ] {
        capabilities.add_arg(argument).unwrap();
    }
    capabilities.set_logging_prefs("performance", LoggingPrefsLogLevel::All).unwrap();
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
    capabilities
}

impl Exchange {
    /// Takes in an event of the network log; those of one exchange come in no certain
    /// order.
    fn note(&mut self, what: &str, event: &Value) {
        match what {
            "Network.requestWillBeSent" => {
                let url = event["request"]["url"].as_str().unwrap();
                self.path =
                    url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
                self.method = event["request"]["method"].as_str().unwrap().to_owned();
            }
            "Network.requestWillBeSentExtraInfo" => {
                let names = event["headers"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(|name| name.to_ascii_lowercase());
                self.conditions = Some(names.filter(|name| name.starts_with("if-")).collect());
            }
            // The head as it came, before the browser's cache makes a 200 of a 304.
            "Network.responseReceivedExtraInfo" => {
                self.status = event["statusCode"].as_u64().unwrap();
                self.head = event["headersText"].as_str().unwrap_or_default().len() as u64;
            }
            "Network.loadingFinished" => {
                self.bytes = Some(event["encodedDataLength"].as_f64().unwrap() as u64)
            }
            _ => {}
        }
    }

    fn is_whole(&self) -> bool {
        self.conditions.is_some() && self.status > 0 && self.bytes.is_some()
    }

    /// The names of the conditional fields that were sent.
    pub fn conditions(&self) -> String {
        let mut names = self.conditions.clone().unwrap_or_default();
        names.sort_by_key(|name| !name.ends_with("match"));
        names.join(", ")
    }

    /// The bytes of content that came.
    pub fn content(&self) -> u64 {
        self.bytes.unwrap_or_default() - self.head
    }
}

impl Page {
    async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
        self.until(
            "there is an answer, and both editors hold it",
            "asked && holds('a') && holds('b')",
        )
        .await;
    }

    pub async fn eval<T: DeserializeOwned>(&self, expression: &str) -> T {
        let script = format!(
            "const holds = (name) => document.querySelector(`#editor-${{name}} code`)?.textContent;
             const asked = Number(document.getElementById('sum-asked').textContent);
             return {expression};"
        );
        self.driver.execute(script, Vec::new()).await.unwrap().convert().unwrap()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, claim: &str, expression: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.eval::<bool>(&format!("Boolean({expression})")).await {
            assert!(Instant::now() < deadline, "not within {LIMIT:?}: {claim}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub async fn click(&self, selector: &str) {
        self.driver.find(By::Css(selector)).await.unwrap().click().await.unwrap();
    }

    /// Presses keys, as a user without a mouse does.
    pub async fn press(&self, keys: impl Into<TypingData>) {
        let active = self.driver.active_element().await.unwrap();
        active.send_keys(keys).await.unwrap();
    }

    /// Takes a picture of the page, if `SHOTS` names a folder.
    pub async fn picture(&self, name: &str) {
        if let Some(folder) = env::var_os("SHOTS") {
            let file = Path::new(&folder).join(name).with_extension("png");
            self.driver.screenshot(&file).await.unwrap();
        }
    }

    pub async fn text(&self, selector: &str) -> String {
        self.eval(&format!("document.querySelector('{selector}').textContent")).await
    }

    pub async fn checked(&self, selector: &str) -> bool {
        self.eval(&format!("document.querySelector('{selector}').checked")).await
    }

    pub async fn resize(&self, width: i64) {
        self.driver.set_window_rect(0, 0, u32::try_from(width).unwrap(), 800).await.unwrap();
        self.until("the window is as wide", &format!("innerWidth === {width}")).await;
    }

    pub async fn row(&self) -> Row {
        let cells: Vec<String> =
            self.eval("[...log.rows[0].cells].map((cell) => cell.textContent)").await;
        let [_, status, wire, _, tag, modified] = <[String; 6]>::try_from(cells).unwrap();
        Row { status: status.parse().unwrap(), wire, tag, modified }
    }

    /// Ends the polling: from now on the page asks when it is told to.
    pub async fn pause(&self) {
        self.click("#pause").await;
        // Each editor has asked once, and the page as often as it says.
        self.settled(async |wire| wire.len() as i64 == 2 + self.eval::<i64>("asked").await).await;
    }

    /// Lets a paused page ask once, and returns what went over the wire.
    pub async fn ask(&self, by: &str) -> Exchange {
        let before: i64 = self.eval("asked").await;
        let selector = format!("input[value={by}]");
        if self.checked(&selector).await {
            // Clicking it again would do nothing.
            self.eval::<bool>("document.getElementById('form').dispatchEvent(new Event('change'))")
                .await;
        } else {
            self.click(&selector).await;
        }
        let wire = self
            .settled(async |wire| wire.len() == 1 && self.eval::<i64>("asked").await > before)
            .await;
        wire.into_iter().next().unwrap()
    }

    /// Clicks on a paused page, and sees exactly these exchanges.
    pub async fn click_sends(&self, selector: &str, lines: &[&str]) {
        // Only what the page asks for its table is conditional.
        let rows = lines.iter().filter(|line| line.starts_with("GET if-")).count() as i64;
        let rows = rows + self.eval::<i64>("asked").await;
        self.click(selector).await;
        let shown = async || self.eval::<i64>("asked").await >= rows;
        let wire = self.settled(async |wire| wire.len() >= lines.len() && shown().await).await;
        let seen = wire.iter().map(|e| format!("{} {} {}", e.method, e.conditions(), e.status));
        assert_eq!(seen.collect::<Vec<_>>(), lines);
    }

    /// Waits until so many requests for `/flags` are answered.
    pub async fn sent(&self, count: usize) {
        self.settled(async |wire| wire.len() >= count).await;
    }

    /// Waits until all requests for `/flags` are answered, and so many that it will do;
    /// returns and forgets them.
    async fn settled(&self, enough: impl AsyncFn(&[Exchange]) -> bool) -> Vec<Exchange> {
        let deadline = Instant::now() + LIMIT;
        loop {
            self.read_wire().await;
            let mut wire = self.wire.lock().unwrap().values().cloned().collect::<Vec<_>>();
            wire.retain(|exchange| exchange.path == "/flags");
            wire.sort_by_key(|exchange| exchange.turn);
            if wire.iter().all(Exchange::is_whole) && enough(&wire).await {
                self.wire.lock().unwrap().clear();
                return wire;
            }
            assert!(Instant::now() < deadline, "not settled: {wire:#?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads on in the browser's network log.
    async fn read_wire(&self) {
        let entries = self.driver.get_log("performance").await.unwrap();
        let mut wire = self.wire.lock().unwrap();
        for entry in entries {
            let event: Value = serde_json::from_str(&entry.message).unwrap();
            let (what, event) =
                (event["message"]["method"].as_str().unwrap(), &event["message"]["params"]);
            let Some(id) = event["requestId"].as_str() else { continue };
            let turn = wire.len();
            let exchange = wire
                .entry(id.to_owned())
                .or_insert_with(|| Exchange { turn, ..Exchange::default() });
            exchange.note(what, event);
        }
    }

    /// No error is in the console.
    pub async fn no_errors(&self) {
        self.errors_are(&[]).await;
    }

    /// The errors in the console since the last time are these.
    pub async fn errors_are(&self, expected: &[&str]) {
        let entries = self.driver.get_log("browser").await.unwrap();
        let errors: Vec<_> = entries
            .iter()
            .filter(|entry| entry.level == "SEVERE")
            .map(|entry| &entry.message)
            .collect();
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.contains(expected), "{error}");
        }
    }
}

const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
