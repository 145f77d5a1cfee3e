//! What the checks found.

use std::{borrow::Cow, fmt};

/// What the checks of a [`Check`](super::Check) found.
///
/// Formatted with `{}` it shows what failed, with what was sent and received and how to
/// fix it, and names what was not applicable. With `{:#}` it shows everything.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let app = axum::Router::new()
/// #     .route("/feed", axum::routing::get(|| async { "news" }))
/// #     .layer(tower_conditional::ConditionalLayer::new());
/// let report = tower_conditional_conformance::check(app, "/feed").await;
/// for finding in &report {
///     println!("{} {}: {:?}", finding.severity(), finding.name(), finding.verdict());
/// }
/// # report.assert_ok();
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a report says what failed; `assert_ok` panics if something did"]
pub struct Report {
    pub(crate) subject: String,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    /// Returns true if no check of severity [`Must`](Severity::Must) failed.
    ///
    /// ```
    /// # async fn read(report: tower_conditional_conformance::Report) {
    /// std::process::exit(if report.is_ok() { 0 } else { 1 });
    /// # }
    /// ```
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.failures().all(|finding| finding.severity == Severity::Should)
    }

    /// Panics, and so fails the test, unless the report [is ok](Self::is_ok).
    ///
    /// # Panics
    ///
    /// Panics with the report if a check of severity [`Must`](Severity::Must) failed.
    #[track_caller]
    pub fn assert_ok(&self) {
        assert!(self.is_ok(), "{self}");
    }

    /// Returns the checks that failed, [`Should`](Severity::Should) included.
    ///
    /// ```
    /// # async fn read(report: tower_conditional_conformance::Report) {
    /// assert_eq!(report.failures().count(), 0, "{report}");
    /// # }
    /// ```
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Failed(_)))
    }

    /// Returns all findings, in the order in which the checks were made.
    ///
    /// ```
    /// # async fn read(report: tower_conditional_conformance::Report) {
    /// use tower_conditional_conformance::Verdict;
    ///
    /// let passed = report.iter().filter(|finding| *finding.verdict() == Verdict::Passed);
    /// println!("{} checks passed", passed.count());
    /// # }
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.findings.iter()
    }
}

impl<'a> IntoIterator for &'a Report {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |is_it: fn(&Verdict) -> bool| {
            self.findings.iter().filter(|found| is_it(&found.verdict)).count()
        };
        let passed = count(|verdict| matches!(verdict, Verdict::Passed));
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let moot = count(|verdict| matches!(verdict, Verdict::NotApplicable(_)));
        writeln!(
            f,
            "{}: {passed} checks passed, {failed} failed, {moot} not applicable",
            self.subject
        )?;
        for finding in self.failures() {
            write!(f, "\n{finding}")?;
        }
        if f.alternate() {
            for finding in
                self.findings.iter().filter(|found| !matches!(found.verdict, Verdict::Failed(_)))
            {
                write!(f, "\n{finding}")?;
            }
            return Ok(());
        }
        if moot > 0 {
            writeln!(f, "\nnot applicable:")?;
        }
        let mut said: Vec<&str> = Vec::new();
        for finding in &self.findings {
            match &finding.verdict {
                Verdict::NotApplicable(why) if !said.contains(&&**why) => {
                    writeln!(f, "  {}: {why}", self.names_without(why).join(", "))?;
                    said.push(why);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Report {
    /// Returns the names of the checks that are not applicable for one reason; the name
    /// of the group, if the reason is that of all its checks.
    fn names_without(&self, why: &str) -> Vec<String> {
        let mut names = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.is_moot_because(why)) {
            let group = finding.name.split('/').next().unwrap_or_default();
            let mut others =
                self.findings.iter().filter(|other| other.name.split('/').next() == Some(group));
            let name =
                if others.all(|other| other.is_moot_because(why)) { group } else { &finding.name };
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        names
    }
}

/// What one check found.
#[derive(Clone, Debug)]
pub struct Finding {
    pub(crate) name: Cow<'static, str>,
    pub(crate) section: &'static str,
    pub(crate) severity: Severity,
    pub(crate) claim: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) log: Vec<String>,
    pub(crate) verdict: Verdict,
}

impl Finding {
    /// Returns the name of the check, such as `if-none-match/weak`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the clause that the check is about, such as `RFC 9110, 13.1.2`; empty
    /// for a check of your own.
    #[must_use]
    pub fn clause(&self) -> String {
        if self.section.is_empty() {
            String::new()
        } else {
            format!("RFC 9110, {}", self.section)
        }
    }

    /// Returns how much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns what must be true, as a sentence.
    #[must_use]
    pub fn claim(&self) -> &str {
        self.claim
    }

    /// Returns how to fix it.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.hint
    }

    /// Returns what was sent (`> `) and received (`< `), line by line, without the
    /// values of secret fields.
    #[must_use]
    pub fn transcript(&self) -> &[String] {
        &self.log
    }

    /// Returns the result.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

impl Finding {
    fn is_moot_because(&self, why: &str) -> bool {
        matches!(&self.verdict, Verdict::NotApplicable(its) if its == why)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match &self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "FAILED",
            Verdict::NotApplicable(_) => "not applicable",
        };
        write!(f, "{verdict}  {} ({}", self.name, self.severity)?;
        if !self.section.is_empty() {
            write!(f, ", {}", self.clause())?;
        }
        writeln!(f, ")")?;
        if !self.claim.is_empty() {
            writeln!(f, "  {}", self.claim)?;
        }
        for line in &self.log {
            writeln!(f, "    {line}")?;
        }
        match &self.verdict {
            Verdict::Passed => Ok(()),
            Verdict::NotApplicable(why) => writeln!(f, "  because {why}"),
            Verdict::Failed(wanted) => {
                writeln!(f, "  wanted: {wanted}")?;
                if self.hint.is_empty() {
                    return Ok(());
                }
                writeln!(f, "  hint: {}", self.hint)
            }
        }
    }
}

/// How much a check matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// RFC 9110 demands it, or nothing can be revalidated without it: clients may get
    /// wrong content.
    Must,
    /// RFC 9110 recommends it, or others have had trouble without it.
    Should,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        })
    }
}

/// The result of a check.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// All is as it must be.
    Passed,
    /// It is not; this was expected in place of what was received.
    Failed(String),
    /// There was nothing to check, for this reason.
    NotApplicable(String),
}
