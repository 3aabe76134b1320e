//! Opens the payload API as the settings say.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;
use towpath_config::settings::Settings;
use towpath_payloads::Grace;

use crate::admission::Admission;

use super::{Api, Attempts, KeyFile, KeyFileError, KeySource, Keys, KeysError, MAX_BASE, Shown};

/// Why the payload API cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The URL is so long that a reference would be longer than a `dataref` may be.
    #[error(
        "payloads.url has {len} bytes, more than {MAX_BASE}, so that a reference would have over 256; use a shorter host name"
    )]
    LongUrl {
        /// Its length in bytes.
        len: usize,
    },
    /// The keys cannot be read.
    #[error("payloads.keyFile: {0}")]
    KeyFile(String),
    /// No key can be made.
    #[error("no key for payload URLs can be made: {0}")]
    Random(String),
}

impl From<KeyFileError> for ApiError {
    fn from(error: KeyFileError) -> Self {
        Self::KeyFile(error.to_string())
    }
}

impl From<KeysError> for ApiError {
    fn from(error: KeysError) -> Self {
        Self::Random(error.to_string())
    }
}

impl Api {
    /// The API of a gateway that listens at `listening`, within `admission`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) fn open(
        settings: &Settings,
        listening: SocketAddr,
        admission: &Admission,
    ) -> Result<Self, ApiError> {
        let base = match &settings.payloads.url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => {
                if listening.ip().is_unspecified() {
                    tracing::warn!(
                        %listening,
                        "subscribers that are shown payloads by reference get an address that means nothing to them; set payloads.url"
                    );
                }
                format!("http://{listening}")
            }
        };
        if base.len() > MAX_BASE {
            return Err(ApiError::LongUrl { len: base.len() });
        }
        let keys = match &settings.payloads.key_file {
            Some(path) => KeySource::File(KeyFile::open(path, Instant::now())?),
            None => KeySource::Fixed(Arc::new(Keys::random()?)),
        };
        Ok(Self {
            base: base.into(),
            keys: Arc::new(keys),
            admission: admission.clone(),
            shown: Shown::default(),
            grace: Grace::start(settings.payloads.reference_grace),
            attempts: Attempts::default(),
            body_idle: settings.timeouts.body_idle,
        })
    }
}
