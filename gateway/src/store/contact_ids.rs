//! What is learned of people: their user id, and whether they agreed to be written to.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::contact::KnownIdentity;
use crate::ids::{ContactId, MessageId};
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::{HeldFor, Next};
use crate::time::Timestamp;

/// Who wrote, as far as Meta tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The one who always wrote from this number, or the first.
    Known,
    /// The first, whose words were overtaken by those of another: they are the contact, and the other was not.
    First,
    /// Another user id from the same number: Meta gives a new one to whoever takes a number over (docs/cloud-api.md 3.6).
    Changed,
    /// WhatsApp said that the number changed hands, and nobody has looked yet.
    Moved,
    /// Written before an operator said who this is, by whoever had the number then.
    Former,
}

impl Store {
    /// What was learned of a number (digits without `+`) and a user id.
    pub fn known(&self, number: Option<&str>, user_id: Option<&str>) -> Result<KnownIdentity> {
        let by_id = self
            .sql
            .prepare_cached(
                "SELECT p.contact, p.user_id_of FROM person p WHERE p.user_id = ?1 AND p.user_id_of IS NOT NULL",
            )?
            .query_row([user_id], pair)
            .optional()?;
        let mut aliases =
            self.sql.prepare_cached("SELECT contact, address FROM known_as WHERE alias IN (?1, ?2)")?;
        let by_alias = aliases.query_map([number, user_id], pair)?.collect::<Result<_>>()?;
        Ok(KnownIdentity { by_id, by_alias })
    }

    /// Meta said that what we sent to the address of this message went to that number or user id. Nothing is learned of a
    /// number that changed hands, nor of strangers.
    pub(super) fn learn_alias(&self, id: MessageId, alias: &str, at: Timestamp) -> Result<()> {
        let alias = alias.trim_start_matches('+');
        self.sql
            .prepare_cached(
                "INSERT INTO known_as SELECT ?2, m.contact, m.address, ?3 FROM message m
                 WHERE m.id = ?1 AND ltrim(m.address, '+') <> ?2 AND m.contact NOT LIKE 'stranger %'
                 AND NOT EXISTS (SELECT 1 FROM person p WHERE p.contact = m.contact AND p.moved_at <= ?3)
                 ON CONFLICT DO UPDATE SET at = min(at, excluded.at)",
            )?
            .execute(params![id.0, alias, at.0])
            .map(drop)
    }

    /// Learns the user id behind a contact's address at the first message, and compares it at the next. Which was first, the
    /// times say that Meta gives them.
    pub fn identify(
        &self,
        contact: &ContactId,
        address: &str,
        user_id: Option<&str>,
        at: Timestamp,
    ) -> Result<Identity> {
        let row = self
            .sql
            .prepare_cached(
                "SELECT user_id, user_id_of, user_id_at, moved_at, accepted_at FROM person WHERE contact = ?1",
            )?
            .query_row([&contact.0], |row| {
                let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp));
                Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?, time(2)?, time(3)?, time(4)?))
            })
            .optional()?;
        let (known, of, since, moved_at, accepted_at) = row.unwrap_or_default();
        if moved_at.is_some_and(|moved_at| at >= moved_at) {
            return Ok(Identity::Moved);
        }
        // The contact is written to at another address since: whoever wrote from the old one is forgotten.
        let known = known.filter(|_| of.is_none_or(|of| of == address));
        let is_known = known.is_some() && known.as_deref() == user_id;
        if !is_known && accepted_at.is_some_and(|accepted_at| at < accepted_at) {
            return Ok(Identity::Former);
        }
        let Some(user_id) = user_id else { return Ok(Identity::Known) };
        let first = since.is_none_or(|since| at < since);
        let identity = match known {
            Some(_) if is_known => Identity::Known,
            Some(_) if first && since.is_some() => Identity::First,
            Some(_) => return Ok(Identity::Changed),
            None => Identity::Known,
        };
        let since = since.filter(|_| is_known && !first).unwrap_or(at);
        self.sql
            .prepare_cached(
                "INSERT INTO person (contact, user_id, user_id_of, user_id_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET user_id = excluded.user_id, user_id_of = excluded.user_id_of,
                     user_id_at = excluded.user_id_at",
            )?
            .execute(params![contact.0, user_id, address, since.0])?;
        Ok(identity)
    }

    /// WhatsApp says that this contact's number, or the user behind it, is another since then. What came from it meanwhile
    /// was somebody else's: nothing of it stays. `false`: an operator has accepted them later than that.
    pub fn moved(&self, contact: &ContactId, at: Timestamp, now: Timestamp) -> Result<bool> {
        let accepted = "SELECT 1 FROM person WHERE contact = ?1 AND accepted_at > ?2";
        if self.sql.prepare_cached(accepted)?.exists(params![contact.0, at.0])? {
            return Ok(false);
        }
        self.sql
            .prepare_cached(
                "INSERT INTO person (contact, moved_at) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET moved_at = min(coalesce(moved_at, ?2), ?2),
                     user_id = iif(user_id_at >= ?2, NULL, user_id),
                     no_marketing = iif(no_marketing_at >= ?2, 0, no_marketing)",
            )?
            .execute(params![contact.0, at.0])?;
        for table in ["known_as", "consent"] {
            let sql = format!("DELETE FROM {table} WHERE contact = ?1 AND at >= ?2");
            self.sql.prepare_cached(&sql)?.execute(params![contact.0, at.0])?;
        }
        self.sql
            .prepare_cached("UPDATE window SET until = 0, closed_at = max(closed_at, ?2) WHERE contact = ?1")?
            .execute(params![contact.0, at.0])?;
        let given = self.newest_wish(contact)?.is_none_or(|(given, _)| given);
        if given == self.has_stopped(contact)? {
            self.obey(contact, given, now)?;
        }
        Ok(true)
    }

    /// Whoever writes next from this contact's number is the contact.
    pub fn accept_identity(&self, contact: &ContactId, now: Timestamp) -> Result<bool> {
        self.sql.prepare_cached("DELETE FROM known_as WHERE contact = ?1")?.execute([&contact.0])?;
        // Meta's times are whole seconds.
        let since = now.0 - now.0 % 1_000;
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE person SET user_id = NULL, user_id_of = NULL, user_id_at = NULL, moved_at = NULL, accepted_at = ?2
                 WHERE contact = ?1 AND (user_id IS NOT NULL OR moved_at IS NOT NULL)",
            )?
            .execute(params![contact.0, since])?;
        Ok(changed > 0)
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
            self.each(held, &[&contact.0], &next, now)?;
        }
        Ok(changed > 0)
    }

    pub(super) fn wants_no_marketing(&self, contact: &ContactId) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM person WHERE contact = ?1 AND no_marketing = 1")?
            .exists([&contact.0])
    }

    /// Who wants nothing more, and the address that they were written to last.
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
    fn newest_wish(&self, contact: &ContactId) -> Result<Option<(bool, (i64, String))>> {
        self.sql
            .prepare_cached(
                "SELECT given, at, source FROM consent WHERE contact = ?1 ORDER BY at DESC, source DESC LIMIT 1",
            )?
            .query_row([&contact.0], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
            .optional()
    }

    fn obey(&self, contact: &ContactId, given: bool, now: Timestamp) -> Result<()> {
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

fn pair(row: &Row) -> Result<(ContactId, String)> {
    Ok((ContactId(row.get(0)?), row.get(1)?))
}

/// What STOP does to a message.
pub(super) fn unwanted() -> Next {
    let reason = "the person asked for no more messages; it goes out if they write START";
    Next { held_for: Some(HeldFor::Consent), ..Next::to(State::Held, reason) }
}
