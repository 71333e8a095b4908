//! Decisions of the clock alone about messages, and the times that a wrong clock has written.

use rusqlite::Result;

use super::Store;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::{self, Next};
use crate::time::Timestamp;

/// Rows that one look at the clock may change, so that a clock that jumps does not stall the store for a minute.
const TEND_MAX: i64 = 500;

/// Unknown ones whose grace time is over. Over the index of states: in that of times stands all that was tried and waits
/// again, after a long outage a million of them.
pub(super) const OVER: &str = "SELECT id, tries, on_unknown FROM message INDEXED BY message_waiting
     WHERE state = 'unknown' AND digest IS NULL AND not_before <= ?2 LIMIT ?1";

impl Store {
    /// Ends what the clock alone decides: messages that are too old, and unknown ones whose grace time is over.
    pub fn tend(&self, now: Timestamp) -> Result<()> {
        self.set_clock(now)?;
        for (id, _, on_unknown) in self.select_ids(OVER, [TEND_MAX, now.0])? {
            self.advance(id, &retry_policy::after_grace(on_unknown, now), now)?;
            self.set(id, "possible_duplicate = 1", &[])?;
        }
        if now.is_sane() {
            let reason = "it could not leave before it was too old to be worth sending; `bellwire outbox retry` sends it all the same";
            let old = "SELECT id, tries, on_unknown FROM message INDEXED BY message_waiting WHERE state = 'queued' AND digest IS NULL AND expires_at <= ?2 LIMIT ?1";
            for (id, _, _) in self.select_ids(old, [TEND_MAX, now.0])? {
                self.advance(id, &Next::to(State::Expired, reason), now)?;
            }
        }
        Ok(())
    }

    /// A Pi without a clock of its own starts in 1970 (docs/reliability.md F17). What was accepted then is as old as it was when
    /// the clock was last wrong: its times move by as much as the clock did, once.
    pub(super) fn set_clock(&self, now: Timestamp) -> Result<()> {
        let sane = Timestamp::EARLIEST_SANE.0;
        let waits = "SELECT 1 FROM message INDEXED BY message_waiting WHERE state = 'queued' AND digest IS NULL AND expires_at < ?1
             UNION ALL SELECT 1 FROM message INDEXED BY message_wait WHERE (state = 'unknown' OR (state = 'queued' AND not_before > 0)) AND digest IS NULL
                 AND not_before > 0 AND not_before < ?1 AND expires_at < ?1
             UNION ALL SELECT 1 FROM message INDEXED BY message_waiting WHERE state = 'sending' AND digest IS NULL AND expires_at < ?1";
        if !now.is_sane() || !self.sql.prepare_cached(waits)?.exists([sane])? {
            return Ok(());
        }
        let newest: i64 = self.sql.query_row(
            "SELECT max(max(created_at, changed_at)) FROM message WHERE created_at < ?1 AND changed_at < ?1",
            [sane],
            |row| Ok(row.get::<_, Option<i64>>(0)?.unwrap_or(0)),
        )?;
        self.sql
            .prepare_cached(
                // What an operator decided under a clock that was right has its times from that clock.
                "UPDATE message SET created_at = created_at + ?2,
                     expires_at = expires_at + iif(expires_at < ?1, ?2, 0),
                     not_before = not_before + iif(not_before BETWEEN 1 AND ?1 - 1, ?2, 0) WHERE created_at < ?1",
            )?
            .execute([sane, now.0 - newest])
            .map(drop)
    }

    /// What has a state from later than now has it from a clock that was set back since, perhaps while nobody ran: it waits
    /// for as long as it was to wait, and not for as long as the clock went back too.
    pub(super) fn wait_by_this_clock(&self, now: Timestamp) -> Result<()> {
        if !now.is_sane() {
            return Ok(()); // nothing is known of any time
        }
        self.sql
            .prepare_cached(
                "UPDATE message INDEXED BY message_wait SET not_before = not_before - (changed_at - ?1), changed_at = ?1
                 WHERE (state = 'unknown' OR (state = 'queued' AND not_before > 0)) AND digest IS NULL AND not_before > ?1
                     AND changed_at > ?1",
            )?
            .execute([now.0])
            .map(drop)
    }
}
