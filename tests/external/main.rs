//! Tests that need a program which may be missing. Where it is missing they are reported as
//! ignored, with the reason, and never as passed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    future::Future,
    process::{Command, ExitCode, Stdio},
};

use libtest_mimic::{Arguments, Completion, Trial};

mod curl;
#[cfg(unix)]
mod nginx;
#[path = "../support/mod.rs"]
mod support;

/// Names the tests of a module, which all need one program.
macro_rules! tests {
    ($module:ident, $program:expr, $($test:ident,)+) => {
        [$(trial(concat!(stringify!($module), "::", stringify!($test)), $program, $module::$test)),+]
    };
}

fn main() -> ExitCode {
    let mut trials = Vec::new();
    let curl = Program::find("curl", "--version");
    trials.extend(tests![curl, &curl, curl_resumes_a_download_and_never_with_another_version,]);
    #[cfg(unix)]
    {
        let nginx = Program::find("nginx", "-v");
        trials.extend(tests![
            nginx,
            &nginx,
            nginx_asks_again_with_the_tag_and_is_told_not_modified,
            nginx_revalidates_with_the_application_and_its_client_with_nginx,
            nginx_gzip_weakens_the_tag_which_matches_all_the_same,
            nginx_lets_the_application_evaluate_writes_and_a_weakened_tag_fails,
            nginx_stores_what_is_said_to_be_fresh,
            nginx_stores_silent_responses_unless_a_date_brings_no_cache,
        ]);
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A program, and whether it is installed.
struct Program {
    name: &'static str,
    is_missing: bool,
}

impl Program {
    /// Looks for a program by having it tell its version.
    fn find(name: &'static str, version: &str) -> Self {
        let mut command = Command::new(name);
        command.arg(version).stdout(Stdio::null()).stderr(Stdio::null());
        Self { name, is_missing: !command.status().is_ok_and(|status| status.success()) }
    }
}

fn trial<F: Future<Output = ()>>(
    name: &str,
    program: &Program,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let missing = program.is_missing.then(|| format!("{} is not installed", program.name));
    Trial::ignorable_test(name, || {
        if let Some(reason) = missing {
            return Ok(Completion::ignored_with(reason));
        }
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(test());
        Ok(Completion::Completed)
    })
}
