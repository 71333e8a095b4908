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
    /// Events that changed no alert.
    Passed,
}

impl StateKey {
    /// Its kind and key, for the store.
    #[must_use]
    pub fn row(&self) -> (&'static str, String) {
        match self {
            Self::Alert(ident) => ("alert", format!("{}\n{}", ident.rule, ident.key)),
            Self::Group(key) => ("group", key.clone()),
            Self::Held(contact) => ("held", contact.0.clone()),
            Self::Silence(id) => ("silence", id.to_string()),
            Self::Passed => ("passed", String::new()),
        }
    }

    #[must_use]
    pub fn of_row(kind: &str, key: &str) -> Option<Self> {
        match kind {
            "alert" => {
                let (rule, key) = key.split_once('\n')?;
                Some(Self::Alert(AlertKey { rule: RuleName(rule.to_owned()), key: key.to_owned() }))
            }
            "group" => Some(Self::Group(key.to_owned())),
            "held" => Some(Self::Held(ContactId(key.to_owned()))),
            "passed" => Some(Self::Passed),
            "silence" => key.parse().ok().map(Self::Silence),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_key_is_read_back_from_its_row() {
        let alert = AlertKey { rule: RuleName("freezer".into()), key: "area=bar".into() };
        for known in [
            StateKey::Alert(alert),
            StateKey::Group("kitchen".into()),
            StateKey::Held(ContactId("nino".into())),
            StateKey::Silence(7),
            StateKey::Passed,
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
