//! pip resumes a download whose server was killed.

use std::{
    fs,
    pin::pin,
    time::{Duration, Instant},
};

use libtest_mimic::Completion;
use tokio::time::sleep;
use tower_conditional::EntityTag;

use crate::{
    client::Client,
    fleet::{put, time, Fleet, GUARD, SERVERS},
    support::{Pip, PAGE, WHEEL},
};

/// After this many 206 responses to If-Range, no more servers are killed.
const ENOUGH: usize = 2;

pub(crate) async fn pip_resumes_across_the_fleet() -> Completion {
    let pip = match Pip::find().await {
        Ok(pip) => pip,
        Err(reason) => return Completion::ignored_with(reason),
    };
    let mut fleet = Fleet::start("pip", 1 << 20).await;
    let made = fleet.folder.join(WHEEL);
    Pip::make_wheel(&made, 200 << 20, 1).await;
    let wheel = fs::read(&made).unwrap();
    let path = format!("/{WHEEL}");
    for server in 0..SERVERS {
        let root = fleet.root(server, 0);
        put(&root.join(WHEEL), &wheel, time(0));
        put(&root.join("page.html"), PAGE.as_bytes(), time(0));
    }
    // One server hashes the wheel. All servers get the tag before pip starts, so that
    // pip gets it, too.
    Client::default().ask(fleet.port(0), &path, &[]).await.unwrap();
    for server in 0..SERVERS {
        learns(&fleet, server, &path).await;
    }
    let page = format!("http://127.0.0.1:{}/page.html", fleet.nginx);
    let out = fleet.folder.join("out");
    let log = fleet.folder.join("access.log");
    let mut download = pin!(pip.download(&page, "50", &out));
    let tag = EntityTag::of(&wheel).to_string().replace('"', "\\x22");
    let parts_by_tag = || {
        let seen = fs::read_to_string(&log).unwrap();
        seen.lines().filter(|line| line.starts_with("206") && line.contains(&tag)).count()
    };
    // The servers are killed in turn, because it is not known which one sends the
    // wheel. The one that did stays down for a second, so that pip asks another server.
    // Each server has the tag again before the next one is killed. So every server can
    // answer pip with a 206.
    let mut dying = (0..SERVERS).cycle().take(30);
    let is_done = loop {
        tokio::select! {
            is_done = &mut download => break is_done,
            () = sleep(Duration::from_millis(300)) => {
                if parts_by_tag() < ENOUGH
                    && let Some(server) = dying.next()
                {
                    let seen = fs::read_to_string(&log).unwrap();
                    fleet.kill_server(server);
                    sleep(Duration::from_millis(100)).await;
                    if fs::read_to_string(&log).unwrap() != seen {
                        // This server was sending the wheel.
                        sleep(Duration::from_millis(900)).await;
                    }
                    fleet.start_server(server, 0);
                    learns(&fleet, server, &path).await;
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

/// Requests one byte of the wheel until the answer has the tag.
async fn learns(fleet: &Fleet, server: usize, path: &str) {
    let mut client = Client::default();
    let start = Instant::now();
    let fields = [("range", "bytes=0-0")];
    while client.ask(fleet.port(server), path, &fields).await.unwrap().field("etag").is_none() {
        assert!(start.elapsed() < GUARD, "server {server} does not learn the tag");
        sleep(Duration::from_millis(5)).await;
    }
}
