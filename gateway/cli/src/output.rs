//! What commands print: to standard output, which may be a pipe that its reader has closed.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints `text` as it is, with one write: standard output would make one for each line.
pub(crate) fn show(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.to_string().as_bytes())?;
    out.flush()
}

/// Whether an error only says that nobody reads the output any more, as in `towpath check DIR | head`.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes
        .into_iter()
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
