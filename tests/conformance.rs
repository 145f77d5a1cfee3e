//! The checks for users' own tests: each must be able to fail, and what is right must pass.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;

use tower_conditional::conformance::Verdict;

use self::served::{checked, names_of_failures, right};

mod broken;
mod served;

#[tokio::test]
async fn what_is_right_passes_all() {
    let report = checked(right).await;
    report.assert_ok();
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");
    let moot = report.iter().filter(|finding| *finding.verdict() != Verdict::Passed).map(|finding| finding.name());
    assert_eq!(moot.collect::<Vec<_>>(), ["if-unmodified-since/without-date"], "{report}");
}

#[tokio::test]
async fn each_fault_is_named_by_the_check_for_it_and_by_no_other() {
    let mut wrong = Vec::new();
    for (name, fault, serve) in broken::all() {
        let report = checked(serve).await;
        if names_of_failures(&report) != [name] {
            wrong.push(format!("{name}: {fault}: {:?}", names_of_failures(&report)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn each_check_can_fail() {
    let able: BTreeSet<_> = broken::all().iter().map(|(name, _, _)| *name).collect();
    let report = checked(right).await;
    let all: BTreeSet<_> = report.iter().map(|finding| finding.name()).collect();
    assert_eq!(all.difference(&able).collect::<Vec<_>>(), [&""; 0]);
}
