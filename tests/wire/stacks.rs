//! Stacks of other layers, and the places in which a layer can be mounted.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    error_handling::HandleErrorLayer,
    extract::Request,
    handler::Handler,
    middleware::{from_fn, map_response, Next},
    response::Response,
    routing::get,
    Router,
};
use bytes::Bytes;
use futures_util::stream;
use http::{
    header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH, SET_COOKIE},
    HeaderValue, Method, StatusCode, Version,
};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Notify;
use tower::{
    limit::GlobalConcurrencyLimitLayer, load_shed::error::Overloaded, timeout::error::Elapsed,
    BoxError, Layer, ServiceBuilder, ServiceExt,
};
use tower_conditional::{ConditionalLayer, Outcome, OuterCompression};
use tower_http::{
    compression::CompressionLayer, cors::CorsLayer, services::ServeDir, trace::TraceLayer,
};

use crate::support::{
    peer::{self, get_of, tag_of},
    server::VERSIONS,
    wire::{ask, axum, hyper, Folder, MISS, START, TEXT},
};

const SITE: (&str, &str) = ("origin", "https://site.example");
const USER: (&str, &str) = ("authorization", "Bearer user");

#[tokio::test]
async fn stacks_give_a_304_cookies_and_cors_as_the_200_and_see_it_outside() {
    let stack = Stack::default();
    for version in VERSIONS {
        let address = hyper(version, stack.router()).await;
        let tag = tag_of(TEXT);
        for (fields, status, outcome) in [
            (&[SITE, USER][..], 200, Outcome::Tagged),
            (&[SITE, USER, ("if-none-match", &*tag)], 304, Outcome::NotModified),
            (&[SITE, USER, ("if-none-match", "*")], 304, Outcome::NotModified),
            (&[SITE, USER, ("if-match", MISS)], 412, Outcome::PreconditionFailed),
        ] {
            let reply = peer::ask(version, address, get_of("/flags", fields)).await;
            let case = format!("{version:?} {fields:?}");
            assert_eq!(
                (reply.status, reply.text()),
                (status, if status == 200 { TEXT } else { "" }),
                "{case}"
            );
            assert_eq!(reply.field("etag"), Some(&*tag), "{case}");
            assert_eq!(reply.field("set-cookie"), Some(COOKIE), "{case}");
            assert_eq!(reply.field("access-control-allow-origin"), Some(SITE.1), "{case}");
            assert_eq!(reply.field("access-control-expose-headers"), Some("etag"), "{case}");
            assert!(reply.lines("vary").iter().any(|line| line.contains("origin")), "{case}");
            assert_eq!(stack.noted(), [(status, Some(outcome))], "{case}");
        }
    }
}

#[tokio::test]
async fn stacks_give_a_stranger_401_and_never_304() {
    for version in VERSIONS {
        let address = hyper(version, Stack::default().router()).await;
        for field in [
            ("accept", "*/*"),
            ("if-none-match", &tag_of(TEXT)),
            ("if-none-match", "*"),
            ("if-match", MISS),
        ] {
            let reply = peer::ask(version, address, get_of("/flags", &[SITE, field])).await;
            assert_eq!(
                (reply.status, reply.field("etag"), reply.text()),
                (401, None, ""),
                "{version:?} {field:?}"
            );
            assert_eq!(
                reply.field("access-control-allow-origin"),
                Some(SITE.1),
                "a script may know why: {field:?}"
            );
        }
    }
}

#[tokio::test]
async fn stacks_with_cors_let_scripts_ask_with_tags() {
    let address = hyper(Version::HTTP_11, Stack::default().router()).await;
    let asked = [
        SITE,
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "if-match"),
    ];
    let preflight = peer::request("OPTIONS", "/flags", &asked).body(Body::empty()).unwrap();
    let reply = peer::ask(Version::HTTP_11, address, preflight).await;
    assert_eq!(reply.status, 200, "a browser sends no credentials with it");
    assert_eq!(
        reply.field("access-control-allow-headers"),
        Some("authorization,if-match,if-none-match")
    );
    assert_eq!(reply.field("access-control-allow-methods"), Some("GET,PUT"));
}

#[tokio::test(start_paused = true)]
async fn stacks_cut_what_takes_too_long_by_the_timeout() {
    // The layer waits for content of known size, 500 ms by default.
    for (path, millis, status) in [
        ("/never", 100, 504),
        ("/never-whole", 100, 504),
        ("/never-whole", 1000, 200),
        ("/flags", 100, 200),
    ] {
        let stack = Stack { timeout: Duration::from_millis(millis), ..Stack::default() };
        let response = once(&stack.router(), path).await;
        assert_eq!(response.status(), status, "{path} {millis}");
        assert_eq!(response.headers().contains_key(ETAG), path == "/flags", "{path} {millis}");
    }
}

#[tokio::test]
async fn stacks_shed_what_is_too_much_with_the_limit_outside_or_inside() {
    for (outside, inside) in [(1, 9), (9, 1)] {
        let stack = Stack { outside, inside, ..Stack::default() };
        let app = stack.router();
        let waiting = tokio::spawn({
            let app = app.clone();
            async move { once(&app, "/gate").await.status() }
        });
        stack.entered.notified().await;
        assert_eq!(once(&app, "/flags").await.status(), 503, "{outside} {inside}");
        stack.opened.notify_one();
        assert_eq!(waiting.await.unwrap(), 200, "{outside} {inside}");
        let free = once(&app, "/flags").await;
        assert_eq!(free.status(), 200, "{outside} {inside}");
        assert_eq!(free.headers()[ETAG], tag_of(TEXT), "{outside} {inside}");
    }
}

/// What the outermost layer sees of a response.
type Noted = (u16, Option<Outcome>);

/// An application in a stack of layers.
struct Stack {
    timeout: Duration,
    /// How many requests may be under way, counted outside and inside the
    /// `ConditionalLayer`.
    outside: usize,
    inside: usize,
    noted: Arc<Mutex<Vec<Noted>>>,
    entered: Arc<Notify>,
    opened: Arc<Notify>,
}

impl Default for Stack {
    fn default() -> Self {
        let (noted, entered, opened) = Default::default();
        Self { timeout: Duration::from_secs(60), outside: 9, inside: 9, noted, entered, opened }
    }
}

impl Stack {
    fn router(&self) -> Router {
        let noted = Arc::clone(&self.noted);
        let note = move |response: Response| {
            let outcome = response.extensions().get().copied();
            noted.lock().unwrap().push((response.status().as_u16(), outcome));
            async { response }
        };
        let cors = CorsLayer::new()
            .allow_origin([HeaderValue::from_static(SITE.1)])
            .allow_methods([Method::GET, Method::PUT])
            .allow_headers([AUTHORIZATION, IF_MATCH, IF_NONE_MATCH])
            .expose_headers([ETAG]);
        let layers = ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(map_response(note))
            .layer(HandleErrorLayer::new(refuse))
            .load_shed()
            .layer(GlobalConcurrencyLimitLayer::new(self.outside))
            .timeout(self.timeout)
            .layer(cors)
            .layer(map_response(give_cookie))
            .layer(from_fn(authorize))
            .layer(ConditionalLayer::new().report_outcome(true))
            .layer(CompressionLayer::new())
            .layer(GlobalConcurrencyLimitLayer::new(self.inside));

        let (entered, opened) = (Arc::clone(&self.entered), Arc::clone(&self.opened));
        let gate = || async move {
            entered.notify_one();
            opened.notified().await;
        };
        let never_whole = || async {
            (
                [(CONTENT_LENGTH, "10")],
                Body::from_stream(stream::pending::<Result<Bytes, BoxError>>()),
            )
        };
        Router::new()
            .route("/flags", get(TEXT))
            .route("/gate", get(gate))
            .route("/never", get(pending::<()>))
            .route("/never-whole", get(never_whole))
            .layer(layers)
    }

    /// Returns what the outermost layer saw since it was last asked.
    fn noted(&self) -> Vec<Noted> {
        std::mem::take(&mut self.noted.lock().unwrap())
    }
}

async fn refuse(error: BoxError) -> StatusCode {
    if error.is::<Overloaded>() {
        StatusCode::SERVICE_UNAVAILABLE
    } else if error.is::<Elapsed>() {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

async fn give_cookie(mut response: Response) -> Response {
    response.headers_mut().append(SET_COOKIE, HeaderValue::from_static(COOKIE));
    response
}

async fn authorize(request: Request, next: Next) -> Result<Response, StatusCode> {
    if request.headers().get(AUTHORIZATION).is_some_and(|value| value == USER.1) {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::UNAUTHORIZED)
    }
}

/// Asks without a wire.
async fn once(app: &Router, path: &str) -> Response {
    app.clone().oneshot(get_of(path, &[USER])).await.unwrap()
}

const COOKIE: &str = "session=1; HttpOnly";

#[tokio::test]
async fn stacks_need_no_router_hyper_serves_a_wrapped_function() {
    let function = |_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(TEXT))))
    };
    for version in VERSIONS {
        let address =
            hyper(version, ConditionalLayer::new().layer(tower::service_fn(function))).await;
        for (fields, expected) in [
            (&[][..], (200, TEXT)),
            (&[("if-none-match", &*tag_of(TEXT))], (304, "")),
            (&[("if-none-match", MISS)], (200, TEXT)),
            (&[("if-match", MISS)], (412, "")),
        ] {
            let reply = peer::ask(version, address, get_of("/", fields)).await;
            assert_eq!((reply.status, reply.text()), expected, "{version:?} {fields:?}");
            assert_eq!(reply.field("etag"), Some(&*tag_of(TEXT)), "{version:?} {fields:?}");
        }
    }
}

#[tokio::test]
async fn stacks_work_wherever_the_layer_is_mounted() {
    let folder = Folder::new("mounted");
    folder.write("flags", TEXT, START);
    let (layer, flags) = (ConditionalLayer::new, || Router::new().route("/flags", get(TEXT)));
    let (handler, files) = (|| async { TEXT }, ServeDir::new(&folder.0));
    let http1 = Version::HTTP_11;
    for (name, address, path) in [
        ("layer", axum(flags().layer(layer())).await, "/flags"),
        ("route_layer", axum(flags().route_layer(layer())).await, "/flags"),
        (
            "on a MethodRouter",
            axum(Router::new().route("/flags", get(TEXT).layer(layer()))).await,
            "/flags",
        ),
        (
            "on a Handler",
            axum(Router::new().route("/flags", get(handler.layer(layer())))).await,
            "/flags",
        ),
        ("over merge", axum(Router::new().merge(flags()).layer(layer())).await, "/flags"),
        ("over a fallback", axum(Router::new().fallback(get(TEXT)).layer(layer())).await, "/flags"),
        ("over nest", axum(Router::new().nest("/api", flags()).layer(layer())).await, "/api/flags"),
        (
            "inside nest",
            axum(Router::new().nest("/api", flags().layer(layer()))).await,
            "/api/flags",
        ),
        (
            "over files",
            axum(Router::new().nest_service("/files", files.clone()).layer(layer())).await,
            "/files/flags",
        ),
        ("around files", hyper(http1, layer().layer(files)).await, "/flags"),
        ("around the Router", hyper(http1, layer().layer(flags())).await, "/flags"),
        (
            "by a ServiceBuilder",
            hyper(http1, ServiceBuilder::new().layer(layer()).service(flags())).await,
            "/flags",
        ),
    ] {
        let whole = ask(address, "GET", path, &[]).await;
        assert_eq!((whole.status, whole.text()), (200, TEXT), "{name}");
        let tag = whole.field("etag").unwrap();
        for (field, asked, expected) in [
            ("if-none-match", tag, (304, "")),
            ("if-none-match", MISS, (200, TEXT)),
            ("if-match", tag, (200, TEXT)),
            ("if-match", MISS, (412, "")),
        ] {
            let reply = ask(address, "GET", path, &[(field, asked)]).await;
            assert_eq!((reply.status, reply.text()), expected, "{name} {field}: {asked}");
        }
    }
}

#[tokio::test]
async fn stacks_with_compression_inside_have_strong_tags_and_outside_share_a_weak_one() {
    let router = || Router::new().route("/", get(|| async { TEXT.repeat(1000) }));
    let (layer, compression) = (ConditionalLayer::new, CompressionLayer::new);
    let inside = router().layer(compression()).layer(layer());
    let outside = router()
        .layer(layer().outer_compression(OuterCompression::new().keeps_tags(true)))
        .layer(compression());
    for (name, address, start) in
        [("inside", axum(inside).await, "\""), ("outside", axum(outside).await, "W/\"")]
    {
        let mut tags = Vec::new();
        for (encoding, expected) in [("gzip", Some("gzip")), ("identity", None)] {
            let accept = ("accept-encoding", encoding);
            let whole = ask(address, "GET", "/", &[accept]).await;
            assert_eq!(
                (whole.status, whole.field("content-encoding")),
                (200, expected),
                "{name} {encoding}"
            );
            assert_eq!(
                whole.content.starts_with(&[0x1f, 0x8b]),
                expected.is_some(),
                "{name} {encoding}"
            );
            let tag = whole.field("etag").unwrap();
            assert!(tag.starts_with(start), "{name} {encoding}: {tag}");

            let again = ask(address, "GET", "/", &[accept, ("if-none-match", tag)]).await;
            assert_eq!((again.status, again.field("etag")), (304, Some(tag)), "{name} {encoding}");
            assert_eq!(
                (again.field("content-encoding"), again.field("content-type")),
                (None, None),
                "{name} {encoding}"
            );
            for reply in [&whole, &again] {
                assert_eq!(
                    reply.lines("vary"),
                    ["accept-encoding"],
                    "{name} {encoding} {}",
                    reply.status
                );
            }
            tags.push(tag.to_owned());
        }
        assert_eq!(tags[0] == tags[1], name == "outside");
        let fields = [("accept-encoding", "identity"), ("if-none-match", &tags[0])];
        let expected = if name == "inside" { 200 } else { 304 };
        assert_eq!(
            ask(address, "GET", "/", &fields).await.status,
            expected,
            "{name}: the client holds gzip"
        );
    }
}
