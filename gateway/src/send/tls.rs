//! What an https destination is checked against: the system's roots and the destination's own (CONTRACT D2).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Client configurations, one for each distinct set of certificates of a destination.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    system: OnceLock<Vec<CertificateDer<'static>>>,
    configs: Mutex<HashMap<Option<Arc<str>>, Arc<ClientConfig>>>,
}

/// Configurations kept at most; beyond that the cache starts anew. Far above the number of distinct CAs that a
/// set of manifests holds.
const CONFIGS: usize = 256;

impl Trust {
    /// Completes the TLS handshake with `host`. The connection may speak h2 afterwards (ALPN).
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
        host: &str,
        ca_certs: Option<&Arc<str>>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the URL's host is no valid server name",
            )
        })?;
        TlsConnector::from(self.config(ca_certs)?)
            .connect(name, stream)
            .await
    }

    fn config(&self, ca_certs: Option<&Arc<str>>) -> io::Result<Arc<ClientConfig>> {
        let key = ca_certs.cloned();
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(&key) {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        let system = self
            .system
            .get_or_init(|| rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(system.iter().cloned());
        let own = ca_certs.map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes()));
        // Invalid blocks are skipped (D2.1).
        roots.add_parsable_certificates(own.into_iter().flatten().flatten());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        if configs.len() >= CONFIGS {
            configs.clear();
        }
        configs.insert(key, Arc::clone(&config));
        Ok(config)
    }
}
