//! What wakes the watch, and when: one time for each thing that it keeps.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::lifecycle::AlertKey;
use crate::ids::{ContactId, RuleName};
use crate::time::Timestamp;

/// Something that the watch keeps.
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

#[derive(Debug, Default)]
pub struct Timers {
    queue: BTreeSet<(Timestamp, StateKey)>,
    at: BTreeMap<StateKey, Timestamp>,
}

impl Timers {
    pub fn set(&mut self, slot: StateKey, at: Option<Timestamp>) {
        if self.at.get(&slot).copied() == at {
            return;
        }
        if let Some(old) = self.at.remove(&slot) {
            self.queue.remove(&(old, slot.clone()));
        }
        if let Some(at) = at {
            self.queue.insert((at, slot.clone()));
            self.at.insert(slot, at);
        }
    }

    pub fn pop_due(&mut self, now: Timestamp) -> Option<StateKey> {
        if self.queue.first()?.0 > now {
            return None;
        }
        let (_, slot) = self.queue.pop_first()?;
        self.at.remove(&slot);
        Some(slot)
    }

    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_comes_back_from_its_row() {
        let alert = AlertKey { rule: RuleName("freezer".into()), key: "area=bar".into() };
        for slot in [
            StateKey::Alert(alert),
            StateKey::Group("kitchen".into()),
            StateKey::Held(ContactId("nino".into())),
            StateKey::Silence(7),
            StateKey::Passed,
        ] {
            let (kind, key) = slot.row();
            assert_eq!(StateKey::of_row(kind, &key), Some(slot));
        }
        assert_eq!(
            [StateKey::of_row("alert", "x"), StateKey::of_row("silence", "x"), StateKey::of_row("x", "")],
            [None, None, None]
        );
    }
}
