//! What a connection is made with: files are read here, once, and refused with a sentence.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::SecretString;

use super::copies::CopyMark;
use crate::config::{Mqtt, MqttTls, MqttVersion, Pem, not_pem, secret_file};

#[derive(Debug, Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub version: MqttVersion,
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<SecretString>,
    pub tls: Option<Arc<ClientConfig>>,
    /// Subscribed with QoS 1.
    pub filters: Vec<String>,
    /// What the session that the broker kept was last known to hold.
    pub earlier: Vec<String>,
    /// `online` and, as the will, `offline`, both retained.
    pub status_topic: String,
    /// What the owner should know, as JSON: `connection`, `severity`, `text`.
    pub notice_topic: String,
    /// Where our own test message goes through the broker and back.
    pub loopback_topic: String,
    /// Of this copy of the gateway; none for whoever only looks.
    pub copy: Option<CopyMark>,
    /// As long as the broker takes such a will.
    pub will_retained: bool,
    pub will_qos1: bool,
    pub max_packet_bytes: u32,
    /// Only listens: no session that the broker would keep, no will.
    pub is_guest: bool,
}

impl Settings {
    pub fn from_config(mqtt: &Mqtt, filters: Vec<String>) -> Result<Self> {
        let password = mqtt.password_file.as_deref().map(secret_file).transpose()?;
        Ok(Self {
            host: mqtt.host.clone(),
            port: mqtt.port,
            version: mqtt.version,
            client_id: mqtt.client_id.clone(),
            username: mqtt.username.clone(),
            password,
            tls: mqtt.tls.as_ref().map(client_config).transpose()?.map(Arc::new),
            filters,
            earlier: Vec::new(),
            copy: None,
            will_retained: true,
            will_qos1: true,
            status_topic: format!("bellwire/{}/status", mqtt.client_id),
            notice_topic: format!("bellwire/{}/notice", mqtt.client_id),
            loopback_topic: format!("bellwire/{}/loopback", mqtt.client_id),
            max_packet_bytes: mqtt.max_packet_bytes,
            is_guest: false,
        })
    }

    /// What the broker has to allow for our own test message.
    #[must_use]
    pub fn right_to_loop(&self) -> String {
        let whose = match &self.username {
            Some(user) => format!("give the user {user} the right"),
            None => "give clients without a password the right".to_owned(),
        };
        format!(
            "{whose} to read and write it (in mosquitto's acl_file: topic readwrite {})",
            self.loopback_topic
        )
    }
}

fn client_config(tls: &MqttTls) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots
                    .add(certificate)
                    .with_context(|| format!("{} holds no usable CA certificate", file.display()))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .with_root_certificates(roots);
    match (&tls.client_certificate_file, &tls.client_key_file) {
        (Some(certificate), Some(key)) => {
            if let Some(told) = not_pem(key, Pem::Key) {
                bail!(told);
            }
            let private = PrivateKeyDer::from_pem_file(key)
                .with_context(|| format!("{} holds no private key in PEM form", key.display()))?;
            builder.with_client_auth_cert(certificates(certificate)?, private).with_context(|| {
                format!("{} and {} do not belong together", certificate.display(), key.display())
            })
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    if let Some(told) = not_pem(file, Pem::Certificate) {
        bail!(told);
    }
    let read =
        CertificateDer::pem_file_iter(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let certificates: Vec<_> = read
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} holds no certificate in PEM form", file.display()))?;
    Ok(certificates)
}
