//! Messages that may not leave because they would cost too much, or reach too many people in a day.

use std::time::Duration;

use rusqlite::{Result, params};

use super::Store;
use crate::ids::ConnectionName;
use crate::outbox::budget::{Budget, BudgetState, standing};
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::{HeldFor, Next};
use crate::time::Timestamp;

/// Meta's limit is of a moving day (docs/cloud-api.md 5.3).
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// While there is room for some, the others ask again after this time.
const NEXT_LOOK: Duration = Duration::from_secs(5);

/// People to whom templates went within a day: those are who the business wrote to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyReach {
    pub people: u32,
    /// When the first of them no longer counts.
    pub frees_at: Timestamp,
}

impl Store {
    /// Messages of this month (UTC) that Meta charges for. What it took and has not priced yet is counted too: a webhook
    /// that does not work must not make everything look free.
    pub fn spent(&self, connection: &ConnectionName, now: Timestamp) -> Result<u32> {
        let priced: u32 = self
            .sql
            .prepare_cached(
                "SELECT coalesce(sum(count), 0) FROM usage WHERE connection = ?1 AND month = ?2 AND kind = 'regular'",
            )?
            .query_row(params![connection.0, now.month()], |row| row.get(0))?;
        let unpriced: u32 = self
            .sql
            .prepare_cached(
                "SELECT count(*) FROM sent s JOIN message m ON m.id = s.message
                 WHERE s.counted = 0 AND m.connection = ?1 AND m.changed_at >= ?2
                   AND m.state IN ('accepted', 'sent', 'delivered', 'read', 'played')",
            )?
            .query_row(params![connection.0, now.month_began().0], |row| row.get(0))?;
        Ok(priced.saturating_add(unpriced))
    }

    /// Holds what the month's budget has no room for, and lets it go when there is room again. Up to as many as are under
    /// way at once may be more.
    pub fn ration(&self, connection: &ConnectionName, budget: &Budget, now: Timestamp) -> Result<()> {
        if standing(self.spent(connection, now)?, budget.messages) != BudgetState::Spent {
            let held = "state = 'held' AND held_for = 'budget' AND connection = ?1";
            let next = Next::to(State::Queued, "the budget has room again; waiting for its turn");
            return self.advance_all(held, &[&connection.0], &next, now).map(drop);
        }
        let month = now.month();
        let free = self.free()?.into_iter().find(|row| row.connection == connection.0 && row.month == month);
        let words_are_free = free.is_none_or(|row| row.left > 0);
        let reason = format!(
            "this month's budget of {} messages is used up; `bellwire outbox retry` sends it all the same, and it goes out \
             by itself when `budget` is raised or the month ends",
            budget.messages
        );
        let next = Next { held_for: Some(HeldFor::Budget), ..Next::to(State::Held, reason) };
        let costly = "state = 'queued' AND connection = ?1 AND severity < ?2 AND unbudgeted = 0
            AND NOT (?3 AND contact IN (SELECT contact FROM window WHERE connection = ?1 AND until > ?4))";
        let values = params![connection.0, budget.exceeded_from.rank(), words_are_free, now.0];
        self.advance_all(costly, values, &next, now).map(drop)
    }

    pub fn reach(&self, now: Timestamp) -> Result<DailyReach> {
        self.sql
            .prepare_cached(
                "SELECT count(*), min(last) FROM (
                     SELECT max(a.started_at) AS last FROM attempt a JOIN message m ON m.id = a.message
                     WHERE a.form != 'free' AND a.started_at > ?1 AND (a.ended_at IS NULL OR a.http_status = 200)
                     GROUP BY m.contact)",
            )?
            .query_row([(now - DAY).0], |row| {
                let first = row.get::<_, Option<i64>>(1)?.map_or(now, Timestamp);
                Ok(DailyReach { people: row.get(0)?, frees_at: first + DAY })
            })
    }

    /// Puts off what would be written to more people in a day than Meta allows: the most severe go first.
    pub fn keep_within_reach(&self, limit: u32, now: Timestamp) -> Result<()> {
        let reach = self.reach(now)?;
        let room = limit.saturating_sub(reach.people);
        let (until, why) = match room {
            0 => (
                reach.frees_at,
                format!("{} were written to, and it goes out when one no longer counts", reach.people),
            ),
            _ => (now + NEXT_LOOK, "it waits for its turn".to_owned()),
        };
        let reason = format!("Meta lets this business write to {limit} people a day first: {why}");
        self.sql
            .prepare_cached(
                "UPDATE message SET not_before = ?3, reason = ?4
                 WHERE state = 'queued' AND digest IS NULL AND not_before <= ?2 AND contact IN (
                     SELECT q.contact FROM message q WHERE q.state = 'queued' AND q.digest IS NULL AND q.not_before <= ?2
                       AND NOT EXISTS (SELECT 1 FROM window w
                           WHERE w.contact = q.contact AND w.connection = q.connection AND w.until > ?2)
                       AND q.contact NOT IN (
                           SELECT m.contact FROM attempt a JOIN message m ON m.id = a.message
                           WHERE a.form != 'free' AND a.started_at > ?1 AND (a.ended_at IS NULL OR a.http_status = 200))
                     GROUP BY q.contact ORDER BY max(q.severity) DESC, min(q.id) LIMIT -1 OFFSET ?5)",
            )?
            .execute(params![(now - DAY).0, now.0, until.0, reason, room])
            .map(drop)
    }
}
