//! The timers of the engine: one time for each thing that it keeps.

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
