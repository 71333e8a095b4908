//! Passwords, sessions, tokens and the audit of the page and the API. What opens a door is here only as a hash.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, params};
use serde_json::Value;

use super::Store;
use crate::time::Timestamp;

/// How long the answer to an idempotency key is remembered: a client that tries longer has a new event.
const POSTED_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Rows of the audit that are kept; at ten changes a day that is 27 years.
const CHANGES_MAX: i64 = 100_000;
/// A token's last use is written at most this often.
const USED_EVERY: Duration = Duration::from_secs(3_600);

/// A change, and who made it.
#[derive(Debug, Clone)]
pub struct Change {
    pub who: String,
    pub address: String,
    pub deed: &'static str,
    pub subject: String,
    pub outcome: String,
}

/// Whether an event came before under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    New,
    /// The same words: it is ours already.
    Before,
    /// Other words under the same key.
    Different,
}

impl Store {
    pub fn password(&self) -> Result<Option<String>> {
        self.sql
            .prepare_cached("SELECT value FROM meta WHERE key = 'password'")?
            .query_row([], |row| row.get(0))
            .optional()
    }

    /// Whoever was logged in with the old one is logged out.
    pub fn set_password(&self, hash: &str) -> Result<()> {
        self.sql.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('password', ?1)")?.execute([hash])?;
        self.sql.prepare_cached("DELETE FROM session")?.execute([]).map(drop)
    }

    pub fn open_session(&self, hash: &str, agent: &str, now: Timestamp, until: Timestamp) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM session WHERE expires_at <= ?1")?.execute([now.0])?;
        self.sql
            .prepare_cached("INSERT INTO session VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![hash, now.0, until.0, agent])
            .map(drop)
    }

    pub fn has_session(&self, hash: &str, now: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM session WHERE hash = ?1 AND expires_at > ?2")?
            .exists(params![hash, now.0])
    }

    pub fn close_session(&self, hash: &str) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM session WHERE hash = ?1")?.execute([hash]).map(drop)
    }

    pub fn add_token(&self, name: &str, scopes: &[&str], hash: &str, now: Timestamp) -> Result<i64> {
        let scopes = serde_json::to_string(scopes).unwrap_or_default();
        self.sql
            .prepare_cached("INSERT INTO token (name, scopes, hash, created_at) VALUES (?1, ?2, ?3, ?4)")?
            .insert(params![name, scopes, hash, now.0])
    }

    /// The token's name and scopes, if it is still good.
    pub fn find_token(&self, hash: &str, now: Timestamp) -> Result<Option<(String, Vec<String>)>> {
        let found: Option<(i64, String, String, Option<i64>)> = self
            .sql
            .prepare_cached(
                "SELECT id, name, scopes, used_at FROM token WHERE hash = ?1 AND revoked_at IS NULL",
            )?
            .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let Some((id, name, scopes, used)) = found else { return Ok(None) };
        if used.is_none_or(|used| Timestamp(used) + USED_EVERY < now) {
            self.sql.prepare_cached("UPDATE token SET used_at = ?2 WHERE id = ?1")?.execute([id, now.0])?;
        }
        Ok(Some((name, serde_json::from_str(&scopes).unwrap_or_default())))
    }

    pub fn tokens(&self) -> Result<Vec<Value>> {
        self.rows(
            "SELECT id, name, scopes AS \"scopes:json\", created_at, used_at, revoked_at FROM token
             ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 200",
            &[],
        )
    }

    /// `false` when there is none, or it was revoked before.
    pub fn revoke_token(&self, id: i64, now: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached("UPDATE token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
            .execute([id, now.0])
            .map(|changed| changed > 0)
    }

    pub fn record_change(&self, entry: &Change, now: Timestamp) -> Result<()> {
        let id = self
            .sql
            .prepare_cached(
                "INSERT INTO change (at, who, address, deed, subject, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![now.0, entry.who, entry.address, entry.deed, entry.subject, entry.outcome])?;
        self.sql.prepare_cached("DELETE FROM change WHERE id <= ?1")?.execute([id - CHANGES_MAX]).map(drop)
    }

    /// Unless it is what was recorded last, within this time: a sender that repeats itself must not push out the rest.
    pub fn record_change_once(&self, entry: &Change, within: Duration, now: Timestamp) -> Result<()> {
        let same = self
            .sql
            .prepare_cached(
                "SELECT 1 FROM change WHERE id = (SELECT max(id) FROM change) AND at > ?1 AND who = ?2 AND deed = ?3
                 AND subject = ?4 AND outcome = ?5",
            )?
            .exists(params![(now - within).0, entry.who, entry.deed, entry.subject, entry.outcome])?;
        if same { Ok(()) } else { self.record_change(entry, now) }
    }

    /// Newest first, those before `before`.
    pub fn changes(&self, before: Option<i64>, limit: u32) -> Result<Vec<Value>> {
        self.rows(
            "SELECT id, at, who, address, deed, subject, outcome FROM change WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
            &[&before.unwrap_or(i64::MAX), &limit],
        )
    }

    pub fn posted(&self, key: &str, digest: &str) -> Result<Posted> {
        let known: Option<String> = self
            .sql
            .prepare_cached("SELECT digest FROM posted WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        Ok(match known {
            None => Posted::New,
            Some(known) if known == digest => Posted::Before,
            Some(_) => Posted::Different,
        })
    }

    pub fn keep_posted(&self, key: &str, digest: &str, now: Timestamp) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM posted WHERE at < ?1")?.execute([(now - POSTED_KEPT).0])?;
        self.sql
            .prepare_cached("INSERT OR IGNORE INTO posted VALUES (?1, ?2, ?3)")?
            .execute(params![key, now.0, digest])
            .map(drop)
    }

    /// A number that grows with every row that this process writes.
    pub fn writes(&self) -> Result<i64> {
        Ok(i64::try_from(self.sql.total_changes()).unwrap_or(i64::MAX))
    }
}
