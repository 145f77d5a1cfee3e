//! Checks how a running server answers conditional requests.
//!
//! Run with `cargo run -p tower-conditional-conformance --features cli --
//! http://127.0.0.1:3000/flags`, while `cargo run --example axum` runs. `USAGE`
//! explains the options and the exit status.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use http::{Method, Request, Response, Uri};
use hyper_util::{
    client::legacy::{self, Client},
    rt::TokioExecutor,
};
use tokio::process::Command;
use tower::{Service, ServiceExt};
use tower_conditional_conformance::{self as conformance, Check, Content, Report, Severity};

use self::{
    page::Page,
    settings::{Format, Settings, USAGE},
};

mod page;
pub(crate) mod settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let has_colours =
        out.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    ExitCode::from(execute(env::args().skip(1).collect(), &mut out, has_colours).await)
}

/// Does what the arguments say, and returns the exit status.
pub(crate) async fn execute(arguments: Vec<String>, out: &mut impl Write, has_colours: bool) -> u8 {
    let is_given = |names: &[&str]| arguments.iter().any(|given| names.contains(&&**given));
    let done = if is_given(&["--list"]) {
        list(out).map(|()| 0)
    } else if is_given(&["--help", "-h"]) {
        writeln!(out, "{USAGE}").map(|()| 0)
    } else {
        match Settings::read(arguments) {
            Ok(settings) => check(&settings, out, has_colours).await,
            Err(why) => writeln!(io::stderr(), "{why}\n\n{USAGE}").map(|()| NOTHING_CHECKED),
        }
    };
    done.unwrap_or_else(|error| {
        // This may fail for the same reason.
        let _ = writeln!(io::stderr(), "the report could not be written: {error}");
        NOTHING_CHECKED
    })
}

/// Prints the names of all checks.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    for rule in conformance::rules() {
        writeln!(
            out,
            "{:<36} {:<6} {:<18} {}",
            rule.name(),
            rule.severity(),
            rule.clause(),
            rule.claim()
        )?;
    }
    Ok(())
}

/// Makes the checks, prints what they found, and returns the exit status.
pub(crate) async fn check(
    settings: &Settings,
    out: &mut impl Write,
    has_colours: bool,
) -> io::Result<u8> {
    let known = |name: &&String| conformance::rules().any(|rule| rule.is_named(name));
    if let Some(name) = settings.without.iter().chain(&settings.expected).find(|name| !known(name))
    {
        writeln!(io::stderr(), "there is no check {name}; --list shows them")?;
        return Ok(NOTHING_CHECKED);
    }
    // Each request has its own connection. On a shared one, a request fails if the
    // server closes the connection after the previous answer.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http2_only(settings.is_http2)
        .build_http::<Content>();
    let why = match tokio::time::timeout(TIMEOUT, client.get(settings.origin.clone())).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("{error:?}")),
        Err(_) => Some(format!("{TIMEOUT:?} are over")),
    };
    if let Some(why) = why {
        writeln!(io::stderr(), "no answer from {}: {why}", settings.origin)?;
        return Ok(NOTHING_CHECKED);
    }
    let report = configured(settings, at(&settings.origin, client)).await;
    match settings.format {
        Format::Text => {
            Page { has_colours, is_verbose: settings.is_verbose }.print(&report, out)?;
        }
        Format::Json => out.write_all(report.to_json().as_bytes())?,
        Format::JUnit => out.write_all(report.to_junit().as_bytes())?,
    }
    Ok(u8::from(has_failed(&report, settings.is_strict)))
}

fn has_failed(report: &Report, is_strict: bool) -> bool {
    report.failures().any(|finding| is_strict || finding.severity() == Severity::Must)
}

/// Returns a service that sends each request to the scheme and authority of `origin`.
fn at<B>(
    origin: &Uri,
    client: impl Service<Request<Content>, Response = Response<B>, Error = legacy::Error>,
) -> impl Service<Request<Content>, Response = Response<B>, Error = legacy::Error> {
    let (scheme, authority) = (origin.scheme().cloned(), origin.authority().cloned());
    client.map_request(move |mut request: Request<Content>| {
        let mut parts = request.uri().clone().into_parts();
        (parts.scheme, parts.authority) = (scheme.clone(), authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        request
    })
}

/// Applies the settings. Checks change something on the server only if an option allows
/// that, because the server may be in use.
fn configured<'a, B>(
    settings: &'a Settings,
    server: impl Service<Request<Content>, Response = Response<B>, Error = legacy::Error> + 'a,
) -> Check<'a>
where
    B: http_body::Body<Error: std::fmt::Debug> + 'a,
{
    let mut checks = conformance::check(server, settings.path()).timeout(TIMEOUT);
    for (name, value) in &settings.fields {
        checks = checks.header(name, value);
    }
    for name in &settings.without {
        checks = checks.without(name);
    }
    for name in &settings.expected {
        checks = checks.expect(name, "the command line says so");
    }
    if let Some(content) = &settings.put {
        checks = checks.writes(settings.request(Method::PUT, content));
    }
    if let Some(content) = &settings.query {
        checks = checks.queries(settings.request(Method::POST, content));
    }
    if let Some(command) = &settings.change {
        checks = checks.changes(async move || run(command).await);
    }
    if let Some(command) = &settings.restore {
        checks = checks.restores(async move || run(command).await);
    }
    if let Some(uri) = &settings.error_at {
        checks = checks.error_at(uri.clone());
    }
    checks
}

/// Runs a shell command, and waits until it has ended. A failure of the command is not
/// reported here: the command prints the reason itself, and the checks notice that the
/// content has not changed.
async fn run(command: &str) {
    drop(Command::new("sh").args(["-c", command]).status().await);
}

/// How long to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The exit status if nothing could be checked, or the report could not be written.
const NOTHING_CHECKED: u8 = 2;
