//! Limits against abuse: acts and refusals, counted from the rows of replies; and strangers.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::command::authorise::{ACTS_IN, REFUSALS_IN, RecentAbuse};
use crate::ids::ContactId;
use crate::time::Timestamp;

/// A stranger hears from us once in this time.
const ANSWERED_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// Strangers who are answered in that time, all together: answers cost money, and numbers cost a spammer little.
const ANSWERED_MAX: i64 = 20;

impl Store {
    /// Counted by when the replies were taken, not by when they say that they were written.
    pub fn standing(&self, contact: &ContactId, now: Timestamp) -> Result<RecentAbuse> {
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
                Ok(RecentAbuse { acts: row.get(0)?, hurried: row.get(1)?, refusals: row.get(2)? })
            })
    }

    /// Whether a stranger who writes is answered.
    pub(super) fn answers_stranger(&self, address: &str, now: Timestamp) -> Result<bool> {
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
        Ok(before.is_none_or(|at| at <= since) && answered < ANSWERED_MAX)
    }

    /// A stranger wrote.
    pub(super) fn meet_stranger(&self, address: &str, is_answered: bool, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO stranger VALUES (?1, ?2, ?2, 1, ?3) ON CONFLICT DO UPDATE
                 SET last_at = ?2, messages = messages + 1, answered_at = max(answered_at, ?3)",
            )?
            .execute(params![address, now.0, if is_answered { now.0 } else { 0 }])
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_240_800_000);

    /// Acts of the last minute, and refusals of the last quarter of an hour: a word, how long ago it came, and what it
    /// counts as: acts, hurried, refusals.
    #[test]
    fn recent_acts_and_refusals_are_counted() {
        let (second, minute, quarter) = (1_000, 60_000, 900_000);
        for (word, ago_ms, counts) in [
            ("command", second, (1, 0, 0)),
            ("say", minute - 1, (1, 0, 0)),
            ("command", minute, (0, 0, 0)),
            ("hurried", minute - 1, (0, 1, 0)),
            ("hurried", minute, (0, 0, 0)),
            ("refused", minute - 1, (1, 0, 1)),
            ("refused", minute, (0, 0, 1)),
            ("refused", quarter - 1, (0, 0, 1)),
            ("refused", quarter, (0, 0, 0)),
            ("nothing", second, (0, 0, 0)),
        ] {
            let (_folder, store) = Store::in_new_folder();
            let inbox = store.keep_webhook(b"body", Timestamp(NOW.0 - ago_ms)).expect("kept");
            let insert = "INSERT INTO reply VALUES ('wamid.1', ?1, 0, 'nino', 'text', 'x', ?2, NULL)";
            store.sql.execute(insert, params![inbox.0, word]).expect("written");
            let (acts, hurried, refusals) = counts;
            let standing = |contact: &str| store.standing(&contact.into(), NOW).expect("read");
            assert_eq!(standing("nino"), RecentAbuse { acts, hurried, refusals }, "{word} {ago_ms}");
            assert_eq!(standing("dato"), RecentAbuse::default());
        }
    }
}
