//! The one request that goes out from here: an escalation's last resort, to another program.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Another program on this site answers in milliseconds; one far away may take some seconds.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Poster(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Poster {
    pub fn new() -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(ANSWER));
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .context("TLS cannot be set up")?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        // No connection is kept: the next alarm is hours away.
        let client = legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self(client))
    }

    /// Posts JSON; the sentence says what came back.
    pub async fn post(&self, url: &str, body: String) -> Result<String, String> {
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("bellwire/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| format!("the request cannot be formed ({error})"))?;
        match tokio::time::timeout(ANSWER, self.0.request(request)).await {
            Ok(Ok(response)) if response.status().is_success() => {
                Ok(format!("answered {}", response.status()))
            }
            Ok(Ok(response)) => Err(format!("answered {}", response.status())),
            Ok(Err(error)) => Err(format!("not reached ({error})")),
            Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
        }
    }
}
