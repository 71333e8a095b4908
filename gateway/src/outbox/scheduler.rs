//! The second half of the way: which message leaves now, and what its answer means for it and for the others.
//!
//! Before a request leaves, `sending` is committed; after its answer, the outcome is. So a crash at any point leaves a
//! row that says whether a request may have gone out.

/// What keeps a message from leaving now: the rate to one person, a refusal, a closed number.
mod gates;
/// Takes back what was decided in a transaction that was rolled back.
pub(crate) mod checkpoint;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::contact::severity::Severity;
use crate::ids::{ConnectionName, MessageId};
use crate::outbox::lanes::{ClosedGate, LaneContent, LaneReport, LaneRequest, Lanes};
use crate::outbox::rate_limit::Bucket;
use crate::outbox::retry_policy::{
    ApiAnswer, Class, FailureCount, Gate, MessageCase, Refusal, after_answer, counts, for_a_person,
};
use crate::outbox::row::{Conversation, DueMessage, MessageUpdate, SendResult, Work};
use crate::outbox::uploads::{Uploaded, Uploads};
use crate::outbox::window::{Choice, MessageForm, choose};
use crate::random::Rng;
use crate::time::Timestamp;

/// Requests under way at once. A request takes about 0.3 s at Meta, so 16 keep the default 80 messages a second of a
/// number within reach without opening more sockets than a small machine should hold.
pub const IN_FLIGHT_MAX: usize = 16;
/// Messages a second that a number may send unless Meta has raised it (docs/cloud-api.md 5.1).
pub const RATE: u32 = 80;
/// Of the burst of 45 that Meta lends to a pair, this much stays in hand: after ten messages in a minute, what waits is
/// merged, since nobody reads more one by one. So it stays until all that was lent is paid back: at this mark itself a rest
/// of 6 s brings back one, which would leave alone while the others wait.
const NEAR_PAIR_LIMIT: u32 = 35;
/// A clock that is corrected over the network moves by less; one that goes back further was set.
const CLOCK_SLACK: Duration = Duration::from_secs(60);
/// Less than this is no step of the clock.
const CLOCK_STEP: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub enum SchedulerInput {
    /// Something may be due: a commit, a timer, the start.
    Wake,
    /// The store's answer to `Look`.
    Lanes(LaneReport),
    /// What waited in crowded lanes is in digests.
    Merged,
    /// The store's answer to `Load`.
    Loaded(Work),
    /// `Sending` is on disk.
    SendingCommitted(MessageId),
    /// The message is not what it was when it was loaded: it does not leave now.
    Withdrawn(MessageId),
    /// The files of a message are at Meta, or cannot be had.
    Uploaded(MessageId, Uploaded),
    Answered(MessageId, ApiAnswer),
    /// The outcome is on disk.
    SettledCommitted(MessageId),
    /// A message that may not leave is held on disk, or a clock that was set back is allowed for.
    HeldCommitted,
    /// A person has put something right: the connection is tried now.
    CredentialsChanged(ConnectionName),
    /// A message over that lane failed, as a status said.
    Reported(Conversation, Box<Refusal>),
    /// So Meta refused before the start. Most gates are found shut again with the next answer; a number that is restricted
    /// must not ask for one.
    Remembered {
        lane: Conversation,
        refusal: Box<Refusal>,
        at: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum SchedulerEffect {
    /// Ask the store what waits in lanes; answered with `Lanes`.
    Look(LaneRequest),
    /// Put what waits in these lanes into digests; answered with `Merged`.
    Merge(Vec<Conversation>),
    /// Ask the store for these messages; answered with `Loaded`.
    Load(Vec<MessageId>),
    /// Write; answered with `SendingCommitted` or `Withdrawn`, `HeldCommitted`, `SettledCommitted`.
    Commit(MessageUpdate),
    /// Bring its files to Meta; answered with `Uploaded`.
    Upload(Box<DueMessage>),
    /// Send in that form; answered with `Answered`.
    Post(Arc<(DueMessage, Choice)>),
    /// Say `Wake` then.
    WakeAt(Timestamp),
    /// A connection has closed. A notice is for what a person has to put right.
    Paused { connection: ConnectionName, until: Timestamp, reason: String, notice: Option<String> },
    /// A connection that waited for a person works again.
    Resumed { connection: ConnectionName },
}

/// The sender's memory. What it forgets in a crash (closed gates, pace) it learns again from the next answer, or is told
/// at the start.
#[derive(Debug, Default)]
pub struct Scheduler {
    /// Messages a second over each connection; [`RATE`] for one that is not here.
    rates: Arc<BTreeMap<ConnectionName, u32>>,
    in_flight: BTreeMap<MessageId, Arc<(DueMessage, Choice)>>,
    settling: BTreeSet<MessageId>,
    uploads: Uploads,
    connections: BTreeMap<ConnectionName, ClosedGate>,
    /// Up to which severity a hub takes nothing, and until when.
    severities: BTreeMap<(ConnectionName, Severity), Timestamp>,
    /// Bounded by the configuration: what owes nothing is forgotten at each load.
    connection_meters: BTreeMap<ConnectionName, Bucket>,
    lanes: Lanes,
    seen: Seen,
    last: Option<Timestamp>,
    loading: bool,
    /// Something changed while a load was under way: its answer may be stale, so load again.
    again: bool,
    /// What waited in crowded lanes was put into digests in this load.
    merged: bool,
    /// The process is about to end: nothing new leaves.
    stopping: bool,
}

/// What the lanes in memory show.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// All of it, up to then; `None`: nothing yet.
    at: Option<Timestamp>,
    uploads_full: bool,
    /// When the next waiting message wants to be looked at.
    next_at: Option<Timestamp>,
}

impl Scheduler {
    #[must_use]
    pub fn new(rates: BTreeMap<ConnectionName, u32>) -> Self {
        Self { rates: Arc::new(rates), ..Self::default() }
    }

    pub fn handle(&mut self, input: SchedulerInput, now: Timestamp, dice: &mut Rng) -> Vec<SchedulerEffect> {
        let mut effects = self.look_at_the_clock(now);
        effects.extend(self.act(input, now, dice));
        effects
    }

    fn act(&mut self, input: SchedulerInput, now: Timestamp, dice: &mut Rng) -> Vec<SchedulerEffect> {
        match input {
            SchedulerInput::CredentialsChanged(connection) => {
                if let Some(closed) = self.connections.get_mut(&connection) {
                    closed.until = closed.until.min(now);
                }
                self.load(now)
            }
            SchedulerInput::Reported(lane, refusal) => self.on_refusal(&lane, &refusal, now, dice),
            SchedulerInput::Remembered { lane, refusal, at } => self.on_refusal(&lane, &refusal, at, dice),
            SchedulerInput::Wake => self.load(now),
            SchedulerInput::Lanes(report) => self.look(report, now),
            SchedulerInput::Merged => vec![self.ask(now)],
            SchedulerInput::Loaded(work) => self.start(work, now),
            SchedulerInput::SendingCommitted(id) => {
                self.in_flight.get(&id).map(Arc::clone).map(SchedulerEffect::Post).into_iter().collect()
            }
            SchedulerInput::Withdrawn(id) => {
                self.land(id, now);
                self.load(now)
            }
            SchedulerInput::HeldCommitted => self.load(now),
            SchedulerInput::Uploaded(id, done) => {
                self.uploads.end(id, done);
                self.load(now)
            }
            SchedulerInput::Answered(id, answer) => self.settle(id, &answer, now, dice),
            SchedulerInput::SettledCommitted(id) => {
                self.land(id, now);
                self.settling.remove(&id);
                self.load(now)
            }
        }
    }

    /// The process is about to end: what is under way may, and nothing else leaves.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether nothing is under way, so that the process may end.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// A request is not under way any more.
    fn land(&mut self, id: MessageId, now: Timestamp) {
        if let Some(landed) = self.in_flight.remove(&id) {
            self.lanes.change(&landed.0.lane, now, |lane| lane.busy = false);
        }
    }

    fn load(&mut self, now: Timestamp) -> Vec<SchedulerEffect> {
        if self.loading {
            self.again = true;
            return Vec::new();
        }
        if self.room() == 0 {
            return Vec::new(); // the next answer loads
        }
        (self.loading, self.merged) = (true, false);
        self.connection_meters.retain(|_, meter| !meter.is_idle(now));
        self.severities.retain(|_, until| *until > now);
        vec![self.ask(now)]
    }

    /// So many may leave now.
    fn room(&self) -> usize {
        if self.stopping { 0 } else { IN_FLIGHT_MAX - self.in_flight.len() }
    }

    fn ask(&mut self, now: Timestamp) -> SchedulerEffect {
        let (uploads, uploads_full) = (self.uploads.lanes(), self.uploads.is_full());
        // Whether what has files may be first is another question in each lane.
        let all = self.seen.at.is_none() || uploads_full != self.seen.uploads_full;
        let since = self.seen.at.unwrap_or(now).min(now);
        (self.seen.at, self.seen.uploads_full) = (Some(now), uploads_full);
        let reread = self.uploads.take_changed();
        let next_at = self.seen.next_at;
        SchedulerEffect::Look(LaneRequest { all, reread, since, next_at, uploads, uploads_full })
    }

    /// What waits is known: what is to be done about it now.
    fn look(&mut self, report: LaneReport, now: Timestamp) -> Vec<SchedulerEffect> {
        report.lapsed.into_iter().for_each(|id| self.uploads.forget(id));
        self.seen.next_at = report.next_at;
        if report.all {
            self.lanes.change_all(now, |lane| lane.content = LaneContent::default());
        }
        for (name, content) in report.lanes {
            self.lanes.change(&name, now, |lane| lane.content = content);
        }
        self.lanes.look(now);
        let takes = |name: &ConnectionName| self.takes(name, now);
        let crowded = if self.merged { Vec::new() } else { self.lanes.crowded(takes) };
        if !crowded.is_empty() {
            self.merged = true;
            return vec![SchedulerEffect::Merge(crowded)];
        }
        let heads =
            self.lanes.heads(self.room(), takes, |name, severity| self.takes_severity(name, severity, now));
        if heads.is_empty() { self.start(Work::default(), now) } else { vec![SchedulerEffect::Load(heads)] }
    }

    fn start(&mut self, work: Work, now: Timestamp) -> Vec<SchedulerEffect> {
        self.loading = false;
        self.again |= work.damaged; // behind one that is put aside another may be fit to leave
        let mut effects = Vec::new();
        for due in work.due {
            if self.in_flight.len() == IN_FLIGHT_MAX
                || !self.is_open(&due.lane, now)
                || !self.takes_severity(&due.lane.connection, due.severity, now)
            {
                continue; // a gate closed while the store was asked
            }
            let Some(due) = self.uploads.ready(due) else { continue };
            let choice = choose(&due.content.templates, &due.listed, due.window);
            let form = match &choice {
                Choice::Free => MessageForm::Free,
                Choice::Template { index, .. } => due.template_form(*index),
                Choice::Hold(reason) => {
                    effects.push(SchedulerEffect::Commit(MessageUpdate::Held {
                        id: due.id,
                        at: now,
                        reason: reason.clone(),
                    }));
                    continue;
                }
            };
            if due.content.needs_upload() {
                if self.uploads.begin(&due) {
                    effects.push(SchedulerEffect::Upload(Box::new(due)));
                    self.again = true; // for what may go before it
                }
                continue;
            }
            self.uploads.forget(due.id);
            self.pass(&due.lane, now);
            effects.push(SchedulerEffect::Commit(MessageUpdate::Sending {
                id: due.id,
                attempt: due.attempts + 1,
                form,
                at: now,
            }));
            self.in_flight.insert(due.id, Arc::new((due, choice)));
        }
        let times = self
            .connection_gates()
            .chain(self.severities.values().copied())
            .chain(self.lanes.next_look())
            .chain(self.seen.next_at);
        if let Some(at) = times.filter(|at| *at > now).min() {
            effects.push(SchedulerEffect::WakeAt(at));
        }
        if std::mem::take(&mut self.again) {
            effects.extend(self.load(now));
        }
        effects
    }

    fn settle(
        &mut self,
        id: MessageId,
        answer: &ApiAnswer,
        now: Timestamp,
        dice: &mut Rng,
    ) -> Vec<SchedulerEffect> {
        let Some(under_way) = self.in_flight.get(&id).map(Arc::clone) else { return Vec::new() };
        let (due, choice) = &*under_way;
        if !self.settling.insert(id) {
            return Vec::new(); // one answer a request
        }
        let lane = due.lane.clone();
        let pair = matches!(answer, ApiAnswer::Refused(refusal) if refusal.class == Class::PairThrottle);
        let count = FailureCount { tries: due.tries + 1, streak: self.streak(&lane, pair, now) };
        let attempt = due.attempts + 1;
        let form = match choice {
            Choice::Template { index, .. } => due.template_form(*index),
            Choice::Free | Choice::Hold(_) => MessageForm::Free,
        };
        let templates = due.content.templates.len();
        let has_media = !due.content.clone().media().is_empty();
        let (on_unknown, expires_at) = (due.on_unknown, due.expires_at);
        let case = MessageCase { count, on_unknown, form, templates, has_media, expires_at };
        let next = after_answer(answer, &case, now, dice);
        let notice = match answer {
            ApiAnswer::Refused(refusal) => for_a_person(refusal),
            ApiAnswer::Accepted(_)
            | ApiAnswer::Offline(_)
            | ApiAnswer::NotAsked(_)
            | ApiAnswer::Ambiguous { .. } => None,
        };
        let effect = match next.gate.clone() {
            Some(Gate::Severity { until }) => {
                self.severities.insert((lane.connection.clone(), due.severity), until);
                None
            }
            Some(gate) => self.close(&lane, gate, count.streak, notice, now),
            None => self.open(&lane, now),
        };
        let mut effects: Vec<SchedulerEffect> = effect.into_iter().collect();
        let (taken, code, http_status, fbtrace_id) = match answer {
            ApiAnswer::Accepted(taken) => (Some(taken.clone()), None, Some(200), None),
            ApiAnswer::Refused(refusal) => {
                (None, Some(refusal.code), refusal.http_status, refusal.fbtrace_id.clone())
            }
            ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_) => (None, None, None, None),
            ApiAnswer::Ambiguous { http_status, fbtrace_id, .. } => {
                (None, None, *http_status, fbtrace_id.clone())
            }
        };
        let settled = SendResult {
            id,
            attempt,
            counts: counts(answer),
            at: now,
            next,
            lane,
            known_as: taken.as_ref().and_then(|taken| taken.to.clone()),
            wamid: taken.map(|taken| taken.wamid),
            code,
            http_status,
            fbtrace_id,
        };
        effects.push(SchedulerEffect::Commit(MessageUpdate::Settled(Box::new(settled))));
        effects
    }
}

#[cfg(test)]
mod tests;
