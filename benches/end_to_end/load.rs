//! The load: keep-alive HTTP/1.1 without pipelining, on blocking sockets, so that it
//! costs less than what it measures.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use memchr::memmem;

/// Does what is asked for on standard input, line by line, until it ends.
pub fn obey() -> io::Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        let answer = match line.split('\t').collect::<Vec<_>>()[..] {
            ["throughput", address, path, tag, status, milliseconds] => throughput(
                address.parse().unwrap(),
                &request(path, tag),
                status,
                window(milliseconds),
            )?,
            ["latencies", address, large, milliseconds] => {
                latencies(address.parse().unwrap(), large == "beside", window(milliseconds))?
            }
            _ => panic!("what is {line:?}?"),
        };
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn window(milliseconds: &str) -> Duration {
    Duration::from_millis(milliseconds.parse().unwrap())
}

fn request(path: &str, tag: &str) -> Vec<u8> {
    let condition =
        if tag.is_empty() { String::new() } else { format!("If-None-Match: {tag}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{condition}\r\n").into_bytes()
}

/// Keeps one request under way on each connection; returns how many were answered, and
/// in how many seconds.
fn throughput(
    address: SocketAddr,
    request: &[u8],
    status: &str,
    window: Duration,
) -> io::Result<String> {
    let mut connections =
        (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<io::Result<Vec<_>>>()?;
    let start = Instant::now();
    let mut answered = 0;
    for connection in &mut connections {
        connection.send(request)?;
    }
    // Each is read in its turn: while this one is waited for, the others are served.
    while start.elapsed() < window {
        for connection in &mut connections {
            connection.receive(status)?;
            connection.send(request)?;
            answered += 1;
        }
    }
    for connection in &mut connections {
        connection.receive(status)?;
        answered += 1;
    }
    Ok(format!("{answered}\t{}", start.elapsed().as_secs_f64()))
}

/// Asks for something small once a millisecond, and returns how many microseconds each
/// answer took; `beside` it, another connection asks for something large 20 times a
/// second.
fn latencies(address: SocketAddr, beside: bool, window: Duration) -> io::Result<String> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let large = scope.spawn(|| -> io::Result<()> {
            let mut connection = Connection::open(address)?;
            let mut pace = Pace::new(Duration::from_millis(50));
            while beside && !done.load(Ordering::Relaxed) {
                pace.next();
                connection.send(&request("/large", ""))?;
                connection.receive("200")?;
            }
            Ok(())
        });
        let mut connection = Connection::open(address)?;
        let mut pace = Pace::new(Duration::from_millis(1));
        let start = Instant::now();
        let mut taken = Vec::new();
        while start.elapsed() < window {
            let began = pace.next();
            connection.send(&request("/small", ""))?;
            connection.receive("200")?;
            taken.push(began.elapsed().as_micros().to_string());
        }
        done.store(true, Ordering::Relaxed);
        large.join().unwrap()?;
        Ok(taken.join("\t"))
    })
}

/// Points in time at equal distances. One that is missed because an answer was late
/// counts from when it was due: the requests that would have been sent meanwhile
/// waited, too.
struct Pace {
    due: Instant,
    period: Duration,
}

impl Pace {
    fn new(period: Duration) -> Self {
        Self { due: Instant::now(), period }
    }

    fn next(&mut self) -> Instant {
        self.due += self.period;
        let left = self.due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return self.due;
        }
        thread::sleep(left);
        Instant::now()
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { stream, buffer: vec![0; 256 << 10] })
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads one response to its end.
    fn receive(&mut self, status: &str) -> io::Result<()> {
        let mut read = 0;
        let head = loop {
            read += self.read(read)?;
            if let Some(end) = memmem::find(&self.buffer[..read], b"\r\n\r\n") {
                break end + 4;
            }
        };
        let line = &self.buffer[..head];
        assert!(line[9..].starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(line));
        let mut left =
            (head + content_length(line)).checked_sub(read).expect("no more than was asked for");
        while left > 0 {
            left -= self.read(0)?;
        }
        Ok(())
    }

    fn read(&mut self, from: usize) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer[from..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// Hyper writes names in lower case.
fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let Some(name) = memmem::find(head, NAME) else { return 0 };
    let digits = head[name + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| 10 * number + usize::from(digit - b'0'))
}

const CONNECTIONS: usize = 16;
