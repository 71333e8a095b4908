//! One alert: pending, firing, acknowledged, over. What each event and each moment does to it, and nothing about whom
//! that concerns.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::alert::alert_key::AlertKey;
use crate::alert::message_text::MessageText;
use crate::alert::notification::reached::Notified;
use crate::alert::time_series::TimeSeries;
use crate::event::incoming::{REMEMBERED, is_remembered};
use crate::event::topic::Bindings;
use crate::ids::ContactId;
use crate::outbox::message::Template;
use crate::rule::lifecycle_settings::LifecycleSettings;
use crate::time::Timestamp;

/// Episodes that an alert remembers: enough to say "the third time today", and to see a pattern.
pub const HISTORY_MAX: usize = 8;
/// Changes that flap detection may count, and so the limit of its configuration.
pub const CHANGES_MAX: usize = 100;
/// Identities of recent events: a broker sends at most 32 again after a break, and rarely all about one alert.
const RECENT_MAX: usize = 16;

/// Stored as JSON, so that a restart goes on where the last process stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alert {
    pub bindings: Bindings,
    pub phase: Phase,
    /// The last event that confirmed it; of a rule with `expect` the last sign of life.
    pub seen_at: Option<Timestamp>,
    /// The last words, and what fills the WhatsApp templates.
    #[serde(flatten)]
    pub wording: MessageText,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<TimeSeries>,
    /// When it began or ended, for flap detection.
    pub changes: VecDeque<Timestamp>,
    pub flapping: bool,
    pub recent: VecDeque<Recent>,
    pub history: VecDeque<Episode>,
    /// The number of times that it has fired.
    pub episode: u32,
}

/// An event that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    pub identity: u64,
    pub at: Timestamp,
    /// The broker's packet identifier says so, which means nothing any more in its next session.
    pub of_session: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Idle,
    Pending {
        since: Timestamp,
        worst: Option<f64>,
    },
    Firing(Box<Firing>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// When the condition began to hold.
    pub since: Timestamp,
    pub fired_at: Timestamp,
    /// It no longer holds since then, and is over if it stays so.
    pub clear_since: Option<Timestamp>,
    pub worst: Option<f64>,
    pub events: u32,
    /// The words with which it began.
    #[serde(flatten)]
    pub wording: MessageText,
    pub acknowledged: Option<Acknowledged>,
    /// The next step of the escalation.
    pub step: usize,
    pub told: BTreeMap<ContactId, Notified>,
    pub told_at: Option<Timestamp>,
    /// Something held it back from somebody who has still to be told.
    pub owed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: String,
    /// `None`: an operator, or an earlier version wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactId>,
    pub at: Timestamp,
}

/// One time that it fired, after it was over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    pub since: Timestamp,
    pub over_at: Timestamp,
    pub worst: Option<f64>,
    pub ending: EndReason,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The condition says so.
    Cleared,
    /// Nothing has confirmed it for `resolve_after`.
    Timeout,
    Person(String),
}

/// One event as the alert's conditions see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    pub bindings: Bindings,
    pub fires: bool,
    pub clears: bool,
    /// `when` could not be judged: what waits goes on waiting.
    pub is_when_unknown: bool,
    /// Whether it is over could not be judged: what is about to end stays about to end.
    pub is_end_unknown: bool,
    /// A retained message: it may end an alert, but not begin one (promise P6).
    pub is_state: bool,
    pub wording: Option<MessageText>,
    pub templates: Vec<Template>,
    pub value: Option<f64>,
}

/// The change of an alert's state.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// The condition holds, `for` runs.
    Pending,
    /// It held for less than `for`.
    Dropped(Duration),
    Fired,
    /// Once more while it fires, or while `for` runs.
    Again,
    /// It does not hold any more, `keep_firing_for` runs.
    Clearing,
    Resolved(EndReason, Box<Firing>),
    Nothing,
}

impl Alert {
    pub fn observe(&mut self, life: &LifecycleSettings, seen: &Observation, now: Timestamp) -> Transition {
        self.bindings.clone_from(&seen.bindings);
        if let Some(wording) = &seen.wording {
            self.wording.clone_from(wording);
            self.templates.clone_from(&seen.templates);
        }
        // Of a rule with `expect` what is no sign of life only starts the clock.
        if seen.fires || life.expect.is_some() && (seen.clears || self.seen_at.is_none()) {
            self.seen_at = Some(now);
        }
        match &mut self.phase {
            Phase::Idle if seen.fires && !seen.is_state => {
                if life.pending_for.is_zero() {
                    return self.fire(now, now, seen.value);
                }
                self.phase = Phase::Pending { since: now, worst: seen.value };
                Transition::Pending
            }
            Phase::Idle => Transition::Nothing,
            Phase::Pending { .. } if seen.is_when_unknown && !seen.clears => Transition::Nothing,
            Phase::Pending { since, worst } => {
                let since = *since;
                *worst = life.worse(*worst, seen.value);
                let worst = *worst;
                if !seen.fires {
                    self.phase = Phase::Idle;
                    return Transition::Dropped(since.until(now));
                }
                if since.until(now) >= life.pending_for {
                    self.fire(since, now, worst)
                } else {
                    Transition::Again
                }
            }
            Phase::Firing(firing) => {
                if !seen.clears {
                    firing.worst = life.worse(firing.worst, seen.value);
                }
                if seen.clears {
                    if life.keep_firing_for.is_zero() {
                        return self.resolve(EndReason::Cleared, now);
                    }
                    firing.clear_since.get_or_insert(now);
                    return Transition::Clearing;
                }
                if seen.fires || !seen.is_end_unknown {
                    firing.clear_since = None;
                }
                firing.events += u32::from(seen.fires);
                if seen.fires { Transition::Again } else { Transition::Nothing }
            }
        }
    }

    /// Lets the clock alone act.
    pub fn tick(&mut self, life: &LifecycleSettings, now: Timestamp) -> Transition {
        let seen_at = self.seen_at;
        match &self.phase {
            Phase::Idle => match (life.expect, seen_at) {
                (Some(every), Some(seen)) if seen + every + life.pending_for <= now => {
                    self.fire(seen, now, None)
                }
                _ => Transition::Nothing,
            },
            Phase::Pending { since, worst } if *since + life.pending_for <= now => {
                let (since, worst) = (*since, *worst);
                self.fire(since, now, worst)
            }
            Phase::Pending { .. } => Transition::Nothing,
            Phase::Firing(firing) => {
                let clear = firing.clear_since.is_some_and(|since| since + life.keep_firing_for <= now);
                let forgotten =
                    life.resolve_after.zip(seen_at).is_some_and(|(after, seen)| seen + after <= now);
                match (clear, forgotten) {
                    (true, _) => self.resolve(EndReason::Cleared, now),
                    (false, true) => self.resolve(EndReason::Timeout, now),
                    (false, false) => Transition::Nothing,
                }
            }
        }
    }

    /// When the clock alone may do something.
    #[must_use]
    pub fn due(&self, life: &LifecycleSettings) -> Option<Timestamp> {
        match &self.phase {
            Phase::Idle => life.expect.zip(self.seen_at).map(|(every, seen)| seen + every + life.pending_for),
            Phase::Pending { since, .. } => Some(*since + life.pending_for),
            Phase::Firing(firing) => {
                let clear = firing.clear_since.map(|since| since + life.keep_firing_for);
                let forgotten = life.resolve_after.zip(self.seen_at).map(|(after, seen)| seen + after);
                [clear, forgotten].into_iter().flatten().min()
            }
        }
    }

    fn fire(&mut self, since: Timestamp, now: Timestamp, value: Option<f64>) -> Transition {
        self.episode += 1;
        self.changed(now);
        self.phase = Phase::Firing(Box::new(Firing::new(since, now, value, self.wording.clone())));
        Transition::Fired
    }

    /// Ends it, for whatever reason; nothing happens to one that does not fire.
    pub fn resolve(&mut self, ending: EndReason, now: Timestamp) -> Transition {
        let firing = match std::mem::take(&mut self.phase) {
            Phase::Firing(firing) => firing,
            other @ (Phase::Idle | Phase::Pending { .. }) => {
                self.phase = other;
                return Transition::Nothing;
            }
        };
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        let (since, worst) = (firing.since, firing.worst);
        self.history.push_back(Episode { since, over_at: now, worst, ending: ending.clone() });
        self.changed(now);
        Transition::Resolved(ending, firing)
    }

    fn changed(&mut self, now: Timestamp) {
        if self.changes.len() >= CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
    }

    /// The number of beginnings and ends lately.
    #[must_use]
    pub fn changes_within(&self, time: Duration, now: Timestamp) -> u32 {
        let recent = self.changes.iter().filter(|at| at.until(now) < time).count();
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// Whether an event of this identity was taken before.
    pub fn is_repetition(&mut self, identity: u64, window: Option<Duration>, now: Timestamp) -> bool {
        let window = window.unwrap_or(REMEMBERED);
        self.recent.retain(|recent| is_remembered(recent.at, window, now));
        self.recent.iter().any(|recent| recent.identity == identity)
    }

    pub fn remember(&mut self, recent: Recent) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }

    #[must_use]
    pub fn firing(&self) -> Option<&Firing> {
        match &self.phase {
            Phase::Firing(firing) => Some(firing),
            Phase::Idle | Phase::Pending { .. } => None,
        }
    }

    pub fn firing_mut(&mut self) -> Option<&mut Firing> {
        match &mut self.phase {
            Phase::Firing(firing) => Some(firing),
            Phase::Idle | Phase::Pending { .. } => None,
        }
    }

    /// The newest of what it remembers.
    #[must_use]
    pub fn last_used(&self) -> Option<Timestamp> {
        let read = self.numbers.as_ref().and_then(TimeSeries::last_at);
        read.max(self.changes.back().copied()).max(self.recent.back().map(|recent| recent.at))
    }

    /// The word for lists.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match &self.phase {
            Phase::Idle => "resolved",
            Phase::Pending { .. } => "pending",
            Phase::Firing(firing) if firing.acknowledged.is_some() => "acknowledged",
            Phase::Firing(_) => "firing",
        }
    }

    /// The clock was set by so many milliseconds: what runs keeps its distance from now, so that nothing comes in a burst
    /// and nothing freezes (docs/reliability.md F18). What is over stays as it was written, unless it was written by a clock
    /// that had never been set.
    pub fn shift(&mut self, by: i64) {
        let move_by = |at: &mut Timestamp| at.0 += by;
        self.seen_at.iter_mut().for_each(move_by);
        self.changes.iter_mut().for_each(move_by);
        self.recent.iter_mut().for_each(|recent| recent.at.0 += by);
        self.numbers.iter_mut().for_each(|numbers| numbers.shift(by));
        for episode in &mut self.history {
            for at in [&mut episode.since, &mut episode.over_at] {
                if !at.is_sane() {
                    at.0 += by;
                }
            }
        }
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Pending { since, .. } => move_by(since),
            Phase::Firing(firing) => {
                [&mut firing.since, &mut firing.fired_at].into_iter().for_each(move_by);
                firing.clear_since.iter_mut().for_each(move_by);
                firing.told_at.iter_mut().for_each(move_by);
                firing.told.values_mut().for_each(|told| told.at.0 += by);
            }
        }
    }
}

impl Firing {
    #[must_use]
    pub fn new(since: Timestamp, fired_at: Timestamp, worst: Option<f64>, wording: MessageText) -> Self {
        Self {
            since,
            fired_at,
            clear_since: None,
            worst,
            events: 1,
            wording,
            acknowledged: None,
            step: 0,
            told: BTreeMap::new(),
            told_at: None,
            owed: false,
        }
    }
}

impl Transition {
    /// The word in tables.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dropped(_) => "dropped",
            Self::Fired => "fired",
            Self::Again => "still-firing",
            Self::Clearing => "clearing",
            Self::Resolved(..) => "resolved",
            Self::Nothing => "condition-false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::notification::reached::Reached;

    /// A row of `alert_memory` as it was before people had languages, number for number.
    const FORMER: &str = r#"{"bindings":{"door":"back"},"phase":{"firing":{"since":1773136800000,"fired_at":1773136800000,
        "clear_since":null,"worst":-9.5,"events":1,"text":"Door back is open","acknowledged":null,"step":0,
        "told":{"nino":{"at":1773136800000,"reach":"delivered","text":18446744073709551615}},"told_at":1773136800000,
        "owed":false}},"seen_at":1773136800000,"text":"Door back is open","changes":[1773136800000],"flapping":false,
        "recent":[{"identity":18446744073709551614,"at":1773136800000,"of_session":true}],"history":[],"episode":1}"#;

    #[test]
    fn alerts_saved_before_languages_existed_are_read_and_rewritten_alike() {
        let alert: Alert = serde_json::from_str(FORMER).expect("read");
        let firing = alert.firing().expect("it fires");
        assert_eq!((alert.wording.text.as_str(), &firing.wording), ("Door back is open", &alert.wording));
        assert_eq!((firing.told[&"nino".into()].text, alert.recent[0].identity), (u64::MAX, u64::MAX - 1));
        // One language is written as it always was, so that the version before reads it, too.
        let written = serde_json::to_value(&alert).expect("JSON");
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(FORMER).expect("JSON"));
    }

    const START: Timestamp = Timestamp(1_773_136_800_000);
    const fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn seen(fires: bool) -> Observation {
        Observation { fires, clears: !fires, ..Observation::default() }
    }

    /// The clock acts at the moment that `due` tells, and not a millisecond before.
    #[test]
    fn timers_act_without_an_event() {
        let bare = LifecycleSettings::bare();
        let (held, kept, forgotten, alive) = (
            LifecycleSettings { pending_for: secs(10), ..bare.clone() },
            LifecycleSettings { keep_firing_for: secs(20), ..bare.clone() },
            LifecycleSettings { resolve_after: Some(secs(30)), ..bare.clone() },
            LifecycleSettings { expect: Some(secs(40)), pending_for: secs(10), ..bare.clone() },
        );
        let check = |life: &LifecycleSettings, before: &[bool], at: u64, expected: &str| {
            let mut alert = Alert::default();
            for fires in before {
                alert.observe(life, &seen(*fires), START);
            }
            let due = START + secs(at);
            assert_eq!(alert.due(life), Some(due), "{expected}");
            assert_eq!(alert.tick(life, due - Duration::from_millis(1)), Transition::Nothing, "{expected}");
            assert_eq!(alert.tick(life, due).as_str(), expected);
            assert_ne!(alert.due(life), Some(due), "once");
        };
        check(&held, &[true], 10, "fired");
        check(&kept, &[true, false], 20, "resolved");
        check(&forgotten, &[true], 30, "resolved");
        check(&alive, &[false], 50, "fired");
        assert_eq!(Alert::default().due(&held), None);
    }

    #[test]
    fn each_phase_has_its_state_word_and_counts() {
        let life = LifecycleSettings { pending_for: secs(10), ..LifecycleSettings::bare() };
        let mut alert = Alert::default();
        assert_eq!(alert.state(), "resolved");
        alert.observe(&life, &seen(true), START);
        assert_eq!(alert.state(), "pending");
        alert.observe(&life, &seen(true), START + secs(10));
        alert.observe(&life, &seen(true), START + secs(11));
        assert_eq!((alert.state(), alert.episode), ("firing", 1));
        let firing = alert.firing_mut().expect("it fires");
        assert_eq!(firing.events, 2);
        firing.acknowledged = Some(Acknowledged { by: "Nino".into(), contact: None, at: START });
        assert_eq!(alert.state(), "acknowledged");
        alert.resolve(EndReason::Timeout, START + secs(20));
        assert_eq!(alert.changes_within(secs(10), START + secs(20)), 1);
        alert.observe(&life, &seen(true), START + secs(30));
        alert.observe(&life, &seen(true), START + secs(40));
        assert_eq!((alert.episode, alert.changes_within(secs(60), START + secs(40))), (2, 3));
    }

    #[test]
    fn an_alert_remembers_sixteen_events_within_their_window() {
        let recent = |identity| Recent { identity, at: START, of_session: false };
        let mut alert = Alert::default();
        (1..=17).for_each(|identity| alert.remember(recent(identity)));
        assert!(!alert.is_repetition(1, None, START) && alert.is_repetition(2, None, START));
        let window = Some(secs(10));
        assert!(alert.is_repetition(2, window, START + Duration::from_millis(9_999)));
        assert!(!alert.is_repetition(2, window, START + secs(10)));
        let week = secs(7 * 24 * 3_600);
        alert.remember(recent(18));
        alert.remember(Recent { at: Timestamp(5), ..recent(19) });
        assert!(alert.is_repetition(18, None, START + (week - secs(1))));
        assert!(!alert.is_repetition(18, None, START + week), "for as long as a session");
        assert!(alert.is_repetition(19, None, START + week), "from before the clock was set");
    }

    /// Every moment moves, but what is over and was written by a clock that had been set.
    #[test]
    fn a_set_clock_moves_running_times() {
        let by = 3_600_000;
        let early = Timestamp(1_000);
        let episode = |at| Episode { since: at, over_at: at, worst: None, ending: EndReason::Cleared };
        let firing = |at| {
            let told = Notified { at, reach: Reached::Sent, text: 0 };
            Firing {
                clear_since: Some(at),
                told: BTreeMap::from([("nino".into(), told)]),
                told_at: Some(at),
                ..Firing::new(at, at, None, MessageText::default())
            }
        };
        let alert = |at, over: [Timestamp; 2], phase| Alert {
            phase,
            seen_at: Some(at),
            changes: VecDeque::from([at]),
            recent: VecDeque::from([Recent { identity: 1, at, of_session: true }]),
            history: over.map(episode).into(),
            ..Alert::default()
        };
        let later = Timestamp(START.0 + by);
        let phases = |at| [Phase::Pending { since: at, worst: None }, Phase::Firing(Box::new(firing(at)))];
        for (former, expected) in phases(START).into_iter().zip(phases(later)) {
            let mut moved = alert(START, [early, START], former);
            moved.shift(by);
            assert_eq!(moved, alert(later, [Timestamp(early.0 + by), START], expected));
        }
    }
}
