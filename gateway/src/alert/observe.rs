//! What an event says about its alert: the payload read, the number taken, both conditions judged.

use minijinja::value::{Serde, Value};

use crate::alert::alert_key::complete;
use crate::alert::engine::Engine;
use crate::alert::evaluate::{Names, fill, names, plain};
use crate::alert::ignored::{EvaluationFailure, Ignored, RulePart};
use crate::alert::lifecycle::{AlertKey, Observation, Recent, Transition};
use crate::alert::message_text::MessageText;
use crate::alert::payload::{Payload, Reading};
use crate::alert::time_series::number;
use crate::event::incoming::{Event, Identity};
use crate::event::topic::Bindings;
use crate::ids::fingerprint;
use crate::outbox::message::Template;
use crate::rule::condition::Judgement;
use crate::rule::definition::Rule;
use crate::rule::error::EvaluationError;
use crate::rule::lifecycle_settings::LifecycleSettings;
use crate::rule::template::Templates;
use crate::time::Timestamp;

/// Where an event meets a rule.
#[derive(Debug)]
pub struct RuleEvaluation<'a> {
    pub rule: &'a Rule,
    pub life: &'a LifecycleSettings,
    pub bindings: Bindings,
    pub event: &'a Event,
    /// Under which key a repetition is found.
    pub repetition: Option<&'a str>,
    /// Whether the broker or the sender says that this may be one.
    pub may_repeat: bool,
    pub site: &'a str,
    pub templates: &'a Templates,
}

impl RuleEvaluation<'_> {
    /// Lets the watch see the event. Each expression is judged for itself: one that fails is a flaw, and the others count.
    pub fn observe(
        mut self,
        payload: &mut Payload,
        watch: &mut Engine,
        now: Timestamp,
        flaws: &mut Vec<EvaluationFailure>,
    ) -> Result<Transition, Ignored> {
        let (event, life) = (self.event, self.life);
        let payload = payload.read(self.rule.payload)?;
        let mut names = names(&self.bindings, payload.value.clone(), &event.topic, self.site);
        let context = Value::from(names.clone());
        complete(self.rule, &life.key, &event.topic, (self.templates, &context), &mut self.bindings)
            .map_err(|error| Ignored::ConditionFailed(EvaluationFailure::new(RulePart::Key, error)))?;
        let ident = AlertKey::of(&self.rule.name, &life.key, &self.bindings);
        if payload.missed > 0 {
            watch.missed(&ident, payload.missed, now);
        }
        // Without a key the event counts: rather once too often than never.
        let key = noted(self.identity(&context), RulePart::DedupeKey, flaws).flatten();
        let key = key.map(|key| fingerprint(&key));
        if key.filter(|_| self.may_repeat()).is_some_and(|key| watch.is_repetition(&ident, key, now)) {
            return Err(Ignored::Life("duplicate"));
        }
        let value = noted(self.value(&payload, &context), RulePart::Value, flaws).flatten();
        if let Some(value) = value.filter(|_| self.needs_numbers()) {
            if let Some(serde_json::Value::Object(numbers)) = watch.reading(&ident, value, now) {
                names.extend(numbers.into_iter().map(|(name, number)| (name, Value::from(Serde(number)))));
            }
        } else if let Some(value) = value {
            names.insert("value".into(), Value::from(Serde(number(value))));
        }
        let context = Value::from(names.clone());
        let judged = self.judge(&context, flaws);
        let turn = match judged {
            Ok(judged) => {
                let seen = self.observation(judged, names, &context, value, now, flaws);
                let turn = watch.observe(&ident, &seen, now);
                if !matches!(turn, Transition::Nothing | Transition::Again) {
                    watch.flawed(&ident, flaws, now);
                }
                Ok(turn)
            }
            Err(flaw) => Err(Ignored::ConditionFailed(flaw)),
        };
        if let Some(key) = key {
            let of_session = life.dedupe.is_none() && matches!(event.identity, Identity::Packet { .. });
            watch.remember(&ident, Recent { identity: key, at: now, of_session });
        }
        turn
    }

    /// Whether it fires and whether it is over, each as far as it is known; a flaw if neither is.
    fn judge(
        &self,
        context: &Value,
        flaws: &mut Vec<EvaluationFailure>,
    ) -> Result<Judged, EvaluationFailure> {
        let mut doubt = None;
        let mut judge = |condition: &Option<String>, place| {
            let judgement = self.templates.judge(condition.as_deref()?, context);
            let decided = judgement.decided();
            if let Judgement::Unknown(error) = judgement {
                let flaw = EvaluationFailure::new(place, error);
                doubt.get_or_insert_with(|| flaw.clone());
                flaws.push(flaw);
            }
            Some(decided)
        };
        let when = judge(&self.rule.when, RulePart::When).unwrap_or(Some(true));
        let resolve = judge(&self.life.resolve_when, RulePart::ResolveWhen);
        let (fires, clears) = match (self.life.expect, resolve) {
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
        &self,
        judged: Judged,
        names: Names,
        context: &Value,
        value: Option<f64>,
        now: Timestamp,
        flaws: &mut Vec<EvaluationFailure>,
    ) -> Observation {
        let (fires, clears) = (judged.fires == Some(true), judged.clears == Some(true));
        let worded = fires || self.life.expect.is_some();
        let said = || MessageText::fill(self.rule, self.templates, context, flaws);
        let wording = worded.then(said).map(|said| said.unwrap_or_else(|| plain(self.rule, self.event)));
        let wording = wording.map(|wording| wording.heard(self.event.at(), now));
        let templates = if worded { fill(self.rule, names, self.templates, flaws) } else { Vec::new() };
        Observation {
            bindings: self.bindings.clone(),
            fires,
            clears,
            is_when_unknown: judged.fires.is_none(),
            is_end_unknown: judged.clears.is_none(),
            is_state: self.event.retained && !self.rule.on_retained,
            wording,
            templates,
            value: value.filter(|_| self.life.expect.is_none()), // a sign of life is no measurement
        }
    }

    fn identity(&self, context: &Value) -> Result<Option<String>, EvaluationError> {
        match &self.life.dedupe {
            Some(dedupe) => self.templates.words(&dedupe.key, context).map(Some),
            None => Ok(self.repetition.map(str::to_owned)),
        }
    }

    fn may_repeat(&self) -> bool {
        self.may_repeat || self.life.dedupe.is_some()
    }

    fn value(&self, payload: &Reading, context: &Value) -> Result<Option<f64>, EvaluationError> {
        match &self.life.value {
            Some(expression) => self.templates.number(expression, context).map(Some),
            None => Ok(payload.number),
        }
    }

    /// Readings are kept only where a condition or the message can ask for them.
    fn needs_numbers(&self) -> bool {
        let names_previous = |text: &String| text.contains("previous");
        self.life.window.is_some()
            || self.rule.when.iter().chain(&self.life.resolve_when).any(names_previous)
            || self.rule.message.all().any(names_previous)
    }
}

/// What is known of an alert from one event; `None` where it cannot be judged.
#[derive(Debug, Clone, Copy)]
struct Judged {
    fires: Option<bool>,
    clears: Option<bool>,
}

/// What it gives, or a flaw.
fn noted<T>(
    found: Result<T, EvaluationError>,
    place: RulePart,
    flaws: &mut Vec<EvaluationFailure>,
) -> Option<T> {
    found.map_err(|error| flaws.push(EvaluationFailure::new(place, error))).ok()
}

/// What is said of a device that was never heard: the rule's own words, as far as they need no event.
pub fn unheard(rule: &Rule, site: &str, templates: &Templates) -> (MessageText, Vec<Template>) {
    let mut names = names(&Bindings::new(), Value::UNDEFINED, rule.topic.as_str(), site);
    names.remove("payload");
    let wording = MessageText::unheard(rule, &Value::from(names.clone()));
    (wording, fill(rule, names, templates, &mut Vec::new()))
}

impl Transition {
    /// The word in tables.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dropped(_) => "dropped",
            Self::Fired => "fired",
            Self::Again => "still-firing",
            Self::Clearing => "clearing",
            Self::Resolved(..) => "resolved",
            Self::Nothing => "condition-false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::{MORNING, event, site};
    use crate::event::decode::PAYLOAD_LIMIT_BYTES;

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
    fn readings_are_kept_where_something_asks_for_them() {
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

    #[test]
    fn a_payload_of_64_kib_is_read_and_one_byte_more_is_not_unless_nothing_is_read() {
        let judge = site(&rules(&[
            ("long", "payload = \"text\"\nresolve_after = \"1h\"\nmessage = \"x\""),
            ("none", "payload = \"none\"\nresolve_after = \"1h\"\nmessage = \"x\""),
        ]))
        .1;
        for (topic, bytes, word) in [
            ("long/1", PAYLOAD_LIMIT_BYTES, "pending"),
            ("long/1", PAYLOAD_LIMIT_BYTES + 1, "too-large"),
            ("none/1", PAYLOAD_LIMIT_BYTES + 1, "pending"),
        ] {
            let long = event(topic, vec![b'x'; bytes], Identity::None);
            assert_eq!(judge.decide(long, &mut judge.watch(), MORNING).ignored[0].1.as_str(), word);
        }
    }
}
