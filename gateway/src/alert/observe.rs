//! What an event says about its alert: the payload read, the number taken, both conditions judged.

use minijinja::value::{Serde, Value};

use crate::alert::decode::decode;
use crate::alert::event::{Event, Identity};
use crate::alert::history::fingerprint;
use crate::alert::life::Life;
use crate::alert::lifecycle::{Ident, Observation, Recent, Turn};
use crate::alert::numbers::number;
use crate::alert::policy::{Ignored, Names, PAYLOAD_LIMIT_BYTES, excerpt, fill, names};
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
    /// Under which key a repetition is found.
    pub repetition: Option<&'a str>,
    /// Whether the broker or the sender says that this may be one.
    pub may_repeat: bool,
    pub site: &'a str,
    pub templates: &'a Templates,
}

impl Meeting<'_> {
    /// Lets the watch see the event.
    pub fn observe(self, watch: &mut Watch, now: Timestamp) -> Result<Turn, Ignored> {
        let (event, life) = (self.event, self.life);
        if event.payload.len() > PAYLOAD_LIMIT_BYTES {
            return Err(Ignored::TooLarge(event.payload.len()));
        }
        let payload = decode(self.rule.payload, event.content_type.as_deref(), &event.payload)
            .map_err(|error| Ignored::Undecodable(error.to_string()))?;
        let mut names = names(&self.bindings, &payload, event, self.site);
        let ident = Ident::of(&self.rule.name, &self.life.key, &self.bindings);
        let context = Value::from(Serde(names.clone()));
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
