//! What follows from a reply, written with the reply's own commit.

use std::time::Duration;

use crate::alert::engine::AlertCommand;
use crate::command::action::{NewCommand, ResolvedAction};
use crate::command::approval::{ApprovalOutcome, Pending};
use crate::command::authorise::{ACTS_MAX, REFUSALS_IN, REFUSALS_MAX, RecentAbuse, may};
use crate::contact::Contact;
use crate::contact::language::{Locale, Sentences};
use crate::contact::severity::Severity;
use crate::ids::{ConnectionName, ContactId, MessageId};
use crate::outbox::button_token::{ButtonSubject, ButtonToken};
use crate::outbox::message::{Button, Content};
use crate::outbox::row::Conversation;
use crate::reply::inbound::{AccountNotice, InboundMessage};
use crate::reply::interpret::Interpretation;
use crate::reply::keywords::{NO, YES};
use crate::store::{AuditEntry, CommandOrigin, Request, Store};
use crate::task::status_text::status;
use crate::task::webhook_reader::BodyReader;
use crate::time::Timestamp;
use crate::whatsapp::request;

/// How long others may take to agree: they have to find their telephone.
const OTHERS_MAY_TAKE: Duration = Duration::from_secs(10 * 60);
/// People who are asked to agree: each costs a message.
const ASKED_MAX: usize = 10;

/// Who wrote, and over which number they are answered.
#[derive(Clone, Copy)]
pub struct ReplySender<'a> {
    pub contact: &'a Contact,
    pub lane: &'a Conversation,
    pub reply: &'a InboundMessage,
}

impl BodyReader<'_> {
    /// Everything that a contact's message leads to, after it was written down.
    pub(crate) fn perform(
        &mut self,
        outcome: &Interpretation,
        from: ReplySender,
        standing: RecentAbuse,
    ) -> rusqlite::Result<()> {
        match outcome {
            Interpretation::Command(command) => {
                let origin = CommandOrigin {
                    reply: Some(&from.reply.wamid),
                    connection: Some(&from.lane.connection),
                    correlation: None,
                };
                self.command(&origin, command)
            }
            Interpretation::Confirm { deed, confirm, approvals, .. } => {
                self.ask_back(deed, *confirm, *approvals, from)
            }
            Interpretation::Vote { subject, choice, .. } => match subject {
                ButtonSubject::Request(number) => self.vote(*number, choice == YES, from),
                ButtonSubject::Question(number) => self.choose(*number, choice, from),
                ButtonSubject::Alert(_) => Ok(()), // a tap on an alert's button is an action
            },
            Interpretation::Acknowledge { alert, contact } => {
                let by = self.store.acknowledge(*alert, contact, self.now)?;
                let detail = format!(
                    "alert {alert}, by {}",
                    if by == *contact { "this person" } else { "another before" }
                );
                self.note("acknowledged", from, &detail)
            }
            Interpretation::Note { note, .. } => {
                self.store.note(note, self.now)?;
                self.read.notes += 1;
                let (what, alert) = match note {
                    AlertCommand::Acknowledge { alert, .. } => ("acknowledged", alert),
                    AlertCommand::Resolve { alert, .. } => ("resolved", alert),
                    AlertCommand::Snooze { alert, .. } => ("snoozed", alert),
                    AlertCommand::Silence(_)
                    | AlertCommand::Mute { .. }
                    | AlertCommand::Expire { .. }
                    | AlertCommand::Undelivered { .. }
                    | AlertCommand::Receipt { .. } => {
                        return Ok(());
                    } // no person's
                };
                self.note(what, from, &alert.to_string())
            }
            Interpretation::Invite { wanted, .. } => self.invite(wanted, from),
            Interpretation::Status { .. } => {
                let text = status(self.store, self.config, self.now, &from.contact.locale)?;
                self.answer_text(&text, from)
            }
            Interpretation::Say { text, reason, .. } => {
                self.idle(reason);
                self.answer_text(text, from)
            }
            Interpretation::Refused { text, reason, .. } => self.refuse(text, reason, from, standing),
            Interpretation::Hurried { .. } => {
                self.idle("too many in a minute");
                if standing.hurried > 0 {
                    return Ok(()); // told once
                }
                self.note("refused", from, "more than 10 acts in a minute")?;
                let count = ACTS_MAX.to_string();
                self.answer_sentence(|s| s.hurried, &[("count", &count)], from)
            }
            Interpretation::Locked { .. } => {
                self.idle("the person is locked out");
                self.note("refused", from, "locked out")
            }
            // What these lead to is where they always were.
            Interpretation::Consent { .. }
            | Interpretation::ReadOn { .. }
            | Interpretation::Stranger
            | Interpretation::Nothing { .. } => Ok(()),
        }
    }

    pub(crate) fn command(&mut self, origin: &CommandOrigin, command: &NewCommand) -> rusqlite::Result<()> {
        let id = self.store.insert_command(origin, command, self.now)?;
        let deed = &command.deed;
        self.read.commands += 1;
        tracing::info!(command = id.0, action = deed.name, topic = deed.topic, "a command");
        let detail = format!("{}: {} to {}", deed.name, deed.payload, deed.topic);
        let who = (!command.contact.0.is_empty()).then_some(&command.contact);
        let entry =
            AuditEntry { what: "commanded", who, message: origin.reply, command: Some(id), detail: &detail };
        self.store.record(&entry, self.now)
    }

    fn ask_back(
        &mut self,
        deed: &ResolvedAction,
        confirm: bool,
        approvals: u32,
        from: ReplySender,
    ) -> rusqlite::Result<()> {
        let life = if confirm { Duration::from_millis(deed.expires_ms) } else { OTHERS_MAY_TAKE };
        let mut request = Request {
            id: 0,
            reply: from.reply.wamid.clone(),
            connection: from.lane.connection.clone(),
            deed: deed.clone(),
            pending: Pending::new(from.contact.id.clone(), confirm, approvals, self.now + life),
        };
        request.id = self.store.insert_request(&request, self.now)?;
        self.note(
            "asked",
            from,
            &format!("request {}: {}: {} to {}", request.id, deed.name, deed.payload, deed.topic),
        )?;
        if !confirm {
            return self.ask_others(&request, from.contact);
        }
        let locale = &from.contact.locale;
        let blanks =
            [("title", deed.title.as_str()), ("topic", &deed.topic), ("time", &locale.duration(life))];
        let text = locale.say(|s| s.confirm, &blanks);
        let content = Content { quotes: Some(from.reply.wamid.0.clone()), ..Content::text(text) };
        self.ask(&request, from.contact, content)
    }

    /// Whoever else may do it is asked; at least one of them has to be reached.
    fn ask_others(&mut self, request: &Request, asker: &Contact) -> rusqlite::Result<()> {
        let config = self.config;
        let deed = &request.deed;
        let left = self.now.until(request.pending.expires_at);
        let others = config.people.contacts.values();
        let others =
            others.filter(|other| other.id != asker.id && may(other, &deed.roles, &deed.topic).is_ok());
        let mut asked = 0;
        for other in others.take(ASKED_MAX) {
            asked += 1;
            let (name, title, topic) = (asker.name.as_str(), deed.title.as_str(), deed.topic.as_str());
            let time = other.locale.duration(left);
            let blanks = [("name", name), ("title", title), ("topic", topic), ("time", &time)];
            let text = other.locale.say(|s| s.agree, &blanks);
            self.ask(request, other, Content::text(text))?;
        }
        if asked > 0 {
            return Ok(());
        }
        self.store.change_request(request, "declined")?;
        self.read.nothing.push("nobody else may agree".to_owned());
        self.tell_asker(request, |s| s.nobody_may_agree, &[("title", &deed.title)])
    }

    fn ask(&mut self, request: &Request, whom: &Contact, content: Content) -> rusqlite::Result<()> {
        let subject = ButtonSubject::Request(request.id);
        let (yes, no) = (whom.locale.plain(|s| s.yes), whom.locale.plain(|s| s.no));
        let button = |choice: &str, title: String| {
            let token =
                ButtonToken { subject, action: choice.to_owned(), expires_at: request.pending.expires_at };
            Button::new(self.store.seal().close(&token, &whom.id), title)
        };
        let content = Content { buttons: vec![button(YES, yes), button(NO, no)], ..content };
        let lane = Conversation { connection: request.connection.clone(), contact: whom.id.clone() };
        let message = self.store.compose(&lane, &whom.to, &content, self.now)?;
        self.read.messages = true;
        self.store.keep_asked(message, subject)
    }

    fn vote(&mut self, number: i64, yes: bool, from: ReplySender) -> rusqlite::Result<()> {
        let Some(mut request) = self.store.request(number)? else {
            return self.answer_sentence(|s| s.nothing_waits, &[], from);
        };
        // Roles may have been taken away since it was asked.
        let lacks = may(from.contact, &request.deed.roles, &request.deed.topic).err();
        if let Some(lacks) = lacks.filter(|_| yes) {
            let text = lacks.refusal(&request.deed.title, &from.contact.locale);
            return self.refused(&text, &lacks.sentence(&Locale::default()), from);
        }
        let verdict = request.pending.vote(&from.contact.id, yes, self.now);
        let detail = format!("request {number}: {verdict:?}");
        self.note(if yes { "agreed" } else { "declined" }, from, &detail)?;
        match verdict {
            ApprovalOutcome::Done => {
                self.store.change_request(&request, "done")?;
                // One message tells the end: where the device answers, that is it.
                if from.contact.id != request.pending.asker && request.deed.answer.is_none() {
                    let blanks = [("name", from.contact.name.as_str()), ("title", &request.deed.title)];
                    self.tell_asker(&request, |s| s.agrees, &blanks)?;
                }
                let command = request.deed.clone().command(request.pending.asker.clone(), self.now);
                let origin = CommandOrigin {
                    reply: Some(&request.reply),
                    connection: Some(&request.connection),
                    correlation: None,
                };
                self.command(&origin, &command)
            }
            ApprovalOutcome::AskOthers => {
                request.pending.expires_at = self.now + OTHERS_MAY_TAKE;
                self.store.change_request(&request, "open")?;
                self.ask_others(&request, from.contact)
            }
            ApprovalOutcome::Noted => self.store.change_request(&request, "open"),
            ApprovalOutcome::Declined => {
                self.store.change_request(&request, "declined")?;
                if from.contact.id == request.pending.asker {
                    return Ok(()); // who says No knows
                }
                let blanks = [("name", from.contact.name.as_str()), ("title", &request.deed.title)];
                self.tell_asker(&request, |s| s.disagrees, &blanks)
            }
            ApprovalOutcome::TooLate => self.answer_sentence(|s| s.decided_already, &[], from),
            ApprovalOutcome::NotYours => self.answer_sentence(|s| s.others_must_agree, &[], from),
        }
    }

    fn tell_asker(
        &mut self,
        request: &Request,
        sentence: fn(&Sentences) -> &'static str,
        blanks: &[(&str, &str)],
    ) -> rusqlite::Result<()> {
        let config = self.config;
        let Some(asker) = config.people.contacts.get(&request.pending.asker) else { return Ok(()) };
        let text = asker.locale.say(sentence, blanks);
        let content = Content { quotes: Some(request.reply.0.clone()), ..Content::text(text) };
        let lane = Conversation { connection: request.connection.clone(), contact: asker.id.clone() };
        self.read.messages = true;
        self.store.compose(&lane, &asker.to, &content, self.now).map(drop)
    }

    /// The fifth refusal is told to the owner, and is the last that is answered for a while.
    fn refuse(
        &mut self,
        text: &str,
        reason: &str,
        from: ReplySender,
        standing: RecentAbuse,
    ) -> rusqlite::Result<()> {
        if standing.refusals + 1 < REFUSALS_MAX {
            return self.refused(text, reason, from);
        }
        let minutes = REFUSALS_IN.as_secs() / 60;
        let blanks = [
            ("text", text.to_owned()),
            ("count", REFUSALS_MAX.to_string()),
            ("minutes", minutes.to_string()),
        ];
        let blanks = blanks.each_ref().map(|(name, value)| (*name, value.as_str()));
        let locked = from.contact.locale.say(|s| s.locked_out, &blanks);
        let name = &from.contact.name;
        let told = format!(
            "{name} was refused {REFUSALS_MAX} times, and is locked out for {minutes} minutes; the last time: {reason}"
        );
        self.warn_owner(&from.lane.connection, format!("lock-out {} {}", from.contact.id, self.now.0), told)?;
        self.refused(&locked, reason, from)
    }

    /// Whoever looks for why nothing happened finds it in the log.
    pub(crate) fn idle(&mut self, reason: &str) {
        tracing::info!(reason, "a message does not act");
        self.read.nothing.push(reason.to_owned());
    }

    pub(crate) fn refused(&mut self, text: &str, reason: &str, from: ReplySender) -> rusqlite::Result<()> {
        tracing::warn!(contact = %from.contact.id, reason, "a request was refused");
        self.read.nothing.push(reason.to_owned());
        self.note("refused", from, reason)?;
        self.answer_text(text, from)
    }

    /// Somebody who is no contact: one polite answer a day, and the owner sees who it was. Profile names are chosen by
    /// whoever writes, so they are not shown.
    pub(crate) fn meet(&mut self, reply: &InboundMessage, over: &ConnectionName) -> rusqlite::Result<()> {
        if reply.group.is_some() {
            self.idle("a stranger wrote in a group");
            return Ok(());
        }
        let phone = reply.from.as_deref().map(|from| format!("+{}", from.trim_start_matches('+')));
        let Some(address) = phone.or_else(|| reply.user_id.clone()) else { return Ok(()) };
        if self.greet(&address, reply, over)? {
            return Ok(());
        }
        self.idle("the sender is no contact");
        if !self.store.meet_stranger(&address, self.now)? {
            return Ok(());
        }
        let Some(to) = crate::contact::Recipient::parse(&address) else { return Ok(()) };
        let nobody =
            ContactId(format!("stranger {}", self.store.seal().pseudonym(&ContactId(address.clone()))));
        let lane = Conversation { connection: over.clone(), contact: nobody };
        self.store.heard(&lane, reply.at, self.now)?;
        let text = self.config.people.locale.say(|s| s.stranger, &[("site", &self.config.site.name)]);
        self.store.compose(&lane, &to, &Content::text(text), self.now)?;
        self.read.messages = true;
        // Who hides the number can only be written into the configuration.
        let how = match address.starts_with('+') {
            true => format!("write: invite {address} NAME as ROLE"),
            false => "add a [[contact]] with this user_id".to_owned(),
        };
        let told = format!("{address} wrote and is no contact; if they should be one, {how}");
        self.warn_owner(over, format!("stranger {address}"), told)
    }

    fn warn_owner(&mut self, over: &ConnectionName, field: String, text: String) -> rusqlite::Result<()> {
        let notice = AccountNotice::of(field, Severity::Warning, text);
        self.tell_owner(over, &notice)
    }

    /// To whoever wrote, in their own words.
    pub(crate) fn answer_sentence(
        &mut self,
        sentence: fn(&Sentences) -> &'static str,
        blanks: &[(&str, &str)],
        from: ReplySender,
    ) -> rusqlite::Result<()> {
        self.answer_text(&from.contact.locale.say(sentence, blanks), from)
    }

    pub(crate) fn answer_text(&mut self, text: &str, from: ReplySender) -> rusqlite::Result<()> {
        let content = Content { quotes: Some(from.reply.wamid.0.clone()), ..Content::text(text) };
        self.read.messages = true;
        self.store.compose(from.lane, &from.contact.to, &content, self.now).map(drop)
    }

    pub(crate) fn note(&self, what: &str, from: ReplySender, detail: &str) -> rusqlite::Result<()> {
        let entry = AuditEntry {
            what,
            who: Some(&from.contact.id),
            message: Some(&from.reply.wamid),
            command: None,
            detail,
        };
        self.store.record(&entry, self.now)
    }
}

/// The rest of a message of theirs, as a message of its own. What may be tapped stays with the first part.
pub(crate) fn read_on(
    store: &Store,
    contact: &ContactId,
    message: MessageId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(due) = store.whole(message)?.filter(|due| due.lane.contact == *contact) else { return Ok(()) };
    match request::rest(&due.content) {
        "" => Ok(()),
        rest => store.compose(&due.lane, &due.to, &Content::text(rest), now).map(drop),
    }
}
