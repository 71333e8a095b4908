//! What one rule makes of one event.

use std::collections::BTreeMap;

use minijinja::value::Value;

use crate::alert::ignored::{EvaluationFailure, Ignored, RulePart};
use crate::alert::message_text::{MessageText, cut, readable};
use crate::alert::payload::Payload;
use crate::event::incoming::Event;
use crate::event::topic::Bindings;
use crate::outbox::message::{Template, WORDS};
use crate::rule::attachment::{FileSource, StoredFile, inside};
use crate::rule::condition::Judgement;
use crate::rule::definition::Rule;
use crate::rule::error::EvaluationError;
use crate::rule::template::Templates;

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

/// Judges `event` by `rule`.
#[must_use]
pub fn judge(
    rule: &Rule,
    bindings: &Bindings,
    (event, payload): (&Event, &mut Payload),
    site: &str,
    templates: &Templates,
) -> RuleVerdict {
    if event.retained && !rule.on_retained {
        return RuleVerdict::Ignored(Ignored::Retained);
    }
    let is_file = rule.attach.as_ref().is_some_and(|attach| attach.from == FileSource::Payload);
    let payload = if is_file {
        Ok(Value::from(BTreeMap::from([("bytes", event.payload.len())])))
    } else {
        payload.read(rule.payload).map(|read| read.value)
    };
    let payload = match payload {
        Ok(payload) => payload,
        Err(why) => return RuleVerdict::Ignored(why),
    };
    let names = names(bindings, payload, &event.topic, site);
    let context = Value::from(names.clone());
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
    names.insert("text".into(), Value::from(WORDS.to_string()));
    let context = Value::from(names);
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

/// A copy shares what is in its values.
pub type Names = BTreeMap<String, Value>;

/// What conditions and messages can name.
pub(super) fn names(bindings: &Bindings, payload: Value, topic: &str, site: &str) -> Names {
    let mut names: Names =
        bindings.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    names.insert("payload".into(), payload);
    names.insert("topic".into(), Value::from(topic));
    names.insert("site".into(), Value::from(BTreeMap::from([("name", site.to_owned())])));
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
        assert_eq!(excerpt(&[b'x'; 300]), "x".repeat(200));
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
