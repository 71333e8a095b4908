//! What wakes the watch, and when: one time for each thing that it keeps.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::state_key::StateKey;
use crate::time::Timestamp;

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
