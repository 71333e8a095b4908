//! Commands on their way to the broker.

use rusqlite::{Result, params};

use super::{Store, checksum};
use crate::command::dispatch::{Change, Waiting};
use crate::command::reply::NewCommand;
use crate::device::topic;
use crate::ids::{CommandId, Wamid};
use crate::time::Timestamp;

impl Store {
    pub(super) fn insert_command(
        &self,
        reply: Option<&Wamid>,
        command: &NewCommand,
        now: Timestamp,
    ) -> Result<()> {
        let sum = checksum::of(&[command.topic.as_bytes(), command.payload.as_bytes()]);
        self.sql
            .prepare_cached(
                "INSERT INTO command (reply, contact, alert, action, topic, payload, retain, requested_at, expires_at,
                                      state, changed_at, checksum, device)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', ?8, ?10, ?11)",
            )?
            .execute(params![
                reply.map(|reply| &reply.0),
                command.contact.0,
                command.alert.0,
                command.action,
                command.topic,
                command.payload,
                command.retain,
                now.0,
                command.expires_at.0,
                sum,
                topic::read_command(&command.topic).map(|(device, _)| device)
            ])
            .map(drop)
    }

    /// The oldest commands that wait for the broker. A damaged one is refused, never published.
    pub fn waiting_commands(&self, limit: usize, now: Timestamp) -> Result<Vec<Waiting>> {
        let rows: Vec<(Waiting, bool)> = self
            .sql
            .prepare_cached(
                "SELECT id, topic, payload, retain, expires_at, contact, checksum FROM command
                 WHERE state = 'queued' AND device IS NULL ORDER BY id LIMIT ?1",
            )?
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                let waiting = Waiting {
                    id: CommandId(row.get(0)?),
                    topic: row.get(1)?,
                    payload: row.get(2)?,
                    retain: row.get(3)?,
                    expires_at: Timestamp(row.get(4)?),
                    issued_by: row.get(5)?,
                };
                let sum = checksum::of(&[waiting.topic.as_bytes(), waiting.payload.as_bytes()]);
                let intact = sum == row.get::<_, Vec<u8>>(6)?;
                Ok((waiting, intact))
            })?
            .collect::<Result<_>>()?;
        let (intact, damaged): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, intact)| *intact);
        for (command, _) in damaged {
            let reason = "the row is damaged on disk: its checksum does not match".to_owned();
            self.change_command(&Change::Refused { id: command.id, at: now, reason })?;
        }
        Ok(intact.into_iter().map(|(command, _)| command).collect())
    }

    /// Writes what the dispatch decided.
    pub fn change_command(&self, change: &Change) -> Result<()> {
        let (id, state, at, reason) = match change {
            Change::Published { id, at } => (id, "published", at, None),
            Change::Refused { id, at, reason } => (id, "refused", at, Some(reason.as_str())),
            Change::Expired { id, at } => (
                id,
                "expired",
                at,
                Some("the broker could not be reached before the command's time was over"),
            ),
        };
        self.sql
            .prepare_cached(
                "UPDATE command SET state = ?2, changed_at = ?3, reason = ?4 WHERE id = ?1 AND state = 'queued'",
            )?
            .execute(params![id.0, state, at.0, reason])
            .map(drop)
    }
}
