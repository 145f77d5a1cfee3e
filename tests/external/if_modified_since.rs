//! Programs that ask by date alone: after a rollback, and after two changes in one
//! second, the content that is there now arrives.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use crate::{
    downloads::apt_options,
    site::{ago, run, said, Site, SMALL},
    support::file_server::content,
};

/// Has a program keep a copy of a file. `update` has it ask once, and returns where the
/// copy is.
async fn keeps_up(
    site: &Site,
    file: impl Fn(&str) -> String,
    version: impl Fn(u64) -> Vec<u8>,
    update: impl AsyncFn(&str) -> PathBuf,
) {
    let is = |copy: &Path, number: u64, case: &str| {
        assert!(fs::read(copy).unwrap() == version(number), "{case}: it keeps other content");
    };
    // It asks by date, and is told that nothing changed.
    let path = file("same");
    site.put(&path, &version(1), ago(3_600, 200));
    for statuses in [[200], [304]] {
        is(&update(&path).await, 1, "unchanged");
        let asked = site.exchanges(&path);
        assert_eq!(asked.iter().map(|one| one.status).collect::<Vec<_>>(), statuses, "{asked:#?}");
        let is_by_date = asked[0].asked("if-modified-since").is_some();
        assert_eq!(is_by_date, statuses == [304], "{asked:#?}");
        assert_eq!(asked[0].asked("if-none-match"), None, "a program that knows tags");
    }
    for (case, old, new) in [
        ("a rollback", ago(3_600, 0), ago(90_000, 0)),
        ("a rollback to a date of the same day", ago(60, 0), ago(120, 0)),
        ("two changes in one second", ago(3_600, 200), ago(3_600, 700)),
        ("the same date", ago(7_200, 700), ago(7_200, 200)),
    ] {
        let path = file(&case.replace(' ', "-"));
        site.put(&path, &version(1), old);
        is(&update(&path).await, 1, case);
        site.put(&path, &version(2), new);
        for _ in 0..3 {
            is(&update(&path).await, 2, case);
            sleep(Duration::from_millis(1_100)).await;
        }
    }
    // As fast as it can, in the seconds in which all this happens.
    let path = file("now");
    for number in 1..12 {
        site.put(&path, &version(number), SystemTime::now());
        is(&update(&path).await, number, "written just now");
        if number % 4 == 0 {
            sleep(Duration::from_millis(1_300)).await;
            is(&update(&path).await, number, "written just now");
        }
    }
}

async fn keeps_a_copy(name: &str, program: impl AsyncFn(&str, &Path)) {
    let site = Site::new(name).await;
    let file = |case: &str| format!("/{case}.bin");
    keeps_up(
        &site,
        file,
        |number| content(number, SMALL),
        async |path| {
            let copy = site.own("out").join(&path[1..]);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            program(&site.url(path), &copy).await;
            copy
        },
    )
    .await;
}

pub(crate) async fn wget_keeps_up_with_any_change() {
    keeps_a_copy("wget", async |url, copy| {
        let folder = copy.parent().unwrap().to_str().unwrap();
        let done = run("wget", &["-nv", "--no-config", "-N", "-P", folder, url]).await;
        assert!(done.status.success(), "{}", said(&done));
    })
    .await;
}

pub(crate) async fn wget2_keeps_up_with_any_change() {
    keeps_a_copy("wget2", async |url, copy| {
        let folder = copy.parent().unwrap().to_str().unwrap();
        let done = run("wget2", &["-nv", "--no-config", "-N", "-P", folder, url]).await;
        assert!(done.status.success(), "{}", said(&done));
    })
    .await;
}

pub(crate) async fn aria2c_keeps_up_with_any_change() {
    keeps_a_copy("aria2c", async |url, copy| {
        let folder = copy.parent().unwrap().to_str().unwrap();
        let name = copy.file_name().unwrap().to_str().unwrap();
        let by_date = ["--conditional-get=true", "--allow-overwrite=true", "--remote-time=true"];
        let rest = ["-q", "--no-conf=true", "-d", folder, "-o", name, url];
        let done = run("aria2c", &[&by_date[..], &rest].concat()).await;
        assert!(done.status.success(), "{}", said(&done));
    })
    .await;
}

pub(crate) async fn curl_keeps_up_with_any_change() {
    keeps_a_copy("curl-z", async |url, copy| {
        let copy = copy.to_str().unwrap();
        let done = run("curl", &["-q", "-sfR", "-z", copy, "-o", copy, url]).await;
        assert!(done.status.success(), "{}", said(&done));
    })
    .await;
}

pub(crate) async fn apt_update_keeps_up_with_any_change() {
    let site = Site::new("apt-update").await;
    let stanza = |number: u64| {
        let text = format!(
            "Package: demo\nVersion: {number:04}\nArchitecture: all\nMaintainer: a <a@b>\n\
             Filename: ./demo.deb\nSize: 1\nSHA256: {number:064}\nDescription: demo\n\n"
        );
        text.into_bytes()
    };
    let file = |case: &str| {
        fs::create_dir_all(site.file(&format!("/{case}"))).unwrap();
        format!("/{case}/Packages")
    };
    keeps_up(&site, file, stanza, async |path| {
        let options = apt_options(&site);
        let list = site.own("apt/etc/sources.list");
        let case = path.split('/').nth(1).unwrap();
        fs::write(list, format!("deb [trusted=yes] {} {case}/\n", site.url("/"))).unwrap();
        let mut arguments: Vec<_> = options.iter().map(String::as_str).collect();
        arguments.extend(["-o", "Acquire::GzipIndexes=false", "-o", "APT::Get::List-Cleanup=0"]);
        arguments.extend(["update", "-q", "--allow-insecure-repositories"]);
        let done = run("apt-get", &arguments).await;
        assert!(done.status.success(), "{}", said(&done));
        let lists = fs::read_dir(site.own("apt/state/lists")).unwrap();
        let mut copies = lists.map(|entry| entry.unwrap().path());
        let is_copy = |copy: &PathBuf| {
            let name = copy.file_name().unwrap().to_str().unwrap();
            name.ends_with("Packages") && name.contains(&format!("_{case}_"))
        };
        copies.find(is_copy).unwrap_or_else(|| panic!("no list: {}", said(&done)))
    })
    .await;
}
