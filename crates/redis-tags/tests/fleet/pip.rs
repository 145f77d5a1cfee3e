//! pip, whose download breaks off because the server that sends it dies.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    time::{Duration, Instant},
};

use libtest_mimic::Completion;
use tokio::{process::Command, time::sleep};
use tower_conditional::EntityTag;

use crate::{
    client::Client,
    fleet::{put, time, Fleet, GUARD, SERVERS},
};

const WHEEL: &str = "glue-1.0-py3-none-any.whl";

/// So many parts by the tag are seen before the servers are left alone.
const ENOUGH: usize = 2;

pub(crate) async fn pip_resumes_across_the_fleet() -> Completion {
    let Some(pip) = pip().await else {
        return Completion::ignored_with("no pip that resumes (25.1), and none could be installed");
    };
    let mut fleet = Fleet::start("pip", 1 << 20).await;
    let made = fleet.folder.join(WHEEL);
    assert!(run(Path::new("python3"), &["-c", MAKE, made.to_str().unwrap()]).await);
    let wheel = fs::read(&made).unwrap();
    let path = format!("/{WHEEL}");
    for server in 0..SERVERS {
        let root = fleet.root(server, 0);
        put(&root.join(WHEEL), &wheel, time(0));
        let page = format!("<!doctype html><a href=\"{path}\">{WHEEL}</a>");
        put(&root.join("page.html"), page.as_bytes(), time(0));
    }
    // One of them hashes the wheel. All know the tag before pip asks, so that it is told.
    Client::default().ask(fleet.port(0), &path, &[]).await.unwrap();
    for server in 0..SERVERS {
        learns(&fleet, server, &path).await;
    }
    let (links, out) =
        (format!("http://127.0.0.1:{}/page.html", fleet.nginx), fleet.folder.join("out"));
    let arguments = [
        "-m",
        "pip",
        "--isolated",
        "--disable-pip-version-check",
        "download",
        "--no-deps",
        "--no-index",
        "--no-cache-dir",
        "--resume-retries",
        "50",
        "-f",
        &links,
        "-d",
        out.to_str().unwrap(),
        "glue==1.0",
    ];
    let log = fleet.folder.join("access.log");
    let mut download = pin!(run(&pip, &arguments));
    let tag = EntityTag::of(&wheel).to_string().replace('"', "\\x22");
    let parts_by_tag = || {
        let seen = fs::read_to_string(&log).unwrap();
        seen.lines().filter(|line| line.starts_with("206") && line.contains(&tag)).count()
    };
    // They die in turn, because which of them sends the file is not known. The next one
    // dies after this one has learned the tag again: only then can pip go on with a part,
    // whichever it meets.
    let mut restarts = (0..SERVERS).cycle().take(30);
    let is_done = loop {
        tokio::select! {
            is_done = &mut download => break is_done,
            () = sleep(Duration::from_millis(400)) => {
                if parts_by_tag() < ENOUGH {
                    if let Some(server) = restarts.next() {
                        fleet.restart_server(server, 0);
                        learns(&fleet, server, &path).await;
                    }
                }
            }
        }
    };
    assert!(is_done);
    assert_eq!(
        EntityTag::of(&fs::read(out.join(WHEEL)).unwrap()),
        EntityTag::of(&wheel),
        "corrupt"
    );
    let seen = fs::read_to_string(&log).unwrap();
    assert!(parts_by_tag() > 0, "pip was sent no part by the tag:\n{seen}");
    Completion::Completed
}

/// Asks a server for a byte of the wheel until its answer has the tag.
async fn learns(fleet: &Fleet, server: usize, path: &str) {
    let mut client = Client::default();
    let start = Instant::now();
    let fields = [("range", "bytes=0-0")];
    while client.ask(fleet.port(server), path, &fields).await.unwrap().field("etag").is_none() {
        assert!(start.elapsed() < GUARD, "server {server} does not learn the tag");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Finds a Python whose pip resumes downloads, or makes one.
async fn pip() -> Option<PathBuf> {
    // Kept, since it takes its time to make.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pip");
    let own = folder.join("bin/python");
    if !resumes(Path::new("python3")).await && !resumes(&own).await {
        run(Path::new("python3"), &["-m", "venv", folder.to_str()?]).await;
        run(&own, &["-m", "pip", "-q", "install", "--timeout", "5", "-U", "pip"]).await;
    }
    for python in [Path::new("python3"), &own] {
        if resumes(python).await {
            return Some(python.to_owned());
        }
    }
    None
}

async fn resumes(python: &Path) -> bool {
    run(
        python,
        &["-c", "import pip; assert [*map(int, pip.__version__.split('.')[:2])] >= [25, 1]"],
    )
    .await
}

/// Runs a program; returns true if it says that all went well.
async fn run(program: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.status().await.is_ok_and(|status| status.success())
}

/// Makes a wheel with 200 MiB in it.
const MAKE: &str = "
import random, sys, zipfile
random.seed(1)
info = 'glue-1.0.dist-info/'
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('glue/data.bin', random.randbytes(200 << 20))
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: glue\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
";
