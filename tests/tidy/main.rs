//! What the compiler cannot see: sizes, directions, and names that code and documents share.
//!
//! Each check is a function from texts to complaints, so that each is also shown something wrong and must complain.

mod crates;
mod docs;
mod files;
mod modules;
mod repository;
mod sources;

use repository::{File, repository};

/// Fails with every complaint, one a line.
fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Complaints of one check over all files of the repository.
fn over_files(check: impl Fn(&File) -> Vec<String>) -> Vec<String> {
    repository().iter().flat_map(check).collect()
}
