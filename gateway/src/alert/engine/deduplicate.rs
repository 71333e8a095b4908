//! Recognises an event that was taken before. Each alert knows its own; what changed none is known for as long as a
//! broker may still send it again: a "cold" that comes a second time after the "hot" that followed it would end the
//! alarm.

use std::collections::{BTreeSet, VecDeque};

use super::{Engine, StateKey};
use crate::alert::effect::{Effect, Snapshot};
use crate::alert::lifecycle::{AlertKey, Recent};
use crate::event::incoming::{REMEMBERED, UNACKNOWLEDGED_MAX, is_remembered};
use crate::ids::fingerprint;
use crate::time::Timestamp;

/// A part is a row, and only the newest is written with an event: a quiet site writes little else, and a row of all of them has 40
/// KB.
const PART_MAX: usize = 128;
/// Full ones, so that all are known that a broker may send again, each for four rules; one more is being filled.
const FULL_PARTS: usize = UNACKNOWLEDGED_MAX as usize * 4 / PART_MAX;
/// One number more than there are parts: it tells where they begin.
const NUMBERS: u8 = FULL_PARTS as u8 + 2;

/// Events that changed no alert, the oldest first.
#[derive(Debug, Default)]
pub(super) struct PassedEvents {
    parts: VecDeque<Part>,
    dirty: BTreeSet<u8>,
    dropped: Option<u8>,
}

#[derive(Debug)]
struct Part {
    number: u8,
    events: Vec<Recent>,
}

impl PassedEvents {
    fn push(&mut self, event: Recent) {
        if self.parts.back().is_none_or(|newest| newest.events.len() >= PART_MAX) {
            let number = self.parts.back().map_or(0, |newest| (newest.number + 1) % NUMBERS);
            self.parts.push_back(Part { number, events: Vec::new() });
            if self.parts.len() > FULL_PARTS + 1 {
                self.dropped = self.parts.pop_front().map(|oldest| oldest.number);
            }
        }
        if let Some(newest) = self.parts.back_mut() {
            newest.events.push(event);
            self.dirty.insert(newest.number);
        }
    }

    fn contains(&self, mark: u64, now: Timestamp) -> bool {
        let mut events = self.parts.iter().flat_map(|part| &part.events);
        events.any(|event| event.identity == mark && is_remembered(event.at, REMEMBERED, now))
    }

    fn forget_session(&mut self) {
        for part in &mut self.parts {
            let before = part.events.len();
            part.events.retain(|event| !event.of_session);
            if part.events.len() < before {
                self.dirty.insert(part.number);
            }
        }
    }

    pub(super) fn shift(&mut self, milliseconds: i64) {
        self.parts.iter_mut().flat_map(|part| &mut part.events).for_each(|event| event.at.0 += milliseconds);
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = StateKey> + '_ {
        self.parts.iter().map(|part| StateKey::Passed(part.number))
    }

    pub(super) fn state(&self, number: u8) -> Option<String> {
        let part = self.parts.iter().find(|part| part.number == number)?;
        let rows: Vec<Row> =
            part.events.iter().map(|event| (event.identity, event.at, event.of_session)).collect();
        serde_json::to_string(&rows).ok()
    }

    /// Parts come in any order; [`Self::arrange`] follows the last.
    pub(super) fn restore(&mut self, number: u8, state: &str, now: Timestamp) {
        self.parts.push_back(Part { number: number % NUMBERS, events: read_passed(state, now) });
    }

    /// The oldest is the one behind the number that is free.
    pub(super) fn arrange(&mut self) {
        let is_used = |number: u8| self.parts.iter().any(|part| part.number == number);
        let first =
            (0..NUMBERS).find(|number| is_used(*number) && !is_used((number + NUMBERS - 1) % NUMBERS));
        let first = first.unwrap_or(0);
        let place = |part: &Part| (part.number + NUMBERS - first) % NUMBERS;
        self.parts.make_contiguous().sort_by_key(place);
    }
}

impl Engine {
    /// Whether an event with this identity was taken before.
    pub fn is_repetition(&mut self, ident: &AlertKey, identity: u64, now: Timestamp) -> bool {
        let window = self.life(&ident.rule).and_then(|life| Some(life.dedupe.as_ref()?.window));
        let known =
            self.alerts.get_mut(ident).is_some_and(|alert| alert.is_repetition(identity, window, now));
        known || window.is_none() && self.passed.contains(mark(ident, identity), now)
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

    /// Remembers an event of an alert that is not kept any more, or of none.
    pub(in crate::alert) fn pass(&mut self, ident: &AlertKey, recent: Recent) {
        self.passed.push(Recent { identity: mark(ident, recent.identity), ..recent });
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
        self.passed.forget_session();
    }

    /// Written once for a whole batch: it is most of what a quiet site writes.
    pub fn keep_passed(&mut self) -> Vec<Effect> {
        let dropped = self.passed.dropped.take().map(|number| Effect::Forget(StateKey::Passed(number)));
        let dirty = std::mem::take(&mut self.passed.dirty).into_iter();
        let kept = dirty.filter_map(|number| {
            let state = self.passed.state(number)?;
            Some(Effect::Keep(Snapshot { slot: StateKey::Passed(number), state }))
        });
        dropped.into_iter().chain(kept).collect()
    }
}

/// Without names: it is written with most batches.
type Row = (u64, Timestamp, bool);

/// Reads what `keep_passed` wrote, or a version that kept no times.
fn read_passed(state: &str, now: Timestamp) -> Vec<Recent> {
    let rows: Vec<Row> = serde_json::from_str(state).unwrap_or_else(|_| {
        let marks: Vec<u64> = serde_json::from_str(state).unwrap_or_default();
        marks.into_iter().map(|mark| (mark, now, true)).collect()
    });
    let event = |(identity, at, of_session): Row| Recent { identity, at: at.min(now), of_session };
    rows.into_iter().map(event).collect()
}

fn mark(ident: &AlertKey, identity: u64) -> u64 {
    fingerprint(&format!("{ident} {identity}"))
}
