//! Where the topology comes from: so far a folder of manifests.

mod files;

use towpath_config::compile::Report;

pub(crate) use files::watch;
pub use files::{FolderError, read_folder};

/// Notes of one configuration that are logged; `towpath check` shows all of them.
const LOGGED: usize = 20;

/// Logs what is odd of a configuration and yet in force.
pub(crate) fn log_notes(report: &Report) {
    for note in report.notes.iter().take(LOGGED) {
        tracing::warn!("{note}");
    }
    let more = report.notes.len().saturating_sub(LOGGED);
    if more > 0 {
        tracing::warn!(
            more,
            "more notes on the manifests: `towpath check` shows them"
        );
    }
}
