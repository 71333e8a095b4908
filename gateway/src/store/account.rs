//! What Meta tells of accounts and numbers, and what they cost.

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::command::inbound::{Notice, Pricing};
use crate::ids::{ConnectionName, Wamid};
use crate::time::Timestamp;

/// Notices that are kept for a connection; older ones are in the inbox as long as it lasts.
const NOTICES_MAX: i64 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    pub at: i64,
    pub connection: String,
    pub severity: i64,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub connection: String,
    pub month: String,
    pub category: String,
    pub kind: String,
    pub count: i64,
}

/// A restriction ends with its time; Meta sends nothing then.
pub(super) fn holds(value: &str, now: Timestamp) -> bool {
    let until = value.rsplit_once(" until ").and_then(|(_, at)| Timestamp::exact(at));
    until.is_none_or(|until| until > now)
}

impl Store {
    /// Keeps a notice, and what is known from now on. `false`: the same words came before, so nobody is told again.
    pub fn keep_notice(&self, connection: &ConnectionName, notice: &Notice, now: Timestamp) -> Result<bool> {
        let last: Option<String> = self
            .sql
            .prepare_cached(
                "SELECT text FROM notice WHERE connection = ?1 AND field = ?2 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([&connection.0, &notice.field], |row| row.get(0))
            .optional()?;
        for (name, value) in &notice.facts {
            match value.as_str() {
                "" => self.lift_fact(connection, name)?,
                value => self.keep_fact(connection, name, value, now)?,
            }
        }
        if last.as_deref() == Some(notice.text.as_str()) {
            return Ok(false);
        }
        self.sql
            .prepare_cached(
                "INSERT INTO notice (at, connection, field, severity, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![now.0, connection.0, notice.field, notice.severity.rank(), notice.text])?;
        self.sql
            .prepare_cached("DELETE FROM notice WHERE id <= (SELECT max(id) FROM notice) - ?1")?
            .execute([NOTICES_MAX])?;
        Ok(true)
    }

    /// Newest first.
    pub fn notices(&self, limit: u32) -> Result<Vec<NoticeRow>> {
        self.sql
            .prepare_cached("SELECT at, connection, severity, text FROM notice ORDER BY id DESC LIMIT ?1")?
            .query_map([limit], |row| {
                Ok(NoticeRow {
                    at: row.get(0)?,
                    connection: row.get(1)?,
                    severity: row.get(2)?,
                    text: row.get(3)?,
                })
            })?
            .collect()
    }

    /// Connection, name, value: what holds now.
    pub fn facts(&self, now: Timestamp) -> Result<Vec<(String, String, String)>> {
        let found: Result<Vec<(String, String, String)>> = self
            .sql
            .prepare_cached("SELECT connection, name, value FROM fact ORDER BY connection, name")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect();
        Ok(found?.into_iter().filter(|(_, _, value)| holds(value, now)).collect())
    }

    /// What is known of a connection.
    pub fn fact(&self, connection: &ConnectionName, name: &str) -> Result<Option<String>> {
        self.sql
            .prepare_cached("SELECT value FROM fact WHERE connection = ?1 AND name = ?2")?
            .query_row([&connection.0, name], |row| row.get(0))
            .optional()
    }

    pub fn keep_fact(
        &self,
        connection: &ConnectionName,
        name: &str,
        value: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO fact VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![connection.0, name, value, now.0])
            .map(drop)
    }

    /// What is known under that name, and under longer ones that begin with it, holds no longer.
    fn lift_fact(&self, connection: &ConnectionName, name: &str) -> Result<()> {
        self.sql
            .prepare_cached("DELETE FROM fact WHERE connection = ?1 AND (name = ?2 OR name LIKE ?2 || ' %')")?
            .execute([&connection.0, name])
            .map(drop)
    }

    /// Whether something was said under this heading.
    pub fn has_notice(&self, connection: &ConnectionName, field: &str) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM notice WHERE connection = ?1 AND field = ?2")?
            .exists([&connection.0, field])
    }

    /// Counts a message once, whichever of its statuses tells the price first.
    pub(super) fn count(&self, wamid: &Wamid, pricing: &Pricing, at: Timestamp) -> Result<()> {
        let new = self
            .sql
            .prepare_cached("UPDATE sent SET counted = 1 WHERE wamid = ?1 AND counted = 0")?
            .execute([&wamid.0])?;
        if new == 0 {
            return Ok(());
        }
        self.sql
            .prepare_cached(
                "INSERT INTO usage SELECT m.connection, ?2, ?3, ?4, 1 FROM sent s JOIN message m ON m.id = s.message
                 WHERE s.wamid = ?1 ON CONFLICT DO UPDATE SET count = count + 1",
            )?
            .execute(params![wamid.0, at.month(), pricing.category, pricing.kind])
            .map(drop)
    }

    /// Newest month first.
    pub fn usage(&self) -> Result<Vec<UsageRow>> {
        self.sql
            .prepare_cached("SELECT connection, month, category, kind, count FROM usage ORDER BY month DESC, connection, category, kind")?
            .query_map([], |row| {
                Ok(UsageRow {
                    connection: row.get(0)?,
                    month: row.get(1)?,
                    category: row.get(2)?,
                    kind: row.get(3)?,
                    count: row.get(4)?,
                })
            })?
            .collect()
    }
}
