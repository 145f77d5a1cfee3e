//! The results of the checks.

use std::{borrow::Cow, fmt};

/// The results of a [`Check`](super::Check).
///
/// Formatted with `{}`, a report shows for each failed check the request, the answer,
/// and how to fix the service. It also has the names of the checks that were not
/// applicable. Formatted with `{:#}`, it shows all checks, with requests and answers.
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
        self.failures().all(|finding| finding.severity != Severity::Must)
    }

    /// Panics unless the report [is ok](Self::is_ok), so that the test fails.
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
    /// [Advice](Self::advice) is not included, and neither are checks that were
    /// [expected](super::Check::expect) to fail. This test fails for a SHOULD, too:
    ///
    /// ```
    /// # async fn read(report: tower_conditional_conformance::Report) {
    /// assert_eq!(report.failures().count(), 0, "{report}");
    /// # }
    /// ```
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.failed().filter(|finding| finding.severity != Severity::Advice)
    }

    /// Returns the checks of severity [`Advice`](Severity::Advice) that failed.
    pub fn advice(&self) -> impl Iterator<Item = &Finding> {
        self.failed().filter(|finding| finding.severity == Severity::Advice)
    }

    fn failed(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Failed(_)))
    }

    /// Returns the number of findings for which `is_it` is true.
    fn count(&self, is_it: impl Fn(&Finding) -> bool) -> usize {
        self.findings.iter().filter(|finding| is_it(finding)).count()
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
        writeln!(f, "{}: {}", self.subject, self.summary())?;
        for finding in self.failed() {
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
        if self.count(|found| matches!(found.verdict, Verdict::NotApplicable(_))) > 0 {
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
    /// Returns a text with the number of checks that passed, failed, and were
    /// not applicable.
    pub(crate) fn summary(&self) -> String {
        let (failed, advice) = (self.failures().count(), self.advice().count());
        let passed = self.count(|found| found.verdict == Verdict::Passed);
        let expected = self.count(|found| matches!(found.verdict, Verdict::Expected(_)));
        let moot = self.count(|found| matches!(found.verdict, Verdict::NotApplicable(_)));
        let mut summary = format!("{passed} checks passed, {failed} failed");
        for (count, what) in [(advice, "against advice"), (expected, "failed as expected")] {
            if count > 0 {
                summary += &format!(", {count} {what}");
            }
        }
        summary + &format!(", {moot} not applicable")
    }

    /// Returns the names of the checks that are not applicable for the reason `why`. If
    /// that is true for all checks of a group, returns the name of the group instead.
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

/// The result of one check.
#[derive(Clone, Debug)]
pub struct Finding {
    pub(crate) name: Cow<'static, str>,
    pub(crate) clause: String,
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

    /// Returns the clause that the check is about, such as `RFC 9110, 13.1.2`. The text
    /// is empty for a check that was added with [`also`](super::Check::also).
    #[must_use]
    pub fn clause(&self) -> String {
        self.clause.clone()
    }

    /// Returns the severity of the check.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the requirement, as a sentence.
    #[must_use]
    pub fn claim(&self) -> &str {
        self.claim
    }

    /// Returns a hint on how to fix the service.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.hint
    }

    /// Returns the lines that were sent (`> `) and received (`< `), without the values
    /// of secret fields.
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
            Verdict::Failed(_) if self.severity == Severity::Advice => "ADVICE",
            Verdict::Failed(_) => "FAILED",
            Verdict::Expected(_) => "failed as expected",
            Verdict::NotApplicable(_) => "not applicable",
        };
        write!(f, "{verdict}  {} ({}", self.name, self.severity)?;
        if !self.clause.is_empty() {
            write!(f, ", {}", self.clause)?;
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
            Verdict::NotApplicable(why) | Verdict::Expected(why) => {
                writeln!(f, "  because {why}")
            }
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

/// The severity of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// An RFC requires the behaviour, or revalidation does not work without it.
    ///
    /// If the check fails, clients may get wrong content, or fetch content that they
    /// already have.
    Must,
    /// An RFC recommends the behaviour.
    Should,
    /// RFCs leave the behaviour open, but some clients have problems without it.
    ///
    /// If such a check fails, that is not a [failure](Report::failures).
    Advice,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Advice => "ADVICE",
        })
    }
}

/// The verdict of a check.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The requirement is met.
    Passed,
    /// The requirement is not met. The text says which answer was expected.
    ///
    /// Also the verdict of a check that passed although it was
    /// [expected](super::Check::expect) to fail.
    Failed(String),
    /// The requirement is not met, and this was [expected](super::Check::expect). The
    /// text is the reason that was given.
    Expected(String),
    /// There was nothing to check. The text says why.
    NotApplicable(String),
}
