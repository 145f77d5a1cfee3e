//! Formats of a report that other programs read: JSON and JUnit.

use std::fmt::Write as _;

use crate::report::{Finding, Report, Severity, Verdict};

impl Report {
    /// Returns the report as JSON (RFC 8259): an object with `subject`, `ok` and
    /// `findings`. The findings are in the order in which the checks were made.
    ///
    /// Each finding has these members. All are strings, except for `transcript`:
    ///
    /// - `name`, `clause`, `claim` and `hint`: as the methods of [`Finding`] return
    ///   them.
    /// - `severity`: `must`, `should` or `advice`.
    /// - `verdict`: `passed`, `failed`, `expected` or `not applicable`.
    /// - `detail`: the expected answer if the verdict is `failed`, and the reason if it
    ///   is `expected` or `not applicable`. Otherwise it is empty.
    /// - `transcript`: a list of the lines that were sent and received.
    ///
    /// ```
    /// # async fn write(report: tower_conditional_conformance::Report) {
    /// std::fs::write("target/conditional.json", report.to_json()).unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let findings: Vec<String> = self.iter().map(json_of).collect();
        format!(
            "{{\n  \"subject\": {},\n  \"ok\": {},\n  \"findings\": [\n{}\n  ]\n}}\n",
            json(&self.subject),
            self.is_ok(),
            findings.join(",\n")
        )
    }

    /// Returns the report as the XML that JUnit writes and CI systems read: one
    /// `testcase` for each check, with the group as its `classname`.
    ///
    /// A check is `skipped` if it is not applicable, if it is advice that failed, or if
    /// it was expected to fail.
    ///
    /// ```
    /// # async fn write(report: tower_conditional_conformance::Report) {
    /// std::fs::write("target/conditional.xml", report.to_junit()).unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn to_junit(&self) -> String {
        let (tests, failures) = (self.iter().len(), self.failures().count());
        let is_skipped =
            |finding: &&Finding| *finding.verdict() != Verdict::Passed && !is_failure(finding);
        let skipped = self.iter().filter(is_skipped).count();
        let cases: String = self.iter().map(junit_of).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" \
             tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">\n\
             {cases}</testsuite>\n",
            xml(&self.subject)
        )
    }
}

fn json_of(finding: &Finding) -> String {
    let (verdict, detail) = match finding.verdict() {
        Verdict::Passed => ("passed", ""),
        Verdict::Failed(wanted) => ("failed", &**wanted),
        Verdict::Expected(why) => ("expected", &**why),
        Verdict::NotApplicable(why) => ("not applicable", &**why),
    };
    let lines: Vec<String> = finding.transcript().iter().map(|line| json(line)).collect();
    let mut text = "    {".to_owned();
    for (name, value) in [
        ("name", finding.name()),
        ("severity", &finding.severity().to_string().to_ascii_lowercase()),
        ("clause", &finding.clause()),
        ("claim", finding.claim()),
        ("hint", finding.hint()),
        ("verdict", verdict),
        ("detail", detail),
    ] {
        text += &format!("\"{name}\": {}, ", json(value));
    }
    text + &format!("\"transcript\": [{}]}}", lines.join(", "))
}

fn junit_of(finding: &Finding) -> String {
    let group = finding.name().split('/').next().unwrap_or_default();
    let mut case =
        format!("  <testcase classname=\"{}\" name=\"{}\">\n", xml(group), xml(finding.name()));
    let text = xml(&format!("{finding}"));
    // Writing to a string cannot fail.
    let _ = match finding.verdict() {
        Verdict::Passed => Ok(()),
        Verdict::Failed(wanted) if is_failure(finding) => writeln!(
            case,
            "    <failure type=\"{}\" message=\"wanted: {}\">{text}</failure>",
            finding.severity(),
            xml(wanted)
        ),
        Verdict::Failed(wanted) => {
            writeln!(case, "    <skipped message=\"advice: {}\"/>", xml(wanted))
        }
        Verdict::Expected(why) => {
            writeln!(case, "    <skipped message=\"failed as expected: {}\"/>", xml(why))
        }
        Verdict::NotApplicable(why) => writeln!(case, "    <skipped message=\"{}\"/>", xml(why)),
    };
    case + "  </testcase>\n"
}

fn is_failure(finding: &Finding) -> bool {
    matches!(finding.verdict(), Verdict::Failed(_)) && finding.severity() != Severity::Advice
}

/// Returns text as a JSON string.
fn json(text: &str) -> String {
    let mut string = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => string.extend(['\\', c]),
            c if c.is_control() => string += &format!("\\u{:04x}", u32::from(c)),
            c => string.push(c),
        }
    }
    string + "\""
}

/// Escapes text for XML 1.0. Characters that XML does not allow become spaces: control
/// characters except tab and line feed, U+FFFE and U+FFFF.
fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(json("a \"b\" \\ \n\u{7f}é"), r#""a \"b\" \\ \u000a\u007fé""#);
        assert_eq!(xml("a<b> & \"c\"\u{1}\n"), "a&lt;b&gt; &amp; &quot;c&quot; \n");
        assert_eq!(xml("\u{fffd}\u{fffe}\u{ffff}\u{10ffff}"), "\u{fffd}  \u{10ffff}");
    }
}
