//! One alert's or message's whole story, and the summaries of the first page.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{OptionalExtension, Result};
use serde_json::{Value, json};

use crate::outbox::message::Content;
use crate::store::Store;
use crate::store::account::holds;
use crate::store::views::lists::{Cursor, Direction, Listing, SCAN_MAX};
use crate::store::views::rows_for_people::WAITING;
use crate::time::Timestamp;

const DEVICE: &str =
    "SELECT id, boot, events, link, firmware, commands AS \"commands:json\", queued, refused,
         silent AS \"silent?\", seen_at, clash_at FROM device";
const HOUR: i64 = 3_600_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Alerts that go on and are shown on the first page; the list has all.
const GOING_ON: u32 = 6;
/// Messages of the last day that are counted one by one: a page that is asked for during a flood must not stop it.
const COUNTED_MAX: i64 = 50_000;

impl Store {
    /// A message of ours with its event, attempts, receipts, and what was done with its buttons.
    pub fn whole_message(&self, id: i64) -> Result<Option<Value>> {
        let sql = "SELECT m.id, m.created_at AS at, m.contact, m.connection, m.state, m.reason, m.severity, m.changed_at,
                 m.attempts, m.possible_duplicate AS \"possible_duplicate?\", m.code, m.fbtrace_id, m.form, m.held_for,
                 m.alert, m.digest, m.expires_at, m.not_before, m.on_unknown, m.content AS \"content:json\", a.rule,
                 a.flaw, a.bindings AS \"bindings:json\", e.topic, e.source, e.received_at,
                 substr(CAST(e.payload AS TEXT), 1, 4096) AS payload, e.payload_bytes
             FROM message m LEFT JOIN alert a ON a.id = m.alert LEFT JOIN event e ON e.id = a.event WHERE m.id = ?1";
        let Some(mut story) = self.row(sql, &[&id])? else { return Ok(None) };
        if let Ok(content) = serde_json::from_value::<Content>(story["content"].clone()) {
            story["content"] = serde_json::to_value(content.without_secrets()).unwrap_or_default();
        }
        story["direction"] = "out".into();
        story["wamids"] = self
            .rows("SELECT wamid FROM sent WHERE message = ?1", &[&id])?
            .into_iter()
            .map(|mut row| row["wamid"].take())
            .collect();
        story["history"] = self
            .rows(
                "SELECT number, started_at, form, ended_at, outcome, http_status, code, fbtrace_id FROM attempt
                 WHERE message = ?1 ORDER BY number",
                &[&id],
            )?
            .into();
        story["receipts"] = self
            .rows(
                "SELECT status, at, reason FROM receipt WHERE message = ?1
                 ORDER BY at, instr('sent delivered read played', status)",
                &[&id],
            )?
            .into();
        Ok(Some(story))
    }

    /// An alert with its event, its messages and the commands that it led to.
    pub fn whole_alert(&self, id: i64) -> Result<Option<Value>> {
        let sql = "SELECT a.id, a.rule, a.severity, a.bindings AS \"bindings:json\", a.flaw, a.raised_at, a.state, a.key, a.reason, a.changed_at, a.undelivered_told AS undelivered_told_at, e.topic, e.source,
                 e.received_at, substr(CAST(e.payload AS TEXT), 1, 4096) AS payload, e.payload_bytes
             FROM alert a LEFT JOIN event e ON e.id = a.event WHERE a.id = ?1";
        let Some(mut story) = self.row(sql, &[&id])? else { return Ok(None) };
        let listing =
            Listing { alert: Some(id), direction: Some(Direction::Out), limit: 200, ..Listing::default() };
        story["messages"] = self.list_messages(&listing)?["items"].take();
        story["records"] = self.alert_records(&story)?.into();
        story["commands"] = self
            .rows(
                "SELECT c.id, c.contact, c.action, c.topic, c.payload, c.requested_at, c.state, c.changed_at, c.reason,
                     r.text AS words FROM command c LEFT JOIN reply r ON r.wamid = c.reply WHERE c.alert = ?1 ORDER BY c.id",
                &[&id],
            )?
            .into();
        Ok(Some(story))
    }

    /// What was decided about it and why, from an hour before it fired to its end; only alerts with a life have that.
    fn alert_records(&self, story: &Value) -> Result<Vec<Value>> {
        let (Some(rule), Some(key)) = (story["rule"].as_str(), story["key"].as_str()) else {
            return Ok(Vec::new());
        };
        let raised_at = story["raised_at"].as_i64().unwrap_or_default();
        let until = match story["state"].as_str() {
            Some("resolved") => story["changed_at"].as_i64().unwrap_or(i64::MAX),
            Some(_) | None => i64::MAX,
        };
        self.rows(
            "SELECT at, what FROM alert_record WHERE rule = ?1 AND key = ?2 AND at BETWEEN ?3 AND ?4 ORDER BY id LIMIT 500",
            &[&rule, &key, &(raised_at - HOUR), &until],
        )
    }

    /// What waits, the last 24 hours, what Meta told.
    pub fn overview(&self, now: Timestamp) -> Result<Value> {
        let since = (now - DAY).0;
        let newest = self.number("SELECT max(id) FROM message", &[])?;
        let from = self.first_since("message", "created_at", since)?.max(newest - COUNTED_MAX);
        let alerts_from = self.first_since("alert", "raised_at", since)?;
        Ok(json!({
            "waiting": self.tallied(
                &format!("SELECT state AS name, count(*) AS n FROM message WHERE {WAITING} GROUP BY state"), &[])?,
            "oldest_waiting_at": self.row(
                &format!("SELECT created_at AS at FROM message WHERE id = (SELECT min(id) FROM message WHERE {WAITING})"),
                &[])?.map(|mut row| row["at"].take()),
            "day": self.tallied("SELECT state AS name, count(*) AS n FROM message WHERE id >= ?1 GROUP BY state", &[&from])?,
            "hours": self.hours(alerts_from, now)?,
            "alerts": self.list_alerts(&Listing { since: Some(since), limit: 5, ..Listing::default() })?["items"],
            "going_on": self.list_alerts(&Listing { open: true, limit: GOING_ON, ..Listing::default() })?["items"],
            "undelivered": self.undelivered_lately(now - DAY)?,
            "unjudged": self.unjudged_lately(now - DAY)?,
            "mutes": self.mutes(now)?,
            "is_empty": self.number("SELECT NOT EXISTS (SELECT 1 FROM alert)", &[])? == 1,
            "replies": self.number("SELECT count(*) FROM reply WHERE at >= ?1", &[&since])?,
            "notices": self.rows(
                "SELECT at, connection, severity, text FROM notice ORDER BY id DESC LIMIT 3", &[])?,
        }))
    }

    /// Alerts in each of the last 24 hours, the oldest first: `[{at, info, warning, critical}]`.
    fn hours(&self, from: i64, now: Timestamp) -> Result<Vec<Value>> {
        let first = now.0 / HOUR - 23;
        let mut counts: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let sql = "SELECT raised_at / 3600000 AS hour, severity, count(*) AS n FROM alert WHERE id >= ?1 GROUP BY 1, 2";
        for row in self.rows(sql, &[&from])? {
            let number = |name: &str| row[name].as_i64().unwrap_or_default();
            counts.insert((number("hour"), number("severity")), number("n"));
        }
        let of = |hour, severity| counts.get(&(hour, severity)).copied().unwrap_or_default();
        Ok((first..first + 24)
            .map(|hour| {
                json!({ "at": hour * HOUR, "info": of(hour, 0), "warning": of(hour, 1), "critical": of(hour, 2) })
            })
            .collect())
    }

    fn tallied(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Result<BTreeMap<String, i64>> {
        let rows = self.rows(sql, values)?;
        Ok(rows
            .iter()
            .filter_map(|row| Some((row["name"].as_str()?.to_owned(), row["n"].as_i64()?)))
            .collect())
    }

    /// When the oldest message that waits was written.
    pub fn oldest_waiting(&self) -> Result<Option<i64>> {
        let sql = format!(
            "SELECT created_at FROM message WHERE id = (SELECT min(id) FROM message WHERE {WAITING})"
        );
        self.sql.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()
    }

    /// Devices that speak our protocol, those that were heard last first.
    pub fn device_list(&self) -> Result<Vec<Value>> {
        self.rows(&format!("{DEVICE} WHERE NOT forget ORDER BY seen_at DESC LIMIT 500"), &[])
    }

    pub fn whole_device(&self, id: &str) -> Result<Option<Value>> {
        let Some(mut device) = self.row(&format!("{DEVICE} WHERE id = ?1 AND NOT forget"), &[&id])? else {
            return Ok(None);
        };
        device["orders"] = self
            .rows(
                "SELECT id, contact, topic, payload, requested_at, state, changed_at, reason FROM command
                 WHERE device = ?1 ORDER BY id DESC LIMIT 50",
                &[&id],
            )?
            .into();
        Ok(Some(device))
    }

    /// What is known of a contact beyond the configuration.
    pub fn contact_facts(&self, contact: &str, now: Timestamp) -> Result<Value> {
        let person = "SELECT stopped, no_marketing, moved_at FROM person WHERE contact = ?1";
        let person = self.row(person, &[&contact])?.unwrap_or_default();
        Ok(json!({
            "stopped": person["stopped"] == 1,
            "no_marketing": person["no_marketing"] == 1,
            "moved_at": person["moved_at"],
            "consent": self.rows(
                "SELECT at, given AS \"given?\", source FROM consent WHERE contact = ?1 ORDER BY id DESC LIMIT 20", &[&contact])?,
            "windows": self.rows("SELECT connection, until AS until_at FROM window WHERE contact = ?1 AND until > ?2", &[&contact, &now.0])?,
            "last": self.list_messages(&Listing { contact: Some(contact.to_owned()), limit: 1, ..Listing::default() })?["items"][0],
        }))
    }

    /// What is known of a connection: facts, the age of its catalogue, its templates, notices.
    pub fn connection_facts(&self, connection: &str, now: Timestamp) -> Result<Value> {
        let mut facts = self.rows(
            "SELECT name, value, at FROM fact WHERE connection = ?1 AND value <> '' ORDER BY name",
            &[&connection],
        )?;
        facts.retain(|fact| fact["value"].as_str().is_none_or(|value| holds(value, now)));
        Ok(json!({
            "facts": facts,
            "catalogue_read_at": self.row("SELECT read_at FROM catalogue WHERE connection = ?1", &[&connection])?
                .map(|mut row| row["read_at"].take()),
            "templates": self.rows("SELECT name, language, status, category, parameters FROM template WHERE connection = ?1
                 ORDER BY name, language LIMIT 200", &[&connection])?,
            "notices": self.rows("SELECT at, severity, text FROM notice WHERE connection = ?1 ORDER BY id DESC LIMIT 10", &[&connection])?,
            "waiting": self.number(&format!("SELECT count(*) FROM message WHERE connection = ?1 AND {WAITING}"), &[&connection])?,
            "webhook_at": self.row("SELECT received_at FROM inbox ORDER BY id DESC LIMIT 1", &[])?.map(|mut row| row["received_at"].take()),
            "last_attempt": self.row("SELECT at.started_at, at.outcome, at.http_status, at.code FROM attempt at JOIN message m
                 ON m.id = at.message WHERE m.connection = ?1 AND m.id >= (SELECT max(id) FROM message) - 1000
                 ORDER BY at.message DESC, at.number DESC LIMIT 1", &[&connection])?,
        }))
    }

    /// When the outside last reached us, and was reached: `{webhook_at, damaged, first_receipt}`.
    pub fn webhook_facts(&self) -> Result<Value> {
        Ok(json!({
            "webhook_at": self.row("SELECT received_at FROM inbox ORDER BY id DESC LIMIT 1", &[])?.map(|mut row| row["received_at"].take()),
            "receipts": self.number("SELECT count(*) FROM (SELECT 1 FROM receipt LIMIT 1)", &[])? > 0,
            "replies": self.number("SELECT count(*) FROM (SELECT 1 FROM reply LIMIT 1)", &[])? > 0,
        }))
    }

    /// The latest alert of each rule that has one among the newest: one look for all rules, however many there are.
    pub fn newest_of_rules(&self) -> Result<BTreeMap<String, i64>> {
        let from = self.number("SELECT max(id) FROM alert", &[])? - SCAN_MAX;
        let rows = self
            .rows("SELECT rule AS name, max(id) AS n FROM alert WHERE id > ?1 GROUP BY rule", &[&from])?
            .into_iter();
        Ok(rows.filter_map(|row| Some((row["name"].as_str()?.to_owned(), row["n"].as_i64()?))).collect())
    }

    /// Events of a rule, by what became of them, and that alert.
    pub fn rule_hits(&self, rule: &str, alert: Option<i64>) -> Result<Value> {
        let last = match alert {
            Some(id) => {
                let before = Cursor { id: id + 1, at: 0, wamid: String::new() };
                let one = Listing { before: Some(before), limit: 1, ..Listing::default() };
                self.list_alerts(&one)?["items"][0].take()
            }
            None => Value::Null,
        };
        Ok(json!({
            "tallies": self.rows("SELECT outcome, count, last_at, last_topic, last_reason FROM tally WHERE rule = ?1 ORDER BY last_at DESC", &[&rule])?,
            "last_alert": last,
            "unjudged": self.unjudged_of(rule)?,
        }))
    }
}
