//! Faults in validators, in what is sent in place of content, and in other kinds of
//! content.

use http::{
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING,
        CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, VARY,
    },
    HeaderName, Method, StatusCode,
};
use http_body_util::Full;
use tower_conditional::{Decision, HttpDate};

use super::{others::is_query, Fault};
use crate::served::{
    decide, line, may_be_ranged, not_modified, now, part, plain, reply, right, right_but,
    right_without, value, Asked, Reply, Store,
};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        ("answer/get", "says 502 to what it cannot buffer", |_, _| {
            reply(StatusCode::BAD_GATEWAY, "")
        }),
        ("validator/present", "a bare handler", |store, asked| match *asked.method() {
            _ if !is_feed(&asked) => reply(StatusCode::NOT_FOUND, ""),
            _ if is_query(&asked) => right(store, asked),
            Method::GET => reply(StatusCode::OK, "news"),
            Method::HEAD => reply(StatusCode::OK, ""),
            _ => reply(StatusCode::METHOD_NOT_ALLOWED, ""),
        }),
        ("validator/etag", "sends tags without quotes", |store, asked| {
            retag(store, asked, |tag| tag.trim_matches('"').to_owned())
        }),
        ("validator/etag", "sends two tags", |store, asked| {
            right_but(store, asked, |reply| {
                reply.headers_mut().append(ETAG, value("\"second\""));
            })
        }),
        ("validator/has-etag", "knows dates alone", |store, asked| dated(store, asked)),
        ("validator/last-modified", "prints dates with a zone", |store, asked| {
            right_but(store, asked, |reply| {
                edit(reply, LAST_MODIFIED, |date| date.replace("GMT", "+0000"));
            })
        }),
        ("validator/last-modified", "prints dates as in 1985", |store, asked| {
            right_but(store, asked, |reply| {
                edit(reply, LAST_MODIFIED, |_| "Sunday, 06-Nov-94 08:49:37 GMT".into());
            })
        }),
        ("validator/not-in-future", "has a file from the future", |store, asked| {
            right_but(store, asked, |reply| {
                edit(reply, DATE, |_| "Sat, 05 Nov 1994 08:49:37 GMT".into());
            })
        }),
        ("validator/stable", "takes the time of the request for Last-Modified", |store, asked| {
            store.remembered = Some(value(
                store
                    .remembered
                    .as_ref()
                    .map_or(0, |n| n.to_str().unwrap().parse::<i64>().unwrap() + 1),
            ));
            let second =
                store.remembered.as_ref().unwrap().to_str().unwrap().parse::<i64>().unwrap();
            let date =
                HttpDate::from_unix_seconds(store.changed().unix_seconds() + second).unwrap();
            right_but(store, asked, |reply| edit(reply, LAST_MODIFIED, |_| date.to_string()))
        }),
        ("validator/stable", "hashes the time of day", |store, asked| {
            store.version += 1;
            right(store, asked)
        }),
        ("validator/one-content", "has one tag for a page with a nonce", |store, asked| {
            let length = store.content.len();
            if asked.method() == Method::GET {
                store.content =
                    if store.content[0] == b'X' { vec![b'Y'; length] } else { vec![b'X'; length] }
                        .into();
            }
            right(store, asked)
        }),
        ("change/etag", "has one tag for ever", |store, asked| {
            // The one that it has now is what the client would have to send.
            let (current, is_write) = (store.tag(), asked.method() == Method::PUT);
            let asked = exchange(asked, "\"for-ever\"", &current);
            right_but(store, asked, |reply| match reply.headers().get(ETAG) {
                _ if is_write => drop(reply.headers_mut().remove(ETAG)),
                Some(tag) if *tag == current => edit(reply, ETAG, |_| "\"for-ever\"".into()),
                _ => {}
            })
        }),
        ("change/304", "remembers tags and looks no more", |store, asked| {
            let is_known = store.remembered.is_some()
                && asked.headers().get(IF_NONE_MATCH) == store.remembered.as_ref();
            if is_known
                && asked.headers().len() == 1
                && is_feed(&asked)
                && asked.method() == Method::GET
            {
                return not_modified(plain(store, &asked));
            }
            if is_feed(&asked) {
                store.remembered = plain(store, &asked).headers().get(ETAG).cloned();
            }
            right(store, asked)
        }),
        ("change/date", "says 304 to any date since its start", |store, asked| {
            let since =
                line(&asked, &IF_MODIFIED_SINCE).and_then(|date| HttpDate::parse(date, now()));
            let is_recent = since.is_some_and(|date| date >= Store::new().changed());
            if is_recent
                && asked.headers().len() == 1
                && is_feed(&asked)
                && asked.method() == Method::GET
            {
                return not_modified(plain(store, &asked));
            }
            right(store, asked)
        }),
        ("change/second", "keeps the date of its first version", |store, asked| {
            if asked.method() == Method::PUT {
                return right(store, asked);
            }
            let mut plain = plain(store, &asked);
            plain.headers_mut().insert(LAST_MODIFIED, Store::new().changed().into());
            respond(store, asked, plain)
        }),
        ("change/rollback", "takes each later date for the newest", |store, asked| {
            let since =
                line(&asked, &IF_MODIFIED_SINCE).and_then(|date| HttpDate::parse(date, now()));
            let is_alone = asked.headers().len() == 1 && asked.method() == Method::GET;
            if is_alone && is_feed(&asked) && since.is_some_and(|date| date >= store.changed()) {
                return not_modified(plain(store, &asked));
            }
            right(store, asked)
        }),
        // ----- 304 -----
        ("304/no-content", "sends the content with the 304", |store, asked| {
            on_304(store, asked, |reply| *reply.body_mut() = Full::from("the news"))
        }),
        ("304/fields", "keeps the first line of a field", |store, asked| {
            on_304(store, asked, |reply| {
                let first = reply.headers()[VARY].clone();
                reply.headers_mut().insert(VARY, first);
            })
        }),
        ("304/fields", "keeps the last line of a field", |store, asked| {
            on_304(store, asked, |reply| {
                drop(reply.headers_mut().insert(CACHE_CONTROL, value("private")));
            })
        }),
        ("304/fields", "makes a 304 without a tag", |store, asked| {
            on_304(store, asked, |reply| drop(reply.headers_mut().remove(ETAG)))
        }),
        ("304/nothing-lost", "keeps what is on its list", |store, asked| {
            on_304(store, asked, |reply| {
                drop(reply.headers_mut().remove(ACCESS_CONTROL_ALLOW_ORIGIN));
            })
        }),
        ("304/metadata", "keeps the type of what it does not send", |store, asked| {
            on_304(store, asked, |reply| {
                drop(reply.headers_mut().insert(CONTENT_TYPE, value("text/plain")));
            })
        }),
        ("304/length", "says the length of something else", |store, asked| {
            on_304(store, asked, |reply| drop(reply.headers_mut().insert(CONTENT_LENGTH, value(5))))
        }),
        ("304/zero-length", "says that a 304 has no content", |store, asked| {
            on_304(store, asked, |reply| drop(reply.headers_mut().insert(CONTENT_LENGTH, value(0))))
        }),
        // ----- HEAD -----
        ("head/answers", "does not know HEAD", |store, asked| {
            if asked.method() == Method::HEAD {
                reply(StatusCode::METHOD_NOT_ALLOWED, "")
            } else {
                right(store, asked)
            }
        }),
        ("head/no-content", "sends content for HEAD", |store, asked| {
            on_head(store, asked, |reply| *reply.body_mut() = Full::from("the news"))
        }),
        ("head/length", "says that HEAD has no content", |store, asked| {
            on_head(store, asked, |reply| {
                drop(reply.headers_mut().insert(CONTENT_LENGTH, value(0)));
            })
        }),
        ("head/etag", "hashes the empty content of HEAD", |store, asked| {
            let has_conditions = asked.headers().contains_key(IF_NONE_MATCH);
            on_head(store, asked, |reply| {
                if !has_conditions {
                    edit(reply, ETAG, |_| "\"e3b0c442\"".into());
                }
            })
        }),
        ("head/has-etag", "tags GET alone", |store, asked| {
            on_head(store, asked, |reply| drop(reply.headers_mut().remove(ETAG)))
        }),
        ("head/304", "revalidates GET alone", |store, asked| {
            if asked.method() == Method::HEAD {
                plain(store, &asked)
            } else {
                right(store, asked)
            }
        }),
        ("head/304-length", "says that the 304 of a HEAD has no content", |store, asked| {
            let is_head = asked.method() == Method::HEAD;
            on_304(store, asked, |reply| {
                if is_head {
                    reply.headers_mut().insert(CONTENT_LENGTH, value(0));
                }
            })
        }),
        // ----- Encodings -----
        ("encoding/tags", "has one strong tag for all encodings", |store, mut asked| {
            let is_zipped = asked
                .headers_mut()
                .remove(ACCEPT_ENCODING)
                .is_some_and(|codings| codings == "gzip");
            right_but(store, asked, |reply| {
                if is_zipped && reply.status() == StatusCode::OK {
                    *reply.body_mut() = Full::from("zipped");
                    reply.headers_mut().insert(CONTENT_ENCODING, value("gzip"));
                }
            })
        }),
        ("encoding/vary", "hides that it negotiates", |store, asked| {
            right_but(store, asked, |reply| edit(reply, VARY, |_| "origin, accept".into()))
        }),
        ("encoding/304", "compares with the tag before compression", |store, asked| {
            let is_zipped = line(&asked, &ACCEPT_ENCODING) == Some("gzip");
            if is_zipped && is_feed(&asked) {
                plain(store, &asked)
            } else {
                right(store, asked)
            }
        }),
        ("encoding/other-tag", "takes the tag of any encoding", |store, asked| {
            let is_other = line(&asked, &IF_NONE_MATCH) == Some("\"z1\"")
                && line(&asked, &ACCEPT_ENCODING) != Some("gzip");
            if is_other {
                return not_modified(plain(store, &asked));
            }
            right(store, asked)
        }),
        ("encoding/304-length", "says the length before compression", |store, asked| {
            let (is_zipped, length) =
                (line(&asked, &ACCEPT_ENCODING) == Some("gzip"), store.content.len());
            on_304(store, asked, |reply| {
                if is_zipped {
                    reply.headers_mut().insert(CONTENT_LENGTH, length.into());
                }
            })
        }),
        ("encoding/304-length", "says that an encoded 304 has no content", |store, asked| {
            let is_zipped = line(&asked, &ACCEPT_ENCODING) == Some("gzip");
            on_304(store, asked, |reply| {
                if is_zipped {
                    reply.headers_mut().insert(CONTENT_LENGTH, value(0));
                }
            })
        }),
        // ----- Errors -----
        ("error/not-304", "says 304 to an error by its tag", |store, asked| {
            let hits = line(&asked, &IF_NONE_MATCH) == Some("\"nothing\"");
            right_but(store, asked, |reply| {
                if hits && reply.status() == StatusCode::NOT_FOUND {
                    *reply.status_mut() = StatusCode::NOT_MODIFIED;
                }
            })
        }),
        ("error/not-304", "says 304 to an error by a star", |store, asked| {
            let hits = line(&asked, &IF_NONE_MATCH) == Some("*");
            right_but(store, asked, |reply| {
                if hits && reply.status() == StatusCode::NOT_FOUND {
                    *reply.status_mut() = StatusCode::NOT_MODIFIED;
                }
            })
        }),
        ("error/not-412", "says 412 to what is missing", |store, asked| {
            let asks = asked.headers().contains_key(IF_MATCH);
            right_but(store, asked, |reply| {
                if asks && reply.status() == StatusCode::NOT_FOUND {
                    *reply.status_mut() = StatusCode::PRECONDITION_FAILED;
                }
            })
        }),
        // ----- Ranges -----
        ("range/etag", "tags a slice", |store, asked| {
            right_but(store, asked, |reply| {
                if reply.status() == StatusCode::PARTIAL_CONTENT {
                    edit(reply, ETAG, |_| "\"ba7816bf\"".into());
                }
            })
        }),
        ("range/content", "counts from one", |store, asked| {
            right_but(store, asked, |reply| {
                edit(reply, CONTENT_RANGE, |range| range.replace("bytes 0-0", "bytes 1-1"));
            })
        }),
        ("range/unsatisfiable", "does not say how long it is", |store, asked| {
            right_but(store, asked, |reply| {
                if reply.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                    reply.headers_mut().remove(CONTENT_RANGE);
                }
            })
        }),
        ("range/if-range-stale", "ignores If-Range", |store, asked| {
            right_without(store, asked, &IF_RANGE)
        }),
        ("range/if-range-weak", "compares weakly in If-Range", |store, mut asked| {
            if line(&asked, &IF_RANGE) == Some("W/\"v1\"") {
                asked.headers_mut().remove(IF_RANGE);
            }
            right(store, asked)
        }),
        ("range/if-range-date", "takes a later date in If-Range", |store, mut asked| {
            let later = "Sun, 06 Nov 1994 09";
            if line(&asked, &IF_RANGE).is_some_and(|date| date.starts_with(later)) {
                asked.headers_mut().remove(IF_RANGE);
            }
            right(store, asked)
        }),
        (
            "range/if-range-date",
            "takes any date in If-Range where it has none",
            |store, mut asked| {
                let is_date = |text: &str| HttpDate::parse(text, now()).is_some();
                if line(&asked, &IF_RANGE).is_some_and(is_date) {
                    asked.headers_mut().remove(IF_RANGE);
                }
                for name in [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
                    asked.headers_mut().remove(name);
                }
                right_but(store, asked, |reply| drop(reply.headers_mut().remove(LAST_MODIFIED)))
            },
        ),
        ("range/if-range-malformed", "ignores an If-Range without quotes", |store, asked| {
            let is_tag = |text: &str| text.contains('"') || HttpDate::parse(text, now()).is_some();
            match line(&asked, &IF_RANGE) {
                Some(text) if !is_tag(text) => right_without(store, asked, &IF_RANGE),
                _ => right(store, asked),
            }
        }),
        ("range/if-range-malformed", "looks for its tag anywhere in If-Range", |store, asked| {
            let tag = store.tag();
            let is_single = asked.headers().get_all(IF_RANGE).iter().count() == 1;
            match line(&asked, &IF_RANGE) {
                Some(text) if is_single && text.contains(&tag) && !text.starts_with("W/") => {
                    right_without(store, asked, &IF_RANGE)
                }
                _ => right(store, asked),
            }
        }),
        ("range/if-range-lines", "reads the first line of If-Range", |store, mut asked| {
            if let Some(first) = asked.headers().get(IF_RANGE).cloned() {
                asked.headers_mut().insert(IF_RANGE, first);
            }
            right(store, asked)
        }),
        ("range/if-range-lines", "ignores If-Range of two lines", |store, asked| {
            if asked.headers().get_all(IF_RANGE).iter().count() > 1 {
                right_without(store, asked, &IF_RANGE)
            } else {
                right(store, asked)
            }
        }),
        ("range/if-match", "sends a part before it looks at If-Match", |store, asked| {
            let is_part = asked.method() == Method::GET && asked.headers().contains_key(RANGE);
            if is_part {
                right_without(store, asked, &IF_MATCH)
            } else {
                right(store, asked)
            }
        }),
        ("change/if-range", "takes any tag that it ever sent in If-Range", |store, asked| {
            let version = line(&asked, &IF_RANGE)
                .and_then(|tag| tag.strip_prefix("\"v")?.strip_suffix('"')?.parse::<i64>().ok());
            if version.is_some_and(|version| version < store.version) {
                right_without(store, asked, &IF_RANGE)
            } else {
                right(store, asked)
            }
        }),
        ("change/if-range", "says 503 for ever to an old tag", |store, asked| {
            let is_old = line(&asked, &IF_RANGE)
                .is_some_and(|tag| tag.starts_with("\"v") && tag != store.tag());
            if is_old && store.version > 1 {
                reply(StatusCode::SERVICE_UNAVAILABLE, "")
            } else {
                right(store, asked)
            }
        }),
        ("change/if-range-date", "takes any date since its start in If-Range", |store, asked| {
            let date = line(&asked, &IF_RANGE).and_then(|date| HttpDate::parse(date, now()));
            let first = Store::new().changed();
            if date.is_some_and(|date| date >= first && date < store.changed()) {
                right_without(store, asked, &IF_RANGE)
            } else {
                right(store, asked)
            }
        }),
        ("range/if-range-current", "starts downloads anew", |store, mut asked| {
            if asked.headers().contains_key(IF_RANGE) {
                asked.headers_mut().remove(RANGE);
            }
            right(store, asked)
        }),
    ]
}

pub(super) fn is_feed(asked: &Asked) -> bool {
    asked.uri().path() == "/feed"
}

fn edit(reply: &mut Reply, name: HeaderName, edit: impl FnOnce(&str) -> String) {
    if let Some(text) = reply.headers().get(&name).map(|text| text.to_str().unwrap().to_owned()) {
        reply.headers_mut().insert(name, value(edit(&text)));
    }
}

/// Sends another tag, and does not know it any more.
fn retag(store: &mut Store, asked: Asked, tag: impl FnOnce(&str) -> String) -> Reply {
    right_but(store, asked, |reply| edit(reply, ETAG, tag))
}

/// Puts one tag in place of another in all that was asked.
pub(super) fn exchange(mut asked: Asked, old: &str, new: &str) -> Asked {
    for line in asked.headers_mut().values_mut() {
        if let Ok(text) = line.to_str() {
            *line = value(text.replace(old, new));
        }
    }
    asked
}

/// Serves with dates and without tags.
fn dated(store: &mut Store, asked: Asked) -> Reply {
    let mut plain = plain(store, &asked);
    plain.headers_mut().remove(ETAG);
    let is_write = asked.method() == Method::PUT;
    let mut reply = respond(store, asked, plain);
    if is_write {
        reply.headers_mut().remove(ETAG);
    }
    reply
}

/// Serves with other validators.
fn respond(store: &mut Store, asked: Asked, plain: Reply) -> Reply {
    if !is_feed(&asked) {
        return plain;
    }
    match decide(&asked, &plain) {
        Decision::NotModified => not_modified(plain),
        Decision::PreconditionFailed => reply(StatusCode::PRECONDITION_FAILED, ""),
        _ if asked.method() == Method::PUT => right(store, asked),
        _ if may_be_ranged(&asked, &plain) => part(store, &asked, plain),
        _ => plain,
    }
}

fn on_304(store: &mut Store, asked: Asked, edit: impl FnOnce(&mut Reply)) -> Reply {
    right_but(store, asked, |reply| {
        if reply.status() == StatusCode::NOT_MODIFIED {
            edit(reply);
        }
    })
}

fn on_head(store: &mut Store, asked: Asked, edit: impl FnOnce(&mut Reply)) -> Reply {
    let is_head = asked.method() == Method::HEAD && is_feed(&asked);
    right_but(store, asked, |reply| {
        if is_head && reply.status() == StatusCode::OK {
            edit(reply);
        }
    })
}
