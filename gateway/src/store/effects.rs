//! Replies in the store: reads the facts that decide, and performs what follows (`reply/effect.rs`), all in the
//! transaction of whoever asks.

use rusqlite::Result;

use super::account::PreviousNotice;
use super::{AuditEntry, Store};
use crate::command::action::{CommandOrigin, NewCommand};
use crate::command::question::OpenQuestion;
use crate::contact::severity::Severity;
use crate::contact::{Contact, GuestState, People, Phone};
use crate::ids::{CommandId, ConnectionName, ContactId};
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::effect::{AuditRecord, OutgoingMessage, OwnerNotice, ReplyEffect};
use crate::reply::facts::{GuestFacts, ReplyFacts, StrangerFacts};
use crate::reply::inbound::InboundMessage;
use crate::reply::interpret::Interpretation;
use crate::reply::invitation::wanted_id;
use crate::reply::invitation_syntax::InvitationRequest;
use crate::reply::stranger::{address, invited};
use crate::time::Timestamp;

/// The changes that were made, so that other tasks are woken.
#[derive(Debug, Default)]
pub struct Applied {
    /// The outbox may have something to send.
    pub messages: bool,
    pub commands: usize,
    /// The number of commands for alerts.
    pub notes: usize,
    /// Somebody came or went.
    pub people: bool,
    /// New, for the log and the broker.
    pub notices: Vec<(ConnectionName, Severity, String)>,
    /// The reasons why nothing was done.
    pub nothing: Vec<String>,
}

/// The outcome of a notice.
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
    /// The facts that decide about a message of this kind.
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
            Interpretation::Consent { contact, .. } => {
                let newest = self.newest_wish(contact)?;
                facts.newest_wish = newest.map(|(_, (at, source))| (Timestamp(at), source));
            }
            Interpretation::Vote { subject: ButtonSubject::Alert(_), .. }
            | Interpretation::Command(_)
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

    /// The facts that decide about a message of somebody who is no contact.
    pub fn stranger_facts(
        &self,
        reply: &InboundMessage,
        over: &ConnectionName,
        now: Timestamp,
    ) -> Result<StrangerFacts> {
        let phone = reply.from.as_deref().and_then(|from| Phone::from_wa_id(from).ok());
        let known = self.known(phone.as_ref().map(|phone| &phone.e164()[1..]), reply.user_id.as_deref())?;
        let mut facts = StrangerFacts {
            invited: invited(reply, &known, self.invitations_open(now)?),
            ..StrangerFacts::default()
        };
        if let [(guest, _)] = facts.invited.as_slice() {
            let lane = Conversation { connection: over.clone(), contact: guest.id.clone() };
            facts.releases = self.waits_for_word(&lane, reply.at, now)?;
            facts.is_overtaken = self.is_overtaken(&guest.id, reply.at)?;
        }
        if let Some(address) = address(reply) {
            facts.is_answered = self.answers_stranger(&address, now)?;
        }
        Ok(facts)
    }

    /// The facts that decide about another answer to an invitation that this contact answered with Yes. `None`: they
    /// did not.
    pub fn guest_facts(&self, contact: &ContactId, at: Timestamp) -> Result<Option<GuestFacts>> {
        let joined = self.guests()?.into_iter().find(|guest| guest.id == *contact);
        let Some(guest) = joined else { return Ok(None) };
        let is_about_invitation = self.is_about_invitation(contact, at)?;
        Ok(Some(GuestFacts { guest, is_about_invitation, is_overtaken: self.is_overtaken(contact, at)? }))
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
        applied.messages |= matches!(effect, ReplyEffect::Send(_) | ReplyEffect::Ask(..));
        applied.notes += usize::from(matches!(effect, ReplyEffect::Note(_)));
        let is_of_people = matches!(
            effect,
            ReplyEffect::Join { .. } | ReplyEffect::Decline { .. } | ReplyEffect::TakeOff(_)
        );
        applied.people |= is_of_people;
        match effect {
            ReplyEffect::Send(message) => self.send(message, now),
            ReplyEffect::Record(record) => self.record_of(record, record.command, now),
            ReplyEffect::Command(origin, command, record) => {
                applied.commands += 1;
                self.issue(origin, command, record, now)
            }
            ReplyEffect::EndCommand { command, state, reason } => {
                self.end_command(*command, *state, reason.as_deref(), now).map(drop)
            }
            ReplyEffect::ChangeCommand(update) => self.change_command(update).map(drop),
            ReplyEffect::OpenRequest(request) => self.open_request(request, now),
            ReplyEffect::ChangeRequest(request, state) => self.change_request(request, *state),
            ReplyEffect::Ask(question, messages) => self.ask(question, messages, now),
            ReplyEffect::Vote { question, contact, choice } => self.vote(*question, contact, choice, now),
            ReplyEffect::CloseQuestion { question, choice } => self.close_question(*question, choice),
            ReplyEffect::Acknowledge { alert, contact } => self.acknowledge(*alert, contact, now),
            ReplyEffect::Note(note) => self.note(note, now),
            ReplyEffect::Invite { guest, expires_at } => self.invite(guest, now, *expires_at),
            ReplyEffect::Join { guest, with, at } => self.join(guest, with, *at),
            ReplyEffect::Decline { guest, at } => self.decline(guest, *at),
            ReplyEffect::Dismiss { guest, state } => self.dismiss(guest, *state).map(drop),
            ReplyEffect::Identify { contact, address, user_id, at } => {
                self.identify(contact, address, user_id.as_deref(), *at).map(drop)
            }
            ReplyEffect::Consent { contact, given, source, at } => {
                self.consent(contact, *given, source, *at, now).map(drop)
            }
            ReplyEffect::Heard { conversation, at } => {
                applied.messages |= self.heard(conversation, *at, now)? > 0;
                Ok(())
            }
            ReplyEffect::MeetStranger { address, is_answered } => {
                self.meet_stranger(address, *is_answered, now)
            }
            ReplyEffect::TakeOff(contact) => self.take_off(contact, now).map(drop),
            ReplyEffect::TellOwner(told) => self.tell(told, now, applied),
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

    fn issue(
        &self,
        origin: &CommandOrigin,
        command: &NewCommand,
        record: &AuditRecord,
        now: Timestamp,
    ) -> Result<()> {
        let id = self.insert_command(origin, command, now)?;
        let action = &command.action;
        tracing::info!(command = id.0, action = action.name, topic = action.topic, "a command is queued");
        self.record_of(record, Some(id), now)
    }

    fn tell(&self, told: &OwnerNotice, now: Timestamp, applied: &mut Applied) -> Result<()> {
        let OwnerNotice { about, notice, .. } = told;
        let outcome = self.tell_owner(told, now)?;
        match outcome {
            NoticeOutcome::Before => {}
            NoticeOutcome::Late => {
                applied.nothing(format!("something newer is known than: {}", notice.text));
            }
            NoticeOutcome::Kept | NoticeOutcome::Written => {
                applied.messages |= outcome == NoticeOutcome::Written;
                applied.notices.push((about.clone(), notice.severity, notice.text.clone()));
            }
        }
        Ok(())
    }

    fn ask(&self, question: &OpenQuestion, messages: &[(Contact, Content)], now: Timestamp) -> Result<()> {
        self.insert_question(question, now)?;
        for (contact, content) in messages {
            let message = self.compose_question(question, contact, content, now)?;
            self.keep_asked(message, ButtonSubject::Question(question.id))?;
        }
        Ok(())
    }

    fn send(&self, message: &OutgoingMessage, now: Timestamp) -> Result<()> {
        let id = self.compose(&message.conversation, &message.to, &message.content, now)?;
        message.asks.map_or(Ok(()), |subject| self.keep_asked(id, subject))
    }

    fn record_of(&self, record: &AuditRecord, command: Option<CommandId>, now: Timestamp) -> Result<()> {
        let AuditRecord { what, who, message, detail, .. } = record;
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

    /// Takes somebody off the list, who gets no alert that still waits. `false`: nobody of this id was on it.
    pub fn take_off(&self, contact: &ContactId, now: Timestamp) -> Result<bool> {
        let was_on = self.dismiss(contact, GuestState::Removed)?;
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
