//! The application as several processes on one PostgreSQL, which the tests start: of
//! many writers who saw the same version one wins, and nothing is lost when a process
//! is killed. Where PostgreSQL is missing, the tests are reported as ignored.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[cfg(unix)]
mod client;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod tests;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    // It is stopped when the last test is done.
    let server = std::sync::Arc::default();
    let trials = tests::trials(&server);
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit_code()
}

// There PostgreSQL is found in other ways, and does not listen on a file.
#[cfg(not(unix))]
fn main() {}
