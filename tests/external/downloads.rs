//! Downloads that break off and are resumed by pip, apt and curl: a file that was
//! replaced in between is never put together with what was there before.

use std::{fs, path::PathBuf, time::SystemTime};

use libtest_mimic::Completion;

use crate::{
    site::{ago, assert_is, replace, run, Site, LARGE},
    support::{
        file_server::content,
        pip::{Pip, PAGE, WHEEL},
    },
};

/// What happens to the file when the download breaks off.
const CHANGES: [(&str, bool, u64); 4] = [
    ("unchanged", false, 0),
    ("newer", true, 60),
    ("older, as after a rollback", true, 90_000),
    ("of the same second", true, 3_600),
];

/// How far a download comes.
const CUT: usize = 1_500_000;

/// Breaks a download off and has the program go on. `versions` are of one size;
/// `download` returns where the program put what it got, if it says that all went well.
async fn resumes(
    site: &Site,
    path: &str,
    versions: [Vec<u8>; 2],
    download: impl AsyncFn() -> Option<PathBuf>,
) {
    for (case, changes, age) in CHANGES {
        let [one, two] = versions.clone();
        let expected = if changes { two.clone() } else { one.clone() };
        site.put(path, &one, ago(3_600, 200));
        let (file, modified) = (site.file(path), ago(age, 700));
        site.cut(path, CUT, move || {
            if changes {
                replace(&file, &two, modified);
            }
        });
        let mut done = download().await;
        let exchanges = site.exchanges(path);
        // It took up where the download broke off, and asked for its version.
        let resumed = exchanges.iter().find(|exchange| exchange.asked("range").is_some());
        let resumed = resumed.unwrap_or_else(|| panic!("{case}: not resumed: {exchanges:#?}"));
        assert!(resumed.asked("if-range").is_some(), "{case}: {exchanges:#?}");
        match (resumed.status, changes) {
            (206, false) | (200, true) => {}
            // The layer saw the change too late to send the whole. apt takes that for
            // final.
            (503, true) if done.is_none() => done = download().await,
            (503, true) => {}
            _ => panic!("{case}: {exchanges:#?}"),
        }
        let got = done.unwrap_or_else(|| panic!("{case}: it failed: {exchanges:#?}"));
        assert!(fs::read(&got).unwrap() == expected, "{case}: corrupt");
        fs::remove_file(got).unwrap();
    }
}

pub(crate) async fn pip_resumes_a_wheel_and_never_with_another_version() -> Completion {
    let pip = match Pip::find().await {
        Ok(pip) => pip,
        Err(reason) => return Completion::ignored_with(reason),
    };
    let site = Site::new("pip").await;
    let path = format!("/{WHEEL}");
    site.put("/index.html", PAGE.as_bytes(), ago(3_600, 0));
    let mut wheels = Vec::new();
    for seed in [1, 2] {
        let made = site.own(&format!("wheel-{seed}"));
        Pip::make_wheel(&made, 4 << 20, seed).await;
        wheels.push(fs::read(made).unwrap());
    }
    let wheels: [Vec<u8>; 2] = wheels.try_into().unwrap();
    assert_eq!(wheels[0].len(), wheels[1].len());

    let (page, folder) = (site.url("/index.html"), site.own("out"));
    resumes(&site, &path, wheels, async || {
        pip.download(&page, "3", &folder).await.then(|| folder.join(WHEEL))
    })
    .await;
    Completion::Completed
}

pub(crate) async fn apt_resumes_a_download_and_never_with_another_version() {
    let site = Site::new("apt").await;
    let path = "/glue.deb";
    let (url, file) = (site.url(path), site.own("out/glue.deb"));
    let options = apt_options(&site);
    let mut arguments: Vec<_> = options.iter().map(String::as_str).collect();
    arguments.extend(["-o", "Acquire::Retries=3", "-o", "Acquire::Retries::Delay=false"]);
    arguments.extend(["download-file", &url, file.to_str().unwrap()]);
    resumes(&site, path, [content(1, LARGE), content(2, LARGE)], async || {
        let done = run("/usr/lib/apt/apt-helper", &arguments).await;
        done.status.success().then(|| file.clone())
    })
    .await;
}

/// Keeps apt away from the machine's own settings and lists.
pub(crate) fn apt_options(site: &Site) -> Vec<String> {
    for folder in ["etc/apt.conf.d", "state/lists/partial", "cache/archives/partial", "log"] {
        fs::create_dir_all(site.own("apt").join(folder)).unwrap();
    }
    let home = site.own("apt");
    let home = home.display();
    [
        format!("Dir::Etc={home}/etc"),
        format!("Dir::State={home}/state"),
        format!("Dir::State::Status={home}/state/status"),
        format!("Dir::Cache={home}/cache"),
        format!("Dir::Log={home}/log"),
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::http::Proxy=DIRECT".to_owned(),
        "Acquire::Languages=none".to_owned(),
    ]
    .into_iter()
    .flat_map(|option| ["-o".to_owned(), option])
    .collect()
}

pub(crate) async fn curl_takes_parts_by_if_range_of_one_version_alone() {
    let site = Site::new("curl-parts").await;
    let (path, file) = ("/file.bin", site.own("out/part"));
    let url = site.url(path);
    for (case, changes, age) in CHANGES {
        site.put(path, &content(1, LARGE), ago(3_600, 200));
        let head = run("curl", &["-sfI", &url]).await;
        let head = String::from_utf8(head.stdout).unwrap();
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let is_validator = |name: &str| ["etag", "last-modified"].contains(&name);
        let validators: Vec<_> = fields.filter(|(name, _)| is_validator(name)).collect();
        assert!(!validators.is_empty(), "{head}");
        if changes {
            site.put(path, &content(2, LARGE), ago(age, 700));
        }
        for (_, validator) in validators {
            let condition = format!("If-Range: {validator}");
            let output = file.to_str().unwrap();
            let range = format!("{CUT}-");
            let ask = ["-s", "-r", &range, "-H", &condition, "-o", output, "-w", "%{http_code}"];
            let ask = [&ask[..], &[&url]].concat();
            let mut done = run("curl", &ask).await;
            if done.stdout == b"503" {
                // The layer saw the change too late to send the whole.
                done = run("curl", &ask).await;
            }
            let (status, got) = (String::from_utf8(done.stdout).unwrap(), fs::read(&file).unwrap());
            match (&*status, changes) {
                ("206", false) => assert!(got == content(1, LARGE)[CUT..], "{case} {condition}"),
                ("200", true) => assert_is(&file, 2, &format!("{case} {condition}")),
                _ => panic!("{case} {condition}: {status}"),
            }
        }
        site.put(path, &content(3, LARGE), SystemTime::now());
        let _ = run("curl", &["-sf", "-o", "/dev/null", &url]).await;
    }
}
