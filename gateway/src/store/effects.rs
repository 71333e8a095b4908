//! What people say: reads what decides about it, and performs what follows (`reply/effect.rs`), all in the transaction of whoever
//! asks.

use rusqlite::Result;

use super::account::PreviousNotice;
use super::{AuditEntry, Store};
use crate::contact::People;
use crate::contact::severity::Severity;
use crate::ids::{CommandId, ConnectionName, ContactId};
use crate::outbox::button_token::ButtonSubject;
use crate::reply::effect::{AuditRecord, OutgoingMessage, OwnerNotice, ReplyEffect};
use crate::reply::facts::ReplyFacts;
use crate::reply::interpret::Interpretation;
use crate::reply::invitation::wanted_id;
use crate::reply::invitation_syntax::InvitationRequest;
use crate::time::Timestamp;

/// What was done, for whoever wakes others.
#[derive(Debug, Default)]
pub struct Applied {
    /// The outbox may have something to send.
    pub messages: bool,
    pub commands: usize,
    /// What the alerts are told.
    pub notes: usize,
    /// Somebody came or went.
    pub people: bool,
    /// New, for the log and the broker.
    pub notices: Vec<(ConnectionName, Severity, String)>,
    /// Why nothing was done.
    pub nothing: Vec<String>,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// The same words came before.
    Before,
    /// Kept, and something newer is known: nobody is told what is no longer so.
    Late,
    Kept,
    /// A message waits in the outbox.
    Written,
}

impl Store {
    /// What decides about a message of this kind.
    pub fn reply_facts(
        &self,
        outcome: &Interpretation,
        people: &People,
        now: Timestamp,
    ) -> Result<ReplyFacts> {
        let mut facts = ReplyFacts::default();
        match outcome {
            Interpretation::Confirm { .. } => facts.next_request = self.next_request()?,
            Interpretation::Vote { subject: ButtonSubject::Request(number), .. } => {
                facts.request = self.request(*number)?;
            }
            Interpretation::Vote { subject: ButtonSubject::Question(number), .. } => {
                facts.question = self.question(*number)?;
                facts.votes = self.votes(*number)?;
            }
            Interpretation::Acknowledge { alert, .. } => {
                facts.acknowledged_by = self.acknowledged_by(*alert)?;
            }
            Interpretation::Status { .. } => facts.ongoing = self.going_on(now)?,
            Interpretation::Invite { wanted, .. } => {
                facts.guests = self.guests()?;
                facts.invitations = self.invitations_open(now)?;
                facts.invited_lately = self.invitations(now)?;
                if let InvitationRequest::Invite(invitation) = wanted {
                    let wanted = wanted_id(&invitation.name);
                    facts.free_id = Some(self.free_id(&wanted, |id| people.knows(id))?);
                }
            }
            Interpretation::Vote { subject: ButtonSubject::Alert(_), .. }
            | Interpretation::Command(_)
            | Interpretation::Consent { .. }
            | Interpretation::ReadOn { .. }
            | Interpretation::Say { .. }
            | Interpretation::Refused { .. }
            | Interpretation::Hurried { .. }
            | Interpretation::Locked { .. }
            | Interpretation::Stranger
            | Interpretation::Note { .. }
            | Interpretation::Nothing { .. } => {}
        }
        Ok(facts)
    }

    /// Performs them in their order.
    pub fn apply(&self, effects: &[ReplyEffect], now: Timestamp) -> Result<Applied> {
        let mut applied = Applied::default();
        for effect in effects {
            self.apply_one(effect, now, &mut applied)?;
        }
        Ok(applied)
    }

    fn apply_one(&self, effect: &ReplyEffect, now: Timestamp, applied: &mut Applied) -> Result<()> {
        match effect {
            ReplyEffect::Send(message) => {
                applied.messages = true;
                self.send(message, now)
            }
            ReplyEffect::Record(record) => self.record_of(record, None, now),
            ReplyEffect::Command(origin, command, record) => {
                let id = self.insert_command(origin, command, now)?;
                applied.commands += 1;
                let deed = &command.deed;
                tracing::info!(command = id.0, action = deed.name, topic = deed.topic, "a command");
                self.record_of(record, Some(id), now)
            }
            ReplyEffect::OpenRequest(request) => self.open_request(request, now),
            ReplyEffect::ChangeRequest(request, state) => self.change_request(request, state),
            ReplyEffect::Vote { question, contact, choice } => self.vote(*question, contact, choice, now),
            ReplyEffect::CloseQuestion { question, choice } => self.close_question(*question, choice),
            ReplyEffect::Acknowledge { alert, contact } => self.acknowledge(*alert, contact, now),
            ReplyEffect::Note(note) => {
                applied.notes += 1;
                self.note(note, now)
            }
            ReplyEffect::Invite { guest, expires_at } => self.invite(guest, now, *expires_at),
            ReplyEffect::TakeOff(contact) => {
                applied.people = true;
                self.take_off(contact, now).map(drop)
            }
            ReplyEffect::TellOwner(told) => match self.tell_owner(told, now)? {
                NoticeOutcome::Before => Ok(()),
                NoticeOutcome::Late => {
                    applied.nothing(format!("something newer is known than: {}", told.notice.text));
                    Ok(())
                }
                outcome @ (NoticeOutcome::Kept | NoticeOutcome::Written) => {
                    applied.messages |= outcome == NoticeOutcome::Written;
                    let OwnerNotice { about, notice, .. } = &**told;
                    applied.notices.push((about.clone(), notice.severity, notice.text.clone()));
                    Ok(())
                }
            },
            ReplyEffect::Nothing(reason) => {
                applied.nothing(reason.clone());
                Ok(())
            }
            ReplyEffect::Refused(contact, reason) => {
                tracing::warn!(%contact, reason, "a request was refused");
                applied.nothing.push(reason.clone());
                Ok(())
            }
        }
    }

    fn send(&self, message: &OutgoingMessage, now: Timestamp) -> Result<()> {
        let id = self.compose(&message.conversation, &message.to, &message.content, now)?;
        message.asks.map_or(Ok(()), |subject| self.keep_asked(id, subject))
    }

    fn record_of(&self, record: &AuditRecord, command: Option<CommandId>, now: Timestamp) -> Result<()> {
        let AuditRecord { what, who, message, detail } = record;
        let entry = AuditEntry { what, who: who.as_ref(), message: message.as_ref(), command, detail };
        self.record(&entry, now)
    }

    /// Keeps the notice, and sends its messages if it is news.
    pub fn tell_owner(&self, told: &OwnerNotice, now: Timestamp) -> Result<NoticeOutcome> {
        match self.keep_notice(&told.about, &told.notice, now)? {
            PreviousNotice::Before => return Ok(NoticeOutcome::Before),
            PreviousNotice::Newer => return Ok(NoticeOutcome::Late),
            PreviousNotice::Not => {}
        }
        for message in &told.messages {
            self.send(message, now)?;
        }
        Ok(if told.messages.is_empty() { NoticeOutcome::Kept } else { NoticeOutcome::Written })
    }

    /// Who is off the list gets no alert that still waits. `false`: nobody of this id was on it.
    pub fn take_off(&self, contact: &ContactId, now: Timestamp) -> Result<bool> {
        let was_on = self.dismiss(contact, "removed")?;
        if was_on {
            let waiting = self.waiting_for(contact, true)?;
            self.withdraw(&waiting, "the person was taken off the list", now)?;
        }
        Ok(was_on)
    }
}

impl Applied {
    fn nothing(&mut self, reason: String) {
        tracing::info!(reason, "a message does not act");
        self.nothing.push(reason);
    }
}
