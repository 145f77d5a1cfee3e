//! The setting `outer_compression`: proxies that leave tags as they are, or append to
//! them.

use tower_conditional::{InnerTags, OuterCompression};

use crate::support::{
    harness::{self, ask, get, layer, reply, send, tag, Lines, IM, INM},
    origin::Site,
};

#[test]
fn outer_compression_that_keeps_tags_weakens_every_tag_that_leaves() {
    let layer = layer().0.outer_compression(OuterCompression::new().keeps_tags(true));
    for (own, strong) in
        [(None, &*tag("content")), (Some("\"a\""), "\"a\""), (Some("W/\"a\""), "\"a\"")]
    {
        let own: Vec<_> = own.iter().map(|own| ("etag", *own)).collect();
        let ask = |lines: Lines<'_>| send(&layer, get(lines), reply(200, &own, "content"));
        assert_eq!(ask(&[]).line("etag"), Some(&*format!("W/{strong}")));
        assert_eq!([INM, IM].map(|name| ask(&[(name, strong)]).status()), [304, 412], "{own:?}");
    }
    assert_eq!(send(&layer, get(&[]), reply(200, &[("etag", "a")], "")).line("etag"), Some("a"));
}

#[test]
fn outer_compression_adds_suffixes_for_if_none_match_alone() {
    let layer =
        layer().0.outer_compression(OuterCompression::new().adds_suffixes(["-gzip", ";gzip", ""]));
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
fn outer_compression_with_a_suffix_that_no_tag_has_is_a_panic() {
    for (suffix, is_possible) in [
        ("-gzip", true),
        ("", true),
        ("\u{e9}", true),
        ("\"", false),
        (" gzip", false),
        ("\n", false),
    ] {
        let add = || OuterCompression::new().adds_suffixes([suffix]);
        assert_eq!(std::panic::catch_unwind(add).is_ok(), is_possible, "{suffix:?}");
    }
}

#[test]
fn outer_compression_with_suffixes_finds_the_inner_tag() {
    let site = Site::new(|layer| {
        layer
            .inner_tags(InnerTags::learn())
            .outer_compression(OuterCompression::new().adds_suffixes(["-gzip"]))
    });
    let held = "\"own-gzip\"";
    site.ask("GET", &[]);
    assert_eq!(site.ask("GET", &[(INM, held)]).status(), 304);
}
