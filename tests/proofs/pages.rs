//! The pages and the docs: each link leads somewhere, and no line is wider than it is
//! shown.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What docs.rs shows of an example before it cuts.
const SHOWN: usize = 88;
/// What an editor shows of a page.
const PROSE: usize = 100;

const DOCS: &str = "https://docs.rs/tower-conditional/latest/";
const RFC: &str = "https://www.rfc-editor.org/rfc/rfc";

/// A page in Markdown, or the docs in a file of code, as lines of Markdown.
struct Page {
    path: PathBuf,
    lines: Vec<Line>,
}

struct Line {
    number: usize,
    text: String,
    /// The language of the code block around it; without one, it is prose.
    code: Option<String>,
    /// What the file has before the text: the indentation, and the sign of a comment.
    before: usize,
}

impl Line {
    /// There is no place to break a row of a table, the definition of a link, or a
    /// word.
    fn is_one_piece(&self) -> bool {
        self.text.starts_with(['|', '[']) || !self.text.trim().contains(' ')
    }
}

impl Page {
    fn read(path: &Path) -> Self {
        let content = fs::read_to_string(path).unwrap();
        let is_markdown = path.extension().unwrap() == "md";
        let (mut lines, mut code) = (Vec::new(), None);
        for (number, line) in (1..).zip(content.lines()) {
            let comment = line.trim_start();
            let comment = comment.strip_prefix("//!").or_else(|| comment.strip_prefix("///"));
            let comment = comment.map(|text| text.strip_prefix(' ').unwrap_or(text));
            let Some(text) = (if is_markdown { Some(line) } else { comment }) else {
                code = None;
                continue;
            };
            let is_fence = text.starts_with("```");
            if is_fence {
                code = match code {
                    None => Some(text.trim_start_matches('`').to_owned()),
                    Some(_) => None,
                };
            }
            let before = line.chars().count() - text.chars().count();
            let code = code.clone().filter(|_| !is_fence);
            lines.push(Line { number, text: text.to_owned(), code, before });
        }
        Self { path: path.to_owned(), lines }
    }

    fn prose(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.code.is_none())
    }

    /// The headings as fragments, as rustdoc and GitHub make them.
    fn fragments(&self) -> Vec<String> {
        let headings = self.prose().filter(|line| line.text.starts_with('#'));
        let fragment = |line: &Line| {
            let text = line.text.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(fragment).collect()
    }

    /// What follows `](` and `]: `, with the number of the line.
    fn links(&self) -> Vec<(usize, &str)> {
        let mut links = Vec::new();
        for line in self.prose() {
            let inline = line.text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            links.extend(inline.map(|(target, _)| (line.number, target)));
            let definition = line.text.split_once("]: ").filter(|(name, _)| name.starts_with('['));
            links.extend(definition.map(|(_, target)| (line.number, target.trim())));
        }
        links
    }

    /// Why a link leads nowhere.
    fn problem(&self, target: &str) -> Option<&'static str> {
        let (place, fragment) = target.split_once('#').unwrap_or((target, ""));
        if place.starts_with("https://") {
            return external(place, fragment);
        }
        if place.contains("://") {
            return Some("not https");
        }
        if let Some(guide) = place.strip_prefix("crate::guide::") {
            return guide_page(guide, fragment);
        }
        if place.is_empty() {
            return missing(self, fragment);
        }
        // A name in the code: rustdoc checks it.
        let is_file = place.contains('/') || place.ends_with(".md");
        if !is_file {
            return None;
        }
        if !self.path.starts_with(".github") {
            return Some("docs.rs has no such file");
        }
        let file = self.path.parent().unwrap().join(place);
        if !file.exists() {
            return Some("no such file");
        }
        missing(&Self::read(&file), fragment)
    }
}

fn missing(page: &Page, fragment: &str) -> Option<&'static str> {
    // rustdoc names these itself, and checks them.
    let is_item = fragment.contains('.');
    let is_there = fragment.is_empty() || page.fragments().iter().any(|name| name == fragment);
    (!is_item && !is_there).then_some("no such heading")
}

fn guide_page(name: &str, fragment: &str) -> Option<&'static str> {
    let file = match name {
        "changelog" => "CHANGELOG.md".to_owned(),
        name => format!("src/guide/{name}.md"),
    };
    if !Path::new(&file).exists() {
        return Some("no such page of the guide");
    }
    missing(&Page::read(Path::new(&file)), fragment)
}

fn external(place: &str, fragment: &str) -> Option<&'static str> {
    if let Some(rest) = place.strip_prefix(DOCS) {
        if let Some(file) = rest.strip_prefix("src/tower_conditional/") {
            let file = file.strip_suffix(".html").unwrap_or(file);
            return (!Path::new("src").join(file).exists()).then_some("no such file");
        }
        let rest = rest.strip_prefix("tower_conditional/")?;
        return match rest.strip_prefix("guide/") {
            Some(name) => guide_page(name.trim_end_matches('/'), fragment),
            None if rest.is_empty() => missing(&Page::read(Path::new("src/lib.rs")), fragment),
            None => None,
        };
    }
    if !place.contains("rfc-editor") && !place.contains("ietf.org") {
        return None;
    }
    let is_rfc = place.strip_prefix(RFC).and_then(|rest| rest.strip_suffix(".html"));
    let is_rfc = is_rfc.is_some_and(|number| number.parse::<u32>().is_ok());
    let is_section = fragment.is_empty()
        || ["section-", "appendix-"].iter().any(|kind| fragment.starts_with(kind))
            && !fragment.ends_with('.');
    (!is_rfc || !is_section).then_some("not as other links to RFCs")
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    found
}

/// The folders of that name in all packages.
fn everywhere(folder: &str) -> impl Iterator<Item = String> {
    let crates = fs::read_dir("crates").unwrap().map(|entry| entry.unwrap().path());
    let all = crates.chain([PathBuf::from(".")]).map(move |package| package.join(folder));
    all.filter(|path| path.exists()).map(|path| path.to_str().unwrap().to_owned())
}

fn markdown() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("CHANGELOG.md"), PathBuf::from(".github/CONTRIBUTING.md")];
    paths.extend(everywhere("README.md").map(PathBuf::from));
    paths.extend(files("src/guide", "md"));
    paths.iter().map(|path| Page::read(path)).collect()
}

fn code(folder: &str) -> impl Iterator<Item = Page> + '_ {
    everywhere(folder).flat_map(|folder| files(&folder, "rs")).map(|path| Page::read(&path))
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn pages_have_links_that_lead_somewhere() {
    let (mut problems, mut checked) = (Vec::new(), 0);
    for page in markdown().into_iter().chain(code("src")) {
        for (number, target) in page.links() {
            checked += 1;
            if let Some(problem) = page.problem(target) {
                problems.push(format!("{}:{number}: {target}: {problem}", page.path.display()));
            }
        }
    }
    assert_none(&problems);
    assert!(checked > 200, "{checked}");
}

/// A path in backquotes is of no use to a reader who has no checkout; a command with
/// one says itself that it needs one. The rows of the page on the RFCs are for a test.
#[test]
fn pages_name_no_file_that_a_reader_does_not_have() {
    let mut problems = Vec::new();
    let shown =
        |page: &Page| !page.path.starts_with(".github") && !page.path.ends_with("rfc_coverage.md");
    for page in markdown().iter().filter(|page| shown(page)) {
        for line in page.prose() {
            for span in line.text.split('`').skip(1).step_by(2) {
                let folders = [".ci/", "benches/", "crates/", "examples/", "src/", "tests/"];
                if folders.iter().any(|folder| span.starts_with(folder)) {
                    problems.push(format!("{}:{}: {span}", page.path.display(), line.number));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn pages_and_docs_are_no_wider_than_shown() {
    let mut problems = Vec::new();
    let mut check = |page: &Page, prose: usize| {
        for line in &page.lines {
            let (width, limit) = match &line.code {
                // A transcript is shown as it is.
                Some(language) if ["console", "text"].contains(&language.as_str()) => continue,
                // rustdoc hides it.
                Some(_) if line.text.starts_with("# ") => continue,
                Some(_) => (line.text.chars().count(), SHOWN),
                None => (line.before + line.text.chars().count(), prose),
            };
            if width > limit && !line.is_one_piece() {
                problems.push(format!("{}:{}: {width}", page.path.display(), line.number));
            }
        }
    };
    markdown().iter().for_each(|page| check(page, PROSE));
    for folder in ["src", "tests", "examples", "benches"] {
        code(folder).for_each(|page| check(&page, SHOWN));
    }
    // The soak is a test, and not there to be read.
    let examples = everywhere("examples").flat_map(|folder| files(&folder, "rs"));
    for path in examples.filter(|path| !path.starts_with("./examples/soak")) {
        for (number, line) in (1..).zip(fs::read_to_string(&path).unwrap().lines()) {
            let width = line.chars().count();
            if width > SHOWN {
                problems.push(format!("{}:{number}: {width}", path.display()));
            }
        }
    }
    assert_none(&problems);
}
