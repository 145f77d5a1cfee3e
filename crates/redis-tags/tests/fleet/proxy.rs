//! A TCP proxy between the servers and Redis, which can delay or drop all data.

use std::{
    sync::{
        atomic::{AtomicU8, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Manner {
    Pass,
    /// Data is delayed by 100 ms in each direction.
    Slow,
    /// All data is dropped.
    Silent,
}

/// The proxy, which listens on `port`.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    manner: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let manner = Arc::new(AtomicU8::new(Manner::Pass as u8));
        let proxy = Self { port, manner: Arc::clone(&manner) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, Arc::clone(&manner)));
            }
        });
        proxy
    }

    pub(crate) fn is(&self, manner: Manner) {
        self.manner.store(manner as u8, Relaxed);
    }
}

async fn pass(client: TcpStream, to: u16, manner: Arc<AtomicU8>) {
    // If Redis is down, the connection of the client is closed.
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // When one side is closed, the other side is closed, too.
    tokio::select! {
        () = copy(from_client, to_server, &manner) => {}
        () = copy(from_server, to_client, &manner) => {}
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    manner: &AtomicU8,
) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        match manner.load(Relaxed) {
            pass if pass == Manner::Pass as u8 => {}
            slow if slow == Manner::Slow as u8 => sleep(Duration::from_millis(100)).await,
            _ => continue,
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
