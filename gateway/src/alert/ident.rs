//! What tells one alert from another.

use serde::{Deserialize, Serialize};

use crate::alert::topic::Bindings;
use crate::ids::RuleName;

/// A rule, and the levels that its key names, as `area=bar unit=2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ident {
    pub rule: RuleName,
    pub key: String,
}

impl Ident {
    /// The levels in the key's order; `-` for a rule whose alerts are one.
    #[must_use]
    pub fn of(rule: &RuleName, key: &[String], bindings: &Bindings) -> Self {
        let level = |name: &String| format!("{name}={}", bindings.get(name).map_or("", String::as_str));
        Self { rule: rule.clone(), key: key.iter().map(level).collect::<Vec<_>>().join(" ") }
    }
}

impl std::fmt::Display for Ident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}", self.rule),
            key => write!(f, "{} {key}", self.rule),
        }
    }
}
