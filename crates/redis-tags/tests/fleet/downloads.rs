//! The download of a large file is resumed on any server.

use std::{
    fs,
    time::{Duration, Instant},
};

use libtest_mimic::Completion;
use tower_conditional::EntityTag;

use crate::{
    client::{Client, Reply},
    fleet::{put, time, Fleet, SERVERS},
    proxy::Manner,
};

const FILE: &str = "/large.bin";
const LENGTH: usize = 200 << 20;

/// A client that has a part of the file, and requests the rest with the tag
/// in If-Range.
struct Download<'a> {
    fleet: &'a Fleet,
    content: &'a [u8],
    tag: &'a str,
}

impl Download<'_> {
    /// Requests `length` bytes from `start` on.
    async fn part(&self, port: u16, start: usize, length: usize) -> Reply {
        let range = format!("bytes={start}-{}", start + length - 1);
        let fields = [("range", &*range), ("if-range", self.tag)];
        Client::default().ask(port, FILE, &fields).await.unwrap()
    }

    /// Expects a 206 with the tag for a part of the file. The first request to a server
    /// may get the whole file without a tag. So it is broken off, and the part is
    /// requested when the server has the tag from the store.
    async fn resumes_on(&self, server: usize) {
        let port = self.fleet.port(server);
        let fields = [("range", "bytes=104857600-"), ("if-range", self.tag)];
        Client::default().break_off(port, FILE, &fields).await;
        self.fleet.wait_for(server, "shared_found", 1).await;
        let start = LENGTH / 3 * 2;
        let reply = self.part(port, start, 1 << 20).await;
        assert_eq!(reply.status, 206, "server {server}: {:?}", reply.headers);
        assert_eq!(reply.field("etag"), Some(self.tag));
        assert!(reply.content == self.content[start..start + (1 << 20)], "corrupt");
    }

    /// Gets the whole file in eight parts through nginx, which changes the server
    /// each time.
    async fn in_pieces(&self) {
        let piece = LENGTH / 8;
        for start in (0..LENGTH).step_by(piece) {
            let reply = self.part(self.fleet.nginx, start, piece).await;
            assert_eq!((reply.status, reply.field("etag")), (206, Some(self.tag)), "from {start}");
            assert!(reply.content == self.content[start..start + piece], "corrupt from {start}");
        }
    }
}

pub(crate) async fn resumes_across_the_fleet_after_restarts_and_a_deploy() -> Completion {
    let mut fleet = Fleet::start("downloads", 1 << 20).await;
    let content: Vec<u8> =
        (0..LENGTH / 8).flat_map(|i| (i as u64 * 0x9e37_79b9).to_le_bytes()).collect();
    let tag = EntityTag::of(&content).to_string();
    let deploy = |fleet: &Fleet, deploys: usize| {
        for server in 0..SERVERS {
            let root = fleet.root(server, deploys);
            fs::create_dir_all(&root).unwrap();
            let file = root.join(&FILE[1..]);
            if server == 0 {
                put(&file, &content, time(deploys as u64));
            } else {
                fs::hard_link(fleet.root(0, deploys).join(&FILE[1..]), file).unwrap();
            }
        }
    };
    deploy(&fleet, 0);
    // One server sends the file once, and hashes it meanwhile.
    let first = Client::default().ask(fleet.port(0), FILE, &[]).await.unwrap();
    assert!(first.status == 200 && first.content == content);
    assert_eq!(first.field("etag"), None, "it is known at the end");
    fleet.wait_for(0, "shared_published", 1).await;
    for server in 1..SERVERS {
        Download { fleet: &fleet, content: &content, tag: &tag }.resumes_on(server).await;
        let hashed = fleet.stat(server, "bytes_hashed").await;
        assert!(hashed < LENGTH as u64 / 10, "{hashed} bytes: only what was broken off");
    }
    Download { fleet: &fleet, content: &content, tag: &tag }.in_pieces().await;
    for server in 0..SERVERS {
        fleet.restart_server(server, 0);
        Download { fleet: &fleet, content: &content, tag: &tag }.resumes_on(server).await;
    }
    // The same content gets another modification time. So the first server that sends
    // the file must learn the tag again.
    deploy(&fleet, 1);
    for server in 0..SERVERS {
        fleet.restart_server(server, 1);
    }
    let fields = [("range", "bytes=104857600-"), ("if-range", &*tag)];
    let first = Client::default().ask(fleet.nginx, FILE, &fields).await.unwrap();
    assert!(first.status == 200 && first.content == content, "the whole, and no other part");
    let learned = first.field("x-server").unwrap().to_owned();
    // `x-server` has a list if nginx first tried a server that was killed. The last
    // one answered.
    let learned = learned.rsplit(", ").next().unwrap();
    let is_learned = |port| learned == format!("127.0.0.1:{port}");
    for server in (0..SERVERS).filter(|server| !is_learned(fleet.port(*server))) {
        Download { fleet: &fleet, content: &content, tag: &tag }.resumes_on(server).await;
    }
    Download { fleet: &fleet, content: &content, tag: &tag }.in_pieces().await;
    Completion::Completed
}

/// Checks that answers are right, and are not delayed.
pub(crate) async fn requests_do_not_wait_for_a_store_that_never_answers() -> Completion {
    let fleet = Fleet::start("silent", 1 << 10).await;
    fleet.proxy.is(Manner::Silent);
    let mut slowest = Duration::ZERO;
    let mut client = Client::default();
    for i in 0..200 {
        let (name, content) = (format!("{i}.bin"), vec![i as u8; 2000]);
        put(&fleet.root(0, 0).join(&name), &content, time(i));
        for tag in [None, Some(EntityTag::of(&content).to_string())] {
            let start = Instant::now();
            let reply = client.ask(fleet.port(0), &format!("/{name}"), &[]).await.unwrap();
            slowest = slowest.max(start.elapsed());
            assert!(reply.status == 200 && reply.content == content);
            assert_eq!(reply.field("etag"), tag.as_deref());
        }
    }
    assert_eq!(fleet.stat(0, "shared_asked").await, 200);
    // A request that waited for the store would take a second, which is its timeout.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    println!("slowest of 400 requests: {slowest:?}");
    Completion::Completed
}
