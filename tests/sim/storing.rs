//! The store's side of the driver: jobs that wait for a commit, in groups, and what a full disk does to them.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use bellwire::alert::effect;
use bellwire::alert::engine::AlertCommand;
use bellwire::alert::intake::{BatchId, Decision, IntakeInput as Intake, NoteId};
use bellwire::app::{BodyOutcome, expire_overdue, read_next, record_device_message, record_outcome, waiting};
use bellwire::command::dispatch::{self, PendingCommand};
use bellwire::config::Config;
use bellwire::event::incoming::Event;
use bellwire::ids::CommandId;
use bellwire::outbox::message::Media;
use bellwire::outbox::scheduler;
use bellwire::outbox::scheduler::Scheduler;
use bellwire::random::Rng;
use bellwire::store::{IntakeReport, Store};
use bellwire::task::outbox_transaction;
use bellwire::task::outbox_transaction::{SendStep, StepStart};
use bellwire::time::Timestamp;
use rusqlite::{Connection, ErrorCode};

use crate::Violation;
use crate::gateway::{Gateway, LOOK_EVERY, Out, both};
use crate::pressed::{self, Meters};
use crate::sabotage::{Sabotage, damage};

/// `store::db::thread`: as many jobs share a commit.
const GROUP_MAX: u64 = 32;
/// `task::mqtt_intake`: notes taken together.
const NOTES: u32 = 200;
/// `task::context`: how often a full disk is asked again.
const DISK_FULL_PAUSE: Duration = Duration::from_secs(1);
/// More than any command may take.
const AN_HOUR: Duration = Duration::from_secs(3_600);

/// What waits for the store's thread.
#[derive(Debug)]
pub enum Job {
    Accept(BatchId, Rc<Vec<Decision>>),
    ReadNotes,
    Watched(Rc<Vec<effect::Effect>>, Vec<NoteId>),
    FreePackets,
    Turn(StepStart),
    LoadCommands {
        limit: usize,
    },
    Command {
        change: dispatch::CommandUpdate,
    },
    ReadInbox,
    /// With what is at the broker.
    Hear(Rc<Vec<Event>>, BTreeSet<CommandId>),
    Tend,
    Keep {
        number: u64,
        body: Vec<u8>,
    },
}

/// What the transaction brought.
enum Done {
    Accepted {
        commands: usize,
        turn: SendStep,
    },
    Notes(Vec<(NoteId, AlertCommand)>),
    Turned(SendStep),
    Written,
    Commands(Vec<PendingCommand>, bool),
    Read(Option<BodyOutcome>),
    /// Whether the clock decided something, and when it will next.
    Tended(bool, Option<Timestamp>),
}

impl Gateway {
    /// One group in one transaction. A full disk is found in the middle of it, and all has been done in vain.
    pub(crate) fn commit(&mut self, now: Timestamp, dice: &mut Rng) -> Result<Vec<Out>, Violation> {
        let (due, later) = std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = later;
        let due: Vec<(Timestamp, Job)> = due;
        self.jobs.extend(due.into_iter().map(|(_, job)| job));
        let size = 1 + dice.below(GROUP_MAX.min(self.jobs.len() as u64));
        let size = usize::try_from(size).unwrap_or(1).min(self.jobs.len());
        let group: Vec<Job> = self.jobs.drain(..size).collect();
        if self.sabotage == Some(Sabotage::ForgetMessageExpiry) && !self.disk_full {
            let sql = Connection::open(self.directory.join("bellwire.db")).expect("the database");
            let later = "UPDATE message SET expires_at = expires_at + 1000000000000 WHERE state = 'queued' AND expires_at <= ?1";
            sql.execute(later, [now.0]).expect("damaged");
        }
        if self.sabotage == Some(Sabotage::PostBeforeCommit) && self.post_early(&group, now) {
            group.into_iter().rev().for_each(|job| self.jobs.push_front(job));
            return Ok(Vec::new());
        }
        let before = self.sender.clone();
        let Self { store, sender, dice: own, config, disk_full, sabotage, directory, hurry, .. } = self;
        let outcome = store.transaction(|store| {
            group
                .iter()
                .map(|job| {
                    let is_young = *sabotage == Some(Sabotage::ForgetAge) && matches!(job, Job::ReadInbox);
                    let now = if is_young { now - AN_HOUR } else { now };
                    work(store, config, sender, job, now, own, hurry)
                })
                .collect::<Result<_, _>>()
        });
        let done: Vec<Done> = match outcome {
            Ok(done) => done,
            Err(error) if *disk_full && error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                self.sender = before;
                return Ok(self.full(group, now));
            }
            // No wish of ours may ever be one that the database refuses: its task would end.
            Err(error) => return Err(format!("the database refused {group:?}: {error}")),
        };
        if !*disk_full {
            damage(directory, *sabotage);
        }
        let mut outs = vec![Out::Changed];
        for (job, done) in group.into_iter().zip(done) {
            self.say("committed", &job);
            self.answer(job, done, now, &mut outs);
        }
        Ok(outs)
    }

    /// A sabotage: what the group would let leave leaves, and its transaction is for later.
    fn post_early(&mut self, group: &[Job], now: Timestamp) -> bool {
        self.is_early = !self.is_early;
        if !self.is_early || self.disk_full {
            return false;
        }
        let mut sender = self.sender.clone();
        let Self { store, dice, config, posts, hurry, .. } = self;
        let before = posts.len();
        let in_vain: rusqlite::Result<()> = store.transaction(|store| {
            for job in group {
                if let Done::Turned(turn) | Done::Accepted { turn, .. } =
                    work(store, config, &mut sender, job, now, dice, hurry)?
                {
                    posts.extend(turn.done.into_iter().filter_map(|effect| match effect {
                        scheduler::SchedulerEffect::Post(due, choice) => Some((due, choice)),
                        scheduler::SchedulerEffect::Load(_)
                        | scheduler::SchedulerEffect::Commit(_)
                        | scheduler::SchedulerEffect::Upload(_)
                        | scheduler::SchedulerEffect::WakeAt(_)
                        | scheduler::SchedulerEffect::Paused { .. }
                        | scheduler::SchedulerEffect::Resumed { .. } => None,
                    }));
                }
            }
            Err(rusqlite::Error::InvalidQuery)
        });
        in_vain.is_err() && self.posts.len() > before
    }

    /// The door says 503 at once; everybody else asks again in a second.
    fn full(&mut self, group: Vec<Job>, now: Timestamp) -> Vec<Out> {
        let mut outs = Vec::new();
        for job in group {
            self.say("no room for", &job);
            match job {
                Job::Keep { number, .. } => {
                    self.inbox_told = true;
                    outs.push(Out::Kept(number, false));
                }
                Job::Accept(batch, _) if self.sabotage == Some(Sabotage::AcceptWithoutRoom) => {
                    self.is_accepting = false;
                    let effects = self.intake.handle(Intake::Committed(batch), both(now, self.ahead));
                    self.want(effects);
                }
                job @ (Job::Accept(..)
                | Job::ReadNotes
                | Job::Watched(..)
                | Job::FreePackets
                | Job::Turn(_)
                | Job::LoadCommands { .. }
                | Job::Command { .. }
                | Job::ReadInbox
                | Job::Hear(..)
                | Job::Tend) => self.waiting.push((now + DISK_FULL_PAUSE, job)),
            }
        }
        outs
    }

    /// It is on disk: whoever asked goes on.
    fn answer(&mut self, job: Job, done: Done, now: Timestamp, outs: &mut Vec<Out>) {
        match (job, done) {
            (
                job
                @ (Job::Accept(..) | Job::ReadNotes | Job::Watched(..) | Job::FreePackets | Job::Hear(..)),
                done,
            ) => self.answer_intake(job, done, now),
            (Job::Turn(_), Done::Turned(turn)) => {
                self.has_begun = true;
                self.led_to(turn);
            }
            (Job::LoadCommands { .. }, Done::Commands(mut waiting, told)) => {
                self.is_dispatching = false;
                self.outbox_told |= told;
                if self.sabotage == Some(Sabotage::ForgetCommandExpiry) {
                    waiting.iter_mut().for_each(|command| command.expires_at = Timestamp(i64::MAX));
                }
                self.effects.extend(self.dispatch.handle(dispatch::DispatchInput::Loaded(waiting), now));
            }
            (Job::Command { change }, _) => {
                self.is_dispatching = false;
                self.at_broker.remove(&command_of(&change));
                (self.outbox_told, self.deadlines_told) = (true, true); // whoever asked may be told of its end
                let input = dispatch::DispatchInput::Committed(command_of(&change));
                self.effects.extend(self.dispatch.handle(input, now));
            }
            (Job::ReadInbox, Done::Read(read)) => {
                self.is_reading = false;
                self.inbox_look_at = now + LOOK_EVERY;
                if let Some(read) = read {
                    self.inbox_told = true; // there may be more
                    read.turns.into_iter().for_each(|turn| self.led_to(turn));
                    self.commands_told |= read.commands > 0;
                    self.outbox_told |= read.statuses > 0 || read.messages;
                    self.alerts_told |= read.statuses + read.notes > 0;
                    self.deadlines_told |= read.messages; // what was asked back has a time
                }
            }
            (Job::Tend, Done::Tended(changed, next)) => {
                self.is_tending = false;
                self.outbox_told |= changed;
                self.commands_told |= changed;
                self.deadline = next;
                self.deadlines_look_at = next.unwrap_or(now + LOOK_EVERY).min(now + LOOK_EVERY);
            }
            (Job::Keep { number, .. }, _) => {
                self.inbox_told = true;
                outs.push(Out::Kept(number, true));
            }
            (job, _) => unreachable!("{job:?} has an answer of its own kind"),
        }
    }

    fn answer_intake(&mut self, job: Job, done: Done, now: Timestamp) {
        match (job, done) {
            (Job::Accept(batch, _), Done::Accepted { commands, turn }) => {
                self.is_accepting = false;
                self.led_to(turn);
                self.commands_told |= commands > 0;
                if self.stopping.is_none() {
                    let effects = self.intake.handle(Intake::Committed(batch), both(now, self.ahead));
                    self.want(effects);
                }
            }
            (Job::ReadNotes, Done::Notes(notes)) => {
                self.is_accepting = false;
                self.watch_look_at = now + LOOK_EVERY;
                self.alerts_told |= notes.len() == NOTES as usize;
                let input = if notes.is_empty() { Intake::Woke } else { Intake::Noted(notes) };
                if self.stopping.is_none() {
                    let effects = self.intake.handle(input, both(now, self.ahead));
                    self.want(effects);
                }
            }
            (Job::Watched(..), Done::Accepted { commands, turn }) => {
                self.is_accepting = false;
                self.led_to(turn);
                self.commands_told |= commands > 0;
                self.want(Vec::new());
            }
            (Job::FreePackets, _) => self.is_freeing = false,
            (Job::Hear(..), _) => {
                (self.is_accepting, self.outbox_told, self.deadlines_told) = (false, true, true);
                let heard = std::mem::take(&mut self.heard);
                if self.stopping.is_none() {
                    let effects = self.intake.handle(Intake::Arrived(heard), both(now, self.ahead));
                    self.want(effects);
                }
            }
            (job, _) => unreachable!("{job:?} has an answer of its own kind"),
        }
    }

    /// What the sender's turn led to, now that it is on disk.
    pub(crate) fn led_to(&mut self, turn: SendStep) {
        for effect in turn.done {
            match effect {
                scheduler::SchedulerEffect::Post(due, choice) => self.posts.push_back((due, choice)),
                scheduler::SchedulerEffect::Upload(due) => {
                    let id = |_: &mut Media| Media::Id(format!("{}", due.id));
                    let ids = due.content.clone().media().into_iter().map(id).collect();
                    self.jobs.push_back(Job::Turn(StepStart::With(scheduler::SchedulerInput::Uploaded(
                        due.id,
                        Ok(ids),
                    ))));
                }
                scheduler::SchedulerEffect::WakeAt(at) => {
                    self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
                }
                scheduler::SchedulerEffect::Load(_)
                | scheduler::SchedulerEffect::Commit(_)
                | scheduler::SchedulerEffect::Paused { .. }
                | scheduler::SchedulerEffect::Resumed { .. } => {}
            }
        }
        if !turn.rest.is_empty() {
            self.jobs.push_back(Job::Turn(StepStart::Rest(turn.rest)));
        }
    }

    /// The process ends: the thread still writes what was asked for.
    pub fn close(mut self, now: Timestamp) -> Result<(), Violation> {
        let mut one_group = Rng::seeded(0);
        while !self.jobs.is_empty() && !self.disk_full {
            self.commit(now, &mut one_group)?;
        }
        Ok(())
    }
}

pub fn command_of(change: &dispatch::CommandUpdate) -> CommandId {
    let (dispatch::CommandUpdate::Published { id, .. }
    | dispatch::CommandUpdate::Refused { id, .. }
    | dispatch::CommandUpdate::Expired { id, .. }) = change;
    *id
}

/// `task::outbox_transaction::take`, or what a sabotage makes of it.
fn turn(
    store: &Store,
    sender: &mut Scheduler,
    begin: StepStart,
    config: &Config,
    now: Timestamp,
    dice: &mut Rng,
    hurry: &mut Option<Meters>,
) -> rusqlite::Result<SendStep> {
    match hurry {
        None => outbox_transaction::take(store, sender, begin, config, now, dice),
        Some(meters) => pressed::take(store, sender, begin, config, now, dice, meters),
    }
}

fn work(
    store: &Store,
    config: &Config,
    sender: &mut Scheduler,
    job: &Job,
    now: Timestamp,
    dice: &mut Rng,
    hurry: &mut Option<Meters>,
) -> rusqlite::Result<Done> {
    Ok(match job {
        Job::Accept(_, decisions) => {
            let accepted = store.accept(decisions)?;
            written(store, config, sender, &accepted, now, dice, hurry)?
        }
        Job::ReadNotes => Done::Notes(store.notes(NOTES)?),
        Job::Watched(effects, taken) => {
            let accepted = store.watched(effects, taken)?;
            written(store, config, sender, &accepted, now, dice, hurry)?
        }
        Job::FreePackets => {
            store.free_packets()?;
            Done::Written
        }
        Job::Turn(begin) => Done::Turned(turn(store, sender, begin.clone(), config, now, dice, hurry)?),
        Job::LoadCommands { limit } => {
            let (waiting, told) = waiting(store, config, *limit, now)?;
            Done::Commands(waiting, told)
        }
        Job::Command { change } => {
            record_outcome(store, config, change, now)?;
            Done::Written
        }
        Job::ReadInbox => {
            let mut own = Rng::seeded(dice.below(u64::MAX));
            let heed = |begin| turn(store, sender, begin, config, now, &mut own, hurry);
            Done::Read(read_next(store, config, now, dice, |_| {}, heed)?)
        }
        Job::Hear(events, at_broker) => {
            events
                .iter()
                .try_for_each(|event| record_device_message(store, config, (event, None), at_broker, now))?;
            Done::Written
        }
        Job::Tend => Done::Tended(expire_overdue(store, config, now)?, store.next_deadline()?),
        Job::Keep { body, .. } => {
            store.keep_webhook(body, now)?;
            Done::Written
        }
    })
}

/// `task::mqtt_intake`: what it brought leaves with its commit.
fn written(
    store: &Store,
    config: &Config,
    sender: &mut Scheduler,
    accepted: &IntakeReport,
    now: Timestamp,
    dice: &mut Rng,
    hurry: &mut Option<Meters>,
) -> rusqlite::Result<Done> {
    let wake = || StepStart::With(scheduler::SchedulerInput::Wake);
    let turn = match accepted.messages {
        0 => SendStep::default(),
        _ => self::turn(store, sender, wake(), config, now, dice, hurry)?,
    };
    Ok(Done::Accepted { commands: accepted.commands, turn })
}
