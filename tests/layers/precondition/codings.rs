//! Writes that name a tag with the coding behind it: an edit of gzip is an edit of the
//! plain content.

use std::{
    future::{ready, Ready},
    sync::{Arc, Mutex},
};

use axum::{body::Body, extract::State, routing::get, Router};
use http::{HeaderMap, Method, Response};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_conditional::{EntityTag, PreconditionLayer, Preconditions, Representation};

use crate::support::{
    encoder::Encoder,
    guarded::{boxed, guarded, App},
    harness::{layer, reply, request, run, tag, Lines, IM, INM},
    note::{write, Note},
};

const AE: &str = "accept-encoding";

/// A document whose tag is made of its version.
#[derive(Clone, Default)]
struct Document {
    version: Arc<Mutex<usize>>,
    /// What the tag ends in.
    ending: &'static str,
    /// PUT checks.
    checks: bool,
    /// GET has a tag of its own.
    tags: bool,
}

impl Document {
    fn tag(&self) -> EntityTag {
        EntityTag::strong(format!("v{}{}", self.version.lock().unwrap(), self.ending)).unwrap()
    }

    fn router(&self) -> Router {
        Router::new().route("/", get(read).put(put)).with_state(self.clone())
    }
}

async fn read(State(document): State<Document>) -> Response<Body> {
    let content = format!("version {}, and enough text to compress", document.tag());
    let tag = document.tag().to_string();
    let own = [("etag", &*tag)];
    reply(200, if document.tags { &own } else { &[] }, content)
}

async fn put(State(document): State<Document>, headers: HeaderMap) -> Response<Body> {
    if document.checks {
        let preconditions = Preconditions::new(&Method::PUT, &headers);
        if let Err(rejection) = preconditions.check(document.tag()) {
            return Response::<String>::from(rejection).map(Body::from);
        }
    }
    *document.version.lock().unwrap() += 1;
    reply(204, &[], Body::empty())
}

fn source(
    document: &Document,
) -> impl Fn(&http::request::Parts) -> Ready<Representation> + Clone + use<> {
    let document = document.clone();
    move |_| ready(Representation::from(document.tag()))
}

/// All places in which a write can be checked, with compression outside of the layer
/// and inside.
fn apps(document: &Document) -> Vec<(&'static str, App)> {
    let router = |checks| Document { checks, ..document.clone() }.router();
    let outside = || layer().0.compress_with(Encoder::default());
    let inside = || ServiceBuilder::new().layer(layer().0).layer(Encoder::default());
    let source = || PreconditionLayer::new(source(document));
    let all = ServiceBuilder::new();
    vec![
        ("handler", boxed(all.clone().layer(outside()).service(router(true)))),
        (
            "source inside",
            boxed(all.clone().layer(outside()).layer(source()).service(router(false))),
        ),
        ("source outside", boxed(all.layer(source()).layer(outside()).service(router(false)))),
        ("guard", boxed(guarded(outside().layer(router(false))))),
        ("handler, compressed inside", boxed(inside().service(router(true)))),
        ("source, compressed inside", boxed(inside().layer(source()).service(router(false)))),
        ("guard, compressed inside", boxed(guarded(inside().service(router(false))))),
    ]
}

fn ask(app: &App, method: &str, lines: Lines<'_>) -> (u16, Option<String>) {
    let response = run(app.clone().oneshot(request(method, "/", lines))).unwrap();
    let tag = response.headers().get("etag");
    (response.status().as_u16(), tag.map(|tag| tag.to_str().unwrap().to_owned()))
}

#[test]
fn if_match_of_a_write_counts_every_coding_of_the_current_state_and_no_other() {
    for (ending, tags) in [("", true), ("~gzip", true), ("~identity", true), ("", false)] {
        let document = Document { ending, tags, ..Document::default() };
        for (name, app) in apps(&document) {
            // A source knows its own tag only, and a handler cannot know a hash.
            if !tags && name.starts_with("handler") {
                continue;
            }
            for held in ["", "gzip", "br", "zstd", "deflate"] {
                for sends in ["", "gzip", "br", held] {
                    // There, the tag is the hash of what was encoded.
                    let is_encoded = !tags && name == "guard, compressed inside";
                    if is_encoded && sends != held {
                        continue;
                    }
                    let context = format!("{name} {ending} {tags}: {held} then {sends}");
                    let (_, tag) = ask(&app, "GET", &[(AE, held)]);
                    let tag = tag.unwrap();
                    assert_eq!(ask(&app, "PUT", &[(IM, &tag), (AE, sends)]).0, 204, "{context}");
                    assert_eq!(ask(&app, "PUT", &[(IM, &tag), (AE, sends)]).0, 412, "{context}");
                    let list = format!("\"x\", {tag}");
                    assert_eq!(ask(&app, "PUT", &[(IM, &list), (AE, sends)]).0, 412, "{context}");
                    let (_, new) = ask(&app, "GET", &[(AE, held)]);
                    let list = format!("{tag}, {}", new.unwrap());
                    assert_eq!(ask(&app, "PUT", &[(INM, &list), (AE, sends)]).0, 412, "{context}");
                    assert_eq!(ask(&app, "PUT", &[(IM, &list), (AE, sends)]).0, 204, "{context}");
                }
            }
        }
    }
}

/// The client holds gzip of `"v1"`, and the state is `"v1~gzip"` now.
#[test]
fn if_match_of_a_write_has_one_meaning() {
    for (ending, held) in [("~gzip", "\"v0~gzip\""), ("~br", "\"v0~br\""), ("", "\"v0~gzip~gzip\"")]
    {
        let document = Document { ending, tags: true, ..Document::default() };
        for (name, app) in apps(&document) {
            for accepts in ["", "gzip", "br"] {
                let status = ask(&app, "PUT", &[(IM, held), (AE, accepts)]).0;
                assert_eq!(status, 412, "{name}: {held}");
            }
        }
    }
}

#[test]
fn if_match_of_a_write_needs_a_strong_tag() {
    let document = Document { tags: true, ..Document::default() };
    for (name, app) in apps(&document) {
        assert_eq!(ask(&app, "PUT", &[(IM, "W/\"v0~gzip\"")]).0, 412, "{name}");
    }
}

/// The client learns which tag it should have sent.
#[test]
fn a_refusal_says_a_tag_that_the_next_write_can_name() {
    for ending in ["", "~gzip"] {
        let document = Document { ending, tags: true, ..Document::default() };
        for (name, app) in apps(&document) {
            let (status, tag) = ask(&app, "PUT", &[(IM, "\"old\""), (AE, "gzip")]);
            assert_eq!(status, 412, "{name}");
            let tag = tag.unwrap();
            assert_eq!(ask(&app, "PUT", &[(IM, &tag)]).0, 204, "{name}: {tag}");
        }
    }
}

/// The hash of what was sent is the plain tag of the new state.
#[test]
fn a_guarded_put_learns_the_new_tag_whatever_coding_it_accepts() {
    for accepts in ["", "gzip"] {
        let note = Note::of("the old text, long enough to be compressed");
        let app = layer().0.compress_with(Encoder::default());
        let app = boxed(guarded(app.layer(note.service())));
        let (_, held) = ask(&app, "GET", &[(AE, accepts)]);
        let new = "the new text, and long enough to be compressed";
        let write = write("PUT", &[(IM, &held.unwrap()), (AE, accepts)], new);
        let response = run(app.clone().oneshot(write)).unwrap();
        let new_tag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), &*new_tag), (204, &*tag(new)), "{accepts}");
        assert_eq!(ask(&app, "PUT", &[(IM, &new_tag), (AE, accepts)]).0, 204, "{accepts}");
    }
}

/// As tower-http has it: the write was done, and its 204 is overwritten.
#[test]
fn a_write_whose_client_refuses_all_codings_is_done() {
    let document = Document { tags: true, checks: true, ..Document::default() };
    let app = layer().0.compress_with(tower_http::compression::CompressionLayer::new());
    let app = boxed(app.layer(document.router()));
    assert_eq!(ask(&app, "PUT", &[(IM, "\"v0\""), (AE, "*;q=0")]).0, 406);
    assert_eq!(*document.version.lock().unwrap(), 1);
    assert_eq!(ask(&app, "PUT", &[(IM, "\"v0\""), (AE, "*;q=0")]).0, 406);
    assert_eq!(*document.version.lock().unwrap(), 1, "a stale write is not");
}
