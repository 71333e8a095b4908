//! The meaning of a tap or of words, and what follows. Nothing acts unless it was surely meant: the whole text is
//! the command, a button is sealed, and what only resembles a command gets a suggestion.

use crate::alert::engine::AlertCommand;
use crate::alert::request::RequestAction;
use crate::command::action::{ActionPolicy, NewCommand, ResolvedAction};
use crate::command::authorise::may;
use crate::command::phrase::same;
use crate::contact::Contact;
use crate::contact::language::{Locale, Sentences};
use crate::event::topic::Bindings;
use crate::ids::{AlertId, ContactId, MessageId, RuleName, StoreTag, Wamid};
use crate::outbox::button_token::{ButtonSubject, TokenError};
use crate::outbox::render::BUTTONS_ACT;
use crate::reply::context::ReplyContext;
use crate::reply::inbound::{InboundContent, InboundMessage};
use crate::reply::invitation_syntax::{self, InvitationRequest};
use crate::reply::keywords::{self, StatusQuestion};
use crate::reply::opt_out::ConsentWord;
use crate::rule::lifecycle_settings::BuiltInButton;
use crate::time::Timestamp;

/// An alert that somebody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRef {
    pub alert: AlertId,
    pub rule: RuleName,
    pub bindings: Bindings,
    /// It has ended, or has begun anew since.
    pub is_over: bool,
    /// The buttons of a request; all others have those of their rule.
    pub actions: Vec<RequestAction>,
}

/// A message of ours, as far as an answer to it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    pub to: ContactId,
    pub at: Timestamp,
    pub about: ReplySubject,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplySubject {
    Alert(AlertRef),
    /// A command that waits for a Yes, or a machine's question with its choices.
    Asked(ButtonSubject, Vec<String>),
    Other,
}

/// The sent messages, as the store can tell.
pub trait SentMessages {
    /// The alert with this id.
    fn alert(&self, id: AlertId) -> Option<AlertRef>;
    /// The message of ours with this id of Meta's.
    fn sent(&self, wamid: &Wamid) -> Option<SentMessage>;
    fn message(&self, wamid: &Wamid) -> Option<MessageId>;
}

/// The meaning of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interpretation {
    Command(NewCommand),
    /// It waits for a Yes: of the same person, of others, or of both.
    Confirm {
        contact: ContactId,
        action: ResolvedAction,
        confirm: bool,
        approvals: u32,
    },
    /// A Yes or No to something that waits, or a choice of a machine's question.
    Vote {
        contact: ContactId,
        subject: ButtonSubject,
        choice: String,
    },
    /// Somebody takes care of an alert that is told each time, and has no life of its own.
    Acknowledge {
        contact: ContactId,
        alert: AlertId,
    },
    /// The person asks for no more messages, or for messages again.
    Consent {
        contact: ContactId,
        wish: ConsentWord,
    },
    /// The owner wants somebody on the list, or off it.
    Invite {
        contact: ContactId,
        wanted: InvitationRequest,
    },
    /// The rest of a message that was too long for one.
    ReadOn {
        contact: ContactId,
        message: MessageId,
    },
    /// What fires, and what is offline.
    Status {
        contact: ContactId,
    },
    /// Nothing is done but to say something.
    Say {
        contact: ContactId,
        text: String,
        reason: String,
    },
    /// The person may not, or the button is not theirs: it counts towards a lock-out.
    Refused {
        contact: ContactId,
        text: String,
        reason: String,
    },
    /// It would act, but for too many before it.
    Hurried {
        contact: ContactId,
    },
    Locked {
        contact: ContactId,
    },
    Stranger,
    /// Somebody takes care of an alert, ends it, or wants to hear nothing of it for a while.
    Note {
        contact: ContactId,
        note: AlertCommand,
    },
    /// Nothing is done; the reason is a sentence.
    Nothing {
        contact: Option<ContactId>,
        reason: String,
    },
}

/// Understands one reply. Its age counts: the time is the webhook's own, so a body that was held up for a day asks for
/// a command that has expired, and it does not act (docs/reliability.md F38).
#[must_use]
pub fn interpret(
    reply: &InboundMessage,
    house: &ReplyContext,
    tag: &StoreTag,
    memory: &dyn SentMessages,
) -> Interpretation {
    let Some(contact) = house.sender else { return Interpretation::Stranger };
    // Eight people read along there, no message to a group has buttons, and an answer would go to the person alone.
    if reply.group.is_some() {
        let reason = "it was written in a group, where nothing acts: write to the number itself".to_owned();
        return Interpretation::Nothing { contact: Some(contact.id.clone()), reason };
    }
    let reading = Reading { reply, house, tag, memory, contact };
    let outcome = reading.in_time(reading.meaning());
    if !acts(&outcome) {
        return outcome;
    }
    if reply.forwarded {
        return reading
            .say(|s| s.was_forwarded, "it was forwarded, not written by the sender, so it does not act");
    }
    if house.standing.is_locked() && changes(&outcome) {
        return Interpretation::Locked { contact: contact.id.clone() };
    }
    if house.standing.hurries() && changes(&outcome) {
        return Interpretation::Hurried { contact: contact.id.clone() };
    }
    outcome
}

/// Whether it does anything at all: what does not is as harmless when it was forwarded.
fn acts(outcome: &Interpretation) -> bool {
    match outcome {
        Interpretation::Command(_)
        | Interpretation::Confirm { .. }
        | Interpretation::Vote { .. }
        | Interpretation::Acknowledge { .. }
        | Interpretation::Note { .. }
        | Interpretation::Consent { .. }
        | Interpretation::Invite { .. }
        | Interpretation::Status { .. }
        | Interpretation::Say { .. }
        | Interpretation::Refused { .. } => true,
        Interpretation::ReadOn { .. }
        | Interpretation::Hurried { .. }
        | Interpretation::Locked { .. }
        | Interpretation::Stranger
        | Interpretation::Nothing { .. } => false,
    }
}

/// Whether it costs anything to anybody else; STOP is heard however often.
fn changes(outcome: &Interpretation) -> bool {
    acts(outcome) && !matches!(outcome, Interpretation::Consent { .. })
}

/// One reply, while it is read.
pub(crate) struct Reading<'a> {
    pub(crate) reply: &'a InboundMessage,
    pub(crate) house: &'a ReplyContext<'a>,
    tag: &'a StoreTag,
    memory: &'a dyn SentMessages,
    pub(crate) contact: &'a Contact,
}

impl Reading<'_> {
    fn meaning(&self) -> Interpretation {
        match &self.reply.content {
            InboundContent::Tap { id, title } => self.tap(id, title),
            InboundContent::Text(text) => self.text(text),
            InboundContent::Captioned { kind, caption, facts } => {
                let outcome = self.text(caption);
                // Words that are a command are that; all others belong to the picture.
                let is_more = matches!(outcome, Interpretation::Nothing { .. });
                if is_more { self.given(kind, facts, caption) } else { outcome }
            }
            InboundContent::Given { kind, facts } => self.given(kind, facts, ""),
            InboundContent::Reaction { emoji } => self.reaction(emoji.as_deref()),
            InboundContent::SharedNumber(_) => {
                self.nothing("they shared a phone number, which the owner is told")
            }
            InboundContent::Other(kind) => self.given(kind, &serde_json::Value::Null, ""),
        }
    }

    fn tap(&self, id: &str, title: &str) -> Interpretation {
        if let Some(message) = self.tag.read_more(id) {
            return Interpretation::ReadOn { contact: self.contact.id.clone(), message };
        }
        match self.house.seal.open(id, &self.contact.id, self.reply.at) {
            Some(Ok(token)) => match token.subject {
                ButtonSubject::Alert(alert) => match self.memory.alert(AlertId(alert)) {
                    Some(known) => self.tapped(&known, &token.action),
                    None => self.stale("the alert of this button is no longer kept"),
                },
                ButtonSubject::Request(_) | ButtonSubject::Question(_) => {
                    self.vote(token.subject, token.action)
                }
            },
            Some(Err(TokenError::Expired)) => self.stale("the button is older than it may be"),
            Some(Err(TokenError::Forged)) => Interpretation::Refused {
                contact: self.contact.id.clone(),
                text: self.contact.locale.plain(|s| s.not_your_button),
                reason: TokenError::Forged.to_string(),
            },
            // A template's quick reply may bring back only its label (docs/cloud-api.md 1.3); the message that it answers tells the rest.
            None => match self.answered() {
                Ok(Some(sent)) => self.under(&sent, title).unwrap_or_else(|| self.label(title)),
                Ok(None) => self.label(title),
                Err(outcome) => *outcome,
            },
        }
    }

    /// A label that is no action's: a template may have a button STOP.
    fn label(&self, title: &str) -> Interpretation {
        match self.house.words.read(title) {
            Some(wish) => Interpretation::Consent { contact: self.contact.id.clone(), wish },
            None => self.unknown(title),
        }
    }

    fn text(&self, text: &str) -> Interpretation {
        if keywords::is_more(text)
            && let Some(message) = self.reply.quotes.as_ref().and_then(|wamid| self.memory.message(wamid))
        {
            return Interpretation::ReadOn { contact: self.contact.id.clone(), message };
        }
        // A word under an alert may be its action's name, so STOP and commands are looked for only where it is not.
        match self.answered() {
            Ok(Some(sent)) => self.under(&sent, text).unwrap_or_else(|| self.plain(text)),
            Ok(None) => self.plain(text),
            Err(outcome) => *outcome,
        }
    }

    fn reaction(&self, emoji: Option<&str>) -> Interpretation {
        let thumb = emoji.is_some_and(|emoji| same("👍", emoji) || same("✅", emoji));
        match self.answered() {
            Ok(Some(SentMessage { about: ReplySubject::Alert(known), .. })) if thumb => {
                self.offered(&known, BuiltInButton::Acknowledge)
            }
            Err(outcome) if thumb => *outcome,
            Ok(_) | Err(_) => self.nothing("a reaction acts only as 👍 under an alert"),
        }
    }

    /// The message of ours that it answers, if it answers one; or why that does not count.
    fn answered(&self) -> Result<Option<SentMessage>, Box<Interpretation>> {
        let Some(sent) = self.reply.quotes.as_ref().and_then(|wamid| self.memory.sent(wamid)) else {
            return Ok(None);
        };
        if sent.to != self.contact.id {
            return Err(Box::new(Interpretation::Refused {
                contact: self.contact.id.clone(),
                text: self.contact.locale.plain(|s| s.for_somebody_else),
                reason: "the message that it answers was sent to somebody else".to_owned(),
            }));
        }
        Ok(Some(sent))
    }

    /// What it means under that message; `None`: nothing that is particular to it.
    fn under(&self, sent: &SentMessage, words: &str) -> Option<Interpretation> {
        let old = sent.at + BUTTONS_ACT <= self.reply.at;
        let outcome = match &sent.about {
            ReplySubject::Alert(known) => self.said_of(known, words)?,
            ReplySubject::Asked(subject, choices) => {
                let choice = keywords::choice(*subject, choices, words)?;
                self.vote(*subject, choice)
            }
            ReplySubject::Other => return None,
        };
        Some(if old { self.stale("the message that it answers is older than a day") } else { outcome })
    }

    fn plain(&self, text: &str) -> Interpretation {
        let contact = self.contact.id.clone();
        if let Some(wish) = self.house.words.read(text) {
            return Interpretation::Consent { contact, wish };
        }
        let wanted = self.house.commands.iter().find_map(|command| Some((command, command.read(text)?)));
        if let Some((command, mut action)) = wanted {
            action.payload = self.named(&action.payload);
            return self.offer(Some(action), &command.terms);
        }
        let directed = self.house.onward.iter().find_map(|onward| Some((onward, onward.directed(text)?)));
        if let Some((onward, text)) = directed {
            return self.offer(onward.action(self.ticket(text), &Bindings::new(), None), &onward.terms);
        }
        if let Some(wanted) = invitation_syntax::read(text, &self.contact.locale) {
            return self.invite(wanted);
        }
        match keywords::asked(text) {
            Some(StatusQuestion::Help) => {
                let text = keywords::help(self.contact, self.house);
                Interpretation::Say { contact, text, reason: "the person asked what may be done".to_owned() }
            }
            Some(StatusQuestion::Status) => Interpretation::Status { contact },
            None => self.unknown(text),
        }
    }

    fn unknown(&self, text: &str) -> Interpretation {
        match keywords::suggestion(text, self.contact, self.house.commands) {
            Some(words) => self.suggest(&words),
            None => self.nothing("nothing is set up for these words"),
        }
    }

    pub(crate) fn offer(&self, action: Option<ResolvedAction>, terms: &ActionPolicy) -> Interpretation {
        let Some(action) = action else {
            return self.stale("the levels of this alert make no topic that can be published to");
        };
        let contact = self.contact.id.clone();
        if let Err(lacks) = may(self.contact, &action.roles, &action.topic) {
            return Interpretation::Refused {
                contact,
                text: lacks.refusal(&action.title, &self.contact.locale),
                reason: format!("{} was asked for, but {}", action.name, lacks.sentence(&Locale::default())),
            };
        }
        if terms.is_immediate() {
            return Interpretation::Command(action.command(contact, self.reply.at));
        }
        Interpretation::Confirm { contact, action, confirm: terms.confirm, approvals: terms.approvals }
    }

    pub(crate) fn vote(&self, subject: ButtonSubject, choice: String) -> Interpretation {
        Interpretation::Vote { contact: self.contact.id.clone(), subject, choice }
    }

    pub(crate) fn suggest(&self, words: &str) -> Interpretation {
        let text = self.contact.locale.say(|s| s.did_you_mean, &[("words", words)]);
        let reason = "it only resembles a command, so it does not act".to_owned();
        Interpretation::Say { contact: self.contact.id.clone(), text, reason }
    }

    pub(crate) fn stale(&self, reason: &str) -> Interpretation {
        self.say(|s| s.too_old, reason)
    }

    pub(crate) fn say(&self, sentence: fn(&Sentences) -> &'static str, reason: &str) -> Interpretation {
        let (text, reason) = (self.contact.locale.plain(sentence), reason.to_owned());
        Interpretation::Say { contact: self.contact.id.clone(), text, reason }
    }

    pub(crate) fn nothing(&self, reason: &str) -> Interpretation {
        Interpretation::Nothing { contact: Some(self.contact.id.clone()), reason: reason.to_owned() }
    }
}
