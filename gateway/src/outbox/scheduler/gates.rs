//! What may not leave now: connections and people that Meta's answers have closed, and the pace that Meta allows.

use std::time::Duration;

use super::{CLOCK_SLACK, MessageUpdate, NEAR_PAIR_LIMIT, RATE, Scheduler, SchedulerEffect};
use crate::ids::ConnectionName;
use crate::outbox::digest;
use crate::outbox::rate_limit::{Bucket, PAIR, RateLimit};
use crate::outbox::retry_policy::{Class, Gate, Refusal, for_a_person, gate_of};
use crate::outbox::row::Conversation;
use crate::random::Rng;
use crate::time::Timestamp;

/// What a gate closes.
pub(crate) enum GateTarget<'a> {
    Lane(&'a Conversation),
    Connection(&'a ConnectionName),
}

/// A gate: closed until then, after so many failures in a row. It is forgotten at the first success.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClosedGate {
    pub(crate) until: Timestamp,
    pub(crate) streak: u32,
    /// The owner was told.
    pub(crate) told: bool,
}

impl ClosedGate {
    /// Requests that failed together, before the gate closed, are one failure.
    pub(crate) fn streak(earlier: Option<&Self>, now: Timestamp) -> u32 {
        earlier.map_or(1, |closed| if closed.until > now { closed.streak } else { closed.streak + 1 })
    }
}

impl Scheduler {
    /// Gates and pace are times. When the clock goes back they go with it, or everything would wait for as long.
    pub(crate) fn look_at_the_clock(&mut self, now: Timestamp) -> Vec<SchedulerEffect> {
        let by = self.last.replace(now).map_or(Duration::ZERO, |last| now.until(last));
        if by <= CLOCK_SLACK {
            return Vec::new();
        }
        for closed in self.connections.values_mut().chain(self.lanes.values_mut()) {
            closed.until = closed.until - by;
        }
        let meters = self.connection_meters.values_mut().chain(self.pair_meters.values_mut());
        meters.for_each(|meter| *meter = meter.set_back(by));
        self.resting.values_mut().for_each(|until| *until = *until - by);
        vec![SchedulerEffect::Commit(MessageUpdate::SetBack { by }), SchedulerEffect::WakeAt(now)]
    }

    /// What one failure tells of the number or the person, though its request was accepted.
    pub(crate) fn on_refusal(
        &mut self,
        lane: &Conversation,
        refusal: &Refusal,
        now: Timestamp,
        dice: &mut Rng,
    ) -> Vec<SchedulerEffect> {
        let pair = refusal.class == Class::PairThrottle;
        let earlier = if pair { self.lanes.get(lane) } else { self.connections.get(&lane.connection) };
        let streak = ClosedGate::streak(earlier, now);
        match gate_of(refusal, streak, now, dice) {
            Some(gate) => self.close(lane, gate, streak, for_a_person(refusal)).into_iter().collect(),
            None => Vec::new(),
        }
    }

    pub(crate) fn close(
        &mut self,
        lane: &Conversation,
        gate: Gate,
        streak: u32,
        notice: Option<String>,
    ) -> Option<SchedulerEffect> {
        match gate {
            Gate::Connection { until, reason } => {
                let earlier = self.connections.get(&lane.connection);
                let until = earlier.map_or(until, |earlier| until.max(earlier.until));
                let told = notice.is_some() || earlier.is_some_and(|earlier| earlier.told);
                self.connections.insert(lane.connection.clone(), ClosedGate { until, streak, told });
                Some(SchedulerEffect::Paused { connection: lane.connection.clone(), until, reason, notice })
            }
            Gate::Pair { until } => {
                self.lanes.insert(lane.clone(), ClosedGate { until, streak, told: false });
                None
            }
        }
    }

    /// An answer that closes nothing opens what was closed before its request left; a gate that was closed since stays.
    pub(crate) fn open(&mut self, lane: &Conversation, now: Timestamp) -> Option<SchedulerEffect> {
        if self.lanes.get(lane).is_some_and(|closed| closed.until <= now) {
            self.lanes.remove(lane);
        }
        let closed = *self.connections.get(&lane.connection).filter(|closed| closed.until <= now)?;
        self.connections.remove(&lane.connection);
        closed.told.then(|| SchedulerEffect::Resumed { connection: lane.connection.clone() })
    }

    /// Everything that may be closed, and until when.
    pub(crate) fn gates(&self) -> impl Iterator<Item = (GateTarget<'_>, Timestamp)> {
        let connections =
            self.connections.iter().map(|(name, closed)| (GateTarget::Connection(name), closed.until));
        let lanes = self.lanes.iter().map(|(lane, closed)| (GateTarget::Lane(lane), closed.until));
        let rate =
            move |(name, meter): (&'_ ConnectionName, &Bucket)| self.rate(name).next_allowed(Some(*meter));
        let pairs = self
            .pair_meters
            .iter()
            .map(|(lane, meter)| (GateTarget::Lane(lane), PAIR.next_allowed(Some(*meter))));
        let rates =
            self.connection_meters.iter().map(move |entry| (GateTarget::Connection(entry.0), rate(entry)));
        connections.chain(lanes).chain(rates).chain(pairs)
    }

    pub(crate) fn rate(&self, connection: &ConnectionName) -> RateLimit {
        RateLimit::per_second(self.rates.get(connection).copied().unwrap_or(RATE))
    }

    /// One message leaves over that lane.
    pub(crate) fn pass(&mut self, lane: &Conversation, now: Timestamp) {
        let pair = PAIR.take(self.pair_meters.get(lane).copied(), now);
        self.pair_meters.insert(lane.clone(), pair);
        if PAIR.left(pair, now) < NEAR_PAIR_LIMIT {
            self.near_pair_limit.insert(lane.clone());
        }
        let rate = self.rate(&lane.connection);
        let meter = rate.take(self.connection_meters.get(&lane.connection).copied(), now);
        self.connection_meters.insert(lane.connection.clone(), meter);
        self.resting.insert(lane.clone(), now + digest::REST);
    }

    /// After a failure one request at a time asks whether the connection works again, not sixteen.
    pub(crate) fn is_open(&self, lane: &Conversation, now: Timestamp) -> bool {
        let shut = |closed: Option<&ClosedGate>| closed.is_some_and(|closed| closed.until > now);
        let paced = PAIR.next_allowed(self.pair_meters.get(lane).copied()) > now
            || self
                .rate(&lane.connection)
                .next_allowed(self.connection_meters.get(&lane.connection).copied())
                > now;
        let asking = self.connections.contains_key(&lane.connection)
            && self.in_flight.values().any(|(due, _)| due.lane.connection == lane.connection);
        let busy = self.in_flight.values().any(|(due, _)| due.lane == *lane);
        !(self.stopping
            || shut(self.connections.get(&lane.connection))
            || shut(self.lanes.get(lane))
            || paced
            || asking
            || busy)
    }
}
