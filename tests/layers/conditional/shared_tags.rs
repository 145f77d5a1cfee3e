//! The setting `InnerTags::store`: tags that servers share, and a store that fails in
//! all ways.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use http::Request;
use tower_conditional::{ConditionalLayer, InnerTags, SharedTags, TagAnswer, TagStore};

use super::digest::Sum;
use crate::support::{
    harness::{date, reply, send, INM, LM},
    origin::{ours, Site, OWN},
    scripted_body::data,
};

const SECRET: &str = "a secret of 32 bytes and not less";
const NAME: &str = "files";

/// A store in memory that does as it is told.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    manner: Manner,
    values: HashMap<[u8; 32], Vec<u8>>,
    asked: Vec<[u8; 32]>,
    /// Questions that were not answered yet.
    open: Vec<([u8; 32], TagAnswer)>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Manner {
    #[default]
    AtOnce,
    /// When [`Scripted::answer`] is called, if ever.
    Later,
    /// Its queue is full: all that comes is dropped.
    Full,
}

impl TagStore for Scripted {
    fn ask(&self, key: [u8; 32], answer: TagAnswer) {
        let mut state = self.state();
        state.asked.push(key);
        match state.manner {
            Manner::AtOnce => {
                if let Some(value) = state.values.get(&key) {
                    answer.found(value);
                }
            }
            Manner::Later => state.open.push((key, answer)),
            Manner::Full => {}
        }
    }

    fn publish(&self, key: [u8; 32], value: Vec<u8>) {
        let mut state = self.state();
        if state.manner != Manner::Full {
            state.values.insert(key, value);
        }
    }
}

impl Scripted {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn is(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// Answers all open questions.
    fn answer(&self) {
        let mut state = self.state();
        for (key, answer) in std::mem::take(&mut state.open) {
            if let Some(value) = state.values.get(&key) {
                answer.found(value);
            }
        }
    }

    fn asked(&self) -> usize {
        self.state().asked.len()
    }

    /// Makes a server that shares its tags here.
    fn server(&self) -> Site {
        self.server_of(NAME, SECRET, InnerTags::replace())
    }

    fn server_of(&self, namespace: &str, secret: &str, inner_tags: InnerTags) -> Site {
        let tags = SharedTags::new(namespace, secret, self.clone()).unwrap();
        let site = Site::new(|layer| layer.inner_tags(inner_tags.store(tags)));
        site.answers(&ANSWER, &[data(5), data(7)], Some(12));
        site
    }

    /// Has one server publish the tag of the content.
    fn publish(&self) {
        let site = self.server();
        site.ask("GET", &[]);
        assert_eq!(site.layer.stats().shared_published, 1);
        self.state().asked.clear();
    }
}

/// A file server's answer.
const ANSWER: [(&str, &str); 2] = [("etag", OWN), ("accept-ranges", "bytes")];

fn tag(site: &Site) -> Option<String> {
    site.ask("GET", &[]).line("etag").map(str::to_owned)
}

#[test]
fn shared_tags_come_with_the_second_request_and_nothing_is_hashed() {
    for manner in [Manner::AtOnce, Manner::Later] {
        let store = Scripted::default();
        store.publish();
        store.is(manner);
        let site = store.server();
        let first = site.ask("GET", &[]);
        assert_eq!((first.line("etag"), &*first.frames), (None, &[data(5), data(7)][..]));
        // The first response was learned from, too. Another server breaks it off.
        let site = store.server();
        site.break_off(&[]);
        store.answer();
        let second = site.ask("GET", &[(INM, &ours())]);
        assert_eq!((second.status(), second.line("etag")), (304, Some(&*ours())));
        let stats = site.layer.stats();
        assert_eq!((stats.shared_asked, stats.shared_found), (1, 1));
        assert_eq!((stats.bytes_hashed, stats.shared_published), (0, 0));
    }
}

#[test]
fn shared_tags_resume_a_download_from_the_second_request_on() {
    for inner_tags in [InnerTags::replace(), InnerTags::learn()] {
        let store = Scripted::default();
        store.publish();
        let site = store.server_of(NAME, SECRET, inner_tags.clone());
        let held = ours();
        let part = &[("range", "bytes=5-11"), ("if-range", &*held)][..];
        site.break_off(part);
        assert!(!site.shows("range"), "the layer does not know this version");
        site.origin.borrow_mut().status = 206;
        let lines = [("etag", OWN), ("content-range", "bytes 5-11/12")];
        site.answers(&lines, &[data(7)], Some(7));
        let resumed = site.ask("GET", part);
        assert_eq!((resumed.status(), resumed.line("etag")), (206, Some(&*ours())));
        assert!(site.shows("range"), "{inner_tags:?}");
        // The content changes: its part is of another version.
        let lines = [("etag", "\"other\""), ("content-range", "bytes 5-11/12")];
        site.answers(&lines, &[data(7)], Some(7));
        assert_eq!(site.ask("GET", part).status(), 503);
    }
}

#[test]
fn shared_tags_of_a_store_that_never_answers_cost_a_tag_and_one_question() {
    for manner in [Manner::Later, Manner::Full] {
        let store = Scripted::default();
        store.publish();
        store.is(manner);
        let site = store.server();
        for second in 10..15 {
            site.at(second);
            // The runtime of each request has no one that could wake it up.
            site.break_off(&[]);
            assert_eq!(store.asked(), 1, "second {second}");
        }
        site.at(15);
        site.break_off(&[]);
        // One that is open is not repeated; one that was dropped is.
        assert_eq!(store.asked(), if manner == Manner::Later { 1 } else { 2 });
        assert_eq!(site.ask("GET", &[]).content().len(), 12);
        assert_eq!(tag(&site), Some(ours()), "it makes its own");
    }
}

#[test]
fn shared_tags_that_are_missing_are_asked_for_again_after_five_seconds() {
    let store = Scripted::default();
    let site = store.server();
    for (second, asked) in [(10, 1), (14, 1), (15, 2), (19, 2), (3, 3), (4, 3)] {
        site.at(second);
        site.break_off(&[]);
        assert_eq!(store.asked(), asked, "second {second}");
    }
    store.publish();
    site.at(8);
    site.break_off(&[]);
    assert_eq!(tag(&site), Some(ours()));
}

#[test]
fn shared_tags_that_no_server_made_are_dropped_and_counted() {
    let store = Scripted::default();
    store.publish();
    let (key, good) = store.state().values.clone().into_iter().next().unwrap();
    // The value of other content, sealed with the right secret.
    let other = store.server();
    other.answers(&[("etag", "\"other\"")], &[data(13)], Some(13));
    other.ask("GET", &[]);
    let values = store.state().values.clone();
    let other = values.iter().find(|(other, _)| **other != key).unwrap().1.clone();
    // That of a server with another secret.
    let stranger = Scripted::default();
    stranger
        .server_of(NAME, "another secret of 32 bytes or so", InnerTags::replace())
        .ask("GET", &[]);
    let foreign = stranger.state().values.values().next().unwrap().clone();
    let flipped = |at: usize| {
        let mut value = good.clone();
        value[at] ^= 1;
        value
    };
    let mut forged = vec![
        Vec::new(),
        vec![1],
        vec![0; 97],
        b"garbage".to_vec(),
        ours().into_bytes(),
        vec![1; 1 << 20],
        [&good[..], b"0"].concat(),
        good[..good.len() - 1].to_vec(),
        good[..33].to_vec(),
        other,
        foreign,
    ];
    forged.extend((0..good.len()).map(flipped));
    for value in forged {
        store.state().values.insert(key, value.clone());
        let site = store.server();
        site.break_off(&[]);
        assert_eq!(site.ask("GET", &[(INM, &ours())]).status(), 200, "{value:?}");
        assert_eq!(site.layer.stats().shared_found, 0, "{value:?}");
        assert_eq!(site.layer.stats().shared_rejected, 1, "{value:?}");
        assert_eq!(tag(&site), Some(ours()), "it makes its own: {value:?}");
    }
}

#[test]
fn shared_tags_are_for_servers_that_are_built_alike_and_content_that_is_described_alike() {
    let alike = |change: &dyn Fn(&Scripted) -> Site| {
        let store = Scripted::default();
        store.publish();
        let site = change(&store);
        site.break_off(&[]);
        site.layer.stats().shared_found == 1
    };
    assert!(alike(&Scripted::server));
    let of = |namespace, secret| {
        move |store: &Scripted| store.server_of(namespace, secret, InnerTags::replace())
    };
    assert!(!alike(&of("other", SECRET)));
    assert!(!alike(&of(NAME, "another secret of 32 bytes or so")));
    assert!(!alike(&|store| {
        let site = store.server();
        site.answers(&[("etag", "\"other\"")], &[data(5), data(7)], Some(12));
        site
    }));
    assert!(!alike(&|store| {
        let site = store.server();
        site.answers(&ANSWER, &[data(5), data(8)], Some(13));
        site
    }));
    assert!(!alike(&|store| {
        let site = store.server();
        Site { layer: site.layer.clone().key(|_| "other"), ..site }
    }));
    let store = Scripted::default();
    let layer = || {
        let tags = SharedTags::new(NAME, SECRET, store.clone()).unwrap();
        ConditionalLayer::new().buffer_limit(7).inner_tags(InnerTags::replace().store(tags))
    };
    send(&layer(), Request::default(), reply(200, &ANSWER, "twelve bytes"));
    let other = layer().digest::<Sum>();
    send(&other, Request::default(), reply(200, &ANSWER, "twelve bytes"));
    assert_eq!((other.stats().shared_asked, other.stats().shared_found), (1, 0));
}

#[test]
fn shared_tags_are_those_of_large_content_whose_description_proves_something() {
    let small = &[data(5)][..];
    let large = &[data(5), data(7)][..];
    for (trusts, lines, steps, shared) in [
        (false, &[("etag", OWN)][..], large, true),
        (false, &[("etag", OWN), ("vary", "cookie")], large, true),
        (false, &[("etag", OWN), (LM, &*date(0))], large, true),
        (false, &[("etag", OWN)], small, false),
        // It changed a moment ago.
        (false, &[("etag", OWN), (LM, &date(9))], large, false),
        // All files have this date.
        (false, &[("etag", OWN), (LM, "Thu, 01 Jan 1970 00:00:01 GMT")], large, false),
        (false, &[("etag", "W/\"weak\""), (LM, &date(0))], large, false),
        (true, &[("etag", "W/\"weak\""), (LM, &date(0))], large, true),
        (true, &[(LM, &date(0))], large, true),
        (true, &[(LM, &date(0)), ("vary", "accept")], large, false),
    ] {
        let store = Scripted::default();
        let size = steps.iter().map(|step| if step == &data(5) { 5 } else { 7 }).sum();
        let site = store.server_of(NAME, SECRET, InnerTags::replace().trust_dates(trusts));
        site.answers(lines, steps, Some(size));
        // A field that is new in `Vary` is known with the second request.
        for _ in 0..2 {
            site.ask("GET", &[]);
        }
        let stats = site.layer.stats();
        let expected = u64::from(shared);
        assert_eq!((stats.shared_asked, stats.shared_published), (expected, expected), "{lines:?}");
    }
}

#[test]
fn shared_tags_have_a_secret_that_is_not_short_and_not_shown() {
    for (length, is_enough) in [(0, false), (31, false), (32, true), (1000, true)] {
        let secret = "s".repeat(length);
        let tags = SharedTags::new(NAME, &secret, Scripted::default());
        assert_eq!(tags.is_ok(), is_enough, "{length}");
        match tags {
            Ok(tags) => assert_eq!(format!("{tags:?}"), "SharedTags { .. }"),
            Err(error) => assert_eq!(
                error.to_string(),
                format!("the secret has {length} bytes, and must have at least 32")
            ),
        }
    }
}
