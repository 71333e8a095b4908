//! Every event that the device accepted is counted once at the gateway, in order; commands are acted on at most once and
//! never late; what the device could not take, the gateway hears of.

/// Two devices with one name.
mod clash;
/// The gateway, its disk and its commits.
mod gateway;
/// The line between.
mod line;

use firmware_bridge::client::{Client, Device, Refusal};
use firmware_bridge::count::Count;
use firmware_bridge::flash::FlashQueue;
use firmware_bridge::gateway::End;
use firmware_bridge::{Field, Outcome, Position, Queue, QueueError, RamQueue, Value};

use crate::dice::Dice;
use crate::flash::Flash;
use gateway::{Gateway, unix};
use line::{Faults, Line};

const SEEDS: u64 = 10_000;
/// Of trouble; then the faults stop, and all must be delivered.
const TROUBLE_MS: u64 = 60_000;
const PATIENCE_MS: u64 = 900_000;

/// The three kinds of device.
enum Store {
    Ram(RamQueue<160>),
    Flash(FlashQueue<Flash<4>, 96>),
}

#[derive(Clone, Copy, PartialEq)]
enum Memory {
    /// Takes its boot number from the gateway.
    None,
    /// Counts its starts, keeps no events.
    Starts,
    Flash,
}

struct World {
    seed: u64,
    dice: Dice,
    now: u64,
    number: u64,
    memory: Memory,
    flash: Flash<4>,
    starts: u32,
    /// The device's clock began then, and runs this much faster, in thousandths.
    started_at: u64,
    drift: i64,
    client: Client<'static, Store, 320>,
    gateway: Gateway,
    up: Line,
    down: Line,
    faults: Faults,
    next_event: i64,
    /// Accepted, and not lost with a power cut of a device that keeps nothing.
    accepted: Vec<i64>,
    next_command: u64,
    acted: Vec<u64>,
    acting: Option<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let memory = [Memory::None, Memory::Starts, Memory::Flash][dice.below(3) as usize];
        let serial = dice.percent(50);
        let flash = Flash::new(6, dice.roll());
        let faults = Faults {
            lost: dice.below(40),
            twice: dice.below(30),
            damaged: dice.below(30),
            late_ms: 1 + dice.below(3_000),
            down: false,
        };
        let client = start(&flash, memory, 1, dice.roll() as u32);
        Self {
            seed,
            now: 0,
            number: 0,
            memory,
            flash,
            starts: 1,
            started_at: 0,
            drift: dice.below(11) as i64 - 5,
            client: client.expect("the power is on"),
            gateway: Gateway::new(),
            up: Line::new(serial),
            down: Line::new(serial),
            faults,
            next_event: 1,
            accepted: Vec::new(),
            next_command: 1,
            acted: Vec::new(),
            acting: None,
            dice,
        }
    }

    fn device_now(&self) -> u64 {
        let since = (self.now - self.started_at) as i64;
        (since + since * self.drift / 1000) as u64
    }

    /// Something happens: mostly work, sometimes trouble.
    fn act(&mut self) {
        match self.dice.below(20) {
            0..9 => self.event(),
            9..11 => {
                let expires = unix(self.now) + 200 + self.dice.below(20_000);
                self.gateway.disk.requested.push_back((self.next_command, expires));
                self.next_command += 1;
            }
            11..13 => self.answer(),
            13 => self.gateway.restart(),
            14 => self.gateway.commit_fails(),
            15..17 => self.faults.down = !self.faults.down,
            17 if self.memory == Memory::Flash => self.flash.cut_after(self.dice.below(4) as u32),
            _ => self.restart_device(),
        }
    }

    fn event(&mut self) {
        let fields = [Field::new("n", Value::Integer(self.next_event)).unwrap()];
        let now = self.device_now();
        match self.client.event(&fields, now) {
            Ok(_) => self.accepted.push(self.next_event),
            Err(Refusal::Full) => {
                assert!(self.client.queued() > 1, "seed {}: full without events", self.seed)
            }
            Err(Refusal::Storage) => assert!(self.flash.is_off(), "seed {}: no storage", self.seed),
            Err(Refusal::Malformed) => panic!("seed {}: malformed", self.seed),
            Err(Refusal::TooLarge) => panic!("seed {}: too large", self.seed),
        }
        self.next_event += 1;
    }

    fn answer(&mut self) {
        if let Some(id) = self.acting.take() {
            assert!(self.client.answer(id, Outcome::Done, "it is so"), "seed {}", self.seed);
        }
    }

    fn restart_device(&mut self) {
        self.acting = None;
        if self.memory != Memory::Flash {
            // What waited in memory is lost with the power, unless the gateway has it, or it is on the way.
            let kept = self.accepted.len() - self.client.queued();
            self.accepted.truncate(kept);
        }
        self.starts += 1;
        self.flash.power();
        if self.dice.percent(20) {
            self.flash.cut_after(self.dice.below(3) as u32);
        }
        while let Err(error) = start(&self.flash, self.memory, self.starts, self.dice.roll() as u32)
            .map(|client| self.client = client)
        {
            assert!(self.flash.power(), "seed {}: {error:?} with power", self.seed);
        }
        self.started_at = self.now;
    }

    /// Everything that is due now, in both machines.
    fn turn(&mut self) {
        let commit_ms = self.dice.below(300);
        if self.up.next_at().is_some_and(|at| at <= self.now) {
            for message in self.up.deliver() {
                self.gateway.receive(&message, 0, self.now, commit_ms);
            }
        }
        if self.down.next_at().is_some_and(|at| at <= self.now) {
            for (kind, message) in self.down.deliver() {
                let now = self.device_now();
                self.client.receive(kind, &message, now);
            }
        }
        if self.gateway.next_write_at().is_some_and(|at| at <= self.now) {
            self.gateway.commit(self.now);
        }
        self.gateway.work(self.now, commit_ms);
        for (_, message) in std::mem::take(&mut self.gateway.sent) {
            self.number += 2;
            self.down.send(message, self.now, self.number, self.faults, &mut self.dice);
        }
        if self.flash.is_off() {
            self.restart_device();
        }
        self.obey();
        let now = self.device_now();
        while let Some(outgoing) = self.client.poll(now) {
            let message = (outgoing.kind, outgoing.message.to_vec());
            self.number += 2;
            self.up.send(message, self.now, self.number, self.faults, &mut self.dice);
        }
    }

    fn obey(&mut self) {
        let now = self.device_now();
        if let Some(command) = self.client.command_to_obey(now) {
            assert!(unix(self.now) < command.expires_at_ms, "seed {}: acted too late", self.seed);
            self.acting = Some(command.id);
            self.acted.push(command.id);
        }
    }

    /// The next time that anything is due, at the latest at `limit`.
    fn advance(&mut self, limit: u64) {
        let elapsed = self.client.wake_at().saturating_sub(self.device_now());
        let wake = self.now + elapsed + elapsed / 100;
        let times = [self.up.next_at(), self.down.next_at(), self.gateway.next_write_at(), Some(wake)];
        let next = times.into_iter().flatten().min().unwrap_or(limit).min(limit);
        self.now = next.max(self.now + 1);
    }

    fn run(&mut self) {
        while self.now < TROUBLE_MS {
            let until = self.now + self.dice.below(1_500);
            while self.now < until {
                self.turn();
                self.advance(until);
            }
            self.act();
        }
        self.faults = Faults::NONE;
        self.flash.power();
        while !(self.client.queued() == 0 && self.gateway.is_idle()) {
            self.answer();
            self.turn();
            self.advance(self.now + 1_000);
            assert!(self.now < PATIENCE_MS, "seed {}: it never ends", self.seed);
        }
    }

    fn check(&self) {
        let (seed, disk) = (self.seed, &self.gateway.disk);
        assert!(
            disk.events.is_sorted_by(|a, b| a < b),
            "seed {seed}: twice or out of order: {:?}",
            disk.events
        );
        let lost = self.accepted.iter().find(|number| disk.events.binary_search(number).is_err());
        assert_eq!(lost, None, "seed {seed}: accepted and not counted: {:?}", disk.events);
        assert_eq!(disk.gaps, 0, "seed {seed}");

        let mut acted = self.acted.clone();
        acted.dedup();
        assert_eq!(acted.len(), self.acted.len(), "seed {seed}: acted twice: {:?}", self.acted);
        assert!(acted.is_sorted(), "seed {seed}: {acted:?}");
        let ended: Vec<u64> = disk.ends.iter().map(|(id, _)| *id).collect();
        assert_eq!(ended, (1..self.next_command).collect::<Vec<_>>(), "seed {seed}: each command ends once");
        for (id, end) in &disk.ends {
            match end {
                End::Answered(Outcome::Done) => assert!(acted.contains(id), "seed {seed}: {id} was not done"),
                End::Answered(_) | End::ExpiredUnsent => {
                    assert!(!acted.contains(id), "seed {seed}: {id} was done")
                }
                End::NoAnswer | End::Restarted => {}
            }
        }
    }
}

fn start(
    flash: &Flash<4>,
    memory: Memory,
    starts: u32,
    seed: u32,
) -> Result<Client<'static, Store, 320>, QueueError> {
    start_as("freezer-2", flash, memory, starts, seed)
}

fn start_as(
    id: &'static str,
    flash: &Flash<4>,
    memory: Memory,
    starts: u32,
    seed: u32,
) -> Result<Client<'static, Store, 320>, QueueError> {
    let store = match memory {
        Memory::None => Store::Ram(RamQueue::new()),
        Memory::Starts => Store::Ram(RamQueue::with_boot(starts)),
        Memory::Flash => Store::Flash(FlashQueue::open(flash.clone())?),
    };
    let device = Device { id, firmware: "simulated", commands: &["set"], seed };
    Ok(Client::new(device, store).unwrap())
}

impl Queue for Store {
    fn starts(&self) -> u32 {
        match self {
            Self::Ram(queue) => queue.starts(),
            Self::Flash(queue) => queue.starts(),
        }
    }
    fn base(&self) -> Option<u32> {
        match self {
            Self::Ram(queue) => queue.base(),
            Self::Flash(queue) => queue.base(),
        }
    }
    fn set_base(&mut self, base: u32) -> Result<(), QueueError> {
        match self {
            Self::Ram(queue) => queue.set_base(base),
            Self::Flash(queue) => queue.set_base(base),
        }
    }
    fn push(&mut self, at: Position, fields: &[u8]) -> Result<(), QueueError> {
        match self {
            Self::Ram(queue) => queue.push(at, fields),
            Self::Flash(queue) => queue.push(at, fields),
        }
    }
    fn get(&mut self, index: usize, buffer: &mut [u8]) -> Result<Option<(Position, usize)>, QueueError> {
        match self {
            Self::Ram(queue) => queue.get(index, buffer),
            Self::Flash(queue) => queue.get(index, buffer),
        }
    }
    fn pop(&mut self) -> Result<(), QueueError> {
        match self {
            Self::Ram(queue) => queue.pop(),
            Self::Flash(queue) => queue.pop(),
        }
    }
    fn name(&self) -> Option<&str> {
        match self {
            Self::Ram(queue) => queue.name(),
            Self::Flash(queue) => queue.name(),
        }
    }
    fn set_name(&mut self, name: &str) -> Result<(), QueueError> {
        match self {
            Self::Ram(queue) => queue.set_name(name),
            Self::Flash(queue) => queue.set_name(name),
        }
    }
    fn len(&self) -> usize {
        match self {
            Self::Ram(queue) => queue.len(),
            Self::Flash(queue) => queue.len(),
        }
    }
}

#[test]
fn nothing_accepted_is_lost_and_nothing_counts_twice() {
    let (mut events, mut acted, mut refused, mut repeated) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.run();
        world.check();
        events += world.gateway.disk.events.len();
        acted += world.acted.len();
        refused += world.client.counters().refused();
        repeated += world.client.counters().get(Count::Repeated);
    }
    println!(
        "{SEEDS} seeds: {events} events, {acted} commands acted on; in the last starts {refused} refused, {repeated} repeated"
    );
    assert!(
        events > 50_000 && acted > 5_000 && refused > 500 && repeated > 5_000,
        "the seeds try too little"
    );
}

#[test]
fn events_refused_by_a_full_queue_are_reported() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.run();
        let refused = world.client.counters().refused();
        let attempts = refused + world.client.counters().get(Count::Accepted);
        for _ in 0..5 {
            world.event();
        }
        let after = world.client.counters().refused() + world.client.counters().get(Count::Accepted);
        assert_eq!(after, attempts + 5, "seed {seed}: an event is neither accepted nor refused");
        let until = world.now + 130_000; // two heartbeats
        while world.now < until {
            world.turn();
            world.advance(until);
        }
        assert_eq!(world.gateway.refused, world.client.counters().refused(), "seed {seed}");
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    let story = |seed| {
        let mut world = World::new(seed);
        world.run();
        (world.now, world.number, world.gateway.disk.events, world.acted)
    };
    for seed in 0..20 {
        assert_eq!(story(seed), story(seed));
    }
}

#[test]
fn a_gateway_that_lost_its_disk_continues_with_new_events() {
    let mut world = World::new(4); // any with events
    world.run();
    world.gateway = Gateway::new();
    let before = world.next_event;
    for _ in 0..3 {
        world.event();
    }
    let accepted = world.client.queued();
    let until = world.now + 200_000;
    while world.now < until {
        world.turn();
        world.advance(until);
    }
    assert!(accepted > 0 && world.client.queued() == 0);
    assert_eq!(world.gateway.disk.events.first(), Some(&before));
}
