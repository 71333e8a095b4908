//! The sealed token of a button: its subject, its action, its end and its recipient. A tap brings back nothing else,
//! so an id that we did not make, or that was made for somebody else or for last month, must be told from ours.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::hex::hex;
use crate::ids::{ContactId, Counted, StoreTag};
use crate::time::Timestamp;

/// Bytes of the HMAC that an id carries: 2^80 guesses, where WhatsApp lets through some 80 a second.
const MAC_BYTES: usize = 10;
/// The longest action id: with everything around it an id stays below 150 of the 200 characters that a list's row may
/// have (Meta, Interactive list messages).
pub const ACTION_MAX: usize = 64;

/// The subject of a button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ButtonSubject {
    Alert(i64),
    /// A command that waits for a Yes.
    Request(i64),
    /// A machine's question.
    Question(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ButtonToken {
    pub subject: ButtonSubject,
    pub action: String,
    pub expires_at: Timestamp,
}

/// The reason why a button does not act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the button was not made by this gateway for this person, or it was altered")]
    Forged,
    #[error("the button is too old")]
    Expired,
}

/// The store's key, drawn once when the store is made; it never leaves the machine.
#[derive(Clone)]
pub struct ButtonSigner {
    tag: StoreTag,
    key: [u8; 32],
}

impl ButtonSigner {
    #[must_use]
    pub fn new(tag: StoreTag, key: [u8; 32]) -> Self {
        Self { tag, key }
    }

    #[must_use]
    pub fn close(&self, token: &ButtonToken, contact: &ContactId) -> String {
        self.closed_by(&self.tag.own, token, contact)
    }

    fn closed_by(&self, tag: &str, token: &ButtonToken, contact: &ContactId) -> String {
        let head = head(tag, token);
        let mac = self.mac("button", &[&head, &contact.0]);
        format!("{head}/{mac}")
    }

    /// `None` for an id that is none of ours by its looks: a template's label, or an id of another program.
    #[must_use]
    pub fn open(
        &self,
        id: &str,
        contact: &ContactId,
        now: Timestamp,
    ) -> Option<Result<ButtonToken, TokenError>> {
        let rest = id.strip_prefix("bellwire/")?;
        Some(self.read(rest, id, contact).and_then(|token| match token.expires_at > now {
            true => Ok(token),
            false => Err(TokenError::Expired),
        }))
    }

    /// The name of a person where the outside may read: the same for ever, and nobody without the key finds out who.
    #[must_use]
    pub fn pseudonym(&self, contact: &ContactId) -> String {
        format!("p-{}", &self.mac("person", &[&contact.0])[..12])
    }

    /// The number of a copy of this gateway, as the broker keeps it.
    #[must_use]
    pub fn copy(&self, number: i64) -> String {
        format!("copy {number} {}", self.mac("copy", &[&number.to_string()]))
    }

    #[must_use]
    pub fn read_copy(&self, text: &str) -> Option<i64> {
        let number = text.strip_prefix("copy ")?.split(' ').next()?.parse().ok()?;
        (self.mac("compare", &[&self.copy(number)]) == self.mac("compare", &[text])).then_some(number)
    }

    fn read(&self, rest: &str, id: &str, contact: &ContactId) -> Result<ButtonToken, TokenError> {
        let (tag, token) = self.parse(rest).ok_or(TokenError::Forged)?;
        // Made again and compared as a whole, so that one token has one spelling.
        let ours = self.closed_by(tag, &token, contact);
        let (ours, theirs) = (self.mac("compare", &[&ours]), self.mac("compare", &[id]));
        // Comparing MACs of both tells nothing about where they differ.
        if ours == theirs { Ok(token) } else { Err(TokenError::Forged) }
    }

    fn parse<'a>(&self, rest: &'a str) -> Option<(&'a str, ButtonToken)> {
        let mut parts = rest.split('/');
        let (tag, subject, expiry, action) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let number = subject.get(1..)?.parse().ok()?;
        let (subject, what) = match subject.as_bytes().first()? {
            b'a' => (ButtonSubject::Alert(number), Counted::Alert),
            b'r' => (ButtonSubject::Request(number), Counted::Request),
            b'q' => (ButtonSubject::Question(number), Counted::Question),
            _ => return None,
        };
        if !self.tag.wrote(tag, what, number) {
            return None;
        }
        let expires_at = Timestamp(i64::from_str_radix(expiry, 16).ok()?);
        Some((tag, ButtonToken { subject, action: action.to_owned(), expires_at }))
    }

    /// Each use has its own word in front, and each part its length, so that no MAC of one use serves for another.
    fn mac(&self, purpose: &str, parts: &[&str]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        hex(&mac.finalize().into_bytes()[..MAC_BYTES])
    }
}

fn head(tag: &str, token: &ButtonToken) -> String {
    let (letter, number) = match token.subject {
        ButtonSubject::Alert(number) => ('a', number),
        ButtonSubject::Request(number) => ('r', number),
        ButtonSubject::Question(number) => ('q', number),
    };
    format!("bellwire/{tag}/{letter}{number}/{:x}/{}", token.expires_at.0, token.action)
}

impl fmt::Debug for ButtonSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({})", self.tag.own) // the key is a secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{EarlierTag, NewestIds};

    fn seal(key: u8) -> ButtonSigner {
        ButtonSigner::new(StoreTag::new("0badcafe"), [key; 32])
    }

    fn token() -> ButtonToken {
        ButtonToken {
            subject: ButtonSubject::Alert(42),
            action: "stop-defrost".into(),
            expires_at: Timestamp(1_000_000),
        }
    }

    #[test]
    fn a_button_works_for_its_recipient_until_it_expires() {
        let (nino, other) = (ContactId::from("nino"), ContactId::from("giorgi"));
        let id = seal(1).close(&token(), &nino);
        let open = |seal: ButtonSigner, id: &str, who: &ContactId, now| seal.open(id, who, Timestamp(now));
        assert_eq!(open(seal(1), &id, &nino, 999_999), Some(Ok(token())));
        assert_eq!(open(seal(1), &id, &nino, 1_000_000), Some(Err(TokenError::Expired)));
        assert_eq!(open(seal(1), &id, &other, 0), Some(Err(TokenError::Forged)));
        assert_eq!(open(seal(2), &id, &nino, 0), Some(Err(TokenError::Forged)));
        assert_eq!(open(seal(1), "Stop defrost", &nino, 0), None);
    }

    #[test]
    fn no_character_of_it_can_be_changed() {
        let nino = ContactId::from("nino");
        let id = seal(1).close(&token(), &nino);
        for at in "bellwire/".len()..id.len() {
            for other in ['0', '1', 'a', 'F', '/', ' ', '+'] {
                let mut forged: Vec<char> = id.chars().collect();
                if forged[at] != other {
                    forged[at] = other;
                    let forged: String = forged.into_iter().collect();
                    let opened = seal(1).open(&forged, &nino, Timestamp(0));
                    assert_eq!(opened, Some(Err(TokenError::Forged)), "{forged}");
                }
            }
            assert_eq!(seal(1).open(&id[..at], &nino, Timestamp(0)), Some(Err(TokenError::Forged)));
        }
    }

    #[test]
    fn a_restored_store_knows_buttons_from_before_its_backup_alone() {
        let nino = ContactId::from("nino");
        let up_to = NewestIds { alert: 42, ..NewestIds::default() };
        let earlier = vec![EarlierTag { tag: "0badcafe".into(), up_to }];
        let restored = ButtonSigner::new(StoreTag { own: "deadbeef".into(), earlier }, [1; 32]);
        let later = ButtonToken { subject: ButtonSubject::Alert(43), ..token() };
        for (token, opened) in [(token(), Ok(token())), (later, Err(TokenError::Forged))] {
            assert_eq!(restored.open(&seal(1).close(&token, &nino), &nino, Timestamp(0)), Some(opened));
        }
    }

    #[test]
    fn the_longest_token_fits_a_list_row() {
        let token = ButtonToken {
            subject: ButtonSubject::Question(i64::MAX),
            action: "x".repeat(ACTION_MAX),
            expires_at: Timestamp(i64::MAX),
        };
        assert!(seal(1).close(&token, &ContactId::from("nino")).len() < 150);
    }

    #[test]
    fn a_pseudonym_stays_and_tells_nothing() {
        let nino = ContactId::from("nino");
        assert_eq!(seal(1).pseudonym(&nino), seal(1).pseudonym(&nino));
        assert_ne!(seal(1).pseudonym(&nino), seal(2).pseudonym(&nino));
        assert!(!seal(1).pseudonym(&nino).contains("nino"));
    }

    #[test]
    fn debug_output_hides_the_key() {
        let shown = format!("{:?}", seal(1));
        assert!(shown.starts_with("Seal(") && !shown.contains("key") && shown.len() < 30, "{shown}");
    }
}
