//! Faults in reading and comparing preconditions.

use http::{
    header::{
        ACCEPT_ENCODING, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
        LAST_MODIFIED, RANGE,
    },
    HeaderName, Method, StatusCode,
};
use tower_conditional::{EntityTag, HttpDate};

use super::{
    content::{exchange, is_feed},
    Fault,
};
use crate::served::{
    line, not_modified, now, part, plain, reply, right, right_but, right_without, value, Asked,
    Reply, Store, TAG,
};

/// Faults in lists of tags.
pub(crate) fn lists() -> Vec<Fault> {
    vec![
        ("if-none-match/exact", "never compares a tag of a handler's own", |store, asked| {
            let is_star = line(&asked, &IF_NONE_MATCH) == Some("*");
            if is_star || !reads(&asked) {
                right(store, asked)
            } else {
                right_without(store, asked, &IF_NONE_MATCH)
            }
        }),
        ("if-none-match/exact", "splits its own tag at the comma", |store, asked| {
            let is_evaluated = reads(&asked) && asked.headers().contains_key(IF_NONE_MATCH);
            let asked = if is_evaluated { asked } else { exchange(asked, "\"v,", "\"v") };
            right_but(store, asked, |reply| {
                if let Some(tag) = reply.headers_mut().get_mut(ETAG) {
                    *tag = value(tag.to_str().unwrap().replace("\"v", "\"v,"));
                }
            })
        }),
        ("if-none-match/weak", "compares the whole text", |store, asked| {
            let is_weak = |line: &str| line.starts_with("W/") && !line.contains(',');
            forget(store, asked, &IF_NONE_MATCH, is_weak)
        }),
        ("if-none-match/list", "takes the field for one tag", |store, asked| {
            forget(store, asked, &IF_NONE_MATCH, |line| line.contains(','))
        }),
        ("if-none-match/lines", "reads the first line", |store, asked| {
            first_line(store, asked, &IF_NONE_MATCH)
        }),
        ("if-none-match/star", "does not know the star", |store, asked| {
            let is_head_or_write = asked.method() != Method::GET;
            if is_head_or_write {
                right(store, asked)
            } else {
                forget(store, asked, &IF_NONE_MATCH, |line| line == "*")
            }
        }),
        ("if-none-match/miss", "says 304 to all who ask", |store, asked| {
            let asks = line(&asked, &IF_NONE_MATCH)
                .is_some_and(|line| line.starts_with('"') && line.len() > 2);
            let dates = asked.headers().contains_key(IF_MODIFIED_SINCE)
                || asked.headers().contains_key(IF_MATCH);
            hit(store, asked, asks && !dates)
        }),
        ("if-none-match/comma", "splits at commas and trims quotes", |store, asked| {
            let current = store.tag();
            let is_current =
                |member: &str| member.trim().trim_matches('"') == current.trim_matches('"');
            let hits = line(&asked, &IF_NONE_MATCH)
                .is_some_and(|line| line.starts_with('"') && line.split(',').any(is_current));
            let is_alone = !asked.headers().contains_key(IF_MATCH);
            hit(store, asked, hits && is_alone)
        }),
        ("if-none-match/quoted-star", "looks for a star anywhere", |store, asked| {
            let hits = line(&asked, &IF_NONE_MATCH).is_some_and(|line| line.contains('*'));
            hit(store, asked, hits)
        }),
        ("if-none-match/malformed", "falls over an unpaired quote", |store, asked| {
            let odd =
                line(&asked, &IF_NONE_MATCH).is_some_and(|line| line.matches('"').count() % 2 == 1);
            if odd {
                reply(StatusCode::INTERNAL_SERVER_ERROR, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-none-match/unquoted", "takes tags without quotes", |store, asked| {
            let asked = if line(&asked, &IF_NONE_MATCH) == Some("v1") {
                exchange(asked, "v1", TAG)
            } else {
                asked
            };
            right(store, asked)
        }),
        ("if-match/miss", "ignores If-Match on reads", |store, asked| {
            if asked.method() == Method::GET {
                right_without(store, asked, &IF_MATCH)
            } else {
                right(store, asked)
            }
        }),
        ("if-match/current", "compares If-Match with another tag", |store, asked| {
            let hits =
                line(&asked, &IF_MATCH).is_some_and(|line| line.contains(TAG)) && reads(&asked);
            if hits {
                reply(StatusCode::PRECONDITION_FAILED, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-match/list", "takes If-Match for one tag", |store, asked| {
            let is_list = line(&asked, &IF_MATCH).is_some_and(|line| line.contains(','));
            if is_list {
                reply(StatusCode::PRECONDITION_FAILED, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-match/lines", "reads the first line of If-Match", |store, asked| {
            first_line(store, asked, &IF_MATCH)
        }),
        ("if-match/star", "says 412 to a star in If-Match", |store, asked| {
            let is_star = line(&asked, &IF_MATCH) == Some("*");
            if is_star && is_feed(&asked) {
                reply(StatusCode::PRECONDITION_FAILED, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-match/weak", "compares weakly in If-Match", |store, asked| {
            let is_read = reads(&asked);
            forget(store, asked, &IF_MATCH, |line| is_read && line.starts_with("W/"))
        }),
        ("if-match/malformed", "takes what it cannot read for nothing", |store, asked| {
            let is_read = reads(&asked);
            let is_tag =
                |line: &str| line == "*" || line.contains(',') || line.parse::<EntityTag>().is_ok();
            forget(store, asked, &IF_MATCH, |line| is_read && !is_tag(line))
        }),
    ]
}

/// Faults in dates.
pub(crate) fn dates() -> Vec<Fault> {
    vec![
        (
            "if-modified-since/equal",
            "compares with the fraction of a second",
            |store, mut asked| {
                if line(&asked, &IF_MODIFIED_SINCE) == Some(&store.changed().to_string()) {
                    asked.headers_mut().remove(IF_MODIFIED_SINCE);
                }
                right(store, asked)
            },
        ),
        ("if-modified-since/older", "says 304 to any date", |store, asked| {
            let is_date = line(&asked, &IF_MODIFIED_SINCE)
                .is_some_and(|date| date == "Sat, 05 Nov 1994 08:49:47 GMT");
            let is_alone = !asked.headers().contains_key(IF_NONE_MATCH);
            hit(store, asked, is_date && is_alone)
        }),
        ("if-modified-since/later", "says 400 to dates in the future", |store, asked| {
            let is_future =
                line(&asked, &IF_MODIFIED_SINCE).is_some_and(|date| date.contains("9999"));
            if is_future && is_feed(&asked) {
                reply(StatusCode::BAD_REQUEST, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-modified-since/later", "sends no content for a later date", |store, asked| {
            let is_later =
                line(&asked, &IF_MODIFIED_SINCE).is_some_and(|date| date.contains("9999"));
            if is_later && is_feed(&asked) {
                reply(StatusCode::OK, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-modified-since/forms", "reads one form of dates", |store, asked| {
            forget(store, asked, &IF_MODIFIED_SINCE, |date| {
                httpdate::fmt_http_date(
                    httpdate::parse_http_date(date).unwrap_or(std::time::UNIX_EPOCH),
                ) != date
            })
        }),
        ("if-modified-since/forms", "pivots two-digit years elsewhere", |store, asked| {
            forget(store, asked, &IF_MODIFIED_SINCE, |date| date.contains('-'))
        }),
        (
            "if-modified-since/invalid",
            "takes what is behind a semicolon for nothing",
            |store, asked| {
                let asked = lenient(asked, &IF_MODIFIED_SINCE, |date| {
                    date.split(';').next().map(str::to_owned)
                });
                right(store, asked)
            },
        ),
        ("if-modified-since/invalid", "takes zones", |store, asked| {
            right(
                store,
                lenient(asked, &IF_MODIFIED_SINCE, |date| Some(date.replace("+0000", "GMT"))),
            )
        }),
        ("if-modified-since/lines", "reads the first of two dates", |store, asked| {
            first_line(store, asked, &IF_MODIFIED_SINCE)
        }),
        ("if-unmodified-since/older", "says 304 to what is not unmodified", |store, asked| {
            let is_alone = !asked.headers().contains_key(RANGE) && is_feed(&asked);
            if is_alone && reads(&asked) && is_refused_by_date(store, &asked) {
                not_modified(plain(store, &asked))
            } else {
                right(store, asked)
            }
        }),
        ("if-unmodified-since/older", "sends no content for an older date", |store, asked| {
            let is_alone = !asked.headers().contains_key(RANGE) && is_feed(&asked);
            if is_alone && reads(&asked) && is_refused_by_date(store, &asked) {
                reply(StatusCode::OK, "")
            } else {
                right(store, asked)
            }
        }),
        ("range/if-unmodified-since", "ignores If-Unmodified-Since on reads", |store, asked| {
            if reads(&asked) {
                right_without(store, asked, &IF_UNMODIFIED_SINCE)
            } else {
                right(store, asked)
            }
        }),
        ("if-unmodified-since/equal", "wants a later date", |store, asked| {
            let equal = line(&asked, &IF_UNMODIFIED_SINCE) == Some(&store.changed().to_string());
            if equal {
                reply(StatusCode::PRECONDITION_FAILED, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-unmodified-since/invalid", "takes what is no date for 1970", |store, asked| {
            let is_date = |date| HttpDate::parse(date, now()).is_some();
            let is_none = line(&asked, &IF_UNMODIFIED_SINCE).is_some_and(|date| !is_date(date));
            if is_none {
                reply(StatusCode::PRECONDITION_FAILED, "")
            } else {
                right(store, asked)
            }
        }),
        ("if-unmodified-since/without-date", "takes Date for Last-Modified", |store, asked| {
            let is_feed = is_feed(&asked);
            if is_feed
                && asked.headers().contains_key(IF_UNMODIFIED_SINCE)
                && !asked.headers().contains_key(IF_MATCH)
            {
                return reply(StatusCode::PRECONDITION_FAILED, "");
            }
            let undated = right_without(store, asked, &IF_MODIFIED_SINCE);
            let (mut head, content) = undated.into_parts();
            head.headers.remove(LAST_MODIFIED);
            Reply::from_parts(head, content)
        }),
    ]
}

/// Faults in the order of evaluation.
pub(crate) fn order() -> Vec<Fault> {
    vec![
        ("precedence/tag-over-date", "lets the date win", |store, mut asked| {
            let misses = line(&asked, &IF_NONE_MATCH) == Some("\"another\"");
            if misses && asked.headers().contains_key(IF_MODIFIED_SINCE) {
                asked.headers_mut().remove(IF_NONE_MATCH);
            }
            right(store, asked)
        }),
        ("precedence/hit-over-date", "wants both to match", |store, asked| {
            let is_read = reads(&asked);
            let is_old =
                line(&asked, &IF_MODIFIED_SINCE).is_some_and(|date| date.starts_with("Sat, 05"));
            forget(store, asked, &IF_NONE_MATCH, |_| is_read && is_old)
        }),
        (
            "precedence/useless-tag-over-date",
            "falls back to the date where it reads no tag",
            |store, asked| {
                let is_dated = asked.headers().contains_key(IF_MODIFIED_SINCE);
                forget(store, asked, &IF_NONE_MATCH, |line| is_dated && !line.contains('"'))
            },
        ),
        (
            "precedence/match-over-date",
            "evaluates If-Unmodified-Since beside If-Match",
            |store, asked| {
                let is_old = reads(&asked) && asked.headers().contains_key(IF_MATCH);
                if is_old && asked.headers().contains_key(IF_UNMODIFIED_SINCE) {
                    return reply(StatusCode::PRECONDITION_FAILED, "");
                }
                right(store, asked)
            },
        ),
        ("precedence/match-before-none-match", "evaluates If-None-Match first", |store, asked| {
            let is_hit =
                asked.headers().contains_key(IF_MATCH) && line(&asked, &IF_NONE_MATCH) == Some(TAG);
            hit(store, asked, is_hit)
        }),
        ("precedence/none-match-before-range", "looks at Range first", |store, asked| {
            if asked.headers().contains_key(RANGE) && asked.headers().contains_key(IF_NONE_MATCH) {
                let whole = plain(store, &asked);
                return part(store, &asked, whole);
            }
            right(store, asked)
        }),
    ]
}

/// Returns true if an older date in If-Unmodified-Since decides.
fn is_refused_by_date(store: &Store, asked: &Asked) -> bool {
    let since = line(asked, &IF_UNMODIFIED_SINCE).and_then(|date| HttpDate::parse(date, now()));
    since.is_some_and(|date| date < store.changed()) && !asked.headers().contains_key(IF_MATCH)
}

fn reads(asked: &Asked) -> bool {
    asked.method() != Method::PUT
}

/// Leaves a field out of the request if its first line is like that.
fn forget(
    store: &mut Store,
    asked: Asked,
    name: &HeaderName,
    is_like: impl Fn(&str) -> bool,
) -> Reply {
    if line(&asked, name).is_some_and(is_like) {
        right_without(store, asked, name)
    } else {
        right(store, asked)
    }
}

fn first_line(store: &mut Store, mut asked: Asked, name: &HeaderName) -> Reply {
    if let Some(first) = asked.headers().get(name).cloned() {
        asked.headers_mut().insert(name, first);
    }
    right(store, asked)
}

/// Rewrites a field before it is evaluated.
fn lenient(mut asked: Asked, name: &HeaderName, rewrite: impl Fn(&str) -> Option<String>) -> Asked {
    if asked.headers().get_all(name).iter().count() == 1
        && let Some(text) = line(&asked, name).and_then(rewrite)
    {
        asked.headers_mut().insert(name, value(text));
    }
    asked
}

/// Answers 304 to a read that hits, and without a fault to all others.
fn hit(store: &mut Store, asked: Asked, hits: bool) -> Reply {
    let is_plain = is_feed(&asked) && !asked.headers().contains_key(ACCEPT_ENCODING);
    if hits && reads(&asked) && is_plain {
        not_modified(plain(store, &asked))
    } else {
        right(store, asked)
    }
}
