//! Two hubs behind one address: the hub's own code (`out::send`, `incoming::{wait, Router}`) over the engine's model, one step at a time.
//! A hub that ends loses everything but what the engine has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bellwire::machine::{Job, Machine};
use bellwire::random::Rng;
use bellwire::time::Timestamp;
use bellwire::whatsapp::client::Exchanged;
use bellwire_hub::engine::{Log, Rows};
use bellwire_hub::incoming::{Router, Wakes, hear};
use bellwire_hub::sites::Registry;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use crate::engine::SimEngine;
use crate::gateway::{Woken, both};
use crate::hub_check::Keys;
use crate::hub_requests::Nobody;
use crate::machine::{OfMachine, SimMachine};
use crate::sabotage::Sabotage;
use crate::site::{NUMBERS, phone_number_id};

pub const HUBS: usize = 2;
/// What the site is called there.
pub const SHOP: &str = "shop";
/// By which it is known, and with which its webhooks are signed.
pub const TOKEN: &str = "token";

/// What can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubAction {
    Start(usize),
    /// A write that waits for the engine.
    Write(u64),
    Run(usize, u64),
    Out(usize),
}

/// What a hub does to the world.
#[derive(Debug)]
pub enum HubOut {
    /// Of an exchange with the site.
    Answer(u64, Exchanged),
    Ask(Asked),
    /// Meta's webhook is answered, 200 or not.
    Kept(u64, Vec<u8>, bool),
    /// A body was kept, for whichever hub routes.
    Came(u64),
}

/// A request to Meta.
#[derive(Debug)]
pub struct Asked {
    pub request: u64,
    pub key: String,
    pub number: &'static str,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Routing,
    Comparing,
    Sending(String),
    Polling(u64),
    Keeping,
}

struct Task {
    id: u64,
    kind: Kind,
    job: Job,
    woken: Arc<Woken>,
}

#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) outs: VecDeque<HubOut>,
    pub(crate) asked: BTreeMap<u64, oneshot::Sender<Exchanged>>,
}

pub(crate) struct Process {
    tasks: Vec<Task>,
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) wakes: Wakes,
    came: watch::Sender<u64>,
}

pub struct Hubs {
    pub dice: Rng,
    pub engine: SimEngine,
    pub machine: Arc<SimMachine>,
    pub(crate) processes: [Option<Process>; HUBS],
    sites: watch::Sender<Arc<Registry>>,
    /// What is open between site and hubs, until when, and at which hub; and whether its answer will be lost.
    pub open: BTreeMap<u64, Open>,
    pub keys: Keys,
    pub is_healed: bool,
    /// Most of what goes between site and hubs is lost.
    pub is_line_bad: bool,
    pub(crate) sabotage: Option<Sabotage>,
    last: u64,
}

#[derive(Debug, Clone)]
pub struct Open {
    pub until: Duration,
    pub hub: Option<usize>,
    pub is_lost: bool,
    /// Missing: it asks for webhooks.
    pub key: Option<String>,
}

impl Hubs {
    pub fn new(seed: u64, time: Timestamp, sabotage: Option<Sabotage>) -> Self {
        let mut dice = Rng::seeded(seed);
        let machine = SimMachine::new(both(time, 0), Rng::seeded(dice.below(u64::MAX)), false);
        let numbers: Vec<&str> = NUMBERS.into_iter().map(phone_number_id).collect();
        let shop =
            json!({ "numbers": numbers, "people": "all", "tokens": [bellwire_hub::sites::digest(TOKEN)] });
        let mut registry = Registry::default();
        registry.apply((SHOP.to_owned(), Some(shop.to_string().into())));
        let mut hubs = Self {
            engine: SimEngine::new(Rng::seeded(dice.below(u64::MAX)), sabotage),
            dice,
            machine,
            processes: [None, None],
            sites: watch::channel(Arc::new(registry)).0,
            open: BTreeMap::new(),
            keys: Keys::default(),
            is_healed: false,
            is_line_bad: false,
            sabotage,
            last: 0,
        };
        (0..HUBS).for_each(|hub| hubs.start(hub));
        hubs
    }

    pub fn time(&self) -> Duration {
        OfMachine(Arc::clone(&self.machine)).both().steady
    }

    pub fn tick(&mut self, time: Timestamp) {
        self.machine.tick(both(time, 0));
        self.engine.tick(self.time());
    }

    fn start(&mut self, hub: usize) {
        let machine: Arc<dyn Machine> = Arc::new(OfMachine(Arc::clone(&self.machine)));
        let (told, came) = watch::channel(0);
        let router = Arc::new(Router {
            engine: self.engine.of(hub),
            hub: format!("hub-{hub}-{}", self.next()),
            sites: self.sites.subscribe(),
            asker: Nobody,
            machine: Arc::clone(&machine),
            came,
        });
        let (engine, wire) = (self.engine.of(hub), Arc::default());
        let wakes = Wakes::new(engine.end(Log::Inbound), machine);
        let of_task = wakes.clone();
        self.processes[hub] = Some(Process { tasks: Vec::new(), wire, wakes, came: told });
        self.spawn(hub, Kind::Routing, Box::pin(async move { router.run().await }));
        self.spawn(hub, Kind::Comparing, Box::pin(async move { of_task.compare(&engine).await }));
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn spawn(&mut self, hub: usize, kind: Kind, job: Job) {
        let id = self.next();
        if let Some(process) = &mut self.processes[hub] {
            process.tasks.push(Task { id, kind, job, woken: Woken::new() });
        }
    }

    pub fn is_up(&self, hub: usize) -> bool {
        self.processes[hub].is_some()
    }

    /// Whichever the address leads to.
    pub fn any(&mut self) -> Option<usize> {
        let up: Vec<usize> = (0..HUBS).filter(|hub| self.is_up(*hub)).collect();
        let index = usize::try_from(self.dice.below(up.len() as u64)).unwrap_or(0);
        up.get(index).copied()
    }

    /// Everything in its memory is gone; what the site had open there breaks off, and is returned.
    pub fn crash(&mut self, hub: usize) -> Vec<u64> {
        let Some(process) = self.processes[hub].take() else { return Vec::new() };
        for task in process.tasks {
            if let Kind::Sending(key) = task.kind {
                self.keys.excuse(&key);
            }
        }
        self.engine.forget(hub);
        let broken = self.open.extract_if(.., |_, open| open.hub == Some(hub));
        broken.map(|(exchange, _)| exchange).collect()
    }

    /// The site's side ends: what it asked for goes to nobody, and what was begun goes on.
    pub fn site_is_gone(&mut self) {
        self.open.clear();
        for process in self.processes.iter_mut().flatten() {
            process.tasks.retain(|task| !matches!(task.kind, Kind::Polling(_)));
        }
    }

    /// Exchanges for which the site waits no longer.
    pub fn overdue(&mut self) -> Vec<u64> {
        let time = self.time();
        let overdue: Vec<u64> =
            self.open.extract_if(.., |_, open| open.until <= time).map(|(exchange, _)| exchange).collect();
        for process in self.processes.iter_mut().flatten() {
            process.tasks.retain(|task| !matches!(task.kind, Kind::Polling(of) if overdue.contains(&of)));
        }
        overdue
    }

    /// One of them breaks off.
    pub fn break_off(&mut self) -> Option<(u64, Open)> {
        let index = usize::try_from(self.dice.below(self.open.len() as u64)).unwrap_or(0);
        let exchange = *self.open.keys().nth(index)?;
        for process in self.processes.iter_mut().flatten() {
            process.tasks.retain(|task| task.kind != Kind::Polling(exchange));
        }
        Some((exchange, self.open.remove(&exchange)?))
    }

    pub fn is_sending(&self) -> bool {
        let sending = |task: &Task| matches!(task.kind, Kind::Sending(_));
        self.processes.iter().flatten().any(|process| process.tasks.iter().any(sending))
    }

    /// Until a hub or an exchange is due.
    pub fn next_in(&self) -> Option<Duration> {
        let time = self.time();
        let exchanges = self.open.values().map(|open| open.until.saturating_sub(time)).min();
        exchanges.into_iter().chain(self.machine.next_in()).min()
    }

    pub fn runnable(&self) -> Vec<HubAction> {
        let mut found: Vec<HubAction> = self.engine.waiting().into_iter().map(HubAction::Write).collect();
        for (hub, process) in self.processes.iter().enumerate() {
            let Some(process) = process else {
                found.push(HubAction::Start(hub));
                continue;
            };
            if !lock(&process.wire).outs.is_empty() {
                found.push(HubAction::Out(hub));
            }
            let woken = process.tasks.iter().filter(|task| task.woken.is_set());
            found.extend(woken.map(|task| HubAction::Run(hub, task.id)));
        }
        found
    }

    pub fn act(&mut self, action: HubAction) -> Option<(usize, HubOut)> {
        match action {
            HubAction::Start(hub) => self.start(hub),
            HubAction::Write(id) => {
                let fate = self.fate();
                self.engine.grant(id, fate);
            }
            HubAction::Run(hub, id) => self.run(hub, id),
            HubAction::Out(hub) => {
                let out =
                    self.processes[hub].as_ref().and_then(|process| lock(&process.wire).outs.pop_front());
                return Some((hub, out?));
            }
        }
        None
    }

    fn fate(&mut self) -> crate::engine::Fate {
        use crate::engine::Fate;
        match self.dice.below(40) {
            0 if !self.is_healed => Fate::Unheard,
            1 if !self.is_healed => Fate::Refused,
            _ => Fate::Done,
        }
    }

    fn run(&mut self, hub: usize, id: u64) {
        let Some(process) = &mut self.processes[hub] else { return };
        let Some(index) = process.tasks.iter().position(|task| task.id == id) else { return };
        let task = &mut process.tasks[index];
        task.woken.clear();
        let waker = Waker::from(Arc::clone(&task.woken));
        if let Poll::Ready(()) = task.job.as_mut().poll(&mut Context::from_waker(&waker)) {
            drop(process.tasks.remove(index));
        }
        for (site, sequence) in self.engine.news() {
            for process in self.processes.iter().flatten() {
                // In passing, and now and then it is lost.
                if self.is_healed || self.dice.below(8) > 0 {
                    process.wakes.wake(&site, sequence);
                }
            }
        }
    }

    pub fn came(&mut self, sequence: u64) {
        for process in self.processes.iter().flatten() {
            if self.is_healed || self.dice.below(8) > 0 {
                hear(&process.came, sequence);
            }
        }
    }

    /// Meta's answer.
    pub fn answered(&mut self, request: u64, answer: Exchanged) {
        let asked =
            self.processes.iter().flatten().find_map(|process| lock(&process.wire).asked.remove(&request));
        if let Some(asked) = asked {
            drop(asked.send(answer)); // it may have been given up
        }
    }
}

pub(crate) fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}
