//! What is learned of people: their user id, and whether they agreed to be written to.

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::alert::delivery::{HeldFor, Next};
use crate::alert::state::State;
use crate::ids::{ContactId, MessageId};
use crate::time::Timestamp;

/// Who wrote, as far as a user id tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The one who always wrote from this number, or the first.
    Known,
    /// Another user id from the same number: Meta gives a new one to whoever takes a number over (FACTS 3.6).
    Changed,
}

impl Store {
    /// Learns the user id behind a contact's number at the first message, and compares it at the next.
    pub fn identify(&self, contact: &ContactId, user_id: &str) -> Result<Identity> {
        let known: Option<Option<String>> = self
            .sql
            .prepare_cached("SELECT user_id FROM person WHERE contact = ?1")?
            .query_row([&contact.0], |row| row.get(0))
            .optional()?;
        match known.flatten() {
            Some(known) if known == user_id => Ok(Identity::Known),
            Some(_) => Ok(Identity::Changed),
            None => {
                self.sql
                    .prepare_cached(
                        "INSERT INTO person (contact, user_id) VALUES (?1, ?2)
                         ON CONFLICT DO UPDATE SET user_id = excluded.user_id",
                    )?
                    .execute([&contact.0, user_id])?;
                Ok(Identity::Known)
            }
        }
    }

    /// The contact who wrote with this user id before, for messages that come without a number.
    pub fn contact_of(&self, user_id: &str) -> Result<Option<ContactId>> {
        self.sql
            .prepare_cached("SELECT contact FROM person WHERE user_id = ?1")?
            .query_row([user_id], |row| row.get(0).map(ContactId))
            .optional()
    }

    /// Whoever writes next from this contact's number is the contact.
    pub fn accept_identity(&self, contact: &ContactId) -> Result<bool> {
        let changed = self
            .sql
            .prepare_cached("UPDATE person SET user_id = NULL WHERE contact = ?1 AND user_id IS NOT NULL")?
            .execute([&contact.0])?;
        Ok(changed > 0)
    }

    pub(super) fn has_stopped(&self, contact: &ContactId) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM person WHERE contact = ?1 AND stopped = 1")?
            .exists([&contact.0])
    }

    /// An alert, or a digest of alerts. What somebody asked for is another matter.
    pub(super) fn is_unwanted(&self, id: MessageId) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM message m JOIN person p ON p.contact = m.contact AND p.stopped = 1
                 WHERE m.id = ?1 AND (m.alert IS NOT NULL OR EXISTS (SELECT 1 FROM message WHERE digest = m.id))",
            )?
            .exists([id.0])
    }

    /// The person takes the consent back: what waits is held at once. Or gives it: what was held goes out.
    pub fn consent(&self, contact: &ContactId, given: bool, source: &str, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO person (contact, stopped) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET stopped = excluded.stopped",
            )?
            .execute(params![contact.0, !given])?;
        self.sql
            .prepare_cached("INSERT INTO consent (contact, at, given, source) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![contact.0, now.0, given, source])?;
        let (from, next) = if given {
            (
                "state = 'held' AND held_for = 'consent'",
                Next::to(State::Queued, "the person asked for messages again"),
            )
        } else {
            ("state = 'queued'", unwanted())
        };
        self.each(&format!("{from} AND contact = ?1"), &[&contact.0], &next, now).map(drop)
    }

    /// Moves every message that fits, digests with what they carry.
    pub(super) fn each(
        &self,
        filter: &str,
        values: &[&dyn rusqlite::ToSql],
        next: &Next,
        now: Timestamp,
    ) -> Result<usize> {
        let ids: Vec<MessageId> = self
            .sql
            .prepare_cached(&format!("SELECT id FROM message WHERE digest IS NULL AND {filter}"))?
            .query_map(values, |row| row.get(0).map(MessageId))?
            .collect::<Result<_>>()?;
        for id in &ids {
            self.advance(*id, next, now)?;
        }
        Ok(ids.len())
    }
}

/// What STOP does to a message.
pub(super) fn unwanted() -> Next {
    let reason = "the person asked for no more messages; it goes out if they write START";
    Next { held_for: Some(HeldFor::Consent), ..Next::to(State::Held, reason) }
}
