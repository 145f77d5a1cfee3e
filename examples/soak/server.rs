//! A server that uses most settings of the layers. Each response has its version in
//! `x-version`.

use std::{
    convert::Infallible,
    future::ready,
    sync::{atomic::Ordering::SeqCst, Arc},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{OriginalUri, Path, State},
    response::{IntoResponse, Response},
    routing::get,
    Router,
};
use bytes::Bytes;
use futures_util::stream;
use http::{
    header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE},
    request::Parts,
    HeaderMap, StatusCode, Uri,
};
use tokio::time::sleep;
use tower_conditional::{ConditionalLayer, EntityTag, InnerTags, Manifest, PreconditionLayer};
use tower_http::compression::CompressionLayer;

use crate::world::{content, count, World, LARGE, LINE, RESOURCES};

#[path = "../../tests/support/guarded.rs"]
#[allow(dead_code)]
mod guarded;

type Truth = State<Arc<World>>;

pub(crate) fn app(world: &Arc<World>) -> Router {
    let layer = ConditionalLayer::new;
    let compressing = || CompressionLayer::new();
    let learning = layer().inner_tags(InnerTags::learn()).ranges(true);
    let replacing = layer().inner_tags(InnerTags::replace()).repr_digest(true);
    let listed = layer().inner_tags(InnerTags::replace().manifest(manifest()));
    let truth = Arc::clone(world);
    let source = PreconditionLayer::new(move |parts: &Parts| ready(number_tag(&truth, parts)));
    let coding = layer().ranges(true).repr_digest(true).compress_with(compressing());
    let notes = Router::new()
        .route("/note/{place}", get(note::<0>).put(edit::<0>))
        .layer(layer().compress_with(compressing()))
        .with_state(Arc::clone(world));
    Router::new()
        .route("/small/{place}", get(small).post(change))
        .route("/stream/{place}", get(streamed))
        .layer(layer())
        .route("/coded/{place}", get(small).layer(coding))
        .route("/digest/{place}", get(streamed).layer(layer().repr_digest(true)))
        .route("/large/{place}", get(large).layer(learning))
        .route("/replaced/{place}", get(file).layer(replacing))
        .route("/listed/{place}", get(listed_file).layer(listed))
        .route("/source/{place}", get(note::<1>).put(edit::<1>).layer(source))
        .with_state(Arc::clone(world))
        .fallback_service(guarded::boxed(guarded::guarded(notes)))
}

/// Returns the tag of a note behind a `PreconditionLayer`. The tag is made from the
/// version of the note.
fn number_tag(world: &World, parts: &Parts) -> EntityTag {
    let place: usize = parts.uri.path().rsplit('/').next().unwrap().parse().unwrap();
    EntityTag::of_parts([world.notes[1][place].load(SeqCst).to_string()])
}

/// The hashes of the listed files, which never change.
fn manifest() -> Manifest {
    let hash = |place: usize| {
        let tag = EntityTag::of(&listed_content(place));
        let hex = std::str::from_utf8(tag.opaque()).unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        (format!("listed/{place}"), std::array::from_fn(byte))
    };
    Manifest::from_pairs((0..RESOURCES).map(hash)).unwrap()
}

pub(crate) fn listed_content(place: usize) -> Vec<u8> {
    content(&format!("/listed/{place}"), 0, LARGE)
}

fn with_version(version: u64, response: impl IntoResponse) -> Response {
    ([("x-version", version.to_string())], [(CONTENT_TYPE, "text/plain")], response).into_response()
}

async fn small(
    State(world): Truth,
    Path(place): Path<usize>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let version = world.version(place);
    with_version(version, content(uri.path(), version, 1000 << (place % 8)))
}

async fn streamed(
    State(world): Truth,
    Path(place): Path<usize>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let version = world.version(place);
    let part = Bytes::from(content(uri.path(), version, LINE * 10));
    let frames = stream::unfold(0, move |sent| {
        let part = part.clone();
        async move {
            // Half of the streams pause. The layer cannot read these streams to the end
            // before it sends them.
            if sent == 5 && place % 2 == 0 {
                sleep(Duration::from_millis(5)).await;
            }
            (sent < 20).then_some((Ok::<_, Infallible>(part), sent + 1))
        }
    });
    with_version(version, Body::from_stream(frames))
}

async fn large(
    State(world): Truth,
    Path(place): Path<usize>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let version = world.version(place);
    with_version(version, ([(ETAG, inner_tag(version))], content(uri.path(), version, LARGE)))
}

/// Answers like a file server, with tags and ranges of its own.
async fn file(
    State(world): Truth,
    Path(place): Path<usize>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let version = world.version(place);
    let (tag, mut whole) = (inner_tag(version), content(uri.path(), version, LARGE));
    let accepts = [(ACCEPT_RANGES, "bytes")];
    let is_same = headers.get(IF_RANGE).is_none_or(|asked| *asked == tag);
    let range = headers.get(RANGE).filter(|_| is_same).and_then(|range| range.to_str().ok());
    let start = range
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let Some(start) = start.filter(|start| *start < LARGE) else {
        return with_version(version, ([(ETAG, tag)], accepts, whole));
    };
    let range = format!("bytes {start}-{}/{LARGE}", LARGE - 1);
    let part = whole.split_off(start);
    with_version(
        version,
        (StatusCode::PARTIAL_CONTENT, [(ETAG, tag), (CONTENT_RANGE, range)], accepts, part),
    )
}

fn inner_tag(version: u64) -> String {
    EntityTag::strong(format!("v{version}")).unwrap().to_string()
}

async fn listed_file(Path(place): Path<usize>) -> Response {
    with_version(0, ([(ETAG, "\"build\"")], listed_content(place)))
}

async fn change(State(world): Truth, Path(place): Path<usize>) {
    world.change(place);
}

async fn note<const KIND: usize>(
    State(world): Truth,
    Path(place): Path<usize>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let version = world.notes[KIND][place].load(SeqCst);
    with_version(version, content(uri.path(), version, 2_000))
}

/// Records an edit. The edit is right if it is based on the current version, and if all
/// of its content has arrived.
async fn edit<const KIND: usize>(
    State(world): Truth,
    Path(place): Path<usize>,
    uri: Uri,
    headers: HeaderMap,
    content: String,
) -> StatusCode {
    let based_on = headers["x-version"].to_str().unwrap().parse().unwrap();
    let note = &world.notes[KIND][place];
    let is_next = note.compare_exchange(based_on, based_on + 1, SeqCst, SeqCst).is_ok();
    let is_whole = content == "edited";
    world.tally.right(is_next, || format!("{uri}: an edit of {based_on} that is old"));
    world.tally.right(is_whole, || format!("{uri}: an edit of which a part came"));
    count(&world.tally.edits);
    StatusCode::NO_CONTENT
}
