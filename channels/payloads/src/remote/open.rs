//! Opening a store elsewhere: what can be wrong with its settings, and whom it trusts.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why an object store or a nats store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting that cannot be.
    #[error("{setting} is `{value}`: {why}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what would be right.
        why: &'static str,
    },
    /// A file or directory that cannot be used.
    #[error("{setting} is {}: {source}", path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The client cannot be made of these settings.
    #[error("the store cannot be opened with these settings: {0}")]
    Client(Box<str>),
}

impl OpenError {
    pub(crate) fn setting(setting: &'static str, value: &dyn Display, why: &'static str) -> Self {
        let value = value.to_string();
        Self::Setting {
            setting,
            value,
            why,
        }
    }

    pub(crate) fn file(setting: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::File {
            setting,
            path,
            source,
        }
    }
}

/// Trusts the system's certificates, and those in `ca_file` (PEM), which `setting` names.
pub(crate) fn tls(
    setting: &'static str,
    ca_file: Option<&Path>,
) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add(&mut roots, path).map_err(|source| OpenError::file(setting, path, source))?;
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Client(error.to_string().into()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn add(roots: &mut RootCertStore, path: &Path) -> io::Result<()> {
    let pem = std::fs::read(path)?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| io::Error::other(error.to_string()))?;
        roots.add(certificate).map_err(io::Error::other)?;
        found = true;
    }
    if found {
        return Ok(());
    }
    Err(io::Error::other("there is no certificate in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        for text in [
            None,
            Some(""),
            Some("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
        ] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = tls("store.nats.caFile", Some(&path))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("store.nats.caFile") && error.contains("ca.pem"),
                "{error}"
            );
        }
        tls("store.nats.caFile", None).unwrap();
    }
}
