//! An alert of a rule without a life, as it goes to the store: who gets which words.

use crate::alert::message_text::MessageText;
use crate::contact::Contact;
use crate::contact::language::{Locale, Translated};
use crate::contact::severity::Severity;
use crate::event::topic::Bindings;
use crate::ids::{ConnectionName, RuleName};
use crate::outbox::message::Content;
use crate::outbox::message_state::OnUnknown;
use crate::outbox::render;
use crate::rule::attachment::StoredFile;
use crate::time::Timestamp;

/// An alert and its messages.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAlert {
    pub rule: RuleName,
    pub severity: Severity,
    pub bindings: Bindings,
    /// What everybody gets, but for the words.
    pub content: Content,
    pub wording: MessageText,
    /// What its buttons are called, in their order.
    pub titles: Vec<Translated>,
    pub at: Timestamp,
    /// The file that it carries, if it came with the event.
    pub kept: Option<StoredFile>,
    /// What went wrong on the way, though it is sent: a failed message template.
    pub flaw: Option<String>,
    pub connection: ConnectionName,
    pub on_unknown: OnUnknown,
    pub expires_at: Timestamp,
    pub recipients: Vec<Contact>,
    /// Who hears of it later or not at all, and why: sentences.
    pub held: Vec<String>,
}

impl NewAlert {
    /// What this person reads, by their own clock.
    #[must_use]
    pub fn to(&self, contact: &Contact) -> Content {
        self.in_voice(&contact.locale)
    }

    /// What somebody of this voice would read.
    #[must_use]
    pub fn in_voice(&self, locale: &Locale) -> Content {
        let text = render::with_time(self.wording.in_language(locale.language), self.at, locale);
        let mut content = Content { text, ..self.content.clone() }.in_language(locale.language);
        for (button, title) in content.buttons.iter_mut().zip(&self.titles) {
            title.to(locale.language).clone_into(&mut button.title);
        }
        content
    }

    /// Each message that goes out, with those who get it.
    #[must_use]
    pub fn messages(&self) -> Vec<(Content, Vec<&Contact>)> {
        let mut messages: Vec<(Content, Vec<&Contact>)> = Vec::new();
        for contact in &self.recipients {
            let content = self.to(contact);
            match messages.iter_mut().find(|(known, _)| *known == content) {
                Some((_, people)) => people.push(contact),
                None => messages.push((content, vec![contact])),
            }
        }
        messages
    }
}
