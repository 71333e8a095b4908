//! The connection to Meta: one request, one answer, and no second request that nobody asked for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body as _;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::errors::{ApiMessage, refusal};
use crate::ids::Wamid;
use crate::outbox::retry_policy::{AcceptedMessage, ApiAnswer, Class, Refusal};

/// Meta's answers to a message have about 300 bytes; a page of a hundred templates about 200 KiB.
pub(super) const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// A connection that was idle longer may be dead without our knowing (docs/reliability.md F36).
const IDLE: Duration = Duration::from_secs(15);

/// Half a megabit a second: a large file has as much more time.
const SLOWEST_BYTES_A_SECOND: u64 = 64 * 1024;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// What goes out with a request: bytes, or a file that comes in pieces.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// An answer as it came, or why there is none.
pub type Exchanged = Result<(StatusCode, HeaderMap, Bytes), ApiAnswer>;

/// A body that is in memory.
#[must_use]
pub fn whole(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

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
    /// It is a hub of ours that asks Meta (`whatsapp/hub.rs`).
    pub via_hub: bool,
}

#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: legacy::Client<HttpsConnector<HttpConnector>, RequestBody>,
    pub(super) deadlines: Deadlines,
}

impl Client {
    pub fn new(deadlines: Deadlines) -> anyhow::Result<Self> {
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
    pub async fn send(&self, endpoint: &Endpoint, body: Vec<u8>) -> ApiAnswer {
        let path = format!("{}/messages", endpoint.phone_number_id);
        let json = Some("application/json");
        match self.call(Method::POST, endpoint, &path, json, whole(body)).await {
            Ok((status, headers, body)) => judge(status, &headers, &body),
            Err(answer) => answer,
        }
    }

    /// Asks for something; `path` is what stands behind the version, query included.
    pub async fn get(&self, endpoint: &Endpoint, path: &str) -> Result<Value, ApiAnswer> {
        let (status, headers, body) =
            self.call(Method::GET, endpoint, path, None, whole(Bytes::new())).await?;
        match serde_json::from_slice(&body) {
            Ok(value) if status.is_success() => Ok(value),
            _ => Err(judge(status, &headers, &body)),
        }
    }

    /// One request as it is, and the answer as it came.
    pub async fn call(
        &self,
        method: Method,
        endpoint: &Endpoint,
        path: &str,
        content_type: Option<&str>,
        body: RequestBody,
    ) -> Exchanged {
        let content_type = content_type.map(|content_type| (CONTENT_TYPE, content_type.to_owned()));
        self.call_with(method, endpoint, path, content_type.into_iter().collect(), body).await
    }

    pub(super) async fn call_with(
        &self,
        method: Method,
        endpoint: &Endpoint,
        path: &str,
        headers: Vec<(HeaderName, String)>,
        body: RequestBody,
    ) -> Exchanged {
        let size = body.size_hint().exact().unwrap_or_default();
        let deadline = self.deadlines.answer + Duration::from_secs(size / SLOWEST_BYTES_A_SECOND);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/{}/{path}", endpoint.api_url, endpoint.api_version))
            .header(AUTHORIZATION, format!("Bearer {}", endpoint.access_token.expose_secret()))
            .header(USER_AGENT, concat!("bellwire/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(body).map_err(|error| {
            ApiAnswer::Offline(format!(
                "the request cannot be formed ({error}); check api_url and the token file"
            ))
        })?;
        match tokio::time::timeout(deadline, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ambiguous(format!("no answer came within {} s", deadline.as_secs()), None)),
        }
    }

    async fn exchange(&self, request: Request<RequestBody>) -> Exchanged {
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Err(ApiAnswer::Offline(causes(&error))),
            Err(error) => {
                let what = format!("the connection broke before the answer ({})", causes(&error));
                return Err(ambiguous(what, None));
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        match Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await {
            Ok(body) => Ok((status, headers, body.to_bytes())),
            Err(error) => Err(ambiguous(format!("the answer broke off ({error})"), Some(status))),
        }
    }
}

/// What an answer means (docs/cloud-api.md 4.1: decide on the code; the HTTP status is no safe guide).
#[must_use]
pub fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ApiAnswer {
    let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if let Some(wamid) = json["messages"][0]["id"].as_str().filter(|_| status.is_success()) {
        let to = &json["contacts"][0];
        let to = to["wa_id"].as_str().or_else(|| to["user_id"].as_str()).map(str::to_owned);
        return ApiAnswer::Accepted(AcceptedMessage { wamid: Wamid(wamid.to_owned()), to });
    }
    if let Some(code) = json["error"]["code"].as_i64() {
        return ApiAnswer::Refused(read_error(&json["error"], code, status, headers));
    }
    let what = "the answer is not the Cloud API's (a proxy or a captive portal?)".to_owned();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return ApiAnswer::Refused(Refusal {
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
        return ApiAnswer::Offline(format!("{what}, HTTP {status}"));
    }
    ambiguous(what, Some(status))
}

pub(super) fn read_error(error: &Value, code: i64, status: StatusCode, headers: &HeaderMap) -> Refusal {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let details = text(&error["error_data"]["details"])
        .or_else(|| text(&error["error_data"]))
        .or_else(|| text(&error["message"]))
        .unwrap_or_else(|| "Meta gave no details".into());
    refusal(ApiMessage {
        code,
        subcode: error["error_subcode"].as_i64(),
        details,
        fbtrace_id: text(&error["fbtrace_id"]),
        http_status: Some(status.as_u16()),
        retry_after: retry_after(headers),
    })
}

/// `Retry-After` in seconds, or `estimated_time_to_regain_access` in minutes (docs/cloud-api.md 5.5).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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

fn ambiguous(detail: String, status: Option<StatusCode>) -> ApiAnswer {
    ApiAnswer::Ambiguous { detail, http_status: status.map(|status| status.as_u16()), fbtrace_id: None }
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

#[cfg(test)]
mod decisions;
