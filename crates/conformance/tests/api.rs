//! The public items, the traits they have, and what each setting takes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    convert::Infallible,
    fmt::{Debug, Display},
    future::IntoFuture,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use http::{header::ETAG, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::{service_fn, Layer};
use tower_conditional::ConditionalLayer;
use tower_conditional_conformance::{
    check, check_with, Check, Content, Finding, Report, Severity, Verdict,
};

/// Compiles if the type has the traits.
macro_rules! has {
    ($type:ty: $($traits:tt)+) => {{
        fn has<T: $($traits)+>() {}
        has::<$type>();
    }};
}

async fn abc(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("abc")))
}

#[test]
fn a_report_has_the_traits_of_a_value() {
    has!(Report: Send + Sync + Unpin + Clone + Debug + Display);
    has!(Finding: Send + Sync + Unpin + Clone + Debug + Display);
    has!(Severity: Send + Sync + Unpin + Copy + Debug + Display + Eq);
    has!(Verdict: Send + Sync + Unpin + Clone + Debug + Eq);
    has!(&'static Report: IntoIterator<Item = &'static Finding>);
    has!(Check<'static>: Debug + IntoFuture<Output = Report>);
    has!(Content: Send + Sync + Unpin + Clone + Debug + Default + 'static);
    has!(Content: From<Bytes> + Into<Bytes>);
    has!(Content: Body<Data = Bytes, Error = Infallible>);
}

#[tokio::test]
async fn every_setting_of_a_check_takes_what_it_says() {
    let service = || service_fn(|request: Request<Content>| abc(request.map(drop)));
    let mut changed = 0;
    let report = check(ConditionalLayer::new().layer(service()), "/")
        .header("cookie", "a=b")
        .without("head")
        .changes(async || changed += 1)
        .writes(Request::put("/").body("new").unwrap())
        .encodings(["gzip"])
        .error_at("/missing")
        .also("it has a tag", Request::get("/").body("").unwrap(), |head| {
            head.headers.contains_key(ETAG)
        })
        .timeout(Duration::from_secs(9))
        .await;
    assert!(report
        .iter()
        .any(|finding| finding.name() == "it has a tag" && *finding.verdict() == Verdict::Passed));
    // The service knows no writes, and takes them for reads.
    assert!(
        report.failures().any(|finding| finding.name() == "write/if-match-miss") && !report.is_ok(),
        "{report}"
    );
    assert!(changed > 0);

    let local = Rc::new(());
    let borrowing = service_fn(|_: Request<()>| {
        let _ = &local;
        abc(Request::new(()))
    });
    let report =
        check_with(ConditionalLayer::new().layer(borrowing), http::Uri::from_static("/"), drop)
            .without("head");
    report.await.assert_ok();
}
