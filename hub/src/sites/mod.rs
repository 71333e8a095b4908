//! Who may send and receive here. A hub derives the site from its token alone, never from a path or a header.

/// Codes that are good once, tokens, revocation.
mod enrol;
/// Who was erased at a site.
mod erase;
/// All sites, and who a token belongs to.
mod registry;
/// When each asked last, and how it is.
mod seen;
/// Those that do not ask any more: somebody is told.
pub mod silence;
/// Which sites wrote to a person.
mod wrote;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use enrol::{EnrolError, add, claim, code, enrol, limit, random_hex, revoke};
pub use erase::{Erasure, erase};
pub use registry::Registry;
pub use seen::{Seen, SeenSites};
pub use wrote::Wrote;

/// Tokens that are valid at once: the old one while the new one is on its way to the site's file.
const TOKENS_MAX: usize = 2;

/// A row of the table of sites; its key is the site's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Site {
    /// Over which numbers it may write, by `phone_number_id`.
    pub numbers: BTreeSet<String>,
    pub people: People,
    #[serde(default)]
    pub quota: Quota,
    /// SHA-256 of each valid token, in hex, the newest last. None: it was never enrolled, or it was revoked.
    pub tokens: Vec<String>,
}

/// How many messages a site may send; `None`: as many as leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    pub minute: Option<u32>,
    /// Of UTC.
    pub day: Option<u32>,
}

/// To whom a site may write, and whose words are for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum People {
    /// Everybody: for the only site of a number, and for the one that takes what no other claims.
    #[default]
    All,
    /// Numbers in digits, user ids of Meta's, groups.
    Only(BTreeSet<String>),
}

impl Site {
    #[must_use]
    pub fn may_write_to(&self, recipient: &str) -> bool {
        match &self.people {
            People::All => true,
            People::Only(people) => people.contains(&person(recipient)),
        }
    }

    /// Whether it named one of these itself.
    #[must_use]
    pub fn names(&self, ids: &[String]) -> bool {
        match &self.people {
            People::All => false,
            People::Only(people) => ids.iter().any(|id| people.contains(id)),
        }
    }

    fn with_token(mut self, digest: String) -> Self {
        self.tokens.push(digest);
        let surplus = self.tokens.len().saturating_sub(TOKENS_MAX);
        self.tokens.drain(..surplus);
        self
    }
}

/// One spelling of whoever is written to: `+49 151` and `49151` are one person.
#[must_use]
pub fn person(id: &str) -> String {
    let digits = id.strip_prefix('+').unwrap_or(id);
    let is_number = digits.chars().all(|char| char.is_ascii_digit() || matches!(char, ' ' | '-'));
    if is_number { digits.chars().filter(char::is_ascii_digit).collect() } else { id.to_owned() }
}

/// A name that is a key of a table and a word of a subject.
pub fn site_name(text: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match (1..=32).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err("a site's name has 1 to 32 lower-case letters, digits and hyphens: shop-kassel"),
    }
}

#[must_use]
pub fn digest(secret: &str) -> String {
    bellwire::hex::hex(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_token_replaces_the_oldest_of_two() {
        let site =
            ["a", "b", "c"].into_iter().fold(Site::default(), |site, token| site.with_token(token.into()));
        assert_eq!(site.tokens, ["b", "c"]);
    }

    #[test]
    fn a_site_writes_only_to_its_named_people() {
        let site = Site { people: People::Only([person("+49 151-1")].into()), ..Site::default() };
        assert!(site.may_write_to("+491511") && site.may_write_to("491511") && !site.may_write_to("491512"));
        assert!(!site.may_write_to("US.abc") && Site::default().may_write_to("US.abc"));
        assert!(!Site::default().names(&["491511".into()]), "everybody is nobody in particular");
        assert_eq!(person("US.13-x"), "US.13-x");
    }

    /// Hubs of two versions run beside each other during an upgrade.
    #[test]
    fn rows_of_another_version_are_read() {
        let first = r#"{"numbers":["1"],"people":{"only":["49"]},"tokens":["t"]}"#;
        let site: Site = serde_json::from_str(first).expect("a row of the first version");
        assert_eq!((site.quota, site.tokens.len()), (Quota::default(), 1));
        let next = r#"{"numbers":[],"people":"all","tokens":[],"quota":{"hour":3},"colour":"red"}"#;
        assert!(serde_json::from_str::<Site>(next).is_ok(), "a row of a later one");
        let seen: Seen = serde_json::from_str(r#"{"at":1,"program":"bellwire/0.1.0"}"#).expect("the first");
        assert_eq!((seen.at, seen.waiting), (1, 0));
    }

    #[test]
    fn a_name_cannot_leave_its_subject() {
        for name in ["", "a.b", "a>", "*", "Shop", "a b", &"a".repeat(33)] {
            assert!(site_name(name).is_err(), "{name}");
        }
        assert_eq!(site_name("shop-1").as_deref(), Ok("shop-1"));
    }
}
