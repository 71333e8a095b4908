//! Decisions of operators: send, send again, hold, cancel.

use rusqlite::{OptionalExtension, Result};

use super::Store;
use super::outbox::NewMessage;
use super::running::lane;
use crate::contact::Recipient;
use crate::contact::severity::Severity;
use crate::ids::{ContactId, MessageId};
use crate::outbox::message::Content;
use crate::outbox::message_state::{OnUnknown, State};
use crate::outbox::retry_policy::{HeldFor, Next};
use crate::outbox::row::Conversation;
use crate::time::Timestamp;
use std::time::Duration;

/// A test message that could not leave within a day has no reader any more.
const BY_HAND_EXPIRES: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug, thiserror::Error)]
pub enum ActError {
    #[error("there is no message {0} in the outbox; `bellwire outbox list` shows their numbers")]
    NoSuchMessage(MessageId),
    #[error("message {0} is {state}: {rule}", state = .1.as_str(), rule = .2)]
    NotPossible(MessageId, State, &'static str),
    #[error("message {0} is part of the digest {1}; decide about that one: bellwire outbox show {1}")]
    PartOfDigest(MessageId, MessageId),
    #[error(
        "message {0} is to {1}, who is not in the configuration any more: it is not sent; put them back into it first, and restart"
    )]
    PersonGone(MessageId, ContactId),
    #[error("the database could not be written: {0}")]
    Sql(#[from] rusqlite::Error),
}

impl Store {
    /// A message by hand, or in answer to a person: through the real outbox.
    pub fn compose(
        &self,
        lane: &Conversation,
        to: &Recipient,
        content: &Content,
        now: Timestamp,
    ) -> Result<MessageId> {
        self.insert_message(&NewMessage {
            connection: &lane.connection,
            contact: &lane.contact,
            to,
            alert: None,
            severity: Severity::Warning,
            content,
            on_unknown: OnUnknown::Retry,
            exempt: true, // somebody asked for it
            created_at: now,
            expires_at: now + BY_HAND_EXPIRES,
        })
    }

    /// To whom a message is, and over which number.
    pub fn conversation_of(&self, id: MessageId) -> Result<Option<Conversation>> {
        self.sql
            .prepare_cached("SELECT connection, contact FROM message WHERE id = ?1")?
            .query_row([id.0], lane)
            .optional()
    }

    /// Sends it again, whatever its age. Whether there is still somebody to send it to is `task::orphans`' to say.
    pub fn retry(&self, id: MessageId, now: Timestamp) -> std::result::Result<(), ActError> {
        let state = self.own_state(id)?;
        match state {
            State::Held
            | State::Failed
            | State::Expired
            | State::Cancelled
            | State::Unknown
            | State::Queued => {}
            State::Sending => {
                return Err(ActError::NotPossible(id, state, "its answer is awaited; try again in a minute"));
            }
            State::Accepted | State::Sent | State::Delivered | State::Read | State::Played => {
                return Err(ActError::NotPossible(
                    id,
                    state,
                    "it went out; `bellwire send` writes a new one",
                ));
            }
        }
        // Only where a request may have left is a second copy possible.
        let doubtful = i64::from(state == State::Unknown);
        self.set(
            id,
            "expires_at = max(expires_at, ?2), tries = 0, unbudgeted = 1,
             possible_duplicate = max(possible_duplicate, ?3)",
            &[&(now + BY_HAND_EXPIRES).0, &doubtful],
        )?;
        self.move_to(id, &Next::to(State::Queued, "an operator asked to send it again"), now)
            .map_err(ActError::Sql)
    }

    /// Keeps it back until `retry` or `cancel`.
    pub fn hold(&self, id: MessageId, now: Timestamp) -> std::result::Result<(), ActError> {
        self.stop(id, State::Held, "an operator holds it; `bellwire outbox retry` sends it", now)
    }

    /// Gives it up.
    pub fn cancel(&self, id: MessageId, now: Timestamp) -> std::result::Result<(), ActError> {
        self.stop(id, State::Cancelled, "an operator gave it up", now)
    }

    fn stop(
        &self,
        id: MessageId,
        to: State,
        reason: &str,
        now: Timestamp,
    ) -> std::result::Result<(), ActError> {
        let state = self.own_state(id)?;
        match state {
            State::Unknown | State::Queued | State::Held => {
                let held_for = (to == State::Held).then_some(HeldFor::Operator);
                self.take_out_of_queue(id, &Next { held_for, ..Next::to(to, reason) }, now)
                    .map_err(ActError::Sql)
            }
            State::Sending
            | State::Accepted
            | State::Sent
            | State::Delivered
            | State::Read
            | State::Played
            | State::Failed
            | State::Expired
            | State::Cancelled => {
                Err(ActError::NotPossible(id, state, "only what still waits can be held or cancelled"))
            }
        }
    }

    /// Held or ended from outside, and not by its own way. What may have gone out is marked: sent again, it may arrive twice (P8).
    pub(super) fn take_out_of_queue(&self, id: MessageId, next: &Next, at: Timestamp) -> Result<()> {
        if self.state(id)? == Some(State::Unknown) {
            self.set(id, "possible_duplicate = 1", &[])?;
        }
        self.move_to(id, next, at)
    }

    /// Of a message that leaves by itself.
    fn own_state(&self, id: MessageId) -> std::result::Result<State, ActError> {
        let digest: Option<Option<i64>> = self
            .sql
            .prepare_cached("SELECT digest FROM message WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))
            .optional()?;
        match digest {
            Some(Some(digest)) => Err(ActError::PartOfDigest(id, MessageId(digest))),
            Some(None) => self.state(id)?.ok_or(ActError::NoSuchMessage(id)),
            None => Err(ActError::NoSuchMessage(id)),
        }
    }
}
