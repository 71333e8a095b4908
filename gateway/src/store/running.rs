//! Everything that goes on by the database, to be compared with a configuration, and the ends that this may give it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Params, Result, Row, params};

use super::{EscalationPost, Store};
use crate::alert::engine::{AlertCommand, StateKey};
use crate::alert::lifecycle::{Alert, AlertKey, Phase};
use crate::alert::notification::quiet_hours_summary::HeldForSummary;
use crate::command::approval::{Request, RequestState};
use crate::command::question::OpenQuestion;
use crate::contact::Guest;
use crate::contact::severity::Severity;
use crate::ids::{AlertId, CommandId, ConnectionName, ContactId, MessageId, RuleName};
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Next;
use crate::outbox::row::Conversation;
use crate::store::db::checksum;
use crate::time::Timestamp;

/// Messages that still wait to leave, or to be sent again; a digest moves its members.
const WAITS: &str = "digest IS NULL AND (state = 'queued' OR state = 'held' OR state = 'unknown')";

const WAITING_ALERTS: &str = "SELECT m.id, m.alert, a.rule, m.contact FROM message m JOIN alert a ON a.id = m.alert
     WHERE m.digest IS NULL AND m.state IN ('queued', 'held', 'unknown') AND coalesce(a.state, 'firing') = 'firing'";

/// All that was begun and has no end yet.
#[derive(Debug, Default)]
pub struct Running {
    pub alerts: Vec<OpenAlert>,
    /// Alerts whose `for` runs: nobody has heard of them.
    pub pending: Vec<(AlertKey, Alert)>,
    /// The alerts that quiet hours hold back, by person.
    pub held: Vec<(ContactId, HeldForSummary)>,
    /// For whom messages wait, and over which number.
    pub lanes: BTreeSet<Conversation>,
    /// Everybody who was ever invited.
    pub guests: BTreeSet<ContactId>,
    /// The requests that wait for a Yes, with the rule whose alert they belong to.
    pub requests: Vec<(Request, Option<RuleName>)>,
    pub questions: Vec<OpenQuestion>,
    pub commands: Vec<QueuedCommand>,
    pub invitations: Vec<Guest>,
    pub posts: Vec<EscalationPost>,
}

/// An alert with a life that is not over.
#[derive(Debug, Clone)]
pub struct OpenAlert {
    pub id: AlertId,
    pub alert: AlertKey,
    pub episode: u32,
    pub severity: Severity,
    pub text: String,
    /// The engine's memory of it; without it nobody watches it.
    pub memory: Option<Alert>,
}

/// A command that is not published yet.
#[derive(Debug, Clone)]
pub struct QueuedCommand {
    pub id: CommandId,
    pub contact: ContactId,
    /// An action's id, or a command's name.
    pub name: String,
    /// Of the alert that it belongs to.
    pub rule: Option<RuleName>,
    pub topic: String,
    pub payload: String,
    /// A person's message asked for it; else the clock did, or a machine's question was decided.
    pub is_asked: bool,
}

/// A message about an alert that fires, or that was told once.
#[derive(Debug, Clone)]
pub struct WaitingAlert {
    pub message: MessageId,
    pub alert: AlertId,
    pub rule: RuleName,
    pub contact: ContactId,
}

impl Store {
    pub fn running(&self, now: Timestamp) -> Result<Running> {
        Ok(Running {
            alerts: self.open_alerts()?,
            pending: self.pending_alerts()?,
            held: self.held_back()?,
            lanes: self.waiting_lanes()?,
            guests: self.guest_ids()?.into_iter().collect(),
            requests: self.open_requests()?,
            questions: self.open_questions()?,
            commands: self.queued_commands()?,
            invitations: self.unanswered_invitations(now)?,
            posts: self.queued_posts()?,
        })
    }

    pub fn open_alerts(&self) -> Result<Vec<OpenAlert>> {
        self.open_alerts_where("key IS NOT NULL AND state != 'resolved'", ())
    }

    /// One of them.
    pub fn open_alert(&self, id: AlertId) -> Result<Option<OpenAlert>> {
        Ok(self.open_alerts_where("id = ?1 AND key IS NOT NULL AND state != 'resolved'", [id.0])?.pop())
    }

    fn open_alerts_where(&self, filter: &str, values: impl Params) -> Result<Vec<OpenAlert>> {
        let mut open: Vec<OpenAlert> = self
            .sql
            .prepare_cached(&format!(
                "SELECT id, rule, key, episode, severity, text FROM alert WHERE {filter}"
            ))?
            .query_map(values, |row| {
                Ok(OpenAlert {
                    id: AlertId(row.get(0)?),
                    alert: AlertKey { rule: RuleName(row.get(1)?), key: row.get(2)? },
                    episode: row.get::<_, Option<u32>>(3)?.unwrap_or_default(),
                    severity: Severity::of_rank(row.get(4)?),
                    text: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
                    memory: None,
                })
            })?
            .collect::<Result<_>>()?;
        for one in &mut open {
            let (kind, key) = StateKey::Alert(one.alert.clone()).row();
            let state: Option<String> = self
                .sql
                .prepare_cached("SELECT state FROM alert_memory WHERE kind = ?1 AND key = ?2")?
                .query_row(params![kind, key], |row| row.get(0))
                .optional()?;
            one.memory = state.and_then(|state| serde_json::from_str(&state).ok());
        }
        Ok(open)
    }

    /// Told by their text first: most of ten thousand memories are of alerts at rest.
    fn pending_alerts(&self) -> Result<Vec<(AlertKey, Alert)>> {
        let mut select = self.sql.prepare(
            "SELECT key, state FROM alert_memory WHERE kind = 'alert' AND state LIKE '%\"phase\":{\"pending\"%'",
        )?;
        let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut found = Vec::new();
        for row in rows {
            let (key, state) = row?;
            let Some(StateKey::Alert(key)) = StateKey::of_row("alert", &key) else { continue };
            let alert = serde_json::from_str(&state).ok();
            found.extend(
                alert
                    .filter(|alert: &Alert| matches!(alert.phase, Phase::Pending { .. }))
                    .map(|alert| (key, alert)),
            );
        }
        Ok(found)
    }

    /// Whom messages about this alert reached, or may still reach, and over which number last.
    pub fn told_of(&self, alert: AlertId) -> Result<BTreeMap<ContactId, ConnectionName>> {
        self.sql
            .prepare(
                "SELECT contact, connection FROM message
                 WHERE alert = ?1 AND state NOT IN ('failed', 'expired', 'cancelled') ORDER BY id",
            )?
            .query_map([alert.0], |row| Ok((ContactId(row.get(0)?), ConnectionName(row.get(1)?))))?
            .collect()
    }

    fn held_back(&self) -> Result<Vec<(ContactId, HeldForSummary)>> {
        let rows: Vec<(ContactId, String)> = self
            .sql
            .prepare("SELECT key, state FROM alert_memory WHERE kind = 'held'")?
            .query_map([], |row| Ok((ContactId(row.get(0)?), row.get(1)?)))?
            .collect::<Result<_>>()?;
        let read =
            |(contact, state): (ContactId, String)| Some((contact, serde_json::from_str(&state).ok()?));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// What is queued is found lane by lane through its index: there may be a million of it.
    fn waiting_lanes(&self) -> Result<BTreeSet<Conversation>> {
        let mut lanes = self.all_lanes()?;
        for state in ["held", "unknown"] {
            let sql = format!(
                "SELECT DISTINCT connection, contact FROM message INDEXED BY message_waiting
                 WHERE state = '{state}' AND digest IS NULL"
            );
            for lane in self.sql.prepare(&sql)?.query_map([], lane)? {
                lanes.insert(lane?);
            }
        }
        Ok(lanes)
    }

    fn open_requests(&self) -> Result<Vec<(Request, Option<RuleName>)>> {
        let mut found = Vec::new();
        for request in self.requests_in(RequestState::Open)? {
            let rule = request.action.alert.map(|alert| self.rule_of(alert)).transpose()?.flatten();
            found.push((request, rule));
        }
        Ok(found)
    }

    /// The rule that raised an alert.
    pub fn rule_of(&self, alert: i64) -> Result<Option<RuleName>> {
        self.sql
            .prepare_cached("SELECT rule FROM alert WHERE id = ?1")?
            .query_row([alert], |row| row.get(0).map(RuleName))
            .optional()
    }

    /// Not those that a device may have by now.
    /// Without those whose row is damaged: they are refused as what they are ([`Self::waiting_commands`]).
    fn queued_commands(&self) -> Result<Vec<QueuedCommand>> {
        self.sql
            .prepare(
                "SELECT c.id, c.contact, c.action, a.rule, c.topic, c.payload, c.reply IS NOT NULL, c.checksum
                 FROM command c LEFT JOIN alert a ON a.id = c.alert
                 WHERE c.state = 'queued' AND c.id NOT IN (SELECT under_way FROM device WHERE under_way IS NOT NULL)",
            )?
            .query_map([], |row| {
                let command = QueuedCommand {
                    id: CommandId(row.get(0)?),
                    contact: ContactId(row.get(1)?),
                    name: row.get(2)?,
                    rule: row.get::<_, Option<String>>(3)?.map(RuleName),
                    topic: row.get(4)?,
                    payload: row.get(5)?,
                    is_asked: row.get(6)?,
                };
                let sum = checksum::of(&[command.topic.as_bytes(), command.payload.as_bytes()]);
                Ok((row.get::<_, Vec<u8>>(7)? == sum).then_some(command))
            })?
            .filter_map(Result::transpose)
            .collect()
    }

    fn unanswered_invitations(&self, now: Timestamp) -> Result<Vec<Guest>> {
        let open = self.invitations_open(now)?.into_iter();
        Ok(open.filter(|(_, declined_at)| declined_at.is_none()).map(|(guest, _)| guest).collect())
    }

    /// Messages that wait for this person. `only_alerts`: not what answers something that they wrote.
    pub fn waiting_for(&self, contact: &ContactId, only_alerts: bool) -> Result<Vec<MessageId>> {
        self.sql
            .prepare(&format!(
                "SELECT id FROM message WHERE contact = ?1 AND {WAITS} AND (alert IS NOT NULL OR NOT ?2) ORDER BY id"
            ))?
            .query_map(params![contact.0, only_alerts], |row| row.get(0).map(MessageId))?
            .collect()
    }

    /// Messages that ask for this Yes, or put this question, and have not left.
    pub fn waiting_to_ask(&self, subject: ButtonSubject) -> Result<Vec<MessageId>> {
        let (kind, number) = match subject {
            ButtonSubject::Request(number) => ("request", number),
            ButtonSubject::Question(number) => ("question", number),
            ButtonSubject::Alert(_) => return Ok(Vec::new()), // the watch ends those
        };
        self.sql
            .prepare(&format!(
                "SELECT id FROM message WHERE id IN (SELECT message FROM asked WHERE kind = ?1 AND number = ?2) AND {WAITS}"
            ))?
            .query_map(params![kind, number], |row| row.get(0).map(MessageId))?
            .collect()
    }

    /// Those of them that are for this person.
    pub fn waiting_to_ask_one(&self, subject: ButtonSubject, contact: &ContactId) -> Result<Vec<MessageId>> {
        let mut waiting = self.waiting_to_ask(subject)?;
        let own: BTreeSet<MessageId> = self.waiting_for(contact, false)?.into_iter().collect();
        waiting.retain(|id| own.contains(id));
        Ok(waiting)
    }

    /// Alerts that wait to be told to somebody, one by one: there may be a million of them.
    pub fn waiting_alerts(&self, mut look: impl FnMut(WaitingAlert)) -> Result<()> {
        let mut select = self.sql.prepare(WAITING_ALERTS)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            look(waiting_alert(row)?);
        }
        Ok(())
    }

    /// The same of one message.
    pub fn waiting_alert(&self, id: MessageId) -> Result<Option<WaitingAlert>> {
        self.sql
            .prepare_cached(&format!("{WAITING_ALERTS} AND m.id = ?1"))?
            .query_row([id.0], waiting_alert)
            .optional()
    }

    /// To whom and over which number it goes, if it waits.
    pub fn waits_in(&self, id: MessageId) -> Result<Option<Conversation>> {
        self.sql
            .prepare_cached(&format!("SELECT connection, contact FROM message WHERE id = ?1 AND {WAITS}"))?
            .query_row([id.0], lane)
            .optional()
    }

    /// Whom the rules told at the last start, in a word that changes with it.
    pub fn audience(&self) -> Result<Option<String>> {
        let select = "SELECT value FROM meta WHERE key = 'audience'";
        self.sql.prepare_cached(select)?.query_row([], |row| row.get(0)).optional()
    }

    pub fn keep_audience(&self, word: &str) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('audience', ?1)")?
            .execute([word])
            .map(drop)
    }

    /// They have nobody to go to any more.
    pub fn withdraw(&self, messages: &[MessageId], reason: &str, now: Timestamp) -> Result<()> {
        messages
            .iter()
            .try_for_each(|id| self.take_out_of_queue(*id, &Next::to(State::Cancelled, reason), now))
    }

    /// Moves what waits for a number that is gone to that of the rule, or `otherwise`, and counts it. What the former
    /// one did not let go (its window to the person was closed, Meta restricted it) says nothing of the other.
    pub fn reroute(
        &self,
        lane: &Conversation,
        of_rule: &BTreeMap<RuleName, ConnectionName>,
        otherwise: &ConnectionName,
        now: Timestamp,
    ) -> Result<usize> {
        let rows: Vec<(MessageId, Option<String>, bool)> = self
            .sql
            .prepare(
                "SELECT m.id, a.rule, coalesce(m.held_for IN ('window', 'quality'), 0) FROM message m LEFT JOIN alert a ON a.id = m.alert
                 WHERE m.connection = ?1 AND m.contact = ?2 AND m.digest IS NULL AND m.state IN ('queued', 'held', 'unknown')",
            )?
            .query_map(params![lane.connection.0, lane.contact.0], |row| {
                Ok((MessageId(row.get(0)?), row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_>>()?;
        for (id, rule, is_of_number) in &rows {
            let over =
                rule.as_ref().and_then(|rule| of_rule.get(&RuleName(rule.clone()))).unwrap_or(otherwise);
            self.set(*id, "connection = ?2", &[&over.0])?;
            if *is_of_number {
                let reason = format!("{} is gone, which held it; it leaves over {over}", lane.connection);
                self.advance(*id, &Next::to(State::Queued, reason), now)?;
            }
        }
        Ok(rows.len())
    }

    /// Quiet hours hold nothing for this person any more.
    pub fn forget_held(&self, contact: &ContactId) -> Result<()> {
        self.sql
            .prepare_cached("DELETE FROM alert_memory WHERE kind = 'held' AND key = ?1")?
            .execute([&contact.0])
            .map(drop)
    }

    /// Whether that note waits to be taken.
    pub fn has_note(&self, note: &AlertCommand) -> Result<bool> {
        let note = serde_json::to_string(note).unwrap_or_default();
        self.sql.prepare_cached("SELECT 1 FROM alert_note WHERE note = ?1")?.exists([note])
    }

    /// The number of the last decision about the alert.
    pub fn newest_record(&self, id: AlertId) -> Result<i64> {
        self.sql.query_row(
            "SELECT coalesce(max(r.id), 0) FROM alert a JOIN alert_record r ON r.rule = a.rule AND r.key = a.key WHERE a.id = ?1",
            [id.0],
            |row| row.get(0),
        )
    }

    /// The decisions about the alert since then, in words.
    pub fn records_after(&self, id: AlertId, newest: i64) -> Result<Vec<String>> {
        self.sql
            .prepare(
                "SELECT r.what FROM alert a JOIN alert_record r ON r.rule = a.rule AND r.key = a.key
                 WHERE a.id = ?1 AND r.id > ?2 ORDER BY r.id LIMIT 100",
            )?
            .query_map(params![id.0, newest], |row| row.get(0))?
            .collect()
    }
}

fn waiting_alert(row: &Row) -> Result<WaitingAlert> {
    Ok(WaitingAlert {
        message: MessageId(row.get(0)?),
        alert: AlertId(row.get(1)?),
        rule: RuleName(row.get(2)?),
        contact: ContactId(row.get(3)?),
    })
}

pub(super) fn lane(row: &Row) -> Result<Conversation> {
    Ok(Conversation { connection: ConnectionName(row.get(0)?), contact: ContactId(row.get(1)?) })
}
