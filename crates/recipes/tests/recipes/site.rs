//! The files of a site, on several servers.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use super::{
    page::assert_shown,
    support::{assert_conforms, assert_revalidates, Server},
};

#[path = "../../examples/site.rs"]
#[allow(dead_code, unreachable_pub)]
mod program;

/// The files of one server.
struct Dist(PathBuf);

impl Dist {
    fn new(page: &str, hours: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dist =
            Self(env::temp_dir().join(format!("dist_{}_{number}", process::id())));
        fs::create_dir_all(dist.0.join("assets")).unwrap();
        dist.write("index.html", page.as_bytes(), hours);
        dist.write("assets/app-5f2a.js", b"start();", hours);
        let film: Vec<_> =
            (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        dist.write("film.bin", &film, hours);
        dist
    }

    fn write(&self, name: &str, content: &[u8], hours: u64) {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        let date = SystemTime::now() - Duration::from_secs(3600 * hours);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(date)
            .unwrap();
    }

    async fn serve(&self) -> Server {
        Server::new(program::app(Path::new(&self.0))).await
    }
}

impl Drop for Dist {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[tokio::test]
async fn site_has_the_same_tags_on_each_server() {
    let mut tags = Vec::new();
    for hours in [1, 50, 900] {
        let dist = Dist::new("<h1>One</h1>", hours);
        let server = dist.serve().await;
        assert_revalidates(&server, "/", &[]).await;
        assert_revalidates(&server, "/assets/app-5f2a.js", &[]).await;
        // What is larger than 1 MiB has its tag when it was sent once.
        server.get("/film.bin", &[]).await;
        assert_revalidates(&server, "/film.bin", &[]).await;
        let mut found = Vec::new();
        for path in ["/", "/film.bin", "/assets/app-5f2a.js"] {
            found.push(server.get(path, &[]).await.tag().to_owned());
        }
        tags.push(found);
    }
    assert_eq!((&tags[0], &tags[0]), (&tags[1], &tags[2]));
}

#[tokio::test]
async fn site_shows_a_deploy_at_once() {
    let dist = Dist::new("<h1>One</h1>", 900);
    let server = dist.serve().await;
    let old = server.get("/", &[]).await;
    assert_eq!(old.field("cache-control"), "no-cache");
    dist.write("index.html", b"<h1>Two</h1>", 1);
    let new = server.get("/", &[("if-none-match", old.tag())]).await;
    assert_eq!((new.status, new.text()), (200, "<h1>Two</h1>"));
    // A rollback, with the date that it had.
    dist.write("index.html", b"<h1>One</h1>", 900);
    let back = server.get("/", &[("if-none-match", new.tag())]).await;
    assert_eq!((back.status, back.text()), (200, "<h1>One</h1>"));
}

#[tokio::test]
async fn site_says_how_long_each_file_is_good() {
    let dist = Dist::new("<h1>One</h1>", 900);
    let server = dist.serve().await;
    let forever = "public, max-age=31536000, immutable";
    for (path, status, content, freshness) in [
        ("/", 200, "<h1>One</h1>", "no-cache"),
        ("/some/route", 200, "<h1>One</h1>", "no-cache"),
        ("/assets/app-5f2a.js", 200, "start();", forever),
        ("/assets/app-0000.js", 404, "", ""),
    ] {
        let reply = server.get(path, &[]).await;
        assert_eq!((reply.status, reply.text()), (status, content), "{path}");
        assert_eq!(reply.field("cache-control"), freshness, "{path}");
        if status == 200 {
            let again = server.get(path, &[("if-none-match", reply.tag())]).await;
            assert_eq!(again.field("cache-control"), freshness, "the 304 of {path}");
        }
    }
}

#[tokio::test]
async fn site_resumes_a_download_on_another_server() {
    let (one, two) = (Dist::new("", 1), Dist::new("", 50));
    let (one, two) = (one.serve().await, two.serve().await);
    for server in [&one, &two] {
        server.get("/film.bin", &[]).await;
    }
    let whole = one.get("/film.bin", &[]).await;
    let range = ("range", "bytes=2000000-");
    let rest = two.get("/film.bin", &[range, ("if-range", whole.tag())]).await;
    assert_eq!((rest.status, rest.tag()), (206, whole.tag()));
    assert_eq!(rest.content, whole.content[2_000_000..]);
    let other = two.get("/film.bin", &[range, ("if-range", "\"other\"")]).await;
    assert_eq!((other.status, other.content.len()), (200, whole.content.len()));
}

#[tokio::test]
async fn site_conforms() {
    let dist = Dist::new("<h1>One</h1>", 900);
    let server = dist.serve().await;
    assert_shown(&server, "Files on three servers").await;
    for path in ["/index.html", "/assets/app-5f2a.js"] {
        let check = server.check(path).error_at("/assets/app-0000.js");
        assert_conforms(&check.await, &[]);
    }
}
