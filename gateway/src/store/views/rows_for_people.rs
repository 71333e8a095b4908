//! Lists, and one message's whole story. Reads only.

use rusqlite::{OptionalExtension, Result, Row, params};

use crate::ids::MessageId;
use crate::outbox::message_state::State;
use crate::store::Store;
use crate::time::Timestamp;

/// The condition of waiting messages, in the words of the index `message_waiting`: SQLite takes a partial index only
/// where it is asked in its own.
pub(in crate::store) const WAITING: &str =
    "(state = 'queued' OR state = 'sending' OR state = 'unknown' OR state = 'held')";
/// The condition of messages that came to nothing, in those of `message_ended`.
pub(in crate::store) const ENDED: &str = "(state = 'failed' OR state = 'expired' OR state = 'cancelled')";

/// An event as it came.
#[derive(Debug, Clone)]
pub struct KeptEvent {
    pub at: Timestamp,
    pub topic: String,
    pub payload: Vec<u8>,
    /// Of a longer payload only the beginning is kept.
    pub is_whole: bool,
}

/// The selection of messages to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    pub state: Option<State>,
    pub contact: Option<String>,
    pub limit: u32,
}

#[derive(Debug, Clone)]
pub struct MessageRow {
    pub id: i64,
    pub contact: String,
    pub connection: String,
    pub rule: Option<String>,
    pub severity: i64,
    pub content: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub changed_at: i64,
    pub state: String,
    pub reason: String,
    pub attempts: i64,
    pub possible_duplicate: bool,
    pub code: Option<i64>,
    pub fbtrace_id: Option<String>,
    pub flaw: Option<String>,
    pub topic: Option<String>,
}

/// A message with all that happened to it.
#[derive(Debug, Clone)]
pub struct MessageStory {
    pub message: MessageRow,
    pub wamids: Vec<String>,
    pub attempts: Vec<AttemptRow>,
    pub receipts: Vec<ReceiptRow>,
}

#[derive(Debug, Clone)]
pub struct AttemptRow {
    pub number: i64,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    pub outcome: Option<String>,
    pub http_status: Option<i64>,
    pub code: Option<i64>,
    pub fbtrace_id: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ReceiptRow {
    pub status: String,
    pub at: i64,
    pub reason: Option<String>,
}

/// An event that was kept: it led to an alert, or could not be read.
#[derive(Debug, Clone)]
pub struct EventRow {
    pub id: i64,
    pub received_at: i64,
    pub topic: String,
    pub payload: Vec<u8>,
    pub payload_bytes: i64,
    pub outcome: String,
    pub reason: Option<String>,
}

/// Events that were counted.
#[derive(Debug, Clone)]
pub struct TallyRow {
    pub rule: String,
    pub outcome: String,
    pub count: i64,
    pub last_at: i64,
    pub last_topic: String,
    pub last_reason: Option<String>,
}

const MESSAGE: &str = "SELECT m.id, m.contact, m.connection, a.rule, m.severity, m.content, m.created_at, m.expires_at,
        m.changed_at, m.state, m.reason, m.attempts, m.possible_duplicate, m.code, m.fbtrace_id, a.flaw, e.topic
     FROM message m LEFT JOIN alert a ON a.id = m.alert LEFT JOIN event e ON e.id = a.event";

impl Store {
    /// The newest events since then, in the order in which they came.
    pub fn events_since(&self, at: Timestamp, limit: u32) -> Result<Vec<KeptEvent>> {
        let first = self.first_since("event", "received_at", at.0)?;
        let read = |row: &Row| {
            let payload: Vec<u8> = row.get(2)?;
            let is_whole = i64::try_from(payload.len()).is_ok_and(|kept| Ok(kept) == row.get(3));
            Ok(KeptEvent { at: Timestamp(row.get(0)?), topic: row.get(1)?, payload, is_whole })
        };
        let mut events: Vec<KeptEvent> = self
            .sql
            .prepare_cached(
                "SELECT received_at, topic, payload, payload_bytes FROM event WHERE id >= ?1 ORDER BY id DESC LIMIT ?2",
            )?
            .query_map(params![first, limit], read)?
            .collect::<Result<_>>()?;
        events.reverse();
        Ok(events)
    }

    pub fn messages(&self, filter: &MessageFilter) -> Result<Vec<MessageRow>> {
        self.sql
            .prepare_cached(&format!(
                "{MESSAGE} WHERE (?1 IS NULL OR m.state = ?1) AND (?2 IS NULL OR m.contact = ?2) ORDER BY m.id DESC LIMIT ?3"
            ))?
            .query_map(params![filter.state.map(State::as_str), filter.contact, filter.limit], read_message)?
            .collect()
    }

    pub fn story(&self, id: MessageId) -> Result<Option<MessageStory>> {
        let Some(message) = self
            .sql
            .prepare_cached(&format!("{MESSAGE} WHERE m.id = ?1"))?
            .query_row([id.0], read_message)
            .optional()?
        else {
            return Ok(None);
        };
        let wamids = self
            .sql
            .prepare_cached("SELECT wamid FROM sent WHERE message = ?1")?
            .query_map([id.0], |row| row.get(0))?
            .collect::<Result<_>>()?;
        let attempts = self
            .sql
            .prepare_cached(
                "SELECT number, started_at, ended_at, outcome, http_status, code, fbtrace_id FROM attempt
                 WHERE message = ?1 ORDER BY number",
            )?
            .query_map([id.0], read_attempt)?
            .collect::<Result<_>>()?;
        let receipts = self
            .sql
            .prepare_cached(
                "SELECT status, at, reason FROM receipt WHERE message = ?1
                 ORDER BY at, instr('sent delivered read played', status)", // Meta's times are whole seconds
            )?
            .query_map([id.0], |row| {
                Ok(ReceiptRow { status: row.get(0)?, at: row.get(1)?, reason: row.get(2)? })
            })?
            .collect::<Result<_>>()?;
        Ok(Some(MessageStory { message, wamids, attempts, receipts }))
    }

    /// A number that changes when somebody else, an operator's command, has written.
    pub fn data_version(&self) -> Result<i64> {
        self.sql.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// The number of messages in each state.
    pub fn counts(&self) -> Result<Vec<(String, i64)>> {
        self.sql
            .prepare_cached("SELECT state, count(*) FROM message GROUP BY state ORDER BY state")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }

    /// Messages that wait or came to nothing, counted by the indexes of both: not slower when much was sent.
    pub fn counts_in_outbox(&self) -> Result<Vec<(String, i64)>> {
        self.sql
            .prepare_cached(&format!(
                "SELECT state, count(*) FROM message WHERE {WAITING} GROUP BY state
                     UNION ALL
                     SELECT state, count(*) FROM message WHERE {ENDED} GROUP BY state"
            ))?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }

    pub fn events(&self, limit: u32) -> Result<Vec<EventRow>> {
        self.sql
            .prepare_cached(
                "SELECT id, received_at, topic, payload, payload_bytes, outcome, reason FROM event ORDER BY id DESC LIMIT ?1",
            )?
            .query_map([limit], read_event)?
            .collect()
    }

    pub fn tallies(&self) -> Result<Vec<TallyRow>> {
        self.sql
            .prepare_cached(
                "SELECT rule, outcome, count, last_at, last_topic, last_reason FROM tally ORDER BY rule, outcome",
            )?
            .query_map([], |row| {
                Ok(TallyRow {
                    rule: row.get(0)?,
                    outcome: row.get(1)?,
                    count: row.get(2)?,
                    last_at: row.get(3)?,
                    last_topic: row.get(4)?,
                    last_reason: row.get(5)?,
                })
            })?
            .collect()
    }
}

pub(in crate::store) fn read_event(row: &Row) -> Result<EventRow> {
    Ok(EventRow {
        id: row.get(0)?,
        received_at: row.get(1)?,
        topic: row.get(2)?,
        payload: row.get(3)?,
        payload_bytes: row.get(4)?,
        outcome: row.get(5)?,
        reason: row.get(6)?,
    })
}

fn read_message(row: &Row) -> Result<MessageRow> {
    Ok(MessageRow {
        id: row.get(0)?,
        contact: row.get(1)?,
        connection: row.get(2)?,
        rule: row.get(3)?,
        severity: row.get(4)?,
        content: row.get(5)?,
        created_at: row.get(6)?,
        expires_at: row.get(7)?,
        changed_at: row.get(8)?,
        state: row.get(9)?,
        reason: row.get(10)?,
        attempts: row.get(11)?,
        possible_duplicate: row.get(12)?,
        code: row.get(13)?,
        fbtrace_id: row.get(14)?,
        flaw: row.get(15)?,
        topic: row.get(16)?,
    })
}

fn read_attempt(row: &Row) -> Result<AttemptRow> {
    Ok(AttemptRow {
        number: row.get(0)?,
        started_at: row.get(1)?,
        ended_at: row.get(2)?,
        outcome: row.get(3)?,
        http_status: row.get(4)?,
        code: row.get(5)?,
        fbtrace_id: row.get(6)?,
    })
}
