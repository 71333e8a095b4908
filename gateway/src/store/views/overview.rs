//! One alert's or message's whole story, and the summaries of the first page.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{OptionalExtension, Result};
use serde_json::Value;

use crate::outbox::message::Content;
use crate::store::Store;
use crate::store::account::holds;
use crate::store::views::json::{OneRow, Rows};
use crate::store::views::lists::{Cursor, Direction, Listing, SCAN_MAX};
use crate::store::views::rows_for_people::WAITING;
use crate::store::views::shown::{
    AlertCommand, AlertRecord, AlertStory, Attempt, ConnectionFacts, ContactFacts, Device, Fact, Hour, Order,
    Overview, Receipt, RuleHits, Story, WebhookFacts,
};
use crate::time::Timestamp;

const HOUR: i64 = 3_600_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Alerts that go on and are shown on the first page; the list has all.
const GOING_ON: u32 = 6;
/// Messages of the last day that are counted one by one: a page that is asked for during a flood must not stop it.
const COUNTED_MAX: i64 = 50_000;

const NEWEST_WEBHOOK: &str = "SELECT received_at FROM inbox ORDER BY id DESC LIMIT 1";

impl Store {
    pub fn whole_message(&self, id: i64) -> Result<Option<Value>> {
        let from = "FROM message m LEFT JOIN alert a ON a.id = m.alert LEFT JOIN event e ON e.id = a.event WHERE m.id = ?1";
        let Some(mut story) = self.all::<Story>(from, &[&id])?.into_first().map(|found| found.0) else {
            return Ok(None);
        };
        if let Ok(content) = serde_json::from_value::<Content>(story["content"].clone()) {
            story["content"] = serde_json::to_value(content.without_secrets()).unwrap_or_default();
        }
        story["direction"] = Direction::Out.as_str().into();
        let wamids = self.rows("SELECT wamid FROM sent WHERE message = ?1", &[&id])?;
        story["wamids"] = wamids.into_iter().map(|mut row| row["wamid"].take()).collect();
        story["history"] =
            self.all::<Attempt>("FROM attempt WHERE message = ?1 ORDER BY number", &[&id])?.0.into();
        let receipts =
            "FROM receipt WHERE message = ?1 ORDER BY at, instr('sent delivered read played', status)";
        story["receipts"] = self.all::<Receipt>(receipts, &[&id])?.0.into();
        Ok(Some(story))
    }

    pub fn whole_alert(&self, id: i64) -> Result<Option<Value>> {
        let from = "FROM alert a LEFT JOIN event e ON e.id = a.event WHERE a.id = ?1";
        let Some(mut story) = self.all::<AlertStory>(from, &[&id])?.into_first().map(|found| found.0) else {
            return Ok(None);
        };
        let listing =
            Listing { alert: Some(id), direction: Some(Direction::Out), limit: 200, ..Listing::default() };
        story["messages"] = self.list_messages(&listing)?.items.0.into();
        story["records"] = self.alert_records(&story)?.0.into();
        let commands =
            "FROM command c LEFT JOIN reply r ON r.wamid = c.reply WHERE c.alert = ?1 ORDER BY c.id";
        story["commands"] = self.all::<AlertCommand>(commands, &[&id])?.0.into();
        Ok(Some(story))
    }

    /// Only alerts with a life have records.
    fn alert_records(&self, story: &Value) -> Result<Rows<AlertRecord>> {
        let (Some(rule), Some(key)) = (story["rule"].as_str(), story["key"].as_str()) else {
            return Ok(Rows::of(Vec::new()));
        };
        let raised_at = story["raised_at"].as_i64().unwrap_or_default();
        let until = match story["state"].as_str() {
            Some("resolved") => story["changed_at"].as_i64().unwrap_or(i64::MAX),
            Some(_) | None => i64::MAX,
        };
        let from =
            "FROM alert_record WHERE rule = ?1 AND key = ?2 AND at BETWEEN ?3 AND ?4 ORDER BY id LIMIT 500";
        self.all(from, &[&rule, &key, &(raised_at - HOUR), &until])
    }

    pub fn overview(&self, now: Timestamp) -> Result<Overview> {
        let since = (now - DAY).0;
        let newest = self.number("SELECT max(id) FROM message", &[])?;
        let from = self.first_since("message", "created_at", since)?.max(newest - COUNTED_MAX);
        let alerts_from = self.first_since("alert", "raised_at", since)?;
        let going_on = Listing { open: true, limit: GOING_ON, ..Listing::default() };
        Ok(Overview {
            waiting: self.tallied(
                &format!("SELECT state AS name, count(*) AS n FROM message WHERE {WAITING} GROUP BY state"),
                &[],
            )?,
            oldest_waiting_at: self.oldest_waiting()?.map(Timestamp),
            day: self.tallied(
                "SELECT state AS name, count(*) AS n FROM message WHERE id >= ?1 GROUP BY state",
                &[&from],
            )?,
            hours: self.hours(alerts_from, now)?,
            alerts: self.list_alerts(&Listing { since: Some(since), limit: 5, ..Listing::default() })?.items,
            going_on: self.list_alerts(&going_on)?.items,
            undelivered: self.undelivered_lately(now - DAY)?,
            unjudged: self.unjudged_lately(now - DAY)?,
            mutes: self.mutes(now)?,
            is_empty: self.number("SELECT NOT EXISTS (SELECT 1 FROM alert)", &[])? == 1,
            replies: self.number("SELECT count(*) FROM reply WHERE at >= ?1", &[&since])?,
            notices: self.all("FROM notice ORDER BY id DESC LIMIT 3", &[])?,
        })
    }

    fn hours(&self, from: i64, now: Timestamp) -> Result<Vec<Hour>> {
        let first = now.0 / HOUR - 23;
        let mut counts: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let sql = "SELECT raised_at / 3600000 AS hour, severity, count(*) AS n FROM alert WHERE id >= ?1 GROUP BY 1, 2";
        for row in self.rows(sql, &[&from])? {
            let number = |name: &str| row[name].as_i64().unwrap_or_default();
            counts.insert((number("hour"), number("severity")), number("n"));
        }
        let of = |hour, severity| counts.get(&(hour, severity)).copied().unwrap_or_default();
        let hour = |hour| Hour {
            at: Timestamp(hour * HOUR),
            info: of(hour, 0),
            warning: of(hour, 1),
            critical: of(hour, 2),
        };
        Ok((first..first + 24).map(hour).collect())
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

    /// Those that were heard last first.
    pub fn device_list(&self) -> Result<Rows<Device>> {
        self.all("FROM device WHERE NOT forget ORDER BY seen_at DESC LIMIT 500", &[])
    }

    /// With its newest commands.
    pub fn whole_device(&self, id: &str) -> Result<Option<(OneRow<Device>, Rows<Order>)>> {
        let device = self.all::<Device>("FROM device WHERE id = ?1 AND NOT forget", &[&id])?.into_first();
        let Some(device) = device else { return Ok(None) };
        let orders = self.all("FROM command WHERE device = ?1 ORDER BY id DESC LIMIT 50", &[&id])?;
        Ok(Some((device, orders)))
    }

    pub fn contact_facts(&self, contact: &str, now: Timestamp) -> Result<ContactFacts> {
        let person = "SELECT stopped, no_marketing, moved_at FROM person WHERE contact = ?1";
        let person = self.row(person, &[&contact])?.unwrap_or_default();
        let newest = Listing { contact: Some(contact.to_owned()), limit: 1, ..Listing::default() };
        Ok(ContactFacts {
            stopped: person["stopped"] == 1,
            no_marketing: person["no_marketing"] == 1,
            moved_at: person["moved_at"].as_i64().map(Timestamp),
            consent: self.all("FROM consent WHERE contact = ?1 ORDER BY id DESC LIMIT 20", &[&contact])?,
            windows: self.all("FROM window WHERE contact = ?1 AND until > ?2", &[&contact, &now.0])?,
            last: self.list_messages(&newest)?.items.into_first(),
        })
    }

    pub fn connection_facts(&self, connection: &str, now: Timestamp) -> Result<ConnectionFacts> {
        let mut facts = self
            .all::<Fact>("FROM fact WHERE connection = ?1 AND value <> '' ORDER BY name", &[&connection])?;
        facts.0.retain(|fact| fact["value"].as_str().is_none_or(|value| holds(value, now)));
        let templates = "FROM template WHERE connection = ?1 ORDER BY name, language LIMIT 200";
        let waiting = format!("SELECT count(*) FROM message WHERE connection = ?1 AND {WAITING}");
        let last = "FROM attempt at JOIN message m ON m.id = at.message
             WHERE m.connection = ?1 AND m.id >= (SELECT max(id) FROM message) - 1000
             ORDER BY at.message DESC, at.number DESC LIMIT 1";
        Ok(ConnectionFacts {
            facts,
            catalogue_read_at: self
                .moment("SELECT read_at FROM catalogue WHERE connection = ?1", &[&connection])?,
            templates: self.all(templates, &[&connection])?,
            notices: self
                .all("FROM notice WHERE connection = ?1 ORDER BY id DESC LIMIT 10", &[&connection])?,
            waiting: self.number(&waiting, &[&connection])?,
            webhook_at: self.moment(NEWEST_WEBHOOK, &[])?,
            last_attempt: self.all(last, &[&connection])?.into_first(),
        })
    }

    pub fn webhook_facts(&self) -> Result<WebhookFacts> {
        Ok(WebhookFacts {
            webhook_at: self.moment(NEWEST_WEBHOOK, &[])?,
            receipts: self.number("SELECT count(*) FROM (SELECT 1 FROM receipt LIMIT 1)", &[])? > 0,
            replies: self.number("SELECT count(*) FROM (SELECT 1 FROM reply LIMIT 1)", &[])? > 0,
        })
    }

    /// The latest alert of each rule that has one among the newest: one look for all rules, however many there are.
    pub fn newest_of_rules(&self) -> Result<BTreeMap<String, i64>> {
        let from = self.number("SELECT max(id) FROM alert", &[])? - SCAN_MAX;
        let rows = self
            .rows("SELECT rule AS name, max(id) AS n FROM alert WHERE id > ?1 GROUP BY rule", &[&from])?
            .into_iter();
        Ok(rows.filter_map(|row| Some((row["name"].as_str()?.to_owned(), row["n"].as_i64()?))).collect())
    }

    /// What became of its events, and that alert.
    pub fn rule_hits(&self, rule: &str, alert: Option<i64>) -> Result<RuleHits> {
        let last_alert = match alert {
            Some(id) => {
                let before = Cursor { id: id + 1, at: 0, wamid: String::new() };
                let one = Listing { before: Some(before), limit: 1, ..Listing::default() };
                self.list_alerts(&one)?.items.into_first()
            }
            None => None,
        };
        Ok(RuleHits {
            tallies: self.all("FROM tally WHERE rule = ?1 ORDER BY last_at DESC", &[&rule])?,
            last_alert,
            unjudged: self.unjudged_of(rule)?,
        })
    }
}
