//! What is written down, and how one entry follows from another.

use std::collections::BTreeMap;

use bellwire::hex::hex;
use bellwire::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::json;
use crate::incoming::person_key;
use crate::out::Outgoing;
use crate::sites::person;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Milliseconds since 1970.
    pub at: i64,
    /// `sent`, `enrolled`, `site added`, …
    pub what: String,
    pub site: String,
    /// Of whoever gave a command: user and machine, as these say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// The message's key, or what was changed to what.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// A digest of whoever it was for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub person: String,
    /// The status that the site was told: Meta's, or 504 for "nobody knows".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<u16>,
}

/// Notes that were kept together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    pub chain: String,
    /// From 1.
    pub number: u64,
    pub at: i64,
    /// The hash of the entry before, and when that was written: what is missing before the first one was removed, or is old.
    pub before: String,
    pub before_at: i64,
    pub notes: Vec<Note>,
    /// Where other chains were at that time, in some entries: a chain that is gone as a whole is missed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub heads: BTreeMap<String, Head>,
}

/// The newest entry of a chain; none yet has the number 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    pub number: u64,
    pub hash: String,
    pub at: i64,
    /// In the log.
    pub sequence: u64,
}

impl Note {
    #[must_use]
    pub fn new(what: &str, site: &str, now: Timestamp) -> Self {
        Self { at: now.0, what: what.to_owned(), site: site.to_owned(), ..Self::default() }
    }

    /// A site was told what became of a message.
    #[must_use]
    pub fn sent(site: &str, out: &Outgoing, answer: u16, now: Timestamp) -> Self {
        let (detail, person) = (out.key.clone(), person_key(&person(&out.to)));
        Self { detail, person, answer: Some(answer), ..Self::new("sent", site, now) }
    }
}

impl Head {
    /// The entry that follows, as it is kept, and the head that it makes; its sequence is known afterwards.
    #[must_use]
    pub fn next(
        &self,
        chain: &str,
        notes: Vec<Note>,
        heads: BTreeMap<String, Head>,
        now: Timestamp,
    ) -> (Bytes, Self) {
        let entry = Entry {
            chain: chain.to_owned(),
            number: self.number + 1,
            at: now.0,
            before: self.hash.clone(),
            before_at: self.at,
            notes,
            heads,
        };
        let body = json(&entry);
        let head = Self { number: entry.number, hash: hash(&body), at: entry.at, sequence: 0 };
        (body, head)
    }
}

/// Over every byte as it is kept.
#[must_use]
pub fn hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}
