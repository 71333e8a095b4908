//! What one rule makes of one event.

use std::fmt::{self, Display, Formatter};

use minijinja::value::{Serde, Value};
use serde_json::json;

use crate::alert::message_text::{MessageText, cut, readable};
use crate::event::decode::PayloadFormat;
use crate::event::decode::{DecodeError, decode};
use crate::event::incoming::Event;
use crate::event::topic::Bindings;
use crate::outbox::message::{Template, WORDS};
use crate::rule::attachment::{FileSource, StoredFile, inside};
use crate::rule::condition::Judgement;
use crate::rule::definition::Rule;
use crate::rule::error::EvaluationError;
use crate::rule::template::Templates;

/// A payload larger than this is not looked into: 64 KiB hold any reading, and a message shows 4,096 characters.
pub const PAYLOAD_LIMIT_BYTES: usize = 64 * 1024;
/// A template's body has 1,024 characters with all its parameters.
const PARAMETER_MAX: usize = 1_024;
/// Longer addresses are refused by what serves cameras, too.
const ADDRESS_MAX: usize = 2_048;

/// The decision, with what it was based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleVerdict {
    /// Somebody is told.
    Alert(Box<Raised>),
    /// Recorded as counted, and nobody is told.
    Ignored(Ignored),
}

/// What is said, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    pub wording: MessageText,
    pub templates: Vec<Template>,
    pub file: Option<File>,
    /// What went wrong on the way, though it is sent.
    pub flaws: Vec<EvaluationFailure>,
}

/// A file that goes with an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    Kept(StoredFile),
    Fetch(String),
    Path(String),
}

/// One expression of a rule that failed on an event. It stops no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationFailure {
    pub place: RulePart,
    pub error: EvaluationError,
}

/// Where in a rule something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulePart {
    Key,
    When,
    ResolveWhen,
    Value,
    DedupeKey,
    Message,
    Template,
    File,
}

impl EvaluationFailure {
    #[must_use]
    pub fn new(place: RulePart, error: EvaluationError) -> Self {
        Self { place, error }
    }

    /// What all events that fail alike have in common.
    #[must_use]
    pub fn kind(&self) -> String {
        self.say(&self.error.kind)
    }

    /// What is missing may come with the next report. Where a message lacks it the alarm was told without, which is news.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let is_judged = match self.place {
            RulePart::Key
            | RulePart::When
            | RulePart::ResolveWhen
            | RulePart::Value
            | RulePart::DedupeKey => true,
            RulePart::Message | RulePart::Template | RulePart::File => false,
        };
        is_judged && self.error.is_missing
    }

    fn say(&self, what: &str) -> String {
        match self.place {
            RulePart::Key => format!("`key` could not be read: {what}"),
            RulePart::When => format!("`when` could not be judged: {what}"),
            RulePart::ResolveWhen => format!("`resolve_when` could not be judged: {what}"),
            RulePart::Value => format!("`value` gives no number: {what}"),
            RulePart::DedupeKey => format!("`dedupe_key` failed, so the event counts: {what}"),
            RulePart::Message => format!("`message` failed, a plain text stands for it: {what}"),
            RulePart::Template => {
                format!("a parameter of `template` failed, the message stands there: {what}")
            }
            RulePart::File => format!("the file could not be attached: {what}"),
        }
    }
}

impl Display for EvaluationFailure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say(&self.error.what))
    }
}

/// Why nobody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// `when` does not hold.
    ConditionFalse,
    /// Retained: state, not an event (promise P6).
    Retained,
    /// The payload is not what the rule reads.
    Undecodable(EvaluationError),
    /// A condition could not be judged on this payload, and nothing follows from it.
    ConditionFailed(EvaluationFailure),
    TooLarge(usize),
    /// The process died twice while it was read.
    SetAside,
    /// The rule's alerts have a life, and the event did that to one.
    Life(&'static str),
}

impl Ignored {
    /// The word in tables, in metrics and in `bellwire events`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ConditionFalse => "condition-false",
            Self::Retained => "retained",
            Self::Undecodable(_) => "undecodable",
            Self::ConditionFailed(_) => "condition-failed",
            Self::TooLarge(_) => "too-large",
            Self::SetAside => "set-aside",
            Self::Life(word) => word,
        }
    }

    /// The flaw because of which nothing follows.
    #[must_use]
    pub fn flaw(&self) -> Option<&EvaluationFailure> {
        match self {
            Self::ConditionFailed(flaw) => Some(flaw),
            Self::ConditionFalse
            | Self::Retained
            | Self::Undecodable(_)
            | Self::TooLarge(_)
            | Self::SetAside
            | Self::Life(_) => None,
        }
    }

    /// What all events that fail alike have in common.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        match self {
            // What is set aside is told in its own way.
            Self::ConditionFalse | Self::Retained | Self::SetAside | Self::Life(_) => None,
            Self::Undecodable(error) => Some(format!("the payload could not be read: {}", error.kind)),
            Self::ConditionFailed(flaw) => Some(flaw.kind()),
            Self::TooLarge(_) => Some(format!("the payload has more than {PAYLOAD_LIMIT_BYTES} bytes")),
        }
    }

    /// A sentence for whoever looks; `None` where the word says it all.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::ConditionFalse | Self::Retained | Self::Life(_) => None,
            Self::Undecodable(error) => Some(format!("the payload could not be read: {error}")),
            Self::ConditionFailed(flaw) => Some(flaw.to_string()),
            Self::SetAside => Some(
                "the program died twice while it read this event, so it is set aside; put the device or the rule right and \
                 restart bellwire"
                    .to_owned(),
            ),
            Self::TooLarge(bytes) => Some(format!(
                "the payload has {bytes} bytes, more than the {PAYLOAD_LIMIT_BYTES} that are read; send less, or a link"
            )),
        }
    }
}

/// Judges `event` by `rule`.
#[must_use]
pub fn judge(
    rule: &Rule,
    bindings: &Bindings,
    (event, sparkplug): (&Event, Option<&Metrics>),
    site: &str,
    templates: &Templates,
) -> RuleVerdict {
    if event.retained && !rule.on_retained {
        return RuleVerdict::Ignored(Ignored::Retained);
    }
    let is_file = rule.attach.as_ref().is_some_and(|attach| attach.from == FileSource::Payload);
    let payload = if is_file {
        Ok(json!({ "bytes": event.payload.len() }))
    } else {
        read(rule.payload, event, sparkplug)
    };
    let payload = match payload {
        Ok(payload) => payload,
        Err(why) => return RuleVerdict::Ignored(why),
    };
    let names = names(bindings, &payload, event, site);
    let context = Value::from(Serde(names.clone()));
    match rule.when.as_deref().map_or(Judgement::Yes, |when| templates.judge(when, &context)) {
        Judgement::Yes => {}
        Judgement::No => return RuleVerdict::Ignored(Ignored::ConditionFalse),
        Judgement::Unknown(error) => {
            return RuleVerdict::Ignored(Ignored::ConditionFailed(EvaluationFailure::new(
                RulePart::When,
                error,
            )));
        }
    }
    let mut flaws = Vec::new();
    let wording =
        MessageText::fill(rule, templates, &context, &mut flaws).unwrap_or_else(|| plain(rule, event));
    let file = file(rule, event, &context, templates, &mut flaws);
    let filled = fill(rule, names, templates, &mut flaws);
    RuleVerdict::Alert(Box::new(Raised { wording, templates: filled, file, flaws }))
}

/// The alarm matters more than its wording.
pub(super) fn plain(rule: &Rule, event: &Event) -> MessageText {
    MessageText::of(format!("⚠ {}: {} {}", rule.name, event.topic, excerpt(&event.payload)))
}

/// What Sparkplug's memory made of an event, once for all rules.
pub(super) type Metrics = Result<serde_json::Value, String>;

/// What conditions and messages see of the payload.
pub(super) fn read(
    format: PayloadFormat,
    event: &Event,
    sparkplug: Option<&Metrics>,
) -> Result<serde_json::Value, Ignored> {
    let bytes = event.payload.len();
    if format == PayloadFormat::Sparkplug
        && let Some(metrics) = sparkplug
    {
        return metrics.clone().map_err(|what| undecodable(&DecodeError::Sparkplug(what)));
    }
    if bytes > PAYLOAD_LIMIT_BYTES && format != PayloadFormat::None {
        return Err(Ignored::TooLarge(bytes));
    }
    decode(format, event.content_type.as_deref(), &event.payload).map_err(|error| undecodable(&error))
}

fn undecodable(error: &DecodeError) -> Ignored {
    let (kind, what) = (error.kind().to_owned(), error.to_string());
    Ignored::Undecodable(EvaluationError { kind, what, is_missing: false })
}

/// The file that the rule attaches. One that cannot be had is told, and the alert goes without.
fn file(
    rule: &Rule,
    event: &Event,
    context: &Value,
    templates: &Templates,
    flaws: &mut Vec<EvaluationFailure>,
) -> Option<File> {
    let attach = rule.attach.as_ref()?;
    let unfit = |what: String| EvaluationError { what, ..EvaluationError::of("it is none that may be sent") };
    let found = match &attach.from {
        FileSource::Payload => {
            attach.keep(&event.payload, event.content_type.as_deref()).map(File::Kept).map_err(unfit)
        }
        FileSource::Address(template) => templates
            .address(&rule.name, context)
            .and_then(|address| attach.may_fetch(template, address.trim()).map(|()| address).map_err(unfit))
            .map(|address| File::Fetch(address.trim().to_owned())),
        FileSource::Path(template) => templates
            .address(&rule.name, context)
            .and_then(|path| inside(template, path.trim()).map_err(unfit))
            .map(File::Path),
    };
    let found = found.and_then(|file| match &file {
        File::Fetch(place) | File::Path(place) if place.len() > ADDRESS_MAX => {
            Err(unfit(format!("its address has more than {ADDRESS_MAX} characters")))
        }
        File::Fetch(_) | File::Path(_) | File::Kept(_) => Ok(file),
    });
    found.map_err(|error| flaws.push(EvaluationFailure::new(RulePart::File, error))).ok()
}

/// The rule's WhatsApp templates with their blanks filled. A blank that cannot be filled takes the message's words: the
/// alarm matters more.
pub(super) fn fill(
    rule: &Rule,
    mut names: Names,
    templates: &Templates,
    flaws: &mut Vec<EvaluationFailure>,
) -> Vec<Template> {
    if rule.templates.is_empty() {
        return Vec::new();
    }
    names.insert("text".into(), json!(WORDS));
    let context = Value::from(Serde(names));
    let mut filled = rule.templates.clone();
    for (index, template) in filled.iter_mut().enumerate() {
        for (blank, parameter) in template.parameters.iter_mut().enumerate() {
            let filled = templates.parameter(&rule.name, index, blank, &context);
            parameter.text = filled.map(|text| cut(text, PARAMETER_MAX)).unwrap_or_else(|error| {
                flaws.push(EvaluationFailure::new(RulePart::Template, error));
                WORDS.to_string()
            });
        }
    }
    filled
}

pub type Names = serde_json::Map<String, serde_json::Value>;

/// What conditions and messages can name.
pub(super) fn names(bindings: &Bindings, payload: &serde_json::Value, event: &Event, site: &str) -> Names {
    let mut names = serde_json::Map::new();
    names.extend(bindings.iter().map(|(name, value)| (name.clone(), json!(value))));
    names.insert("payload".into(), payload.clone());
    names.insert("topic".into(), json!(event.topic));
    names.insert("site".into(), json!({ "name": site }));
    names
}

/// The beginning of a payload, for people.
#[must_use]
pub fn excerpt(payload: &[u8]) -> String {
    readable(&String::from_utf8_lossy(&payload[..payload.len().min(400)])).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_has_its_word_and_a_sentence_where_that_says_too_little() {
        for (ignored, word, reason) in [
            (Ignored::ConditionFalse, "condition-false", None),
            (Ignored::Retained, "retained", None),
            (Ignored::Life("pending"), "pending", None),
            (
                Ignored::Undecodable(EvaluationError::of("x")),
                "undecodable",
                Some("the payload could not be read: x"),
            ),
            (
                Ignored::ConditionFailed(EvaluationFailure::new(RulePart::When, EvaluationError::of("x"))),
                "condition-failed",
                Some("`when` could not be judged: x"),
            ),
        ] {
            assert_eq!((ignored.as_str(), ignored.reason().as_deref()), (word, reason));
        }
        assert!(Ignored::TooLarge(70_000).reason().is_some_and(|why| why.contains("70000 bytes")));
        assert_eq!(excerpt(&[b'x'; 300]), "x".repeat(200));
    }

    #[test]
    fn a_file_and_what_is_not_read_may_be_large_and_a_state_is_no_event() {
        let rules = r#"
[[rule]]
name = "picture"
topic = "picture"
message = "x"
notify = ["giorgi"]
attach = { kind = "image", from = "payload" }
[[rule]]
name = "words"
topic = "words"
payload = "text"
message = "x"
notify = ["giorgi"]
[[rule]]
name = "unread"
topic = "unread"
payload = "none"
message = "x"
notify = ["giorgi"]
[[rule]]
name = "state"
topic = "state"
message = "x"
notify = ["giorgi"]
on_retained = true
"#;
        let judge = crate::alert::tests::site(rules).1;
        let mut jpeg = vec![0; 65_537];
        jpeg[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        let text = |bytes: usize| vec![b'x'; bytes];
        for (topic, payload, retained, ignored, has_file) in [
            ("picture", jpeg, false, None, true),
            ("words", text(65_536), false, None, false),
            ("words", text(65_537), false, Some("too-large"), false),
            ("unread", text(65_537), false, None, false),
            ("words", text(1), true, Some("retained"), false),
            ("state", text(1), true, None, false),
        ] {
            let event = crate::alert::tests::event(topic, payload, crate::event::incoming::Identity::None);
            let event = Event { retained, ..event };
            let decision = judge.decide(event, &mut judge.watch(), crate::alert::tests::MORNING);
            let word = decision.ignored.first().map(|(_, why)| why.as_str());
            assert_eq!((word, decision.alerts.len()), (ignored, usize::from(ignored.is_none())), "{topic}");
            let file = decision.alerts.first().and_then(|alert| alert.kept.as_ref());
            assert_eq!(file.map(|kept| kept.mime.as_str()), has_file.then_some("image/jpeg"), "{topic}");
        }
    }
}
