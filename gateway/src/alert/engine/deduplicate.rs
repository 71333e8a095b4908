//! Whether an event was taken before. Each alert knows its own; what changed none is known for as long as a broker may
//! still send it again: a "cold" that comes a second time after the "hot" that followed it would end the alarm.

use std::collections::VecDeque;

use super::{Engine, StateKey};
use crate::alert::effect::{Effect, Snapshot};
use crate::alert::lifecycle::{AlertKey, Recent};
use crate::event::incoming::{REMEMBERED, is_remembered};
use crate::ids::fingerprint;
use crate::time::Timestamp;

/// As many as a broker may send without an acknowledgement (32), each for four rules.
const PASSED_MAX: usize = 128;

impl Engine {
    /// Whether an event with this identity was taken before.
    pub fn is_repetition(&mut self, ident: &AlertKey, identity: u64, now: Timestamp) -> bool {
        let window = self.life(&ident.rule).and_then(|life| Some(life.dedupe.as_ref()?.window));
        let known =
            self.alerts.get_mut(ident).is_some_and(|alert| alert.is_repetition(identity, window, now));
        let mark = mark(ident, identity);
        let passed = |recent: &Recent| recent.identity == mark && is_remembered(recent.at, REMEMBERED, now);
        known || window.is_none() && self.passed.iter().any(passed)
    }

    /// It was. Of a rule that keeps no states the store knows repetitions; where nobody has quiet hours no summary can count one.
    pub fn remember(&mut self, ident: &AlertKey, recent: Recent) {
        let (now, life) = (recent.at, self.life(&ident.rule));
        if life.is_none() && self.people.quiet.is_empty() {
            return;
        }
        let has_key = life.is_some_and(|life| life.dedupe.is_some());
        if has_key {
            self.entry(ident, now);
        }
        if let Some(alert) = self.alerts.get_mut(ident) {
            alert.remember(recent);
            self.touch(StateKey::Alert(ident.clone()), now);
        } else if !has_key {
            self.pass(ident, recent);
        }
        self.drop_surplus();
    }

    /// What an alert knew that is not worth keeping any more, or what never had one.
    pub(in crate::alert) fn pass(&mut self, ident: &AlertKey, recent: Recent) {
        if self.passed.len() == PASSED_MAX {
            self.passed.pop_front();
        }
        self.passed.push_back(Recent { identity: mark(ident, recent.identity), ..recent });
        self.has_passed = true;
    }

    /// The broker has begun a new session: whatever packet identifier it uses is a new event.
    pub fn free_packets(&mut self) {
        for (ident, alert) in &mut self.alerts {
            let before = alert.recent.len();
            alert.recent.retain(|recent| !recent.of_session);
            if alert.recent.len() < before {
                self.dirty.insert(StateKey::Alert(ident.clone()));
            }
        }
        let before = self.passed.len();
        self.passed.retain(|recent| !recent.of_session);
        self.has_passed |= self.passed.len() < before;
    }

    /// Written once for a whole batch: it is one row, and most of what a quiet site writes.
    pub fn keep_passed(&mut self) -> Option<Effect> {
        if !std::mem::take(&mut self.has_passed) {
            return None;
        }
        Some(Effect::Keep(Snapshot { slot: StateKey::Passed, state: self.passed_state()? }))
    }

    pub(super) fn passed_state(&self) -> Option<String> {
        let rows: Vec<Row> =
            self.passed.iter().map(|recent| (recent.identity, recent.at, recent.of_session)).collect();
        serde_json::to_string(&rows).ok()
    }
}

/// Without names: it is written with most batches.
type Row = (u64, Timestamp, bool);

/// What `keep_passed` wrote, or a version that kept no times.
pub(in crate::alert) fn read_passed(state: &str, now: Timestamp) -> VecDeque<Recent> {
    let rows: Vec<Row> = serde_json::from_str(state).unwrap_or_else(|_| {
        let marks: Vec<u64> = serde_json::from_str(state).unwrap_or_default();
        marks.into_iter().map(|mark| (mark, now, true)).collect()
    });
    rows.into_iter().map(|(identity, at, of_session)| Recent { identity, at, of_session }).collect()
}

fn mark(ident: &AlertKey, identity: u64) -> u64 {
    fingerprint(&format!("{ident} {identity}"))
}
