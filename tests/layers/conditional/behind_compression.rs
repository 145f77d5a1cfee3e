//! The setting `behind_compression`.

use http::Version;

use crate::support::{
    harness::{get, layer, reply, send, tag, Lines, IM, INM},
    origin::{one, tag_of, Site},
};

#[test]
fn behind_compression_weakens_every_tag_that_leaves() {
    let layer = layer().0.behind_compression(true);
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
fn behind_compression_weakens_tags_in_trailers_too() {
    let site = Site::new(|layer| layer.trailer_tags(true).behind_compression(true));
    site.answers(&[], &one(), None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!(seen.trailer(), Some(&*format!("W/{}", tag_of(&one()))));
}
