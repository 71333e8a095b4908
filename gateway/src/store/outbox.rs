//! Messages on their way: what is due, attempts, outcomes, receipts.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::{Store, checksum};
use crate::alert::delivery::{self, Next};
use crate::alert::message::Content;
use crate::alert::outbox::{Change, Due, Lane, Work};
use crate::alert::rule::Severity;
use crate::alert::state::{OnUnknown, State, may_move};
use crate::chance::Dice;
use crate::command::inbound::Status;
use crate::contact::{Phone, Recipient};
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId, Wamid};
use crate::time::Timestamp;

/// Rows that one look at the clock may change, so that a clock that jumps does not stall the store for a minute.
const TEND_MAX: i64 = 500;

pub(super) struct NewMessage<'a> {
    pub connection: &'a ConnectionName,
    pub contact: &'a ContactId,
    pub phone: &'a Phone,
    pub alert: Option<AlertId>,
    pub severity: Severity,
    pub content: &'a Content,
    pub on_unknown: OnUnknown,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Store {
    pub(super) fn insert_message(&self, message: &NewMessage) -> Result<MessageId> {
        let content = serde_json::to_string(message.content).unwrap_or_default();
        let sum = checksum::of(&[message.phone.e164().as_bytes(), content.as_bytes()]);
        self.sql
            .prepare_cached(
                "INSERT INTO message (connection, contact, phone, alert, severity, content, on_unknown, created_at,
                                      expires_at, state, changed_at, reason, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', ?8, 'waiting for its turn', ?10)",
            )?
            .insert(params![
                message.connection.0,
                message.contact.0,
                message.phone.e164(),
                message.alert.map(|alert| alert.0),
                message.severity.rank(),
                content,
                message.on_unknown.as_str(),
                message.created_at.0,
                message.expires_at.0,
                sum
            ])
            .map(MessageId)
    }

    /// After a start: what was `sending` may have gone out or not (promise P3).
    pub fn recover(&self, now: Timestamp) -> Result<usize> {
        let rows = self.select_ids(
            "SELECT id, tries, on_unknown FROM message WHERE state = 'sending' LIMIT ?1",
            1_000,
        )?;
        for (id, tries, on_unknown) in &rows {
            let next =
                delivery::unknown("the gateway stopped while it was under way", tries + 1, *on_unknown, now);
            self.advance(*id, &next, now)?;
            self.sql.prepare_cached("UPDATE message SET tries = tries + 1 WHERE id = ?1")?.execute([id.0])?;
        }
        Ok(rows.len())
    }

    /// What the clock alone decides: messages that are too old, and unknown ones whose grace time is over.
    pub fn tend(&self, now: Timestamp) -> Result<()> {
        let over = format!(
            "SELECT id, tries, on_unknown FROM message WHERE state = 'unknown' AND not_before <= {} LIMIT ?1",
            now.0
        );
        for (id, _, on_unknown) in self.select_ids(&over, TEND_MAX)? {
            self.advance(id, &delivery::after_grace(on_unknown, now), now)?;
            self.sql
                .prepare_cached("UPDATE message SET possible_duplicate = 1 WHERE id = ?1")?
                .execute([id.0])?;
        }
        if now.is_sane() {
            // A clock that was never set must not expire anything (RELIABILITY F17).
            self.sql
                .prepare_cached(
                    "UPDATE message SET state = 'expired', changed_at = ?1, reason =
                         'it could not leave before it was too old to be worth sending; `bellwire outbox retry` sends it all the same'
                     WHERE id IN (SELECT id FROM message WHERE state = 'queued' AND expires_at <= ?1 LIMIT ?2)",
                )?
                .execute(params![now.0, TEND_MAX])?;
        }
        Ok(())
    }

    /// The head of each open lane, and when to look again.
    pub fn work(
        &self,
        now: Timestamp,
        closed_lanes: &[Lane],
        closed_connections: &[ConnectionName],
        limit: usize,
    ) -> Result<Work> {
        let mut due = Vec::new();
        let mut after = Lane { connection: ConnectionName(String::new()), contact: ContactId(String::new()) };
        while let Some(lane) = self.next_lane(&after)? {
            after = lane.clone();
            if closed_connections.contains(&lane.connection) || closed_lanes.contains(&lane) {
                continue;
            }
            due.extend(self.head(lane, now)?);
        }
        due.sort_by_key(|due: &Due| (std::cmp::Reverse(due.severity), due.id));
        due.truncate(limit);
        let next_at = self
            .sql
            .prepare_cached("SELECT min(not_before) FROM message WHERE state IN ('queued', 'unknown') AND not_before > ?1")?
            .query_row([now.0], |row| row.get::<_, Option<i64>>(0))?;
        Ok(Work { due, next_at: next_at.map(Timestamp) })
    }

    /// Lanes one by one through their index: the cost grows with the people who are waited for, not with the queue.
    fn next_lane(&self, after: &Lane) -> Result<Option<Lane>> {
        self.sql
            .prepare_cached(
                "SELECT connection, contact FROM message WHERE state = 'queued' AND (connection, contact) > (?1, ?2)
                 ORDER BY connection, contact LIMIT 1",
            )?
            .query_row(params![after.connection.0, after.contact.0], |row| {
                Ok(Lane { connection: ConnectionName(row.get(0)?), contact: ContactId(row.get(1)?) })
            })
            .optional()
    }

    fn head(&self, lane: Lane, now: Timestamp) -> Result<Option<Due>> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT id, phone, content, alert, severity, attempts, tries, on_unknown, checksum FROM message
                 WHERE state = 'queued' AND connection = ?1 AND contact = ?2 AND not_before <= ?3
                 ORDER BY severity DESC, id LIMIT 1",
            )?
            .query_row(params![lane.connection.0, lane.contact.0, now.0], |row| read_due(row, &lane))
            .optional()?;
        match found {
            Some((_, Some(due))) => Ok(Some(due)),
            Some((id, None)) => {
                let reason = "the row is damaged on disk (its checksum does not match), so it is not sent; look at it \
                              with `bellwire outbox show`, and check the card"
                    .to_owned();
                tracing::error!(message = id.0, "a message is damaged on disk and was put aside");
                self.advance(id, &Next { state: State::Held, not_before: None, reason, gate: None }, now)?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Writes what the sender decided.
    pub fn change(&self, change: &Change) -> Result<()> {
        match change {
            Change::Sending { id, attempt, at } => {
                self.sql
                    .prepare_cached(
                        "UPDATE message SET state = 'sending', changed_at = ?2, attempts = ?3,
                         reason = 'a request is under way' WHERE id = ?1",
                    )?
                    .execute(params![id.0, at.0, attempt])?;
                self.sql
                    .prepare_cached(
                        "INSERT OR REPLACE INTO attempt (message, number, started_at) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![id.0, attempt, at.0])
                    .map(drop)
            }
            Change::Settled {
                id,
                attempt,
                counts,
                at,
                state,
                not_before,
                reason,
                wamid,
                code,
                http_status,
                fbtrace_id,
            } => {
                if let Some(wamid) = wamid {
                    self.remember(wamid, *id)?;
                }
                self.sql
                    .prepare_cached(
                        "UPDATE attempt SET ended_at = ?3, outcome = ?4, http_status = ?5, code = ?6, fbtrace_id = ?7
                         WHERE message = ?1 AND number = ?2",
                    )?
                    .execute(params![id.0, attempt, at.0, reason, http_status, code, fbtrace_id])?;
                self.sql
                    .prepare_cached(
                        "UPDATE message SET tries = tries + ?2, code = ?3, fbtrace_id = ?4 WHERE id = ?1",
                    )?
                    .execute(params![id.0, i64::from(*counts), code, fbtrace_id])?;
                // A status may have overtaken the answer: what it proved stays.
                let now = self.state(*id)?;
                if now.is_some_and(|state| state != State::Sending) {
                    return Ok(());
                }
                let next =
                    Next { state: *state, not_before: *not_before, reason: reason.clone(), gate: None };
                self.advance(*id, &next, *at)
            }
        }
    }

    /// Applies one status; `false` when it speaks of no message of ours.
    pub fn receive(&self, status: &Status, now: Timestamp, dice: &mut Dice) -> Result<bool> {
        let Some(id) = self.find(status)? else { return Ok(false) };
        self.remember(&status.wamid, id)?;
        let reason = status.refusal.as_ref().map(delivery::sentence);
        let new = self
            .sql
            .prepare_cached("INSERT OR IGNORE INTO receipt VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![status.wamid.0, status.word, id.0, status.at.0, reason])?;
        let (Some(to), 1) = (status.state, new) else { return Ok(true) };
        let (Some(from), Some((tries, on_unknown))) = (self.state(id)?, self.tries(id)?) else {
            return Ok(true);
        };
        if may_move(from, to) {
            let next = delivery::after_status(to, status.refusal.as_ref(), tries, on_unknown, now, dice);
            self.advance(id, &next, status.at)?;
            if let Some(refusal) = &status.refusal {
                self.sql
                    .prepare_cached(
                        "UPDATE message SET code = ?2, fbtrace_id = coalesce(?3, fbtrace_id) WHERE id = ?1",
                    )?
                    .execute(params![id.0, refusal.code, refusal.fbtrace_id])?;
            }
        }
        Ok(true)
    }

    fn find(&self, status: &Status) -> Result<Option<MessageId>> {
        if let Some(id) = status.callback.as_deref().and_then(|data| self.tag.read_callback(data)) {
            return Ok(self.state(id)?.map(|_| id));
        }
        self.message_of(&status.wamid)
    }

    pub(super) fn message_of(&self, wamid: &Wamid) -> Result<Option<MessageId>> {
        self.sql
            .prepare_cached("SELECT message FROM sent WHERE wamid = ?1")?
            .query_row([&wamid.0], |row| row.get(0).map(MessageId))
            .optional()
    }

    fn remember(&self, wamid: &Wamid, id: MessageId) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR IGNORE INTO sent VALUES (?1, ?2)")?
            .execute(params![wamid.0, id.0])
            .map(drop)
    }

    pub(super) fn state(&self, id: MessageId) -> Result<Option<State>> {
        self.sql
            .prepare_cached("SELECT state FROM message WHERE id = ?1")?
            .query_row([id.0], |row| row.get::<_, String>(0))
            .optional()
            .map(|word| word.and_then(|word| State::parse(&word)))
    }

    fn tries(&self, id: MessageId) -> Result<Option<(u32, OnUnknown)>> {
        self.sql
            .prepare_cached("SELECT tries, on_unknown FROM message WHERE id = ?1")?
            .query_row([id.0], |row| Ok((row.get(0)?, on_unknown(row, 1)?)))
            .optional()
    }

    pub(super) fn advance(&self, id: MessageId, next: &Next, at: Timestamp) -> Result<()> {
        let not_before = next.not_before.map_or(0, |until| until.0);
        self.sql
            .prepare_cached(
                "UPDATE message SET state = ?2, changed_at = ?3, not_before = ?4, reason = ?5 WHERE id = ?1",
            )?
            .execute(params![id.0, next.state.as_str(), at.0, not_before, next.reason])
            .map(drop)
    }

    fn select_ids(&self, sql: &str, limit: i64) -> Result<Vec<(MessageId, u32, OnUnknown)>> {
        self.sql
            .prepare(sql)?
            .query_map([limit], |row| Ok((MessageId(row.get(0)?), row.get(1)?, on_unknown(row, 2)?)))?
            .collect()
    }
}

/// The row's number, and the message unless its checksum says that it is not what was written.
fn read_due(row: &Row, lane: &Lane) -> Result<(MessageId, Option<Due>)> {
    let id = MessageId(row.get(0)?);
    let (phone, content): (String, String) = (row.get(1)?, row.get(2)?);
    let sum: Vec<u8> = row.get(8)?;
    let intact = sum == checksum::of(&[phone.as_bytes(), content.as_bytes()]);
    let parsed = intact.then(|| Phone::parse(&phone).ok().zip(serde_json::from_str(&content).ok())).flatten();
    let Some((to, content)) = parsed else { return Ok((id, None)) };
    let severity = match row.get::<_, i64>(4)? {
        2 => Severity::Critical,
        1 => Severity::Warning,
        _ => Severity::Info,
    };
    let due = Due {
        id,
        lane: lane.clone(),
        to: Recipient::Phone(to),
        content,
        alert: row.get::<_, Option<i64>>(3)?.map(AlertId),
        severity,
        attempts: row.get(5)?,
        tries: row.get(6)?,
        on_unknown: on_unknown(row, 7)?,
    };
    Ok((id, Some(due)))
}

/// A word that no version wrote counts as `hold`: the cautious reading of a damaged row.
fn on_unknown(row: &Row, column: usize) -> Result<OnUnknown> {
    Ok(OnUnknown::parse(&row.get::<_, String>(column)?).unwrap_or(OnUnknown::Hold))
}
