//! All alerts that have a life: events and moments in, messages and records out. One owner, no lock; what must survive a
//! restart leaves as [`Effect::Keep`] and comes back through [`Engine::restore`].

/// What people and receipts do to alerts.
mod operator_input;
/// To one person: silences, quiet hours, and what was said before.
mod notify_person;
/// Alerts that are told together.
mod group_flush;
/// Who is told what, and what holds it back.
mod announce;
/// Alerts of rules without a life.
mod stateless;
/// Whether an event was taken before.
mod deduplicate;
/// What an earlier process kept.
mod restore;
/// The last values of alerts' numbers.
mod curves;
/// What wakes the watch.
mod timers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;

pub use operator_input::{AlertCommand, Person};
pub use restore::unreachable;
pub use stateless::OneTime;

pub use crate::alert::state_key::StateKey;
use curves::Curves;
use deduplicate::PassedEvents;
use timers::Timers;

use crate::alert::effect::{Effect, Snapshot, Why};
use crate::alert::ignored::EvaluationFailure;
use crate::alert::lifecycle::{Alert, AlertKey, Observation, Transition};
use crate::alert::notification::escalation;
use crate::alert::notification::grouping::Group;
use crate::alert::notification::quiet_hours_summary::HeldForSummary;
use crate::alert::notification::silence::Silence;
use crate::alert::unjudged::WholeReports;
use crate::contact::People;
use crate::event::sparkplug::BirthCertificates;
use crate::ids::{ContactId, RuleName};
use crate::rule::definition::Rule;
use crate::rule::lifecycle_settings::LifecycleSettings;
use crate::time::{Now, Timestamp, duration_for_people};

/// Alerts that are kept unless told otherwise: about 10 MB, and a thousand sites with ten sensors each.
pub const ALERTS_MAX: usize = 10_000;
/// A clock that moves by less than this beside the steady one is being corrected; by more, it was set.
const SET_MS: i64 = 10_000;

#[derive(Debug)]
pub struct Engine {
    rules: BTreeMap<RuleName, Arc<Rule>>,
    people: Arc<People>,
    zone: TimeZone,
    limit: usize,
    alerts: BTreeMap<AlertKey, Alert>,
    /// Those that neither fire nor wait, by when they were last used: the first to be forgotten.
    idle: BTreeMap<AlertKey, Timestamp>,
    oldest: BTreeSet<(Timestamp, AlertKey)>,
    firing: BTreeMap<RuleName, BTreeSet<AlertKey>>,
    /// Firing, but told to nobody, because something held it back that may end.
    owed: BTreeSet<AlertKey>,
    groups: BTreeMap<String, Group>,
    held: BTreeMap<ContactId, HeldForSummary>,
    silences: BTreeMap<u64, Silence>,
    /// Events that changed no alert.
    passed: PassedEvents,
    timers: Timers,
    dirty: BTreeSet<StateKey>,
    effects: Vec<Effect>,
    clock: Option<Now>,
    /// The births of Sparkplug; in memory alone.
    pub(super) births: BirthCertificates,
    /// The topics that send whole reports; in memory alone.
    pub(super) whole: WholeReports,
    curves: Curves,
    /// Told, but not kept, because there is no room.
    surplus: Option<AlertKey>,
}

impl Engine {
    #[must_use]
    pub fn new(rules: &[Arc<Rule>], people: Arc<People>, zone: TimeZone, limit: usize) -> Self {
        Self {
            rules: rules.iter().map(|rule| (rule.name.clone(), Arc::clone(rule))).collect(),
            people,
            zone,
            limit,
            alerts: BTreeMap::new(),
            idle: BTreeMap::new(),
            oldest: BTreeSet::new(),
            firing: BTreeMap::new(),
            owed: BTreeSet::new(),
            groups: BTreeMap::new(),
            held: BTreeMap::new(),
            silences: BTreeMap::new(),
            passed: PassedEvents::default(),
            timers: Timers::default(),
            dirty: BTreeSet::new(),
            effects: Vec::new(),
            clock: None,
            births: BirthCertificates::default(),
            whole: WholeReports::default(),
            curves: Curves::default(),
            surplus: None,
        }
    }

    /// Lets time pass: call it before anything else that happens at `now`.
    pub fn advance(&mut self, now: Now) {
        if let Some(last) = self.clock.replace(now) {
            let wall = now.wall.0 - last.wall.0;
            let steady = i64::try_from(now.steady.saturating_sub(last.steady).as_millis()).unwrap_or(0);
            if (wall - steady).abs() > SET_MS {
                self.clock_was_set(wall - steady, now.wall);
            }
        }
        // Each thing is looked at a few times at most: a step, a repetition and an end may fall together.
        for _ in 0..self.limit.saturating_mul(8).max(1_000) {
            let Some(slot) = self.timers.pop_due(now.wall) else { return };
            match &slot {
                StateKey::Alert(ident) => self.alert_due(ident, now.wall),
                StateKey::Group(key) => self.flush(key, now.wall),
                StateKey::Held(contact) => self.release(contact, now.wall),
                StateKey::Silence(id) => self.end_silence(*id, now.wall),
                StateKey::Curve(ident) => self.settle_curve(ident, now.wall),
                StateKey::Passed(_) => {} // it has no time of its own
            }
            self.touch(slot, now.wall);
        }
    }

    fn clock_was_set(&mut self, by: i64, now: Timestamp) {
        let slots: Vec<StateKey> = self.slots();
        self.alerts.values_mut().for_each(|alert| alert.shift(by));
        self.groups.values_mut().for_each(|group| group.shift(by));
        self.shift_curves(by);
        self.passed.shift(by);
        for slot in slots {
            self.touch(slot, now);
        }
    }

    fn slots(&self) -> Vec<StateKey> {
        let alerts = self.alerts.keys().cloned().map(StateKey::Alert);
        let groups = self.groups.keys().cloned().map(StateKey::Group);
        let held = self.held.keys().cloned().map(StateKey::Held);
        let silences = self.silences.keys().copied().map(StateKey::Silence);
        alerts.chain(groups).chain(held).chain(silences).chain(self.curve_keys()).collect()
    }

    /// Takes a reading; answers what conditions may name.
    pub fn reading(&mut self, ident: &AlertKey, value: f64, now: Timestamp) -> Option<Value> {
        let window = self.life(&ident.rule)?.window;
        let alert = self.entry(ident, now);
        let names = alert.numbers.get_or_insert_default().take(value, window, now);
        self.touch(StateKey::Alert(ident.clone()), now);
        Some(names)
    }

    /// Lets an event act on its alert.
    pub fn observe(&mut self, ident: &AlertKey, seen: &Observation, now: Timestamp) -> Transition {
        let Some(mut life) = self.life(&ident.rule) else { return Transition::Nothing };
        if !self.alerts.contains_key(ident) && !seen.fires && life.expect.is_none() {
            return Transition::Nothing; // nothing to remember
        }
        self.entry(ident, now);
        if self.surplus.as_ref() == Some(ident) {
            // Every alert that is kept fires: rather this one too early than never.
            Arc::make_mut(&mut life).pending_for = std::time::Duration::ZERO;
        }
        let Some(alert) = self.alerts.get_mut(ident) else { return Transition::Nothing };
        let turn = alert.observe(&life, seen, now);
        self.turned(ident, turn.clone(), now);
        self.touch(StateKey::Alert(ident.clone()), now);
        self.drop_surplus();
        turn
    }

    /// Messages of the alert's edge node did not arrive: what they would have done is not known.
    pub(super) fn missed(&mut self, ident: &AlertKey, messages: u64, now: Timestamp) {
        let what = format!("messages of its Sparkplug node are missing before this one: {messages}");
        self.record(ident, Why::Missed, what, now);
    }

    /// Records failures on an event that changed the alert all the same.
    pub fn flawed(&mut self, ident: &AlertKey, flaws: &[EvaluationFailure], now: Timestamp) {
        for flaw in flaws {
            self.record(ident, Why::Flaw, flaw.to_string(), now);
        }
    }

    fn alert_due(&mut self, ident: &AlertKey, now: Timestamp) {
        let Some(life) = self.life(&ident.rule) else { return };
        let Some(alert) = self.alerts.get_mut(ident) else { return };
        let turn = alert.tick(&life, now);
        self.turned(ident, turn, now);
        self.calm_down(ident, &life, now);
        self.escalate(ident, &life, now, false);
        self.repeat(ident, &life, now);
    }

    fn turned(&mut self, ident: &AlertKey, turn: Transition, now: Timestamp) {
        if !matches!(turn, Transition::Again | Transition::Nothing) {
            self.settle_curve(ident, now); // the page shows with it what it came from
        }
        match turn {
            Transition::Again | Transition::Nothing => {}
            Transition::Pending => self.pending(ident, now),
            Transition::Dropped(after) => {
                let what =
                    format!("the condition held for {} only, less than `for`", duration_for_people(after));
                self.record(ident, Why::Dropped, what, now);
            }
            Transition::Clearing => {
                self.record(ident, Why::Clearing, "it no longer holds; `keep_firing_for` runs".into(), now);
            }
            Transition::Fired => {
                self.fired(ident, now);
                self.announce(ident, now);
            }
            Transition::Resolved(ending, firing) => {
                self.over(ident, &ending, &firing, now);
                self.settle_owed(ident, now);
            }
        }
    }

    fn life(&self, rule: &RuleName) -> Option<Arc<LifecycleSettings>> {
        self.rules.get(rule).and_then(|rule| rule.life.clone())
    }

    /// The alert, made if there is none; room is made first.
    fn entry(&mut self, ident: &AlertKey, now: Timestamp) -> &mut Alert {
        if !self.alerts.contains_key(ident) && self.alerts.len() >= self.limit {
            self.drop_surplus();
            if let Some((_, old)) = self.oldest.pop_first() {
                self.idle.remove(&old);
                self.alerts.remove(&old);
                self.timers.set(StateKey::Alert(old.clone()), None);
                self.dirty.insert(StateKey::Alert(old.clone()));
                let what =
                    format!("forgotten: {} alerts are kept, and this one was quiet for longest", self.limit);
                self.record(&old, Why::Forgotten, what, now);
            } else {
                self.surplus = Some(ident.clone());
                let what = format!(
                    "all {} alerts that are kept fire or wait: this one is told at once and not kept",
                    self.limit
                );
                self.record(ident, Why::Forgotten, what, now);
            }
        }
        self.alerts.entry(ident.clone()).or_default()
    }

    /// Somebody came or went.
    pub(crate) fn meet(&mut self, people: Arc<People>) {
        self.people = people;
    }

    fn drop_surplus(&mut self) {
        if let Some(ident) = self.surplus.take() {
            self.alerts.remove(&ident);
            self.unfire(&ident);
            self.touch(StateKey::Alert(ident), Timestamp(0));
        }
    }

    fn record(&mut self, alert: &AlertKey, why: Why, what: String, at: Timestamp) {
        self.effects.push(Effect::Record { alert: alert.clone(), why, what, at });
    }

    /// After every change: when it wakes next, whether it is kept, and that it must be written down.
    fn touch(&mut self, slot: StateKey, now: Timestamp) {
        self.arm(&slot, now);
        self.dirty.insert(slot);
    }

    fn arm(&mut self, slot: &StateKey, now: Timestamp) {
        let due = match slot {
            StateKey::Alert(ident) => self.arm_alert(ident, now),
            StateKey::Group(key) => self.groups.get(key).and_then(|group| group.due),
            StateKey::Held(contact) => self.held.get(contact).map(|held| held.until),
            StateKey::Silence(id) => self.silences.get(id).map(|silence| silence.until),
            StateKey::Curve(ident) => self.curve_due(ident),
            StateKey::Passed(_) => None,
        };
        self.timers.set(slot.clone(), due);
    }

    fn arm_alert(&mut self, ident: &AlertKey, now: Timestamp) -> Option<Timestamp> {
        // First of all: of one that is gone nothing may stay, or it would be forgotten a second time, in another's place.
        if let Some(at) = self.idle.remove(ident) {
            self.oldest.remove(&(at, ident.clone()));
        }
        let life = self.rules.get(&ident.rule).and_then(|rule| rule.life.as_ref())?;
        let alert = self.alerts.get(ident)?;
        let fires = alert.firing().is_some();
        let at_rest = matches!(alert.phase, crate::alert::lifecycle::Phase::Idle) && life.expect.is_none();
        let calm =
            alert.flapping.then(|| alert.changes.back().map(|last| *last + life.flapping.within)).flatten();
        let repeat = alert.firing().and_then(|firing| {
            let waits = firing.acknowledged.is_none() && !alert.flapping;
            firing.told_at.zip(life.repeat_interval).filter(|_| waits).map(|(at, every)| at + every)
        });
        let step = alert.firing().and_then(|firing| escalation::due(firing, life));
        let due = [alert.due(life), calm, repeat, step].into_iter().flatten().min();
        let worthless = at_rest
            && !alert.flapping
            && alert.history.is_empty()
            && (alert.recent.is_empty() || life.dedupe.is_none())
            && alert.numbers.is_none();
        if worthless {
            let gone = self.alerts.remove(ident);
            for recent in gone.into_iter().flat_map(|alert| alert.recent) {
                self.pass(ident, recent);
            }
            self.unfire(ident);
            return None;
        }
        if at_rest {
            let used = alert.last_used().unwrap_or(now); // not when it was read from disk
            self.idle.insert(ident.clone(), used);
            self.oldest.insert((used, ident.clone()));
        }
        if fires {
            self.firing.entry(ident.rule.clone()).or_default().insert(ident.clone());
        } else {
            self.unfire(ident);
        }
        due
    }

    fn unfire(&mut self, ident: &AlertKey) {
        self.owed.remove(ident);
        if let Some(firing) = self.firing.get_mut(&ident.rule) {
            firing.remove(ident);
        }
    }

    /// The effects of everything since the last call.
    pub fn drain(&mut self) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.effects);
        for slot in
            std::mem::take(&mut self.dirty).into_iter().filter(|slot| !matches!(slot, StateKey::Passed(_)))
        {
            effects.push(match self.state(&slot) {
                Some(state) => Effect::Keep(Snapshot { slot, state }),
                None => Effect::Forget(slot),
            });
        }
        effects
    }

    /// What is written of it; `None`: there is nothing to keep.
    fn state(&self, slot: &StateKey) -> Option<String> {
        let state = match slot {
            StateKey::Alert(ident) => self.alerts.get(ident).map(serde_json::to_string),
            StateKey::Group(key) => self.groups.get(key).map(serde_json::to_string),
            StateKey::Held(contact) => self.held.get(contact).map(serde_json::to_string),
            StateKey::Silence(id) => self.silences.get(id).map(serde_json::to_string),
            StateKey::Curve(ident) => return self.curve_state(ident),
            StateKey::Passed(number) => return self.passed.state(*number), // with the batch
        };
        state?.ok()
    }

    /// All that must be on disk after each `drain` and `keep_passed`: what is not there is lost with the next restart.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let slots = self.slots().into_iter().chain(self.passed.keys());
        slots.filter_map(|slot| self.state(&slot).map(|state| Snapshot { slot, state })).collect()
    }

    /// When to call `advance` though nothing else happens.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Everything that is kept, for lists and tests.
    #[must_use]
    pub fn alerts(&self) -> &BTreeMap<AlertKey, Alert> {
        &self.alerts
    }
}
