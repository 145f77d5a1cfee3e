//! What is written into the head of a response.

use tower_conditional::OuterCompression;

use crate::support::harness::{get, layer, reply, request, send, tag, value, Lines, IM, INM};

#[test]
fn response_fields_are_left_out_of_a_head_that_takes_no_more() {
    let full = |own: Lines<'_>| {
        let mut response = reply(200, own, "content");
        let lines = response.headers_mut();
        for number in 0.. {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            if lines.try_insert(name, value("1")).is_err() {
                break;
            }
        }
        response
    };
    for layer in [
        layer().0,
        layer().0.ranges(true).repr_digest(true),
        layer().0.outer_compression(OuterCompression::new().keeps_tags(true)),
    ] {
        for (lines, status) in [
            (&[][..], 200),
            (&[(INM, &*tag("content"))], 304),
            (&[(IM, "\"z\"")], 412),
            (&[("range", "bytes=1-2")], 200),
        ] {
            let seen = send(&layer, get(lines), full(&[]));
            assert_eq!((seen.status(), seen.line("etag")), (status, None), "{lines:?}");
            assert_eq!(
                seen.content,
                if status == 200 { &b"content"[..] } else { b"" },
                "{lines:?}"
            );
        }
        let head = send(&layer.head_as_get(true), request("HEAD", "/", &[]), full(&[]));
        assert_eq!((head.status(), head.line("content-length")), (200, None));
    }
    // What is there makes room for what is put in its place.
    let own = full(&[("etag", "\"own\"")]);
    assert_eq!(
        send(&layer().0.outer_compression(OuterCompression::new().keeps_tags(true)), get(&[]), own)
            .line("etag"),
        Some("W/\"own\"")
    );
}
