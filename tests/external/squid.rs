//! Squid as a cache in front: what its clients put together is of one version.

use std::{fs, net::SocketAddr, process::Command};

use http::Version;

use crate::{
    apache::open,
    site::{ago, Daemon, Site, LARGE, SMALL},
    support::{
        file_server::content,
        peer::{ask, get_of},
        port::free_port,
        slow_peer::leave,
    },
};

pub(crate) async fn squid_never_puts_two_versions_together() {
    let site = Site::new("squid").await;
    let port = free_port();
    let home = site.own("squid");
    fs::create_dir_all(&home).unwrap();
    open(&[&home]);
    let (folder, origin) = (home.display(), site.address().port());
    let configuration = format!(
        "http_port 127.0.0.1:{port} accel defaultsite=localhost no-vhost
cache_peer 127.0.0.1 parent {origin} 0 no-query no-digest originserver
http_access allow all
cache_mem 64 MB
maximum_object_size_in_memory 16 MB
refresh_pattern . 0 0% 0
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/squid.pid
netdb_filename none
coredump_dir {folder}
shutdown_lifetime 0 seconds
pinger_enable off
visible_hostname localhost
"
    );
    fs::write(home.join("squid.conf"), configuration).unwrap();
    let mut command = Command::new("squid");
    command.arg("-N").arg("-f").arg(home.join("squid.conf"));
    let _squid = Daemon::start(command, port, &home.join("cache.log")).await;
    let squid = SocketAddr::from(([127, 0, 0, 1], port));

    let mut parts = 0;
    for length in [SMALL, LARGE] {
        for is_stored in [false, true] {
            for (case, age) in [("unchanged", None), ("newer", Some(60)), ("older", Some(90_000))] {
                for by in ["etag", "last-modified"] {
                    let path = &format!("/{length}-{is_stored}-{case}-{by}.bin");
                    let case = format!("{path} by {by}");
                    let [one, two] = [1, 2].map(|version| content(version, length));
                    site.put(path, &one, ago(3_600, 200));
                    if is_stored {
                        let reply = ask(Version::HTTP_11, squid, get_of(path, &[])).await;
                        assert!(reply.content == one, "{case}");
                    }
                    let cut = leave(Version::HTTP_11, squid, path, length / 3).await;
                    assert!(one.starts_with(&cut.content) && !cut.content.is_empty(), "{case}");
                    let held = cut.field(by).unwrap().to_owned();
                    if let Some(age) = age {
                        site.put(path, &two, ago(age, 700));
                    }
                    let now = if age.is_some() { &two } else { &one };

                    let range = format!("bytes={}-", cut.content.len());
                    let fields = [("range", &*range), ("if-range", &*held)];
                    let mut rest = ask(Version::HTTP_11, squid, get_of(path, &fields)).await;
                    if rest.status == 503 {
                        // The layer saw the change too late to send the whole.
                        assert_eq!(rest.field("retry-after"), Some("1"), "{case}");
                        rest = ask(Version::HTTP_11, squid, get_of(path, &fields)).await;
                    }
                    match rest.status {
                        206 => {
                            parts += 1;
                            let glued = [&cut.content[..], &rest.content].concat();
                            assert!(glued == one, "{case}: two versions under one validator");
                        }
                        200 => assert!(rest.content == *now, "{case}"),
                        status => panic!("{case}: {status}"),
                    }
                    // What Squid keeps of all that is one version, too.
                    for _ in 0..2 {
                        let whole = ask(Version::HTTP_11, squid, get_of(path, &[])).await;
                        assert_eq!(whole.status, 200, "{case}");
                        assert!(whole.content == *now, "{case}: not what is there");
                    }
                }
            }
        }
    }
    assert!(parts >= 4, "{parts} parts: the test asks what can be resumed");
}
