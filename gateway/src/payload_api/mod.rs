//! The payload API: signed URLs at which subscribers read payloads and leave those of their replies.
#![doc = include_str!("README.md")]

mod attempts;
mod body;
mod key_file;
mod keys;
mod open;
mod range;
mod reference;
mod refusal;
mod serve;
mod shown;
#[cfg(test)]
mod tests;
mod token;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use towpath_payloads::Grace;

use crate::admission::Admission;

pub(crate) use attempts::{AttemptGuard, Attempts};
pub(crate) use body::ReadBody;
pub(crate) use key_file::{KeyFile, KeyFileError, KeySource};
pub(crate) use keys::{Keys, KeysError};
pub use open::ApiError;
pub(crate) use reference::{Answered, MAX_BASE, PATH, classify, present, strip, strip_copied, url};
pub(crate) use serve::serve;
pub(crate) use shown::Shown;
pub(crate) use token::{Purpose, Token};

/// What the payload API works from.
#[derive(Debug)]
pub(crate) struct Api {
    /// Where its URLs begin: no slash at the end, at most [`MAX_BASE`] bytes (setting payloads.url).
    pub(crate) base: Box<str>,
    /// What signs them.
    pub(crate) keys: Arc<KeySource>,
    /// Where payloads rest, and what bounds those that come in.
    pub(crate) admission: Admission,
    /// Payloads that were shown by reference.
    pub(crate) shown: Shown,
    /// What keeps them after the subscriber's 2xx (setting payloads.referenceGrace).
    pub(crate) grace: Grace,
    /// Attempts whose subscriber may upload.
    pub(crate) attempts: Attempts,
    /// Longest pause inside an upload (setting timeouts.bodyIdle).
    pub(crate) body_idle: Duration,
}
