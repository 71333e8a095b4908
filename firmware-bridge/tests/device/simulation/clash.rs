//! Two devices with one name: each event of both is counted once, nobody storms, and the flash is spared.

use std::collections::BTreeMap;

use firmware_bridge::client::Client;
use firmware_bridge::count::Count;
use firmware_bridge::message::{CommandResult, Hello, Welcome};
use firmware_bridge::{Event, Field, Kind, Position, Value};

use super::gateway::{Gateway, unix};
use super::line::{Faults, Line, Message};
use super::{Memory, PATIENCE_MS, Store, TROUBLE_MS, start_as};
use crate::dice::Dice;
use crate::flash::Flash;

/// More of them with `BELLWIRE_CLASH_SEEDS=100000`.
const SEEDS: u64 = 10_000;
/// Hellos of one device in any minute: 7 until it is welcomed, 3 and 12 by reconnections, some for what is missing.
const HELLOS_MAX: usize = 20;
/// Writes and erasures of one device's flash in an hour, beside those for its events.
const WRITES_MAX: u32 = 60;
const NAMES: [&str; 2] = ["freezer-2", "freezer-9"];

struct Board {
    /// Where it speaks: its own serial line, or the broker.
    place: u32,
    /// 0: the name that both have; 1: its new one.
    name: usize,
    memory: Memory,
    flash: Flash<4>,
    starts: u32,
    unique: Option<[u8; 6]>,
    client: Client<'static, Store, 320>,
    next_event: i64,
    accepted: Vec<i64>,
    hellos: Vec<u64>,
    up: Line,
    down: Line,
}

struct World {
    seed: u64,
    dice: Dice,
    now: u64,
    number: u64,
    serial: bool,
    boards: Vec<Board>,
    /// One for each name.
    gateways: [Gateway; 2],
    faults: Faults,
}

impl Board {
    fn new(index: u32, serial: bool, dice: &mut Dice) -> Self {
        let memory = [Memory::None, Memory::Starts, Memory::Flash][dice.below(3) as usize];
        let flash = Flash::new(6, dice.roll());
        // One that keeps events is told apart over its starts by a number of its own.
        let unique = (memory == Memory::Flash || dice.percent(50))
            .then(|| [index as u8, 2, 3, 4, 5, dice.roll() as u8]);
        let client = start_as(NAMES[0], &flash, memory, 1, dice.roll() as u32).expect("the power is on");
        let mut board = Self {
            place: if serial { index + 1 } else { 0 },
            name: 0,
            memory,
            flash,
            starts: 0,
            unique,
            client,
            next_event: 1 + 1_000_000 * i64::from(index),
            accepted: Vec::new(),
            hellos: Vec::new(),
            up: Line::new(serial),
            down: Line::new(serial),
        };
        board.flash = Flash::new(6, dice.roll()); // the one above has counted a start
        board.start(dice);
        board
    }

    fn start(&mut self, dice: &mut Dice) {
        self.starts += 1;
        self.flash.power();
        loop {
            match start_as(NAMES[self.name], &self.flash, self.memory, self.starts, dice.roll() as u32) {
                Ok(client) => {
                    self.client = match self.unique {
                        Some(unique) => client.with_unique_id(&unique),
                        None => client,
                    };
                    return;
                }
                Err(error) => assert!(self.flash.power(), "{error:?} with power"),
            }
        }
    }

    fn restart(&mut self, dice: &mut Dice) {
        if self.memory != Memory::Flash {
            let kept = self.accepted.len() - self.client.queued();
            self.accepted.truncate(kept);
        }
        self.start(dice);
    }
}

/// Which name a message to the gateway is of.
fn name_in((kind, message): &Message) -> usize {
    let is_other = match kind {
        Kind::Hello => Hello::decode(message).unwrap().device == NAMES[1],
        Kind::Event => Event::decode(message).unwrap().device == NAMES[1],
        Kind::Result | Kind::Welcome | Kind::Ack | Kind::Command | Kind::Version => {
            CommandResult::decode(message).unwrap().device == NAMES[1]
        }
    };
    usize::from(is_other)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x00c1_a5e5);
        let serial = dice.percent(50);
        let boards = (0..2).map(|index| Board::new(index, serial, &mut dice)).collect();
        let faults = Faults {
            lost: dice.below(30),
            twice: dice.below(30),
            damaged: dice.below(20),
            late_ms: 1 + dice.below(2_000),
            down: false,
        };
        let gateways = [Gateway::new(), Gateway::new()];
        Self { seed, dice, now: 0, number: 0, serial, boards, gateways, faults }
    }

    fn act(&mut self) {
        let index = self.dice.below(2) as usize;
        match self.dice.below(24) {
            0..16 => self.event(index),
            16 => self.gateways.iter_mut().for_each(Gateway::restart),
            17 => self.gateways.iter_mut().for_each(Gateway::commit_fails),
            18..20 => self.faults.down = !self.faults.down,
            20 => self.boards[index].client.connected(),
            21 if self.boards[index].memory == Memory::Flash => {
                self.boards[index].flash.cut_after(self.dice.below(4) as u32);
            }
            // Each start of one without a number of its own is another device to the gateway, which keeps eight apart.
            _ if self.boards[index].unique.is_some() || self.boards[index].starts < 4 => {
                self.boards[index].restart(&mut self.dice);
            }
            _ => {}
        }
    }

    fn event(&mut self, index: usize) {
        let (now, board) = (self.now, &mut self.boards[index]);
        let fields = [Field::new("n", Value::Integer(board.next_event)).unwrap()];
        if board.client.event(&fields, now).is_ok() {
            board.accepted.push(board.next_event);
        }
        board.next_event += 1;
    }

    fn turn(&mut self) {
        let commit_ms = self.dice.below(300);
        for index in 0..self.boards.len() {
            let board = &mut self.boards[index];
            if board.up.next_at().is_some_and(|at| at <= self.now) {
                for message in board.up.deliver() {
                    self.gateways[name_in(&message)].receive(&message, board.place, self.now, commit_ms);
                }
            }
        }
        for name in 0..2 {
            if self.gateways[name].next_write_at().is_some_and(|at| at <= self.now) {
                self.gateways[name].commit(self.now);
            }
            for (place, message) in std::mem::take(&mut self.gateways[name].sent) {
                self.answer(name, place, &message);
            }
        }
        for index in 0..self.boards.len() {
            if self.boards[index].flash.is_off() {
                self.boards[index].restart(&mut self.dice);
            }
            self.hear_and_say(index);
        }
    }

    /// Over the broker all hear what is said to the name under which they speak.
    fn answer(&mut self, name: usize, place: u32, message: &Message) {
        for board in self.boards.iter_mut().filter(|board| board.place == place) {
            if place == 0 && board.client.name() != NAMES[name] {
                continue;
            }
            self.number += 2;
            board.down.send(message.clone(), self.now, self.number, self.faults, &mut self.dice);
        }
    }

    fn hear_and_say(&mut self, index: usize) {
        let (now, board) = (self.now, &mut self.boards[index]);
        if board.down.next_at().is_some_and(|at| at <= now) {
            for (kind, message) in board.down.deliver() {
                board.client.receive(kind, &message, now);
            }
        }
        while let Some(said) = board.client.poll(now) {
            if said.kind == Kind::Hello {
                board.hellos.push(now);
            }
            let message = (said.kind, said.message.to_vec());
            self.number += 2;
            board.up.send(message, now, self.number, self.faults, &mut self.dice);
        }
    }

    fn advance(&mut self, limit: u64) {
        let mut times = vec![limit];
        for board in &self.boards {
            times.extend([board.up.next_at(), board.down.next_at()].into_iter().flatten());
            times.push(board.client.wake_at().max(self.now + 1));
        }
        times.extend(self.gateways.iter().filter_map(Gateway::next_write_at));
        let next = times.into_iter().min().unwrap_or(limit).min(limit);
        self.now = next.max(self.now + 1);
    }

    fn run(&mut self) {
        let rename_at = if self.dice.percent(50) { self.dice.below(2 * TROUBLE_MS) } else { u64::MAX };
        while self.now < TROUBLE_MS * 2 {
            let until = self.now + self.dice.below(1_500);
            while self.now < until {
                self.turn();
                self.advance(until);
            }
            if self.now >= rename_at && self.boards.iter().all(|board| board.name == 0) {
                self.rename();
            }
            self.act();
        }
        self.faults = Faults::NONE;
        for board in &self.boards {
            board.flash.power();
        }
        while self.boards.iter().any(|board| board.client.queued() > 0)
            || !self.gateways.iter().all(Gateway::is_idle)
        {
            self.turn();
            self.advance(self.now + 1_000);
            assert!(self.now < PATIENCE_MS, "seed {}: it never ends", self.seed);
        }
    }

    fn rename(&mut self) {
        let board = &mut self.boards[self.dice.below(2) as usize];
        board.name = 1;
        (board.up, board.down) = (Line::new(self.serial), Line::new(self.serial));
        board.restart(&mut self.dice);
    }

    fn check(&self) {
        let seed = self.seed;
        let mut counted: BTreeMap<i64, u32> = BTreeMap::new();
        let events = self.gateways.iter().flat_map(|gateway| &gateway.disk.events);
        events.for_each(|number| *counted.entry(*number).or_default() += 1);
        for (number, times) in &counted {
            assert!(*times == 1, "seed {seed}: {number} was counted {times} times");
        }
        for board in &self.boards {
            let lost = board.accepted.iter().find(|number| !counted.contains_key(number));
            assert_eq!(lost, None, "seed {seed}: accepted and not counted");
            for (index, from) in board.hellos.iter().enumerate() {
                let starts = HELLOS_MAX * 3; // devices that are started again and again say hello each time
                let many = board.hellos[index..].iter().take_while(|at| **at < from + 60_000).count();
                assert!(many <= starts, "seed {seed}: {many} hellos in a minute");
            }
        }
    }
}

#[test]
fn two_devices_with_one_name_lose_and_duplicate_nothing() {
    let seeds = std::env::var("BELLWIRE_CLASH_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let (mut events, mut turns, mut renamed) = (0, 0, 0);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        world.run();
        world.check();
        events += world.gateways.iter().map(|gateway| gateway.disk.events.len()).sum::<usize>();
        turns += u64::from(world.gateways[0].turns > 0);
        renamed += u64::from(world.boards.iter().any(|board| board.name == 1));
    }
    println!("{seeds} seeds: {events} events; {turns} clashes were noticed, {renamed} devices renamed");
    assert!(
        events as u64 > seeds * 20 && turns > seeds / 2 && renamed > seeds / 3,
        "the seeds try too little"
    );
}

/// An hour in peace, but for the name.
#[test]
fn a_name_clash_causes_few_writes_and_hellos() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.faults = Faults::NONE;
        while world.now < 3_600_000 {
            let until = world.now + world.dice.below(20_000);
            while world.now < until {
                world.turn();
                world.advance(until);
            }
            let index = world.dice.below(2) as usize;
            world.event(index);
        }
        for board in &world.boards {
            // Each event is written once, and a page is erased for several at a time.
            let for_events = 2 * board.accepted.len() as u32;
            let writes = board.flash.operations().saturating_sub(for_events);
            assert!(writes <= WRITES_MAX, "seed {seed}: {writes} writes in an hour");
            let renumbered = board.client.counters().get(Count::Renumbered);
            assert!(renumbered <= 3, "seed {seed}: {renumbered} times");
            let busiest =
                |from: &u64| board.hellos.iter().filter(|at| (*from..from + 60_000).contains(*at)).count();
            let most = board.hellos.iter().map(busiest).max().unwrap_or(0);
            assert!(most <= 8, "seed {seed}: {most} hellos in a minute");
            assert!(board.hellos.len() < 70, "seed {seed}: {} hellos in an hour", board.hellos.len());
        }
        assert!(world.gateways[0].turns > 10, "seed {seed}: nobody noticed");
        assert!(world.gateways[0].disk.saved.boot < 20, "seed {seed}: {:?}", world.gateways[0].disk.saved);
    }
}

/// A gateway of before knows one position a name and tells everybody the highest number: two devices push each other up.
/// They do so ever more slowly, whatever it says.
#[test]
fn clashing_devices_slow_down_under_an_old_gateway() {
    let flash = [1, 2].map(|seed| Flash::new(6, seed));
    let mut boards: Vec<Client<'_, Store, 320>> = (0..2)
        .map(|seed| start_as(NAMES[0], &flash[seed as usize], Memory::Flash, 1, seed).unwrap())
        .collect();
    let (mut boot, mut hellos) = (0, Vec::new());
    let mut buffer = [0; 64];
    for now in (0..3_600_000).step_by(100) {
        for board in &mut boards {
            if now % 7_000 == 0 {
                board.connected(); // and their MQTT clients have one id, too
            }
            while let Some((kind, message)) = board.poll(now).map(|said| (said.kind, said.message.to_vec())) {
                if kind == Kind::Hello {
                    let hello = Hello::decode(&message).unwrap();
                    hellos.push(now);
                    boot = boot.max(hello.boot) + 1; // as if another one had just said so
                    let (token, counted) = (hello.token, Position::default());
                    let welcome = Welcome { token, boot, counted, unix_ms: unix(now) };
                    board.receive(Kind::Welcome, welcome.encode(&mut buffer).unwrap(), now);
                }
            }
        }
    }
    for (board, flash) in boards.iter().zip(flash) {
        let (writes, renumbered) = (flash.operations(), board.counters().get(Count::Renumbered));
        assert!(
            writes <= WRITES_MAX && renumbered > 20,
            "{writes} writes in an hour, {renumbered} new numbers"
        );
    }
    let busiest = |from: &u64| hellos.iter().filter(|at| (*from..from + 60_000).contains(*at)).count();
    let most = hellos.iter().map(busiest).max().unwrap();
    assert!(most <= 2 * HELLOS_MAX, "{most} hellos of two devices in a minute");
}
