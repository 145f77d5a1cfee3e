//! A manifest of 10,000 files: what it takes at the start and in memory, and how many
//! revalidations are answered, beside `ServeDir` alone.
//!
//! `cargo bench --bench manifest`. All runs in one process and one thread, without
//! connections; rounds of what is compared alternate, and medians are shown.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use std::{
    convert::Infallible,
    env,
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use axum::body::Body;
use http::{
    header::{ETAG, IF_NONE_MATCH},
    HeaderValue, Request, Response, StatusCode,
};
use sha2::{Digest, Sha256};
use tokio::runtime::{self, Runtime};
use tower::{util::BoxCloneService, Layer, ServiceExt};
use tower_conditional::{ConditionalLayer, InnerTags, Manifest};
use tower_http::services::ServeDir;

fn main() {
    let folder = env::temp_dir().join(format!("tower-conditional-manifest-{}", std::process::id()));
    write_files(&folder);
    measure(&folder);
    fs::remove_dir_all(&folder).unwrap();
}

/// Writes the files, in folders of 100, and a list of them.
fn write_files(folder: &Path) {
    let (mut list, long_ago) = (String::new(), SystemTime::now() - Duration::from_secs(86_400));
    for number in 0..FILES {
        let (name, content) = (name(number), format!("{number:BYTES$}"));
        let path = folder.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &content).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        let hash = Sha256::digest(content);
        hash.iter().for_each(|byte| write!(list, "{byte:02x}").unwrap());
        writeln!(list, "  {name}").unwrap();
    }
    fs::write(folder.join("SHA256SUMS"), list).unwrap();
}

fn name(number: usize) -> String {
    format!("assets/{:02}/file-{number:05}.js", number / 100)
}

fn measure(folder: &Path) {
    println!("{FILES} files of {BYTES} bytes");
    let read = || Manifest::read(folder.join("SHA256SUMS")).unwrap();
    timed("read the list", &read);
    timed("read and check", &|| read().check(folder).unwrap());
    timed("read and verify", &|| read().verify(folder).unwrap());
    let checked = read().check(folder).unwrap();
    let replaces = || InnerTags::replace().manifest(checked.clone());
    timed("make a layer of it", &|| ConditionalLayer::new().inner_tags(replaces()));
    let mut layer = None;
    let with = allocation_counter::measure(|| {
        let manifest = read().check(folder).unwrap();
        let inner_tags = InnerTags::replace().manifest(manifest);
        layer = Some(ConditionalLayer::new().inner_tags(inner_tags));
    });
    let without = allocation_counter::measure(|| {
        std::mem::forget(ConditionalLayer::new().inner_tags(InnerTags::replace()));
    });
    let bytes = with.bytes_current - without.bytes_current;
    println!("{:<22} {:>9} bytes a file", "memory", bytes / FILES as i64);
    revalidate(folder, &layer.unwrap());
}

fn timed<T>(what: &str, run: &dyn Fn() -> T) {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        let result = run();
        let time = start.elapsed();
        drop(result);
        time.as_secs_f64() * 1e3
    });
    println!("{what:<22} {:>9.1} ms", median(times.collect()));
}

/// A service, and the tag of each file that it gives.
struct Case {
    name: &'static str,
    service: BoxCloneService<Request<Body>, Response<Body>, Infallible>,
    tags: Vec<HeaderValue>,
    rates: Vec<f64>,
}

impl Case {
    fn new<S, B>(name: &'static str, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: http_body::Body<Data = bytes::Bytes, Error: Into<tower::BoxError>> + Send + 'static,
    {
        let service = service.map_response(|response| response.map(Body::new));
        Self { name, service: BoxCloneService::new(service), tags: Vec::new(), rates: Vec::new() }
    }

    fn ask(&self, runtime: &Runtime, number: usize) -> Response<Body> {
        let mut request = Request::get(format!("/{}", name(number)));
        if let Some(tag) = self.tags.get(number) {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Body::empty()).unwrap();
        runtime.block_on(self.service.clone().oneshot(request)).unwrap()
    }

    /// Asks once for each file, and notes the rate.
    fn round(&mut self, runtime: &Runtime) {
        let start = Instant::now();
        for number in 0..FILES {
            assert_eq!(self.ask(runtime, number).status(), StatusCode::NOT_MODIFIED);
        }
        self.rates.push(FILES as f64 / start.elapsed().as_secs_f64());
    }
}

fn revalidate(folder: &Path, layer: &ConditionalLayer) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut cases = [
        Case::new("ServeDir alone", ServeDir::new(folder)),
        Case::new("with the manifest", layer.layer(ServeDir::new(folder))),
    ];
    for case in &mut cases {
        let tags = (0..FILES).map(|number| case.ask(&runtime, number).headers()[ETAG].clone());
        case.tags = tags.collect();
    }
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(|case| case.round(&runtime));
    }
    for case in cases {
        println!("{:<22} {:>9.0} answers 304 a second", case.name, median(case.rates));
    }
    println!("{:<22} {:>9}", "bytes hashed", layer.stats().bytes_hashed);
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

const FILES: usize = 10_000;
const BYTES: usize = 4_096;
const ROUNDS: usize = 5;
