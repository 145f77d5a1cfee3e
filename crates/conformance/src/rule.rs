//! One check, as a row of a table.

use crate::{
    baseline::{Baseline, Why},
    report::Severity,
    step::Step,
};

/// One check.
pub(crate) struct Rule {
    /// A group and a name in it.
    pub(crate) name: &'static str,
    /// The section of RFC 9110, or `RFC NUMBER, SECTION`.
    pub(crate) section: &'static str,
    pub(crate) severity: Severity,
    pub(crate) claim: &'static str,
    pub(crate) hint: &'static str,
    /// If one of these checks fails, this one shows nothing new.
    pub(crate) needs: &'static [&'static str],
    /// What to send, or why there is nothing to send.
    pub(crate) steps: fn(&Baseline) -> Result<Vec<Step>, Why>,
}

impl Rule {
    /// Returns true if `name` names this check or its group.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns true if the check may change the resource.
    pub(crate) fn alters(&self) -> bool {
        self.is_named("change") || self.is_named("write")
    }
}
