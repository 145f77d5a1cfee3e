//! The setting `ignore_tag_suffixes`: tags that a proxy added to.

use tower_conditional::InnerTags;

use crate::support::{
    harness::{self, ask, get, layer, reply, send, tag, IM, INM},
    origin::Site,
};

#[test]
fn ignore_tag_suffixes_is_for_if_none_match_alone() {
    let layer = layer().0.ignore_tag_suffixes(["-gzip", ";gzip", ""]);
    let opaque = tag("content");
    let opaque = opaque.trim_matches('"');
    for (name, line, status) in [
        (INM, format!("\"{opaque}\""), 304),
        (INM, format!("\"{opaque}-gzip\""), 304),
        (INM, format!("W/\"{opaque};gzip\""), 304),
        (INM, format!("\"x\", \"{opaque}-gzip\""), 304),
        (INM, format!("\"{opaque}-br\""), 200),
        (INM, format!("\"{opaque}-gzip-gzip\""), 200),
        (INM, format!("\"{opaque}-gzip"), 200),
        (INM, "\"-gzip\"".to_owned(), 200),
        (IM, format!("\"{opaque}-gzip\""), 412),
    ] {
        let seen = send(&layer, get(&[(name, &line)]), reply(200, &[], "content"));
        assert_eq!(seen.status(), status, "{name}: {line}");
        assert_eq!(seen.line("etag"), Some(&*tag("content")), "{name}: {line}");
    }
    let both = [(INM, format!("\"{opaque}-gzip\"")), (IM, "\"z\"".to_owned())];
    let both: Vec<_> = both.iter().map(|(name, line)| (*name, &**line)).collect();
    assert_eq!(send(&layer, get(&both), reply(200, &[], "content")).status(), 412);
    let range = [("range", "bytes=0-1"), ("if-range", &*format!("\"{opaque}-gzip\""))];
    let layer = layer.ranges(true);
    assert_eq!(send(&layer, get(&range), reply(200, &[], "content")).status(), 200);
    let plain = harness::layer().0;
    assert_eq!(
        ask(&plain, get(&[(INM, &format!("\"{opaque}-gzip\""))]), |_| reply(200, &[], "content"))
            .status(),
        200
    );
}

#[test]
fn ignore_tag_suffixes_finds_the_inner_tag() {
    let site =
        Site::new(|layer| layer.inner_tags(InnerTags::learn()).ignore_tag_suffixes(["-gzip"]));
    let held = "\"own-gzip\"";
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[(INM, held)]).status(), 304);
}
