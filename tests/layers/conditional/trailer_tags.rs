//! The setting `trailer_tags`.

use http::Version;

use crate::support::{
    harness::INM,
    origin::{tag_of, Site, OWN},
    scripted_body::{content, data, trailers, Step},
};

#[test]
fn trailer_tags_follow_the_content_where_the_head_was_too_early() {
    let te = &[("te", "trailers")][..];
    let steps = &[data(5), data(7)][..];
    let merged = |tag: &str| {
        Step::Trailers({
            let Step::Trailers(mut all) = trailers() else { unreachable!() };
            all.insert("etag", tag.parse().unwrap());
            all
        })
    };
    for (version, lines, own, steps, size, trailed) in [
        (Version::HTTP_2, &[][..], &[][..], steps, None, true),
        (Version::HTTP_2, &[], &[], steps, Some(12), true),
        (Version::HTTP_11, te, &[], steps, None, true),
        (Version::HTTP_11, &[("te", "gzip;q=0.5, Trailers")], &[], steps, None, true),
        (Version::HTTP_11, te, &[], steps, Some(12), false),
        (Version::HTTP_11, &[], &[], steps, None, false),
        (Version::HTTP_11, &[("te", "gzip")], &[], steps, None, false),
        (Version::HTTP_10, te, &[], steps, None, false),
        (Version::HTTP_2, &[], &[("etag", OWN)], steps, None, false),
        (Version::HTTP_2, &[], &[("cache-control", "no-store")], steps, None, false),
        (Version::HTTP_2, &[], &[("content-type", "text/event-stream")], steps, None, false),
        (Version::HTTP_2, &[], &[], &[data(5), data(7), Step::Error(3)], None, false),
    ] {
        let site = Site::new(|layer| layer.trailer_tags(true));
        site.answers(own, steps, size);
        let seen = site.ask_over(version, "GET", lines);
        let tag = tag_of(steps);
        assert_eq!(
            seen.trailer(),
            trailed.then_some(&*tag),
            "{version:?} {lines:?} {own:?} {size:?}"
        );
        assert_eq!(seen.content(), content(steps));
        assert_eq!(
            seen.line("etag"),
            own.iter().find(|(name, _)| *name == "etag").map(|(_, text)| *text)
        );
        let announced = trailed || steps.contains(&Step::Error(3));
        assert_eq!(
            seen.line("trailer"),
            announced.then_some("etag"),
            "{version:?} {lines:?} {own:?} {size:?}"
        );
    }

    let site = Site::new(|layer| layer.trailer_tags(true));
    site.answers(&[("trailer", "x-sum")], &[data(12), trailers()], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!(seen.frames, [data(12), merged(&tag_of(&[data(12)]))]);
    assert_eq!(seen.head.headers.get_all("trailer").iter().collect::<Vec<_>>(), ["x-sum", "etag"]);
    // Small content that is ready has its tag where it belongs.
    site.answers(&[], &[data(5)], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!((seen.line("etag"), seen.trailer()), (Some(&*tag_of(&[data(5)])), None));
    // What it was told behind the content, a client can send when the content is ready
    // in time.
    site.answers(&[], &[Step::Yield, data(2), Step::Yield, Step::Yield, data(3)], None);
    let late = site.ask_over(Version::HTTP_2, "GET", &[]);
    let trailer = late.trailer().unwrap();
    site.answers(&[], &[data(2), data(3)], None);
    assert_eq!(site.ask("GET", &[(INM, trailer)]).status(), 304);
}
