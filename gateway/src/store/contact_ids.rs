//! Identities of people: their user id, and other names of their number.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::contact::{IdentityOwner, KnownIdentity, People, Phone};
use crate::ids::{ContactId, MessageId};
use crate::reply::sender::{Identity, KnownUser};
use crate::time::Timestamp;

impl Store {
    /// Whom a webhook names, with what was learned of them. `from` is a number without `+`; people who use a username may have
    /// none (Meta, business-scoped user ids).
    pub fn whose<'a>(
        &self,
        people: &'a People,
        from: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<IdentityOwner<'a>> {
        let phone = from.and_then(|from| Phone::from_wa_id(from).ok());
        let digits = phone.as_ref().map(|phone| &phone.e164()[1..]);
        Ok(people.whose(phone.as_ref(), user_id, &self.known(digits, user_id)?))
    }

    /// The contacts that a number (digits without `+`) and a user id were seen with.
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
        let known = self
            .sql
            .prepare_cached(
                "SELECT user_id, user_id_of, user_id_at, moved_at, accepted_at FROM person WHERE contact = ?1",
            )?
            .query_row([&contact.0], |row| {
                let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp));
                let (user_id, of) = (row.get(0)?, row.get(1)?);
                Ok(KnownUser { user_id, of, since: time(2)?, moved_at: time(3)?, accepted_at: time(4)? })
            })
            .optional()?;
        let (identity, since) = known.unwrap_or_default().judge(address, user_id, at);
        let Some(since) = since else { return Ok(identity) };
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
}

fn pair(row: &Row) -> Result<(ContactId, String)> {
    Ok((ContactId(row.get(0)?), row.get(1)?))
}
