//! Silences: alerts that people do not want to hear of for a while.

use serde::{Deserialize, Serialize};

use crate::alert::lifecycle::AlertKey;
use crate::contact::severity::Severity;
use crate::event::topic::Bindings;
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
    /// The severity from which alerts come through all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_through: Option<i64>,
}

impl Silence {
    #[must_use]
    pub fn over_everything(by: &str, until: Timestamp) -> Self {
        Self {
            rule: None,
            key: None,
            matchers: Bindings::new(),
            contact: None,
            until,
            by: by.to_owned(),
            comment: None,
            break_through: None,
        }
    }

    #[must_use]
    pub fn covers(
        &self,
        alert: &AlertKey,
        bindings: &Bindings,
        severity: Severity,
        contact: &ContactId,
    ) -> bool {
        self.break_through.is_none_or(|through| severity.rank() < through)
            && self.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
            && self.key.as_ref().is_none_or(|key| *key == alert.key)
            && self.contact.as_ref().is_none_or(|own| own == contact)
            && self.matchers.iter().all(|(name, value)| bindings.get(name) == Some(value))
    }

    /// Over everything, by a switch of this name.
    #[must_use]
    pub fn is_mute_of(&self, by: &str) -> bool {
        self.by == by && self.break_through.is_some() && self.is_over_everything()
    }

    #[must_use]
    pub fn is_over_everything(&self) -> bool {
        self.rule.is_none() && self.key.is_none() && self.contact.is_none() && self.matchers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A switch that is on; `break_through` is a severity's rank.
    fn mute(break_through: Option<i64>) -> Silence {
        Silence { break_through, ..Silence::over_everything("Home Assistant", Timestamp(1)) }
    }

    #[test]
    fn severe_alerts_break_through_a_silence() {
        let alert = AlertKey { rule: RuleName("door".into()), key: String::new() };
        let covers = |silence: &Silence| {
            [Severity::Info, Severity::Warning, Severity::Critical]
                .map(|severity| silence.covers(&alert, &Bindings::new(), severity, &ContactId("nino".into())))
        };
        assert_eq!(covers(&mute(Some(Severity::Critical.rank()))), [true, true, false]);
        assert_eq!(covers(&mute(Some(Severity::Warning.rank()))), [true, false, false]);
        assert_eq!(covers(&mute(None)), [true, true, true], "one by hand covers all that it names");
    }

    #[test]
    fn only_a_mute_switchs_silence_is_a_mute() {
        assert!(mute(Some(2)).is_mute_of("Home Assistant"));
        assert!(!mute(Some(2)).is_mute_of("Nino"));
        assert!(!mute(None).is_mute_of("Home Assistant"));
        let about = Silence { rule: Some(RuleName("door".into())), ..mute(Some(2)) };
        assert!(!about.is_mute_of("Home Assistant"));
        // One that an earlier version wrote has no such key.
        let old = r#"{"until":1,"by":"Nino"}"#;
        assert_eq!(serde_json::from_str::<Silence>(old).expect("read").break_through, None);
    }

    #[test]
    fn each_level_that_it_names_must_have_its_value() {
        let levels = |pairs: &[(&str, &str)]| -> Bindings {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let silence = Silence { matchers: levels(&[("area", "bar"), ("unit", "2")]), ..mute(None) };
        let alert = AlertKey { rule: RuleName("door".into()), key: String::new() };
        for (bindings, covers) in [
            (levels(&[("area", "bar"), ("unit", "2"), ("floor", "1")]), true),
            (levels(&[("area", "bar"), ("unit", "3")]), false),
            (levels(&[("area", "bar")]), false),
        ] {
            let covered = silence.covers(&alert, &bindings, Severity::Info, &ContactId("nino".into()));
            assert_eq!(covered, covers, "{bindings:?}");
        }
    }
}
