//! Compares the time of requests with and without a store, for a small and a large
//! file. Prints medians of 15 pairs of 1,000 requests each. If `REDIS_URL` is not set,
//! the store has an address at which no Redis listens.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use std::{
    env, fs,
    time::{Duration, Instant, UNIX_EPOCH},
};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_conditional::{
    conditional::Conditional, ConditionalLayer, EntityTag, InnerTags, SharedTags,
};
use tower_conditional_redis::RedisTags;
use tower_http::services::ServeDir;

const PAIRS: usize = 15;
const REQUESTS: usize = 1_000;

#[tokio::main]
async fn main() {
    let folder = env::temp_dir().join(format!("store-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let large = vec![b'x'; 2 << 20];
    for (name, content) in [("small", &large[..1_000]), ("large", &large)] {
        fs::write(folder.join(name), content).unwrap();
        let file = fs::File::options().write(true).open(folder.join(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1 << 30)).unwrap();
    }
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:1/".to_owned());
    let secret = "a secret of 32 bytes and not less";
    let shared = || SharedTags::new("bench", secret, RedisTags::connect(&url).unwrap()).unwrap();
    let layer = |tags| ConditionalLayer::new().inner_tags(tags).layer(ServeDir::new(&folder));
    let tag = EntityTag::of(&large).to_string();
    for (what, uri, tag) in [
        ("200 of 1,000 bytes", "/small", None),
        ("304 of 1,000 bytes", "/small", Some(EntityTag::of(&large[..1_000]).to_string())),
        ("304 of 2 MiB", "/large", Some(tag)),
    ] {
        let (with, without) =
            (layer(InnerTags::replace().store(shared())), layer(InnerTags::replace()));
        let (mut times, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
        for pair in 0..=PAIRS {
            let mut requests = [Vec::new(), Vec::new()];
            // Alternate the requests, so that other load on the machine slows down
            // both alike.
            for request in 0..2 * REQUESTS {
                let which = (request + pair) % 2;
                let service = if which == 0 { &with } else { &without };
                requests[which].push(time(service, uri, tag.as_deref()).await);
            }
            let [a, b] = requests.map(median);
            // The first pair warms up.
            if pair > 0 {
                times[0].push(a);
                times[1].push(b);
                ratios.push(a / b);
            }
        }
        let [with, without] = times.map(median);
        let ratio = median(ratios);
        println!("{what}: {with:.2} us with a store, {without:.2} us without; ratio {ratio:.3}");
    }
    let _ = fs::remove_dir_all(&folder);
}

/// Returns how long a request takes, in microseconds.
async fn time(service: &Conditional<ServeDir>, uri: &str, tag: Option<&str>) -> f64 {
    let request = Request::get(uri).header("host", "files");
    let request = match tag {
        Some(tag) => request.header("if-none-match", tag),
        None => request,
    };
    let request = request.body(Body::empty()).unwrap();
    let start = Instant::now();
    let response = service.clone().oneshot(request).await.unwrap();
    let _ = response.into_body().collect().await.unwrap();
    start.elapsed().as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
