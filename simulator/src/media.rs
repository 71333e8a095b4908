//! Media: uploaded by businesses, sent by people, fetched by their url for five minutes (docs/cloud-api.md 2).

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::encoding::hex;
use crate::graph::Refusal;
use crate::time::Timestamp;

/// Bytes of all media together: one document of Meta's 100 MB, and room for pictures beside it. The oldest go first.
const BYTES_MAX: usize = 128 * MB;
/// Media of any size: more than a test looks at, and the list is walked at each request.
const COUNT_MAX: usize = 2_000;
const MB: usize = 1024 * 1024;
const DAY_MS: i64 = 86_400_000;
/// Meta: a url is good for 5 minutes.
const URL_MS: i64 = 5 * 60_000;
/// Head of media ids, so that the id of a deleted one is not taken for another object's.
const FIRST_ID: u64 = 555_000_000_000_000;

#[derive(Debug, Clone)]
pub struct Medium {
    pub id: u64,
    pub phone_number_id: String,
    pub mime_type: String,
    pub bytes: Bytes,
    pub sha256: String,
    gone_at: Timestamp,
}

#[derive(Debug, Default)]
pub struct Media {
    kept: VecDeque<Medium>,
    total: usize,
    numbered: u64,
}

/// Who brought it: uploads live 30 days, what people send 7 (docs/cloud-api.md 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Uploaded,
    Received,
}

impl Media {
    pub fn put(
        &mut self,
        number: &str,
        mime: &str,
        bytes: Bytes,
        origin: Origin,
        now: Timestamp,
    ) -> &mut Medium {
        let days = match origin {
            Origin::Uploaded => 30,
            Origin::Received => 7,
        };
        self.total += bytes.len();
        while self.total > BYTES_MAX || self.kept.len() >= COUNT_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.total -= oldest.bytes.len();
        }
        self.numbered += 1;
        let medium = Medium {
            id: FIRST_ID + self.numbered,
            phone_number_id: number.to_owned(),
            mime_type: mime.to_owned(),
            sha256: STANDARD.encode(Sha256::digest(&bytes)),
            bytes,
            gone_at: Timestamp(now.0 + days * DAY_MS),
        };
        self.kept.push_back(medium);
        let newest = self.kept.len() - 1;
        &mut self.kept[newest]
    }

    pub fn get(&self, id: &str, now: Timestamp) -> Result<&Medium, Refusal> {
        let found = self.kept.iter().find(|medium| medium.id.to_string() == id && now < medium.gone_at);
        found.ok_or_else(|| Refusal::no_object(id))
    }

    pub fn delete(&mut self, id: &str, now: Timestamp) -> Result<(), Refusal> {
        let length = self.get(id, now)?.bytes.len();
        self.kept.retain(|medium| medium.id.to_string() != id);
        self.total -= length;
        Ok(())
    }

    /// Whether an id has the form of ours.
    pub fn is_id(id: &str) -> bool {
        id.parse::<u64>().is_ok_and(|id| (FIRST_ID..FIRST_ID + 1_000_000_000_000).contains(&id))
    }

    /// Whether a message of this kind can carry it.
    pub fn usable(&self, id: &str, kind: &str, now: Timestamp) -> Result<(), Refusal> {
        let Ok(medium) = self.get(id, now) else {
            let details = format!("The media id {id} does not exist or is more than 30 days old.");
            return Err(Refusal::new(131_053, details));
        };
        fits(kind, &medium.mime_type, &medium.bytes)
    }
}

impl Medium {
    /// What `GET /{media_id}` answers. `file_size` is seen as a string and as a number (docs/cloud-api.md 2): odd ids give numbers.
    pub fn shown(&self, base: &str, secret: &str, now: Timestamp) -> Value {
        let size = self.bytes.len();
        json!({
            "messaging_product": "whatsapp", "url": self.url(base, secret, now), "mime_type": self.mime_type,
            "sha256": self.sha256, "id": self.id.to_string(),
            "file_size": if self.id.is_multiple_of(2) { json!(size.to_string()) } else { json!(size) },
        })
    }

    pub fn url(&self, base: &str, secret: &str, now: Timestamp) -> String {
        let until = now.0 + URL_MS;
        let hash = hash(secret, &self.id.to_string(), until);
        format!("{base}/whatsapp_business/attachments/?mid={}&ext={until}&hash={hash}", self.id)
    }
}

/// Nobody guesses a url: its hash needs the app secret.
pub fn hash(secret: &str, id: &str, until: i64) -> String {
    hex(&Sha256::digest(format!("{secret} {id} {until}"))[..16])
}

/// Whether the type and the size are what Meta takes for this kind of message (docs/cloud-api.md 2): 131053 otherwise.
pub fn fits(kind: &str, mime: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let plain = mime.split(';').next().unwrap_or_default().trim();
    if kind_of(plain) != Some(kind) {
        return Err(Refusal::new(131_053, format!("{plain} is not a media type of {kind} messages.")));
    }
    let limit = match kind {
        "image" => 5 * MB,
        "audio" | "video" => 16 * MB,
        "sticker" if is_animated(bytes) => 500 * 1024,
        "sticker" => 100 * 1024,
        _ => 100 * MB,
    };
    if bytes.is_empty() || bytes.len() > limit {
        let found = bytes.len();
        return Err(Refusal::new(131_053, format!("A {kind} has 1 to {limit} bytes, this one has {found}.")));
    }
    Ok(())
}

/// The kind of message that carries this MIME type.
pub fn kind_of(mime: &str) -> Option<&'static str> {
    let plain = mime.split(';').next().unwrap_or_default().trim();
    Some(match plain {
        "audio/aac" | "audio/amr" | "audio/mpeg" | "audio/mp4" | "audio/ogg" => "audio",
        "image/jpeg" | "image/png" => "image",
        "image/webp" => "sticker",
        "video/mp4" | "video/3gpp" => "video",
        "text/plain" | "application/pdf" | "application/msword" | "application/vnd.ms-excel" => "document",
        "application/vnd.ms-powerpoint" => "document",
        office if office.starts_with("application/vnd.openxmlformats-officedocument.") => "document",
        _ => return None,
    })
}

/// A WebP file's extended header has a flag for animation: bit 1 of byte 20.
fn is_animated(bytes: &[u8]) -> bool {
    bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0)
}

/// Every medium that a send names: the kind, and its `{id}` or `{link}`.
pub fn attachments(body: &Value) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    let mut holders = vec![body, &body["interactive"]["header"]];
    for component in body["template"]["components"].as_array().into_iter().flatten() {
        holders.extend(component["parameters"].as_array().into_iter().flatten());
    }
    for holder in holders {
        for kind in ["image", "document", "audio", "video", "sticker"] {
            if holder[kind].is_object() {
                found.push((kind, &holder[kind]));
            }
        }
    }
    found
}

/// Meta's servers fetch a link, and cannot reach a private network (docs/cloud-api.md 2: a camera behind NAT cannot serve a link).
pub fn is_private(link: &str) -> bool {
    let rest = link.split_once("://").map_or(link, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(host, _)| host);
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return address.is_private() || address.is_loopback() || address.is_link_local();
    }
    let local = [".local", ".lan", ".home", ".internal"].iter().any(|end| host.ends_with(end));
    local || host == "localhost" || host.starts_with('[') || !host.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_private_when_meta_cannot_reach_it() {
        for link in
            ["http://192.168.1.20/snap.jpg", "http://cam.local:8080/a", "https://localhost/a", "http://cam/a"]
        {
            assert!(is_private(link), "{link}");
        }
        assert!(!is_private("https://example.com/a.jpg"));
    }

    #[test]
    fn the_oldest_media_make_room() {
        let mut media = Media::default();
        let now = Timestamp(1_790_000_000_000);
        let big = Bytes::from(vec![1; 60 * MB]);
        let ids: Vec<String> = (0..3)
            .map(|_| media.put("1", "application/pdf", big.clone(), Origin::Uploaded, now).id.to_string())
            .collect();
        assert!(media.get(&ids[0], now).is_err());
        assert!(media.get(&ids[2], now).is_ok());
        assert!(media.get(&ids[2], Timestamp(now.0 + 31 * DAY_MS)).is_err(), "30 days");
    }
}
