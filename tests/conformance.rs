//! The checks for users' own tests: each must be able to fail, and what is right must pass.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use self::served::{checked, names_of_failures, right};

mod served;

#[tokio::test]
async fn what_is_right_passes_all() {
    let report = checked(right).await;
    println!("{report:#}");
    assert_eq!(names_of_failures(&report), [""; 0], "{report}");
}
