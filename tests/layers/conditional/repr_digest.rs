//! The setting `repr_digest`.

use std::{
    convert::Infallible,
    future::Ready,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
};

use axum::body::Body;
use futures_util::stream;
use http::{response, HeaderMap, Method, Request, Response, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use tower::{service_fn, util::ServiceFn, Layer, Service, ServiceExt};
use tower_conditional::{ConditionalLayer, Digest, EntityTag, InnerTags, OuterCompression, Sha256};
use tower_http::compression::CompressionLayer;

use crate::{
    conditional::digest::Sum,
    support::{
        encoder::{encode, Encoder},
        guarded::{boxed, App},
        harness::{layer, reply, request, run, streamed, value, Lines, IM, INM},
        origin::{one, ours, tag_of, two, Seen, Site, OWN},
        random::numbers,
        repr_digest::{is_digest_of, repr_digest},
        scripted_body::{content, data, trailers, Step},
    },
};

const AE: &str = "accept-encoding";
const WANT: &str = "want-repr-digest";
const TEXT: &str = "a text that is long enough to be worth compressing";

/// A site whose content is read ahead.
fn small(adjust: impl FnOnce(ConditionalLayer) -> ConditionalLayer) -> Site {
    Site::new(|layer| adjust(layer.repr_digest(true).buffer_limit(100)))
}

fn trailer<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    match seen.frames.last() {
        Some(Step::Trailers(trailers)) => trailers.get(name).map(|value| value.to_str().unwrap()),
        _ => None,
    }
}

#[test]
fn repr_digest_is_that_of_the_whole_content_where_it_was_hashed() {
    let site = small(|layer| layer.ranges(true));
    let whole = content(&[data(5), data(7)]);
    site.answers(&[], &[data(5), data(7)], Some(12));
    let tag = ours();
    for (method, lines, status) in [
        ("GET", &[][..], 200),
        ("GET", &[], 200),
        ("HEAD", &[], 200),
        ("QUERY", &[], 200),
        ("GET", &[("range", "bytes=3-6")], 206),
        ("GET", &[("range", "bytes=3-6"), ("if-range", &tag)], 206),
        ("GET", &[("range", "bytes=99-")], 416),
        ("GET", &[(INM, &tag)], 304),
        ("GET", &[(IM, "\"x\"")], 412),
        ("POST", &[], 200),
    ] {
        let seen = site.ask(method, lines);
        assert_eq!(seen.status(), status, "{method} {lines:?}");
        let is_sent = matches!(status, 200 | 206) && method != "POST";
        let digest = seen.line("repr-digest");
        assert_eq!(digest.is_some(), is_sent, "{method} {lines:?}");
        assert!(digest.is_none_or(|digest| is_digest_of(digest, &whole)), "{method} {lines:?}");
        assert_eq!(seen.line("vary"), None);
    }
    site.answers(&[("vary", "accept")], &[], Some(0));
    let seen = site.ask("GET", &[]);
    assert_ne!(seen.line("etag"), Some(&*tag_of(&[])), "it is negotiated");
    assert!(is_digest_of(seen.line("repr-digest").unwrap(), b""));

    let off = Site::new(|layer| layer.buffer_limit(100));
    off.answers(&[], &one(), Some(12));
    let seen = off.ask_over(Version::HTTP_2, "GET", &[(WANT, "sha-256=10")]);
    assert_eq!((seen.line("repr-digest"), seen.line("vary")), (None, None));
    off.answers(&[], &[data(90), data(90)], None);
    let seen = off.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!((seen.line("trailer"), trailer(&seen, "repr-digest")), (None, None));
}

#[test]
fn repr_digest_is_never_made_of_content_that_was_not_hashed() {
    let (alike, negotiated) = (tag_of(&two()), format!("\"{}-0123abcd\"", "0".repeat(64)));
    for (lines, status) in [
        // An inner tag that looks like the layer's, and is that of other content.
        (&[("etag", &*alike)][..], 200),
        (&[("etag", &negotiated)], 200),
        (&[("etag", OWN)], 200),
        (&[("cache-control", "no-store")], 200),
        (&[("content-type", "text/event-stream")], 200),
        (&[("etag", &alike)], 203),
        (&[], 404),
    ] {
        let site = small(|layer| layer.ranges(true));
        site.answers(lines, &one(), Some(12));
        site.origin.borrow_mut().status = status;
        for lines in [&[][..], &[("range", "bytes=0-3")]] {
            let seen = site.ask_over(Version::HTTP_2, "GET", lines);
            assert_eq!(seen.line("repr-digest"), None, "{lines:?} {status}");
            assert_eq!(trailer(&seen, "repr-digest"), None, "{lines:?} {status}");
        }
    }
    // Of the empty answer to a HEAD nothing is known.
    let site = small(|layer| layer);
    site.answers(&[("content-length", "12")], &[], Some(0));
    assert_eq!(site.ask("HEAD", &[]).line("repr-digest"), None);
}

#[test]
fn repr_digest_of_the_application_is_kept() {
    let site = small(|layer| layer.ranges(true));
    for own in ["sha-512=:x:", "sha-256=:anything:", ""] {
        site.answers(&[("repr-digest", own), ("content-digest", own)], &one(), Some(12));
        for (lines, status) in [(&[][..], 200), (&[("range", "bytes=0-3")], 206)] {
            let seen = site.ask("GET", &[&[(WANT, "sha-256=0")], lines].concat());
            assert_eq!(seen.status(), status);
            assert_eq!(seen.line("repr-digest"), Some(own), "of the whole, {status}");
            let is_whole = status == 200;
            assert_eq!(seen.line("content-digest"), is_whole.then_some(own), "of the bytes");
            assert_eq!(seen.line("vary"), None, "nothing was decided");
        }
        let seen = site.ask("GET", &[(INM, &tag_of(&one()))]);
        assert_eq!((seen.status(), seen.line("repr-digest")), (304, None));
    }
    // In the trailers, too.
    let mut own = HeaderMap::new();
    own.insert("repr-digest", value("sha-512=:x:"));
    site.answers(&[], &[data(99), data(99), Step::Trailers(own)], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!(trailer(&seen, "repr-digest"), Some("sha-512=:x:"));
    assert_eq!(trailer(&seen, "etag"), Some(&*tag_of(&[data(99), data(99)])));
}

#[test]
fn repr_digest_follows_the_content_where_the_head_was_too_early() {
    let te = &[("te", "trailers")][..];
    let steps = &[data(5), data(7)][..];
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
        let site = Site::new(|layer| layer.repr_digest(true));
        site.answers(own, steps, size);
        let seen = site.ask_over(version, "GET", lines);
        let tag = tag_of(steps);
        let case = format!("{version:?} {lines:?} {own:?} {size:?}");
        assert_eq!(trailer(&seen, "etag"), trailed.then_some(&*tag), "{case}");
        let digest = trailer(&seen, "repr-digest");
        assert_eq!(digest.is_some(), trailed, "{case}");
        assert!(digest.is_none_or(|digest| is_digest_of(digest, &content(steps))), "{case}");
        assert_eq!(seen.content(), content(steps));
        assert_eq!(
            seen.line("etag"),
            own.iter().find(|(name, _)| *name == "etag").map(|(_, text)| *text)
        );
        let announced = trailed || steps.contains(&Step::Error(3));
        assert_eq!(seen.line("trailer"), announced.then_some("etag, repr-digest"), "{case}");
        assert_eq!(site.ask_over(version, "HEAD", lines).line("trailer"), None, "{case}");
    }

    let site = Site::new(|layer| layer.repr_digest(true));
    site.answers(&[("trailer", "x-sum")], &[data(12), trailers()], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!((trailer(&seen, "x-sum"), seen.frames.len()), (Some("7"), 2));
    assert_eq!(trailer(&seen, "etag"), Some(&*tag_of(&[data(12)])));
    assert!(is_digest_of(trailer(&seen, "repr-digest").unwrap(), &seen.content()));
    let announced: Vec<_> = seen.head.headers.get_all("trailer").iter().collect();
    assert_eq!(announced, ["x-sum", "etag, repr-digest"]);
    // Content that is smaller than its body says has broken off.
    site.origin.borrow_mut().least = 20;
    site.answers(&[], &[data(12)], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!((seen.content().len(), seen.trailer()), (12, None));
    site.origin.borrow_mut().least = 0;
    // Small content that is ready has both where they belong.
    site.answers(&[], &[data(5)], None);
    let seen = site.ask_over(Version::HTTP_2, "GET", &[]);
    assert_eq!((seen.line("etag"), seen.trailer()), (Some(&*tag_of(&[data(5)])), None));
    assert!(seen.line("repr-digest").is_some());
    // What it was told behind the content, a client can send when the content is ready
    // in time.
    site.answers(&[], &[Step::Yield, data(2), Step::Yield, Step::Yield, data(3)], None);
    let late = site.ask_over(Version::HTTP_2, "GET", &[]);
    let tag = late.trailer().unwrap();
    site.answers(&[], &[data(2), data(3)], None);
    assert_eq!(site.ask("GET", &[(INM, tag)]).status(), 304);
}

#[test]
fn repr_digest_is_in_the_head_once_the_tag_is_learned() {
    let whole = content(&[data(5), data(7)]);
    for (inner_tags, trailed) in
        [(InnerTags::learn(), None), (InnerTags::replace(), Some(&*ours()))]
    {
        let site = Site::new(|layer| layer.repr_digest(true).inner_tags(inner_tags.clone()));
        let first = site.ask_over(Version::HTTP_2, "GET", &[]);
        assert_eq!(first.line("repr-digest"), None, "{inner_tags:?}");
        assert!(is_digest_of(trailer(&first, "repr-digest").unwrap(), &whole), "{inner_tags:?}");
        assert_eq!(trailer(&first, "etag"), trailed, "a tag for which the head has another");
        for method in ["GET", "HEAD"] {
            let seen = site.ask(method, &[]);
            assert_eq!(seen.line("etag"), Some(&*ours()), "{inner_tags:?} {method}");
            assert!(is_digest_of(seen.line("repr-digest").unwrap(), &whole), "{method}");
        }
        // A part that the inner service cuts.
        let part = [("etag", OWN), ("content-range", "bytes 0-4/12")];
        site.answers(&part, &[data(5)], Some(5));
        site.origin.borrow_mut().status = 206;
        let seen = site.ask("GET", &[("range", "bytes=0-4")]);
        assert!(is_digest_of(seen.line("repr-digest").unwrap(), &whole), "{inner_tags:?}");
        // Of another version nothing is known yet.
        site.answers(
            &[("etag", "\"new\""), ("content-range", "bytes 0-4/12")],
            &[data(5)],
            Some(5),
        );
        let seen = site.ask("GET", &[("range", "bytes=0-4")]);
        assert_eq!((seen.status(), seen.line("repr-digest")), (206, None), "{inner_tags:?}");
    }
}

#[test]
fn want_repr_digest_that_refuses_it_is_honoured_and_vary_says_so() {
    let (site, tag) = (small(|layer| layer), tag_of(&one()));
    for (want, is_sent) in [
        (&["sha-256=1"][..], true),
        (&["sha-512=10, sha-256=1"], true),
        (&["x=?1"], true),
        (&["sha-256=0"], false),
        (&["sha-512=5"], false),
        (&["sha-512=5", "sha-256=0"], false),
    ] {
        let want: Vec<_> = want.iter().map(|line| (WANT, *line)).collect();
        let vary = (!is_sent).then_some(WANT);
        site.answers(&[], &one(), Some(12));
        for method in ["GET", "HEAD"] {
            let seen = site.ask(method, &want);
            assert_eq!(seen.line("repr-digest").is_some(), is_sent, "{want:?}");
            assert_eq!(seen.line("vary"), vary, "{want:?}");
            assert_eq!(seen.line("etag"), Some(&*tag), "it is the same content");
        }
        let seen = site.ask("GET", &[&want[..], &[(INM, &tag)]].concat());
        assert_eq!((seen.status(), seen.line("vary")), (304, vary), "{want:?}");
        // What has no digest anyway does not depend on the field.
        site.answers(&[("etag", OWN)], &one(), Some(12));
        assert_eq!(site.ask("GET", &want).line("vary"), None, "{want:?}");
        // Nothing is hashed for a trailer that is not wanted.
        site.answers(&[], &[data(99), data(99)], None);
        let seen = site.ask_over(Version::HTTP_2, "GET", &want);
        assert_eq!(trailer(&seen, "repr-digest").is_some(), is_sent, "{want:?}");
        assert_eq!((seen.line("trailer").is_some(), seen.line("vary")), (is_sent, vary));
    }
    site.answers(&[("vary", "origin")], &one(), Some(12));
    let seen = site.ask("GET", &[(WANT, "sha-256=0")]);
    let vary: Vec<_> = seen.head.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["origin", WANT]);
    // The date is that of the resource, whatever the client wants.
    let site = small(|layer| layer);
    site.answers(&[], &one(), Some(12));
    site.ask("GET", &[]);
    site.at(60);
    let dates = [&[][..], &[(WANT, "sha-256=0")], &[]]
        .map(|lines| site.ask("GET", lines).line("last-modified").map(str::to_owned));
    assert!(dates[0].is_some() && dates.iter().all(|date| *date == dates[0]), "{dates:?}");
}

#[test]
fn repr_digest_with_what_makes_it_wrong_panics_when_the_layer_is_made() {
    fn is_made<L: Layer<Inner>>(layer: L) -> bool {
        let inner: Inner = service_fn(|_| unreachable!("it is not called"));
        catch_unwind(AssertUnwindSafe(|| drop(layer.layer(inner)))).is_ok()
    }
    type Inner = ServiceFn<fn(Request<Body>) -> Ready<Result<Response<Body>, Infallible>>>;
    let layer = ConditionalLayer::new;
    assert!(is_made(layer().repr_digest(true)));
    let outer = OuterCompression::new;
    assert!(is_made(layer().repr_digest(true).outer_compression(outer())));
    for outer in [outer().keeps_tags(true), outer().adds_suffixes(["-gzip"])] {
        let with_outer = || layer().outer_compression(outer.clone());
        assert!(is_made(with_outer().repr_digest(false)));
        assert!(!is_made(with_outer().repr_digest(true)));
        assert!(!is_made(layer().repr_digest(true).outer_compression(outer.clone())));
    }
    assert!(is_made(layer().digest::<Sum>()));
    assert!(!is_made(layer().digest::<Sum>().repr_digest(true)));
    assert!(!is_made(layer().repr_digest(true).digest::<Sum>()));
    assert!(is_made(layer().repr_digest(true).digest::<Sum>().digest::<Sha256>()));
    assert!(!is_made(layer().repr_digest(true).digest::<BadKey>()));
    let compressed = || layer().repr_digest(true).compress_with(Encoder::default());
    assert!(is_made(compressed()));
    let compressed = layer().repr_digest(true).digest::<Sum>().compress_with(Encoder::default());
    assert!(!is_made(compressed));
}

/// A hash with a name that no digest field can have.
#[derive(Default)]
struct BadKey;

impl Digest for BadKey {
    type Output = [u8; 4];

    const ALGORITHM_KEY: Option<&'static str> = Some("SHA-256");

    fn update(&mut self, _: &[u8]) {}

    fn finish(self) -> [u8; 4] {
        [0; 4]
    }
}

/// What a client gets.
struct Got {
    head: response::Parts,
    content: Vec<u8>,
    trailers: HeaderMap,
}

impl Got {
    fn line(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn digest(&self) -> Option<&str> {
        self.line("repr-digest")
    }
}

fn ask(app: &App, method: &str, version: Version, lines: Lines<'_>) -> Got {
    let mut request = request(method, "/", lines);
    *request.version_mut() = version;
    run(async {
        let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Got { head, content: body.to_bytes().to_vec(), trailers }
    })
}

fn get(app: &App, lines: Lines<'_>) -> Got {
    ask(app, "GET", Version::HTTP_11, lines)
}

fn answering(
    answer: impl Fn(&Request<Body>) -> Response<Body> + Clone + Send + Sync + 'static,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
       + Clone
       + Send
       + Sync {
    service_fn(move |request: Request<Body>| {
        let response = answer(&request);
        async { Ok(response) }
    })
}

#[test]
fn repr_digest_goes_where_a_coding_was_put_on_outside() {
    let own = [("repr-digest", "sha-512=:x:"), ("content-digest", "sha-512=:x:")];
    for (lines, handles) in [(&[][..], true), (&own, true), (&own, false)] {
        let layer = layer().0.repr_digest(true).handle_when(move |_| handles);
        let lines = lines.to_vec();
        let inner = answering(move |_| reply(200, &lines, TEXT));
        for app in [
            boxed(layer.clone().compress_with(Encoder::default()).layer(inner.clone())),
            boxed(layer.compress_with(CompressionLayer::new()).layer(inner)),
        ] {
            assert!(get(&app, &[]).digest().is_some());
            let encoded = get(&app, &[(AE, "gzip")]);
            assert_eq!(encoded.line("content-encoding"), Some("gzip"));
            assert_eq!(encoded.digest(), None, "{handles}");
            assert_eq!(encoded.line("content-digest"), None, "{handles}");
        }
    }
    let compressed =
        |inner| boxed(layer().0.repr_digest(true).compress_with(Encoder::default()).layer(inner));
    // What is left plain keeps it, but not on a HEAD, which does not show what a GET
    // would get.
    let app = compressed(answering(|_| reply(200, &[], "too small")));
    let seen = get(&app, &[(AE, "gzip")]);
    assert!(is_digest_of(seen.digest().unwrap(), b"too small"));
    assert_eq!(ask(&app, "HEAD", Version::HTTP_2, &[(AE, "gzip")]).digest(), None);
    let head = ask(&app, "HEAD", Version::HTTP_2, &[]);
    assert!(is_digest_of(head.digest().unwrap(), b"too small"));
}

#[test]
fn repr_digest_is_of_what_the_service_encoded_itself() {
    let answer = |_: &Request<Body>| reply(200, &[("content-encoding", "gzip")], TEXT);
    let layer = layer().0.repr_digest(true).compress_with(Encoder::default());
    let seen = get(&boxed(layer.layer(answering(answer))), &[(AE, "gzip")]);
    assert!(is_digest_of(seen.digest().unwrap(), TEXT.as_bytes()));
}

/// A service as many are, with settings as many have.
#[derive(Clone, Debug)]
struct World {
    /// Changes the content.
    version: Arc<AtomicU64>,
    /// Without a tag, with one of its own, one that looks like the layer's, a weak one.
    tag: u64,
    is_coded: bool,
    has_digest: bool,
    is_late: bool,
    cuts: bool,
    answers_head: bool,
}

impl World {
    fn content(&self) -> Vec<u8> {
        let version = self.version.load(Ordering::Relaxed);
        let text = format!("{version} {}", "x".repeat((version * 37 % 90) as usize));
        if self.is_coded {
            encode("br", text.as_bytes())
        } else {
            text.into_bytes()
        }
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let (version, content) = (self.version.load(Ordering::Relaxed), self.content());
        let mut response = Response::builder();
        response = match self.tag {
            0 => response,
            1 => response.header("etag", format!("\"v{version}\"")),
            2 => response.header("etag", EntityTag::of(&version.to_be_bytes()).to_string()),
            _ => response.header("etag", format!("W/\"v{version}\"")),
        };
        if self.is_coded {
            response = response.header("content-encoding", "br");
        }
        if self.has_digest {
            response = response.header("repr-digest", repr_digest(&content));
        }
        let is_head = request.method() == Method::HEAD;
        let range = request.headers().get("range").filter(|_| self.cuts && !is_head);
        let mut part = content.clone();
        if let Some(first) = range.map(|range| range.to_str().unwrap()["bytes=".len()..].to_owned())
        {
            let first: usize = first.trim_end_matches('-').parse().unwrap();
            let length = content.len();
            part = content[first.min(length - 1)..].to_vec();
            let range = format!("bytes {}-{}/{length}", length - part.len(), length - 1);
            response = response.status(206).header("content-range", range);
        }
        if is_head && !self.answers_head {
            return response.header("content-length", content.len()).body(Body::empty()).unwrap();
        }
        response.body(if self.is_late { late(part) } else { part.into() }).unwrap()
    }

    fn app(&self, layer: ConditionalLayer, is_compressed: bool) -> App {
        let world = self.clone();
        let inner = answering(move |request| world.answer(request));
        if is_compressed {
            boxed(layer.compress_with(Encoder::default()).layer(inner))
        } else {
            boxed(layer.layer(inner))
        }
    }
}

/// Content that is not ready when it is asked for.
fn late(content: Vec<u8>) -> Body {
    streamed(stream::once(async move {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        Ok(Frame::data(content.into()))
    }))
}

/// How often each kind of digest was seen.
#[derive(Debug, Default)]
struct Counts {
    whole: u32,
    coded: u32,
    trailer: u32,
    part: u32,
    head: u32,
}

impl Counts {
    /// Checks the digests of one answer.
    fn check(&mut self, world: &World, app: &App, method: &str, lines: Lines<'_>, got: &Got) {
        let trailer = got.trailers.get("repr-digest").map(|value| value.to_str().unwrap());
        let Some(digest) = got.digest().or(trailer) else { return };
        let (of, count) = match (method, got.head.status.as_u16()) {
            ("GET", 200) if trailer.is_some() => (got.content.clone(), &mut self.trailer),
            ("GET", 200) if got.line("content-encoding").is_some() => {
                (got.content.clone(), &mut self.coded)
            }
            ("GET", 200) => (got.content.clone(), &mut self.whole),
            ("GET", 206) => (world.content(), &mut self.part),
            // The application's own is of the plain content, as the tag of a HEAD is.
            ("HEAD", 200) if world.has_digest => return,
            ("HEAD", 200) => (get(app, lines).content, &mut self.head),
            other => panic!("a digest on {other:?}"),
        };
        assert!(is_digest_of(digest, &of), "{method} {lines:?} {:?} of {world:?}", got.head);
        *count += u32::from(!world.has_digest);
    }
}

#[test]
fn repr_digest_is_always_that_of_the_representation_as_it_is_encoded() {
    let mut next = numbers(19);
    let mut below = move |n: u64| (next() >> 16) % n;
    let mut counts = Counts::default();
    for _ in 0..700 {
        let world = World {
            version: Arc::default(),
            tag: below(4),
            is_coded: below(4) == 0,
            has_digest: below(4) == 0,
            is_late: below(3) == 0,
            cuts: below(2) == 0,
            answers_head: below(2) == 0,
        };
        let inner_tags = [InnerTags::keep(), InnerTags::learn(), InnerTags::replace()];
        let layer = layer()
            .0
            .repr_digest(true)
            .buffer_limit([0, 40, 1000][below(3) as usize])
            .inner_tags(inner_tags[below(3) as usize].clone())
            .head_as_get(below(2) == 0)
            .ranges(below(2) == 0);
        let app = world.app(layer, below(2) == 0);
        let mut held = None;
        for _ in 0..8 {
            world.version.fetch_add(u64::from(below(5) == 0), Ordering::Relaxed);
            let mut lines = vec![("te", "trailers")];
            let coding = ["", "gzip", "identity", "gzip;q=0"][below(4) as usize];
            lines.extend((!coding.is_empty()).then_some((AE, coding)));
            lines.extend((below(6) == 0).then_some((WANT, "sha-256=0")));
            let plain = lines.clone();
            let range = format!("bytes={}-", below(30));
            lines.extend((below(3) == 0).then_some(("range", &*range)));
            let tag: Option<String> = held.clone();
            if let (Some(tag), 0..3) = (&tag, below(6)) {
                lines.push(([INM, IM, "if-range"][below(3) as usize], tag));
            }
            let method = if below(4) == 0 { "HEAD" } else { "GET" };
            let version = if below(2) == 0 { Version::HTTP_2 } else { Version::HTTP_11 };
            let got = ask(&app, method, version, &lines);
            counts.check(&world, &app, method, &plain, &got);
            held = got.line("etag").map(str::to_owned).or(held);
        }
    }
    let Counts { whole, coded, trailer, part, head } = counts;
    assert!([whole, coded, trailer, part, head].iter().all(|count| *count > 30), "{counts:?}");
}
