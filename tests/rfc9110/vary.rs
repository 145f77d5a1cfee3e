//! `Vary` (RFC 9110, 12.5.5): dates of one variant are not those of another.

use std::convert::Infallible;

use axum::body::Body;
use http::Request;
use tower::{service_fn, Layer, Service};
use tower_conditional::OuterCompression;

use crate::support::harness::{date, get, layer, reply, run, send, IMS, LM};

#[test]
fn a_change_of_vary_ends_the_evidence_of_dates() {
    let vary = ("vary", "accept");
    for (first, second) in [(&[vary][..], &[][..]), (&[], &[vary])] {
        // Two contents that are first seen in one second.
        let (layer, _) = layer();
        assert_eq!(send(&layer, get(&[]), reply(200, first, "new")).line(LM), Some(&*date(10)));
        assert_eq!(
            send(&layer, get(&[(IMS, &date(10))]), reply(200, second, "old")).status(),
            200,
            "generated"
        );
    }
    for (first, second) in [(&[vary][..], &[][..]), (&[], &[vary])] {
        // A rollback.
        let (layer, _) = layer();
        send(&layer, get(&[]), reply(200, &[first, &[(LM, &*date(5))]].concat(), "new"));
        let old = reply(200, &[second, &[(LM, &*date(-900))]].concat(), "old");
        assert_eq!(send(&layer, get(&[(IMS, &date(5))]), old).status(), 200, "given");
    }
}

#[test]
fn vary_that_is_learned_after_the_request_generates_no_date() {
    let (layer, _) = layer();
    let mut service = layer.layer(service_fn(|request: Request<Body>| {
        let response = reply(
            200,
            &[("vary", "x-tenant")],
            request.headers()["x-content"].to_str().unwrap().to_owned(),
        );
        async { Ok::<_, Infallible>(response) }
    }));
    let slow = service.call(get(&[("x-tenant", "2"), ("x-content", "old")]));
    run(service.call(get(&[("x-tenant", "1"), ("x-content", "any")]))).unwrap();
    let held = run(slow).unwrap();
    if let Some(date) = held.headers().get(LM) {
        let again = get(&[("x-tenant", "2"), ("x-content", "new"), (IMS, date.to_str().unwrap())]);
        assert_eq!(run(service.call(again)).unwrap().status(), 200);
    }
}

#[test]
fn vary_names_accept_encoding_once_with_outer_compression() {
    let layer = layer().0.outer_compression(OuterCompression::new().keeps_tags(true));
    for (code, own, expected) in [
        (200, &[][..], &["accept-encoding"][..]),
        (304, &[], &["accept-encoding"]),
        (200, &[("vary", "accept")], &["accept", "accept-encoding"]),
        (
            200,
            &[("vary", "accept"), ("vary", "origin, Accept-Encoding")],
            &["accept", "origin, Accept-Encoding"],
        ),
        (200, &[("vary", "*")], &["*"]),
        (404, &[], &[]),
    ] {
        assert_eq!(
            send(&layer, get(&[]), reply(code, own, "")).lines("vary"),
            expected,
            "{code} {own:?}"
        );
    }
}
