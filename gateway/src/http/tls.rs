//! TLS from files. They are read again when they have changed: whoever renews a certificate needs no restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A chain with its key.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: Mutex<(Option<SystemTime>, TlsAcceptor)>,
}

impl Certificate {
    pub fn read(chain: PathBuf, key: PathBuf) -> Result<Self> {
        let current = Mutex::new((changed_at(&chain), acceptor(&chain, &key)?));
        Ok(Self { chain, key, current })
    }

    /// With the certificate as it is now; with the one before while the new one cannot be read.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed_at(&self.chain);
        if changed != current.0 {
            match acceptor(&self.chain, &self.key) {
                Ok(fresh) => {
                    tracing::info!(file = %self.chain.display(), "the certificate was read again");
                    *current = (changed, fresh);
                }
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the new certificate cannot be used; the one before still is"
                ),
            }
        }
        current.1.clone()
    }
}

fn changed_at(path: &std::path::Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn acceptor(chain: &std::path::Path, key: &std::path::Path) -> Result<TlsAcceptor> {
    let unreadable = |path: &std::path::Path| {
        format!("{} cannot be read; it must be PEM, readable by the user that runs bellwire", path.display())
    };
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable(chain))?;
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("no version of TLS is left")?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .with_context(|| format!("{} does not belong to {}", key.display(), chain.display()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
