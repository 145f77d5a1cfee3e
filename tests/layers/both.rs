//! Both layers in one stack.

use tower::ServiceBuilder;
use tower_conditional::{EntityTag, Representation, Validators};

use crate::support::{
    handler::{self, day, exists, known},
    harness::{self, tag, IM, INM, LM},
};

#[test]
fn both_layers_give_one_response_in_any_order() {
    let conditional = || harness::layer().0;
    let then = day(1).to_string();
    for current in [
        exists("\"v1\""),
        Validators::from(EntityTag::strong("v1").unwrap()).last_modified(day(2)).into(),
    ] {
        let outside =
            ServiceBuilder::new().layer(known(current.clone())).layer(conditional()).into_inner();
        let inside =
            ServiceBuilder::new().layer(conditional()).layer(known(current.clone())).into_inner();
        for (method, lines, status) in [
            ("GET", &[][..], 200),
            ("GET", &[(INM, "\"v1\"")], 304),
            ("GET", &[(INM, "W/\"v1\"")], 304),
            ("GET", &[(INM, &*tag("content"))], 200),
            ("GET", &[(IM, &*tag("content"))], 412),
            ("HEAD", &[(IM, "\"v0\"")], 412),
            ("PUT", &[(IM, "\"v0\"")], 412),
            ("PUT", &[(IM, "\"v1\"")], 200),
            ("GET", &[("range", "bytes=0-1"), ("if-range", &*then)], 200),
        ] {
            let (one, two) =
                (handler::send(&outside, method, lines), handler::send(&inside, method, lines));
            assert_eq!((one.status(), two.status()), (status, status), "{method} {lines:?}");
            for name in ["etag", LM, "cache-control", "vary"] {
                assert_eq!(one.line(name), two.line(name), "{method} {lines:?} {name}");
            }
            if method != "PUT" {
                assert_eq!(one.line("etag"), Some("\"v1\""), "{method} {lines:?}");
                // A date that the source does not know would come back in
                // If-Unmodified-Since and be ignored.
                let Representation::Exists(Validators { last_modified, .. }) = &current else {
                    unreachable!()
                };
                assert_eq!(one.line(LM).is_some(), last_modified.is_some(), "{method} {lines:?}");
            }
        }
    }
}
