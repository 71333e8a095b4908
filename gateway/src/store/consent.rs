//! Consent: STOP and START, and what they told WhatsApp about marketing.

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::ids::{ContactId, MessageId};
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::{HeldFor, Next};
use crate::time::Timestamp;

impl Store {
    /// The person takes the consent back: what waits is held at once. Or gives it: what was held goes out. Of several wishes
    /// the newest counts, by the time that Meta gives it and then by its source, whichever comes first. `false`: this one is
    /// older than another.
    pub fn consent(
        &self,
        contact: &ContactId,
        given: bool,
        source: &str,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        self.sql
            .prepare_cached("INSERT INTO consent (contact, at, given, source) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![contact.0, at.0, given, source])?;
        let is_newest =
            self.newest_wish(contact)?.is_some_and(|(_, newest)| newest == (at.0, source.to_owned()));
        if is_newest {
            self.obey(contact, given, now)?;
        }
        Ok(is_newest)
    }

    /// Whether it gives or takes back; when and where it was said.
    pub(super) fn newest_wish(&self, contact: &ContactId) -> Result<Option<(bool, (i64, String))>> {
        self.sql
            .prepare_cached(
                "SELECT given, at, source FROM consent WHERE contact = ?1 ORDER BY at DESC, source DESC LIMIT 1",
            )?
            .query_row([&contact.0], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
            .optional()
    }

    pub(super) fn obey(&self, contact: &ContactId, given: bool, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO person (contact, stopped) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET stopped = excluded.stopped",
            )?
            .execute(params![contact.0, !given])?;
        let (from, next) = if given {
            (
                "state = 'held' AND held_for = 'consent'",
                Next::to(State::Queued, "the person asked for messages again"),
            )
        } else {
            ("state = 'queued'", unwanted())
        };
        self.advance_all(&format!("{from} AND contact = ?1"), &[&contact.0], &next, now).map(drop)
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

    /// The people who want nothing more, each with the address that they were written to last.
    pub fn stopped(&self) -> Result<Vec<(ContactId, String)>> {
        self.sql
            .prepare_cached(
                "SELECT contact, address FROM (SELECT p.contact, coalesce((SELECT m.address FROM message m WHERE m.contact = p.contact
                         ORDER BY m.id DESC LIMIT 1), p.user_id_of) AS address FROM person p WHERE p.stopped = 1)
                 WHERE address IS NOT NULL ORDER BY contact",
            )?
            .query_map([], |row| Ok((ContactId(row.get(0)?), row.get(1)?)))?
            .collect()
    }

    /// The same person has another id in the configuration: what they wished goes with them, unless they have said something
    /// since. Whether it did.
    pub fn keep_wish(&self, before: &ContactId, contact: &ContactId, now: Timestamp) -> Result<bool> {
        let wishes = self
            .sql
            .prepare_cached(
                "INSERT INTO consent (contact, at, given, source) SELECT ?2, at, given, source FROM consent
                 WHERE contact = ?1 AND NOT EXISTS (SELECT 1 FROM consent WHERE contact = ?2)",
            )?
            .execute(params![before.0, contact.0])?;
        if wishes > 0 {
            self.obey(contact, false, now)?;
        }
        Ok(wishes > 0)
    }

    /// Of several wishes about marketing the newest counts; of two in the same second the one for less. What waits for a template
    /// is judged anew. `false`: a newer one is known, or it came from a number that changed hands.
    pub fn prefer_marketing(
        &self,
        contact: &ContactId,
        wants: bool,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        let changed = self
            .sql
            .prepare_cached(
                "INSERT INTO person (contact, no_marketing, no_marketing_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET no_marketing = excluded.no_marketing, no_marketing_at = excluded.no_marketing_at
                 WHERE (excluded.no_marketing_at > no_marketing_at OR (excluded.no_marketing_at = no_marketing_at
                         AND excluded.no_marketing > no_marketing))
                     AND (moved_at IS NULL OR moved_at > excluded.no_marketing_at)",
            )?
            .execute(params![contact.0, !wants, at.0])?;
        if changed > 0 && wants {
            let next =
                Next::to(State::Queued, "the person wants marketing messages again; waiting for its turn");
            let held = "state = 'held' AND held_for = 'window' AND contact = ?1 AND content LIKE '%\"templates\":[%'";
            self.advance_all(held, &[&contact.0], &next, now)?;
        }
        Ok(changed > 0)
    }

    pub(super) fn wants_no_marketing(&self, contact: &ContactId) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM person WHERE contact = ?1 AND no_marketing = 1")?
            .exists([&contact.0])
    }
}

/// The next state of a message after STOP.
pub(super) fn unwanted() -> Next {
    let reason = "the person asked for no more messages; it goes out if they write START";
    Next { held_for: Some(HeldFor::Consent), ..Next::to(State::Held, reason) }
}
