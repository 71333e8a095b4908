//! What we do with messages that people wrote: show that they were read, fetch their files (docs/cloud-api.md 1.4, 2).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{AUTHORIZATION, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::client::{Client, Endpoint, causes, whole};
use super::request::mark_read;
use crate::outbox::retry_policy::{ApiAnswer, Class, sentence};

/// Sixteen MiB over half a megabit a second take four and a half minutes; Meta's address is good for five.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoFile {
    /// Meta cannot be reached, or not now: that says nothing about the file.
    Later(String),
    /// Meta refused, or the bytes were wrong: worth a few more tries.
    Again(String),
    Never(String),
}

impl Client {
    /// Two blue ticks, and with `typing` three dots until the answer comes.
    pub async fn mark_read(&self, endpoint: &Endpoint, wamid: &str, typing: bool) -> Result<(), String> {
        let path = format!("{}/messages", endpoint.phone_number_id);
        let body = whole(mark_read(wamid, typing));
        match self.call(Method::POST, endpoint, &path, Some("application/json"), body).await {
            Ok((status, _, _)) if status.is_success() => Ok(()),
            Ok((status, headers, body)) => Err(super::client::judge(status, &headers, &body).in_words()),
            Err(answer) => Err(answer.in_words()),
        }
    }

    /// A file that a person sent: its address is asked for, its size is looked at before the bytes come, and its digest
    /// after. `announced` is what the webhook said of the digest.
    pub async fn download(
        &self,
        endpoint: &Endpoint,
        media_id: &str,
        announced: Option<&str>,
        limit: u32,
    ) -> Result<Bytes, NoFile> {
        let path = format!("{media_id}?phone_number_id={}", endpoint.phone_number_id);
        let about = self.get(endpoint, &path).await.map_err(|answer| no_address(&answer))?;
        // Seen as a number and as text (docs/cloud-api.md 2).
        let size = about["file_size"].as_u64().or_else(|| about["file_size"].as_str()?.parse().ok());
        if let Some(size) = size.filter(|size| *size > u64::from(limit)) {
            return Err(too_large(size, limit));
        }
        let Some(url) = about["url"].as_str() else {
            return Err(NoFile::Again("Meta gave no address for it".into()));
        };
        // A hub does not know by which name we come to it.
        let url = if url.starts_with('/') { &format!("{}{url}", endpoint.api_url) } else { url };
        let bytes = tokio::time::timeout(DOWNLOAD_DEADLINE, self.fetch_with_token(endpoint, url, limit))
            .await
            .unwrap_or_else(|_| Err(NoFile::Later("the download took more than five minutes".into())))?;
        let digest = STANDARD.encode(Sha256::digest(&bytes));
        let told = [announced, about["sha256"].as_str()];
        if told.into_iter().flatten().any(|told| told.trim() != digest) {
            return Err(NoFile::Again("its bytes are not those that were announced (SHA-256)".into()));
        }
        Ok(bytes)
    }

    /// Meta forgets it.
    pub async fn delete_media(&self, endpoint: &Endpoint, media_id: &str) -> Result<(), String> {
        let path = format!("{media_id}?phone_number_id={}", endpoint.phone_number_id);
        match self.call(Method::DELETE, endpoint, &path, None, whole(Bytes::new())).await {
            Ok((status, _, _)) if status.is_success() => Ok(()),
            Ok((status, _, _)) => Err(format!("HTTP {status}")),
            Err(answer) => Err(answer.in_words()),
        }
    }

    /// Redirects are not followed: the token belongs to Meta alone, encrypted, or to the simulator.
    async fn fetch_with_token(&self, endpoint: &Endpoint, url: &str, limit: u32) -> Result<Bytes, NoFile> {
        if !url.starts_with("https://") && origin(url) != origin(&endpoint.api_url) {
            return Err(NoFile::Never("its address is not encrypted, so the token is not sent there".into()));
        }
        let request = Request::builder()
            .uri(url)
            .header(AUTHORIZATION, format!("Bearer {}", endpoint.access_token.expose_secret()))
            .header(USER_AGENT, concat!("bellwire/", env!("CARGO_PKG_VERSION"))) // 403 without one (docs/cloud-api.md 2)
            .body(whole(Bytes::new()))
            .map_err(|error| NoFile::Again(format!("its address is wrong: {error}")))?;
        let response = self.http.request(request).await.map_err(|error| NoFile::Later(causes(&error)))?;
        match response.status() {
            StatusCode::OK => {}
            // The address has grown old (it is good for five minutes): a new one is asked for.
            status if status.is_client_error() => return Err(NoFile::Again(format!("HTTP {status}"))),
            status => return Err(NoFile::Later(format!("HTTP {status}"))),
        }
        let body = Limited::new(response.into_body(), limit as usize).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large(u64::from(limit) + 1, limit)),
            Err(error) => Err(NoFile::Later(format!("the download broke off ({error})"))),
        }
    }
}

fn too_large(size: u64, limit: u32) -> NoFile {
    NoFile::Never(format!("it has {size} bytes or more; `[files] max_bytes` is {limit}"))
}

/// `http://127.0.0.1:8090`.
fn origin(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    Some(&url[..scheme.len() + 3 + host.len()])
}

fn no_address(answer: &ApiAnswer) -> NoFile {
    match answer {
        ApiAnswer::Accepted(_) => NoFile::Again(answer.in_words()),
        ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_) | ApiAnswer::Ambiguous { .. } => {
            NoFile::Later(answer.in_words())
        }
        ApiAnswer::Refused(refusal) => match refusal.class {
            Class::Auth
            | Class::Permission
            | Class::Account
            | Class::Registration
            | Class::Throttle
            | Class::ServerAmbiguous
            | Class::Maintenance => NoFile::Later(sentence(refusal)),
            Class::Config
            | Class::Request
            | Class::Recipient
            | Class::Window
            | Class::Limit
            | Class::Quality
            | Class::PairThrottle
            | Class::HubThrottle
            | Class::Media
            | Class::Template
            | Class::Unknown => NoFile::Again(sentence(refusal)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_ends_before_the_path() {
        assert_eq!(origin("http://127.0.0.1:8090/x?y"), Some("http://127.0.0.1:8090"));
        assert_eq!(origin("http://127.0.0.1:8090"), Some("http://127.0.0.1:8090"));
        assert_ne!(origin("http://127.0.0.1:8090.example/"), origin("http://127.0.0.1:8090/"));
        assert_eq!(origin("nothing"), None);
    }
}
