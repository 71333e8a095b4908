//! The second half of the way: which message leaves now, and what its answer means for it and for the others.
//!
//! Before a request leaves, `sending` is committed; after its answer, the outcome is. So a crash at any point leaves a
//! row that says whether a request may have gone out.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::delivery::{Answer, Class, Count, Gate, after_answer, counts};
use crate::alert::outbox::{Change, Due, Lane, Work};
use crate::chance::Dice;
use crate::ids::{ConnectionName, MessageId};
use crate::time::Timestamp;

/// Requests under way at once. A request takes about 0.3 s at Meta, so 16 keep the default 80 messages a second of a
/// number within reach without opening more sockets than a small machine should hold.
pub const IN_FLIGHT_MAX: usize = 16;

#[derive(Debug)]
pub enum Input {
    /// Something may be due: a commit, a timer, the start.
    Wake,
    /// The store's answer to `Load`.
    Loaded(Work),
    /// `Sending` is on disk.
    SendingCommitted(MessageId),
    Answered(MessageId, Answer),
    /// The outcome is on disk.
    SettledCommitted(MessageId),
}

#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Ask the store for work outside these closed lanes and connections.
    Load { closed_lanes: Vec<Lane>, closed_connections: Vec<ConnectionName>, limit: usize },
    /// Write; answered with `SendingCommitted` or `SettledCommitted`.
    Commit(Change),
    /// Send; answered with `Answered`.
    Post(Box<Due>),
    /// Say `Wake` then.
    WakeAt(Timestamp),
    /// Something for the log and `readyz`: a connection has closed, or is open again.
    Paused { connection: ConnectionName, until: Timestamp, reason: String },
}

/// The sender's memory. What it forgets in a crash (closed gates) it learns again from the next answer.
#[derive(Debug, Default)]
pub struct Sender {
    in_flight: BTreeMap<MessageId, Due>,
    settling: BTreeSet<MessageId>,
    connections: BTreeMap<ConnectionName, Closed>,
    lanes: BTreeMap<Lane, Closed>,
    loading: bool,
    /// Something changed while a load was under way: its answer may be stale, so load again.
    again: bool,
}

/// A gate: closed until then, after so many failures in a row. It is forgotten at the first success.
#[derive(Debug, Clone, Copy)]
struct Closed {
    until: Timestamp,
    streak: u32,
}

impl Closed {
    /// Requests that failed together, before the gate closed, are one failure.
    fn streak(earlier: Option<&Self>, now: Timestamp) -> u32 {
        earlier.map_or(1, |closed| if closed.until > now { closed.streak } else { closed.streak + 1 })
    }
}

impl Sender {
    pub fn handle(&mut self, input: Input, now: Timestamp, dice: &mut Dice) -> Vec<Effect> {
        match input {
            Input::Wake => self.load(now),
            Input::Loaded(work) => self.start(work, now),
            Input::SendingCommitted(id) => {
                self.in_flight.get(&id).cloned().map(Box::new).map(Effect::Post).into_iter().collect()
            }
            Input::Answered(id, answer) => self.settle(id, &answer, now, dice),
            Input::SettledCommitted(id) => {
                self.in_flight.remove(&id);
                self.settling.remove(&id);
                self.load(now)
            }
        }
    }

    /// Whether nothing is under way, so that the process may end.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    fn load(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.loading {
            self.again = true;
            return Vec::new();
        }
        let limit = IN_FLIGHT_MAX - self.in_flight.len();
        if limit == 0 {
            return Vec::new(); // the next answer loads
        }
        self.loading = true;
        let busy = self.in_flight.values().map(|due| due.lane.clone());
        let shut = |closed: &&Closed| closed.until > now;
        let lanes = self.lanes.iter().filter(|(_, closed)| shut(closed)).map(|(lane, _)| lane.clone());
        let connections = self.connections.iter().filter(|(_, closed)| shut(closed));
        let effect = Effect::Load {
            closed_lanes: lanes.chain(busy).collect(),
            closed_connections: connections.map(|(name, _)| name.clone()).collect(),
            limit,
        };
        vec![effect]
    }

    fn start(&mut self, work: Work, now: Timestamp) -> Vec<Effect> {
        self.loading = false;
        let mut effects = Vec::new();
        for due in work.due {
            if self.in_flight.len() == IN_FLIGHT_MAX || !self.is_open(&due.lane, now) {
                continue; // a gate closed while the store was asked
            }
            effects.push(Effect::Commit(Change::Sending { id: due.id, attempt: due.attempts + 1, at: now }));
            self.in_flight.insert(due.id, due);
        }
        let gates = self.connections.values().chain(self.lanes.values()).map(|closed| closed.until);
        if let Some(at) = gates.filter(|until| *until > now).chain(work.next_at).min() {
            effects.push(Effect::WakeAt(at));
        }
        if std::mem::take(&mut self.again) {
            effects.extend(self.load(now));
        }
        effects
    }

    /// After a failure one request at a time asks whether the connection works again, not sixteen.
    fn is_open(&self, lane: &Lane, now: Timestamp) -> bool {
        let shut = |closed: Option<&Closed>| closed.is_some_and(|closed| closed.until > now);
        let same_connection = |due: &&Due| due.lane.connection == lane.connection;
        let asking = self.connections.contains_key(&lane.connection)
            && self.in_flight.values().any(|due| same_connection(&due));
        let busy = self.in_flight.values().any(|due| due.lane == *lane);
        !(shut(self.connections.get(&lane.connection)) || shut(self.lanes.get(lane)) || asking || busy)
    }

    fn settle(&mut self, id: MessageId, answer: &Answer, now: Timestamp, dice: &mut Dice) -> Vec<Effect> {
        let Some(due) = self.in_flight.get(&id) else { return Vec::new() };
        if !self.settling.insert(id) {
            return Vec::new(); // one answer a request
        }
        let lane = due.lane.clone();
        let pair = matches!(answer, Answer::Refused(refusal) if refusal.class == Class::PairThrottle);
        let earlier = if pair { self.lanes.get(&lane) } else { self.connections.get(&lane.connection) };
        let count = Count { tries: due.tries + 1, streak: Closed::streak(earlier, now) };
        let attempt = due.attempts + 1;
        let next = after_answer(answer, count, due.on_unknown, now, dice);
        let mut effects = Vec::new();
        match next.gate {
            Some(Gate::Connection { until, reason }) => {
                self.connections.insert(lane.connection.clone(), Closed { until, streak: count.streak });
                effects.push(Effect::Paused { connection: lane.connection, until, reason });
            }
            Some(Gate::Pair { until }) => {
                self.lanes.insert(lane, Closed { until, streak: count.streak });
            }
            None => {
                self.connections.remove(&lane.connection);
                self.lanes.remove(&lane);
            }
        }
        let (wamid, code, http_status, fbtrace_id) = match answer {
            Answer::Accepted(wamid) => (Some(wamid.clone()), None, Some(200), None),
            Answer::Refused(refusal) => {
                (None, Some(refusal.code), refusal.http_status, refusal.fbtrace_id.clone())
            }
            Answer::Offline(_) => (None, None, None, None),
            Answer::Ambiguous { http_status, fbtrace_id, .. } => {
                (None, None, *http_status, fbtrace_id.clone())
            }
        };
        effects.push(Effect::Commit(Change::Settled {
            id,
            attempt,
            counts: counts(answer),
            at: now,
            state: next.state,
            not_before: next.not_before,
            reason: next.reason,
            wamid,
            code,
            http_status,
            fbtrace_id,
        }));
        effects
    }
}
