//! The order in which messages leave, and the times until which they wait. Each lane has its place in an order, and
//! only what changes a lane moves it: an event, an answer, a time that comes. So a message costs the same with ten
//! people and with a thousand.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::contact::severity::Severity;
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId};
use crate::outbox::digest::{self, WaitingMessages};
use crate::outbox::rate_limit::{Bucket, PAIR};
use crate::outbox::row::Conversation;
use crate::time::Timestamp;

/// The first message of a lane: the most severe, then the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneHead {
    severity: Reverse<Severity>,
    pub id: MessageId,
    /// It waits for company while the person is left in peace.
    may_rest: bool,
}

impl LaneHead {
    #[must_use]
    pub fn new(id: MessageId, severity: Severity, alert: Option<AlertId>) -> Self {
        Self { severity: Reverse(severity), id, may_rest: digest::may_rest(alert, severity) }
    }
}

/// The content of a lane as the store found it. It is true until a message of the lane changes or a time of one comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneContent {
    /// The first of what no digest may carry.
    pub single: Option<LaneHead>,
    /// The first of what a digest may carry.
    pub mergeable: Option<LaneHead>,
    /// Its files are at Meta.
    pub uploaded: Option<LaneHead>,
    pub waiting: WaitingMessages,
}

impl LaneContent {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.single.or(self.mergeable).or(self.uploaded).is_none()
    }
}

/// In which lanes the sender asks what waits: those in which something changed, and these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneRequest {
    /// In all of them: at the start, or when the memory of them was lost.
    pub all: bool,
    pub reread: BTreeSet<Conversation>,
    /// Those in which a message waited for a time since then...
    pub since: Timestamp,
    /// ... of which the first was to come then: one that is written since changes its lane.
    pub next_at: Option<Timestamp>,
    /// The lanes whose files are on their way to Meta, each with the message whose files are there. What else has files
    /// waits, and so does what is of the same alert.
    pub uploads: BTreeMap<Conversation, Option<MessageId>>,
    /// No other upload may begin now: nowhere anything that has files.
    pub uploads_full: bool,
}

/// The lanes as the store found them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneReport {
    /// Nothing waits in other lanes.
    pub all: bool,
    pub lanes: Vec<(Conversation, LaneContent)>,
    /// When the next waiting message wants to be looked at.
    pub next_at: Option<Timestamp>,
    /// Of the messages whose files are at Meta, those that do not wait any more: cancelled, too old, or in a digest.
    pub lapsed: Vec<MessageId>,
}

/// A gate: closed until then, after so many failures in a row. It is forgotten at the first success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedGate {
    pub until: Timestamp,
    pub streak: u32,
    /// The owner was told.
    pub told: bool,
}

impl ClosedGate {
    /// Requests that failed together, before the gate closed, are one failure.
    pub fn streak(earlier: Option<&Self>, now: Timestamp) -> u32 {
        earlier.map_or(1, |closed| if closed.until > now { closed.streak } else { closed.streak + 1 })
    }
}

/// Messages to one person over one number, and what keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Lane {
    pub content: LaneContent,
    /// A request is under way.
    pub busy: bool,
    pub gate: Option<ClosedGate>,
    pub meter: Option<Bucket>,
    /// The time until which a digest waits, so that the person has some peace.
    pub rests_until: Option<Timestamp>,
    /// More than the burst but for `NEAR_PAIR_LIMIT` was used; until all that is paid back.
    pub near_pair_limit: bool,
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    head: Option<LaneHead>,
    /// So many wait that they are to leave as one message.
    crowded: bool,
    /// When it has another place, though nothing changes but the time.
    look: Option<Timestamp>,
    /// Nothing waits in it: when it may be forgotten.
    forget: Option<Timestamp>,
}

impl Lane {
    fn place(&self, now: Timestamp) -> Place {
        let shut_until = self
            .gate
            .map(|gate| gate.until)
            .max(self.meter.map(|meter| PAIR.next_allowed(Some(meter))))
            .filter(|until| *until > now);
        let owes_until = self.meter.map(Bucket::idle_at);
        if self.content.is_empty() {
            let idle = owes_until.max(self.rests_until).unwrap_or(now);
            let forget = (!self.busy && self.gate.is_none()).then_some(idle);
            return Place { forget, ..Place::default() };
        }
        if self.busy || shut_until.is_some() {
            return Place { look: shut_until.filter(|_| !self.busy), ..Place::default() };
        }
        let LaneContent { single, mergeable, uploaded, waiting } = self.content;
        let rests = self.rests_until.filter(|until| *until > now);
        let pressed = self.is_near_pair_limit(now);
        let merges = digest::merges(waiting, pressed, now);
        // What a digest would carry waits for the end of the rest; an answer does not.
        let mergeable = mergeable.filter(|_| !(merges && rests.is_some()));
        let first = single.into_iter().chain(mergeable).chain(uploaded).min();
        let rests_on = |head: &LaneHead| pressed && rests.is_some() && head.may_rest;
        let late = (waiting.count >= 2).then(|| waiting.oldest + digest::LATE);
        let owes = owes_until.filter(|_| pressed);
        Place {
            head: first.filter(|head| !rests_on(head)),
            crowded: merges && rests.is_none(),
            look: [rests, late, owes].into_iter().flatten().filter(|at| *at > now).min(),
            forget: None,
        }
    }

    /// Whether the burst that Meta lends is nearly used up.
    #[must_use]
    pub fn is_near_pair_limit(&self, now: Timestamp) -> bool {
        self.near_pair_limit && self.meter.is_some_and(|meter| !meter.is_idle(now))
    }

    /// As it would be if the clock had always shown so much less.
    pub fn set_back(&mut self, by: Duration) {
        if let Some(gate) = &mut self.gate {
            gate.until = gate.until - by;
        }
        self.meter = self.meter.map(|meter| meter.set_back(by));
        self.rests_until = self.rests_until.map(|until| until - by);
    }
}

/// What may leave over one number.
#[derive(Debug, Default)]
struct Queue {
    heads: BTreeSet<LaneHead>,
    crowded: BTreeSet<ContactId>,
}

/// All lanes in which something waits or of which something is remembered: bounded by the configuration, and by what is queued
/// for people who are not in it any more.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: BTreeMap<Conversation, (Lane, Place)>,
    queues: BTreeMap<ConnectionName, Queue>,
    looks: BTreeSet<(Timestamp, Conversation)>,
    idle: BTreeSet<(Timestamp, Conversation)>,
    /// What was changed since the last commit, as it was before, newest last.
    changed: Vec<(Conversation, Option<(Lane, Place)>)>,
}

impl Lanes {
    #[must_use]
    pub fn get(&self, lane: &Conversation) -> Lane {
        self.lanes.get(lane).map(|(lane, _)| *lane).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Conversation, &Lane)> {
        self.lanes.iter().map(|(name, (lane, _))| (name, lane))
    }

    /// Changes a lane and moves it to its place.
    pub fn change(&mut self, name: &Conversation, now: Timestamp, change: impl FnOnce(&mut Lane)) {
        let before = self.lanes.get(name).copied();
        let mut lane = before.map(|(lane, _)| lane).unwrap_or_default();
        change(&mut lane);
        let after = (lane, lane.place(now));
        if before != Some(after) {
            self.changed.push((name.clone(), before));
            self.put(name, Some(after));
        }
    }

    /// Changes all of them.
    pub fn change_all(&mut self, now: Timestamp, change: impl Fn(&mut Lane)) {
        let names: Vec<_> = self.lanes.keys().cloned().collect();
        names.iter().for_each(|name| self.change(name, now, &change));
    }

    /// Moves what has another place now that it is so late.
    pub fn look(&mut self, now: Timestamp) {
        while let Some((at, name)) = self.looks.first().filter(|(at, _)| *at <= now).cloned() {
            self.change(&name, now, |_| {});
            self.looks.remove(&(at, name)); // it has a later one, if any
        }
        while let Some((_, name)) = self.idle.first().filter(|(at, _)| *at <= now).cloned() {
            self.changed.push((name.clone(), self.lanes.get(&name).copied()));
            self.put(&name, None);
        }
    }

    /// When the first lane has another place, though nothing changes but the time.
    #[must_use]
    pub fn next_look(&self) -> Option<Timestamp> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// The messages that leave next, the most severe first, over the numbers that take so many of such severity.
    pub fn heads(
        &self,
        limit: usize,
        takes: impl Fn(&ConnectionName) -> usize,
        takes_severity: impl Fn(&ConnectionName, Severity) -> bool,
    ) -> Vec<MessageId> {
        let of_one = |(name, queue): (&ConnectionName, &Queue)| {
            let severe = queue.heads.iter().take_while(|head| takes_severity(name, head.severity.0));
            severe.copied().take(takes(name).min(limit)).collect::<Vec<_>>()
        };
        let mut heads: Vec<LaneHead> = self.queues.iter().flat_map(of_one).collect();
        heads.sort_unstable();
        heads.into_iter().take(limit).map(|head| head.id).collect()
    }

    /// The lanes with so many messages that they are to leave as one.
    pub fn crowded(&self, takes: impl Fn(&ConnectionName) -> usize) -> Vec<Conversation> {
        let open = self.queues.iter().filter(|(name, _)| takes(name) > 0);
        let lanes = |(name, queue): (&ConnectionName, &Queue)| {
            let lane =
                |contact: &ContactId| Conversation { connection: name.clone(), contact: contact.clone() };
            queue.crowded.iter().map(lane).collect::<Vec<_>>()
        };
        open.flat_map(lanes).collect()
    }

    /// What is changed from here on can be put back.
    pub fn mark(&mut self, nothing_is_under_way: bool) -> usize {
        if nothing_is_under_way {
            self.changed.clear();
        }
        self.changed.len()
    }

    /// As it was at that mark.
    pub fn put_back(&mut self, mark: usize) {
        let changed = self.changed.split_off(mark.min(self.changed.len()));
        changed.into_iter().rev().for_each(|(name, before)| self.put(&name, before));
    }

    fn put(&mut self, name: &Conversation, after: Option<(Lane, Place)>) {
        let before = match after {
            Some(after) => self.lanes.insert(name.clone(), after),
            None => self.lanes.remove(name),
        };
        let before = before.map(|(_, place)| place).unwrap_or_default();
        let after = after.map(|(_, place)| place).unwrap_or_default();
        if before == after {
            return;
        }
        move_in(&mut self.looks, name, before.look, after.look);
        move_in(&mut self.idle, name, before.forget, after.forget);
        let queue = self.queues.entry(name.connection.clone()).or_default();
        before.head.map(|head| queue.heads.remove(&head));
        after.head.map(|head| queue.heads.insert(head));
        if before.crowded && !after.crowded {
            queue.crowded.remove(&name.contact);
        } else if after.crowded && !before.crowded {
            queue.crowded.insert(name.contact.clone());
        }
    }
}

fn move_in(
    times: &mut BTreeSet<(Timestamp, Conversation)>,
    name: &Conversation,
    before: Option<Timestamp>,
    after: Option<Timestamp>,
) {
    if before != after {
        before.map(|at| times.remove(&(at, name.clone())));
        after.map(|at| times.insert((at, name.clone())));
    }
}

#[cfg(test)]
mod tests;
