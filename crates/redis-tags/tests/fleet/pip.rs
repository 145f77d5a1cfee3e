//! pip, whose download breaks off because the server that sends it dies.

use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    time::Duration,
};

use libtest_mimic::Completion;
use tokio::{process::Command, time::sleep};
use tower_conditional::EntityTag;

use crate::{
    client::Client,
    fleet::{put, time, Fleet, SERVERS},
};

const WHEEL: &str = "glue-1.0-py3-none-any.whl";

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
        // All know the tag, so that pip is told it.
        Client::default().ask(fleet.port(server), &path, &[]).await.unwrap();
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
    // One of them sends the file when it dies. When pip starts to read is not known, so
    // they die in turn until it is done.
    let mut restarts = (0..SERVERS).cycle().take(30);
    let is_done = loop {
        tokio::select! {
            is_done = &mut download => break is_done,
            () = sleep(Duration::from_millis(400)) => {
                if let Some(server) = restarts.next() {
                    fleet.restart_server(server, 0);
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
    let log = fs::read_to_string(log).unwrap();
    let tag = EntityTag::of(&wheel).to_string();
    let spelled = tag.replace('"', "\\x22");
    let resumed = log.lines().any(|line| line.starts_with("206") && line.contains(&spelled));
    assert!(resumed, "pip was sent no part by the tag:\n{log}");
    Completion::Completed
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
