//! What `tracing` tells of decisions. Alone in its program: what another thread does
//! first, without a listener, would switch the event off for all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use tower_conditional::{InnerTags, Manifest};
use tracing::{
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    Event, Level, Metadata, Subscriber,
};

use crate::support::harness::{date, get, layer, reply, request, send, tag, INM, LM};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_conditional")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(match *event.metadata().level() {
            Level::DEBUG => String::new(),
            level => format!("{level} "),
        });
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

#[test]
fn tracing_tells_every_decision_once() {
    let log = Log::default();
    let (layer, _clock) = layer();
    tracing::subscriber::with_default(log.clone(), || {
        send(&layer, get(&[]), reply(200, &[], "content"));
        send(&layer, get(&[(INM, &tag("content"))]), reply(200, &[], "content"));
        send(&layer, request("POST", "/", &[]), reply(201, &[], ""));
        let now = &*date(10);
        // Dated in the second of its change: not believed before the next one.
        send(&layer, get(&[]), reply(200, &[(LM, now)], "more"));
        let wrong = Manifest::from_pairs([("index.html", [0; 32])]).unwrap();
        let layer = layer.inner_tags(InnerTags::replace().manifest(wrong));
        send(&layer, get(&[]), reply(200, &[("etag", "\"v1\"")], "listed"));
    });
    let lines = log.0.lock().unwrap();
    let told =
        |outcome, status| format!("message=conditional request outcome={outcome} status={status} ");
    let expected = [
        told("tagged", 200),
        told("not modified", 304),
        told("left alone: method", 201),
        format!("message=date of the inner service not sent last_modified=Some(\"{}\") ", date(10)),
        told("tagged", 200),
        told("tagged", 200),
        "WARN message=the hash of the file differs from the manifest \
         file=\"index.html\" "
            .to_owned(),
    ];
    assert_eq!(lines[..], expected);
}

#[cfg(feature = "shared-tags")]
#[test]
fn tracing_tells_of_a_shared_tag_that_was_not_made_with_the_secret() {
    use tower_conditional::{InnerTags, SharedTags, TagAnswer, TagStore};

    struct Forged;

    impl TagStore for Forged {
        fn ask(&self, _: [u8; 32], answer: TagAnswer) {
            answer.found(b"forged");
        }

        fn publish(&self, _: [u8; 32], _: Vec<u8>) {}
    }

    let log = Log::default();
    let (layer, _clock) = layer();
    let tags = SharedTags::new("files", [7; 32], Forged).unwrap();
    let layer = layer.buffer_limit(7).inner_tags(InnerTags::replace().store(tags));
    tracing::subscriber::with_default(log.clone(), || {
        send(&layer, get(&[]), reply(200, &[("etag", "\"own\"")], "much content"));
    });
    let lines = log.0.lock().unwrap();
    let expected = [
        "WARN message=shared tag was not made with our secret ",
        "message=conditional request outcome=left alone: too large status=200 ",
    ];
    assert_eq!(lines[..], expected);
}
