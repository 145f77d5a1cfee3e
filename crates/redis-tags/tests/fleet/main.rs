//! Tests with three processes of the example `files` behind nginx, and a real Redis.
//! The tests kill, empty and slow down Redis, and write forged values into it. If a
//! program is not installed, the tests that need it are reported as ignored.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

#[cfg(unix)]
mod changes;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod downloads;
#[cfg(unix)]
mod fleet;
#[cfg(unix)]
mod pip;
#[cfg(unix)]
#[path = "../../../../tests/support/port.rs"]
mod port;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
#[path = "../../../../tests/support/pip.rs"]
mod support;
#[cfg(unix)]
mod world;

/// The application that the tests start: this program, called with [`SERVE`].
#[cfg(unix)]
#[path = "../../examples/files.rs"]
mod files;

#[cfg(unix)]
const SERVE: &str = "serve-files";

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Completion, Trial};

    if std::env::args().nth(1).as_deref() == Some(SERVE) {
        files::main().unwrap();
    }
    macro_rules! trials {
        ($($module:ident::$test:ident $(with $program:literal)?,)+) => { [$({
            let missing = ["redis-server", "nginx" $(, $program)?].into_iter().find(is_missing);
            Trial::ignorable_test(concat!(stringify!($module), "::", stringify!($test)), move || {
                if let Some(program) = missing {
                    return Ok(Completion::ignored_with(format!("{program} is not installed")));
                }
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                Ok(runtime.block_on($module::$test()))
            })
        }),+] };
    }
    let trials = trials![
        downloads::resumes_across_the_fleet_after_restarts_and_a_deploy,
        downloads::requests_do_not_wait_for_a_store_that_never_answers,
        pip::pip_resumes_across_the_fleet with "python3",
        changes::no_answer_is_wrong_whatever_happens_to_the_store,
    ];
    let mut arguments = Arguments::from_args();
    // One test at a time, because each starts many processes, and some measure time.
    arguments.test_threads.get_or_insert(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

#[cfg(unix)]
fn is_missing(program: &&'static str) -> bool {
    let mut command = std::process::Command::new(program);
    command.arg("-v").stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.status().is_err()
}

// The tests run only on Unix.
#[cfg(not(unix))]
fn main() {}
