//! Files change and servers are restarted, while Redis is killed, emptied and slowed
//! down, and gets forged values. No client may get a wrong answer.
//!
//! `FLEET=100000` sets the number of changes and reads. The default is 3,000.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        Arc, Mutex,
    },
    time::{Duration, Instant},
};

use libtest_mimic::Completion;
use redis::AsyncCommands;
use tokio::{sync::RwLock, task::JoinSet, time::sleep};

use crate::{
    client::Client,
    fleet::{Fleet, SERVERS},
    proxy::Manner,
    world::{tag, Asked, Condition, World, FILES, LENGTH},
};

const CLIENTS: u64 = 6;

/// The state of the test, which all tasks share.
struct Run {
    world: World,
    fleet: RwLock<Fleet>,
    total: u64,
    done: AtomicU64,
    forging: AtomicBool,
    /// How often each kind of event has happened.
    tally: Mutex<BTreeMap<String, u64>>,
}

impl Run {
    fn count(&self, what: impl Into<String>, times: u64) {
        *self.tally.lock().unwrap().entry(what.into()).or_default() += times;
    }

    async fn count_stats(&self, server: usize) {
        let fleet = self.fleet.read().await;
        for name in ["shared_asked", "shared_found", "shared_rejected", "shared_published"] {
            self.count(name, fleet.stat(server, name).await);
        }
    }

    /// Waits until this percentage of the changes and reads is done.
    async fn wait_for(&self, percent: u64) {
        while self.done.load(Relaxed) < self.total * percent / 100 {
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn restart(&self, servers: impl IntoIterator<Item = usize>, is_deploy: bool) {
        for server in servers {
            self.count_stats(server).await;
            self.world.restart(&mut *self.fleet.write().await, server, is_deploy);
        }
    }
}

pub(crate) async fn no_answer_is_wrong_whatever_happens_to_the_store() -> Completion {
    let total = env::var("FLEET").map_or(3_000, |total| total.parse().unwrap());
    let fleet = Fleet::start("changes", 1 << 10).await;
    let run = Arc::new(Run {
        world: World::new(&fleet),
        fleet: RwLock::new(fleet),
        total,
        done: AtomicU64::new(0),
        forging: AtomicBool::new(false),
        tally: Mutex::default(),
    });
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for seed in 1..=CLIENTS {
        tasks.spawn(client(Arc::clone(&run), seed));
    }
    tasks.spawn(forge(Arc::clone(&run)));
    tasks.spawn(misfortunes(Arc::clone(&run)));
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for server in 0..SERVERS {
        run.count_stats(server).await;
    }
    let tally = run.tally.lock().unwrap();
    println!("{total} changes and reads in {:?}: {tally:#?}", start.elapsed());
    // Each of these events must have happened.
    for what in ["shared_found", "shared_rejected", "shared_published", "206 by IfRange", "304"] {
        assert!(tally.get(what).is_some_and(|times| *times > 0), "no {what}: {tally:#?}");
    }
    Completion::Completed
}

/// Disturbs Redis and the servers, one step after the other, while the clients run.
async fn misfortunes(run: Arc<Run>) {
    run.wait_for(15).await;
    run.fleet.write().await.redis.kill();
    run.wait_for(20).await;
    run.restart([0], false).await;
    run.wait_for(25).await;
    run.fleet.write().await.redis.run().await;
    run.wait_for(35).await;
    run.fleet.read().await.redis.empty();
    run.restart([1], false).await;
    run.wait_for(40).await;
    run.fleet.read().await.proxy.is(Manner::Slow);
    run.restart([2], false).await;
    run.wait_for(50).await;
    run.fleet.read().await.proxy.is(Manner::Pass);
    run.forging.store(true, Relaxed);
    run.wait_for(60).await;
    run.restart(0..SERVERS, true).await;
    run.wait_for(75).await;
    run.forging.store(false, Relaxed);
    run.fleet.read().await.proxy.is(Manner::Silent);
    run.wait_for(80).await;
    run.fleet.read().await.proxy.is(Manner::Pass);
    run.restart([1], false).await;
}

/// Writes invalid values into Redis, without knowing the secret.
async fn forge(run: Arc<Run>) {
    let mut random = Random(77);
    while run.done.load(Relaxed) < run.total {
        sleep(Duration::from_millis(10)).await;
        if !run.forging.load(Relaxed) {
            continue;
        }
        let client = run.fleet.read().await.redis.client();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let keys: Vec<String> = redis.keys("*").await.unwrap();
        for key in &keys {
            let other = &keys[random.below(keys.len() as u64) as usize];
            let value: Option<Vec<u8>> = redis.get(other).await.ok().flatten();
            let value = match random.below(6) {
                // The tag of a version that clients hold, with an invalid HMAC.
                0 => {
                    let tag = tag(random.below(FILES as u64) as usize, random.below(20));
                    [&[1; 33][..], tag.trim_matches('"').as_bytes()].concat()
                }
                1 => value.unwrap_or_default(),
                2 => vec![b'x'; 1 << 20],
                3 => b"garbage".to_vec(),
                4 => {
                    // Both commands in one transaction, because a server may publish
                    // this key at any time.
                    let mut list = redis::pipe();
                    list.atomic().del(key).rpush(key, "not a string");
                    let () = list.exec_async(&mut redis).await.unwrap();
                    continue;
                }
                _ => Vec::new(),
            };
            let _: () = redis.set(key, value).await.unwrap();
            run.count("forged", 1);
        }
    }
}

/// A client that revalidates and resumes files on any server, and sometimes
/// changes one.
async fn client(run: Arc<Run>, seed: u64) {
    let mut random = Random(seed);
    let mut client = Client::default();
    // The versions of each file that the client got, with their dates. The newest
    // is last.
    let mut held: [Vec<(u64, String)>; FILES] = Default::default();
    while run.done.fetch_add(1, Relaxed) < run.total {
        let file = random.below(FILES as u64) as usize;
        if random.below(100) < 10 {
            let server = random.below(SERVERS as u64) as usize;
            run.world.change(&*run.fleet.read().await, server, file, random.next());
            run.count("change", 1);
            continue;
        }
        let last = held[file].len().saturating_sub(3);
        let known = &held[file][last..];
        let one = known.get(random.below(3) as usize).cloned();
        let mut fields = Vec::new();
        let mut condition = Condition::None;
        let mut range = None;
        match (random.below(6), one) {
            (0 | 1, Some((version, _))) => {
                condition = Condition::IfNoneMatch(version);
                fields.push(("if-none-match", tag(file, version)));
            }
            (2, Some((version, date))) if !date.is_empty() => {
                condition = Condition::IfModifiedSince(version);
                fields.push(("if-modified-since", date));
            }
            (3 | 4, Some((version, _))) => {
                condition = Condition::IfRange(version);
                fields.push(("if-range", tag(file, version)));
                range = Some(random.range());
            }
            (3 | 5, _) => range = Some(random.range()),
            _ => {}
        }
        if let Some((first, last)) = range {
            fields.push(("range", format!("bytes={first}-{last}")));
        }
        let fields: Vec<_> = fields.iter().map(|(name, text)| (*name, &**text)).collect();
        let ports: Vec<_> = {
            let fleet = run.fleet.read().await;
            (0..SERVERS).map(|server| fleet.port(server)).chain([fleet.nginx]).collect()
        };
        let to = random.below(ports.len() as u64) as usize;
        let start = Instant::now();
        let reply = client.ask_again(ports[to], &format!("/{file}.bin"), &fields).await;
        let end = Instant::now();
        let (server, reply) = match (reply, to) {
            (Ok(reply), SERVERS) => {
                let server = reply.field("x-server").unwrap().rsplit(':').next().unwrap();
                let server = ports.iter().position(|port| port.to_string() == server).unwrap();
                (server, reply)
            }
            (Ok(reply), server) => (server, reply),
            (Err(_), to) => {
                let was_down = |server| run.world.was_down(server, start, end);
                assert!(
                    (0..SERVERS).any(|server| (to == server || to == SERVERS) && was_down(server))
                );
                run.count("lost", 1);
                continue;
            }
        };
        if reply.status == 502 && run.world.was_down(server, start, end) {
            run.count("502", 1);
            continue;
        }
        let asked = Asked { server, file, start, condition, range };
        match run.world.check(&asked, &reply) {
            Ok(version) => {
                if let (Some(version), Some(_)) = (version, reply.field("etag")) {
                    let date = reply.field("last-modified").unwrap_or_default().to_owned();
                    held[file].retain(|(known, _)| *known != version);
                    held[file].push((version, date));
                }
            }
            Err(why) => panic!(
                "{why}: server {server}, {fields:?}, {:?}, {}",
                reply.headers,
                String::from_utf8_lossy(&reply.content[..reply.content.len().min(40)])
            ),
        }
        let what = match condition {
            Condition::IfRange(_) if reply.status == 206 => "206 by IfRange".to_owned(),
            _ => reply.status.to_string(),
        };
        run.count(what, 1);
        if reply.status == 200 {
            let what = if reply.field("etag").is_some() { "200 with tag" } else { "200 without" };
            run.count(what, 1);
        }
    }
}

/// The random number generator SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn range(&mut self) -> (usize, usize) {
        let first = self.below(LENGTH as u64 - 1) as usize;
        (first, first + self.below((LENGTH - first) as u64) as usize)
    }
}
