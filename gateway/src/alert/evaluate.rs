//! Evaluation of one event by one rule: the payload read, the number taken, the conditions judged, the words filled.

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};

use crate::alert::alert_key::{AlertKey, complete};
use crate::alert::engine::{Engine, OneTime};
use crate::alert::ignored::{EvaluationFailure, Ignored, RulePart};
use crate::alert::lifecycle::{Observation, Recent, Transition};
use crate::alert::message_text::{AttachedFile, MessageText, Said, cut, readable};
use crate::alert::payload::{Payload, Reading};
use crate::alert::request::Request;
use crate::alert::time_series::number;
use crate::event::incoming::{Event, Identity};
use crate::event::topic::Bindings;
use crate::ids::fingerprint;
use crate::outbox::message::{Media, Template, WORDS};
use crate::rule::attachment::{FileSource, inside};
use crate::rule::condition::Judgement;
use crate::rule::definition::Rule;
use crate::rule::error::EvaluationError;
use crate::rule::lifecycle_settings::LifecycleSettings;
use crate::rule::template::{Expressions, text};
use crate::time::Timestamp;

/// A template's body has 1,024 characters with all its parameters.
const PARAMETER_MAX: usize = 1_024;
/// Longer addresses are refused by what serves cameras, too.
const ADDRESS_MAX: usize = 2_048;

/// An event and the rule that evaluates it.
#[derive(Debug)]
pub struct RuleEvaluation<'a> {
    pub rule: &'a Rule,
    pub bindings: Bindings,
    pub event: &'a Event,
    /// Under which key a repetition is found.
    pub repetition: Option<&'a str>,
    /// Whether the broker or the sender says that this may be one.
    pub may_repeat: bool,
    pub site: &'a str,
    pub expressions: &'a Expressions,
    /// The request of an automation, where the rule takes requests.
    pub request: Option<&'a Request>,
    /// Expressions that failed. Each is judged for itself: one that fails stops no other.
    pub flaws: Vec<EvaluationFailure>,
}

impl RuleEvaluation<'_> {
    /// Lets the engine see the event. Why nobody is told at once; `None`: its rule keeps no states, and tells it.
    pub fn run(&mut self, payload: &mut Payload, engine: &mut Engine, now: Timestamp) -> Option<Ignored> {
        let turn = self.observe(payload, engine, now);
        turn.map_or_else(Some, |turn| turn.map(|turn| Ignored::Life(turn.as_str())))
    }

    fn observe(
        &mut self,
        payload: &mut Payload,
        engine: &mut Engine,
        now: Timestamp,
    ) -> Result<Option<Transition>, Ignored> {
        let (rule, event) = (self.rule, self.event);
        if rule.life.is_none() && event.retained && !rule.on_retained {
            return Err(Ignored::Retained);
        }
        let payload = self.payload(payload)?;
        let mut names = names(&self.bindings, payload.value.clone(), &event.topic, self.site);
        let mut context = Value::from(names.clone());
        let Some(life) = rule.life.as_deref() else {
            return self.tell(names, &context, engine, now).map(|()| None);
        };
        let ident = self.alert(&context)?;
        if payload.missed > 0 {
            engine.missed(&ident, payload.missed, now);
        }
        let (recent, is_repetition) = self.recent(&ident, &context, engine, now);
        if is_repetition {
            return Err(Ignored::Life("duplicate"));
        }
        let value = self.value(life, &payload, &context);
        if let Some(value) = value {
            engine.plot(&ident, value, event, now);
            names.extend(self.numbers(&ident, value, engine, now));
            context = Value::from(names.clone());
        }
        let turn = self.judge(&context).map(|judged| {
            let seen = self.observation(life, judged, names, &context, value, now);
            let turn = engine.observe(&ident, &seen, now);
            if !matches!(turn, Transition::Nothing | Transition::Again) {
                engine.flawed(&ident, &self.flaws, now);
            }
            Some(turn)
        });
        recent.into_iter().for_each(|recent| engine.remember(&ident, recent));
        turn.map_err(Ignored::ConditionFailed)
    }

    /// What a rule that keeps no states says of it, if it says anything. Most events end at the condition, and cost no more.
    fn tell(
        &mut self,
        names: Names,
        context: &Value,
        engine: &mut Engine,
        now: Timestamp,
    ) -> Result<(), Ignored> {
        if self.judge(context).map_err(Ignored::ConditionFailed)?.fires != Some(true) {
            return Err(Ignored::ConditionFalse);
        }
        let alert = self.alert(context)?;
        let (recent, is_repetition) = self.recent(&alert, context, engine, now);
        if let Some(request) = self.request.filter(|request| request.tag.is_some() && !is_repetition) {
            engine.replace(self.rule, &alert, request, now);
            if request.ends() {
                recent.into_iter().for_each(|recent| engine.remember(&alert, recent));
                return Ok(());
            }
        }
        let said = self.said(names, context);
        let flaws: Vec<String> = self.flaws.iter().map(EvaluationFailure::to_string).collect();
        let once = OneTime {
            rule: self.rule,
            alert: &alert,
            bindings: std::mem::take(&mut self.bindings),
            event: self.event,
            said,
            request: self.request,
            flaw: Some(flaws.join("; ")).filter(|flaw| !flaw.is_empty()),
            is_repetition,
        };
        engine.tell_once(once, now);
        recent.into_iter().for_each(|recent| engine.remember(&alert, recent));
        Ok(())
    }

    /// By what it is known when it comes again, and whether it did. Without a key it counts: rather once too often than never.
    fn recent(
        &mut self,
        alert: &AlertKey,
        context: &Value,
        engine: &mut Engine,
        now: Timestamp,
    ) -> (Option<Recent>, bool) {
        let dedupe = self.rule.life.as_ref().and_then(|life| life.dedupe.as_ref());
        let key = match dedupe {
            Some(dedupe) => self.noted(self.expressions.words(&dedupe.key, context), RulePart::DedupeKey),
            None => self.repetition.map(str::to_owned),
        };
        let of_session = dedupe.is_none() && matches!(self.event.identity, Identity::Packet { .. });
        let recent = key.map(|key| Recent { identity: fingerprint(&key), at: now, of_session });
        let may_repeat = recent.as_ref().filter(|_| self.may_repeat || dedupe.is_some());
        let is_repetition =
            may_repeat.is_some_and(|recent| engine.is_repetition(alert, recent.identity, now));
        (recent, is_repetition)
    }

    /// Of a rule that attaches it, the payload is a file, and only its length is known.
    fn payload(&self, payload: &mut Payload) -> Result<Reading, Ignored> {
        let attach = self.rule.attach.as_ref();
        if attach.is_none_or(|attach| attach.from != FileSource::Payload) {
            return payload.read(self.rule.payload);
        }
        let length = BTreeMap::from([("bytes", self.event.payload.len())]);
        Ok(Reading { value: Value::from(length), number: None, missed: 0 })
    }

    /// Which alert it is about. Where the rule keeps no states all named levels tell alerts apart.
    fn alert(&mut self, context: &Value) -> Result<AlertKey, Ignored> {
        let rule = self.rule;
        let Some(life) = &rule.life else {
            let names: Vec<String> = self.bindings.keys().cloned().collect();
            return Ok(AlertKey::of(&rule.name, &names, &self.bindings));
        };
        complete(rule, &life.key, &self.event.topic, (self.expressions, context), &mut self.bindings)
            .map_err(|error| Ignored::ConditionFailed(EvaluationFailure::new(RulePart::Key, error)))?;
        Ok(AlertKey::of(&rule.name, &life.key, &self.bindings))
    }

    /// Whether it fires and whether it is over, each as far as it is known; a flaw if neither is.
    fn judge(&mut self, context: &Value) -> Result<Judged, EvaluationFailure> {
        let (life, mut doubt) = (self.rule.life.as_deref(), None);
        let mut judge = |condition: &Option<String>, place| {
            let judgement = self.expressions.judge(condition.as_deref()?, context);
            let decided = judgement.decided();
            if let Judgement::Unknown(error) = judgement {
                let flaw = EvaluationFailure::new(place, error);
                doubt.get_or_insert_with(|| flaw.clone());
                self.flaws.push(flaw);
            }
            Some(decided)
        };
        let when = judge(&self.rule.when, RulePart::When).unwrap_or(Some(true));
        let resolve = life.and_then(|life| judge(&life.resolve_when, RulePart::ResolveWhen));
        let (fires, clears) = match (life.and_then(|life| life.expect), resolve) {
            // A sign of life is the opposite of the alarm: it never fires, and always ends.
            (Some(_), _) => (when.map(|_| false), when),
            (None, Some(Some(true))) => (Some(false), Some(true)),
            (None, Some(clears)) => (when, clears),
            (None, None) => (when, when.map(|when| !when)),
        };
        match doubt {
            Some(doubt) if fires.is_none() && clears.is_none() => Err(doubt),
            Some(_) | None => Ok(Judged { fires, clears }),
        }
    }

    fn observation(
        &mut self,
        life: &LifecycleSettings,
        judged: Judged,
        names: Names,
        context: &Value,
        value: Option<f64>,
        now: Timestamp,
    ) -> Observation {
        let (fires, clears) = (judged.fires == Some(true), judged.clears == Some(true));
        let said = (fires || life.expect.is_some()).then(|| self.said(names, context));
        let (wording, templates) = said.map(|said| (said.wording, said.templates)).unzip();
        Observation {
            bindings: self.bindings.clone(),
            fires,
            clears,
            is_when_unknown: judged.fires.is_none(),
            is_end_unknown: judged.clears.is_none(),
            is_state: self.event.retained && !self.rule.on_retained,
            wording: wording.map(|wording| wording.heard(self.event.at(), now)),
            templates: templates.unwrap_or_default(),
            value: value.filter(|_| life.expect.is_none()), // a sign of life is no measurement
        }
    }

    /// The alarm matters more than its wording: a plain text stands for a message that fails.
    fn said(&mut self, names: Names, context: &Value) -> Said {
        let (rule, event) = (self.rule, self.event);
        let plain =
            || MessageText::of(format!("⚠ {}: {} {}", rule.name, event.topic, excerpt(&event.payload)));
        let wording = MessageText::fill(rule, context, &mut self.flaws).unwrap_or_else(plain);
        let file = self.file(context);
        let file = file.and_then(|file| self.noted(file, RulePart::File));
        Said { wording, templates: fill(rule, names, &mut self.flaws), file }
    }

    /// The file that the rule attaches. One that cannot be had is told, and the alert goes without.
    fn file(&self, context: &Value) -> Option<Result<AttachedFile, EvaluationError>> {
        let attach = self.rule.attach.as_ref()?;
        let unfit =
            |what: String| EvaluationError { what, ..EvaluationError::of("it is none that may be sent") };
        let place = |template: &str, check: &dyn Fn(&str) -> Result<(), String>| {
            let place = text(template, context)?.trim().to_owned();
            check(&place).map_err(unfit)?;
            if place.len() > ADDRESS_MAX {
                return Err(unfit(format!("its address has more than {ADDRESS_MAX} characters")));
            }
            Ok(place)
        };
        Some(match &attach.from {
            FileSource::Payload => attach
                .keep(&self.event.payload, self.event.content_type.as_deref())
                .map(|kept| AttachedFile {
                    media: Media::Kept { sha256: kept.sha256.clone(), is_drawn: false },
                    kept: Some(kept),
                })
                .map_err(unfit),
            FileSource::Address(template) => place(template, &|address| attach.may_fetch(template, address))
                .map(|url| AttachedFile { media: Media::Fetch { url }, kept: None }),
            FileSource::Path(template) => {
                place(template, &|path| inside(template, path).map(drop)).map(|path| {
                    let within = attach.from.folder().map(str::to_owned);
                    AttachedFile { media: Media::File { path, within }, kept: None }
                })
            }
        })
    }

    fn value(&mut self, life: &LifecycleSettings, payload: &Reading, context: &Value) -> Option<f64> {
        match &life.value {
            Some(expression) => self.noted(self.expressions.number(expression, context), RulePart::Value),
            None => payload.number,
        }
    }

    /// What conditions and messages may name of a reading. Earlier ones are kept only where one of them can ask for them.
    fn numbers(&self, ident: &AlertKey, value: f64, engine: &mut Engine, now: Timestamp) -> Names {
        let kept = if self.needs_numbers() { engine.reading(ident, value, now) } else { None };
        let Some(serde_json::Value::Object(numbers)) = kept else {
            return Names::from([("value".to_owned(), Value::from(Serde(number(value))))]);
        };
        numbers.into_iter().map(|(name, number)| (name, Value::from(Serde(number)))).collect()
    }

    /// What it gives, or a flaw.
    fn noted<T>(&mut self, found: Result<T, EvaluationError>, place: RulePart) -> Option<T> {
        found.map_err(|error| self.flaws.push(EvaluationFailure::new(place, error))).ok()
    }

    fn needs_numbers(&self) -> bool {
        let names_previous = |text: &String| text.contains("previous");
        let (rule, life) = (self.rule, self.rule.life.as_deref());
        let ends = life.and_then(|life| life.resolve_when.as_ref());
        life.is_some_and(|life| life.window.is_some())
            || rule.when.iter().chain(ends).chain(rule.message.all()).any(names_previous)
    }
}

/// What is known of an alert from one event; `None` where it cannot be judged.
#[derive(Debug, Clone, Copy)]
struct Judged {
    fires: Option<bool>,
    clears: Option<bool>,
}

/// The message about a device that was never heard: the rule's own words, as far as they need no event.
pub fn unheard(rule: &Rule, site: &str) -> (MessageText, Vec<Template>) {
    let mut names = names(&Bindings::new(), Value::UNDEFINED, rule.topic.as_str(), site);
    names.remove("payload");
    let wording = MessageText::unheard(rule, &Value::from(names.clone()));
    (wording, fill(rule, names, &mut Vec::new()))
}

/// The rule's WhatsApp templates with their blanks filled. A blank that cannot be filled takes the message's words: the
/// alarm matters more.
fn fill(rule: &Rule, mut names: Names, flaws: &mut Vec<EvaluationFailure>) -> Vec<Template> {
    if rule.templates.is_empty() {
        return Vec::new();
    }
    names.insert("text".into(), Value::from(WORDS.to_string()));
    let context = Value::from(names);
    let mut filled = rule.templates.clone();
    for parameter in filled.iter_mut().flat_map(|template| &mut template.parameters) {
        let filled = text(&parameter.text, &context);
        parameter.text = filled.map(|text| cut(text, PARAMETER_MAX)).unwrap_or_else(|error| {
            flaws.push(EvaluationFailure::new(RulePart::Template, error));
            WORDS.to_string()
        });
    }
    filled
}

/// A copy shares what is in its values.
type Names = BTreeMap<String, Value>;

/// What conditions and messages can name.
fn names(bindings: &Bindings, payload: Value, topic: &str, site: &str) -> Names {
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
    use crate::alert::effect::told_once;
    use crate::alert::tests::{MORNING, event, site};
    use crate::event::decode::PAYLOAD_LIMIT_BYTES;

    /// Whether its alerts have states or are told once. A word where nobody is told at once.
    #[test]
    fn only_payloads_that_are_read_have_a_size_limit() {
        let once = [
            ("picture", "attach = { kind = \"image\", from = \"payload\" }"),
            ("words", "payload = \"text\""),
            ("unread", "payload = \"none\""),
            ("state", "on_retained = true"),
        ];
        let of_life = once.map(|(name, keys)| match name {
            "picture" => ("picture2".to_owned(), "resolve_after = \"1h\"".to_owned()), // no file goes with states
            name => (format!("{name}2"), format!("{keys}\nresolve_after = \"1h\"")),
        });
        let rule = |name: &str, keys: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\ntopic = \"{name}\"\nmessage = \"x\"\nnotify = [\"giorgi\"]\n{keys}\n"
            )
        };
        let once = once.map(|(name, keys)| rule(name, keys)).concat();
        let of_life = of_life.map(|(name, keys)| rule(&name, &keys)).concat();
        let judge = site(&(once + &of_life)).1;
        let mut jpeg = vec![0; PAYLOAD_LIMIT_BYTES + 1];
        jpeg[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        let text = |bytes: usize| vec![b'x'; bytes];
        for (topic, payload, retained, words, has_file) in [
            ("picture", jpeg, false, [None, Some("too-large")], true),
            ("words", text(PAYLOAD_LIMIT_BYTES), false, [None, Some("fired")], false),
            ("words", text(PAYLOAD_LIMIT_BYTES + 1), false, [Some("too-large"), Some("too-large")], false),
            ("unread", text(PAYLOAD_LIMIT_BYTES + 1), false, [None, Some("fired")], false),
            ("words", text(1), true, [Some("retained"), Some("condition-false")], false),
            ("state", text(1), true, [None, Some("fired")], false),
        ] {
            for (topic, word) in [topic.to_owned(), format!("{topic}2")].into_iter().zip(words) {
                let event = Event { retained, ..event(&topic, payload.clone(), Identity::None) };
                let decision = judge.decide(event, &mut judge.watch(), MORNING);
                assert_eq!(decision.ignored.first().map(|(_, why)| why.as_str()), word, "{topic}");
                let raised = told_once(&decision.effects);
                assert_eq!(raised.len(), usize::from(word.is_none()), "{topic}");
                let file = raised.first().and_then(|(alert, _)| alert.file.as_ref());
                assert_eq!(
                    file.map(|kept| kept.mime.as_str()),
                    (has_file && word.is_none()).then_some("image/jpeg")
                );
            }
        }
        assert_eq!(excerpt(&[b'x'; 300]), "x".repeat(200));
    }

    /// One rule a line, by its name: its keys but for the message and whom it tells.
    fn rules(of: &[(&str, &str)]) -> String {
        let rule = |(name, keys): &(&str, &str)| {
            format!(
                "[[rule]]\nname = \"{name}\"\ntopic = \"{name}/{{id}}\"\nnotify = [\"giorgi\"]\nfor = \"1m\"\n{keys}\n"
            )
        };
        of.iter().map(rule).collect()
    }

    #[test]
    fn readings_are_kept_only_for_rules_that_use_them() {
        let cases = [
            ("plain", "when = \"payload > 5\"\nmessage = \"x\"", false),
            ("asks", "when = \"payload > 5 and previous > 5\"\nmessage = \"x\"", true),
            ("ends", "when = \"payload > 5\"\nresolve_when = \"previous < 3\"\nmessage = \"x\"", true),
            ("says", "when = \"payload > 5\"\nmessage = \"from {{ previous }}\"", true),
            ("window", "when = \"window.mean > 5\"\nwindow = \"10m\"\nmessage = \"x\"", true),
        ];
        let judge = site(&rules(&cases.map(|(name, keys, _)| (name, keys)))).1;
        let mut watch = judge.watch();
        for (name, _, are_kept) in cases {
            let decision =
                judge.decide(event(&format!("{name}/1"), "9", Identity::None), &mut watch, MORNING);
            assert_eq!(decision.ignored[0].1, Ignored::Life("pending"), "{name}");
            let ident = AlertKey { rule: name.into(), key: "id=1".into() };
            assert_eq!(watch.alerts()[&ident].numbers.is_some(), are_kept, "{name}");
        }
    }

    #[test]
    fn between_its_two_conditions_an_alert_stays_as_it_is() {
        let keys = "when = \"payload > 5\"\nresolve_when = \"payload < 3\"\nmessage = \"x\"";
        let judge = site(&rules(&[("door", keys)])).1;
        let mut watch = judge.watch();
        for (payload, word) in [("4", "condition-false"), ("9", "pending"), ("4", "dropped")] {
            let decision = judge.decide(event("door/1", payload, Identity::None), &mut watch, MORNING);
            assert_eq!(decision.ignored[0].1.as_str(), word, "{payload}");
        }
    }
}
