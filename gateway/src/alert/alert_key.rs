//! The key of an alert, which tells it from others.

use std::borrow::Cow;

use minijinja::value::Value;
use serde::{Deserialize, Serialize};

use crate::event::topic::{Bindings, is_level};
use crate::ids::RuleName;
use crate::rule::definition::Rule;
use crate::rule::error::EvaluationError;
use crate::rule::template::Expressions;

/// Names of devices are shorter by far (a LoRaWAN EUI has 16 characters, a UUID 36); what is longer is no name, and would
/// stand in every list.
const PART_MAX: usize = 128;

/// A rule, and the levels and expressions that its key names, as `area=bar payload.id=2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AlertKey {
    pub rule: RuleName,
    pub key: String,
}

impl AlertKey {
    /// In the key's order; empty for a rule whose alerts are one. What devices write themselves is put in quotes where it
    /// could be taken for the next part.
    #[must_use]
    pub fn of(rule: &RuleName, key: &[String], bindings: &Bindings) -> Self {
        let part = |name: &String| {
            let value = bindings.get(name).map_or("", String::as_str);
            let is_plain = is_level(name) || !value.contains([' ', '=', '"', '\n', '\r']);
            let value = if is_plain { Cow::from(value) } else { format!("{value:?}").into() };
            format!("{name}={value}")
        };
        Self { rule: rule.clone(), key: key.iter().map(part).collect::<Vec<_>>().join(" ") }
    }
}

/// What the key names beside named levels joins them: it tells alerts apart, and silences, groups and inhibitions may ask
/// for it. An event that lacks a part belongs to no alert.
pub fn complete(
    rule: &Rule,
    key: &[String],
    topic: &str,
    (expressions, context): (&Expressions, &Value),
    bindings: &mut Bindings,
) -> Result<(), EvaluationError> {
    if key.iter().all(|name| bindings.contains_key(name)) {
        return Ok(());
    }
    let mut unnamed = rule.topic.unnamed(topic);
    for name in key {
        if bindings.contains_key(name) {
            continue;
        }
        let value = match unnamed.remove(name) {
            Some(level) => level,
            None => part(name, expressions, context).map_err(|error| EvaluationError {
                kind: format!("it has no `{name}`: {}", error.kind),
                what: format!("it has no `{name}`: {error}"),
                is_missing: error.is_missing,
            })?,
        };
        bindings.insert(name.clone(), value);
    }
    Ok(())
}

/// A text, a number or a truth; 5 and 5.0 are the same.
fn part(expression: &str, expressions: &Expressions, context: &Value) -> Result<String, EvaluationError> {
    let value = expressions.value(expression, context)?;
    let whole = i64::try_from(value.clone()).ok().filter(|_| value.is_number());
    let text = match serde_json::to_value(&value) {
        _ if whole.is_some() => whole.map(|number| number.to_string()),
        Ok(serde_json::Value::String(text)) => Some(text),
        Ok(serde_json::Value::Number(number)) => Some(number.to_string()),
        Ok(serde_json::Value::Bool(truth)) => Some(truth.to_string()),
        Ok(serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => {
            None
        }
    };
    match text {
        Some(text) if text.chars().count() <= PART_MAX => Ok(text),
        Some(_) => Err(EvaluationError::of(format!("it is longer than {PART_MAX} characters"))),
        None => Err(EvaluationError::of(format!("it is a {}, not a text or a number", value.kind()))),
    }
}

impl std::fmt::Display for AlertKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}", self.rule),
            key => write!(f, "{} {key}", self.rule),
        }
    }
}
