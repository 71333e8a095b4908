//! What is learned of people: their user id, and other names of their number.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::contact::KnownIdentity;
use crate::ids::{ContactId, MessageId};
use crate::outbox::retry_policy::Next;
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
