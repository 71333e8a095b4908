//! The connection to Meta: one request, one answer, and no second request that nobody asked for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::errors::{Said, refusal};
use crate::alert::delivery::{Answer, Class, Refusal};
use crate::ids::Wamid;

/// Meta's answers have about 300 bytes; a proxy's error page a few thousand.
pub(super) const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// A connection that was idle longer may be dead without our knowing (RELIABILITY F36).
const IDLE: Duration = Duration::from_secs(15);

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For TCP and TLS together.
    pub connect: Duration,
    /// For the whole request.
    pub answer: Duration,
}

impl Default for Deadlines {
    /// Ten seconds connect over a poor mobile line; thirty is longer than any answer of Meta's that still comes.
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), answer: Duration::from_secs(30) }
    }
}

/// Where and as whom to send.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub api_url: String,
    pub api_version: String,
    pub phone_number_id: String,
    pub access_token: SecretString,
}

#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    pub(super) deadlines: Deadlines,
}

impl Client {
    pub fn new(deadlines: Deadlines) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(deadlines.connect));
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .context("TLS cannot be set up")?
                .with_root_certificates(rustls::RootCertStore {
                    roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
                })
                .with_no_client_auth();
        // Plain HTTP is for simulators: `config` allows it on this machine alone.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .retry_canceled_requests(false) // whether to send again is not the library's to decide
            .build(connector);
        Ok(Self { http, deadlines })
    }

    /// Posts one message and says what the answer means.
    pub async fn send(&self, endpoint: &Endpoint, body: Vec<u8>) -> Answer {
        let url =
            format!("{}/{}/{}/messages", endpoint.api_url, endpoint.api_version, endpoint.phone_number_id);
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(AUTHORIZATION, format!("Bearer {}", endpoint.access_token.expose_secret()))
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("bellwire/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                return Answer::Offline(format!(
                    "the request cannot be formed ({error}); check api_url and the token file"
                ));
            }
        };
        match tokio::time::timeout(self.deadlines.answer, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => ambiguous(format!("no answer came within {} s", self.deadlines.answer.as_secs()), None),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Answer::Offline(causes(&error)),
            Err(error) => {
                return ambiguous(
                    format!("the connection broke before the answer ({})", causes(&error)),
                    None,
                );
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        match Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await {
            Ok(body) => judge(status, &headers, &body.to_bytes()),
            Err(error) => ambiguous(format!("the answer broke off ({error})"), Some(status)),
        }
    }
}

/// What an answer means (FACTS 4.1: decide on the code; the HTTP status is no safe guide).
#[must_use]
pub fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if let Some(wamid) = json["messages"][0]["id"].as_str().filter(|_| status.is_success()) {
        return Answer::Accepted(Wamid(wamid.to_owned()));
    }
    if let Some(code) = json["error"]["code"].as_i64() {
        return Answer::Refused(read_error(&json["error"], code, status, headers));
    }
    let what = "the answer is not the Cloud API's (a proxy or a captive portal?)".to_owned();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Answer::Refused(Refusal {
            code: 429,
            class: Class::Throttle,
            details: "too many requests".into(),
            fbtrace_id: None,
            http_status: Some(429),
            advice: "nothing; it is sent more slowly".into(),
            retry_after: retry_after(headers),
        });
    }
    if status.is_client_error() || status.is_redirection() {
        return Answer::Offline(format!("{what}, HTTP {status}"));
    }
    ambiguous(what, Some(status))
}

pub(super) fn read_error(error: &Value, code: i64, status: StatusCode, headers: &HeaderMap) -> Refusal {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let details = text(&error["error_data"]["details"])
        .or_else(|| text(&error["error_data"]))
        .or_else(|| text(&error["message"]))
        .unwrap_or_else(|| "Meta gave no details".into());
    refusal(Said {
        code,
        subcode: error["error_subcode"].as_i64(),
        details,
        fbtrace_id: text(&error["fbtrace_id"]),
        http_status: Some(status.as_u16()),
        retry_after: retry_after(headers),
    })
}

/// `Retry-After` in seconds, or `estimated_time_to_regain_access` in minutes (FACTS 5.5).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let seconds =
        header("retry-after").and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
    let minutes = || {
        let usage: Value = serde_json::from_str(header("x-business-use-case-usage")?).ok()?;
        let uses = usage.as_object()?.values().filter_map(Value::as_array).flatten();
        uses.filter_map(|one| one["estimated_time_to_regain_access"].as_u64())
            .max()
            .filter(|minutes| *minutes > 0)
    };
    seconds.or_else(|| minutes().map(|minutes| Duration::from_secs(minutes.saturating_mul(60))))
}

fn ambiguous(detail: String, status: Option<StatusCode>) -> Answer {
    Answer::Ambiguous { detail, http_status: status.map(|status| status.as_u16()), fbtrace_id: None }
}

/// The innermost cause is the one that a person can act on: refused, no such host, certificate expired.
pub(super) fn causes(error: &legacy::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    if text.contains("NotValidYet") || text.contains("not valid yet") {
        return "the certificate is not valid yet by this machine's clock; is the clock set?".into();
    }
    text
}
