//! `Repr-Digest` on the wire: in the head, in trailers, and of a file that is put
//! together from its parts.

use axum::{routing::get, Router};
use http::Version;
use tower_conditional::{ConditionalLayer, InnerTags};
use tower_http::compression::CompressionLayer;

use crate::support::{
    file_server::{assert_whole, content, kinds_and_versions, tag, Kind, Site, LENGTH},
    harness::INM,
    repr_digest::is_digest_of,
    server::VERSIONS,
    slow_peer::{self, Answer},
    wire::hyper,
};

fn digest(answer: &Answer) -> Option<&str> {
    answer.field("repr-digest")
}

#[tokio::test]
async fn digests_of_a_file_are_in_the_trailers_first_and_in_the_head_from_then_on() {
    for (kind, first) in kinds_and_versions() {
        let inner_tags = InnerTags::replace().trust_dates(kind == Kind::Dates);
        let site = Site::new(kind, "digests", |layer| {
            layer.inner_tags(inner_tags).ranges(true).repr_digest(true)
        });
        let site = site.await;
        site.put(1, 0);
        let whole = site.get(first, &[("te", "trailers")]).await;
        assert_whole(&whole, 1, None);
        assert_eq!(digest(&whole), None);
        let trailer = whole.trailers.get("repr-digest").map(|value| value.to_str().unwrap());
        // Over HTTP/1.1, no trailers follow content of known length.
        assert_eq!(trailer.is_some(), first == Version::HTTP_2, "{kind:?}");
        assert!(trailer.is_none_or(|digest| is_digest_of(digest, &whole.content)), "{kind:?}");

        for version in VERSIONS {
            let whole = site.get(version, &[]).await;
            assert_whole(&whole, 1, Some(&tag(1)));
            assert!(is_digest_of(digest(&whole).unwrap(), &whole.content), "{kind:?}");
            let head = site.ask(version, "HEAD", &[]).await;
            assert_eq!(digest(&head), digest(&whole), "{kind:?}");
            let unchanged = site.get(version, &[(INM, &tag(1))]).await;
            assert_eq!((unchanged.status, digest(&unchanged)), (304, None), "{kind:?}");
            let beyond = site.get(version, &[("range", "bytes=40000-")]).await;
            assert_eq!((beyond.status, digest(&beyond)), (416, None), "{kind:?}");

            let mut stitched = Vec::new();
            for range in ["bytes=0-9999", "bytes=10000-10000", "bytes=10001-"] {
                let part = site.get(version, &[("range", range), ("if-range", &tag(1))]).await;
                assert_eq!((part.status, digest(&part)), (206, digest(&whole)), "{kind:?} {range}");
                stitched.extend(part.content);
            }
            assert!(is_digest_of(digest(&whole).unwrap(), &stitched), "{kind:?}");
        }
        // Another version has another digest, or none yet.
        site.put(2, 10_000);
        for version in VERSIONS {
            let part = site.get(version, &[("range", "bytes=0-9")]).await;
            assert!(part.content == content(2, LENGTH)[..10]);
            assert_eq!(digest(&part), None, "{kind:?}");
        }
        site.log.gone().await;
    }
}

#[tokio::test]
async fn digests_are_of_what_is_sent_where_it_may_be_compressed() {
    let text = "a page, ".repeat(100);
    let page = text.clone();
    let layer = ConditionalLayer::new().repr_digest(true).compress_with(CompressionLayer::new());
    let app = Router::new().route("/", get(move || async { page })).layer(layer);
    for version in VERSIONS {
        let address = hyper(version, app.clone()).await;
        let plain = slow_peer::get(version, address, "/", &[]).await;
        assert!(is_digest_of(digest(&plain).unwrap(), text.as_bytes()), "{version:?}");
        let encoded = slow_peer::get(version, address, "/", &[("accept-encoding", "gzip")]).await;
        assert_eq!(encoded.field("content-encoding"), Some("gzip"), "{version:?}");
        assert_eq!(digest(&encoded), None, "{version:?}");
        let refused =
            slow_peer::get(version, address, "/", &[("want-repr-digest", "sha-256=0")]).await;
        assert_eq!(digest(&refused), None, "{version:?}");
        let vary: Vec<_> = refused.headers.get_all("vary").iter().collect();
        assert!(vary.iter().any(|vary| *vary == "want-repr-digest"), "{vary:?}");
    }
}
