//! What somebody may have done: an alert's action, or a command in words, with the conditions under which it is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::phrase::{Phrase, Values};
use crate::event::topic::{Bindings, TopicTemplate};
use crate::ids::{AlertId, ConnectionName, ContactId, Wamid};
use crate::time::Timestamp;

/// What a payload may name of whoever asks.
pub const BY_ID: &str = "{{ contact }}";
pub const BY_NAME: &str = "{{ contact.name }}";

/// `[[command]]`: what may be written at any time.
#[derive(Debug, Clone)]
pub struct TextCommand {
    pub name: String,
    /// The first is how help shows it; the others are its synonyms, in any language.
    pub phrases: Vec<Phrase>,
    pub values: Values,
    pub topic: TopicTemplate,
    /// `{places}` are filled in it, as in the topic.
    pub payload: String,
    pub retain: bool,
    pub terms: ActionPolicy,
}

/// Under which conditions something is done, and how its end is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionPolicy {
    /// Who may; empty means everybody who is a contact.
    pub roles: BTreeSet<String>,
    /// After this the command is not published any more (promise P5).
    pub expires: Duration,
    /// Whoever asks is asked back.
    pub confirm: bool,
    /// How many people must want it, the one who asks among them.
    pub approvals: u32,
    pub answer: Option<Expected>,
}

/// How the device shows what it made of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Where its state is seen; without one it answers to the command's response topic.
    pub topic: Option<TopicTemplate>,
    pub when: Option<String>,
    pub refused_when: Option<String>,
    pub within: Duration,
}

/// One thing to be done, with everything filled in: it waits on disk for a Yes, and is not looked up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedAction {
    pub alert: Option<i64>,
    pub name: String,
    /// For people: `Stop defrost`.
    pub title: String,
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    pub roles: BTreeSet<String>,
    pub expires_ms: u64,
    pub answer: Option<Awaited>,
}

/// What is awaited of the device, filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// `None`: the response topic.
    pub topic: Option<String>,
    pub when: Option<String>,
    pub refused_when: Option<String>,
    pub within_ms: u64,
}

/// A command to be written down, then published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    pub contact: ContactId,
    pub action: ResolvedAction,
    pub expires_at: Timestamp,
}

/// Where a command comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOrigin {
    /// The message that asked; at most one command comes of it.
    pub reply: Option<Wamid>,
    /// Over which number the end is told.
    pub connection: Option<ConnectionName>,
    /// Of the machine's question that it decides.
    pub correlation: Option<Vec<u8>>,
}

impl ActionPolicy {
    /// Whether it happens at once.
    #[must_use]
    pub fn is_immediate(&self) -> bool {
        !self.confirm && self.approvals <= 1
    }
}

impl Expected {
    fn fill(&self, bindings: &Bindings) -> Awaited {
        Awaited {
            topic: self.topic.as_ref().and_then(|topic| topic.fill(bindings)),
            when: self.when.clone(),
            refused_when: self.refused_when.clone(),
            within_ms: millis(self.within),
        }
    }
}

impl ResolvedAction {
    /// `None` where the levels make no topic that a broker takes.
    #[must_use]
    pub fn new(
        (name, title): (&str, &str),
        (topic, payload, retain): (&TopicTemplate, &str, bool),
        terms: &ActionPolicy,
        bindings: &Bindings,
        alert: Option<AlertId>,
    ) -> Option<Self> {
        Some(Self {
            alert: alert.map(|alert| alert.0),
            name: name.to_owned(),
            title: title.to_owned(),
            topic: topic.fill(bindings)?,
            payload: payload.to_owned(),
            retain,
            roles: terms.roles.clone(),
            expires_ms: millis(terms.expires),
            answer: terms.answer.as_ref().map(|answer| answer.fill(bindings)),
        })
    }

    /// Somebody wants it, from `at` on.
    #[must_use]
    pub fn command(self, contact: ContactId, at: Timestamp) -> NewCommand {
        let expires_at = at + Duration::from_millis(self.expires_ms);
        NewCommand { contact, action: self, expires_at }
    }
}

impl TextCommand {
    /// What a text asks for, if it is this command.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<ResolvedAction> {
        let bindings = self.phrases.iter().find_map(|phrase| phrase.read(text, &self.values))?;
        let fill =
            |text: String, (name, value): (&String, &String)| text.replace(&format!("{{{name}}}"), value);
        let payload = bindings.iter().fold(self.payload.clone(), fill);
        let words = self.phrases.first().map(|phrase| phrase.as_str().to_owned()).unwrap_or_default();
        let title = bindings.iter().fold(words, fill);
        let what = (&self.topic, payload.as_str(), self.retain);
        ResolvedAction::new((&self.name, &title), what, &self.terms, &bindings, None)
    }

    /// As people should write it.
    #[must_use]
    pub fn shown(&self) -> String {
        self.phrases.first().map(|phrase| phrase.shown(&self.values)).unwrap_or_default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
