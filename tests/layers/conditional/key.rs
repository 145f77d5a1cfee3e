//! The setting `key`: what one resource is.

use crate::support::harness::{date, layer, reply, request, send, LM};

#[test]
fn key_says_what_one_resource_is() {
    for (merged, expected) in [(false, Some(date(10))), (true, None)] {
        let (layer, clock) = layer();
        let layer =
            if merged { layer.key(|parts| parts.uri.host().map(str::to_owned)) } else { layer };
        let ask = |uri, content: &'static str| {
            send(&layer, request("GET", uri, &[]), reply(200, &[], content))
                .line(LM)
                .map(str::to_owned)
        };
        assert_eq!(ask("http://h/a", "a"), Some(date(10)));
        clock.set(20);
        assert_eq!(ask("http://h/b", "b"), Some(date(20)));
        assert_eq!(ask("http://h/a", "a"), expected, "merged: {merged}");
    }
}
