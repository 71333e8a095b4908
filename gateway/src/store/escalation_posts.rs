//! Last resorts over HTTP: what is to be posted, and what came of it.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::alert::lifecycle::AlertKey;
use crate::ids::RuleName;
use crate::rule::attachment::without_secrets;
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub struct EscalationPost {
    pub id: i64,
    pub alert: AlertKey,
    pub url: String,
    pub body: String,
    pub attempts: u32,
}

impl Store {
    pub(super) fn insert_post(&self, alert: &AlertKey, url: &str, body: &str, at: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO post (rule, key, url, body, created_at, not_before, state) VALUES (?1, ?2, ?3, ?4, ?5, ?5, 'queued')",
            )?
            .execute(params![alert.rule.0, alert.key, url, body, at.0])
            .map(drop)
    }

    /// The next one that may go out now. A clock that was set back does not hold it: then it is due at once.
    pub fn next_post(&self, now: Timestamp) -> Result<Option<EscalationPost>> {
        self.sql
            .prepare_cached(
                "SELECT id, rule, key, url, body, attempts FROM post
                 WHERE state = 'queued' AND (not_before <= ?1 OR created_at > ?1) ORDER BY not_before LIMIT 1",
            )?
            .query_row([now.0], read)
            .optional()
    }

    /// Those that have no end yet.
    pub(super) fn queued_posts(&self) -> Result<Vec<EscalationPost>> {
        self.sql
            .prepare("SELECT id, rule, key, url, body, attempts FROM post WHERE state = 'queued'")?
            .query_map([], read)?
            .collect()
    }

    /// `again`: when it is tried once more; without it this is its end.
    pub fn settle_post(
        &self,
        post: &EscalationPost,
        done: bool,
        reason: &str,
        again: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        let state = match (done, again) {
            (true, _) => "done",
            (false, Some(_)) => "queued",
            (false, None) => "failed",
        };
        self.record_alert(&post.alert, "post", &format!("{}: {reason}", without_secrets(&post.url)), now)?;
        self.sql
            .prepare_cached(
                "UPDATE post SET state = ?2, reason = ?3, attempts = attempts + 1, not_before = ?4 WHERE id = ?1",
            )?
            .execute(params![post.id, state, reason, again.unwrap_or(now).0])
            .map(drop)
    }
}

fn read(row: &Row) -> Result<EscalationPost> {
    Ok(EscalationPost {
        id: row.get(0)?,
        alert: AlertKey { rule: RuleName(row.get(1)?), key: row.get(2)? },
        url: row.get(3)?,
        body: row.get(4)?,
        attempts: row.get(5)?,
    })
}
