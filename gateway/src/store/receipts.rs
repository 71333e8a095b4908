//! WhatsApp's reports about a message: receipts in any order, any number of times, and failures that belong to one
//! copy.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::ids::{ConnectionName, ContactId, MessageId, Wamid};
use crate::outbox::message_state::{State, may_move};
use crate::outbox::retry_policy::{self, HeldFor, Next, Refusal};
use crate::outbox::row::Conversation;
use crate::random::Rng;
use crate::reply::inbound::Status;
use crate::time::Timestamp;

/// Messages whose answer is awaited: as many as may be under way, 16.
pub(super) type UnderWay = Arc<Mutex<BTreeSet<MessageId>>>;

impl Store {
    pub(super) fn a_copy_failed(&self, id: MessageId) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM receipt WHERE message = ?1 AND status = 'failed'")?
            .exists([id.0])
    }

    /// Its answer is awaited, or no longer: known to this process alone, since no later one will hear it.
    pub(super) fn set_under_way(&self, id: MessageId, is: bool) {
        fn set(all: &UnderWay, id: MessageId, is: bool) -> bool {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            if is { all.insert(id) } else { all.remove(&id) }
        }
        if set(&self.under_way, id, is) {
            let all = Arc::clone(&self.under_way);
            self.on_rollback(move || {
                set(&all, id, !is);
            });
        }
    }

    fn awaits_its_answer(&self, id: MessageId) -> bool {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// Failures that were told before an answer which an earlier process waited for: which, of what, when.
    pub(super) fn told_before_the_answer(&self) -> Result<Vec<(MessageId, Refusal, Timestamp)>> {
        let read = |row: &Row| {
            let refusal = serde_json::from_str(&row.get::<_, String>(1)?).ok();
            Ok(refusal.map(|refusal| (row.get(0).map(MessageId), refusal, row.get(2).map(Timestamp))))
        };
        let mut found = self.sql.prepare_cached(
            "SELECT r.message, r.refusal, r.at FROM receipt r INDEXED BY receipt_failed
             JOIN message m ON m.id = r.message JOIN attempt a ON a.message = m.id AND a.number = m.attempts
             WHERE r.status = 'failed' AND r.refusal IS NOT NULL AND a.ended_at IS NULL AND a.outcome IS NULL",
        )?;
        let found: Vec<_> = found.query_map([], read)?.collect::<Result<_>>()?;
        found.into_iter().flatten().map(|(id, refusal, at)| Ok((id?, refusal, at?))).collect()
    }

    /// Another copy is about to leave: what failed so far were earlier ones, and is not taken for a failure of this one
    /// when nobody hears its answer.
    pub(super) fn forget_refusals(&self, id: MessageId) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE receipt SET refusal = NULL WHERE message = ?1 AND refusal IS NOT NULL")?
            .execute([id.0])
            .map(drop)
    }

    pub(super) fn failure_of(&self, wamid: &Wamid) -> Result<Option<Refusal>> {
        let told: Option<Option<String>> = self
            .sql
            .prepare_cached("SELECT refusal FROM receipt WHERE wamid = ?1 AND status = 'failed'")?
            .query_row([&wamid.0], |row| row.get(0))
            .optional()?;
        Ok(told.flatten().and_then(|refusal| serde_json::from_str(&refusal).ok()))
    }

    /// A copy failed that went over the number that its message still has.
    pub(super) fn fail(
        &self,
        id: MessageId,
        refusal: &Refusal,
        at: Timestamp,
        now: Timestamp,
        dice: &mut Rng,
    ) -> Result<()> {
        let over = self.conversation_of(id)?.map(|lane| lane.connection);
        self.fail_over(id, over.as_ref(), refusal, at, now, dice)
    }

    /// A failed copy, judged. What it tells of the window, a template or a file is learned in any case, of the number over
    /// which it went; the message itself stays where it is when an operator decided that, or when another copy is on its way
    /// or there.
    fn fail_over(
        &self,
        id: MessageId,
        over: Option<&ConnectionName>,
        refusal: &Refusal,
        at: Timestamp,
        now: Timestamp,
        dice: &mut Rng,
    ) -> Result<()> {
        let (Some(from), Some((lane, case))) = (self.state(id)?, self.case(id)?) else { return Ok(()) };
        let next = retry_policy::after_status(State::Failed, Some(refusal), &case, now, dice);
        if let Some(over) = over {
            let of_copy = Conversation { connection: over.clone(), ..lane.clone() };
            self.learn(&of_copy, id, &next, now, Some(at))?;
        }
        let next = if over == Some(&lane.connection) { next } else { next.over_another(&lane.connection) };
        let next = match self.was_stopped(id)? {
            true => Next {
                held_for: Some(HeldFor::Operator),
                ..Next::to(
                    State::Held,
                    format!(
                        "it was stopped before, and the copy that was on its way failed: {}",
                        retry_policy::sentence(refusal)
                    ),
                )
            },
            false => next,
        };
        if !may_move(from, State::Failed) || self.is_held_by_hand(id)? || self.a_copy_lives(id)? {
            return Ok(());
        }
        self.advance(id, &next, at)?;
        self.sql
            .prepare_cached(
                "UPDATE message SET code = ?2, fbtrace_id = coalesce(?3, fbtrace_id) WHERE id = ?1",
            )?
            .execute(params![id.0, refusal.code, refusal.fbtrace_id])
            .map(drop)
    }

    fn is_held_by_hand(&self, id: MessageId) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM message WHERE id = ?1 AND state = 'held' AND held_for = 'operator'",
            )?
            .exists([id.0])
    }

    /// Applies one status of a copy that went over this number (`None`: over one that is gone), and says of which message of
    /// ours it speaks.
    pub fn receive(
        &self,
        status: &Status,
        over: Option<&ConnectionName>,
        now: Timestamp,
        dice: &mut Rng,
    ) -> Result<Option<MessageId>> {
        let Some(id) = self.find(status)? else { return Ok(None) };
        self.remember(&status.wamid, id)?;
        for alias in &status.recipients {
            self.learn_alias(id, alias, status.at)?;
        }
        let reason = status.refusal.as_ref().map(retry_policy::sentence);
        let refusal = status.refusal.as_ref().and_then(|refusal| serde_json::to_string(refusal).ok());
        let new = self
            .sql
            .prepare_cached("INSERT OR IGNORE INTO receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![status.wamid.0, status.word, id.0, status.at.0, reason, refusal])?;
        if let Some(pricing) = &status.pricing {
            self.count(&status.wamid, pricing, status.at)?;
        }
        let (Some(to), 1) = (status.state, new) else { return Ok(Some(id)) };
        let Some(from) = self.state(id)? else { return Ok(Some(id)) };
        if to == State::Failed {
            match &status.refusal {
                // Which copy failed is known with the answer of the one that is under way.
                Some(_) if self.awaits_its_answer(id) => {}
                Some(refusal) => self.fail_over(id, over, refusal, status.at, now, dice)?,
                None if may_move(from, to) && !self.a_copy_lives(id)? => self.report(id, to, status.at)?,
                None => {}
            }
        } else if may_move(from, to) && !(to == State::Sent && self.has_failed(&status.wamid)?) {
            self.report(id, to, status.at)?; // `sent` of a copy that has failed since is old news, whenever it comes
        }
        Ok(Some(id))
    }

    /// What somebody had stopped is still stopped when the copy that was on its way then fails.
    fn report(&self, id: MessageId, to: State, at: Timestamp) -> Result<()> {
        let held_for = (to == State::Sent && self.was_stopped(id)?).then_some(HeldFor::Operator);
        let next = Next::to(to, format!("WhatsApp reports: {}", to.as_str()));
        self.advance(id, &Next { held_for, ..next }, at)
    }

    fn was_stopped(&self, id: MessageId) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM message WHERE id = ?1
                 AND (state = 'cancelled' OR (state IN ('held', 'sent') AND held_for = 'operator'))",
            )?
            .exists([id.0])
    }

    /// Whether a copy of it was sent, and is not known to have failed.
    fn a_copy_lives(&self, id: MessageId) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM receipt r WHERE r.message = ?1 AND r.status IN ('sent', 'delivered', 'read', 'played')
                 AND NOT EXISTS (SELECT 1 FROM receipt f WHERE f.wamid = r.wamid AND f.status = 'failed')",
            )?
            .exists([id.0])
    }

    fn has_failed(&self, wamid: &Wamid) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM receipt WHERE wamid = ?1 AND status = 'failed'")?
            .exists([&wamid.0])
    }

    /// To whom the message went that a failure is about; `None` when it was told before.
    pub fn failed_to(&self, status: &Status) -> Result<Option<ContactId>> {
        let Some(id) = self.find(status)?.filter(|_| status.state == Some(State::Failed)) else {
            return Ok(None);
        };
        if self.has_failed(&status.wamid)? {
            return Ok(None);
        }
        Ok(self.conversation_of(id)?.map(|lane| lane.contact))
    }

    /// The connection over which the message that a status is about leaves.
    pub fn sent_over(&self, status: &Status) -> Result<Option<ConnectionName>> {
        let Some(id) = self.find(status)? else { return Ok(None) };
        Ok(self.conversation_of(id)?.map(|lane| lane.connection))
    }

    fn find(&self, status: &Status) -> Result<Option<MessageId>> {
        let by_callback = status.callback.as_deref().and_then(|data| self.tag.read_callback(data));
        let found = match by_callback {
            Some(id) => self.state(id)?.map(|_| id),
            None => self.message_of(&status.wamid)?,
        };
        let (Some(id), Some(group)) = (found, &status.group) else { return Ok(found) };
        let sql = "SELECT 1 FROM message WHERE id = ?1 AND address = ?2";
        Ok(self.sql.prepare_cached(sql)?.exists(params![id.0, group])?.then_some(id))
    }
}

#[cfg(test)]
mod tests;
