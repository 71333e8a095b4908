//! Restores what an earlier process kept, and begins to watch what has to be watched from the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, StateKey};
use crate::alert::effect::{Effect, Snapshot, Why};
use crate::alert::lifecycle::{Alert, AlertKey, Phase};
use crate::alert::message_text::MessageText;
use crate::ids::ContactId;
use crate::outbox::message::Template;
use crate::rule::definition::Rule;
use crate::rule::lifecycle_settings::LifecycleSettings;
use crate::time::{Now, Timestamp};

impl Engine {
    /// Takes back what an earlier process kept. While we were away nobody could be heard, so silence since then proves
    /// nothing. What belongs to a rule that is gone is forgotten.
    pub fn restore(&mut self, kept: Vec<Snapshot>, now: Now) {
        self.clock = Some(now);
        let (mut slots, mut ahead) = (Vec::new(), Duration::ZERO);
        for Snapshot { slot, state } in kept {
            let known = match &slot {
                StateKey::Alert(ident) => match self.restore_alert(ident, &state, now.wall) {
                    Some(by) => {
                        ahead = ahead.max(by);
                        true
                    }
                    None => false,
                },
                StateKey::Group(key) => keep(&mut self.groups, key, &state),
                StateKey::Held(contact) => keep(&mut self.held, contact, &state),
                StateKey::Silence(id) => keep(&mut self.silences, id, &state),
                StateKey::Curve(ident) => self.restore_curve(ident, &state, now.wall),
                StateKey::Passed(number) => {
                    self.passed.restore(*number, &state, now.wall);
                    true
                }
            };
            if known {
                slots.push(slot);
            } else {
                self.effects.push(Effect::Forget(slot));
            }
        }
        self.groups.values_mut().for_each(|group| group.go_on(ahead, now.wall));
        self.passed.arrange();
        for slot in slots {
            self.arm(&slot, now.wall);
            if self.state(&slot).is_none() {
                self.effects.push(Effect::Forget(slot)); // what the rule asks for by now needs no memory of it
            }
        }
        self.hand_over(now.wall);
    }

    /// What fires, and nobody knows of or takes care of whom the configuration has, is told to whoever is on duty.
    fn hand_over(&mut self, now: Timestamp) {
        let firing: Vec<AlertKey> = self.firing.values().flatten().cloned().collect();
        for ident in firing {
            let gone = |id: &ContactId| !self.people.contacts.contains_key(id);
            let Some(alert) = self.alerts.get_mut(&ident) else { continue };
            let episode = alert.episode;
            let Some(firing) = alert.firing_mut() else { continue };
            let left = firing.acknowledged.take_if(|one| one.contact.as_ref().is_some_and(gone));
            let unknown = !firing.told.is_empty() && firing.told.keys().all(gone);
            if firing.acknowledged.is_some() || left.is_none() && !unknown {
                continue;
            }
            let reason = match left {
                Some(left) => format!("{} took care, and is not in the configuration any more", left.by),
                None => "nobody who was told is in the configuration any more".to_owned(),
            };
            self.record(&ident, Why::Forgotten, reason.clone(), now);
            let (alert, state) = (ident.clone(), "firing");
            self.effects.push(Effect::Moved { alert, episode, state, reason, at: now });
            self.tell_again(&ident, now);
            self.touch(StateKey::Alert(ident), now);
        }
    }

    /// How far ahead of now the clock was that it was saved by; `None`: it is forgotten.
    fn restore_alert(&mut self, ident: &AlertKey, state: &str, now: Timestamp) -> Option<Duration> {
        let mut alert = serde_json::from_str::<Alert>(state).ok()?;
        if let Some(why) = unreachable(self.life(&ident.rule).as_deref(), ident, &alert) {
            self.put_away(ident, &alert, why, now);
            return None;
        }
        // Saved by a clock that was right, read by one that is not yet: time goes on from where it stopped.
        let newest = alert.seen_at.into_iter().chain(alert.changes.back().copied()).max();
        if let Some(ahead) = newest.filter(|at| *at > now) {
            alert.shift(now.0 - ahead.0);
        }
        alert.seen_at = alert.seen_at.map(|_| now);
        if alert.firing().is_some_and(|firing| firing.owed) {
            self.owed.insert(ident.clone());
        }
        self.alerts.insert(ident.clone(), alert);
        Some(newest.map_or(Duration::ZERO, |at| now.until(at)))
    }

    /// Else it would be said again for ever, and stand in every list.
    fn put_away(&mut self, ident: &AlertKey, alert: &Alert, why: &str, now: Timestamp) {
        if alert.firing().is_none() {
            return;
        }
        tracing::warn!(alert = %ident, why, "an alert that was firing at the last stop is not watched any more");
        self.effects.push(Effect::Moved {
            alert: ident.clone(),
            episode: alert.episode,
            state: "resolved",
            reason: why.to_owned(),
            at: now,
        });
        self.record(ident, Why::Forgotten, why.to_owned(), now);
    }

    /// A rule that expects the signs of life of one device misses them from the start, not only after the first.
    pub fn begin(&mut self, now: Timestamp, words: impl Fn(&Rule) -> (MessageText, Vec<Template>)) {
        let expects = |rule: &&Arc<Rule>| rule.life.as_ref().is_some_and(|life| life.expect.is_some());
        let lone = |rule: &&Arc<Rule>| rule.life.as_ref().is_some_and(|life| life.key.is_empty());
        let rules: Vec<Arc<Rule>> = self.rules.values().filter(expects).filter(lone).cloned().collect();
        for rule in rules {
            let ident = AlertKey { rule: rule.name.clone(), key: String::new() };
            let alert = self.entry(&ident, now);
            if alert.seen_at.is_none() {
                alert.seen_at = Some(now);
                (alert.wording, alert.templates) = words(&rule);
            }
            self.touch(StateKey::Alert(ident), now);
        }
    }
}

/// The reason why no event could ever end this alert: what it was called by another configuration, or by a version that
/// did not count wildcards without a name.
#[must_use]
pub fn unreachable(
    life: Option<&LifecycleSettings>,
    ident: &AlertKey,
    alert: &Alert,
) -> Option<&'static str> {
    let Some(life) = life else {
        return Some("its rule is gone, or its alerts have no states any more");
    };
    // At rest it only remembers, and may not have heard its levels yet; unless silence alone makes it fire.
    if alert.phase == Phase::Idle && life.expect.is_none() {
        return None;
    }
    let known = life.key.iter().all(|part| alert.bindings.contains_key(part));
    let same = known && AlertKey::of(&ident.rule, &life.key, &alert.bindings) == *ident;
    (!same).then_some("the rule's `key` has changed: what still holds is a new alert with its next event")
}

fn keep<K: Ord + Clone, V: serde::de::DeserializeOwned>(
    into: &mut BTreeMap<K, V>,
    key: &K,
    state: &str,
) -> bool {
    serde_json::from_str(state).is_ok_and(|value| {
        into.insert(key.clone(), value);
        true
    })
}
