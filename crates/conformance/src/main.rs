//! Checks how a running server answers conditional requests.
//!
//! Run with `cargo run -p tower-conditional-conformance --features cli --
//! http://127.0.0.1:3000/flags`, while `cargo run --example axum` runs. The exit status
//! is 0 if all is well, 1 if a check of severity MUST failed, and 2 if there is no
//! answer.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use http::{uri::PathAndQuery, HeaderMap, HeaderName, HeaderValue, Request, Uri};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::ServiceExt;
use tower_conditional_conformance::{
    self as conformance, Content, Finding, Report, Severity, Verdict,
};

const USAGE: &str = "\
usage: check-conditional [-v] [-H 'NAME: VALUE'].. URL

  -v  show all checks, with what was sent and seen, not only those that failed
  -H  add a header field to each request

Colours are used on terminals, unless NO_COLOR is set.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let has_colours =
        out.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let status = match Settings::read(env::args().skip(1)) {
        Ok(settings) => settings.check(&mut out, has_colours).await?,
        Err(why) => {
            writeln!(io::stderr(), "{why}\n\n{USAGE}")?;
            2
        }
    };
    Ok(ExitCode::from(status))
}

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    origin: Uri,
    path: Option<PathAndQuery>,
    fields: HeaderMap,
    is_verbose: bool,
}

impl Settings {
    /// Reads the arguments.
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut settings = Self::default();
        let mut arguments = arguments.into_iter();
        let mut url = None;
        while let Some(argument) = arguments.next() {
            let mut next = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match &*argument {
                "-v" => settings.is_verbose = true,
                "-H" => {
                    let field = next()?;
                    let (name, value) =
                        read_field(&field).ok_or_else(|| format!("no header field: {field}"))?;
                    settings.fields.append(name, value);
                }
                option if option.starts_with('-') => return Err(format!("no option {option}")),
                _ => drop(url.replace(argument)),
            }
        }
        let url: Uri =
            url.ok_or("no URL")?.parse().map_err(|error| format!("not a URL: {error}"))?;
        if url.scheme_str() != Some("http") {
            return Err("the URL must begin with http://; there is no TLS here".to_owned());
        }
        settings.path = url.path_and_query().cloned();
        settings.origin = url;
        Ok(settings)
    }

    /// Makes the checks, prints what they found, and returns the exit status.
    pub(crate) async fn check(self, out: &mut impl Write, has_colours: bool) -> io::Result<u8> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Content>();
        let why = match tokio::time::timeout(TIMEOUT, client.get(self.origin.clone())).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("{error:?}")),
            Err(_) => Some(format!("{TIMEOUT:?} are over")),
        };
        if let Some(why) = why {
            writeln!(out, "no answer from {}: {why}", self.origin)?;
            return Ok(2);
        }
        let (scheme, authority) = (self.origin.scheme().cloned(), self.origin.authority().cloned());
        let server = client.map_request(move |mut request: Request<Content>| {
            let mut parts = request.uri().clone().into_parts();
            (parts.scheme, parts.authority) = (scheme.clone(), authority.clone());
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
            request
        });
        // The server may be in use: no check changes anything on it.
        let path = self.path.as_ref().map_or("/", PathAndQuery::as_str);
        let mut checks =
            conformance::check(server, path).timeout(TIMEOUT).without("change").without("write");
        for (name, value) in &self.fields {
            checks = checks.header(name, value);
        }
        let report = checks.await;
        Page { has_colours, is_verbose: self.is_verbose }.print(&report, out)?;
        Ok(u8::from(!report.is_ok()))
    }
}

fn read_field(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// How a report is printed.
struct Page {
    has_colours: bool,
    is_verbose: bool,
}

impl Page {
    fn print(&self, report: &Report, out: &mut impl Write) -> io::Result<()> {
        for finding in report {
            self.print_finding(finding, out)?;
        }
        let count = |is_it: fn(&Verdict) -> bool| {
            report.iter().filter(|finding| is_it(finding.verdict())).count()
        };
        let passed = count(|verdict| matches!(verdict, Verdict::Passed));
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
            "\n{verdict}: {passed} passed, {must} MUST and {should} SHOULD failed, \
             {moot} not applicable"
        )
    }

    fn print_finding(&self, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
        let (colour, word, why) = match finding.verdict() {
            Verdict::Passed => (GREEN, "pass", None),
            Verdict::Failed(wanted) if finding.severity() == Severity::Must => {
                (RED, "FAIL", Some(wanted))
            }
            Verdict::Failed(wanted) => (YELLOW, "fail", Some(wanted)),
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

/// How long to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "36";
const GREY: &str = "90";
