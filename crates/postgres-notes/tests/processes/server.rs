//! PostgreSQL as the distribution has it, and processes of the application.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    os::unix::{fs::chown, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use tokio_postgres::{Client, NoTls};

/// The programs of PostgreSQL, and the user that runs them: they refuse root.
#[derive(Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
    /// Another user, if this is root.
    user: Option<u32>,
}

impl Programs {
    /// Looks for the programs; if they cannot be run, says why.
    pub(crate) fn find() -> Result<Self, &'static str> {
        let folder = folders()
            .into_iter()
            .find(|folder| folder.join("initdb").is_file())
            .ok_or("PostgreSQL is not installed")?;
        let user = if id(&["-u"]) == Some(0) {
            Some(id(&["-u", "postgres"]).ok_or("there is no user postgres")?)
        } else {
            None
        };
        Ok(Self { folder, user })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        // It must not inherit a folder that this user cannot read.
        command.current_dir("/");
        if let Some(user) = self.user {
            command.uid(user);
        }
        command
    }
}

/// Where PostgreSQL may be: in the search path, or where Debian and its kin put it, the
/// newest first.
fn folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort_by(|a, b| b.cmp(a));
    env::split_paths(&path).chain(versions).collect()
}

/// Asks `id` for a number.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A server on a Unix socket, which ends with this value.
pub(crate) struct Postgres {
    programs: Programs,
    folder: PathBuf,
}

impl Postgres {
    pub(crate) fn start(programs: &Programs) -> Self {
        let folder = env::temp_dir().join(format!("postgres-notes-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        chown(&folder, programs.user, None).unwrap();
        let server = Self { programs: programs.clone(), folder };
        let initdb = ["--auth=trust", "--username=notes", "--locale=C", "--no-sync"];
        server.run("initdb", &initdb);
        // What is on the disk after a power cut is not the question here.
        let options = format!("-k {} -c listen_addresses= -c fsync=off", server.folder.display());
        let log = server.folder.join("log");
        server.run("pg_ctl", &["start", "-w", "-o", &options, "-l", log.to_str().unwrap()]);
        server
    }

    /// Runs a program to its end.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = self.programs.command(program);
        command.args(arguments).arg("-D").arg(self.folder.join("data"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
    }

    /// Makes an empty database.
    pub(crate) async fn database(&self, name: &str) -> Database {
        let created = self.connect("postgres").await;
        created.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Database { url: self.url(name), client: self.connect(name).await }
    }

    async fn connect(&self, database: &str) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn url(&self, database: &str) -> String {
        format!("host={} user=notes dbname={database}", self.folder.display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate"]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A database of the application.
pub(crate) struct Database {
    url: String,
    /// A connection to look behind the application's back.
    pub(crate) client: Client,
}

impl Database {
    /// Starts a process of the application.
    pub(crate) fn application(&self) -> Application {
        Application::start(&self.url)
    }
}

/// A process of the application, on a port of its own.
pub(crate) struct Application {
    process: Child,
    pub(crate) url: String,
}

impl Application {
    fn start(database: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postgres-notes"));
        command.env("DATABASE_URL", database).env("ADDR", "127.0.0.1:0");
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).trim();
        // What else it has to say, all see.
        thread::spawn(move || io::copy(&mut stderr, &mut io::stderr()));
        Self { process, url: url.to_owned() }
    }

    /// Kills it in the middle of whatever it does (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
