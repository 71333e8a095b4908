//! One message of a contact, while it is decided what follows from it.

use crate::contact::Contact;
use crate::contact::language::Sentences;
use crate::contact::severity::Severity;
use crate::ids::ContactId;
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::context::SiteContext;
use crate::reply::effect::{AuditRecord, OutgoingMessage, ReplyEffect};
use crate::reply::facts::ReplyFacts;
use crate::reply::inbound::{AccountNotice, InboundMessage};
use crate::reply::owner_notice::{self, NoticeRoute};

/// The person who wrote, and the number over which they are answered.
#[derive(Debug, Clone, Copy)]
pub struct ReplySender<'a> {
    pub contact: &'a Contact,
    pub lane: &'a Conversation,
    pub reply: &'a InboundMessage,
}

pub(crate) struct Answer<'a> {
    pub(crate) site: &'a SiteContext<'a>,
    pub(crate) facts: &'a ReplyFacts,
    pub(crate) from: ReplySender<'a>,
    pub(crate) effects: Vec<ReplyEffect>,
}

impl Answer<'_> {
    /// To whoever wrote, under what they wrote.
    pub(crate) fn say(&mut self, text: &str) {
        let content = Content { quotes: Some(self.from.reply.wamid.0.clone()), ..Content::text(text) };
        self.send(self.from.contact, content);
    }

    /// The same, in their own words.
    pub(crate) fn sentence(&mut self, sentence: fn(&Sentences) -> &'static str, blanks: &[(&str, &str)]) {
        self.say(&self.from.contact.locale.say(sentence, blanks));
    }

    /// Over the number that was written to.
    pub(crate) fn send(&mut self, to: &Contact, content: Content) {
        let message = OutgoingMessage::to(to, &self.from.lane.connection, content);
        self.effects.push(ReplyEffect::Send(Box::new(message)));
    }

    pub(crate) fn nothing(&mut self, reason: &str) {
        self.effects.push(ReplyEffect::Nothing(reason.to_owned()));
    }

    pub(crate) fn refused(&mut self, text: &str, reason: &str) {
        let contact = self.from.contact.id.clone();
        self.effects.push(ReplyEffect::Refused(contact, reason.to_owned()));
        self.record("refused", reason.to_owned());
        self.say(text);
    }

    pub(crate) fn record(&mut self, what: &'static str, detail: String) {
        self.effects.push(ReplyEffect::Record(self.audit(what, &self.from.contact.id, detail)));
    }

    pub(crate) fn audit(&self, what: &'static str, who: &ContactId, detail: String) -> AuditRecord {
        let (who, message) = (Some(who.clone()), Some(self.from.reply.wamid.clone()));
        AuditRecord { what, who, message, command: None, detail }
    }

    pub(crate) fn warn_owner(&mut self, field: String, text: String) {
        let notice = AccountNotice::of(field, Severity::Warning, text);
        let about = &self.from.lane.connection;
        let told = owner_notice::about_number(self.site, about, notice, NoticeRoute::AnotherFirst);
        self.effects.push(ReplyEffect::TellOwner(Box::new(told)));
    }
}
