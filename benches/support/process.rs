//! Servers in processes of their own, and what they cost.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use axum::{serve::ListenerExt, Router};
use tokio::{net::TcpListener, runtime};

/// Serves on one thread, says where on standard output, and goes on until standard
/// input ends.
pub fn serve(app: Router) -> io::Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?)?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, app).await
    })
}

/// Returns the number below which that part of all lies.
pub fn at(part: f64, mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len() - 1;
    numbers[(part * last as f64).round() as usize]
}

/// A server in a process of its own.
pub struct Server {
    pub kind: &'static str,
    pub address: String,
    pub process: Process,
}

impl Server {
    pub fn start(kind: &'static str) -> io::Result<Self> {
        let mut process = Process::start(&["serve", kind])?;
        let address = process.hear()?;
        Ok(Self { kind, address, process })
    }
}

/// This program in another role. It ends when this one drops it, and when this one ends
/// in whatever way: its standard input ends then.
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(role: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.args(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Ok(Self { child, input, output })
    }

    pub fn ask(&mut self, question: &str) -> io::Result<String> {
        writeln!(self.input, "{question}")?;
        self.hear()
    }

    pub fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// Returns the most memory that it had at any time, in MiB; not a number where
    /// there is no `/proc`.
    pub fn peak(&self) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.map_or(f64::NAN, |kibibytes| kibibytes.parse::<f64>().unwrap() / 1024.0)
    }

    /// Returns the seconds of user and system time it took so far; not a number where
    /// there is no `/proc`.
    pub fn processor_time(&self) -> f64 {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.child.id())) else {
            return f64::NAN;
        };
        // The name, in parentheses, may hold spaces; user and system time are the 14th
        // and 15th field.
        let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        ticks / TICKS_PER_SECOND
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Linux counts so in `/proc`, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;
