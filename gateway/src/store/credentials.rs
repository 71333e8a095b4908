//! Passwords, sessions, tokens and the audit of the page and the API. What opens a door is here only as a hash.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::store::views::json::{Rows, row};
use crate::time::Timestamp;

/// How long the answer to an idempotency key is remembered: a client that tries longer has a new event.
const POSTED_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Rows of the audit that are kept; at ten changes a day that is 27 years.
const CHANGES_MAX: i64 = 100_000;
/// The last use of a token or a session is written at most this often.
const USED_EVERY: Duration = Duration::from_secs(3_600);

/// Of a session's hash, what names it where sessions are listed: too few of its bits to be any help.
const NAMED_BY: u32 = 12;

/// A token, with what it is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub name: String,
    pub scopes: Vec<String>,
    /// A pattern, for events.
    pub topic: Option<String>,
    pub expires_at: Option<Timestamp>,
}

/// A change, and who made it.
#[derive(Debug, Clone)]
pub struct AdminChange {
    pub who: String,
    pub address: String,
    pub action: &'static str,
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

row! {
    /// Made on the page or through this API.
    Change {
        id: i64,
        at: Timestamp,
        /// `page`, or `token NAME`.
        who: String,
        /// Where the request came from.
        address: String,
        action: String = "deed",
        subject: String,
        /// `done`, or the sentence why not.
        outcome: String,
    }
}

row! {
    /// Of a program.
    Token {
        id: i64,
        name: String,
        /// read, act, events, manage, configure
        scopes: Vec<String> = "scopes" ":json",
        /// Events are taken on these topics alone: a pattern, as rules have them.
        topic: Option<String>,
        created_at: Timestamp,
        /// To the hour.
        used_at: Option<Timestamp>,
        /// null: never.
        expires_at: Option<Timestamp>,
        revoked_at: Option<Timestamp>,
    }
}

row! {
    /// A browser that is logged in.
    Session {
        id: String = "substr(hash, 1, ?1)",
        created_at: Timestamp,
        expires_at: Timestamp,
        /// To the hour.
        used_at: Option<Timestamp>,
        /// What the browser calls itself.
        agent: String,
        /// Where it logged in from.
        address: String,
    }
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

    /// Of a browser that calls itself so, at that address.
    pub fn open_session(
        &self,
        hash: &str,
        (agent, address): (&str, &str),
        now: Timestamp,
        until: Timestamp,
    ) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM session WHERE expires_at <= ?1")?.execute([now.0])?;
        self.sql
            .prepare_cached(
                "INSERT INTO session (hash, created_at, expires_at, agent, address, used_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?2)",
            )?
            .execute(params![hash, now.0, until.0, agent, address])
            .map(drop)
    }

    pub fn has_session(&self, hash: &str, now: Timestamp) -> Result<bool> {
        let used: Option<Option<i64>> = self
            .sql
            .prepare_cached("SELECT used_at FROM session WHERE hash = ?1 AND expires_at > ?2")?
            .query_row(params![hash, now.0], |row| row.get(0))
            .optional()?;
        if used.is_some_and(|used| is_long_ago(used, now)) {
            let sql = "UPDATE session SET used_at = ?2 WHERE hash = ?1";
            self.sql.prepare_cached(sql)?.execute(params![hash, now.0])?;
        }
        Ok(used.is_some())
    }

    /// Browsers that are logged in, the newest first.
    pub fn sessions(&self, now: Timestamp) -> Result<Rows<Session>> {
        let from = "FROM session WHERE expires_at > ?2 ORDER BY created_at DESC LIMIT 200";
        self.all(from, &[&NAMED_BY, &now.0])
    }

    /// The hash of a secret that opens the page once, without the password.
    pub fn set_login_link(&self, hash: &str) -> Result<()> {
        self.sql.execute("INSERT OR REPLACE INTO meta VALUES ('login_link', ?1)", [hash]).map(drop)
    }

    /// Whether it was that one; it is none any more.
    pub fn use_login_link(&self, hash: &str) -> Result<bool> {
        let sql = "DELETE FROM meta WHERE key = 'login_link' AND value = ?1";
        self.sql.execute(sql, [hash]).map(|used| used == 1)
    }

    /// By the name that the list gives it; `false` when there is none.
    pub fn end_session(&self, id: &str) -> Result<bool> {
        let sql = "DELETE FROM session WHERE substr(hash, 1, ?1) = ?2";
        self.sql.prepare_cached(sql)?.execute(params![NAMED_BY, id]).map(|ended| ended > 0)
    }

    /// Ends all sessions, and counts them.
    pub fn end_sessions(&self) -> Result<usize> {
        self.sql.prepare_cached("DELETE FROM session")?.execute([])
    }

    pub fn close_session(&self, hash: &str) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM session WHERE hash = ?1")?.execute([hash]).map(drop)
    }

    pub fn add_token(&self, token: &TokenRow, hash: &str, now: Timestamp) -> Result<i64> {
        let TokenRow { name, scopes, topic, expires_at } = token;
        let scopes = serde_json::to_string(scopes).unwrap_or_default();
        self.sql
            .prepare_cached(
                "INSERT INTO token (name, scopes, topic, expires_at, hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![name, scopes, topic, expires_at.map(|at| at.0), hash, now.0])
    }

    /// A token that was not revoked; its end may be over.
    pub fn find_token(&self, hash: &str, now: Timestamp) -> Result<Option<TokenRow>> {
        let read = |row: &rusqlite::Row| {
            let scopes: String = row.get("scopes")?;
            let token = TokenRow {
                name: row.get("name")?,
                scopes: serde_json::from_str(&scopes).unwrap_or_default(),
                topic: row.get("topic")?,
                expires_at: row.get::<_, Option<i64>>("expires_at")?.map(Timestamp),
            };
            Ok((row.get::<_, i64>("id")?, row.get::<_, Option<i64>>("used_at")?, token))
        };
        let found = self
            .sql
            .prepare_cached(
                "SELECT id, name, scopes, topic, expires_at, used_at FROM token WHERE hash = ?1 AND revoked_at IS NULL",
            )?
            .query_row([hash], read)
            .optional()?;
        let Some((id, used, token)) = found else { return Ok(None) };
        if token.expires_at.is_none_or(|end| end > now) && is_long_ago(used, now) {
            self.sql.prepare_cached("UPDATE token SET used_at = ?2 WHERE id = ?1")?.execute([id, now.0])?;
        }
        Ok(Some(token))
    }

    pub fn tokens(&self) -> Result<Rows<Token>> {
        self.all("FROM token ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 200", &[])
    }

    /// `false` when there is none, or it was revoked before.
    pub fn revoke_token(&self, id: i64, now: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached("UPDATE token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
            .execute([id, now.0])
            .map(|changed| changed > 0)
    }

    pub fn record_change(&self, entry: &AdminChange, now: Timestamp) -> Result<()> {
        let id = self
            .sql
            .prepare_cached(
                "INSERT INTO change (at, who, address, deed, subject, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![now.0, entry.who, entry.address, entry.action, entry.subject, entry.outcome])?;
        self.sql.prepare_cached("DELETE FROM change WHERE id <= ?1")?.execute([id - CHANGES_MAX]).map(drop)
    }

    /// Unless it is what was recorded last, within this time: a sender that repeats itself must not push out the rest.
    pub fn record_change_once(&self, entry: &AdminChange, within: Duration, now: Timestamp) -> Result<()> {
        let same = self
            .sql
            .prepare_cached(
                "SELECT 1 FROM change WHERE id = (SELECT max(id) FROM change) AND at > ?1 AND who = ?2 AND deed = ?3
                 AND subject = ?4 AND outcome = ?5",
            )?
            .exists(params![(now - within).0, entry.who, entry.action, entry.subject, entry.outcome])?;
        if same { Ok(()) } else { self.record_change(entry, now) }
    }

    /// Newest first, those before `before`.
    pub fn changes(&self, before: Option<i64>, limit: u32) -> Result<Rows<Change>> {
        let from = "FROM change WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        self.all(from, &[&before.unwrap_or(i64::MAX), &limit])
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

fn is_long_ago(used: Option<i64>, now: Timestamp) -> bool {
    used.is_none_or(|used| Timestamp(used) + USED_EVERY < now)
}
