//! Tests that need a program which may be missing. Where it is missing they are
//! reported as ignored, with the reason, and never as passed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use std::{
    future::Future,
    process::{Command, ExitCode, Stdio},
};

use libtest_mimic::{Arguments, Completion, Trial};

#[cfg(unix)]
mod apache;
#[cfg(unix)]
mod chromium;
mod curl;
#[cfg(unix)]
mod digests;
#[cfg(unix)]
mod downloads;
#[cfg(unix)]
mod if_modified_since;
#[cfg(unix)]
mod nginx;
#[cfg(unix)]
mod site;
#[cfg(unix)]
mod squid;
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod uploads;

/// Names the tests of a module, which all need one program.
macro_rules! tests {
    ($module:ident, $program:expr, $($test:ident,)+) => {
        [$({
            let name = concat!(stringify!($module), "::", stringify!($test));
            trial(name, $program, $module::$test)
        }),+]
    };
}

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if std::env::args().nth(1).as_deref() == Some(uploads::SERVE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(uploads::serve());
    }
    let mut trials = Vec::new();
    let curl = Program::find("curl", "--version");
    trials.extend(tests![
        curl,
        &curl,
        curl_resumes_a_download_and_never_with_another_version,
        curl_asks_by_the_tag_of_compressed_content,
    ]);
    #[cfg(unix)]
    {
        trials.extend(tests![
            downloads,
            &Program::find("python3", "--version"),
            pip_resumes_a_wheel_and_never_with_another_version,
        ]);
        let sha256sum = Program::find("sha256sum", "--version");
        let both = if curl.is_missing { &curl } else { &sha256sum };
        trials.extend(tests![digests, both, sha256sum_agrees_with_each_digest_that_curl_gets,]);
        let apt = Program::find("apt-get", "--version");
        trials.extend(tests![
            downloads,
            &apt,
            apt_resumes_a_download_and_never_with_another_version,
        ]);
        trials.extend(tests![downloads, &curl, curl_takes_parts_by_if_range_of_one_version_alone,]);
        trials.extend(tests![if_modified_since, &apt, apt_update_keeps_up_with_any_change,]);
        trials.extend(tests![if_modified_since, &curl, curl_keeps_up_with_any_change,]);
        let wget = Program::find("wget", "--version");
        trials.extend(tests![if_modified_since, &wget, wget_keeps_up_with_any_change,]);
        let wget2 = Program::find("wget2", "--version");
        trials.extend(tests![if_modified_since, &wget2, wget2_keeps_up_with_any_change,]);
        let aria2c = Program::find("aria2c", "--version");
        trials.extend(tests![if_modified_since, &aria2c, aria2c_keeps_up_with_any_change,]);
        let apache = Program::find("apache2", "-v");
        trials.extend(tests![apache, &apache, apache_over_http2_takes_each_304,]);
        let chromium = Program::find("chromium", "--version");
        trials.extend(tests![
            chromium,
            &chromium,
            chromium_agrees_with_each_digest,
            chromium_revalidates_a_page_by_the_tag_of_its_coding,
            chromium_seeks_and_plays_on_when_the_file_is_replaced,
        ]);
        let squid = Program::find("squid", "-v");
        trials.extend(tests![squid, &squid, squid_never_puts_two_versions_together,]);
        let nginx = Program::find("nginx", "-v");
        trials.extend(tests![
            nginx,
            &nginx,
            nginx_asks_again_with_the_tag_and_is_told_not_modified,
            nginx_revalidates_with_the_application_and_its_client_with_nginx,
            nginx_answers_304_only_if_it_may_store_the_response,
            nginx_gzip_weakens_the_tag_which_matches_all_the_same,
            nginx_lets_the_application_evaluate_writes_and_a_weakened_tag_fails,
            nginx_stores_what_is_said_to_be_fresh,
            nginx_stores_silent_responses_unless_a_date_brings_no_cache,
        ]);
        #[cfg(feature = "client")]
        trials.extend(tests![
            nginx,
            &nginx,
            nginx_gzip_is_confirmed_to_our_client,
            nginx_gzip_is_not_given_to_another_of_our_clients,
            nginx_passes_the_questions_of_a_polled_value,
        ]);
    }
    #[cfg(target_os = "linux")]
    {
        let python = Program::find("python3", "--version");
        let nghttp = Program::find("nghttp", "--version");
        trials.extend(tests![
            uploads,
            &curl,
            curl_sees_what_becomes_of_an_upload,
            curl_sees_that_a_small_upload_is_refused,
        ]);
        trials.extend(tests![uploads, &python, python_sees_what_becomes_of_an_upload,]);
        trials.extend(tests![uploads, &nghttp, nghttp_sees_what_becomes_of_an_upload,]);
    }
    let mut arguments = Arguments::from_args();
    // They wait for seconds to pass, most of the time.
    arguments.test_threads.get_or_insert(8);
    libtest_mimic::run(&arguments, trials).exit_code()
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

fn trial<F: Future<Output: Into<Outcome>>>(
    name: &str,
    program: &Program,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    let missing = program.is_missing.then(|| format!("{} is not installed", program.name));
    Trial::ignorable_test(name, || {
        if let Some(reason) = missing {
            return Ok(Completion::ignored_with(reason));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(test()).into().0)
    })
}

/// What a test returns: nothing, or that it could not be run.
struct Outcome(Completion);

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self(Completion::Completed)
    }
}

impl From<Completion> for Outcome {
    fn from(completion: Completion) -> Self {
        Self(completion)
    }
}
