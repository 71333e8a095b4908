//! Alerts: what the engine decided and remembers is written with the event that caused it, and what others have to tell it
//! waits here.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::{AuditEntry, IntakeReport, Store};
use crate::alert::effect::{Effect, Notification, NotificationKind, RaisedAlert, Snapshot};
use crate::alert::engine::{AlertCommand, StateKey};
use crate::alert::intake::NoteId;
use crate::alert::lifecycle::AlertKey;
use crate::command::action::{CommandOrigin, ResolvedAction};
use crate::contact::severity::Severity;
use crate::ids::{AlertId, ContactId, EventId, MessageId, RuleName};
use crate::outbox::message::Content;
use crate::store::db::checksum;
use crate::store::intake::AlertDecision;
use crate::time::Timestamp;

/// A buzzer that sounds an hour late frightens whoever has come to help.
const COMMAND_EXPIRES: std::time::Duration = std::time::Duration::from_secs(3_600);

/// One time that an alert fired.
#[derive(Debug, Clone)]
pub struct AlertRow {
    pub id: i64,
    pub alert: AlertKey,
    pub severity: i64,
    pub state: String,
    pub text: String,
    pub raised_at: i64,
    pub changed_at: i64,
    pub reason: Option<String>,
}

impl Store {
    /// Performs what the engine wants done, in the transaction of the event that caused it.
    pub(super) fn perform<'a>(
        &self,
        effects: impl IntoIterator<Item = &'a Effect>,
        event: Option<EventId>,
        accepted: &mut IntakeReport,
    ) -> Result<()> {
        let mut raised = None;
        for effect in effects {
            match effect {
                Effect::Fired(alert) => {
                    let word = alert.episode.map_or(NotificationKind::Once, |_| NotificationKind::Fired);
                    accepted.count(AlertDecision::Raised, word.as_str(), 1);
                    raised = Some(self.insert_alert(alert, event)?);
                }
                Effect::Moved { alert, episode, state, reason, at } => {
                    self.sql
                        .prepare_cached(
                            "UPDATE alert SET state = ?4, reason = ?5, changed_at = ?6
                             WHERE rule = ?1 AND key = ?2 AND episode = ?3",
                        )?
                        .execute(params![alert.rule.0, alert.key, episode, state, reason, at.0])?;
                }
                Effect::Record { alert, why, what, at } => {
                    if why.holds() {
                        accepted.count(AlertDecision::Held, why.as_str(), 1);
                    }
                    self.record_alert(alert, why.as_str(), what, *at)?;
                }
                Effect::Send(notice) => {
                    accepted.messages += 1;
                    accepted.count(AlertDecision::Told, notice.kind.as_str(), 1);
                    self.insert_notice(notice, raised)?;
                }
                Effect::Picture(file, at) => self.keep_media(file, *at)?,
                Effect::Replaced { alert, tag, told, at } => self.replace(alert, tag, told, *at, accepted)?,
                Effect::Publish { alert, topic, payload, at } => {
                    accepted.commands += 1;
                    self.insert_fallback(alert, topic, payload, *at)?;
                }
                Effect::Post { alert, url, body, at } => {
                    accepted.posts += 1;
                    self.insert_post(alert, url, body, *at)?;
                }
                Effect::Keep(kept) => self.keep(kept)?,
                Effect::Forget(slot) => {
                    let (kind, key) = slot.row();
                    self.sql
                        .prepare_cached("DELETE FROM alert_memory WHERE kind = ?1 AND key = ?2")?
                        .execute(params![kind, key])?;
                }
            }
        }
        Ok(())
    }

    /// Performs what time and people did to alerts; the notes that are settled are deleted in the same commit.
    pub fn watched(&self, effects: &[Effect], taken: &[NoteId]) -> Result<IntakeReport> {
        let mut accepted = IntakeReport::default();
        self.perform(effects, None, &mut accepted)?;
        for id in taken {
            self.sql.prepare_cached("DELETE FROM alert_note WHERE id = ?1")?.execute([id.0])?;
        }
        Ok(accepted)
    }

    fn insert_alert(&self, raised: &RaisedAlert, event: Option<EventId>) -> Result<AlertId> {
        let bindings = serde_json::to_string(&raised.bindings).unwrap_or_default();
        let held = (!raised.held.is_empty()).then(|| raised.held.join("; "));
        if let Some(file) = &raised.file {
            self.keep_media(file, raised.at)?;
        }
        // Only what may go on has a key and a state.
        let of_state = raised.episode.map(|episode| (&raised.alert.key, episode, &raised.content.text));
        self.sql
            .prepare_cached(
                "INSERT INTO alert (event, rule, severity, bindings, flaw, raised_at, reason, key, episode, state, text, changed_at,
                                    tag, actions)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, iif(?8 IS NULL, NULL, 'firing'), ?10, iif(?8 IS NULL, NULL, ?6), ?11, ?12)",
            )?
            .insert(params![
                event.map(|event| event.0),
                raised.alert.rule.0,
                raised.severity.rank(),
                bindings,
                raised.flaw,
                raised.at.0,
                held,
                of_state.map(|(key, ..)| key),
                of_state.map(|(_, episode, _)| episode),
                of_state.map(|(.., text)| text),
                raised.tag,
                (!raised.actions.is_empty()).then(|| serde_json::to_string(&raised.actions).unwrap_or_default())
            ])
            .map(AlertId)
    }

    pub(super) fn record_alert(&self, alert: &AlertKey, why: &str, what: &str, at: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO alert_record (rule, key, at, why, what) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![alert.rule.0, alert.key, at.0, why, what])
            .map(drop)
    }

    fn episode(&self, alert: &AlertKey, episode: Option<u32>) -> Result<Option<AlertId>> {
        self.sql
            .prepare_cached(
                "SELECT id FROM alert WHERE rule = ?1 AND key = ?2 AND (?3 IS NULL OR episode = ?3) ORDER BY id DESC LIMIT 1",
            )?
            .query_row(params![alert.rule.0, alert.key, episode], |row| row.get(0).map(AlertId))
            .optional()
    }

    fn insert_notice(&self, notice: &Notification, raised: Option<AlertId>) -> Result<()> {
        let alert = match &notice.alert {
            Some((alert, episode)) => self.episode(alert, Some(*episode))?,
            None => raised.filter(|_| notice.kind == NotificationKind::Once),
        };
        let mut content = notice.content.clone();
        if let Some(alert) = alert
            .filter(|_| matches!(notice.kind, NotificationKind::Resolved | NotificationKind::Acknowledged))
        {
            content.quotes = self.first_wamid(alert, &notice.to.id)?;
        }
        match (notice.kind, alert, &notice.alert) {
            // What is over before it could leave is not sent as if it were fresh (promise P9).
            (NotificationKind::Resolved, Some(alert), _) => {
                let reason = "over before it could leave; the message of its end tells both";
                self.overtake(alert, &notice.to.id, reason, notice.at)?;
            }
            (NotificationKind::Still | NotificationKind::Escalated, Some(id), Some((alert, _))) => {
                let reason = "it had not left when the next one about the same alert came, which says more";
                let newest: i64 =
                    self.sql
                        .query_row("SELECT coalesce(max(id), 0) FROM alert_note", [], |row| row.get(0))?;
                for waiting in self.overtake(id, &notice.to.id, reason, notice.at)? {
                    let what = format!("message {waiting} to {} is cancelled: {reason}", notice.to.id);
                    self.record_alert(alert, "replaced", &what, notice.at)?;
                }
                // No receipt: what becomes of the newer one counts.
                self.sql.prepare_cached("DELETE FROM alert_note WHERE id > ?1")?.execute([newest])?;
            }
            (_, None | Some(_), None | Some(_)) => {}
        }
        self.insert_of(notice, alert, content)
    }

    fn insert_of(&self, notice: &Notification, alert: Option<AlertId>, content: Content) -> Result<()> {
        self.insert_message(&super::outbox::NewMessage {
            connection: &notice.connection,
            contact: &notice.to.id,
            to: &notice.to.to,
            alert,
            severity: notice.severity,
            content: &content,
            on_unknown: notice.on_unknown,
            created_at: notice.at,
            expires_at: notice.expires_at,
            exempt: !notice.to.may_stop,
        })
        .map(drop)
    }

    /// The message with which this person heard of it, to be quoted.
    fn first_wamid(&self, alert: AlertId, contact: &ContactId) -> Result<Option<String>> {
        self.sql
            .prepare_cached(
                "SELECT s.wamid FROM message m JOIN sent s ON s.message = m.id
                 WHERE m.alert = ?1 AND m.contact = ?2 ORDER BY m.id LIMIT 1",
            )?
            .query_row(params![alert.0, contact.0], |row| row.get(0))
            .optional()
    }

    /// Cancels what would leave by itself for this person about this alert: now, when the person writes or wants messages
    /// again, or when the budget has room. Not what an operator decides about, nor what may have arrived by an earlier try.
    fn overtake(
        &self,
        alert: AlertId,
        contact: &ContactId,
        reason: &str,
        at: Timestamp,
    ) -> Result<Vec<MessageId>> {
        let waiting: Vec<MessageId> = self
            .sql
            .prepare_cached(
                "SELECT id FROM message WHERE alert = ?1 AND contact = ?2 AND possible_duplicate = 0 AND digest IS NULL
                 AND (state = 'queued' OR (state = 'held' AND held_for IN ('window', 'consent', 'budget')))",
            )?
            .query_map(params![alert.0, contact.0], |row| row.get(0).map(MessageId))?
            .collect::<Result<_>>()?;
        for id in &waiting {
            let next =
                crate::outbox::retry_policy::Next::to(crate::outbox::message_state::State::Cancelled, reason);
            self.advance(*id, &next, at)?;
        }
        Ok(waiting)
    }

    /// What earlier requests with this tag told is over.
    fn replace(
        &self,
        alert: &AlertKey,
        tag: &str,
        told: &[Notification],
        at: Timestamp,
        accepted: &mut IntakeReport,
    ) -> Result<()> {
        let reason = if told.is_empty() { "a later request took its place" } else { "a request ended it" };
        let earlier: Vec<AlertId> = self
            .sql
            .prepare_cached(
                "SELECT id FROM alert WHERE tag = ?1 AND rule = ?2 AND state IS NULL ORDER BY id DESC",
            )?
            .query_map([tag, &alert.rule.0], |row| row.get(0).map(AlertId))?
            .collect::<Result<_>>()?;
        let mut knows: Vec<String> = Vec::new();
        for id in earlier {
            let people: Vec<String> = self
                .sql
                .prepare_cached("SELECT DISTINCT contact FROM message WHERE alert = ?1")?
                .query_map([id.0], |row| row.get(0))?
                .collect::<Result<_>>()?;
            for contact in people.into_iter().map(ContactId) {
                self.overtake(id, &contact, reason, at)?;
                let quotes = self.first_wamid(id, &contact)?;
                let notice = told.iter().find(|notice| notice.to.id == contact);
                if let Some(notice) = notice.filter(|_| quotes.is_some() && !knows.contains(&contact.0)) {
                    accepted.messages += 1;
                    accepted.count(AlertDecision::Told, notice.kind.as_str(), 1);
                    self.insert_of(notice, Some(id), Content { quotes, ..notice.content.clone() })?;
                    knows.push(contact.0);
                }
            }
            self.sql
                .prepare_cached(
                    "UPDATE alert SET state = 'resolved', reason = ?2, changed_at = ?3 WHERE id = ?1",
                )?
                .execute(params![id.0, reason, at.0])?;
        }
        Ok(())
    }

    fn insert_fallback(&self, alert: &AlertKey, topic: &str, payload: &str, at: Timestamp) -> Result<()> {
        let action = ResolvedAction {
            alert: self.episode(alert, None)?.map(|alert| alert.0),
            name: ":escalation".into(),
            title: format!("the last resort of {alert}"),
            topic: topic.to_owned(),
            payload: payload.to_owned(),
            retain: false,
            roles: std::collections::BTreeSet::new(),
            expires_ms: u64::try_from(COMMAND_EXPIRES.as_millis()).unwrap_or(u64::MAX),
            answer: None,
        };
        let command = action.command(ContactId("escalation".into()), at);
        let id = self.insert_command(&CommandOrigin::default(), &command, at)?;
        let detail = format!("{}: {payload} to {topic}", command.action.title);
        self.record(
            &AuditEntry { what: "commanded", who: None, message: None, command: Some(id), detail: &detail },
            at,
        )
    }

    fn keep(&self, kept: &Snapshot) -> Result<()> {
        let (kind, key) = kept.slot.row();
        let sum = checksum::of(&[key.as_bytes(), kept.state.as_bytes()]);
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO alert_memory VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![kind, key, kept.state, sum])
            .map(drop)
    }

    /// The snapshots of an earlier process. A row that is damaged on disk is left out, and logged.
    pub fn kept(&self) -> Result<Vec<Snapshot>> {
        let mut select = self.sql.prepare("SELECT kind, key, state, checksum FROM alert_memory")?;
        let mut rows = select.query([])?;
        let mut kept = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, key, state): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let intact = row.get::<_, Vec<u8>>(3)? == checksum::of(&[key.as_bytes(), state.as_bytes()]);
            match StateKey::of_row(&kind, &key).filter(|_| intact) {
                Some(slot) => kept.push(Snapshot { slot, state }),
                None => tracing::error!(kind, key, "an alert's memory is damaged on disk; it begins anew"),
            }
        }
        Ok(kept)
    }

    /// Something for the watch, from whoever has it.
    pub fn note(&self, note: &AlertCommand, now: Timestamp) -> Result<()> {
        let note = serde_json::to_string(note).unwrap_or_default();
        self.sql
            .prepare_cached("INSERT INTO alert_note (at, note) VALUES (?1, ?2)")?
            .execute(params![now.0, note])
            .map(drop)
    }

    /// The oldest notes. One that cannot be read is taken away, and said.
    pub fn notes(&self, limit: u32) -> Result<Vec<(NoteId, AlertCommand)>> {
        let rows: Vec<(NoteId, String)> = self
            .sql
            .prepare_cached("SELECT id, note FROM alert_note ORDER BY id LIMIT ?1")?
            .query_map([limit], |row| Ok((NoteId(row.get(0)?), row.get(1)?)))?
            .collect::<Result<_>>()?;
        let mut notes = Vec::new();
        for (id, text) in rows {
            match serde_json::from_str(&text) {
                Ok(note) => notes.push((id, note)),
                Err(error) => {
                    tracing::error!(%error, note = text, "a stored alert command cannot be read and is deleted");
                    self.sql.prepare_cached("DELETE FROM alert_note WHERE id = ?1")?.execute([id.0])?;
                }
            }
        }
        Ok(notes)
    }

    /// Newest first; `only` is a state.
    pub fn alerts(&self, only: Option<&str>, limit: u32) -> Result<Vec<AlertRow>> {
        self.sql
            .prepare_cached(&format!(
                "{ALERT} WHERE key IS NOT NULL AND (?1 IS NULL OR state = ?1 OR ?1 = 'open' AND state != 'resolved') ORDER BY id DESC LIMIT ?2"
            ))?
            .query_map(params![only, limit], read_alert)?
            .collect()
    }
}

const ALERT: &str = "SELECT id, rule, key, severity, state, text, raised_at, changed_at, reason FROM alert";

pub(super) fn read_alert(row: &Row) -> Result<AlertRow> {
    Ok(AlertRow {
        id: row.get(0)?,
        alert: AlertKey { rule: RuleName(row.get(1)?), key: row.get(2)? },
        severity: Severity::of_rank(row.get(3)?).rank(),
        state: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        text: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
        raised_at: row.get(6)?,
        changed_at: row.get::<_, Option<i64>>(7)?.unwrap_or_default(),
        reason: row.get(8)?,
    })
}

#[cfg(test)]
mod tests;
