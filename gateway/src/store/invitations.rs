//! People whom the owner invited: asked, joined, removed.

use std::time::Duration;

use rusqlite::{Result, Row, params};

use super::Store;
use crate::contact::{Guest, GuestState, Phone};
use crate::ids::{ContactId, Wamid};
use crate::time::Timestamp;

/// Time in which invitations are counted.
const COUNTED: Duration = Duration::from_secs(24 * 3_600);
const COLUMNS: &str = "contact, name, address, roles, teams, places, invited_by FROM guest";

impl Store {
    /// Those who said Yes and were not removed.
    pub fn guests(&self) -> Result<Vec<Guest>> {
        let rows: Vec<Option<Guest>> = self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} WHERE state = 'joined' ORDER BY contact"))?
            .query_map([], read)?
            .collect::<Result<_>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Everybody who was ever invited, for the audit.
    pub fn guest_ids(&self) -> Result<Vec<ContactId>> {
        let mut all = self.sql.prepare_cached("SELECT contact FROM guest ORDER BY contact")?;
        all.query_map([], |row| row.get(0).map(ContactId))?.collect()
    }

    /// Invitations that count now; `when` they were answered with No, or that they were not answered yet.
    pub fn invitations_open(&self, now: Timestamp) -> Result<Vec<(Guest, Option<Timestamp>)>> {
        let mut open = self.sql.prepare_cached(&format!(
            "SELECT state, answered_at, {COLUMNS} WHERE state IN ('asked', 'declined') AND expires_at > ?1 ORDER BY contact"
        ))?;
        let rows = open.query_map([now.0], |row| {
            let declined = GuestState::parse(&row.get::<_, String>(0)?) == Some(GuestState::Declined);
            let at = Timestamp(row.get(1)?);
            Ok(read(row)?.map(|guest| (guest, declined.then_some(at))))
        })?;
        rows.filter_map(Result::transpose).collect()
    }

    /// Invitations of the last day, of everybody.
    pub fn invitations(&self, now: Timestamp) -> Result<u32> {
        self.sql
            .prepare_cached("SELECT count(*) FROM guest WHERE invited_at > ?1")?
            .query_row([(now - COUNTED).0], |row| row.get(0))
    }

    /// A new invitation; an earlier one of this number, in whichever spelling, is over.
    pub fn invite(&self, guest: &Guest, now: Timestamp, expires_at: Timestamp) -> Result<()> {
        let address = guest.phone.e164();
        for (earlier, _) in self.invitations_open(now)? {
            if earlier.phone.is_same(&guest.phone) {
                self.sql
                    .prepare_cached("UPDATE guest SET state = 'removed' WHERE contact = ?1")?
                    .execute([&earlier.id.0])?;
            }
        }
        let list = |items: Vec<&String>| serde_json::to_string(&items).unwrap_or_default();
        self.sql
            .prepare_cached("INSERT INTO guest (contact, name, address, roles, teams, places, invited_by, invited_at, expires_at, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'asked')")?
            .execute(params![
                guest.id.0,
                guest.name,
                address,
                list(guest.roles.iter().collect()),
                list(guest.teams.iter().collect()),
                list(guest.places.iter().collect()),
                guest.by.0,
                now.0,
                expires_at.0
            ])
            .map(drop)
    }

    /// An id like this that nobody has or had: what is kept of a person is kept under it.
    pub fn free_id(&self, wanted: &str, is_taken: impl Fn(&str) -> bool) -> Result<ContactId> {
        let mut known = self.sql.prepare_cached(
            "SELECT 1 FROM guest WHERE contact = ?1 UNION ALL SELECT 1 FROM person WHERE contact = ?1
             UNION ALL SELECT 1 FROM consent WHERE contact = ?1",
        )?;
        let (mut id, mut number) = (wanted.to_owned(), 1);
        while is_taken(&id) || known.exists([&id])? {
            number += 1;
            id = format!("{wanted}-{number}");
        }
        Ok(ContactId(id))
    }

    /// Said Yes with this message, which is theirs from now on.
    pub fn join(&self, guest: &ContactId, with: &Wamid, at: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "UPDATE guest SET state = 'joined', answered_at = iif(state = 'joined', max(answered_at, ?2), ?2)
                 WHERE contact = ?1 AND state IN ('asked', 'declined', 'joined')",
            )?
            .execute(params![guest.0, at.0])?;
        self.sql
            .prepare_cached("UPDATE reply SET contact = ?1 WHERE wamid = ?2")?
            .execute([&guest.0, &with.0])
            .map(drop)
    }

    /// Whether a bare No that somebody on the list wrote then can be about nothing else: the invitation still counted, and they
    /// had got no alert.
    pub fn is_about_invitation(&self, guest: &ContactId, at: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM guest WHERE contact = ?1 AND state = 'joined' AND expires_at > ?2 AND NOT EXISTS (
                     SELECT 1 FROM message m WHERE m.contact = ?1 AND m.alert IS NOT NULL AND m.created_at <= ?2)",
            )?
            .exists(params![guest.0, at.0])
    }

    /// Whether they have said Yes since, or were never asked.
    pub(super) fn is_overtaken(&self, guest: &ContactId, at: Timestamp) -> Result<bool> {
        let older = "SELECT 1 FROM guest WHERE contact = ?1 AND state IN ('asked', 'joined', 'declined') AND answered_at < ?2";
        Ok(!self.sql.prepare_cached(older)?.exists(params![guest.0, at.0])?)
    }

    /// Said No, after whatever they said before.
    pub fn decline(&self, guest: &ContactId, at: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "UPDATE guest SET state = 'declined', answered_at = ?2
                 WHERE contact = ?1 AND state IN ('asked', 'joined', 'declined') AND answered_at < ?2",
            )?
            .execute(params![guest.0, at.0])
            .map(drop)
    }

    /// Said No, or was taken off the list. `false` when there is nobody of this id any more.
    pub fn dismiss(&self, guest: &ContactId, state: GuestState) -> Result<bool> {
        self.sql
            .prepare_cached(
                "UPDATE guest SET state = ?2 WHERE contact = ?1 AND state IN ('asked', 'joined')",
            )?
            .execute([&guest.0, state.as_str()])
            .map(|changed| changed > 0)
    }
}

/// A row that is damaged is nobody: rights must not come out of what cannot be read.
fn read(row: &Row) -> Result<Option<Guest>> {
    let list = |column| -> Result<Option<Vec<String>>> {
        Ok(serde_json::from_str(&row.get::<_, String>(column)?).ok())
    };
    let (roles, teams, places) = (list("roles")?, list("teams")?, list("places")?);
    let phone = Phone::parse(&row.get::<_, String>("address")?).ok();
    let (id, by) = (ContactId(row.get("contact")?), ContactId(row.get("invited_by")?));
    let name = row.get("name")?;
    let guest = || {
        let (roles, teams) = (roles?.into_iter().collect(), teams?.into_iter().collect());
        Some(Guest { id, name, phone: phone?, roles, teams, places: places?, by })
    };
    Ok(guest())
}
