//! Reads one webhook body, and writes what follows in one transaction.

/// What Meta says of people and accounts.
mod account_notice;
/// Who wrote, and whether it is still them.
mod person;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::alert::engine::AlertCommand;
use crate::command::action::NewCommand;
use crate::command::authorise::RecentAbuse;
use crate::config::{Config, Connection};
use crate::contact::Contact;
use crate::contact::severity::Severity;
use crate::ids::{ConnectionName, ContactId, InboxId, MessageId};
use crate::outbox::retry_policy::Refusal;
use crate::outbox::row::Conversation;
use crate::outbox::scheduler::SchedulerInput;
use crate::random::Rng;
use crate::reply::answer::ReplySender;
use crate::reply::context::{ReplyContext, SiteContext};
use crate::reply::effect::{OutgoingMessage, ReplyEffect};
use crate::reply::follow_up::follow_up;
use crate::reply::inbound::{Inbound, InboundContent, InboundMessage, InboxState, NewFile, Status};
use crate::reply::interpret::{Interpretation, ReplySubject, SentMessages, interpret};
use crate::reply::stranger::meet;
use crate::store::{self, Signers, Store, Unread};
use crate::task::early_reply;
use crate::task::handles::ReadReceipt;
use crate::task::live_config::{is_owner, with_guests};
use crate::task::orphans;
use crate::task::outbox_transaction::{SendStep, StepStart};
use crate::task::owner_notice::lane;
use crate::time::Timestamp;
use crate::whatsapp::notices::routing::STANDBY;
use crate::whatsapp::request;

/// Attributes of an entity that somebody looks at; Home Assistant's recorder keeps no more than 16 KiB of all of them.
const HOME_TEXT_MAX: usize = 1_024;

/// The outcome of one body, and the tasks to wake.
#[derive(Debug, Default)]
pub struct BodyOutcome {
    /// The number of each kind in it, for the metrics.
    pub kinds: BTreeMap<&'static str, u64>,
    pub statuses: usize,
    pub commands: usize,
    /// The number of commands for alerts.
    pub notes: usize,
    /// The outbox may have something to send.
    pub messages: bool,
    /// What they tell of a number or a person. One of each code is enough; one a lane is not: that somebody cannot be
    /// reached would hide that the number is restricted.
    failures: BTreeMap<(Conversation, i64), Refusal>,
    /// The sender has heeded that.
    pub turns: Vec<SendStep>,
    /// There are files to fetch.
    pub files: bool,
    /// To be shown as read.
    pub marks: Vec<ReadReceipt>,
    pub catalogue: bool,
    /// Somebody came or went.
    pub people: bool,
    /// For the log and the broker.
    pub notices: Vec<(ConnectionName, Severity, String)>,
    pub nothing: Vec<String>,
}

/// Reads the oldest body that was not read, and writes all that follows from it. The sender heeds failures in the same
/// transaction: nothing leaves in between over a number that is restricted. `begin` hears which body it is. The simulation
/// calls it too.
pub fn read_next(
    store: &Store,
    config: &Config,
    now: Timestamp,
    dice: &mut Rng,
    begin: impl FnOnce(InboxId),
    mut heed: impl FnMut(StepStart) -> store::Result<SendStep>,
) -> store::Result<Option<BodyOutcome>> {
    if !store.has_webhooks()? {
        return Ok(None);
    }
    let invited = with_guests(config, store)?;
    let config = invited.as_ref().unwrap_or(config);
    let Some((unread, found)) = early_reply::next(store, config, now)? else { return Ok(None) };
    let Unread { id, signers, .. } = unread;
    begin(id);
    let mut reader = BodyReader { store, config, id, signers, now, dice, read: BodyOutcome::default() };
    for inbound in found {
        *reader.read.kinds.entry(inbound.kind()).or_default() += 1;
        reader.take(inbound)?;
    }
    let mut read = reader.read;
    for ((lane, _), refusal) in std::mem::take(&mut read.failures) {
        read.turns.push(heed(StepStart::With(SchedulerInput::Reported(lane, Box::new(refusal))))?);
    }
    let mut note = format!("{} statuses, {} commands", read.statuses, read.commands);
    for reason in &read.nothing {
        note.push_str("; ");
        note.push_str(reason);
    }
    store.close_webhook(id, InboxState::Done, note.chars().take(1_000).collect::<String>().as_str())?;
    Ok(Some(read))
}

/// The state of reading one body.
pub(crate) struct BodyReader<'a> {
    pub(crate) store: &'a Store,
    pub(crate) config: &'a Config,
    id: InboxId,
    signers: Signers,
    pub(crate) now: Timestamp,
    dice: &'a mut Rng,
    pub(crate) read: BodyOutcome,
}

impl<'a> BodyReader<'a> {
    fn take(&mut self, inbound: Inbound) -> store::Result<()> {
        match inbound {
            Inbound::Status(status) => {
                self.read.statuses += 1;
                if self.signers.is_some()
                    && let Some(over) = self.store.sent_over(&status)?
                    && !self.speaks_for(&over)
                {
                    self.unsigned(&over);
                    return Ok(());
                }
                self.report(&status)
            }
            Inbound::Reply(reply) if self.store.knows_reply(&reply.wamid)? => {
                self.idle("a message that was taken before");
                Ok(())
            }
            Inbound::Reply(reply) => self.answer(&reply),
            Inbound::Notice(notice) => self.heed(&notice),
            Inbound::Moved(moved) => self.follow(&moved),
            Inbound::Preference(preference) => self.prefers(&preference),
            Inbound::File(file) => self.want(&file),
            Inbound::Ignored(what) => {
                self.read.nothing.push(what);
                Ok(())
            }
        }
    }

    fn report(&mut self, status: &Status) -> store::Result<()> {
        let over = self.sent_over(status)?;
        if let (Some(refusal), Some(connection)) = (&status.refusal, &over)
            && let Some(contact) = self.store.failed_to(status)?
        {
            let lane = Conversation { connection: connection.clone(), contact };
            self.read.failures.insert((lane, refusal.code), refusal.clone());
        }
        match self.store.receive(status, over.as_ref(), self.now, self.dice)? {
            Some(id) if status.refusal.is_some() => orphans::came_back(self.store, self.config, id, self.now),
            Some(_) => Ok(()),
            None => {
                let what = format!("a status of {} for a message that is not ours", status.word);
                self.read.nothing.push(what);
                Ok(())
            }
        }
    }

    /// The number over which the copy went that a status is about; the message may leave over another one by now. `None`: it is
    /// gone.
    fn sent_over(&self, status: &Status) -> store::Result<Option<ConnectionName>> {
        let Some(number) = &status.phone_number_id else { return self.store.sent_over(status) };
        if let Some(known) = self.named(number) {
            return Ok(Some(known.name.clone()));
        }
        let mut kept = self.store.kept_connections()?.into_iter(); // disconnected on the page
        Ok(kept.find(|kept| kept.phone_number_id == *number).map(|kept| ConnectionName(kept.name)))
    }

    fn answer(&mut self, reply: &InboundMessage) -> store::Result<()> {
        let Some(over) = self.named(&reply.phone_number_id) else {
            let reason = "it was written to a number that is not in the configuration".to_owned();
            self.read.nothing.push(reason.clone());
            let outcome = Interpretation::Nothing { contact: None, reason };
            return self.store.keep_reply(self.id, reply, &outcome);
        };
        if !self.speaks_for(&over.name) {
            self.unsigned(&over.name);
            return Ok(());
        }
        self.store.comes_here(&over.name, STANDBY, reply.at)?;
        let Some(sender) = self.recognised(reply, over)? else { return Ok(()) };
        let conversation = sender.map(|contact| lane(over, contact));
        self.open_window(reply, over, conversation.as_ref())?;
        let house = self.house(sender)?;
        let outcome = interpret(reply, &house, self.store.tag(), self.store);
        if let Some(contact) = sender
            && self.answers_again(contact, reply, &over.name, &outcome)?
        {
            return Ok(());
        }
        let before = (std::mem::take(&mut self.read.messages), self.read.commands);
        self.store.keep_reply(self.id, reply, &outcome)?;
        if let Some(contact) = sender.filter(|_| self.config.home_assistant.is_some()) {
            let event = self.for_home(contact, reply, &outcome);
            self.store.keep_home_event("reply", &event)?;
        }
        let follows = match (&outcome, sender.zip(conversation.as_ref())) {
            (Interpretation::Stranger, _) | (_, None) => {
                let facts = self.store.stranger_facts(reply, &over.name, self.now)?;
                meet(reply, &over.name, &self.site(), &facts)
            }
            (Interpretation::ReadOn { contact, message }, Some(_)) => self.read_on(contact, *message)?,
            (_, Some((contact, lane))) => {
                let facts = self.store.reply_facts(&outcome, &self.config.people, self.now)?;
                let from = ReplySender { contact, lane, reply };
                follow_up(&outcome, from, house.standing, &self.site(), &facts)
            }
        };
        self.apply(&follows)?;
        if let Some(conversation) = conversation.filter(|_| !reply.is_of_call()) {
            let typing = self.read.messages || self.read.commands > before.1;
            self.read.marks.push(ReadReceipt {
                connection: conversation.connection,
                wamid: reply.wamid.clone(),
                typing,
            });
        }
        self.read.messages |= before.0;
        Ok(())
    }

    /// What Home Assistant hears of it: who did what, under which alert, and what was understood.
    fn for_home(&self, contact: &Contact, reply: &InboundMessage, outcome: &Interpretation) -> Value {
        let (kind, text) = match &reply.content {
            InboundContent::Tap { title, .. } => ("tap", title.as_str()),
            InboundContent::Text(text) => ("text", text.as_str()),
            InboundContent::Captioned { caption, .. } => ("file", caption.as_str()),
            InboundContent::Reaction { emoji } => ("reaction", emoji.as_deref().unwrap_or_default()),
            InboundContent::Given { .. } | InboundContent::SharedNumber(_) | InboundContent::Other(_) => {
                ("file", "")
            }
        };
        let sent = reply.quotes.as_ref().and_then(|wamid| self.store.sent(wamid));
        let under = match sent.map(|sent| sent.about) {
            Some(ReplySubject::Alert(known)) => Some(known.alert.0),
            Some(ReplySubject::Asked(..) | ReplySubject::Other) | None => None,
        };
        let (action, alert) = match outcome {
            Interpretation::Command(NewCommand { action, .. }) | Interpretation::Confirm { action, .. } => {
                (Some(action.name.as_str()), action.alert.or(under))
            }
            Interpretation::Acknowledge { .. }
            | Interpretation::Note { note: AlertCommand::Acknowledge { .. }, .. } => {
                (Some("acknowledge"), under)
            }
            Interpretation::Note { note: AlertCommand::Resolve { .. }, .. } => (Some("resolve"), under),
            Interpretation::Note { note: AlertCommand::Snooze { .. }, .. } => (Some("snooze"), under),
            Interpretation::Vote { choice, .. } => (Some(choice.as_str()), under),
            Interpretation::Note { .. }
            | Interpretation::Consent { .. }
            | Interpretation::Invite { .. }
            | Interpretation::ReadOn { .. }
            | Interpretation::Status { .. }
            | Interpretation::Say { .. }
            | Interpretation::Refused { .. }
            | Interpretation::Hurried { .. }
            | Interpretation::Locked { .. }
            | Interpretation::Stranger
            | Interpretation::Nothing { .. } => (None, under),
        };
        let text: String = text.chars().take(HOME_TEXT_MAX).collect();
        json!({
            "event_type": kind, "contact": contact.id, "text": text, "action": action, "alert": alert,
            "at": reply.at.rfc3339(),
        })
    }

    /// The rest of a message of theirs, as a message of its own. What may be tapped stays with the first part.
    fn read_on(&mut self, contact: &ContactId, message: MessageId) -> store::Result<Vec<ReplyEffect>> {
        self.read.messages = true;
        let whole = self.store.whole(message)?.filter(|due| due.lane.contact == *contact);
        let Some(due) = whole else { return Ok(Vec::new()) };
        let rest = request::rest(&due.content);
        if rest.is_empty() {
            return Ok(Vec::new());
        }
        let mut message = OutgoingMessage::words(due.lane, due.to, rest);
        message.content.language = due.content.language; // there may be more to read on
        Ok(vec![ReplyEffect::Send(Box::new(message))])
    }

    pub(crate) fn site(&self) -> SiteContext<'a> {
        self.config.context(self.store.seal(), self.now)
    }

    pub(crate) fn apply(&mut self, effects: &[ReplyEffect]) -> store::Result<()> {
        let applied = self.store.apply(effects, self.now)?;
        let read = &mut self.read;
        read.messages |= applied.messages;
        read.commands += applied.commands;
        read.notes += applied.notes;
        read.people |= applied.people;
        read.notices.extend(applied.notices);
        read.nothing.extend(applied.nothing);
        Ok(())
    }

    /// Whoever looks for why nothing happened finds it in the log.
    pub(crate) fn idle(&mut self, reason: &str) {
        tracing::info!(reason, "a message does not act");
        self.read.nothing.push(reason.to_owned());
    }

    /// What is written in a group opens the window of the group, not the writer's own.
    fn open_window(
        &mut self,
        reply: &InboundMessage,
        over: &Connection,
        writer: Option<&Conversation>,
    ) -> store::Result<()> {
        let group = match &reply.group {
            None => None,
            Some(id) => match self.config.people.group(id) {
                None => return Ok(()),
                Some(group) => Some(lane(over, group)),
            },
        };
        if let Some(opened) = group.as_ref().or(writer) {
            self.read.messages |= self.store.heard(opened, reply.at, self.now)? > 0;
        }
        Ok(())
    }

    fn house(&self, sender: Option<&'a Contact>) -> store::Result<ReplyContext<'a>> {
        let standing = match sender {
            Some(contact) => self.store.standing(&contact.id, self.now)?,
            None => RecentAbuse::default(),
        };
        Ok(ReplyContext {
            rules: &self.config.rules,
            commands: &self.config.commands,
            onward: &self.config.onward,
            words: &self.config.words,
            seal: self.store.seal(),
            sender,
            standing,
            is_owner: sender.is_some_and(|sender| is_owner(self.config, &sender.id)),
            now: self.now,
        })
    }

    /// Webhooks say which number they are about; the account that they name besides may mean something else one day
    /// (Meta, account model).
    pub(crate) fn named(&self, phone_number_id: &str) -> Option<&'a Connection> {
        self.config.connections.iter().find(|known| known.phone_number_id == phone_number_id)
    }

    /// Whether the body was signed with the app secret of this connection.
    pub(crate) fn speaks_for(&self, over: &ConnectionName) -> bool {
        self.signers.as_ref().is_none_or(|signers| signers.contains(over))
    }

    /// It stays in the inbox and changes nothing, not even what is known to have come.
    pub(crate) fn unsigned(&mut self, over: &ConnectionName) {
        let signers: Vec<&str> = self.signers.iter().flatten().map(|name| name.0.as_str()).collect();
        let what = format!(
            "it is about the number of connection {over}, but signed with the app secret of {}",
            signers.join(", ")
        );
        tracing::warn!(%over, signers = signers.join(", "), "a webhook about one connection's number was signed with another's app secret");
        self.read.nothing.push(what);
    }

    fn want(&mut self, file: &NewFile) -> store::Result<()> {
        let over = self.named(&file.phone_number_id).filter(|over| self.speaks_for(&over.name));
        if let Some(over) = over.filter(|_| self.config.files.fetch) {
            self.read.files |= self.store.want_file(file, &over.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
