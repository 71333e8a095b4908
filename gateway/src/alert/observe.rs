//! What an event says about its alert: the payload read, the number taken, both conditions judged.

use minijinja::value::{Serde, Value};

use crate::alert::event::{Event, Identity};
use crate::alert::history::fingerprint;
use crate::alert::ident::complete;
use crate::alert::life::Life;
use crate::alert::lifecycle::{Ident, Observation, Recent, Turn};
use crate::alert::numbers::number;
use crate::alert::policy::{Ignored, Metrics, Names, excerpt, fill, names, read};
use crate::alert::rule::Rule;
use crate::alert::template::{EvaluationError, Templates};
use crate::alert::topic::Bindings;
use crate::alert::watch::Watch;
use crate::alert::wording::Wording;
use crate::time::Timestamp;

/// Where an event meets a rule.
#[derive(Debug)]
pub struct Meeting<'a> {
    pub rule: &'a Rule,
    pub life: &'a Life,
    pub bindings: Bindings,
    pub event: &'a Event,
    pub sparkplug: Option<&'a Metrics>,
    /// Under which key a repetition is found.
    pub repetition: Option<&'a str>,
    /// Whether the broker or the sender says that this may be one.
    pub may_repeat: bool,
    pub site: &'a str,
    pub templates: &'a Templates,
}

impl Meeting<'_> {
    /// Lets the watch see the event.
    pub fn observe(mut self, watch: &mut Watch, now: Timestamp) -> Result<Turn, Ignored> {
        let (event, life) = (self.event, self.life);
        let payload = read(self.rule.payload, event, self.sparkplug)?;
        let mut names = names(&self.bindings, &payload, event, self.site);
        let context = Value::from(Serde(names.clone()));
        complete(self.rule, &life.key, &event.topic, (self.templates, &context), &mut self.bindings)
            .map_err(|error| Ignored::ConditionFailed(error.0))?;
        let ident = Ident::of(&self.rule.name, &life.key, &self.bindings);
        if let Some(missed) =
            payload["missed"].as_u64().filter(|missed| self.sparkplug.is_some() && *missed > 0)
        {
            watch.missed(&ident, missed, now);
        }
        let key = self.identity(&context).map_err(|error| Ignored::ConditionFailed(error.0))?;
        let key = key.map(|key| fingerprint(&key));
        if key.filter(|_| self.may_repeat()).is_some_and(|key| watch.is_repetition(&ident, key, now)) {
            return Err(Ignored::Life("duplicate"));
        }
        let value = self.value(&payload, &context).map_err(|error| Ignored::ConditionFailed(error.0))?;
        if let Some(value) = value.filter(|_| self.needs_numbers()) {
            if let Some(serde_json::Value::Object(numbers)) = watch.reading(&ident, value, now) {
                names.extend(numbers);
            }
        } else if let Some(value) = value {
            names.insert("value".into(), number(value));
        }
        let context = Value::from(Serde(names.clone()));
        let seen =
            self.judge(names, &context, value, now).map_err(|error| Ignored::ConditionFailed(error.0))?;
        let turn = watch.observe(&ident, &seen, now);
        if let Some(key) = key {
            let of_session = life.dedupe.is_none() && matches!(event.identity, Identity::Packet { .. });
            watch.remember(&ident, Recent { identity: key, at: now, of_session });
        }
        Ok(turn)
    }

    fn judge(
        self,
        names: Names,
        context: &Value,
        value: Option<f64>,
        now: Timestamp,
    ) -> Result<Observation, EvaluationError> {
        let holds = |condition: &Option<String>| {
            condition.as_deref().map(|condition| self.templates.holds(condition, context)).transpose()
        };
        let when = holds(&self.rule.when)?;
        // A sign of life is the opposite of the alarm: it never fires, and always ends.
        let (fires, clears) = match (self.life.expect, holds(&self.life.resolve_when)?) {
            (Some(_), _) => (false, when.unwrap_or(true)),
            (None, Some(clears)) => (when.unwrap_or(true) && !clears, clears),
            (None, None) => (when.unwrap_or(true), when == Some(false)),
        };
        let worded = fires || self.life.expect.is_some();
        let wording = worded.then(|| self.wording(context).heard(self.event.at(), now));
        let mut flaw = None;
        let templates = if worded { fill(self.rule, names, self.templates, &mut flaw) } else { Vec::new() };
        if let Some(flaw) = flaw {
            tracing::warn!(rule = %self.rule.name, flaw, "a WhatsApp template could not be filled");
        }
        let value = value.filter(|_| self.life.expect.is_none()); // a sign of life is no measurement
        let is_state = self.event.retained && !self.rule.on_retained;
        Ok(Observation { bindings: self.bindings, fires, clears, is_state, wording, templates, value })
    }

    /// The alarm matters more than its wording.
    fn wording(&self, context: &Value) -> Wording {
        Wording::fill(self.rule, self.templates, context).unwrap_or_else(|error| {
            tracing::warn!(rule = %self.rule.name, %error, "a message template failed; a plain text stands for it");
            let plain = format!("⚠ {}: {} {}", self.rule.name, self.event.topic, excerpt(&self.event.payload));
            Wording::of(plain)
        })
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

    fn value(&self, payload: &serde_json::Value, context: &Value) -> Result<Option<f64>, EvaluationError> {
        match &self.life.value {
            Some(expression) => self.templates.number(expression, context).map(Some),
            None => Ok(payload.as_f64()),
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

impl Turn {
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
    use crate::alert::policy::PAYLOAD_LIMIT_BYTES;
    use crate::alert::tests::{MORNING, event, site};

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
            let ident = Ident { rule: name.into(), key: "id=1".into() };
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
