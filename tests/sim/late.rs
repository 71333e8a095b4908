//! What must hold of time: while a number is open, nothing waits for its turn longer than Meta's pace for one person makes it.
//!
//! Counted is the time that the gateway itself chose to let pass: it was at rest, a message was due, and it slept on. So much is
//! allowed: a rest of 6 s, in which what comes is gathered for one digest, and 6 s for each message that leaves before it and
//! that no digest can carry: an answer, a digest that was written earlier, one that was tried before. Not counted are the
//! times of requests to the same person that are under way, which are Meta's, and what a refusal closes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwire::ids::MessageId;
use bellwire::outbox::message_state::State;
use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::time::Timestamp;

use crate::Violation;
use crate::check::Check;
use crate::meta::Meta;
use crate::rows::Row;
use crate::site::{NUMBERS, phone_number_id};

/// Meta's pace for one pair, for which a person is left in peace too.
const REST: Duration = Duration::from_secs(6);
/// A timer of whole milliseconds, and a wake-up that was meant for something else.
const SLACK: Duration = Duration::from_secs(1);
/// The sender looks at the clock as often, however it is set meanwhile.
const LOOK: Duration = Duration::from_secs(3);
/// A clock that goes back by less moves no gate.
const CLOCK_SLACK: Duration = Duration::from_secs(60);
/// 131048.
const RESTRICTED: Duration = Duration::from_secs(6 * 3_600);
const HOUR: u64 = 3_600;
/// What a hub does not take now comes again after so many seconds.
const HUB_WAIT: u64 = 1;

type Lane = (&'static str, &'static str);

#[derive(Debug, Clone, Copy)]
struct Gate {
    /// At the latest it opens then.
    until: Timestamp,
    /// How long it was closed for.
    length: Duration,
    /// Failures since the last success; until the next one, one request at a time asks.
    streak: u32,
}

#[derive(Debug)]
struct Due {
    /// When it began to wait, for so long.
    since: i64,
    whole: Duration,
    by: Timestamp,
}

#[derive(Debug, Default)]
struct Wait {
    waited: Duration,
    attempts: i64,
    /// What left before it, and could not carry it.
    passed: u32,
}

#[derive(Debug, Default)]
pub struct Late {
    waits: BTreeMap<i64, Wait>,
    numbers: BTreeMap<&'static str, Gate>,
    pairs: BTreeMap<Lane, Gate>,
    /// A clock that was set back by a little moves nothing: what rests, rests on until then.
    rests_until: Option<Timestamp>,
    /// By then a clock that was set has been looked at.
    looked_by: Option<Timestamp>,
    /// After it was set back: when each that waited for a time is due at the latest.
    due_by: BTreeMap<i64, Due>,
}

impl Late {
    /// An answer reaches the gateway: what it closes, and for how long at most (docs/cloud-api.md 4.2).
    pub fn answered(&mut self, row: &Row, answer: &ApiAnswer, now: Timestamp) {
        let (number, pair) = (row.connection, (row.connection, row.contact));
        let failed = |gate: Option<&Gate>| gate.map_or(1, |gate| gate.streak + 1);
        let (of_number, of_pair) = (failed(self.numbers.get(number)), failed(self.pairs.get(&pair)));
        let twice = |first: u64, times: u32| first.saturating_mul(2_u64.saturating_pow(times - 1));
        let wait = match answer {
            ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_) => twice(1, of_number).min(30),
            ApiAnswer::Refused(refusal) => match refusal.code {
                190 | 131_057 => 60,
                130_429 => refusal.retry_after.map_or(twice(2, of_number).min(HOUR), |told| told.as_secs()),
                131_048 => RESTRICTED.as_secs(),
                429 => refusal.retry_after.map_or(HUB_WAIT, |told| told.as_secs()),
                131_056 => {
                    let wait = Duration::from_secs(4_u64.saturating_pow(of_pair - 1).min(HOUR));
                    close(self.pairs.entry(pair).or_insert(Gate::open(now)), now, wait);
                    self.waits.clear();
                    return;
                }
                _ => 0,
            },
            ApiAnswer::Accepted(_) | ApiAnswer::Ambiguous { .. } => 0,
        };
        match wait {
            0 => {
                self.numbers.retain(|name, gate| *name != number || gate.until > now);
                self.pairs.retain(|lane, gate| *lane != pair || gate.until > now);
            }
            wait => self.close(number, now, Duration::from_secs(wait)),
        }
    }

    /// Meta tells of a number that is restricted, by webhook or before a start.
    pub fn restricted(&mut self, number: &'static str, now: Timestamp) {
        self.close(number, now, RESTRICTED + HOUR_OF_WEBHOOKS);
    }

    fn close(&mut self, number: &'static str, now: Timestamp, wait: Duration) {
        close(self.numbers.entry(number).or_insert(Gate::open(now)), now, wait);
        self.waits.clear();
    }

    /// A process ends or begins: it remembers nothing but restrictions, and does not know what the clock did meanwhile.
    pub fn start(&mut self, now: Timestamp) {
        self.due_by.values_mut().for_each(|due| due.by = due.by.max(now + due.whole + CLOCK_SLACK + REST));
        self.waits.clear();
        self.pairs.clear();
        for gate in self.numbers.values_mut() {
            gate.streak = gate.streak.min(1);
            if gate.length >= RESTRICTED {
                gate.until = gate.until.max(now + gate.length); // as if it had been said just now
            }
        }
    }

    /// To whatever time, the first after a power cut too.
    pub fn looks_again(&mut self, now: Timestamp) {
        self.looked_by = Some(now + LOOK);
    }

    /// Waits go with the clock: set back by hours, none becomes longer than it was when it began.
    fn clock_was_set(&mut self, rows: &BTreeMap<i64, Row>, before: Timestamp, now: Timestamp) {
        self.waits.clear();
        if now >= before {
            return;
        }
        let latest = |wait: Duration| now + wait + CLOCK_SLACK + REST;
        for gate in self.numbers.values_mut().chain(self.pairs.values_mut()) {
            gate.until = gate.until.min(latest(gate.length));
        }
        self.rests_until = Some(latest(Duration::ZERO));
        for (id, row) in rows.iter().filter(|(id, row)| waits(**id, row) && row.not_before > now.0) {
            let whole = Timestamp(row.changed_at).until(Timestamp(row.not_before));
            self.due_by.insert(*id, Due { since: row.changed_at, whole, by: latest(whole) });
        }
    }

    /// After a commit: who has left, and before whom.
    pub fn look(&mut self, before: &BTreeMap<i64, Row>, rows: &BTreeMap<i64, Row>) {
        let stays = |id: &i64, wait: &mut Wait| {
            rows.get(id).is_some_and(|row| waits(*id, row) && row.attempts == wait.attempts)
        };
        self.waits.retain(stays);
        self.due_by.retain(|id, due| rows.get(id).is_some_and(|row| row.changed_at == due.since));
        if self.waits.is_empty() {
            return;
        }
        let leaves = |row: &Row| row.state == State::Sending;
        let digests: BTreeSet<i64> =
            rows.iter().filter(|(id, row)| row.carrier != **id).map(|(_, row)| row.carrier).collect();
        for (id, left) in rows {
            if !leaves(left) || left.carrier != *id || before.get(id).is_some_and(leaves) {
                continue;
            }
            for (other, wait) in &mut self.waits {
                let Some(row) = rows.get(other).filter(|row| row.lane() == left.lane()) else { continue };
                let counts = if row.alert.is_some() && row.attempts == 0 {
                    // It could have been in a digest with what left, or in the digest itself.
                    let alone = left.alert.is_some() && left.attempts == 1;
                    !alone && (!digests.contains(id) || id < other)
                } else {
                    (left.severity, *other) > (row.severity, *id)
                };
                wait.passed += u32::from(counts);
            }
        }
    }

    /// The gateway is at rest, and sleeps for so long; `asked` are the rows whose answers are awaited.
    pub fn sleeps(
        &mut self,
        rows: &BTreeMap<i64, Row>,
        asked: &BTreeSet<i64>,
        now: Timestamp,
        how_long: Duration,
    ) -> Result<(), Violation> {
        let busy: BTreeSet<Lane> = asked.iter().filter_map(|id| rows.get(id)).map(Row::lane).collect();
        for (id, row) in rows.iter().filter(|(id, row)| waits(**id, row)) {
            let number = self.numbers.get(row.connection);
            let asking = number.is_some_and(|gate| gate.streak > 0);
            if busy.contains(&row.lane()) || (asking && busy.iter().any(|lane| lane.0 == row.connection)) {
                continue;
            }
            let unknown = row.state == State::Unknown;
            let gates = number.into_iter().chain(self.pairs.get(&row.lane())).filter(|_| !unknown);
            let due = self.due_by.get(id).map_or(row.not_before, |due| due.by.0.min(row.not_before));
            let rests = self.rests_until.filter(|_| !unknown);
            let begins = [now, Timestamp(due)].into_iter().chain(self.looked_by);
            let from = gates.map(|gate| gate.until).chain(rests).chain(begins).max();
            let slept = from.map_or(Duration::ZERO, |from| from.until(now + how_long));
            let wait = self.waits.entry(*id).or_insert(Wait { attempts: row.attempts, ..Wait::default() });
            wait.waited += slept;
            let most = SLACK + if unknown { Duration::ZERO } else { REST * (1 + wait.passed) };
            if row.expires_at > now.0 && wait.waited > most {
                return Err(format!(
                    "late: message {id} has waited {:?} for its turn, which is more than {most:?}: {row:?}",
                    wait.waited
                ));
            }
        }
        Ok(())
    }

    /// Time passed while the gateway had something to do: what it has not heard yet closes its gates so much later.
    pub fn starved(&mut self, how_long: Duration) {
        let gates = self.numbers.values_mut().chain(self.pairs.values_mut());
        gates.for_each(|gate| (gate.until, gate.length) = (gate.until + how_long, gate.length + how_long));
    }
}

impl Check {
    /// `at_hubs`: rows whose answers are awaited of a hub.
    pub fn sleeps(
        &mut self,
        (meta, at_hubs): (&Meta, Vec<i64>),
        now: Timestamp,
        how_long: Duration,
    ) -> Result<(), Violation> {
        if !now.is_sane() {
            return Ok(()); // no certificate is valid yet, so nothing can leave (docs/reliability.md F17)
        }
        let asked = meta.answers.iter().map(|(_, id, _)| id.0).chain(at_hubs).collect();
        self.late.sleeps(&self.rows, &asked, now, how_long)
    }

    pub fn answered(&mut self, id: MessageId, answer: &ApiAnswer, now: Timestamp) {
        if let Some(row) = self.rows.get(&id.0) {
            self.late.answered(row, answer, now);
        }
    }

    pub fn clock_was_set(&mut self, before: Timestamp, now: Timestamp) {
        self.late.clock_was_set(&self.rows, before, now);
    }

    /// A webhook is posted.
    pub fn hears(&mut self, body: &[u8], now: Timestamp) {
        let body = String::from_utf8_lossy(body);
        let concerns = |number: &&str| body.contains("131048") && body.contains(phone_number_id(number));
        NUMBERS.into_iter().filter(concerns).for_each(|number| self.late.restricted(number, now));
    }
}

/// A status may be on disk for so long before it is read.
const HOUR_OF_WEBHOOKS: Duration = Duration::from_secs(HOUR);

impl Gate {
    fn open(now: Timestamp) -> Self {
        Self { until: now, length: Duration::ZERO, streak: 0 }
    }
}

fn close(gate: &mut Gate, now: Timestamp, wait: Duration) {
    let (until, length) = (gate.until.max(now + wait), gate.length.max(wait));
    *gate = Gate { until, length, streak: gate.streak + 1 };
}

/// It leaves, or comes back to the queue, by itself.
fn waits(id: i64, row: &Row) -> bool {
    matches!(row.state, State::Queued | State::Unknown) && row.carrier == id
}
