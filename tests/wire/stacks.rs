//! The stack of layers that the guide draws, from the outermost to the handler.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    error_handling::HandleErrorLayer,
    extract::Request,
    http::{
        header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH, SET_COOKIE},
        HeaderValue, Method, StatusCode, Version,
    },
    middleware::{from_fn, map_response, Next},
    response::Response,
    routing::get,
    Router,
};
use futures_util::stream;
use tokio::sync::Notify;
use tower::{
    limit::GlobalConcurrencyLimitLayer, load_shed::error::Overloaded, timeout::error::Elapsed,
    BoxError, ServiceBuilder, ServiceExt,
};
use tower_conditional::{ConditionalLayer, Outcome};
use tower_http::{compression::CompressionLayer, cors::CorsLayer, trace::TraceLayer};

use crate::{ask, get_of, request, serve, tag_of, MISS, TEXT, VERSIONS};

const SITE: (&str, &str) = ("origin", "https://site.example");
const USER: (&str, &str) = ("authorization", "Bearer user");

#[tokio::test]
async fn a_304_bears_cookies_and_cors_as_the_200_does_and_is_seen_outside() {
    let stack = Stack::default();
    for version in VERSIONS {
        let address = serve(version, stack.router()).await;
        let tag = tag_of(TEXT);
        for (fields, status, outcome) in [
            (&[SITE, USER][..], 200, Outcome::Tagged),
            (&[SITE, USER, ("if-none-match", &*tag)], 304, Outcome::NotModified),
            (&[SITE, USER, ("if-none-match", "*")], 304, Outcome::NotModified),
            (&[SITE, USER, ("if-match", MISS)], 412, Outcome::PreconditionFailed),
        ] {
            let reply = ask(version, address, get_of("/flags", fields)).await;
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
async fn a_stranger_gets_401_and_never_304() {
    for version in VERSIONS {
        let address = serve(version, Stack::default().router()).await;
        for field in [
            ("accept", "*/*"),
            ("if-none-match", &tag_of(TEXT)),
            ("if-none-match", "*"),
            ("if-match", MISS),
        ] {
            let reply = ask(version, address, get_of("/flags", &[SITE, field])).await;
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
async fn a_script_from_elsewhere_may_ask_with_tags() {
    let address = serve(Version::HTTP_11, Stack::default().router()).await;
    let asked = [
        SITE,
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "if-match"),
    ];
    let preflight = request("OPTIONS", "/flags", &asked).body(Body::empty()).unwrap();
    let reply = ask(Version::HTTP_11, address, preflight).await;
    assert_eq!(reply.status, 200, "a browser sends no credentials with it");
    assert_eq!(
        reply.field("access-control-allow-headers"),
        Some("authorization,if-match,if-none-match")
    );
    assert_eq!(reply.field("access-control-allow-methods"), Some("GET,PUT"));
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_cut_by_the_timeout() {
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
async fn what_is_too_much_is_shed_whether_the_limit_stands_outside_or_inside() {
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
    /// How many requests may be under way, counted outside and inside the `ConditionalLayer`.
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
