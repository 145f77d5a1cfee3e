//! The definition of a check.

use crate::{
    baseline::{Baseline, Why},
    report::Severity,
    step::Step,
};

/// One of the checks that [`rules`](super::rules) returns.
#[derive(Debug)]
pub struct Rule {
    /// The name of the group, a slash, and the name of the check in this group.
    pub(crate) name: &'static str,
    /// The section of RFC 9110, or `RFC NUMBER, SECTION`.
    pub(crate) section: &'static str,
    pub(crate) severity: Severity,
    pub(crate) claim: &'static str,
    pub(crate) hint: &'static str,
    /// The names of other checks. If one of them fails, this check is not applicable,
    /// because it would only repeat the failure.
    pub(crate) needs: &'static [&'static str],
    /// Returns the requests to send, or why the check is not applicable.
    pub(crate) steps: fn(&Baseline) -> Result<Vec<Step>, Why>,
}

impl Rule {
    /// Returns the name, `group/name`, such as `if-match/star`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the clause that the check is about, such as `RFC 9110, 13.1.2`.
    #[must_use]
    pub fn clause(&self) -> String {
        // A section that is only a number is a section of RFC 9110.
        let is_number = self.section.starts_with(|c: char| c.is_ascii_digit());
        let rfc = if is_number { "RFC 9110, " } else { "" };
        format!("{rfc}{}", self.section)
    }

    /// Returns the severity of the check.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Returns the requirement, as a sentence.
    #[must_use]
    pub fn claim(&self) -> &'static str {
        self.claim
    }

    /// Returns true if `name` is the name of this check or of its group.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns true if the check may change the resource.
    pub(crate) fn alters(&self) -> bool {
        self.is_named("change") || self.is_named("write")
    }
}
