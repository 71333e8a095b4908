//! The whole story of an alert or an event: what raised it, what was decided, what was sent.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::alerts::read_alert;
use super::{AlertRow, EventRow, Store};
use crate::event::topic::Bindings;
use crate::ids::{AlertId, EventId};
use crate::store::views::rows_for_people::read_event;

/// One time that an alert fired, with all that was decided and sent.
#[derive(Debug, Clone)]
pub struct AlertStory {
    /// Of one that was told once it has no text, and its reason says who was not told at once.
    pub row: AlertRow,
    /// Its rule keeps no states: it was over when it was told.
    pub once: Option<ToldOnce>,
    /// Topic, payload and time of the event that raised it.
    pub event: Option<(String, Vec<u8>, i64)>,
    /// When, and the sentence.
    pub records: Vec<(i64, String)>,
    /// Number, contact, state, reason.
    pub messages: Vec<(i64, String, String, String)>,
}

/// The facts that only an alert has that was over when it was told.
#[derive(Debug, Clone)]
pub struct ToldOnce {
    pub bindings: Bindings,
    /// A fault on the way; it was sent all the same.
    pub flaw: Option<String>,
}

impl Store {
    /// The whole story of one time that it fired.
    pub fn alert_story(&self, id: AlertId) -> Result<Option<AlertStory>> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT a.id, a.rule, coalesce(a.key, ''), a.severity, a.state, a.text, a.raised_at, a.changed_at, a.reason,
                        iif(a.key IS NULL, a.bindings, NULL), a.flaw, e.topic, e.payload, e.received_at
                 FROM alert a LEFT JOIN event e ON e.id = a.event WHERE a.id = ?1",
            )?
            .query_row([id.0], read_story)
            .optional()?;
        let Some(mut story) = found else { return Ok(None) };
        let row = &story.row;
        if story.once.is_none() {
            let until = if row.state == "resolved" { row.changed_at } else { i64::MAX };
            // An hour before it fired: what held it back then belongs to its story.
            story.records = self
                .sql
                .prepare_cached(
                    "SELECT at, what FROM alert_record WHERE rule = ?1 AND key = ?2 AND at BETWEEN ?3 AND ?4 ORDER BY id LIMIT 500",
                )?
                .query_map(params![row.alert.rule.0, row.alert.key, row.raised_at - 3_600_000, until], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect::<Result<_>>()?;
        }
        story.messages = self
            .sql
            .prepare_cached("SELECT id, contact, state, reason FROM message WHERE alert = ?1 ORDER BY id")?
            .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_>>()?;
        Ok(Some(story))
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

fn read_story(row: &Row) -> Result<AlertStory> {
    let once = row.get::<_, Option<String>>(9)?.map(|bindings| {
        let bindings = serde_json::from_str(&bindings).unwrap_or_default();
        Ok::<_, rusqlite::Error>(ToldOnce { bindings, flaw: row.get(10)? })
    });
    let topic: Option<String> = row.get(11)?;
    let event = topic.map(|topic| Ok::<_, rusqlite::Error>((topic, row.get(12)?, row.get(13)?)));
    Ok(AlertStory {
        row: read_alert(row)?,
        once: once.transpose()?,
        event: event.transpose()?,
        records: Vec::new(),
        messages: Vec::new(),
    })
}
