//! The rows that the sender and the store speak about.

use std::time::Duration;

use crate::contact::Recipient;
use crate::contact::severity::Severity;
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId, Wamid};
use crate::outbox::message::{Content, Media};
use crate::outbox::message_state::OnUnknown;
use crate::outbox::retry_policy::Next;
use crate::outbox::window::{CatalogueEntry, MessageForm, Window};
use crate::time::Timestamp;

/// A message that may go out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueMessage {
    pub id: MessageId,
    pub lane: Conversation,
    pub to: Recipient,
    pub content: Content,
    pub alert: Option<AlertId>,
    pub severity: Severity,
    /// Requests made before.
    pub attempts: u32,
    /// Those that count against its limit of tries.
    pub tries: u32,
    pub on_unknown: OnUnknown,
    /// When it is too old to be worth sending.
    pub expires_at: Timestamp,
    pub window: Window,
    /// The catalogue's entry for each template of the content.
    pub listed: Vec<CatalogueEntry>,
}

/// Messages to one person over one connection leave one at a time, so that they arrive in the order of their story:
/// Meta keeps no order between requests that overlap (docs/cloud-api.md 1.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conversation {
    pub connection: ConnectionName,
    pub contact: ContactId,
}

/// The messages that the sender asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    pub due: Vec<DueMessage>,
    /// Some of them were not what was written, and have been put aside.
    pub damaged: bool,
}

/// A change of a message that the store is asked to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageUpdate {
    /// A request is about to leave. Committed before the first byte does (promise P3).
    Sending { id: MessageId, attempt: u32, form: MessageForm, at: Timestamp },
    /// It may not leave now; a sentence says why.
    Held { id: MessageId, at: Timestamp, reason: String },
    /// The clock was set back by so much: what waits until a time waits no longer than it would have.
    SetBack { by: Duration },
    /// The answer, and what follows from it.
    Settled(Box<SendResult>),
}

/// The effect of an answer on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendResult {
    pub id: MessageId,
    pub lane: Conversation,
    pub attempt: u32,
    /// Whether it counts against the limit of tries.
    pub counts: bool,
    pub at: Timestamp,
    pub next: Next,
    pub wamid: Option<Wamid>,
    /// The number or user id under which Meta knows whoever it goes to.
    pub known_as: Option<String>,
    pub code: Option<i64>,
    pub http_status: Option<u16>,
    pub fbtrace_id: Option<String>,
}

impl DueMessage {
    /// The form with which the template of that index leaves.
    #[must_use]
    pub fn template_form(&self, index: usize) -> MessageForm {
        self.content.templates.get(index).map_or(MessageForm::Free, |template| MessageForm::Template {
            name: template.name.clone(),
            language: template.language.clone(),
        })
    }

    /// With the ids of its files, in the order of `Content::media`.
    #[must_use]
    pub fn with_media(mut self, ids: &[Media]) -> Self {
        self.content.media().into_iter().zip(ids).for_each(|(media, id)| *media = id.clone());
        self
    }

    /// Without its files and the templates that need one, which the catalogue's answers follow.
    #[must_use]
    pub fn without_media(mut self, why: &str) -> Self {
        let templates = std::mem::take(&mut self.content.templates);
        self.content = self.content.without_media(why);
        let kept = templates.into_iter().zip(self.listed).filter(|(template, _)| !template.needs_file());
        (self.content.templates, self.listed) = kept.unzip();
        self
    }
}
