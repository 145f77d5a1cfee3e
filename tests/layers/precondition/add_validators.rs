//! The setting `add_validators`: which responses get the validators of the source.

use std::{convert::Infallible, future::ready, sync::Arc};

use axum::body::Body;
use http::Request;
use tower::{service_fn, Layer, ServiceExt};
use tower_conditional::{
    ConditionalLayer, EntityTag, PreconditionLayer, Representation, Validators,
};

use crate::support::{
    handler::{self, day, exists, known},
    harness::{reply, request, run, IM, IMS, LM},
    note::{moody, note, service},
};

#[test]
fn add_validators_gives_a_response_what_it_lacks() {
    let now = day(2).to_string();
    let both = Validators::new().etag(EntityTag::strong("v1").unwrap()).last_modified(day(2));
    let layer = known(Representation::Exists(both));
    let (tag, other, later) = (Some("\"v1\""), Some("\"own\""), day(3).to_string());
    for (method, status, own, etag, last_modified) in [
        ("GET", 200, &[][..], tag, Some(&*now)),
        ("HEAD", 200, &[], tag, Some(&*now)),
        ("GET", 206, &[], tag, Some(&*now)),
        // The handler compared with something, and that may be another state.
        ("GET", 304, &[], None, None),
        ("GET", 404, &[], None, None),
        ("GET", 301, &[], None, None),
        ("GET", 500, &[], None, None),
        ("GET", 200, &[("etag", "\"own\"")], other, Some(&*now)),
        ("GET", 200, &[(LM, &*later)], tag, Some(&*later)),
        ("PUT", 200, &[], None, None),
        ("POST", 200, &[], None, None),
    ] {
        let own: Vec<_> =
            own.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let answer = move |_: &Request<Body>| {
            let lines: Vec<_> = own.iter().map(|(name, text)| (&**name, &**text)).collect();
            reply(status, &lines, "content")
        };
        let seen = run(handler::ask(&layer, request(method, "/", &[(IM, "*")]), Arc::new(answer)));
        assert_eq!(
            (seen.status(), seen.line("etag"), seen.line(LM)),
            (status, etag, last_modified),
            "{method}"
        );
    }
    assert_eq!(handler::send(layer.clone().add_validators(false), "GET", &[]).line("etag"), None);
    assert_eq!(handler::send(known(Representation::Missing), "GET", &[]).line("etag"), None);
}

/// A 304 that the handler gave by a date proves nothing about the tag of the source: a
/// client would put the new tag on its old content, get 304 for ever, and overwrite
/// what it never saw.
#[test]
fn add_validators_gives_a_304_of_the_handler_no_tag() {
    let layer = PreconditionLayer::new(|_| ready(exists("\"v2\"")));
    // It knows dates alone, and a file that was rolled back is older than what the
    // client has.
    let inner = service_fn(|request: Request<Body>| {
        let is_older = request.headers().contains_key(IMS);
        ready(Ok::<_, Infallible>(if is_older {
            reply(304, &[], "")
        } else {
            reply(200, &[], "content 2")
        }))
    });
    let lines = [(IMS, "Sun, 06 Nov 1994 08:49:37 GMT")];
    let seen = run(layer.layer(inner).oneshot(request("GET", "/", &lines))).unwrap();
    assert!(seen.status() == 200 || !seen.headers().contains_key("etag"), "{:?}", seen.headers());
}

/// A handler that says [`Untagged`] gets no tag, from whichever layer.
#[test]
fn add_validators_gives_an_untagged_response_no_tag() {
    let known = PreconditionLayer::new(|_| ready(exists("\"v1\"")));
    let note = note("untagged for the database is down");
    for seen in
        [
            run(known.layer(service(&note, moody)).oneshot(request("GET", "/", &[])))
                .unwrap()
                .headers()
                .clone(),
            run(known
                .layer(ConditionalLayer::new().layer(service(&note, moody)))
                .oneshot(request("GET", "/", &[])))
            .unwrap()
            .headers()
            .clone(),
        ]
    {
        assert_eq!(seen.get("etag"), None);
    }
}
