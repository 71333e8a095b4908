//! By what the engine keeps a piece of its memory on disk.

use crate::alert::alert_key::AlertKey;
use crate::ids::{ContactId, RuleName};

/// Something that the engine keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    Alert(AlertKey),
    Group(String),
    Held(ContactId),
    Silence(u64),
    /// What an alert's number was.
    Curve(AlertKey),
    /// A part of the events that changed no alert.
    Passed(u8),
}

impl StateKey {
    /// Its kind and key, for the store.
    #[must_use]
    pub fn row(&self) -> (&'static str, String) {
        match self {
            Self::Alert(ident) => ("alert", of_alert(ident)),
            Self::Curve(ident) => ("curve", of_alert(ident)),
            Self::Group(key) => ("group", key.clone()),
            Self::Held(contact) => ("held", contact.0.clone()),
            Self::Silence(id) => ("silence", id.to_string()),
            // The first part has the name that all of it had when it was one.
            Self::Passed(0) => ("passed", String::new()),
            Self::Passed(number) => ("passed", number.to_string()),
        }
    }

    #[must_use]
    pub fn of_row(kind: &str, key: &str) -> Option<Self> {
        match kind {
            "alert" => alert_of(key).map(Self::Alert),
            "curve" => alert_of(key).map(Self::Curve),
            "group" => Some(Self::Group(key.to_owned())),
            "held" => Some(Self::Held(ContactId(key.to_owned()))),
            "passed" if key.is_empty() => Some(Self::Passed(0)),
            "passed" => key.parse().ok().map(Self::Passed),
            "silence" => key.parse().ok().map(Self::Silence),
            _ => None,
        }
    }
}

fn of_alert(ident: &AlertKey) -> String {
    format!("{}\n{}", ident.rule, ident.key)
}

fn alert_of(row: &str) -> Option<AlertKey> {
    let (rule, key) = row.split_once('\n')?;
    Some(AlertKey { rule: RuleName(rule.to_owned()), key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_key_is_read_back_from_its_row() {
        let alert = AlertKey { rule: RuleName("freezer".into()), key: "area=bar".into() };
        for known in [
            StateKey::Alert(alert.clone()),
            StateKey::Curve(alert),
            StateKey::Group("kitchen".into()),
            StateKey::Held(ContactId("nino".into())),
            StateKey::Silence(7),
            StateKey::Passed(0),
            StateKey::Passed(7),
        ] {
            let (kind, key) = known.row();
            assert_eq!(StateKey::of_row(kind, &key), Some(known));
        }
        assert_eq!(
            [StateKey::of_row("alert", "x"), StateKey::of_row("silence", "x"), StateKey::of_row("x", "")],
            [None, None, None]
        );
    }
}
