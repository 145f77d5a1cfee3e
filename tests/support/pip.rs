//! A pip that resumes downloads, and a wheel for it.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use tokio::process::Command;

pub(crate) const WHEEL: &str = "glue-1.0-py3-none-any.whl";

/// A page that links to the wheel.
pub(crate) const PAGE: &str = "<!doctype html><a href=\"/glue-1.0-py3-none-any.whl\">glue</a>";

/// A Python whose pip resumes downloads.
pub(crate) struct Pip {
    python: PathBuf,
}

impl Pip {
    /// Finds one, or makes one.
    pub(crate) async fn find() -> Result<Self, String> {
        // Kept, since it takes its time to make.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pip");
        let own = folder.join("bin/python");
        for python in [Path::new("python3"), &own] {
            if python == own && !own.exists() {
                let folder = folder.to_str().unwrap();
                let made = run(Path::new("python3"), &["-m", "venv", folder]).await;
                if !made.status.success() {
                    return Err("python3 has no venv".to_owned());
                }
                let upgrade = ["-m", "pip", "-q", "install", "--timeout", "5", "-U", "pip"];
                run(&own, &upgrade).await;
            }
            let version = run(python, &["-m", "pip", "--version"]).await;
            let version = String::from_utf8_lossy(&version.stdout).into_owned();
            let mut numbers = version.split([' ', '.']).filter_map(|part| part.parse::<u32>().ok());
            if (numbers.next(), numbers.next()) >= (Some(25), Some(1)) {
                return Ok(Self { python: python.to_owned() });
            }
        }
        Err("no pip that resumes (25.1), and none could be installed".to_owned())
    }

    /// Downloads the wheel that a page links to into a folder. Returns true if pip says
    /// that all went well.
    pub(crate) async fn download(&self, page: &str, retries: &str, folder: &Path) -> bool {
        let folder = folder.to_str().unwrap();
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
            retries,
            "-f",
            page,
            "-d",
            folder,
            "glue==1.0",
        ];
        run(&self.python, &arguments).await.status.success()
    }

    /// Makes a wheel with so many bytes in it, which alone depend on the seed.
    pub(crate) async fn make_wheel(path: &Path, bytes: usize, seed: u64) {
        let (bytes, seed) = (bytes.to_string(), seed.to_string());
        let arguments = ["-c", MAKE_WHEEL, path.to_str().unwrap(), &bytes, &seed];
        let made = run(Path::new("python3"), &arguments).await;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

/// Runs a program to its end, without what the machine says of proxies.
async fn run(program: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.args(arguments).kill_on_drop(true).output().await.unwrap()
}

const MAKE_WHEEL: &str = "
import random, sys, zipfile
random.seed(int(sys.argv[3]))
info = 'glue-1.0.dist-info/'
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('glue/data.bin', random.randbytes(int(sys.argv[2])))
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: glue\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
";
