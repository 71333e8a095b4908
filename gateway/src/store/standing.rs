//! How people behave, counted from the rows of their replies; and strangers.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::command::authorise::{ACTS_IN, REFUSALS_IN, Standing};
use crate::ids::ContactId;
use crate::time::Timestamp;

/// A stranger hears from us once in this time.
const ANSWERED_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// Strangers who are answered in that time, all together: answers cost money, and numbers cost a spammer little.
const ANSWERED_MAX: i64 = 20;

impl Store {
    /// Counted by when the replies were taken, not by when they say that they were written.
    pub fn standing(&self, contact: &ContactId, now: Timestamp) -> Result<Standing> {
        let (minute, quarter) = ((now - ACTS_IN).0, (now - REFUSALS_IN).0);
        self.sql
            .prepare_cached(
                "SELECT count(*) FILTER (WHERE i.received_at > ?2 AND r.outcome IN
                            ('command', 'confirm', 'vote', 'acknowledge', 'alert', 'status', 'say', 'invite', 'refused')),
                        count(*) FILTER (WHERE i.received_at > ?2 AND r.outcome = 'hurried'),
                        count(*) FILTER (WHERE r.outcome = 'refused')
                 FROM reply r JOIN inbox i ON i.id = r.inbox WHERE r.contact = ?1 AND i.received_at > ?3",
            )?
            .query_row(params![contact.0, minute, quarter], |row| {
                Ok(Standing { acts: row.get(0)?, hurried: row.get(1)?, refusals: row.get(2)? })
            })
    }

    /// A stranger wrote. `true`: they are answered, and the owner is told of them.
    pub fn meet_stranger(&self, address: &str, now: Timestamp) -> Result<bool> {
        let since = (now - ANSWERED_EVERY).0;
        let before: Option<i64> = self
            .sql
            .prepare_cached("SELECT answered_at FROM stranger WHERE address = ?1")?
            .query_row([address], |row| row.get(0))
            .optional()?;
        let answered: i64 = self
            .sql
            .prepare_cached("SELECT count(*) FROM stranger WHERE answered_at > ?1")?
            .query_row([since], |row| row.get(0))?;
        let answer = before.is_none_or(|at| at <= since) && answered < ANSWERED_MAX;
        self.sql
            .prepare_cached(
                "INSERT INTO stranger VALUES (?1, ?2, ?2, 1, ?3) ON CONFLICT DO UPDATE
                 SET last_at = ?2, messages = messages + 1, answered_at = max(answered_at, ?3)",
            )?
            .execute(params![address, now.0, if answer { now.0 } else { 0 }])?;
        Ok(answer)
    }
}
