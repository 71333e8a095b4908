//! Gates: connections and people that Meta's answers have closed, and the pace that Meta allows.

use std::time::Duration;

use super::{CLOCK_SLACK, CLOCK_STEP, MessageUpdate, NEAR_PAIR_LIMIT, RATE, Scheduler, SchedulerEffect};
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::digest;
use crate::outbox::lanes::ClosedGate;
use crate::outbox::rate_limit::{PAIR, RateLimit};
use crate::outbox::retry_policy::{Class, Gate, Refusal, for_a_person, gate_of};
use crate::outbox::row::Conversation;
use crate::random::Rng;
use crate::time::Timestamp;

impl Scheduler {
    /// Gates and pace are times. When the clock goes back they go with it, or everything would wait for as long.
    pub(crate) fn look_at_the_clock(&mut self, now: Timestamp) -> Vec<SchedulerEffect> {
        let by = self.last.map_or(Duration::ZERO, |last| now.until(last));
        if by < CLOCK_STEP {
            self.last = self.last.max(Some(now)); // jobs say when they were asked for, and overtake one another
            return Vec::new();
        }
        self.last = Some(now);
        self.seen.at = None; // of what has waited long enough by the other clock, some has to wait again
        if by <= CLOCK_SLACK {
            self.lanes.change_all(now, |_| {});
            return Vec::new();
        }
        self.connections.values_mut().for_each(|closed| closed.until = closed.until - by);
        self.severities.values_mut().for_each(|until| *until = *until - by);
        self.connection_meters.values_mut().for_each(|meter| *meter = meter.set_back(by));
        self.lanes.change_all(now, |lane| lane.set_back(by));
        vec![SchedulerEffect::Commit(MessageUpdate::SetBack { by }), SchedulerEffect::WakeAt(now)]
    }

    /// Closes what one failure tells of the number or the person, though its request was accepted.
    pub(crate) fn on_refusal(
        &mut self,
        lane: &Conversation,
        refusal: &Refusal,
        now: Timestamp,
        dice: &mut Rng,
    ) -> Vec<SchedulerEffect> {
        let streak = self.streak(lane, refusal.class == Class::PairThrottle, now);
        match gate_of(refusal, streak, now, dice) {
            Some(gate) => self.close(lane, gate, streak, for_a_person(refusal), now).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Failures in a row, with this one, to that person or over that number.
    pub(crate) fn streak(&self, lane: &Conversation, pair: bool, now: Timestamp) -> u32 {
        let earlier =
            if pair { self.lanes.get(lane).gate } else { self.connections.get(&lane.connection).copied() };
        ClosedGate::streak(earlier.as_ref(), now)
    }

    pub(crate) fn close(
        &mut self,
        lane: &Conversation,
        gate: Gate,
        streak: u32,
        notice: Option<String>,
        now: Timestamp,
    ) -> Option<SchedulerEffect> {
        match gate {
            Gate::Connection { until, reason } => {
                let earlier = self.connections.get(&lane.connection);
                let until = earlier.map_or(until, |earlier| until.max(earlier.until));
                let told = notice.is_some() || earlier.is_some_and(|earlier| earlier.told);
                self.connections.insert(lane.connection.clone(), ClosedGate { until, streak, told });
                Some(SchedulerEffect::Paused { connection: lane.connection.clone(), until, reason, notice })
            }
            Gate::Severity { .. } => None, // an answer closes it (`settle`); no status tells of it
            Gate::Pair { until } => {
                let gate = Some(ClosedGate { until, streak, told: false });
                self.lanes.change(lane, now, |lane| lane.gate = gate);
                None
            }
        }
    }

    /// An answer that closes nothing opens what was closed before its request left; a gate that was closed since stays.
    pub(crate) fn open(&mut self, lane: &Conversation, now: Timestamp) -> Option<SchedulerEffect> {
        if self.lanes.get(lane).gate.is_some_and(|closed| closed.until <= now) {
            self.lanes.change(lane, now, |lane| lane.gate = None);
        }
        let closed = *self.connections.get(&lane.connection).filter(|closed| closed.until <= now)?;
        self.connections.remove(&lane.connection);
        closed.told.then(|| SchedulerEffect::Resumed { connection: lane.connection.clone() })
    }

    /// The times at which the gates of numbers open.
    pub(crate) fn connection_gates(&self) -> impl Iterator<Item = Timestamp> {
        let rates =
            self.connection_meters.iter().map(|(name, meter)| self.rate(name).next_allowed(Some(*meter)));
        self.connections.values().map(|closed| closed.until).chain(rates)
    }

    /// The number of messages that a connection takes now. After a failure one request at a time asks whether it works
    /// again, not sixteen.
    pub(crate) fn takes(&self, connection: &ConnectionName, now: Timestamp) -> usize {
        let meter = self.connection_meters.get(connection).copied();
        let closed = self.connections.get(connection);
        if closed.is_some_and(|closed| closed.until > now) || self.rate(connection).next_allowed(meter) > now
        {
            return 0;
        }
        if closed.is_some() {
            let asks = self.in_flight.values().any(|under_way| under_way.0.lane.connection == *connection);
            return usize::from(!asks);
        }
        let left = meter.map_or(u32::MAX, |meter| self.rate(connection).left(meter, now));
        usize::try_from(left.max(1)).unwrap_or(usize::MAX)
    }

    /// Whether a number takes what is so severe. What a hub has refused as severe as that, it takes no less severe.
    pub(crate) fn takes_severity(
        &self,
        connection: &ConnectionName,
        severity: Severity,
        now: Timestamp,
    ) -> bool {
        let closed = |((name, up_to), until): (&(ConnectionName, Severity), &Timestamp)| {
            name == connection && severity <= *up_to && *until > now
        };
        !self.severities.iter().any(closed)
    }

    pub(crate) fn rate(&self, connection: &ConnectionName) -> RateLimit {
        RateLimit::per_second(self.rates.get(connection).copied().unwrap_or(RATE))
    }

    /// One message leaves over that lane.
    pub(crate) fn pass(&mut self, name: &Conversation, now: Timestamp) {
        self.lanes.change(name, now, |lane| {
            let pressed = lane.is_near_pair_limit(now);
            let pair = PAIR.take(lane.meter, now);
            lane.meter = Some(pair);
            lane.near_pair_limit = pressed || PAIR.left(pair, now) < NEAR_PAIR_LIMIT;
            lane.rests_until = Some(now + digest::REST);
            lane.busy = true;
        });
        let rate = self.rate(&name.connection);
        let meter = rate.take(self.connection_meters.get(&name.connection).copied(), now);
        self.connection_meters.insert(name.connection.clone(), meter);
    }

    /// Whether a message to that person may leave now.
    pub(crate) fn is_open(&self, name: &Conversation, now: Timestamp) -> bool {
        let lane = self.lanes.get(name);
        let shut = lane.gate.is_some_and(|closed| closed.until > now) || PAIR.next_allowed(lane.meter) > now;
        !(self.stopping || lane.busy || shut) && self.takes(&name.connection, now) > 0
    }
}
