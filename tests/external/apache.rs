//! Apache httpd as a cache in front, with HTTP/2 to the application.

use std::{fs, process::Command, time::Duration};

use http::Version;

use crate::{
    site::{ago, Daemon, Site, SMALL},
    support::{
        file_server::content,
        peer::{ask, get_of},
        port::free_port,
        wire::within,
    },
};

const MODULES: &str = "/usr/lib/apache2/modules";

pub(crate) async fn apache_over_http2_takes_each_304() {
    let site = Site::new("apache").await;
    let (origin, port) = (site.over_http2().await, free_port());
    let (cache, home) = (site.own("cache"), site.own(""));
    fs::create_dir_all(&cache).unwrap();
    open(&[&home, &cache]);
    let home = home.to_str().unwrap().trim_end_matches('/').to_owned();
    let modules: String =
        ["mpm_event", "authz_core", "proxy", "proxy_http2", "cache", "cache_disk"]
            .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
            .concat();
    let configuration = format!(
        "{modules}
        ServerRoot {home}
        ServerName localhost
        DefaultRuntimeDir {home}
        Listen 127.0.0.1:{port}
        PidFile {home}/apache.pid
        ErrorLog {home}/error.log
        LogLevel warn cache:debug cache_disk:debug
        User www-data
        Group www-data
        StartServers 1
        CacheRoot {home}/cache
        CacheEnable disk /
        CacheHeader on
        ProxyPass / h2c://{origin}/
        "
    );
    fs::write(site.own("apache.conf"), configuration).unwrap();
    let mut command = Command::new("apache2");
    command.args(["-d", &home, "-f", &format!("{home}/apache.conf"), "-DFOREGROUND"]);
    let log = site.own("error.log");
    let _apache = Daemon::start(command, port, &log).await;

    let path = "/file.bin";
    let (mut asked, mut written) = (0, 0);
    for (version, age) in [(1, 3_600), (2, 60), (3, 90_000)] {
        site.put(path, &content(version, SMALL), ago(age, 0));
        let cached = if version == 1 { "MISS" } else { "REVALIDATE" };
        for (round, cached) in [cached, "REVALIDATE", "REVALIDATE"].into_iter().enumerate() {
            let ask_again = get_of(path, &[("cache-control", "max-age=0")]);
            let reply = ask(Version::HTTP_11, ([127, 0, 0, 1], port).into(), ask_again).await;
            let said = site.exchanges(path);
            let case = format!("{version} {round}: {said:#?} {:#?}", reply.headers);
            assert_eq!(reply.status, 200, "{case}");
            assert!(reply.content == content(version, SMALL), "{case}");
            assert_eq!(reply.field("content-length"), Some("40000"), "{case}");
            written += 1;
            let is_written = || {
                // It logs "commit_entity: Headers and body for URL .. cached."
                fs::read_to_string(&log).unwrap().matches("AH00737").count() >= written
            };
            within(async {
                while !is_written() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
            // One request each, and a 304 where nothing changed.
            let [exchange] = &said[..] else { panic!("{case}") };
            assert_eq!(exchange.status, if round == 0 { 200 } else { 304 }, "{case}");
            if round > 0 {
                asked += usize::from(exchange.asked("if-none-match").is_some());
                assert!(reply.field("x-cache").unwrap().starts_with(cached), "{case}");
            }
        }
    }
    assert_eq!(asked, 6);
    let log = fs::read_to_string(log).unwrap();
    // "contradiction: 304 Not Modified; but Content-Length modified".
    assert!(!log.contains("AH02473"), "a 304 was thrown away:\n{log}");
}

/// Lets the user that a daemon becomes write there.
pub(crate) fn open(folders: &[&std::path::Path]) {
    use std::os::unix::fs::PermissionsExt;
    for folder in folders {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }
}
