//! Heuristic freshness (RFC 9111, 4.2.2): a date that a layer adds must not make a
//! response fresh.

use std::{future::ready, sync::Arc};

use axum::body::Body;
use http::Request;
use tower::{Layer, ServiceExt};
use tower_conditional::{
    AddLastModified, EntityTag, PreconditionLayer, Representation, Validators,
};

use crate::support::{
    handler::{self, day, known},
    harness::{date, fetch, get, layer, reply, request, rows, run, send, CC, INM, LM},
    note::{note, plain, service},
};

#[test]
fn freshness_is_not_heuristic_by_a_generated_date() {
    use AddLastModified::{Alone, IfFreshnessStated, Never, WithNoCache};
    let table = r#"
        silent | | private | public, must-revalidate | no-cache="set-cookie" | x="a, max-age=1"
        spoken | private & Max-Age=0 | s-maxage=9 | no-cache | private, no-cache
    "#;
    for (row, add) in rows(table).flat_map(|row| {
        [WithNoCache, IfFreshnessStated, Alone, Never].map(|each| (row.clone(), each))
    }) {
        for cell in &row[1..] {
            let mut control: Vec<_> = cell.split(" & ").filter(|line| !line.is_empty()).collect();
            let own: Vec<_> = control.iter().map(|line| (CC, *line)).collect();
            let seen =
                send(&layer().0.add_last_modified(add), get(&[]), reply(200, &own, "content"));
            let silent = row[0] == "silent";
            // What is private gets no date, and needs nothing against it.
            let private = cell.contains("private");
            control.extend((silent && !private && add == WithNoCache).then_some("no-cache"));
            assert_eq!(seen.lines(CC), control, "{cell} {add:?}");
            let is_omitted = silent && add == IfFreshnessStated || add == Never;
            assert_eq!(seen.line(LM).is_none(), private || is_omitted, "{cell} {add:?}");
        }
    }
    assert_eq!(fetch(&[], reply(200, &[("expires", "0")], "content")).line(CC), None);
    // Where the inner service gave the date, its freshness is its own affair.
    assert_eq!(fetch(&[], reply(200, &[(LM, &date(-60))], "content")).line(CC), None);
    // A response says the same before its date is sent and afterwards.
    let (layer, clock) = layer();
    for (second, is_dated) in [(0, false), (1, false), (2, true), (3, true)] {
        clock.set(second);
        let seen = send(&layer, get(&[]), reply(200, &[], "content"));
        assert_eq!((seen.line(CC), seen.line(LM).is_some()), (Some("no-cache"), is_dated));
    }
}

#[test]
fn freshness_is_not_heuristic_by_the_date_of_a_source() {
    let dated = known(Representation::Exists(Validators::new().last_modified(day(2))));
    let ask = |layer, own: Option<&'static str>| {
        let answer = move |_: &Request<Body>| match own {
            Some(own) => reply(200, &[("cache-control", own)], "content"),
            None => reply(200, &[], "content"),
        };
        let seen = run(handler::ask(layer, request("GET", "/", &[]), Arc::new(answer)));
        let lines = seen
            .response
            .headers()
            .get_all("cache-control")
            .iter()
            .map(|line| line.to_str().unwrap());
        (lines.collect::<Vec<_>>().join(", "), seen.line(LM).is_some())
    };
    for (add, own, cache_control, has_date) in [
        (AddLastModified::WithNoCache, None, "no-cache", true),
        (AddLastModified::WithNoCache, Some("private"), "private, no-cache", true),
        (AddLastModified::WithNoCache, Some("max-age=5"), "max-age=5", true),
        (AddLastModified::IfFreshnessStated, None, "", false),
        (AddLastModified::IfFreshnessStated, Some("max-age=5"), "max-age=5", true),
        (AddLastModified::Alone, None, "", true),
        (AddLastModified::Never, None, "", false),
        (AddLastModified::Never, Some("max-age=5"), "max-age=5", false),
    ] {
        let expected = (cache_control.to_owned(), has_date);
        assert_eq!(ask(dated.clone().add_last_modified(add), own), expected, "{add:?} {own:?}");
    }
}

/// `IfFreshnessStated` sends no date that makes a silent response fresh, on a 304
/// neither: it updates what is stored.
#[test]
fn freshness_omits_the_date_of_a_304_as_of_the_200() {
    let date = tower_conditional::HttpDate::from_unix_seconds(784_111_777).unwrap();
    let current = Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(date);
    let known = PreconditionLayer::new(move |_| ready(Representation::from(current.clone())));
    let service = known
        .add_last_modified(AddLastModified::IfFreshnessStated)
        .layer(service(&note("x"), plain));
    let [first, second] = [&[][..], &[(INM, "\"v1\"")]].map(|lines| {
        let seen = run(service.clone().oneshot(request("GET", "/", lines))).unwrap();
        (seen.status().as_u16(), seen.headers().get(LM).cloned())
    });
    assert_eq!([first, second], [(200, None), (304, None)]);
}
