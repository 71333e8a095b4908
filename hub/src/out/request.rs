//! A site's request, read: which key, how severe, to whom.

use bellwire::contact::severity::Severity;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Names one try of one message: `bellwire/<store tag>/<row>/<try>`. A second try that is meant has another.
pub const KEY: &str = "bellwire-key";
pub const SEVERITY: &str = "bellwire-severity";
/// Seconds since the site first sent this key.
pub const WAITED: &str = "bellwire-waited";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub key: String,
    /// The site's store.
    pub tag: String,
    pub severity: Severity,
    /// Seconds.
    pub waited: u64,
    /// A phone number, a user id or a group, as it stands in the request.
    pub to: String,
    /// SHA-256 of the body: a key belongs to one message.
    pub digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the body is not a message of the Cloud API")]
    NotAMessage,
    #[error(
        "Bellwire-Key is missing or is not the key of this message: bellwire/<tag>/<row>/<try>, as its callback begins"
    )]
    Key,
    #[error("Bellwire-Severity is not one of info, warning and critical")]
    Severity,
}

impl Outgoing {
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Result<Self, RequestError> {
        let json: Value = serde_json::from_slice(body).map_err(|_| RequestError::NotAMessage)?;
        let recipient = json["to"].as_str().or_else(|| json["recipient"].as_str());
        let to = recipient.ok_or(RequestError::NotAMessage)?.to_owned();
        let callback = json["biz_opaque_callback_data"].as_str().ok_or(RequestError::Key)?;
        let key = header(KEY).ok_or(RequestError::Key)?;
        let (of, attempt) = key.rsplit_once('/').ok_or(RequestError::Key)?;
        if of != callback || attempt.parse::<u32>().is_err() {
            return Err(RequestError::Key);
        }
        let tag = tag(callback).ok_or(RequestError::Key)?.to_owned();
        let severity = match header(SEVERITY).unwrap_or_default() {
            "info" => Severity::Info,
            "warning" => Severity::Warning,
            "critical" => Severity::Critical,
            _ => return Err(RequestError::Severity),
        };
        let waited = header(WAITED).and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        let digest = bellwire::hex::hex(&Sha256::digest(body));
        Ok(Self { key: key.to_owned(), tag, severity, waited, to, digest })
    }
}

/// The store's tag in a callback or in the id of a button: `bellwire/<tag>/…`.
#[must_use]
pub fn tag(id: &str) -> Option<&str> {
    let (tag, _) = id.strip_prefix("bellwire/")?.split_once('/')?;
    is_tag(tag).then_some(tag)
}

/// As a store draws it: eight hex digits.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    tag.len() == 8 && tag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: Option<&str>, severity: &str, body: &str) -> Result<Outgoing, RequestError> {
        let header = |name: &str| match name {
            KEY => key,
            SEVERITY => Some(severity),
            _ => None,
        };
        Outgoing::read(header, body.as_bytes())
    }

    #[test]
    fn a_key_belongs_to_the_message_that_it_comes_with() {
        let body = r#"{"to":"+491511","biz_opaque_callback_data":"bellwire/0badcafe/7"}"#;
        let read_with = |key| read(Some(key), "info", body);
        let good = read_with("bellwire/0badcafe/7/1").expect("good");
        assert_eq!((good.tag.as_str(), good.to.as_str(), good.waited), ("0badcafe", "+491511", 0));
        for key in ["bellwire/0badcafe/8/1", "bellwire/0badcafe/7", "bellwire/0badcafe/7/x", ""] {
            assert_eq!(read_with(key), Err(RequestError::Key), "{key}");
        }
        assert_eq!(read(None, "info", body), Err(RequestError::Key));
        assert_eq!(read(Some("bellwire/0badcafe/7/1"), "loud", body), Err(RequestError::Severity));
        assert_eq!(read(Some("x"), "info", "{}"), Err(RequestError::NotAMessage));
    }

    #[test]
    fn a_tag_is_eight_hex_digits_and_nothing_else() {
        assert_eq!(tag("bellwire/0badcafe/a5/1f/ack/00"), Some("0badcafe"));
        for id in ["bellwire/0badcafe", "bellwire/0BADCAFE/1", "bellwire/../1", "ack", "bellwire/*/1"] {
            assert_eq!(tag(id), None, "{id}");
        }
    }
}
