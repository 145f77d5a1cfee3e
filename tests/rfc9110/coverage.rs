//! Checks the page `src/guide/rfc_coverage.md`: each requirement of the RFCs has one
//! row, and the code and the tests in the rows exist.
//!
//! The RFCs are not part of this repository. A row has a hash of its sentence, so that
//! with the texts one can check that no sentence is missing.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// The sections whose sentences have rows, with all that is inside them.
const SECTIONS: [(&str, &[&str]); 5] = [
    (
        "9110",
        &[
            "5.6.7", "8.6", "8.8", "9.3.2", "9.3.4", "12.5.5", "13", "14", "15.3.7", "15.4.5",
            "15.5.13", "15.5.17",
        ],
    ),
    ("9111", &["3.2", "4.3.4"]),
    ("6585", &["3"]),
    ("10008", &["2"]),
    ("9530", &["3", "4", "5", "6"]),
];

/// The words of RFC 2119; where two begin alike, the longer one comes first.
const KEYWORDS: [&str; 11] = [
    "MUST NOT",
    "MUST",
    "SHALL NOT",
    "SHALL",
    "SHOULD NOT",
    "SHOULD",
    "NOT RECOMMENDED",
    "RECOMMENDED",
    "MAY",
    "REQUIRED",
    "OPTIONAL",
];

/// RFC, section, and the place of the sentence among those with such a word.
type Place = (String, String, usize);

/// What is known of a sentence: its words, and the hash of its text.
type Sentence = (String, String);

#[test]
fn coverage_names_what_exists() {
    let (page, rules) = (page(), rules());
    let mut problems = Vec::new();
    for (place, row) in rows(&page) {
        let mut problem = |what: &str| problems.push(format!("{place:?}: {what}"));
        let places: Vec<&str> = row.status.split('`').skip(1).step_by(2).collect();
        let is_code = |name: &&&str| name.starts_with("src/");
        let is_test = |name: &&&str| name.contains("tests") || is_test(name);
        match row.status.split_once(": ") {
            Some(("*Covered*", _)) => {
                if places.iter().filter(is_code).count() == 0 {
                    problem("covered by no code");
                }
                if places.iter().filter(is_test).count() == 0 {
                    problem("shown by no test");
                }
            }
            Some(("*Deviates*" | "*Not applicable*", why)) if why.len() > 10 => {}
            _ => problem("neither covered, nor deviating, nor not applicable, with a reason"),
        }
        for name in places {
            let exists = match name.split_once(".rs:") {
                Some((file, item)) => is_defined(&format!("{file}.rs"), item),
                None => !name.contains('/') || rules.iter().any(|rule| rule == name),
            };
            if !exists {
                problem(&format!("there is no {name}"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn coverage_counts_its_rows() {
    let page = page();
    let rows = rows(&page);
    let count = |status| rows.values().filter(|row| row.status.starts_with(status)).count();
    let (all, covered) = (rows.len(), count("*Covered*"));
    let (deviating, moot) = (count("*Deviates*"), count("*Not applicable*"));
    let said = format!(
        "{all} sentences: {covered} covered, {deviating} deviating, {moot} not applicable."
    );
    assert!(page.contains(&said), "the page does not say: {said}");
}

/// Run with `RFC_TEXTS=folder cargo test --test rfc9110 coverage -- --ignored`, where
/// the folder has `rfc9110.txt` and the others, as the RFC editor serves them.
#[test]
#[ignore = "it needs the texts of the RFCs, in the folder that RFC_TEXTS names"]
fn coverage_has_one_row_for_each_sentence() {
    let folder = PathBuf::from(env::var_os("RFC_TEXTS").expect("RFC_TEXTS names a folder"));
    let page = page();
    let mut rows = rows(&page);
    let mut problems = Vec::new();
    let mut count = 0;
    for (rfc, sections) in SECTIONS {
        let text = fs::read_to_string(folder.join(format!("rfc{rfc}.txt"))).expect(rfc);
        for (section, sentences) in sentences(&text, sections) {
            for (index, sentence) in sentences.iter().enumerate() {
                count += 1;
                let place = (rfc.to_owned(), section.clone(), index + 1);
                let found = (keywords(sentence).join(", "), hash(sentence));
                match rows.remove(&place) {
                    Some(row) if row.sentence == found => {}
                    Some(row) => problems.push(format!(
                        "{place:?}: the row is of {:?}, the text has {found:?}: {sentence}",
                        row.sentence
                    )),
                    None => problems.push(format!("{place:?}: no row of {found:?}: {sentence}")),
                }
            }
        }
    }
    problems.extend(rows.keys().map(|place| format!("{place:?}: there is no such sentence")));
    assert!(problems.is_empty(), "of {count} sentences:\n{}", problems.join("\n"));
}

/// A row of the page.
struct Row {
    sentence: Sentence,
    /// From `*Covered*` and the like to the end.
    status: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("src/guide/rfc_coverage.md")).unwrap()
}

/// Reads the rows: `2. **MUST** \`hash\` what it asks. *Covered*: where.`, under a
/// title `## RFC 9110, 13.1.1: If-Match`. Panics if one is of another form, or out of
/// turn.
fn rows(page: &str) -> BTreeMap<Place, Row> {
    let mut rows = BTreeMap::new();
    for part in page.split("\n## RFC ").skip(1) {
        let (title, list) = part.split_once('\n').expect("a list");
        let (rfc, title) = title.split_once(", ").expect("a section");
        let (section, _) = title.split_once(": ").expect("a title");
        let list = list.split("\n## ").next().unwrap_or_default();
        let mut items: Vec<String> = Vec::new();
        for line in list.lines().filter(|line| !line.is_empty()) {
            match (line.strip_prefix("   "), items.last_mut()) {
                (Some(more), Some(item)) => *item += &format!(" {more}"),
                _ => items.push(line.to_owned()),
            }
        }
        for (index, item) in items.iter().enumerate() {
            let place = (rfc.to_owned(), section.to_owned(), index + 1);
            let row = read_row(item, index + 1).unwrap_or_else(|| panic!("{place:?}: {item}"));
            rows.insert(place, row);
        }
    }
    rows
}

fn read_row(item: &str, number: usize) -> Option<Row> {
    let item = item.strip_prefix(&format!("{number}. **"))?;
    let (keywords, item) = item.split_once("** `")?;
    let (hash, item) = item.split_once("` ")?;
    let status = ["*Covered*", "*Deviates*", "*Not applicable*"];
    let start = status.iter().find_map(|status| item.find(status)).filter(|start| *start > 0)?;
    let sentence = (keywords.to_owned(), hash.to_owned());
    Some(Row { sentence, status: item[start..].to_owned() })
}

/// Returns the names of the rules of the conformance suite.
fn rules() -> Vec<String> {
    let checks = root().join("crates/conformance/src/checks");
    let files = fs::read_dir(checks).unwrap().map(|file| fs::read_to_string(file.unwrap().path()));
    let texts: Vec<String> = files.map(Result::unwrap).collect();
    let names = texts.iter().flat_map(|text| text.split("name: \"").skip(1));
    names.map(|name| name.split('"').next().unwrap().to_owned()).collect()
}

/// Returns true if a file defines an item, or a test, of this name.
fn is_defined(file: &str, item: &str) -> bool {
    let Ok(text) = fs::read_to_string(root().join(file)) else { return false };
    let kinds = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod"];
    kinds.iter().any(|kind| {
        text.split(&format!("{kind} {item}"))
            .skip(1)
            .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Returns true if a place is a unit test in `src`.
fn is_test(name: &str) -> bool {
    let Some((file, item)) = name.split_once(".rs:") else { return false };
    let text = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
    text.contains(&format!("#[test]\n    fn {item}("))
}

/// Returns the sentences that demand something, by section, in the order of the text.
fn sentences(text: &str, sections: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut paragraph = String::new();
    let mut is_inside = false;
    for line in without_pages(text).into_iter().chain([""]) {
        let number = section_number(line);
        if (line.is_empty() || !line.starts_with(' ')) && !paragraph.is_empty() {
            if let (true, Some((_, sentences))) = (is_inside, found.last_mut()) {
                let all = split_sentences(&paragraph).into_iter();
                sentences.extend(all.filter(|sentence| !keywords(sentence).is_empty()));
            }
            paragraph.clear();
        }
        if let Some(number) = number {
            let is_in = |section: &&str| format!("{number}.").starts_with(&format!("{section}."));
            is_inside = sections.iter().any(is_in);
            if is_inside {
                found.push((number.to_owned(), Vec::new()));
            }
        } else if !line.is_empty() && !line.starts_with(' ') {
            is_inside = false;
        } else {
            paragraph += line;
            paragraph.push(' ');
        }
    }
    found
}

/// Returns the number at the start of a heading: `13.1.1` of `13.1.1.  If-Match`.
fn section_number(line: &str) -> Option<&str> {
    let (number, title) = line.split_once(".  ")?;
    let is_number = number.split('.').all(|part| part.parse::<u32>().is_ok());
    (is_number && !title.trim().is_empty()).then_some(number)
}

/// Returns the lines without the feet and heads of pages, which older RFCs have.
fn without_pages(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    let mut all = text.lines().map(str::trim_end).peekable();
    while let Some(line) = all.next() {
        if !(line.contains("[Page ") && line.ends_with(']')) {
            lines.push(line.trim_start_matches('\u{c}'));
            continue;
        }
        let is_blank = |line: &str| line.trim_matches(['\u{c}', ' ']).is_empty();
        while all.next_if(|line| is_blank(line)).is_some() {}
        // The head of the next page.
        all.next();
        while all.next_if(|line| is_blank(line)).is_some() {}
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        // A paragraph that goes on behind the page ends in no full stop.
        if lines.last().is_some_and(|line| line.ends_with(['.', ':', ';', '?'])) {
            lines.push("");
        }
    }
    lines
}

/// Splits a paragraph behind each full stop that a capital letter follows, or what may
/// begin a sentence.
fn split_sentences(paragraph: &str) -> Vec<String> {
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let mut sentences = vec![String::new()];
    for (index, word) in words.iter().enumerate() {
        if let Some(sentence) = sentences.last_mut() {
            *sentence += &format!("{word} ");
        }
        let begins = |next: &&str| {
            next.starts_with(|c: char| c.is_uppercase() || c.is_numeric() || "\"(*".contains(c))
        };
        if word.ends_with(['.', '!', '?']) && words.get(index + 1).is_some_and(begins) {
            sentences.push(String::new());
        }
    }
    sentences
}

/// Returns the words of RFC 2119 in a sentence, in their order.
fn keywords(sentence: &str) -> Vec<&'static str> {
    let words = sentence.replace(|c: char| !c.is_alphanumeric(), " ");
    let mut rest = format!(" {} ", words.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut found = Vec::new();
    let first = |rest: &str| {
        let places =
            KEYWORDS.iter().filter_map(|word| Some((rest.find(&format!(" {word} "))?, *word)));
        places.min_by_key(|(place, word)| (*place, usize::MAX - word.len()))
    };
    while let Some((place, word)) = first(&rest) {
        found.push(word);
        rest = rest.split_off(place + 1 + word.len());
    }
    found
}

/// Returns the first eight digits of the SHA-256 of a sentence, in small letters, and
/// without anything that is set differently in other editions of a text: spaces,
/// hyphens, marks and the names of references.
fn hash(sentence: &str) -> String {
    let mut depth = 0_u32;
    let mut text = String::new();
    for c in sentence.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            c if depth == 0 && c.is_ascii_alphanumeric() => text.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    let digest = Sha256::digest(text);
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
