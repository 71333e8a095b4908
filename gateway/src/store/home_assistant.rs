//! What Home Assistant is shown, and which retained messages were left at the broker for it.

use rusqlite::{OptionalExtension, Result};
use serde_json::{Value, json};

use super::Store;
use crate::alert::notification::silence::Silence;
use crate::time::Timestamp;

/// More are shown as so many: nobody tells the one from the other, and to count a million takes a while.
const WAITING_MAX: i64 = 10_000;
/// How far back an answer of Meta's is looked for.
const RECENT: i64 = 1_000;

impl Store {
    /// How many messages wait, up to ten thousand.
    pub fn waiting_up_to_many(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM message WHERE state IN ('queued', 'sending', 'unknown', 'held') LIMIT ?1)";
        self.sql
            .prepare_cached(sql)?
            .query_row([WAITING_MAX], |row| row.get::<_, i64>(0))
            .map(|count| u64::try_from(count).unwrap_or(0))
    }

    /// Why the newest message that failed has failed.
    pub fn last_failure(&self) -> Result<Option<String>> {
        let sql = "SELECT reason FROM message WHERE state IN ('failed', 'expired', 'cancelled') AND state = 'failed'
             ORDER BY id DESC LIMIT 1";
        let found = self.sql.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<String>>(0));
        found.optional().map(Option::flatten)
    }

    /// What Meta answered last over a connection: its HTTP status and its code.
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

    /// Silences over everything that hold now: `[{by, until_at, break_through}]`.
    pub(super) fn mutes(&self, now: Timestamp) -> Result<Vec<Value>> {
        let all = self.silences()?.into_iter().filter(|one| one.until > now && one.is_over_everything());
        Ok(all
            .map(|one| json!({ "by": one.by, "until_at": one.until.0, "break_through": one.break_through }))
            .collect())
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
