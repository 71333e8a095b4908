//! Questions about the account: what a diagnosis and a set-up ask beside the sending (docs/cloud-api.md 6).

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::client::{ANSWER_MAX_BYTES, Client, causes, read_error, whole};
use crate::outbox::retry_policy::Refusal;
use crate::time::Timestamp;

/// Where and as whom to ask.
#[derive(Debug, Clone)]
pub struct GraphApi {
    pub url: String,
    pub version: String,
    pub access_token: SecretString,
}

/// An answer, whatever it says.
#[derive(Debug, Clone)]
pub struct GraphAnswer {
    pub status: StatusCode,
    /// The other side's clock.
    pub date: Option<Timestamp>,
    pub body: Bytes,
    headers: HeaderMap,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum NoAnswer {
    #[error("{0}")]
    Unreachable(String),
    #[error("Meta refuses with code {}: {}", .0.code, .0.details)]
    Refused(Refusal),
    #[error("what answered is not the Cloud API (a proxy or a captive portal?): HTTP {0}")]
    NotTheApi(StatusCode),
}

impl Client {
    /// Asks about a node: `path` begins after the version, and carries its query.
    pub async fn ask(&self, api: &GraphApi, path: &str) -> Result<Value, NoAnswer> {
        let url = format!("{}/{}/{path}", api.url, api.version);
        let answered = self.request(Method::GET, &url, Some(&api.access_token), None).await?;
        answered.json()
    }

    /// Changes something about a node.
    pub async fn tell(&self, api: &GraphApi, path: &str, body: &Value) -> Result<Value, NoAnswer> {
        let url = format!("{}/{}/{path}", api.url, api.version);
        let answered = self.request(Method::POST, &url, Some(&api.access_token), Some(body)).await?;
        answered.json()
    }

    /// One request to any address.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        bearer: Option<&SecretString>,
        body: Option<&Value>,
    ) -> Result<GraphAnswer, NoAnswer> {
        let unreachable = |what: String| NoAnswer::Unreachable(what);
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(USER_AGENT, concat!("bellwire/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        let content = body.map(|body| Bytes::from(body.to_string()));
        if content.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        // The address itself is left out of the sentence: a token may stand in its query.
        let request = request
            .body(whole(content.unwrap_or_default()))
            .map_err(|error| unreachable(format!("the request cannot be formed: {error}")))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| unreachable(causes(&error)))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
            let body =
                body.map_err(|error| unreachable(format!("the answer broke off ({error})")))?.to_bytes();
            let date = headers.get(DATE).and_then(|date| Timestamp::from_http_date(date.to_str().ok()?));
            Ok(GraphAnswer { status, date, body, headers })
        };
        let seconds = self.deadlines.answer.as_secs();
        tokio::time::timeout(self.deadlines.answer, exchange)
            .await
            .unwrap_or_else(|_| Err(unreachable(format!("no answer came within {seconds} s"))))
    }
}

impl GraphAnswer {
    /// Meta's answer, or its refusal.
    pub fn json(&self) -> Result<Value, NoAnswer> {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        if let Some(code) = json["error"]["code"].as_i64() {
            return Err(NoAnswer::Refused(read_error(&json["error"], code, self.status, &self.headers)));
        }
        if json.is_object() && self.status.is_success() {
            Ok(json)
        } else {
            Err(NoAnswer::NotTheApi(self.status))
        }
    }
}

/// All but the unreserved characters of RFC 3986, 2.3.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A word as part of a query.
#[must_use]
pub fn escape(word: &str) -> String {
    utf8_percent_encode(word, &ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_query_cannot_end_it() {
        assert_eq!(escape("EAA-b_c.d~1|2&x=ü"), "EAA-b_c.d~1%7C2%26x%3D%C3%BC");
    }
}
