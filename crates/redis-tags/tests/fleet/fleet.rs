//! Starts and stops Redis, the servers and nginx, in a temporary folder.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use crate::{client::Client, port::free_port, proxy::Proxy, SERVE};

pub(crate) const SERVERS: usize = 3;

/// All processes of a test. They end when this value is dropped.
pub(crate) struct Fleet {
    pub(crate) folder: PathBuf,
    pub(crate) redis: Redis,
    /// The proxy through which the servers reach Redis.
    pub(crate) proxy: Proxy,
    servers: [Option<Server>; SERVERS],
    ports: [u16; SERVERS],
    pub(crate) nginx: u16,
    _nginx: Nginx,
    buffer_limit: u64,
}

impl Fleet {
    /// Starts all processes. Each server has its own folder ([`Self::root`]).
    pub(crate) async fn start(name: &str, buffer_limit: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("fleet-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let redis = Redis::start(&folder, free_port()).await;
        let proxy = Proxy::start(redis.port).await;
        let ports = [(); SERVERS].map(|()| free_port());
        let (nginx, process) = start_nginx(&folder, ports);
        let servers = [(); SERVERS].map(|()| None);
        let mut fleet =
            Self { folder, redis, proxy, servers, ports, nginx, _nginx: process, buffer_limit };
        for server in 0..SERVERS {
            fs::create_dir_all(fleet.root(server, 0)).unwrap();
            fleet.start_server(server, 0);
        }
        wait("nginx", || std::net::TcpStream::connect(("127.0.0.1", nginx)).is_ok()).await;
        fleet
    }

    /// Returns the folder that a server serves after `deploys` deploys.
    pub(crate) fn root(&self, server: usize, deploys: usize) -> PathBuf {
        self.folder.join(format!("server-{server}-{deploys}"))
    }

    pub(crate) fn port(&self, server: usize) -> u16 {
        self.ports[server]
    }

    /// Kills a server (SIGKILL).
    pub(crate) fn kill_server(&mut self, server: usize) {
        self.servers[server] = None;
    }

    pub(crate) fn start_server(&mut self, server: usize, deploys: usize) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .arg(SERVE)
            .env("ADDR", format!("127.0.0.1:{}", self.ports[server]))
            .env("FOLDER", self.root(server, deploys))
            .env("BUFFER_LIMIT", self.buffer_limit.to_string())
            .env("REDIS_URL", format!("redis://127.0.0.1:{}/", self.proxy.port))
            .env("TAG_SECRET", "a secret of 32 bytes and not less");
        self.servers[server] = Some(Server::start(command));
    }

    pub(crate) fn restart_server(&mut self, server: usize, deploys: usize) {
        self.kill_server(server);
        self.start_server(server, deploys);
    }

    /// Returns the counter `name` of a server's `Stats`.
    pub(crate) async fn stat(&self, server: usize, name: &str) -> u64 {
        let mut client = Client::default();
        let reply = client.ask(self.ports[server], "/-/stats", &[]).await.unwrap();
        let text = String::from_utf8(reply.content.to_vec()).unwrap();
        let value = text.split([',', '{', '}']).find_map(|part| {
            part.trim().strip_prefix(name)?.strip_prefix(": ")?.parse::<u64>().ok()
        });
        value.unwrap_or_else(|| panic!("{name} in {text}"))
    }

    /// Waits until the counter `name` of a server is at least `least`.
    pub(crate) async fn wait_for(&self, server: usize, name: &str, least: u64) {
        let start = Instant::now();
        while self.stat(server, name).await < least {
            assert!(start.elapsed() < GUARD, "{name} of server {server} is less than {least}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A Redis that keeps nothing on the disk.
pub(crate) struct Redis {
    pub(crate) port: u16,
    folder: PathBuf,
    process: Option<Process>,
}

impl Redis {
    async fn start(folder: &Path, port: u16) -> Self {
        let mut redis = Self { port, folder: folder.to_owned(), process: None };
        redis.run().await;
        redis
    }

    /// Starts an empty Redis.
    pub(crate) async fn run(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        let settings = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
        command.args(settings).arg("--dir").arg(&self.folder).stdout(Stdio::null());
        self.process = Some(Process(command.spawn().unwrap()));
        let client = self.client();
        wait("redis", || client.get_connection().is_ok()).await;
    }

    /// Kills Redis (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    pub(crate) fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    pub(crate) fn empty(&self) {
        let mut connection = self.client().get_connection().unwrap();
        redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
    }
}

/// A process of the application.
struct Server {
    _process: Process,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut process = Process(command.stderr(Stdio::piped()).spawn().unwrap());
        let mut stderr = BufReader::new(process.0.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.starts_with("listening"), "{line}");
        // Further output of the server goes to the standard error of the test.
        thread::spawn(move || io::copy(&mut stderr, &mut io::stderr()));
        Self { _process: process }
    }
}

/// A process that is killed when this value is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts nginx, which sends each request to the next server.
fn start_nginx(folder: &Path, ports: [u16; SERVERS]) -> (u16, Nginx) {
    let port = free_port();
    let servers = ports.map(|port| format!("server 127.0.0.1:{port} max_fails=0;")).concat();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path temporary;"))
        .concat();
    let config = format!(
        "daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
        events {{}}
        http {{
            log_format seen '$status \"$http_range\" \"$http_if_range\" $request_uri';
            access_log access.log seen;
            {temporary}
            types {{}}
            default_type '';
            map $uri $rate {{ default 100m; ~whl$ 40m; }}
            upstream fleet {{ {servers} keepalive 8; }}
            server {{
                listen 127.0.0.1:{port};
                # So that there is time to kill a server that sends a large file.
                limit_rate $rate;
                location / {{
                    proxy_pass http://fleet;
                    proxy_http_version 1.1;
                    proxy_set_header Host files;
                    proxy_set_header Connection '';
                    proxy_max_temp_file_size 0;
                    add_header x-server $upstream_addr always;
                }}
            }}
        }}"
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).args(["-c", "nginx.conf", "-e", "error.log"]);
    (port, Nginx(command.spawn().unwrap()))
}

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // With SIGTERM, the master process also ends its worker. With SIGKILL it
        // could not.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// Replaces a file in one step, as a deploy does, and sets its modification time.
pub(crate) fn put(path: &Path, content: &[u8], modified: SystemTime) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::File::options().write(true).open(&new).unwrap().set_modified(modified).unwrap();
    fs::rename(&new, path).unwrap();
}

/// Returns a time in 2025.
pub(crate) fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::new(1_750_000_000 + seconds, 500)
}

async fn wait(what: &str, is_done: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_done() {
        assert!(start.elapsed() < GUARD, "{what} does not start");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A timeout that is longer than any step of a test takes.
pub(crate) const GUARD: Duration = Duration::from_secs(60);
