//! The end of a run: all faults are over, everything drains in a bounded number of steps, and everything has an end.

use std::time::Duration;

use bellwire::outbox::message_state::State;

use crate::Violation;
use crate::gateway::Gateway;
use crate::lattice::furthest;
use crate::meta::Taken;
use crate::world::World;

/// Of 700 seeds one needed more than 6,000: each look of a task is some, in waits of hours.
const STEPS_MAX: usize = 20_000;

/// The tasks look by themselves as often.
const IDLE: Duration = Duration::from_secs(30);
/// Waits of hours are as long as Meta's restriction of a number, 6 h.
const IDLE_MAX: Duration = Duration::from_secs(3_600);
/// No alert of the site's waits for as long: escalations 10 min, quiet hours one hour.
const STILL_MAX: Duration = Duration::from_secs(2 * 3_600);

impl World {
    /// Liveness: when faults stop, everything drains.
    pub fn drain(&mut self) -> Result<(), Violation> {
        self.heal();
        let (mut idle, mut still, mut seen) = (IDLE, Duration::ZERO, 0);
        for _ in 0..STEPS_MAX {
            if !self.now.is_sane() {
                self.set_clock(); // as soon as it is between two tasks
            }
            if self.go_on()? {
                continue;
            }
            if self.is_quiet(still) {
                return self.judge();
            }
            // What waits for hours is waited for in longer and longer steps, as long as nothing changes.
            let changes = self.check.changes();
            let is_still = changes == seen;
            idle = if is_still { (idle * 2).min(IDLE_MAX) } else { IDLE };
            seen = changes;
            let wait = self.until_others().min(idle);
            still = if is_still { still + wait } else { Duration::ZERO };
            if idle == IDLE && self.gateway.as_mut().is_some_and(Gateway::is_at_rest) {
                self.sleep(wait)?;
            } else {
                self.pass(wait)?;
            }
        }
        let waiting: Vec<String> = self
            .check
            .waiting()
            .into_iter()
            .chain(self.others_wait())
            .chain(self.gateway.iter().map(|gateway| gateway.busy()))
            .collect();
        Err(format!("P2: not at rest after {STEPS_MAX} steps without faults: {}", waiting.join(", ")))
    }

    /// `still`: for so long nothing has changed.
    fn is_quiet(&mut self, still: Duration) -> bool {
        let connected =
            self.broker.connection.is_some() && self.broker.is_empty() && self.device.next_at().is_none();
        // What a start would wait for may be what this process has done with: a clock that was ahead left it on disk.
        let has_all = self.hubs.as_ref().is_none_or(|hubs| hubs.is_drained(&self.check));
        let watching = || still < STILL_MAX && self.gateway.as_ref().is_some_and(Gateway::is_watching);
        connected && has_all && self.meta.is_empty() && self.check.waiting().is_empty() && !watching()
    }

    /// For people: what outside the database has no end.
    fn others_wait(&self) -> Option<String> {
        let broker = (self.broker.connection, self.broker.is_empty(), self.device.next_at());
        let watching = self.gateway.as_ref().map(Gateway::is_watching);
        Some(format!("broker {broker:?}, Meta {}, watching {watching:?}", self.meta.is_empty()))
    }

    fn judge(&self) -> Result<(), Violation> {
        self.judge_events()?;
        self.judge_messages()?;
        self.check.watched.judge(&self.check.sql, &self.check.config)?;
        self.hubs.as_ref().map_or(Ok(()), |hubs| hubs.judge(&self.check))?;
        self.judge_replies()
    }

    /// P1: whatever the broker kept has come, has been acknowledged, and is on disk.
    fn judge_events(&self) -> Result<(), Violation> {
        for (serial, publication) in &self.published {
            if !self.broker.lost.contains(serial) && !self.check.has_acknowledged(publication) {
                return Err(format!("P1: event {serial} is neither at the broker nor acknowledged"));
            }
        }
        let empty = self.check.count(
            "SELECT count(*) FROM event e WHERE outcome = 'alerted' AND topic NOT LIKE '%/boiler' AND topic NOT LIKE '%/pump'
                 AND NOT EXISTS (SELECT 1 FROM alert a JOIN message m ON m.alert = a.id WHERE a.event = e.id)",
            [],
        );
        if empty > 0 { Err(format!("P2: {empty} alerts have no message")) } else { Ok(()) }
    }

    /// P2: every message has an end with a reason, and it is the one that Meta knows.
    fn judge_messages(&self) -> Result<(), Violation> {
        for (id, row) in &self.check.rows {
            let taken: Vec<&Taken> =
                self.meta.taken.iter().filter(|taken| taken.row == row.carrier).collect();
            let wrong = |what: &str| Err(format!("P2: message {id} {what}: {row:?}, {taken:?}"));
            if row.reason.is_empty() {
                return wrong("has no reason");
            }
            if furthest(&taken).is_some_and(|furthest| furthest != row.state) {
                return wrong("is not where Meta's receipts have brought it");
            }
            match row.state {
                State::Queued | State::Sending | State::Unknown => return wrong("has no end"),
                State::Accepted => return wrong("was accepted, and no receipt has moved it"),
                State::Sent | State::Delivered | State::Read | State::Played if taken.is_empty() => {
                    return wrong("never came to Meta");
                }
                State::Sent if taken.iter().all(|taken| taken.fails()) => {
                    return wrong("counts as sent, and every copy of it failed");
                }
                State::Failed if !self.was_asked_for(row.carrier) => {
                    return wrong("was never asked for");
                }
                State::Sent
                | State::Delivered
                | State::Read
                | State::Played
                | State::Failed
                | State::Expired
                | State::Cancelled
                | State::Held => {}
            }
        }
        Ok(())
    }

    /// Of Meta; or of a hub, which may not have taken it.
    fn was_asked_for(&self, row: i64) -> bool {
        let of_hub = || self.hubs.as_ref().is_some_and(|hubs| hubs.keys.has_left(row));
        self.meta.requests.contains_key(&row) || of_hub()
    }

    /// P4, P5: every reply is written down once; each that may act is a command, and each command has an end.
    fn judge_replies(&self) -> Result<(), Violation> {
        for reply in &self.replies {
            let outcome = self.check.outcome_of(&reply.wamid);
            let acted = outcome.as_deref() == Some("command");
            let right = match reply.acts.filter(|_| !self.check.may_change) {
                Some(true) if acted => self.check.obeyed(&reply.wamid) == 1,
                Some(true) => {
                    self.check.may_be_stopped(reply.by) || self.check.in_time.came_too_late(&reply.wamid)
                }
                Some(false) => outcome.is_some() && !acted,
                None => outcome.is_some(),
            };
            if !right {
                return Err(format!("P4: {reply:?} came to {outcome:?}"));
            }
        }
        let tag = self.gateway.as_ref().map(|gateway| gateway.wire_id(bellwire::ids::CommandId(0)));
        let tag = tag.as_deref().and_then(|id| id.strip_suffix('0')).unwrap_or_default();
        for (id, command) in self.check.commands() {
            let at_device = ["published", "done", "failed", "silent"].contains(&command.state.as_str());
            if at_device
                && !command.is_ended_by_a_state()
                && !self.device.heard.contains_key(&format!("{tag}{id}"))
            {
                return Err(format!("P5: command {id} is {}, and no device heard it", command.state));
            }
        }
        self.check.judge_commands()
    }
}
