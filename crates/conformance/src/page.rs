//! Prints a report as text.

use std::io::{self, Write};

use tower_conditional_conformance::{Finding, Report, Severity, Verdict};

/// How a report is printed.
pub(crate) struct Page {
    pub(crate) has_colours: bool,
    pub(crate) is_verbose: bool,
}

impl Page {
    pub(crate) fn print(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        for finding in report {
            self.print_finding(finding, out)?;
        }
        let count = |is_it: fn(&Verdict) -> bool| {
            report.iter().filter(|finding| is_it(finding.verdict())).count()
        };
        let passed = count(|verdict| matches!(verdict, Verdict::Passed));
        let expected = count(|verdict| matches!(verdict, Verdict::Expected(_)));
        let moot = count(|verdict| matches!(verdict, Verdict::NotApplicable(_)));
        let failed =
            |severity| report.failures().filter(|finding| finding.severity() == severity).count();
        let (must, should) = (failed(Severity::Must), failed(Severity::Should));
        let verdict = if report.is_ok() {
            self.paint(GREEN, "all is well")
        } else {
            self.paint(RED, "not as it must be")
        };
        writeln!(
            out,
            "\n{verdict}: {passed} passed, {must} MUST and {should} SHOULD failed, {} against \
             advice, {expected} failed as expected, {moot} not applicable",
            report.advice().count()
        )
    }

    fn print_finding(&self, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
        let (colour, word, why) = match finding.verdict() {
            Verdict::Passed => (GREEN, "pass", None),
            Verdict::Failed(wanted) => match finding.severity() {
                Severity::Must => (RED, "FAIL", Some(wanted)),
                Severity::Should => (YELLOW, "fail", Some(wanted)),
                _ => (BLUE, "note", Some(wanted)),
            },
            Verdict::Expected(why) => (GREY, "known", Some(why)),
            Verdict::NotApplicable(why) => (GREY, " -- ", Some(why)),
            _ => (GREY, " ?? ", None),
        };
        let has_failed = matches!(finding.verdict(), Verdict::Failed(_));
        if !self.is_verbose && matches!(finding.verdict(), Verdict::NotApplicable(_)) {
            return Ok(());
        }
        write!(out, "{} {:<36}", self.paint(colour, word), finding.name())?;
        match why {
            Some(why) if !has_failed => writeln!(out, "{}", self.paint(GREY, why))?,
            _ => writeln!(out, "{:<6} {}", finding.severity(), finding.clause())?,
        }
        if !has_failed && !self.is_verbose {
            return Ok(());
        }
        writeln!(out, "       {}", finding.claim())?;
        for line in finding.transcript() {
            let colour = if line.starts_with('>') { BLUE } else { GREY };
            writeln!(out, "         {}", self.paint(colour, line))?;
        }
        if let (true, Some(wanted)) = (has_failed, why) {
            writeln!(out, "       wanted: {}", self.paint(colour, wanted))?;
            writeln!(out, "       hint: {}", finding.hint())?;
        }
        Ok(())
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.has_colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "36";
const GREY: &str = "90";
