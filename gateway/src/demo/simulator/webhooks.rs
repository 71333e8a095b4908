//! Signed webhooks, sent again until they are taken, as Meta does (FACTS 3.3): anything but 200 is tried again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};

use super::faults::Statuses;
use super::serve::Simulator;
use super::world::{Sent, World};
use crate::whatsapp::signature::sign;

/// Posts under way at once.
const CONCURRENT: usize = 16;
/// Meta tries for days; half an hour is more than any test waits.
const TRIES: u32 = 80;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_LIMIT: Duration = Duration::from_secs(30);
/// Meta does not say how long it waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between sent, delivered and read.
const STEP: Duration = Duration::from_millis(30);

#[derive(Clone)]
pub struct Postman {
    url: Option<Arc<str>>,
    secret: SecretString,
    client: Client<HttpConnector, Full<Bytes>>,
    permits: Arc<Semaphore>,
}

impl Postman {
    pub fn new(url: Option<String>, secret: SecretString) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { url: url.map(Into::into), secret, client, permits: Arc::new(Semaphore::new(CONCURRENT)) }
    }

    /// What happens to a message that was taken.
    pub fn receipts(&self, world: Arc<Mutex<World>>, sent: Sent, wishes: Statuses) {
        let postman = self.clone();
        tokio::spawn(async move {
            let mut words: Vec<&'static str> = match wishes.fail_code {
                Some(_) => vec!["sent", "failed"],
                None => vec!["sent", "delivered", "read"],
            };
            if wishes.reorder {
                words.reverse();
            }
            for word in words {
                tokio::time::sleep(STEP).await;
                let at = {
                    let mut world = world.lock().await;
                    world.mark(&sent.id, word);
                    Simulator::now(&world).0 / 1_000
                };
                if wishes.drop {
                    continue;
                }
                let body =
                    envelope(&sent.phone_number_id, "statuses", status(&sent, word, at, wishes.fail_code));
                for _ in 0..wishes.duplicate.unwrap_or(1) {
                    postman.deliver(&body, wishes.forge).await;
                }
            }
        });
    }

    /// A person wrote.
    pub fn message(&self, phone_number_id: &str, message: Value) {
        let (postman, body) = (self.clone(), envelope(phone_number_id, "messages", message));
        tokio::spawn(async move { postman.deliver(&body, false).await });
    }

    async fn deliver(&self, body: &Value, forge: bool) {
        let Some(url) = &self.url else { return };
        let body = as_meta_writes(body);
        let secret = if forge { SecretString::from("not the app secret") } else { self.secret.clone() };
        let signature = sign(&secret, body.as_bytes());
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            if self.post(url, &body, &signature).await == Some(StatusCode::OK) || forge {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LIMIT);
        }
        tracing::warn!(url = %url, "a webhook was given up");
    }

    async fn post(&self, url: &str, body: &str, signature: &str) -> Option<StatusCode> {
        let _permit = self.permits.acquire().await.ok()?;
        let request = Request::post(url)
            .header("content-type", "application/json")
            .header("user-agent", "facebookexternalua")
            .header("x-hub-signature-256", signature)
            .body(Full::new(Bytes::from(body.to_owned())))
            .ok()?;
        let response = tokio::time::timeout(DEADLINE, self.client.request(request)).await.ok()?.ok()?;
        Some(response.status())
    }
}

fn envelope(phone_number_id: &str, kind: &str, item: Value) -> Value {
    let person =
        item["from"].as_str().or_else(|| item["recipient_id"].as_str()).unwrap_or_default().to_owned();
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "900000000000001", "changes": [{ "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": { "display_phone_number": "15550100100", "phone_number_id": phone_number_id },
            "contacts": [{ "profile": { "name": "Simulated Person" }, "wa_id": person }],
            kind: [item],
        } }] }] })
}

fn status(sent: &Sent, word: &str, at: i64, fail_code: Option<i64>) -> Value {
    let mut status = json!({ "id": sent.id, "status": word, "timestamp": at.to_string(),
                             "recipient_id": sent.to.trim_start_matches('+') });
    if let Some(data) = sent.body["biz_opaque_callback_data"].as_str() {
        status["biz_opaque_callback_data"] = json!(data);
    }
    if let Some(code) = fail_code.filter(|_| word == "failed") {
        status["errors"] = json!([{ "code": code, "title": "as the simulator was told",
                                    "error_data": { "details": "as the simulator was told" } }]);
    }
    status
}

/// Meta escapes what is not ASCII as `\uXXXX`, and `/` as `\/` (FACTS 3.2): a signature over a body that was parsed and
/// written again would be wrong.
fn as_meta_writes(body: &Value) -> String {
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
        let written = as_meta_writes(&json!({ "text": "ü 🧊 a/b" }));
        assert_eq!(written, r#"{"text":"\u00fc \ud83e\uddca a\/b"}"#);
        let read: Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(read["text"], "ü 🧊 a/b");
    }
}
