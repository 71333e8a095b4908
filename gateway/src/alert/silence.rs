//! What people do not want to hear for a while.

use serde::{Deserialize, Serialize};

use crate::alert::lifecycle::Ident;
use crate::alert::topic::Bindings;
use crate::ids::{ContactId, RuleName};
use crate::time::Timestamp;

/// All of its conditions must fit; one without any fits everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    #[serde(default)]
    pub rule: Option<RuleName>,
    /// One alert alone: what a snooze button makes.
    #[serde(default)]
    pub key: Option<String>,
    /// Levels and their values.
    #[serde(default)]
    pub matchers: Bindings,
    /// For this person alone.
    #[serde(default)]
    pub contact: Option<ContactId>,
    pub until: Timestamp,
    pub by: String,
    #[serde(default)]
    pub comment: Option<String>,
}

impl Silence {
    #[must_use]
    pub fn covers(&self, alert: &Ident, bindings: &Bindings, contact: &ContactId) -> bool {
        self.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
            && self.key.as_ref().is_none_or(|key| *key == alert.key)
            && self.contact.as_ref().is_none_or(|own| own == contact)
            && self.matchers.iter().all(|(name, value)| bindings.get(name) == Some(value))
    }
}
