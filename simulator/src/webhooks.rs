//! Signed webhooks, sent again until they are taken, as Meta does (docs/cloud-api.md 3.3): anything but 200 is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::account::{Account, DISPLAY_NUMBER};
use crate::signature::sign;

/// Posts under way at once.
const CONCURRENT: usize = 16;
/// Posts that wait for their turn or their next try; what comes on top is dropped with a warning, so that a gateway that
/// stays away for a day does not fill the memory.
const WAITING_MAX: usize = 20_000;
/// Meta tries for days; half an hour is more than any test waits.
const TRIES: u32 = 80;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_LIMIT: Duration = Duration::from_secs(30);
/// Meta does not say how long it waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// A challenge is echoed; more than this is none.
const CHALLENGE_MAX: usize = 4_096;

/// The form of webhooks. It follows the app's subscription, not the version in a request's url (docs/cloud-api.md 0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forms {
    pub version: String,
    /// The business-scoped user ids of April 2026.
    pub user_ids: bool,
    /// Whether `failed` statuses have `contacts`: Meta's page says no, examples of pywa's yes.
    pub failed_contacts: bool,
}

impl Default for Forms {
    fn default() -> Self {
        Self { version: "v25.0".to_owned(), user_ids: true, failed_contacts: false }
    }
}

impl Forms {
    /// Until v23.0 (docs/cloud-api.md 3.7).
    pub fn has_conversation(&self) -> bool {
        let major =
            self.version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        major.is_some_and(|major: u32| major < 24)
    }
}

#[derive(Clone)]
pub struct Postman {
    secret: SecretString,
    client: Client<HttpConnector, Full<Bytes>>,
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Postman {
    pub fn new(secret: SecretString) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { secret, client, permits: Arc::new(Semaphore::new(CONCURRENT)), waiting: Arc::default() }
    }

    /// Posts until it is taken; a forged one is posted once.
    pub async fn deliver(&self, url: &str, body: &str, forge: bool) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            tracing::warn!(url, "too many webhooks wait: one is dropped");
        } else {
            self.insist(url, body, forge).await;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    async fn insist(&self, url: &str, body: &str, forge: bool) {
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            if self.post(url, body, forge).await == Some(StatusCode::OK) || forge {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LIMIT);
        }
        tracing::warn!(url, "a webhook was given up");
    }

    /// Posts once; the status, or none when there was no answer.
    pub async fn post(&self, url: &str, body: &str, forge: bool) -> Option<StatusCode> {
        let _permit = self.permits.acquire().await.ok()?;
        let secret = if forge { SecretString::from("not the app secret") } else { self.secret.clone() };
        let request = Request::post(url)
            .header("content-type", "application/json")
            .header("user-agent", "facebookexternalua")
            .header("x-hub-signature-256", sign(&secret, body.as_bytes()))
            .body(Full::new(Bytes::from(body.to_owned())))
            .ok()?;
        let response = tokio::time::timeout(DEADLINE, self.client.request(request)).await.ok()?.ok()?;
        Some(response.status())
    }

    /// Meta's verification request (docs/cloud-api.md 3.1): the status, and whether the challenge came back as it was.
    pub async fn handshake(&self, url: &str, token: &SecretString) -> (Option<u16>, bool) {
        const CHALLENGE: &str = "1158201444";
        let mark = if url.contains('?') { '&' } else { '?' };
        let token = utf8_percent_encode(token.expose_secret(), NON_ALPHANUMERIC);
        let url = format!("{url}{mark}hub.mode=subscribe&hub.challenge={CHALLENGE}&hub.verify_token={token}");
        let Ok(request) = Request::get(url).header("user-agent", "facebookplatform").body(Full::default())
        else {
            return (None, false);
        };
        let Ok(Ok(response)) = tokio::time::timeout(DEADLINE, self.client.request(request)).await else {
            return (None, false);
        };
        let status = response.status();
        let body = Limited::new(response.into_body(), CHALLENGE_MAX).collect().await;
        let echoed = body.is_ok_and(|body| body.to_bytes() == CHALLENGE);
        (Some(status.as_u16()), status == StatusCode::OK && echoed)
    }
}

/// The body of field `messages` with messages or statuses.
pub fn messages(account: &Account, number: &str, contacts: Vec<Value>, kind: &str, items: &[Value]) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": DISPLAY_NUMBER, "phone_number_id": number },
        kind: items,
    });
    if !contacts.is_empty() {
        value["contacts"] = json!(contacts);
    }
    envelope(account.id(), None, "messages", &value)
}

/// `time` (Unix seconds) is there for management fields (docs/cloud-api.md 3.4).
pub fn envelope(account: &str, time: Option<i64>, field: &str, value: &Value) -> Value {
    let mut entry = json!({ "id": account, "changes": [{ "field": field, "value": value }] });
    if let Some(time) = time {
        entry["time"] = json!(time);
    }
    json!({ "object": "whatsapp_business_account", "entry": [entry] })
}

/// Meta escapes what is not ASCII as `\uXXXX`, and `/` as `\/` (docs/cloud-api.md 3.2): a signature over a body that was parsed and
/// written again would be wrong.
pub fn written(body: &Value) -> String {
    let mut written = String::new();
    for character in body.to_string().chars() {
        match character {
            '/' => written.push_str("\\/"),
            ascii if ascii.is_ascii() => written.push(ascii),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_written_as_meta_writes_it() {
        let written = written(&json!({ "text": "ü 🧊 a/b" }));
        assert_eq!(written, r#"{"text":"\u00fc \ud83e\uddca a\/b"}"#);
        let read: Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(read["text"], "ü 🧊 a/b");
    }
}
