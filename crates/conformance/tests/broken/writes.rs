//! Faults in guarding writes.

use http::{
    header::{
        ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    },
    Method, StatusCode,
};
use tower_conditional::EntityTag;

use super::Fault;
use crate::served::{
    line, not_modified, plain, reply, right, right_but, right_without, value, Asked, Reply, Store,
};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        ("write/if-match-miss", "sees writes when they are done", |store, asked| {
            on_write(store, asked, |store, asked| right_without(store, asked, &IF_MATCH))
        }),
        ("write/not-performed", "says 412 when the write is done", |store, asked| {
            on_write(store, asked, |store, asked| {
                let evaluated = right(&mut store.clone(), clone(&asked));
                store.write(asked.into_body());
                evaluated
            })
        }),
        ("write/if-match-malformed", "takes what it cannot read for nothing", |store, asked| {
            on_write(store, asked, |store, asked| match line(&asked, &IF_MATCH) {
                Some(text) if text.parse::<EntityTag>().is_err() => {
                    right_without(store, asked, &IF_MATCH)
                }
                _ => right(store, asked),
            })
        }),
        ("write/if-match-weak", "compares weakly", |store, asked| {
            on_write(store, asked, |store, asked| match line(&asked, &IF_MATCH) {
                Some(text) if text.starts_with("W/") => right_without(store, asked, &IF_MATCH),
                _ => right(store, asked),
            })
        }),
        ("write/if-none-match-star", "overwrites what should be created", |store, asked| {
            on_write(store, asked, |store, asked| right_without(store, asked, &IF_NONE_MATCH))
        }),
        ("write/if-none-match-current", "says 304 to a write", |store, asked| {
            on_write(store, asked, |store, asked| {
                if line(&asked, &IF_NONE_MATCH) != Some(&store.tag()) {
                    return right(store, asked);
                }
                let plain = plain(store, &asked);
                store.write(asked.into_body());
                not_modified(plain)
            })
        }),
        ("write/if-unmodified-since-older", "knows tags alone", |store, asked| {
            on_write(store, asked, |store, asked| right_without(store, asked, &IF_UNMODIFIED_SINCE))
        }),
        ("write/if-match-current", "means another tag than GET", |store, asked| {
            on_write(store, asked, |store, asked| {
                let is_current = line(&asked, &IF_MATCH) == Some(&store.tag());
                if is_current {
                    reply(StatusCode::PRECONDITION_FAILED, "")
                } else {
                    right(store, asked)
                }
            })
        }),
        ("write/encoded-tag", "knows no encoded tag on writes", |store, asked| {
            on_write(store, asked, |store, asked| match line(&asked, &IF_MATCH) {
                Some(text) if text.starts_with("\"z") => reply(StatusCode::PRECONDITION_FAILED, ""),
                _ => right(store, asked),
            })
        }),
        (
            "write/if-match-over-date",
            "evaluates If-Unmodified-Since beside If-Match",
            |store, asked| {
                on_write(store, asked, |store, asked| {
                    let both = asked.headers().contains_key(IF_MATCH)
                        && asked.headers().contains_key(IF_UNMODIFIED_SINCE);
                    if both {
                        reply(StatusCode::PRECONDITION_FAILED, "")
                    } else {
                        right(store, asked)
                    }
                })
            },
        ),
        ("write/if-modified-since", "evaluates If-Modified-Since on writes", |store, asked| {
            on_write(store, asked, |store, asked| {
                let is_dated = asked.headers().contains_key(IF_MODIFIED_SINCE);
                if is_dated {
                    reply(StatusCode::PRECONDITION_FAILED, "")
                } else {
                    right(store, asked)
                }
            })
        }),
        ("write/etag", "hashes the answer to a write", |store, asked| {
            on_write(store, asked, |store, asked| {
                right_but(store, asked, |reply| {
                    drop(reply.headers_mut().insert(ETAG, value("\"e3b0c442\"")));
                })
            })
        }),
        ("write/etag", "has a tag for content that it changed", |store, asked| {
            on_write(store, asked, write_trimmed)
        }),
        ("write/etag", "has a date for content that it changed", |store, asked| {
            on_write(store, asked, |store, asked| {
                let mut reply = write_trimmed(store, asked);
                if reply.headers_mut().remove(ETAG).is_some() {
                    reply.headers_mut().insert(LAST_MODIFIED, store.changed().into());
                }
                reply
            })
        }),
    ]
}

/// Stores a byte less than was sent.
fn write_trimmed(store: &mut Store, asked: Asked) -> Reply {
    right(store, asked.map(|content| content.slice(1..)))
}

fn on_write(
    store: &mut Store,
    asked: Asked,
    serve: impl FnOnce(&mut Store, Asked) -> Reply,
) -> Reply {
    if asked.method() == Method::PUT {
        serve(store, asked)
    } else {
        right(store, asked)
    }
}

fn clone(asked: &Asked) -> Asked {
    let mut same = Asked::new(asked.body().clone());
    *same.method_mut() = asked.method().clone();
    *same.uri_mut() = asked.uri().clone();
    *same.headers_mut() = asked.headers().clone();
    same
}
