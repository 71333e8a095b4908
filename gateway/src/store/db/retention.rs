//! Old rows go, a few at a time: one big DELETE would need a WAL that a nearly full disk does not have (docs/reliability.md E10).

use std::time::Duration;

use rusqlite::Result;

use crate::store::Store;
use crate::time::Timestamp;

/// Ninety days: then a record is of no use to anyone and a risk to the people in it.
const KEEP: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Rows of each kind that one call removes.
const BATCH: i64 = 50;
/// Tables that grow with people and what they do.
const OF_FEW: [&str; 15] = [
    "DELETE FROM unjudged WHERE (rule, kind) IN (SELECT rule, kind FROM unjudged WHERE last_at < ?1 LIMIT ?2)",
    "DELETE FROM post WHERE id IN (SELECT id FROM post WHERE created_at < ?1 AND state != 'queued' ORDER BY id LIMIT ?2)",
    "DELETE FROM file WHERE id IN (SELECT id FROM file WHERE at < ?1 AND state NOT IN ('wanted', 'kept') LIMIT ?2)",
    "DELETE FROM upload WHERE at < ?1 AND ?2 > 0",
    // A file goes when no message that is kept shows it.
    "DELETE FROM media WHERE sha256 IN (SELECT sha256 FROM media f WHERE f.at < ?1
         AND NOT EXISTS (SELECT 1 FROM message WHERE instr(content, f.sha256) > 0) LIMIT ?2)",
    "DELETE FROM asked WHERE message IN (SELECT k.message FROM asked k
         WHERE ?1 = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE id = k.message) LIMIT ?2)",
    "DELETE FROM acknowledgement WHERE alert IN (SELECT alert FROM acknowledgement WHERE at < ?1 LIMIT ?2)",
    "DELETE FROM request WHERE id IN (SELECT id FROM request
         WHERE expires_at < ?1 AND state != 'open' ORDER BY id LIMIT ?2)",
    "DELETE FROM vote WHERE (question, contact) IN (SELECT question, contact FROM vote WHERE at < ?1 LIMIT ?2)",
    "DELETE FROM question WHERE id IN (SELECT q.id FROM question q WHERE q.expires_at < ?1
         AND q.state != 'open' AND NOT EXISTS (SELECT 1 FROM vote WHERE question = q.id) ORDER BY q.id LIMIT ?2)",
    "DELETE FROM stranger WHERE address IN (SELECT address FROM stranger WHERE last_at < ?1 LIMIT ?2)",
    // Those who never came, or were removed. That their ids were used, `consent` knows.
    "DELETE FROM guest WHERE contact IN (SELECT contact FROM guest WHERE expires_at < ?1 AND state != 'joined' LIMIT ?2)",
    "DELETE FROM command WHERE id IN (SELECT id FROM command
         WHERE changed_at < ?1 AND state != 'queued' ORDER BY id LIMIT ?2)",
    // The one that holds stays.
    "DELETE FROM configuration_version WHERE id IN (SELECT id FROM configuration_version
         WHERE at < ?1 AND id < (SELECT max(id) FROM configuration_version) ORDER BY id LIMIT ?2)",
    "DELETE FROM reply WHERE wamid IN (SELECT r.wamid FROM reply r WHERE r.at < ?1
         AND NOT EXISTS (SELECT 1 FROM command WHERE reply = r.wamid) LIMIT ?2)",
];

const OLD_RECORDS: &str = "DELETE FROM alert_record WHERE id IN (SELECT id FROM alert_record
     WHERE id < ?3 AND at < ?1 ORDER BY id LIMIT ?2)";
const OLD_ALERTS: &str =
    "DELETE FROM alert WHERE id IN (SELECT a.id FROM alert a WHERE a.id < ?3 AND a.raised_at < ?1
     AND (a.state IS NULL OR a.state = 'resolved')
     AND NOT EXISTS (SELECT 1 FROM message WHERE alert = a.id) ORDER BY a.id LIMIT ?2)";
const OLD_EVENTS: &str =
    "DELETE FROM event WHERE id IN (SELECT e.id FROM event e WHERE e.id < ?3 AND e.received_at < ?1
     AND NOT EXISTS (SELECT 1 FROM alert WHERE event = e.id) ORDER BY e.id LIMIT ?2)";
const OLD_BODIES: &str = "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox
     WHERE id < ?3 AND received_at < ?1 AND state != 'new' ORDER BY id LIMIT ?2)";

/// A digest goes after what it carries, whose ids are lower.
fn of_messages(table: &str, key: &str) -> String {
    format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT id FROM message m WHERE id < ?3 AND changed_at < ?1
             AND state NOT IN ('queued', 'sending', 'unknown', 'held')
             AND NOT EXISTS (SELECT 1 FROM message WHERE digest = m.id
                 AND (changed_at >= ?1 OR state IN ('queued', 'sending', 'unknown', 'held')))
             ORDER BY id LIMIT ?2)"
    )
}

impl Store {
    /// Removes a batch of what is older than 90 days and at an end; `true` when there may be more.
    pub fn forget_old(&self, now: Timestamp) -> Result<bool> {
        if !now.is_sane() {
            return Ok(false);
        }
        let before = (now - KEEP).0;
        let mut removed = self.forget_old_events(before)?;
        for statement in OF_FEW {
            removed += self.sql.prepare_cached(statement)?.execute([before, BATCH])?;
        }
        Ok(removed > 0)
    }

    /// Of tables that grow with events only what is old by its id is looked at: to walk through a million young messages would
    /// hold up every alert meanwhile.
    fn forget_old_events(&self, before: i64) -> Result<usize> {
        let of_messages =
            [("receipt", "message"), ("attempt", "message"), ("sent", "message"), ("message", "id")]
                .map(|(table, key)| of_messages(table, key));
        let of_messages = of_messages.each_ref().map(String::as_str);
        let of_events = [
            ("message", "created_at", &of_messages[..]),
            ("alert_record", "at", &[OLD_RECORDS]),
            ("alert", "raised_at", &[OLD_ALERTS]),
            ("event", "received_at", &[OLD_EVENTS]),
            ("inbox", "received_at", &[OLD_BODIES]),
        ];
        let mut removed = 0;
        for (table, time, statements) in of_events {
            let first_young = self.first_since(table, time, before)?;
            for statement in statements {
                removed += self.sql.prepare_cached(statement)?.execute([before, BATCH, first_young])?;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::contact::Recipient;
    use crate::outbox::message::Content;
    use crate::outbox::row::Conversation;

    #[test]
    fn young_messages_are_not_walked_through_and_old_ones_go() {
        let now = Timestamp(1_900_000_000_000);
        let (_folder, store) = Store::in_new_folder();
        let to = Recipient::parse("+4915112345678").expect("a number");
        let lane = Conversation { connection: "main".into(), contact: "nino".into() };
        for message in 0..500 {
            let at = if message < 3 { now - KEEP - Duration::from_secs(1) } else { now };
            store.compose(&lane, &to, &Content::text("hot"), at).expect("composed");
        }
        store.sql.execute("UPDATE message SET state = 'delivered'", []).expect("ended");
        assert!(store.forget_old(now).expect("three went") && !store.forget_old(now).expect("none"));
        let left: i64 =
            store.sql.query_row("SELECT count(*) FROM message", [], |row| row.get(0)).expect("counted");
        assert_eq!(left, 497);
        let asked = store.sql.prepare_cached(&of_messages("message", "id")).expect("the one of before");
        let steps = asked.get_status(StatementStatus::VmStep);
        assert!((1..1_000).contains(&steps), "{steps} steps, twice");
    }
}
