//! Faults in what goes along with content: queries, CORS, digests.

use http::{
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ETAG,
        IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, ORIGIN,
    },
    Method, StatusCode,
};

use super::{content::is_feed, Fault};
use crate::served::{
    digest, line, not_modified, plain, reply, right, right_but, right_without, value, Asked, Reply,
    Store,
};

pub(crate) fn queries() -> Vec<Fault> {
    vec![
        ("query/answers", "does not know QUERY", |store, asked| {
            if is_query(&asked) {
                reply(StatusCode::METHOD_NOT_ALLOWED, "")
            } else {
                right(store, asked)
            }
        }),
        ("query/etag", "tags GET alone", |store, asked| {
            let is_query = is_query(&asked);
            right_but(store, asked, |reply| {
                if is_query {
                    reply.headers_mut().remove(ETAG);
                }
            })
        }),
        ("query/304", "takes QUERY for a write", |store, asked| {
            let is_query = is_query(&asked);
            right_but(store, asked, |reply| {
                if is_query && reply.status() == StatusCode::NOT_MODIFIED {
                    *reply.status_mut() = StatusCode::PRECONDITION_FAILED;
                }
            })
        }),
        ("query/miss", "says 304 to each query that has a tag", |store, asked| {
            if is_query(&asked) && asked.headers().contains_key(IF_NONE_MATCH) {
                not_modified(plain(store, &asked))
            } else {
                right(store, asked)
            }
        }),
        ("query/if-match-miss", "ignores If-Match on QUERY", |store, asked| {
            if is_query(&asked) {
                right_without(store, asked, &IF_MATCH)
            } else {
                right(store, asked)
            }
        }),
        ("query/if-modified-since", "evaluates dates on QUERY", |store, asked| {
            if is_query(&asked) && asked.headers().contains_key(IF_MODIFIED_SINCE) {
                not_modified(plain(store, &asked))
            } else {
                right(store, asked)
            }
        }),
    ]
}

pub(crate) fn cors() -> Vec<Fault> {
    vec![
        ("cors/exposes-etag", "keeps the tag from scripts", |store, asked| {
            right_but(store, asked, |reply| {
                drop(reply.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, value("link")));
            })
        }),
        ("cors/304", "answers 304 before it looks at the origin", |store, asked| {
            let has_origin = asked.headers().contains_key(ORIGIN);
            right_but(store, asked, |reply| {
                if has_origin && reply.status() == StatusCode::NOT_MODIFIED {
                    reply.headers_mut().remove(ACCESS_CONTROL_ALLOW_ORIGIN);
                }
            })
        }),
    ]
}

pub(crate) fn digests() -> Vec<Fault> {
    vec![
        ("digest/repr", "hashes something else", |store, asked| {
            right_but(store, asked, |reply| set(reply, "repr-digest", b"something else"))
        }),
        ("digest/encoded", "hashes before compression", |store, asked| {
            let is_zipped = line(&asked, &ACCEPT_ENCODING) == Some("gzip");
            let content = store.content.clone();
            right_but(store, asked, |reply| {
                if is_zipped {
                    set(reply, "repr-digest", &content);
                }
            })
        }),
        ("digest/part", "hashes the part for Repr-Digest", |store, asked| {
            let content = store.content.clone();
            on_part(store, asked, |reply| set(reply, "repr-digest", &content[..1]))
        }),
        ("digest/head", "hashes the empty content of HEAD", |store, asked| {
            let is_head = asked.method() == Method::HEAD && is_feed(&asked);
            right_but(store, asked, |reply| {
                if is_head {
                    set(reply, "repr-digest", b"");
                }
            })
        }),
        ("digest/content", "keeps Content-Digest on a part", |store, asked| {
            let content = store.content.clone();
            on_part(store, asked, |reply| set(reply, "content-digest", &content))
        }),
    ]
}

pub(super) fn is_query(asked: &Asked) -> bool {
    asked.method().as_str() == "QUERY"
}

fn set(reply: &mut Reply, name: &'static str, content: &[u8]) {
    if reply.headers().contains_key(name) {
        reply.headers_mut().insert(name, value(digest(content)));
    }
}

fn on_part(store: &mut Store, asked: Asked, edit: impl FnOnce(&mut Reply)) -> Reply {
    right_but(store, asked, |reply| {
        if reply.status() == StatusCode::PARTIAL_CONTENT {
            edit(reply);
        }
    })
}
