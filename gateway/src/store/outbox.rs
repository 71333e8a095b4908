//! Messages on their way: what is due, attempts, outcomes, receipts.

use rusqlite::{OptionalExtension, Result, Row, ToSql, params};

use super::Store;
use crate::contact::Recipient;
use crate::contact::severity::Severity;
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId, Wamid};
use crate::outbox::message::Content;
use crate::outbox::message_state::{OnUnknown, State};
use crate::outbox::retry_policy::{self, FailureCount, HeldFor, Learned, MessageCase, Next};
use crate::outbox::row::{Conversation, MessageUpdate, SendResult};
use crate::outbox::window::MessageForm;
use crate::random::Rng;
use crate::store::consent::unwanted;
use crate::store::db::checksum;
use crate::time::Timestamp;

pub(super) struct NewMessage<'a> {
    pub connection: &'a ConnectionName,
    pub contact: &'a ContactId,
    pub to: &'a Recipient,
    pub alert: Option<AlertId>,
    pub severity: Severity,
    pub content: &'a Content,
    pub on_unknown: OnUnknown,
    /// Goes out though the person asked for no more messages.
    pub exempt: bool,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

impl Store {
    pub(super) fn insert_message(&self, message: &NewMessage) -> Result<MessageId> {
        let content = serde_json::to_string(message.content).unwrap_or_default();
        let address = message.to.address();
        let sum = checksum::of(&[address.as_bytes(), content.as_bytes()]);
        let mergeable = message.alert.is_some() && message.content.is_plain();
        self.sql
            .prepare_cached(
                "INSERT INTO message (connection, contact, address, alert, severity, content, on_unknown, created_at,
                                      expires_at, state, changed_at, reason, checksum, mergeable, files)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', ?8, 'waiting for its turn', ?10, ?11, ?12)",
            )?
            .insert(params![
                message.connection.0,
                message.contact.0,
                address,
                message.alert.map(|alert| alert.0),
                message.severity.rank(),
                content,
                message.on_unknown.as_str(),
                message.created_at.0,
                message.expires_at.0,
                sum,
                mergeable,
                message.content.needs_upload()
            ])
            .map(MessageId)
            .and_then(|id| self.hold_if_stopped(id, message))
            .and_then(|id| self.hold_if_told_before(id, message))
    }

    fn hold_if_stopped(&self, id: MessageId, message: &NewMessage) -> Result<MessageId> {
        if !message.exempt && self.has_stopped(message.contact)? {
            self.advance(id, &unwanted(), message.created_at)?;
        }
        Ok(id)
    }

    /// After a start: what was `sending` may have gone out or not (promise P3).
    pub fn recover(&self, now: Timestamp) -> Result<usize> {
        self.set_clock(now)?;
        self.wait_by_this_clock(now)?;
        let told = self.told_before_the_answer()?;
        let rows = self.select_ids(
            "SELECT id, tries, on_unknown FROM message INDEXED BY message_waiting WHERE state = 'sending' AND digest IS NULL LIMIT ?1",
            [1_000],
        )?;
        for (id, tries, on_unknown) in &rows {
            let next = retry_policy::unknown(
                "the gateway stopped while it was under way",
                tries + 1,
                *on_unknown,
                now,
            );
            self.advance(*id, &next, now)?;
            self.sql.prepare_cached("UPDATE message SET tries = tries + 1 WHERE id = ?1")?.execute([id.0])?;
            self.give_up_the_answer(*id)?;
        }
        for (id, refusal, at) in told {
            self.give_up_the_answer(id)?;
            self.fail(id, &refusal, at, now, &mut Rng::seeded(id.0.unsigned_abs()))?;
        }
        Ok(rows.len())
    }

    fn give_up_the_answer(&self, id: MessageId) -> Result<()> {
        self.set_under_way(id, false);
        self.sql
            .prepare_cached(
                "UPDATE attempt SET outcome = 'the gateway stopped before the answer came'
                 WHERE message = ?1 AND ended_at IS NULL",
            )?
            .execute([id.0])
            .map(drop)
    }

    /// Writes what the sender decided. `false`: the message is not what it was when that was decided (a receipt came, an
    /// operator stopped it, it grew too old while the disk was full), so nothing was written and nothing may leave.
    pub fn change(&self, change: &MessageUpdate, now: Timestamp) -> Result<bool> {
        match change {
            MessageUpdate::Sending { id, attempt, form, at } => {
                if !self.may_leave(*id, now)? {
                    return Ok(false);
                }
                self.set_under_way(*id, true);
                if *attempt > 1 {
                    self.forget_refusals(*id)?;
                }
                let columns =
                    "state = 'sending', changed_at = ?2, not_before = 0, reason = ?3, held_for = NULL,
                               attempts = ?4, form = ?5";
                let reason = "a request is under way";
                self.set(*id, columns, &[&at.0, &reason, attempt, &form.to_text()])?;
                self.sql
                    .prepare_cached(
                        "INSERT OR REPLACE INTO attempt (message, number, started_at, form) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![id.0, attempt, at.0, form.to_text()])?;
                Ok(true)
            }
            MessageUpdate::Held { id, at, reason } => {
                if self.state(*id)? != Some(State::Queued) {
                    return Ok(false);
                }
                let next = Next { held_for: Some(HeldFor::Window), ..Next::to(State::Held, reason.clone()) };
                self.advance(*id, &next, *at)?;
                Ok(true)
            }
            MessageUpdate::SetBack { by } => {
                let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
                self.sql
                    .prepare_cached(
                        "UPDATE message SET not_before = not_before - ?1, changed_at = min(changed_at, ?2)
                         WHERE state IN ('queued', 'unknown') AND not_before > ?2",
                    )?
                    .execute([by, now.0])?;
                Ok(true)
            }
            MessageUpdate::Settled(settled) => self.settle(settled).map(|()| true),
        }
    }

    /// A clock that was never set expires nothing (docs/reliability.md F17).
    fn may_leave(&self, id: MessageId, now: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM message WHERE id = ?1 AND state = 'queued' AND (expires_at > ?2 OR NOT ?3)",
            )?
            .exists(params![id.0, now.0, now.is_sane()])
    }

    fn settle(&self, settled: &SendResult) -> Result<()> {
        let SendResult { id, next, at, .. } = settled;
        self.set_under_way(*id, false);
        if let Some(wamid) = &settled.wamid {
            self.remember(wamid, *id)?;
        }
        if let Some(alias) = &settled.known_as {
            self.learn_alias(*id, alias, *at)?;
        }
        self.sql
            .prepare_cached(
                "UPDATE attempt SET ended_at = ?3, outcome = ?4, http_status = ?5, code = ?6, fbtrace_id = ?7
                 WHERE message = ?1 AND number = ?2",
            )?
            .execute(params![
                id.0,
                settled.attempt,
                at.0,
                next.reason,
                settled.http_status,
                settled.code,
                settled.fbtrace_id
            ])?;
        self.learn(&settled.lane, *id, next, *at, None)?;
        // A status may have overtaken the answer: what it proved stays, unless that copy is known to have failed since.
        let overtaken = match self.state(*id)? {
            Some(State::Sending) | None => false,
            Some(State::Sent) => next.state == State::Accepted || !self.a_copy_failed(*id)?,
            Some(_) => true,
        };
        let (tries, code, trace) = (i64::from(settled.counts), &settled.code, &settled.fbtrace_id);
        if overtaken {
            let answer = "tries = tries + ?2, code = ?3, fbtrace_id = ?4";
            self.set_one(*id, answer, &[&tries, code, trace])?;
        } else {
            let own = ", tries = tries + ?7, code = ?8, fbtrace_id = ?9";
            self.advance_with(*id, next, *at, own, &[&tries, code, trace])?;
        }
        // Its failure may have been told before its answer was: it is applied now, to this copy and no earlier one.
        let failed = settled.wamid.as_ref().map(|wamid| self.failure_of(wamid)).transpose()?.flatten();
        match failed {
            Some(refusal) => self.fail(*id, &refusal, *at, *at, &mut Rng::seeded(settled.attempt.into())),
            None => Ok(()),
        }
    }

    pub(super) fn message_of(&self, wamid: &Wamid) -> Result<Option<MessageId>> {
        self.sql
            .prepare_cached("SELECT message FROM sent WHERE wamid = ?1")?
            .query_row([&wamid.0], |row| row.get(0).map(MessageId))
            .optional()
    }

    pub(super) fn remember(&self, wamid: &Wamid, id: MessageId) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR IGNORE INTO sent (wamid, message) VALUES (?1, ?2)")?
            .execute(params![wamid.0, id.0])
            .map(drop)
    }

    pub(super) fn state(&self, id: MessageId) -> Result<Option<State>> {
        self.sql
            .prepare_cached("SELECT state FROM message WHERE id = ?1")?
            .query_row([id.0], |row| row.get::<_, String>(0))
            .optional()
            .map(|word| word.and_then(|word| State::parse(&word)))
    }

    pub(super) fn case(&self, id: MessageId) -> Result<Option<(Conversation, MessageCase)>> {
        self.sql
            .prepare_cached(
                "SELECT connection, contact, tries, on_unknown, form, content, bare, expires_at FROM message WHERE id = ?1",
            )?
            .query_row([id.0], |row| {
                let tries = row.get::<_, u32>(2)?.max(1);
                let mut content: Content = serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default();
                let case = MessageCase {
                    count: FailureCount { tries, streak: tries },
                    on_unknown: on_unknown(row, 3)?,
                    form: row.get::<_, Option<String>>(4)?.map_or(MessageForm::Free, |form| MessageForm::parse(&form)),
                    templates: content.templates.len(),
                    has_media: row.get::<_, i64>(6)? == 0 && !content.media().is_empty(),
                    expires_at: Timestamp(row.get(7)?),
                };
                let lane = Conversation { connection: ConnectionName(row.get(0)?), contact: ContactId(row.get(1)?) };
                Ok((lane, case))
            })
            .optional()
    }

    /// Keeps what an answer or a status tells beyond its own message; a status tells when it was so.
    pub(super) fn learn(
        &self,
        lane: &Conversation,
        id: MessageId,
        next: &Next,
        at: Timestamp,
        said_at: Option<Timestamp>,
    ) -> Result<()> {
        match &next.learned {
            Some(Learned::WindowClosed) => self.window_closed(lane, said_at),
            Some(Learned::TemplateUnusable { name, language, code }) => {
                self.template_refused(&lane.connection, name, language, *code, said_at.unwrap_or(at))
            }
            Some(Learned::MediaRefused) => self.media_refused(&lane.connection, id),
            None => Ok(()),
        }
    }

    /// Moves a message, and with a digest all that it carries. What would wait for its turn again, for somebody who has asked
    /// for no more meanwhile, waits for START.
    pub(super) fn advance(&self, id: MessageId, next: &Next, at: Timestamp) -> Result<()> {
        self.advance_with(id, next, at, "", &[])
    }

    /// Each message that fits, and with a digest all that it carries.
    pub(super) fn advance_all(
        &self,
        filter: &str,
        values: &[&dyn rusqlite::ToSql],
        next: &Next,
        now: Timestamp,
    ) -> Result<usize> {
        let ids: Vec<MessageId> = self
            .sql
            .prepare_cached(&format!("SELECT id FROM message WHERE digest IS NULL AND {filter}"))?
            .query_map(values, |row| row.get(0).map(MessageId))?
            .collect::<Result<_>>()?;
        for id in &ids {
            self.advance(*id, next, now)?;
        }
        Ok(ids.len())
    }
    /// With more columns of its own, which what it carries does not share.
    fn advance_with(
        &self,
        id: MessageId,
        next: &Next,
        at: Timestamp,
        own: &str,
        values: &[&dyn ToSql],
    ) -> Result<()> {
        let unwanted = (next.state == State::Queued && self.is_unwanted(id)?).then(unwanted);
        self.move_with(id, unwanted.as_ref().unwrap_or(next), at, own, values)
    }

    /// Whatever the person wishes: the operator knows.
    pub(super) fn move_to(&self, id: MessageId, next: &Next, at: Timestamp) -> Result<()> {
        self.move_with(id, next, at, "", &[])
    }

    fn move_with(
        &self,
        id: MessageId,
        next: &Next,
        at: Timestamp,
        own: &str,
        values: &[&dyn ToSql],
    ) -> Result<()> {
        let columns = "state = ?2, changed_at = ?3, not_before = ?4, reason = ?5, held_for = ?6";
        let (not_before, held_for) =
            (next.not_before.map_or(0, |until| until.0), next.held_for.map(HeldFor::as_str));
        let state = next.state.as_str();
        let shared: [&dyn ToSql; 5] = [&state, &at.0, &not_before, &next.reason, &held_for];
        self.set_one(id, &format!("{columns}{own}"), &[&shared, values].concat())?;
        self.set_carried(id, columns, &shared)
    }

    /// Writes those columns of a message, and with a digest of all that it carries. In one statement, with an OR, SQLite would
    /// make a table of the rows first, each time: a fifth of what a message cost.
    pub(super) fn set(&self, id: MessageId, columns: &str, values: &[&dyn ToSql]) -> Result<()> {
        self.set_one(id, columns, values)?;
        self.set_carried(id, columns, values)
    }

    fn set_one(&self, id: MessageId, columns: &str, values: &[&dyn ToSql]) -> Result<()> {
        self.write(&format!("UPDATE message SET {columns} WHERE id = ?1"), id, values)
    }

    fn set_carried(&self, id: MessageId, columns: &str, values: &[&dyn ToSql]) -> Result<()> {
        if self.sql.prepare_cached("SELECT 1 FROM message WHERE digest = ?1 LIMIT 1")?.exists([id.0])? {
            self.write(&format!("UPDATE message SET {columns} WHERE digest = ?1"), id, values)?;
        }
        Ok(())
    }

    fn write(&self, sql: &str, id: MessageId, values: &[&dyn ToSql]) -> Result<()> {
        let values = [&[&id.0 as &dyn ToSql], values].concat();
        self.sql.prepare_cached(sql)?.execute(values.as_slice()).map(drop)
    }

    pub(super) fn select_ids<const N: usize>(
        &self,
        sql: &str,
        values: [i64; N],
    ) -> Result<Vec<(MessageId, u32, OnUnknown)>> {
        self.sql
            .prepare_cached(sql)?
            .query_map(rusqlite::params_from_iter(values), |row| {
                Ok((MessageId(row.get(0)?), row.get(1)?, on_unknown(row, 2)?))
            })?
            .collect()
    }
}

/// A word that no version wrote counts as `hold`: the cautious reading of a damaged row.
pub(super) fn on_unknown(row: &Row, column: usize) -> Result<OnUnknown> {
    Ok(OnUnknown::parse(&row.get::<_, String>(column)?).unwrap_or(OnUnknown::Hold))
}

#[cfg(test)]
mod tests;
