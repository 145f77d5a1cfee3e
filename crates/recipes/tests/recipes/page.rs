//! The page shows these programs, whole, and what `curl` prints of them.

use std::{fs, path::Path};

use super::support::Server;

const PAGE: &str = include_str!("../../../../src/guide/recipes.md");

/// The programs in the order of the page.
const PROGRAMS: [&str; 18] = [
    "examples/notes/main.rs",
    "examples/notes/store.rs",
    "examples/report.rs",
    "examples/compression.rs",
    "examples/sessions.rs",
    "examples/site.rs",
    "examples/scripts.rs",
    "examples/events.rs",
    "examples/plain_hyper.rs",
    "examples/reverse_proxy.rs",
    "examples/grpc.rs",
    "examples/whole_router.rs",
    "examples/response_cache.rs",
    "examples/client_cache.rs",
    "examples/behind_cdn.rs",
    "tests/unit.rs",
    "tests/ci.rs",
    "examples/metrics.rs",
];

#[test]
fn page_shows_each_program_whole() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown =
        PAGE.split("```").filter_map(|block| block.strip_prefix("rust,ignore\n"));
    let shown: Vec<_> = shown.collect();
    assert_eq!(shown.len(), PROGRAMS.len());
    for (shown, path) in shown.iter().zip(PROGRAMS) {
        let program = fs::read_to_string(package.join(path)).unwrap();
        assert_eq!(
            **shown, program,
            "src/guide/recipes.md does not show {path} as it is"
        );
    }
    for file in fs::read_dir(package.join("examples")).unwrap() {
        let path = format!("examples/{}", file.unwrap().file_name().to_str().unwrap());
        assert!(
            PROGRAMS.iter().any(|shown| shown.starts_with(&path)),
            "{path} is not shown"
        );
    }
}

#[test]
fn page_shows_the_dependencies() {
    let package = include_str!("../../Cargo.toml")
        .replace("path = \"../..\"", "version = \"0.1\"");
    let start = package.find("[dependencies]").unwrap();
    let block =
        PAGE.split("```").find_map(|block| block.strip_prefix("toml\n")).unwrap();
    assert!(package[start..].starts_with(block.trim_end()), "{block}");
}

/// Sends what the page shows under a heading, and expects at least the lines shown.
pub(crate) async fn assert_shown(server: &Server, heading: &str) {
    let section =
        PAGE.split("\n## ").find(|section| section.lines().next() == Some(heading));
    let blocks = section
        .unwrap()
        .split("```")
        .filter_map(|block| block.strip_prefix("console\n"));
    let commands: Vec<_> =
        blocks.flat_map(|block| block.split("$ curl ").skip(1)).collect();
    assert!(!commands.is_empty(), "{heading} shows nothing");
    for shown in commands {
        let mut lines = shown.lines();
        let (method, path, fields, content) = parsed(lines.next().unwrap());
        let fields: Vec<_> =
            fields.iter().map(|field| field.split_once(": ").unwrap()).collect();
        let reply = server.ask(method, &path, &fields, &content).await;
        let status = http::StatusCode::from_u16(reply.status).unwrap();
        assert_eq!(lines.next(), Some(&*format!("HTTP/1.1 {status}")), "{shown}");
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            assert_eq!(reply.field(name), value, "{shown}");
        }
    }
}

/// Takes a command of curl's apart: method, path, header fields, content.
fn parsed(command: &str) -> (&str, String, Vec<&str>, String) {
    let (mut method, mut path, mut fields, mut content) = ("GET", None, Vec::new(), "");
    // Words, of which some are between quotes.
    let words = command.split('\'').enumerate().flat_map(|(number, piece)| {
        let quoted = (number % 2 == 1).then_some(piece);
        quoted.into_iter().chain(piece.split(' ').filter(move |_| number % 2 == 0))
    });
    let mut words = words.filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word {
            "-i" => {}
            "-I" => method = "HEAD",
            "-X" => method = words.next().unwrap(),
            "-H" => fields.push(words.next().unwrap()),
            "-d" => content = words.next().unwrap(),
            url => path = url.strip_prefix("http://127.0.0.1:3000"),
        }
    }
    (method, path.unwrap().to_owned(), fields, content.to_owned())
}
