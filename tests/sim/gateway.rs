//! The gateway: the daemon's own loops over the real store, run one step at a time, so that the world may crash, wait or go on
//! between any two. What happens outside is returned as [`Out`].

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bellwire::alert::intake::{Intake, IntakeInput, RuleSet};
use bellwire::command::dispatch::DispatchInput;
use bellwire::config::{Config, ConfigurationFile, Secret};
use bellwire::event::topic::TopicPattern;
use bellwire::ids::CommandId;
use bellwire::machine::Job;
use bellwire::metrics::Metrics;
use bellwire::mqtt::ConnectionEvent;
use bellwire::random::Rng;
use bellwire::store::{Crashes, Store, StoreHandle, StoreQueue};
use bellwire::task::context::{Found, TaskContext};
use bellwire::task::handles::ReloadHandle;
use bellwire::task::mqtt_intake::IntakeInputs;
use bellwire::task::outbox_transaction::SendStep;
use bellwire::task::{command_publisher, deadlines, hub_poll, mqtt_intake, outbox_sender, webhook_inbox};
use bellwire::time::{Now, Timestamp};
use tokio::sync::{Mutex, mpsc, watch};

use crate::Violation;
use crate::broker::Token;
use crate::hubs::TOKEN;
use crate::machine::{OfMachine, SimMachine};
use crate::meta::APP_SECRET;
use crate::ports::{Out, Outside};
use crate::reload::Phase;
use crate::sabotage::{Sabotage, Undo};

/// What can go on at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Commit,
    /// What was said to the broker, or answered to Meta, arrives.
    Out,
    Post,
    /// A task goes on until it waits for something.
    Run(u64),
}

/// Its names in a trace.
pub const INTAKE: &str = "intake";
pub const SENDER: &str = "sender";
pub const DISPATCH: &str = "dispatch";
pub const INBOX: &str = "inbox";
pub const SPAWNED: &str = "spawned";
pub const WEBHOOK: &str = "webhook";
const DEADLINES: &str = "deadlines";
const FETCHING: &str = "fetching";

/// More than a run has at once.
const QUEUE: usize = 4_096;
/// More than any command may take, and than any reply is good for.
pub const AN_HOUR: Duration = Duration::from_secs(3_600);

struct Task {
    id: u64,
    name: &'static str,
    job: Job,
    woken: Arc<Woken>,
}

/// Whether a task has something to do.
pub(crate) struct Woken(AtomicBool);

impl Woken {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Between the intake and the dispatch: one input at a time, so that it is seen when that one is taken.
struct ToDispatch {
    from: mpsc::Receiver<DispatchInput>,
    to: mpsc::Sender<DispatchInput>,
    told: Option<CommandId>,
}

pub struct Gateway {
    pub(crate) directory: PathBuf,
    pub(crate) store: Store,
    pub(crate) queue: StoreQueue,
    /// Whose job each is that waits.
    pub(crate) owners: VecDeque<&'static str>,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) disk_full: bool,
    /// What it did in this step, for the trace.
    pub(crate) said: Vec<String>,
    /// Set when it has been asked to stop: by then it ends.
    pub(crate) stopping: Option<Timestamp>,
    /// Set while another configuration is taken over.
    pub(crate) reloading: Option<Phase>,
    pub(crate) machine: Arc<SimMachine>,
    pub(crate) outside: Outside,
    pub(crate) context: Arc<TaskContext>,
    rules: RuleSet,
    tasks: Vec<Task>,
    last_task: u64,
    pub(crate) notices: mpsc::Sender<ConnectionEvent<Token>>,
    from_broker: Arc<Mutex<mpsc::Receiver<ConnectionEvent<Token>>>>,
    to_dispatch: ToDispatch,
    /// For those that drain, and for the intake, which ends last.
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) end: watch::Sender<bool>,
    has_rested: bool,
    clocks: Now,
}

pub(crate) fn found(
    store: &Store,
    config: &Config,
    before: &Config,
    now: Timestamp,
    sabotage: Option<Sabotage>,
) -> Result<Found, Violation> {
    let directory = &config.site.state_directory;
    let undo = Undo::prepare(directory, sabotage);
    // A start that compares nothing takes the configuration for the one that it was.
    let is_blind = sabotage == Some(Sabotage::SkipEnds);
    let read = store.transaction(|store| Found::read(store, if is_blind { before } else { config }, now));
    undo.perform(directory);
    let mut found = read.map_err(|error| format!("what a start finds: {error}"))?;
    if sabotage == Some(Sabotage::ForgetRestriction) {
        found.restricted.clear();
    }
    if is_blind {
        found.live = config.clone();
    }
    Ok(found)
}

/// As the daemon reads it on this machine.
pub(crate) fn of_machine(config: &Config, directory: &Path) -> Config {
    let mut config = config.clone();
    directory.clone_into(&mut config.site.state_directory);
    for connection in &mut config.connections {
        connection.access_token = Secret::Known(TOKEN.into());
        // Behind a hub its token is all three.
        let secret = if connection.via_hub { TOKEN } else { APP_SECRET };
        connection.app_secret = Secret::Known(secret.into());
    }
    config
}

impl Gateway {
    /// As `cli::run` and `app::run` start: open, recover, then the tasks. With what had no place in the configuration any more.
    pub fn start(
        directory: &Path,
        (config, before): (Rc<Config>, Rc<Config>),
        seed: u64,
        (now, ahead): (Timestamp, i64),
        sabotage: Option<Sabotage>,
    ) -> Result<(Self, Vec<String>), Violation> {
        let mut dice = Rng::seeded(seed);
        let store = Store::open(directory, &mut dice).map_err(|error| format!("the store: {error}"))?;
        let (config, before) = (of_machine(&config, directory), of_machine(&before, directory));
        let mut found = found(&store, &config, &before, now, sabotage)?;
        let ended = std::mem::take(&mut found.ended);
        // A crash of the simulation is one of the machine: it comes back with another boot id.
        Crashes::forget(directory);
        let rules = rules(&config)?;
        let clocks = both(now, ahead);
        let machine = SimMachine::new(
            clocks,
            Rng::seeded(dice.below(u64::MAX)),
            sabotage == Some(Sabotage::ForgetClock),
        );
        let outside = Outside::new(Rng::seeded(dice.below(u64::MAX)), &machine, seed, sabotage);
        let (handle, queue) = store.queue();
        let config = Arc::new(config);
        let (context, steps) = context(found, handle, &config, &machine, sabotage);
        let (notices, from_broker) = mpsc::channel(QUEUE);
        let mut gateway = Self {
            directory: directory.to_owned(),
            store,
            queue,
            owners: VecDeque::new(),
            sabotage,
            disk_full: false,
            said: Vec::new(),
            stopping: None,
            reloading: None,
            machine,
            outside,
            context,
            rules,
            tasks: Vec::new(),
            last_task: 0,
            notices,
            from_broker: Arc::new(Mutex::new(from_broker)),
            to_dispatch: ToDispatch { from: mpsc::channel(1).1, to: mpsc::channel(1).0, told: None },
            stop: watch::channel(false).0,
            end: watch::channel(false).0,
            has_rested: false,
            clocks,
        };
        gateway.spawn_all(steps);
        Ok((gateway, ended))
    }

    /// On a configuration that takes the place of the one before, with what was found on disk.
    pub(crate) fn run_on(&mut self, config: Config, found: Found) -> Result<(), Violation> {
        self.rules = rules(&config)?;
        let handle = self.context.store.handle();
        let (context, steps) = context(found, handle, &Arc::new(config), &self.machine, self.sabotage);
        self.context = context;
        self.stop = watch::channel(false).0;
        self.end = watch::channel(false).0;
        self.tasks.clear();
        self.spawn_all(steps);
        self.has_rested = false;
        Ok(())
    }

    /// The tasks of a generation.
    fn spawn_all(&mut self, steps: mpsc::Receiver<SendStep>) {
        let (to_dispatch, from) = mpsc::channel(QUEUE);
        let (to, inputs) = mpsc::channel(1);
        self.to_dispatch = ToDispatch { from, to, told: None };
        // Nobody hands in events but the broker, and no device of ours writes over it.
        let (handed, letters) = (mpsc::channel(1).1, mpsc::channel(1).0);
        let notices = Arc::clone(&self.from_broker);
        let end = self.end.subscribe();
        let inputs_of_intake = IntakeInputs { notices, handed, to_dispatch, letters, end };
        let (rules, outside) = (self.rules.clone(), || self.outside.clone());
        let (context, stop) = (|| Arc::clone(&self.context), || self.stop.subscribe());
        let tasks: [(&str, Job); 5] = [
            (INTAKE, Box::pin(mqtt_intake::run(context(), rules, outside(), inputs_of_intake))),
            (DISPATCH, Box::pin(command_publisher::run(context(), outside(), inputs, stop()))),
            (SENDER, Box::pin(outbox_sender::run(context(), outside(), steps, stop()))),
            (INBOX, Box::pin(webhook_inbox::run(context()))),
            (DEADLINES, Box::pin(deadlines::run(context()))),
        ];
        tasks.into_iter().for_each(|(name, job)| self.spawn(name, job));
        let context = Arc::clone(&self.context);
        for connection in hub_poll::one_for_each_token(&context.config.connections) {
            let job = hub_poll::fetch(Arc::clone(&context), self.outside.clone(), connection.clone());
            self.spawn(FETCHING, Box::pin(job));
        }
    }

    pub(crate) fn spawn(&mut self, name: &'static str, job: Job) {
        self.last_task += 1;
        let woken = Woken::new();
        self.tasks.push(Task { id: self.last_task, name, job, woken });
    }

    /// Everything that could happen next; which of it does is chance.
    pub fn runnable(&self) -> Vec<Action> {
        if self.outside.has_outs() {
            return vec![Action::Out]; // in the middle of code that waits for nothing
        }
        let commit = (!self.queue.is_empty()).then_some(Action::Commit);
        let post = self.outside.has_posts().then_some(Action::Post);
        let woken = self.woken().map(|task| Action::Run(task.id));
        commit.into_iter().chain(post).chain(woken).collect()
    }

    fn woken(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.woken.is_set())
    }

    pub fn act(&mut self, action: Action, dice: &mut Rng) -> Result<Vec<Out>, Violation> {
        match action {
            Action::Commit => self.commit(dice),
            Action::Out => Ok(self.outside.pop().into_iter().collect()),
            Action::Post => Ok(self.outside.pop_post().into_iter().collect()),
            Action::Run(id) => self.run(id).map(|()| Vec::new()),
        }
    }

    /// One task goes on until it waits for something.
    fn run(&mut self, id: u64) -> Result<(), Violation> {
        let Some(index) = self.tasks.iter().position(|task| task.id == id) else { return Ok(()) };
        let task = &mut self.tasks[index];
        let name = task.name;
        task.woken.clear();
        let waker = Waker::from(Arc::clone(&task.woken));
        let is_late = name == DISPATCH && self.sabotage == Some(Sabotage::ForgetCommandExpiry);
        self.machine.is_behind(if is_late { AN_HOUR } else { Duration::ZERO });
        let polled = task.job.as_mut().poll(&mut Context::from_waker(&waker));
        self.machine.is_behind(Duration::ZERO);
        self.owners.resize(self.queue.len(), name);
        if let Poll::Ready(()) = polled {
            drop(self.tasks.remove(index));
            let is_told = *self.stop.borrow() && [SENDER, DISPATCH].contains(&name)
                || *self.end.borrow() && name == INTAKE;
            if ![SPAWNED, WEBHOOK].contains(&name) && !is_told {
                return Err(format!("the task {name} has ended"));
            }
        }
        self.machine.spawned().into_iter().for_each(|job| self.spawn(SPAWNED, job));
        self.hand_on();
        Ok(())
    }

    /// The dispatch has taken its input, and gets the next.
    fn hand_on(&mut self) {
        let between = &mut self.to_dispatch;
        if between.to.capacity() == 0 {
            return;
        }
        if let Some(id) = between.told.take() {
            self.outside.push(Out::Told(id));
        }
        if let Ok(input) = between.from.try_recv() {
            if let DispatchInput::Published(id, _) = &input {
                between.told = Some(*id);
            }
            drop(between.to.try_send(input)); // there is room
        }
    }

    /// It is later, or the clock was set.
    pub fn tick(&mut self, now: Timestamp, ahead: i64) {
        self.clocks = both(now, ahead);
        self.machine.tick(self.clocks);
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.clocks.wall
    }

    /// Timers wake tasks that look around: those that find nothing to do rest on. All that the sender itself asks of the store is
    /// whether somebody else has written.
    pub fn look_around(&mut self, dice: &mut Rng) -> Result<(), Violation> {
        while self.owners.iter().all(|owner| *owner == SENDER) {
            if !self.queue.is_empty() {
                self.commit(dice)?;
                continue;
            }
            let next = self.woken().next().map(|task| task.id);
            let Some(id) = next else { break };
            self.run(id)?;
        }
        Ok(())
    }

    /// In the middle of code that waits for nothing: it can be killed here, but time does not pass.
    pub fn is_mid_task(&self) -> bool {
        self.outside.has_outs()
    }

    /// Between the commit that lets a message go and its request, or between the start and the sender's first turn, which is
    /// taken in the same instant: no clock is set just then.
    pub fn is_posting(&self) -> bool {
        let posts = |task: &Task| [SENDER, SPAWNED].contains(&task.name);
        !self.has_rested || self.outside.has_posts() || self.woken().any(posts)
    }

    /// It waits for time or for others, and for nothing else.
    pub fn is_at_rest(&mut self) -> bool {
        let rests = self.runnable().is_empty();
        self.has_rested |= rests;
        rests && self.is_listening() && !self.disk_full
    }

    /// When it acts by itself.
    pub fn next_at(&self) -> Timestamp {
        let next = self.machine.next_in().map(|wait| self.clocks.wall + wait);
        next.into_iter().chain(self.stopping).min().unwrap_or(self.clocks.wall + AN_HOUR)
    }

    /// Whether time alone will still change an alert, as far as the disk knows.
    pub fn is_watching(&self) -> bool {
        let watch = self.rules.watch();
        let mut intake: Intake<Token> = Intake::new(self.rules.clone(), watch);
        intake.restore(self.store.kept().expect("the memory"), self.clocks);
        let now = intake.handle(IntakeInput::Woke, self.clocks); // what is due already changes nothing more
        drop(now);
        intake.wake_at().is_some()
    }

    /// SIGTERM: the link ends, nothing new leaves, requests under way may finish for 10 s.
    pub fn stop(&mut self, now: Timestamp) {
        self.reloading = None;
        self.stopping = Some(now + Duration::from_secs(10));
        self.outside.is_connected(false);
        self.stop.send_replace(true);
    }

    pub fn has_stopped(&self, now: Timestamp) -> bool {
        self.stopping.is_some_and(|until| until <= now || !self.has_any(&[SENDER]))
    }

    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        self.tasks.iter().any(|task| names.contains(&task.name))
    }

    /// Whether it hears what comes from outside: webhooks, and what the broker lets it connect for.
    pub fn is_listening(&self) -> bool {
        self.stopping.is_none() && self.reloading.is_none()
    }

    /// The process ends: the thread still writes what was asked for.
    pub fn close(mut self) -> Result<(), Violation> {
        self.tasks.clear();
        let mut one_group = Rng::seeded(0);
        while !self.queue.is_empty() && !self.disk_full {
            self.commit(&mut one_group)?;
        }
        Ok(())
    }

    /// How a device knows a command.
    pub fn wire_id(&self, id: CommandId) -> String {
        self.store.tag().command(id)
    }

    /// A line of a trace is read, not parsed: its beginning says enough.
    pub(crate) fn say(&mut self, what: &str, of: &impl std::fmt::Debug) {
        self.said.push(format!("{what} {of:?}").chars().take(160).collect());
    }

    /// What is under way in memory, for people.
    pub fn busy(&self) -> String {
        let woken: Vec<&str> = self.woken().map(|task| task.name).collect();
        format!("jobs of {:?}, tasks that are woken {woken:?}, {:?}", self.owners, self.context.scheduler)
    }
}

/// What the tasks of a generation share.
fn context(
    found: Found,
    handle: StoreHandle,
    config: &Arc<Config>,
    machine: &Arc<SimMachine>,
    sabotage: Option<Sabotage>,
) -> (Arc<TaskContext>, mpsc::Receiver<SendStep>) {
    let (told, _nobody_listens) = mpsc::channel(1);
    let machine = Arc::new(OfMachine(Arc::clone(machine)));
    let (reload, _nobody_asks) = ReloadHandle::new(ConfigurationFile::default());
    let metrics = Arc::new(Metrics::new());
    let (mut context, steps) =
        TaskContext::with(found, handle, Arc::clone(config), metrics, told, machine, reload);
    blind(&mut context.answer_topics, config, sabotage);
    (Arc::new(context), steps)
}

/// A sabotage: what nobody reads of what arrives.
fn blind(topics: &mut Vec<TopicPattern>, config: &Config, sabotage: Option<Sabotage>) {
    let asks = |topic: &TopicPattern| {
        config.questions.iter().any(|question| question.topic.filter() == topic.filter())
    };
    match sabotage {
        Some(Sabotage::SkipQuestion) => topics.retain(|topic| !asks(topic)),
        Some(Sabotage::SkipAnswer) => topics.retain(asks),
        Some(_) | None => {}
    }
}

fn rules(config: &Config) -> Result<RuleSet, Violation> {
    config.rule_set().map_err(|error| format!("the rules: {error}"))
}

/// Both clocks of the machine: the steady one goes with the true time.
pub(crate) fn both(now: Timestamp, ahead: i64) -> Now {
    let steady = u64::try_from(now.0 + ahead).unwrap_or(0);
    Now { wall: now, steady: Duration::from_millis(steady) }
}
