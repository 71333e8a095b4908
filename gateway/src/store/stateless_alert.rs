//! What is told at once: an alert without a life, and what one event led to.

use rusqlite::{OptionalExtension, Result};

use super::{EventRow, Store};
use crate::contact::severity::Severity;
use crate::event::topic::Bindings;
use crate::ids::{AlertId, EventId};
use crate::store::views::rows_for_people::read_event;

/// An alert of a rule that tells each event.
#[derive(Debug, Clone)]
pub struct StatelessAlert {
    pub id: i64,
    pub rule: String,
    pub bindings: Bindings,
    pub severity: Severity,
    pub raised_at: i64,
    /// What went wrong on the way, though it was sent.
    pub flaw: Option<String>,
    /// Who was not told at once, and why.
    pub held: Option<String>,
    /// Topic, payload and time of the event.
    pub event: Option<(String, Vec<u8>, i64)>,
    /// Number, contact, state, reason.
    pub messages: Vec<(i64, String, String, String)>,
}

impl Store {
    /// `None`: there is none, or it has a life.
    pub fn once(&self, id: AlertId) -> Result<Option<StatelessAlert>> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT a.rule, a.bindings, a.severity, a.raised_at, a.flaw, a.reason, e.topic, e.payload, e.received_at
                 FROM alert a LEFT JOIN event e ON e.id = a.event WHERE a.id = ?1 AND a.key IS NULL",
            )?
            .query_row([id.0], |row| {
                let bindings: String = row.get(1)?;
                let topic: Option<String> = row.get(6)?;
                let event = topic.map(|topic| Ok::<_, rusqlite::Error>((topic, row.get(7)?, row.get(8)?)));
                Ok(StatelessAlert {
                    id: id.0,
                    rule: row.get(0)?,
                    bindings: serde_json::from_str(&bindings).unwrap_or_default(),
                    severity: Severity::of_rank(row.get(2)?),
                    raised_at: row.get(3)?,
                    flaw: row.get(4)?,
                    held: row.get(5)?,
                    event: event.transpose()?,
                    messages: Vec::new(),
                })
            })
            .optional()?;
        let Some(mut once) = found else { return Ok(None) };
        once.messages = self
            .sql
            .prepare_cached("SELECT id, contact, state, reason FROM message WHERE alert = ?1 ORDER BY id")?
            .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_>>()?;
        Ok(Some(once))
    }

    /// An event that was kept, and the alerts that it raised.
    pub fn event_story(&self, id: EventId) -> Result<Option<(EventRow, Vec<AlertId>)>> {
        let row = self
            .sql
            .prepare_cached(
                "SELECT id, received_at, topic, payload, payload_bytes, outcome, reason FROM event WHERE id = ?1",
            )?
            .query_row([id.0], read_event)
            .optional()?;
        let Some(row) = row else { return Ok(None) };
        let alerts = self
            .sql
            .prepare_cached("SELECT id FROM alert WHERE event = ?1 ORDER BY id")?
            .query_map([id.0], |row| row.get(0).map(AlertId))?
            .collect::<Result<_>>()?;
        Ok(Some((row, alerts)))
    }
}
