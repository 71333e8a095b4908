//! The state that Home Assistant is shown, and the retained messages that were left at the broker for it.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::Store;
use crate::alert::notification::silence::Silence;
use crate::command::home_assistant::Presence;
use crate::time::Timestamp;

/// More are shown as so many: nobody tells the one from the other, and to count a million takes a while.
const WAITING_MAX: i64 = 10_000;
/// How far back an answer of Meta's is looked for.
const RECENT: i64 = 1_000;
/// Twice as many as are shown at once; entities beyond it are not taken away, and stay there as unavailable.
const PARTS_MAX: usize = 256;

/// A silence over everything that holds now.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mute {
    pub by: String,
    pub until_at: Timestamp,
    /// What is as severe comes through.
    pub break_through: Option<i64>,
}

impl Store {
    /// The number of messages that wait, up to ten thousand.
    pub fn waiting_up_to_many(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM message WHERE state IN ('queued', 'sending', 'unknown', 'held') LIMIT ?1)";
        self.sql
            .prepare_cached(sql)?
            .query_row([WAITING_MAX], |row| row.get::<_, i64>(0))
            .map(|count| u64::try_from(count).unwrap_or(0))
    }

    /// The reason why the newest failed message has failed.
    pub fn last_failure(&self) -> Result<Option<String>> {
        let sql = "SELECT reason FROM message WHERE state IN ('failed', 'expired', 'cancelled') AND state = 'failed'
             ORDER BY id DESC LIMIT 1";
        let found = self.sql.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<String>>(0));
        found.optional().map(Option::flatten)
    }

    /// The HTTP status and code of Meta's last answer over a connection.
    pub fn last_answer(&self, connection: &str) -> Result<Option<(Option<i64>, Option<i64>)>> {
        let sql = "SELECT at.http_status, at.code FROM attempt at JOIN message m ON m.id = at.message
             WHERE m.connection = ?1 AND m.id >= (SELECT max(id) FROM message) - ?2 AND at.http_status IS NOT NULL
             ORDER BY at.message DESC, at.number DESC LIMIT 1";
        self.sql
            .prepare_cached(sql)?
            .query_row((connection, RECENT), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// Silences that are kept; some may be over.
    pub fn silences(&self) -> Result<Vec<Silence>> {
        let sql = "SELECT state FROM alert_memory WHERE kind = 'silence'";
        let rows: Vec<String> =
            self.sql.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        Ok(rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect())
    }

    /// Silences that hold now, the one that ends first at the top.
    pub fn silence_list(&self, now: Timestamp) -> Result<Vec<Value>> {
        let rows: Vec<(String, String)> = self
            .sql
            .prepare_cached("SELECT key, state FROM alert_memory WHERE kind = 'silence'")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        let known = rows.iter().filter_map(|(id, state)| {
            Some((id.parse::<u64>().ok()?, serde_json::from_str::<Silence>(state).ok()?))
        });
        let mut all: Vec<(u64, Silence)> = known.filter(|(_, silence)| silence.until > now).collect();
        all.sort_by_key(|(id, silence)| (silence.until, *id));
        let one = |(id, silence): (u64, Silence)| {
            json!({ "id": id, "rule": silence.rule.map(|rule| rule.0), "key": silence.key, "levels": silence.matchers,
                    "contact": silence.contact.map(|contact| contact.0), "until_at": silence.until.0, "by": silence.by,
                    "comment": silence.comment })
        };
        Ok(all.into_iter().map(one).collect())
    }

    pub(super) fn mutes(&self, now: Timestamp) -> Result<Vec<Mute>> {
        let all = self.silences()?.into_iter().filter(|one| one.until > now && one.is_over_everything());
        Ok(all
            .map(|one| Mute { by: one.by, until_at: one.until, break_through: one.break_through })
            .collect())
    }

    /// The number of messages that wait for their person to write, up to ten thousand: WhatsApp takes free text for 24
    /// h after that alone.
    pub fn waiting_for_window(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM message WHERE state = 'held' AND held_for = 'window' LIMIT ?1)";
        self.sql
            .prepare_cached(sql)?
            .query_row([WAITING_MAX], |row| row.get::<_, i64>(0))
            .map(|count| u64::try_from(count).unwrap_or(0))
    }

    /// The mistake of the newest request, if it was refused and is no older than that.
    pub fn refused_request(&self, topic: &str, since: Timestamp) -> Result<Option<String>> {
        let sql = "SELECT reason FROM event WHERE id > (SELECT max(id) FROM event) - ?2 AND topic = ?1 AND received_at > ?3
             ORDER BY id DESC LIMIT 1";
        let found = self
            .sql
            .prepare_cached(sql)?
            .query_row((topic, RECENT, since.0), |row| row.get::<_, Option<String>>(0));
        found.optional().map(Option::flatten)
    }

    /// The events that are not told yet, in order.
    pub fn home_events(&self, limit: u32) -> Result<Vec<(i64, String, Value)>> {
        let sql = "SELECT id, kind, what FROM home_event ORDER BY id LIMIT ?1";
        let rows: Vec<(i64, String, String)> = self
            .sql
            .prepare_cached(sql)?
            .query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_>>()?;
        Ok(rows
            .into_iter()
            .map(|(id, kind, what)| (id, kind, serde_json::from_str(&what).unwrap_or_default()))
            .collect())
    }

    pub fn forget_home_events(&self, until: i64) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM home_event WHERE id <= ?1")?.execute([until]).map(drop)
    }

    pub fn keep_home_event(&self, kind: &str, what: &Value) -> Result<()> {
        let sql = "INSERT INTO home_event (kind, what) VALUES (?1, ?2)";
        self.sql.prepare_cached(sql)?.execute((kind, what.to_string())).map(drop)
    }

    /// An alert's rule, severity and tag, for who is told of it.
    pub fn alert_in_words(&self, alert: i64) -> Result<Option<(String, i64, Option<String>)>> {
        let sql = "SELECT rule, severity, tag FROM alert WHERE id = ?1";
        self.sql
            .prepare_cached(sql)?
            .query_row([alert], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
    }

    /// Under which id the gateway is known there, and which entities it was ever shown with: kept from the first time on, so that
    /// another name of the site is another name and no other device. With the topic of requests events are kept, without none.
    pub fn meet_home(&self, id: &str, parts: &BTreeMap<String, String>, requests: &str) -> Result<Presence> {
        let known: Option<String> = self
            .sql
            .prepare_cached("SELECT value FROM meta WHERE key = 'home_assistant'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let known = known.and_then(|text| serde_json::from_str(&text).ok());
        let mut presence = known.unwrap_or_else(|| Presence { id: id.to_owned(), parts: BTreeMap::new() });
        for (key, platform) in parts {
            if presence.parts.len() < PARTS_MAX {
                presence.parts.entry(key.clone()).or_insert_with(|| platform.clone());
            }
        }
        let text = serde_json::to_string(&presence).unwrap_or_default();
        let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
        self.sql.prepare_cached(sql)?.execute(["home_assistant", &text])?;
        self.sql.prepare_cached(sql)?.execute(["home_events", requests])?;
        Ok(presence)
    }

    /// It is not configured any more.
    pub fn leave_home(&self) -> Result<()> {
        self.sql.execute_batch("DELETE FROM meta WHERE key = 'home_events'; DELETE FROM home_event")
    }

    /// Topics of retained messages of ours.
    pub fn left_at_broker(&self) -> Result<Vec<String>> {
        let sql = "SELECT value FROM meta WHERE key = 'left_at_broker'";
        let found: Option<String> =
            self.sql.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        Ok(found.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    pub fn set_left_at_broker(&self, topics: &[String]) -> Result<()> {
        let text = serde_json::to_string(topics).unwrap_or_default();
        let sql = "INSERT OR REPLACE INTO meta VALUES ('left_at_broker', ?1)";
        self.sql.prepare_cached(sql)?.execute([text]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contact::Recipient;
    use crate::ids::{ContactId, MessageId};
    use crate::outbox::message::Content;
    use crate::outbox::message_state::State;
    use crate::outbox::retry_policy::{HeldFor, Next};
    use crate::outbox::row::Conversation;

    const NOW: Timestamp = Timestamp(1_795_240_800_000);

    fn with_a_message() -> (tempfile::TempDir, Store, MessageId) {
        let (folder, store) = Store::in_new_folder();
        store.meet_home("bw", &BTreeMap::new(), "bellwire/bw/home-assistant/notify").expect("met");
        let lane = Conversation { connection: "main".into(), contact: ContactId("nino".into()) };
        let to = Recipient::parse("+15550100123").expect("a number");
        let id = store.compose(&lane, &to, &Content::text("warm"), NOW).expect("composed");
        (folder, store, id)
    }

    fn told(store: &Store) -> Vec<(i64, String)> {
        let word = |what: &Value| format!("{} {}", what["event_type"], what["waits_for"]);
        let events = store.home_events(50).expect("events");
        events.iter().map(|(id, _, what)| (*id, word(what))).collect()
    }

    /// Whatever the order and the clock: one event for each state and each reason to hold that an automation may wait for.
    #[test]
    fn each_change_of_a_message_is_one_event() {
        let (_folder, store, id) = with_a_message();
        let hold = |held_for| Next { held_for: Some(held_for), ..Next::to(State::Held, "held") };
        let steps = [
            (hold(HeldFor::Budget), Some("\"held\" \"budget\"")),
            (hold(HeldFor::Window), Some("\"held\" \"window\"")),
            (hold(HeldFor::Window), None),
            (Next::to(State::Queued, "the person wrote"), None),
            (hold(HeldFor::Window), Some("\"held\" \"window\"")),
            (Next::to(State::Sent, "sent"), Some("\"sent\" null")),
            (Next::to(State::Sent, "sent"), None),
            (Next::to(State::Read, "read"), Some("\"read\" null")),
        ];
        for (at, (next, event)) in steps.into_iter().enumerate() {
            let before = told(&store).len();
            // Each second one under a clock that was set back.
            let now = if at % 2 == 0 { NOW } else { NOW - Duration::from_secs(100_000) };
            store.move_to(id, &next, now).expect("moved");
            let news: Vec<String> = told(&store).into_iter().skip(before).map(|(_, word)| word).collect();
            assert_eq!(news, Vec::from_iter(event.map(str::to_owned)), "step {at}");
        }
    }

    #[test]
    fn events_after_an_emptied_table_are_not_forgotten() {
        let (_folder, store, id) = with_a_message();
        store.move_to(id, &Next::to(State::Sent, "sent"), NOW).expect("moved");
        let (until, _) = told(&store)[0].clone();
        store.sql.execute_batch("DELETE FROM home_event").expect("as an erasure does");
        store.move_to(id, &Next::to(State::Read, "read"), NOW).expect("moved");
        store.forget_home_events(until).expect("forgotten");
        assert_eq!(told(&store).len(), 1);
    }
}
