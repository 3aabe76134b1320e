//! "Direct": each step POSTs the event on to the next and answers once it has been answered.

use super::{Deployment, Entry, steps};
use anyhow::Result;

/// Starts the steps; there is nothing between them.
///
/// # Errors
/// A step process cannot be started.
pub(super) fn start() -> Result<Deployment> {
    let steps = steps::start(true)?;
    let [even, _] = &steps;
    let entry = Entry {
        address: even.address,
        path: "/step/0".to_owned(),
    };
    Ok(Deployment {
        steps,
        between: Vec::new(),
        _manifests: None,
        forward: true,
        entry,
    })
}
