//! A client that keeps its connections.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::fleet::GUARD;

#[derive(Default)]
pub(crate) struct Client {
    connections: HashMap<u16, http1::SendRequest<Empty<Bytes>>>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Bytes,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The connection was lost.
#[derive(Debug)]
pub(crate) struct Lost;

impl Client {
    /// Requests a file, and reads all of it.
    pub(crate) async fn ask(
        &mut self,
        port: u16,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Reply, Lost> {
        let exchange = async {
            let response = self.send(port, path, fields).await?;
            let (head, body) = response.into_parts();
            let content = body.collect().await.map_err(|_| Lost)?.to_bytes();
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, content })
        };
        let reply = timeout(GUARD, exchange).await.expect("nothing hangs");
        if reply.is_err() {
            self.connections.remove(&port);
        }
        reply
    }

    /// Like [`Self::ask`], but tries again once if the connection is lost.
    pub(crate) async fn ask_again(
        &mut self,
        port: u16,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Reply, Lost> {
        match self.ask(port, path, fields).await {
            Err(Lost) => self.ask(port, path, fields).await,
            reply => reply,
        }
    }

    /// Requests a file, and closes the connection after the first bytes of content.
    pub(crate) async fn break_off(&mut self, port: u16, path: &str, fields: &[(&str, &str)]) {
        let response = self.send(port, path, fields).await.unwrap();
        let mut body = response.into_body();
        let _ = body.frame().await;
        self.connections.remove(&port);
    }

    async fn send(
        &mut self,
        port: u16,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<http::Response<Incoming>, Lost> {
        let request = Request::get(path).header("host", "files");
        let request =
            fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let connection = match self.connections.remove(&port) {
            Some(connection) if !connection.is_closed() => connection,
            _ => connect(port).await?,
        };
        let connection = self.connections.entry(port).insert_entry(connection).into_mut();
        connection.ready().await.map_err(|_| Lost)?;
        connection.send_request(request.body(Empty::new()).unwrap()).await.map_err(|_| Lost)
    }
}

async fn connect(port: u16) -> Result<http1::SendRequest<Empty<Bytes>>, Lost> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|_| Lost)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Lost)?;
    tokio::spawn(connection);
    Ok(sender)
}
