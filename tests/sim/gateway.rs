//! The driver: the real machines and the real store, put together as `app` puts them together, but one step at a time,
//! so that the world may crash, wait or go on between any two. What happens outside is returned as [`Out`].

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bellwire::alert::intake::{Intake, IntakeEffect, RuleSet};
use bellwire::app::of_replies;
use bellwire::command::dispatch::{self, Dispatch, PendingCommand};
use bellwire::config::{Config, Connection};
use bellwire::event::incoming::Event;
use bellwire::event::topic::TopicPattern;
use bellwire::ids::{CommandId, MessageId};
use bellwire::outbox::retry_policy::QUALITY_WAIT;
use bellwire::outbox::row::{Conversation, DueMessage};
use bellwire::outbox::scheduler;
use bellwire::outbox::scheduler::Scheduler;
use bellwire::outbox::window::Choice;
use bellwire::random::Rng;
use bellwire::store::Store;
use bellwire::task::{orphans, outbox_transaction};
use bellwire::time::{Now, Timestamp};

use crate::Violation;
use crate::broker::Token;
use crate::pressed::Meters;
use crate::sabotage::{Sabotage, Undo};
use crate::storing::Job;

/// What a step does to the world.
#[derive(Debug)]
pub enum Out {
    Acknowledge(Token),
    Publish {
        command: PendingCommand,
    },
    /// The dispatch has been told of the broker's answer, and acts on it or not.
    Told {
        id: CommandId,
        acts: bool,
    },
    /// A request, over which number.
    Post(MessageId, &'static str, Vec<u8>),
    /// The webhook's answer: 200 or 503.
    Kept(u64, bool),
    /// The database has changed.
    Changed,
}

/// What the link tells.
#[derive(Debug)]
pub enum Notice {
    Message(Box<(Event, Option<Token>)>),
    Connected { session_present: bool },
    Disconnected,
    Published(CommandId, Result<(), String>),
}

/// What can go on at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Commit,
    Events,
    Acknowledge,
    Sender,
    Post,
    Dispatch,
    Inbox,
    Watch,
    Deadlines,
}

/// `app`: a notice that was missed is made up for after this time.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

pub struct Gateway {
    pub(crate) directory: PathBuf,
    pub(crate) store: Store,
    pub(crate) config: Rc<Config>,
    pub(crate) dice: Rng,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) disk_full: bool,
    /// What it did in this step, for the trace.
    pub(crate) said: Vec<String>,
    /// Set when it has been asked to stop: by then it ends.
    pub(crate) stopping: Option<Timestamp>,
    /// The store thread's queue, and what found the disk full and asks again.
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) waiting: Vec<(Timestamp, Job)>,
    // the intake's task
    pub(crate) intake: Intake<Token>,
    pub(crate) notices: VecDeque<Notice>,
    pub(crate) acks: VecDeque<Token>,
    /// What it wants done, one after the other; the next waits for the commit of the one before.
    pub(crate) intake_effects: VecDeque<IntakeEffect<Token>>,
    pub(crate) is_accepting: bool,
    /// How far the true time is ahead of the machine's clock, in milliseconds: the steady clock's part.
    pub ahead: i64,
    pub(crate) alerts_told: bool,
    pub(crate) watch_look_at: Timestamp,
    /// A new session of the broker's is being noted: no event is taken before.
    pub(crate) is_freeing: bool,
    // the sender's task
    pub(crate) sender: Scheduler,
    pub(crate) inputs: VecDeque<scheduler::SchedulerInput>,
    pub(crate) posts: VecDeque<(Box<DueMessage>, Choice)>,
    /// A sabotage: the posts of the next group have left.
    pub(crate) is_early: bool,
    /// A sabotage: what the older rule counts.
    pub(crate) hurry: Option<Meters>,
    pub(crate) outbox_told: bool,
    /// An operator's command has written beside us.
    pub(crate) written_beside: bool,
    pub(crate) wake_at: Option<Timestamp>,
    /// The sender has taken a turn, and knows the time.
    pub(crate) has_begun: bool,
    // the dispatch's task
    pub(crate) dispatch: Dispatch,
    pub(crate) dispatch_inputs: VecDeque<dispatch::DispatchInput>,
    pub(crate) effects: Vec<dispatch::DispatchEffect>,
    pub(crate) is_dispatching: bool,
    pub(crate) commands_told: bool,
    pub(crate) dispatch_look_at: Timestamp,
    // the inbox's task
    pub(crate) is_reading: bool,
    pub(crate) inbox_told: bool,
    pub(crate) inbox_look_at: Timestamp,
    /// Events that machines' questions and devices' answers are among: written down as such before the intake has them.
    pub(crate) heard: Vec<(Event, Option<Token>)>,
    pub(crate) listens_to: Vec<TopicPattern>,
    /// Commands that were handed to the broker, and are not noted as published.
    pub(crate) at_broker: BTreeSet<CommandId>,
    // the task of what waits for people, and the clock
    pub(crate) is_tending: bool,
    pub(crate) deadlines_told: bool,
    pub(crate) deadlines_look_at: Timestamp,
    /// When the clock decides something that people have not.
    pub(crate) deadline: Option<Timestamp>,
}

/// What a start finds.
struct Recovered {
    store: Store,
    /// TimeSeries that Meta has restricted, as they stood before anything ended.
    restricted: Vec<(Conversation, i64, Timestamp)>,
    /// What had no place in the configuration any more.
    ended: Vec<String>,
}

fn recovered(
    directory: &Path,
    config: &Config,
    dice: &mut Rng,
    now: Timestamp,
    sabotage: Option<Sabotage>,
) -> Result<Recovered, Violation> {
    let store = Store::open(directory, dice).map_err(|error| format!("the store: {error}"))?;
    if sabotage != Some(Sabotage::ForgetRecovery) {
        store.transaction(|store| store.recover(now)).map_err(|error| format!("recover: {error}"))?;
    }
    let restricted = match sabotage {
        Some(Sabotage::ForgetRestriction) => Vec::new(),
        Some(_) | None => store.restricted(now - QUALITY_WAIT).map_err(|error| error.to_string())?,
    };
    if sabotage == Some(Sabotage::SkipEnds) {
        return Ok(Recovered { store, restricted, ended: Vec::new() });
    }
    let undo = Undo::prepare(directory, sabotage);
    let ended = store.transaction(|store| orphans::end(store, config, now));
    undo.perform(directory);
    let ended = ended.map_err(|error| format!("what has no owner: {error}"))?;
    Ok(Recovered { store, restricted, ended })
}

impl Gateway {
    /// As `cli::run` and `app::run` start: open, recover, then the tasks. With what had no place in the configuration any more.
    pub fn start(
        directory: &Path,
        config: Rc<Config>,
        seed: u64,
        (now, ahead): (Timestamp, i64),
        sabotage: Option<Sabotage>,
    ) -> Result<(Self, Vec<String>), Violation> {
        let mut dice = Rng::seeded(seed);
        let Recovered { store, restricted, ended } = recovered(directory, &config, &mut dice, now, sabotage)?;
        let judge = judge(&config)?;
        let watch = judge.watch();
        let mut intake = Intake::new(judge, watch);
        if sabotage != Some(Sabotage::ForgetMemory) {
            let kept = store.kept().map_err(|error| format!("the memory: {error}"))?;
            intake.restore(kept, both(now, ahead));
        }
        let rate = |known: &Connection| (known.name.clone(), known.messages_per_second);
        let mut sender = Scheduler::new(config.connections.iter().map(rate).collect());
        let remembered = outbox_transaction::remember(&mut sender, restricted, now, &mut dice);
        let pattern = |filter: &String| TopicPattern::parse(filter).ok();
        let listens_to = of_replies(&config).iter().filter_map(pattern).collect();
        let mut gateway = Self {
            directory: directory.to_owned(),
            store,
            config,
            dice,
            sabotage,
            disk_full: false,
            said: Vec::new(),
            stopping: None,
            jobs: VecDeque::new(),
            waiting: Vec::new(),
            intake,
            notices: VecDeque::new(),
            acks: VecDeque::new(),
            intake_effects: VecDeque::new(),
            is_accepting: false,
            ahead,
            alerts_told: true,
            watch_look_at: now,
            is_freeing: false,
            sender,
            inputs: VecDeque::from([scheduler::SchedulerInput::Wake]),
            posts: VecDeque::new(),
            is_early: false,
            hurry: (sabotage == Some(Sabotage::OneByOne)).then(Meters::new),
            outbox_told: false,
            written_beside: false,
            wake_at: None,
            has_begun: false,
            dispatch: Dispatch::default(),
            dispatch_inputs: VecDeque::new(),
            effects: Vec::new(),
            is_dispatching: false,
            commands_told: false,
            dispatch_look_at: now + LOOK_EVERY,
            is_reading: false,
            inbox_told: true,
            inbox_look_at: now,
            heard: Vec::new(),
            listens_to,
            at_broker: BTreeSet::new(),
            is_tending: false,
            deadlines_told: true,
            deadlines_look_at: now,
            deadline: None,
        };
        gateway.led_to(remembered);
        Ok((gateway, ended))
    }

    /// Everything that could happen next; which of it does is chance.
    pub fn runnable(&self, now: Timestamp) -> Vec<Action> {
        let goes_on = self.stopping.is_none();
        let mut found = Vec::new();
        let mut can = |possible: bool, action| {
            if possible {
                found.push(action);
            }
        };
        can(!self.jobs.is_empty() || self.waiting.iter().any(|(at, _)| *at <= now), Action::Commit);
        can(goes_on && !self.acks.is_empty(), Action::Acknowledge);
        let may_take = self.acks.is_empty() && !self.is_accepting && !self.is_freeing;
        can(goes_on && may_take && !self.notices.is_empty(), Action::Events);
        let due = self.wake_at.is_some_and(|at| at <= now);
        let told = goes_on && (self.outbox_told || self.written_beside || due);
        can(told || !self.inputs.is_empty(), Action::Sender);
        can(!self.posts.is_empty(), Action::Post);
        let asked = self.commands_told || now >= self.dispatch_look_at;
        let something = asked || !self.effects.is_empty() || !self.dispatch_inputs.is_empty();
        can(goes_on && !self.is_dispatching && something, Action::Dispatch);
        let told = self.inbox_told || now >= self.inbox_look_at;
        can(goes_on && !self.is_reading && told, Action::Inbox);
        let told = self.alerts_told || now >= self.watch_at();
        can(goes_on && may_take && told, Action::Watch);
        let told = self.deadlines_told || now >= self.deadlines_look_at;
        can(goes_on && !self.is_tending && told, Action::Deadlines);
        found
    }

    pub fn act(&mut self, action: Action, now: Timestamp, dice: &mut Rng) -> Result<Vec<Out>, Violation> {
        match action {
            Action::Commit => self.commit(now, dice),
            Action::Events => Ok(self.take_notices(now, dice)),
            Action::Acknowledge => Ok(self.acks.pop_front().map(Out::Acknowledge).into_iter().collect()),
            Action::Sender => {
                self.step_sender(now, dice);
                Ok(Vec::new())
            }
            Action::Post => Ok(self.post(now)),
            Action::Dispatch => Ok(self.step_dispatch(now, dice)),
            Action::Watch => {
                (self.is_accepting, self.alerts_told) = (true, false);
                self.jobs.push_back(Job::ReadNotes);
                Ok(Vec::new())
            }
            Action::Deadlines => {
                (self.is_tending, self.deadlines_told) = (true, false);
                self.jobs.push_back(Job::Tend);
                Ok(Vec::new())
            }
            Action::Inbox => {
                (self.is_reading, self.inbox_told) = (true, false);
                self.jobs.push_back(Job::ReadInbox);
                Ok(Vec::new())
            }
        }
    }

    /// In the middle of code that waits for nothing: it can be killed here, but time does not pass.
    pub fn is_mid_task(&self) -> bool {
        let goes_on = self.stopping.is_none();
        goes_on && (!self.acks.is_empty() || (!self.effects.is_empty() && !self.is_dispatching))
    }

    /// Between the commit that lets a message go and its request, or between the start and the sender's first turn, which is
    /// taken in the same instant: no clock is set just then.
    pub fn is_posting(&self) -> bool {
        let lets_go = |input: &scheduler::SchedulerInput| {
            matches!(input, scheduler::SchedulerInput::SendingCommitted(_))
        };
        !self.has_begun || !self.posts.is_empty() || self.inputs.iter().any(lets_go)
    }

    /// It waits for time or for others, and for nothing else.
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        self.stopping.is_none() && !self.disk_full && self.waiting.is_empty() && self.runnable(now).is_empty()
    }

    /// When it acts by itself.
    pub fn next_at(&self) -> Timestamp {
        let waiting = self.waiting.iter().map(|(at, _)| *at);
        let mut timers: Vec<Timestamp> = waiting.chain(self.wake_at).chain(self.stopping).collect();
        if !self.is_dispatching {
            timers.push(self.dispatch_look_at);
        }
        if !self.is_accepting && !self.is_freeing {
            timers.push(self.watch_at());
        }
        if !self.is_reading {
            timers.push(self.inbox_look_at);
        }
        if !self.is_tending {
            timers.push(self.deadlines_look_at);
        }
        timers.into_iter().min().unwrap_or(self.dispatch_look_at)
    }

    /// Whether time alone will still change an alert.
    pub fn is_watching(&self) -> bool {
        self.is_accepting || self.alerts_told || self.intake.wake_at().is_some()
    }

    /// When the intake looks at time and notes by itself.
    pub(crate) fn watch_at(&self) -> Timestamp {
        self.intake.wake_at().map_or(self.watch_look_at, |at| at.min(self.watch_look_at))
    }

    /// SIGTERM: nothing new is taken, requests under way may finish for 10 s.
    pub fn stop(&mut self, now: Timestamp) {
        self.stopping = Some(now + Duration::from_secs(10));
        self.sender.stop();
        self.notices.clear();
        self.acks.clear();
        self.intake_effects.clear();
        self.heard.clear();
    }

    /// How a device knows a command.
    pub fn wire_id(&self, id: CommandId) -> String {
        self.store.tag().command(id)
    }

    /// What waits on tokio's time waits no longer than it would have, and the sender looks at the clock each 3 s.
    pub fn clock_was_set(&mut self, before: Timestamp, now: Timestamp) {
        if now < before && self.sabotage != Some(Sabotage::ForgetClock) {
            self.wake_at = Some(now);
        }
        self.waiting.iter_mut().for_each(|(at, _)| *at = now);
        self.dispatch_look_at = now + LOOK_EVERY;
        self.inbox_look_at = now + LOOK_EVERY;
        self.watch_look_at = now + LOOK_EVERY;
        self.deadlines_look_at = now + LOOK_EVERY;
        self.stopping = self.stopping.map(|_| now);
    }

    /// A line of a trace is read, not parsed: its beginning says enough.
    pub(crate) fn say(&mut self, what: &str, of: &impl std::fmt::Debug) {
        self.said.push(format!("{what} {of:?}").chars().take(160).collect());
    }

    /// What is under way in memory, for people.
    pub fn busy(&self) -> String {
        format!(
            "jobs {:?}, waiting {:?}, inputs {:?}, wake_at {:?}, sender {:?}, dispatch {:?}",
            self.jobs, self.waiting, self.inputs, self.wake_at, self.sender, self.dispatch
        )
    }

    pub fn has_stopped(&self, now: Timestamp) -> bool {
        self.stopping.is_some_and(|until| until <= now || self.sender.is_idle())
    }
}

fn judge(config: &Config) -> Result<RuleSet, Violation> {
    let (rules, people, site) = (config.rules.clone(), config.people.clone(), &config.site);
    RuleSet::new(rules, people, site.name.clone(), site.time_zone.clone())
        .map_err(|error| format!("the rules: {error}"))
}

/// Both clocks of the machine: the steady one goes with the true time.
pub(crate) fn both(now: Timestamp, ahead: i64) -> Now {
    let steady = u64::try_from(now.0 + ahead).unwrap_or(0);
    Now { wall: now, steady: Duration::from_millis(steady) }
}
