//! Commands on their way to the broker, and back: what the device made of them.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::command::action::{CommandOrigin, NewCommand};
use crate::command::command_state::CommandState;
use crate::command::dispatch::{CommandUpdate, PendingCommand};
use crate::command::outcome::CommandStory;
use crate::device::topic;
use crate::ids::{CommandId, ConnectionName, ContactId, Wamid};
use crate::store::db::checksum;
use crate::time::Timestamp;

const STORY: &str = "SELECT id, reply, contact, connection, title, state, reason, answer FROM command";

impl Store {
    pub fn insert_command(
        &self,
        origin: &CommandOrigin,
        command: &NewCommand,
        now: Timestamp,
    ) -> Result<CommandId> {
        let action = &command.action;
        let sum = checksum::of(&[action.topic.as_bytes(), action.payload.as_bytes()]);
        let answer = action.answer.as_ref().and_then(|answer| serde_json::to_string(answer).ok());
        self.sql
            .prepare_cached(
                "INSERT INTO command (reply, contact, connection, alert, action, title, topic, payload, retain, correlation,
                                      answer, requested_at, expires_at, state, changed_at, checksum, device)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'queued', ?12, ?14, ?15)",
            )?
            .insert(params![
                origin.reply.as_ref().map(|reply| &reply.0),
                command.contact.0,
                origin.connection.as_ref().map_or("", |connection| &connection.0),
                action.alert,
                action.name,
                action.title,
                action.topic,
                action.payload,
                action.retain,
                origin.correlation,
                answer,
                now.0,
                command.expires_at.0,
                sum,
                topic::read_command(&action.topic).map(|(device, _)| device)
            ])
            .map(CommandId)
    }

    /// The oldest commands that wait for the broker, and those whose row is damaged: they are to be refused, never published.
    pub fn waiting_commands(&self, limit: usize) -> Result<(Vec<PendingCommand>, Vec<CommandId>)> {
        let rows: Vec<(PendingCommand, bool)> = self
            .sql
            .prepare_cached(
                "SELECT id, topic, payload, retain, expires_at, contact, correlation, answer, checksum FROM command
                 WHERE state = 'queued' AND device IS NULL ORDER BY id LIMIT ?1",
            )?
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                let contact: String = row.get(5)?;
                let waiting = PendingCommand {
                    id: CommandId(row.get(0)?),
                    topic: row.get(1)?,
                    payload: row.get(2)?,
                    retain: row.get(3)?,
                    expires_at: Timestamp(row.get(4)?),
                    issued_by: match contact.is_empty() {
                        true => "clock".to_owned(),
                        false => self.seal.pseudonym(&ContactId(contact)),
                    },
                    correlation: row.get(6)?,
                    answers: row.get::<_, Option<String>>(7)?.is_some(),
                };
                let sum = checksum::of(&[waiting.topic.as_bytes(), waiting.payload.as_bytes()]);
                let intact = sum == row.get::<_, Vec<u8>>(8)?;
                Ok((waiting, intact))
            })?
            .collect::<Result<_>>()?;
        let (intact, damaged): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, intact)| *intact);
        Ok((
            intact.into_iter().map(|(command, _)| command).collect(),
            damaged.into_iter().map(|(command, _)| command.id).collect(),
        ))
    }

    /// Writes what the dispatch decided. `false`: the device had answered before.
    pub fn change_command(&self, change: &CommandUpdate) -> Result<bool> {
        let (id, at, reason) = match change {
            CommandUpdate::Published { id, at } => (id, at, None),
            CommandUpdate::Refused { id, at, reason } => (id, at, Some(reason.as_str())),
            CommandUpdate::Expired { id, at } => {
                (id, at, Some("the broker could not be reached before the command's time was over"))
            }
        };
        self.sql
            .prepare_cached(
                "UPDATE command SET state = ?2, changed_at = ?3, reason = ?4,
                     answer_by = ?3 + json_extract(answer, '$.within_ms') WHERE id = ?1 AND state = 'queued'",
            )?
            .execute(params![id.0, change.state().as_str(), at.0, reason])
            .map(|changed| changed > 0)
    }

    pub fn command(&self, id: CommandId) -> Result<Option<CommandStory>> {
        self.sql.prepare_cached(&format!("{STORY} WHERE id = ?1"))?.query_row([id.0], read_story).optional()
    }

    /// Published commands whose device has not answered in time.
    pub fn silent(&self, now: Timestamp) -> Result<Vec<CommandStory>> {
        self.sql
            .prepare_cached(&format!(
                "{STORY} WHERE state = 'published' AND answer IS NOT NULL AND answer_by <= ?1 ORDER BY id LIMIT 100"
            ))?
            .query_map([now.0], read_story)?
            .collect()
    }

    /// Commands, on their way or published, whose end is a state on this topic.
    pub fn awaited_on(&self, topic: &str) -> Result<Vec<CommandStory>> {
        self.sql
            .prepare_cached(&format!(
                "{STORY} WHERE state IN ('published', 'queued') AND answer IS NOT NULL
                 AND json_extract(answer, '$.topic') = ?1 ORDER BY id LIMIT 100"
            ))?
            .query_map([topic], read_story)?
            .collect()
    }

    /// The end as the device tells it, or that it is silent. `false`: it had an end before. A device may be
    /// faster than the broker's acknowledgement of the command, slower than we wait, and may have got what counts as
    /// expired or refused: it was published, its acknowledgement was lost, and the next try came too late.
    pub fn end_command(
        &self,
        id: CommandId,
        state: CommandState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE command SET state = ?2, changed_at = ?3, reason = ?4
                 WHERE id = ?1 AND (state = 'published'
                     OR (state IN ('queued', 'silent', 'expired', 'refused') AND ?2 != 'silent'))",
            )?
            .execute(params![id.0, state.as_str(), now.0, reason])?;
        Ok(changed > 0)
    }
}

fn read_story(row: &Row) -> Result<CommandStory> {
    let answer: Option<String> = row.get(7)?;
    Ok(CommandStory {
        id: CommandId(row.get(0)?),
        reply: row.get::<_, Option<String>>(1)?.map(Wamid),
        contact: ContactId(row.get(2)?),
        connection: ConnectionName(row.get(3)?),
        title: row.get(4)?,
        // A word that no version wrote: it had an end.
        state: CommandState::parse(&row.get::<_, String>(5)?).unwrap_or(CommandState::Done),
        reason: row.get(6)?,
        answer: answer.and_then(|answer| serde_json::from_str(&answer).ok()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::action::{Awaited, ResolvedAction};

    const NOW: Timestamp = Timestamp(1_795_240_800_000);

    fn command(contact: &str, answer: Option<Awaited>) -> NewCommand {
        let action = ResolvedAction {
            alert: None,
            name: "open".into(),
            title: "Open".into(),
            topic: "site/door/set".into(),
            payload: "OPEN".into(),
            retain: false,
            roles: std::collections::BTreeSet::new(),
            expires_ms: 60_000,
            answer,
        };
        action.command(contact.into(), NOW)
    }

    /// Queued, published, and each end: which one counts, by what came before.
    #[test]
    fn a_command_has_one_end() {
        let (_folder, store) = Store::in_new_folder();
        let state =
            Awaited { topic: Some("site/door".into()), when: None, refused_when: None, within_ms: 30_000 };
        let insert = |contact: &str, answer| {
            store.insert_command(&CommandOrigin::default(), &command(contact, answer), NOW).expect("inserted")
        };
        let first = insert("nino", Some(state.clone()));
        let (unanswered, of_clock, damaged) =
            (insert("nino", None), insert("", Some(state)), insert("nino", None));
        store.sql.execute("UPDATE command SET payload = 'SHUT' WHERE id = ?1", [damaged.0]).expect("flipped");

        let (waiting, set_aside) = store.waiting_commands(10).expect("read");
        let ids: Vec<_> = waiting.iter().map(|one| (one.id, one.answers)).collect();
        assert_eq!(ids, [(first, true), (unanswered, false), (of_clock, true)]);
        assert!(waiting[0].issued_by.starts_with("p-") && waiting[2].issued_by == "clock");
        let word = |id| store.command(id).expect("read").map(|story| story.state);
        assert_eq!((set_aside, word(damaged)), (vec![damaged], Some(CommandState::Queued)), "to be refused");
        assert_eq!(store.waiting_commands(1).expect("read").0.len(), 1);
        assert_eq!(word(CommandId(99)), None);

        let awaited = |at| store.silent(at).expect("read").iter().map(|story| story.id).collect::<Vec<_>>();
        let seen =
            || store.awaited_on("site/door").expect("read").iter().map(|story| story.id).collect::<Vec<_>>();
        assert_eq!(seen(), [first, of_clock]);
        let published =
            |id| store.change_command(&CommandUpdate::Published { id, at: NOW }).expect("written");
        assert!(published(first) && published(unanswered) && !published(first));
        let late = NOW + Duration::from_secs(30);
        assert_eq!((awaited(late - Duration::from_millis(1)), awaited(late)), (vec![], vec![first]));

        let end = |id, state| store.end_command(id, state, None, late).expect("written");
        assert!(end(first, CommandState::Silent) && !end(first, CommandState::Silent));
        assert!(end(first, CommandState::Done) && !end(first, CommandState::Failed), "slower than we wait");
        assert_eq!((word(first), awaited(late)), (Some(CommandState::Done), vec![]));
        assert!(
            !end(of_clock, CommandState::Silent) && end(of_clock, CommandState::Failed),
            "faster than the acknowledgement"
        );
        assert!(!published(of_clock) && seen().is_empty());
        let last = insert("nino", None);
        assert!(store.change_command(&CommandUpdate::Expired { id: last, at: NOW }).expect("written"));
        assert_eq!(word(last), Some(CommandState::Expired));
    }
}
