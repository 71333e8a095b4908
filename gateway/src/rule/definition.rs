//! A rule: which events matter, what is said about them, to whom, and what may be answered.

use std::sync::Arc;
use std::time::Duration;

use crate::alert::alert_key::is_level;
use crate::alert::effect::fingerprint;
use crate::command::action::ActionPolicy;
use crate::contact::language::Translated;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::ids::{ConnectionName, RuleName};
use crate::outbox::message::Template;
use crate::outbox::message_state::OnUnknown;
use crate::rule::attachment::Attachment;
use crate::rule::lifecycle_settings::LifecycleSettings;

/// Built by `config`, which has checked every name and compiled every expression.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: RuleName,
    pub topic: TopicPattern,
    /// A Jinja expression; without one every event on the topic is an alert.
    pub when: Option<String>,
    /// Jinja templates.
    pub message: Translated,
    /// What may be sent outside the 24 h window, in order of preference; parameters are Jinja templates.
    pub templates: Vec<Template>,
    pub attach: Option<Attachment>,
    /// Contact ids and team ids.
    pub notify: Vec<String>,
    pub connection: ConnectionName,
    pub severity: Severity,
    pub payload: PayloadFormat,
    pub on_unknown: OnUnknown,
    /// A message that could not leave within this time after the event is not sent as if it were fresh (promise P9).
    pub expires: Duration,
    /// Whether a retained message counts as an event (promise P6: by default not).
    pub on_retained: bool,
    /// Up to three are buttons, up to nine a list.
    pub actions: Vec<ButtonAction>,
    /// Without it each event that matches is an alert of its own, told at once.
    pub life: Option<Arc<LifecycleSettings>>,
}

/// A button under the alert, and what a tap publishes.
#[derive(Debug, Clone)]
pub struct ButtonAction {
    pub id: String,
    /// At most 20 characters (Meta, Interactive reply buttons).
    pub title: Translated,
    pub topic: TopicTemplate,
    pub payload: String,
    pub retain: bool,
    /// What may be written instead of its id or title.
    pub words: Vec<String>,
    pub terms: ActionPolicy,
}

/// The order of the outbox: the most severe first, then the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// How a payload is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadFormat {
    /// By the MQTT 5 content type; without one by looking: JSON, or a text that does not begin like it.
    Auto,
    Json,
    Text,
    /// A number alone, such as `-12.5`.
    Number,
    Cbor,
    /// `firmware_bridge::Event`, encoded with postcard.
    Postcard,
    /// Sparkplug B, with the names from its births.
    Sparkplug,
    /// Not read at all: what counts is that it came. For Sparkplug's NDEATH and its like.
    None,
}

impl Rule {
    /// Another number where it reads, judges or says something else: what was found out about the old one is history.
    #[must_use]
    pub fn version(&self) -> i64 {
        let parameters = self.templates.iter().flat_map(|template| &template.parameters);
        let format = format!("{:?}", self.payload);
        let mut sources = vec![self.topic.as_str(), format.as_str()];
        sources.extend(self.expressions());
        sources.extend(self.message.all().map(String::as_str));
        sources.extend(parameters.map(|parameter| parameter.text.as_str()));
        fingerprint(&sources.join("\n")).cast_signed()
    }

    /// Everything in it that is judged or evaluated on an event.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        let life = self.life.as_deref();
        let resolve_when = life.and_then(|life| life.resolve_when.as_ref());
        let value = life.and_then(|life| life.value.as_ref());
        let dedupe = life.and_then(|life| life.dedupe.as_ref()).map(|dedupe| &dedupe.key);
        let key = life.into_iter().flat_map(|life| life.key.iter().filter(|part| !is_level(part)));
        let one = [self.when.as_ref(), resolve_when, value, dedupe].into_iter().flatten();
        one.chain(key).map(String::as_str)
    }
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical].into_iter().find(|severity| severity.as_str() == text)
    }

    /// From the store; what no version wrote counts as the least.
    #[must_use]
    pub fn of_rank(rank: i64) -> Self {
        match rank {
            2 => Self::Critical,
            1 => Self::Warning,
            _ => Self::Info,
        }
    }

    /// As the store orders it.
    #[must_use]
    pub fn rank(self) -> i64 {
        match self {
            Self::Info => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }
}

impl PayloadFormat {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            "number" => Some(Self::Number),
            "cbor" => Some(Self::Cbor),
            "postcard" => Some(Self::Postcard),
            "sparkplug" => Some(Self::Sparkplug),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_formats_read_back() {
        for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
            assert_eq!(Severity::of_rank(severity.rank()), severity);
        }
        assert_eq!(Severity::of_rank(3), Severity::Info);
        let words = ["auto", "json", "text", "number", "cbor", "postcard", "sparkplug", "none"];
        let formats = words.map(PayloadFormat::parse);
        use PayloadFormat::{Auto, Cbor, Json, None as Nothing, Number, Postcard, Sparkplug, Text};
        assert_eq!(formats, [Auto, Json, Text, Number, Cbor, Postcard, Sparkplug, Nothing].map(Some));
        assert_eq!(PayloadFormat::parse("xml"), None);
    }
}
