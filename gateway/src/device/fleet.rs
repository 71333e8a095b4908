//! All devices. One `firmware_bridge::gateway::Link` each decides; this joins them to the disk, the lines and the commands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use firmware_bridge::gateway::{Greeting, Link, NotNow, Verdict};
use firmware_bridge::message::{Ack, CommandResult, Hello};
use firmware_bridge::{FrameError, Kind, Position, VERSION};

pub use crate::device::exchange::{ExchangeEffect, ExchangeInput, NameDecisions};
use crate::device::member::{Allowance, Clash, Member, acknowledge, happened_at, welcome};
use crate::device::names;
use crate::device::order::{CommandEnd, QueuedDeviceCommand, next_number, unix_ms};
use crate::device::record::{DeviceInfo, DeviceRecord, DeviceWrite, Route};
use crate::device::status::{SILENT_AFTER, source};
use crate::device::topic;
use crate::event::incoming::{Event, Identity};
use crate::time::Timestamp;

/// Devices of one gateway. A Pi has a few dozen; a broker that everybody may write to must not fill the memory.
pub const DEVICES_MAX: usize = 1_000;
/// A hello that says nothing new is written down this often: each write costs a card a page and a sync.
const WRITE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Queued commands are looked for this often besides being told of them.
const LOAD_EVERY: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Fleet {
    devices: BTreeMap<String, Member>,
    /// The serial ports of the configuration.
    wires: Vec<Route>,
    open: BTreeSet<Route>,
    approved: BTreeSet<String>,
    misnamed: names::Misnamed,
    load_at: Timestamp,
}

impl Fleet {
    /// As it stands on disk. Nobody is silent before there was time to be heard.
    #[must_use]
    pub fn new(known: Vec<DeviceRecord>, wires: Vec<Route>, now: Timestamp) -> Self {
        let member = |known: DeviceRecord| {
            let (under_way, order) = known.under_way.unzip();
            let member = Member {
                link: Link::new(known.saved, under_way, known.last_number),
                said: known.said,
                route: known.route,
                heard_at: now,
                written_at: known.seen_at,
                silent: known.silent,
                last_number: known.last_number,
                order,
                hellos: Allowance::new(now),
                clash: Clash { seen_at: known.clash_at, told_at: known.clash_at, written_at: known.clash_at },
            };
            (known.device, member)
        };
        let devices = known.into_iter().map(member).collect();
        Self {
            devices,
            wires,
            open: BTreeSet::new(),
            approved: BTreeSet::new(),
            misnamed: names::Misnamed::new(now),
            load_at: now,
        }
    }

    /// When to say `Wake` at the latest.
    #[must_use]
    pub fn wake_at(&self) -> Timestamp {
        let of_device = |member: &Member| {
            let command = member.link.wake_at().map(|at| Timestamp(i64::try_from(at).unwrap_or(i64::MAX)));
            let silence = (!member.silent).then_some(member.heard_at + SILENT_AFTER);
            command.into_iter().chain(silence).min()
        };
        self.devices.values().filter_map(of_device).fold(self.load_at, Timestamp::min)
    }

    pub fn handle(&mut self, input: ExchangeInput, now: Timestamp) -> Vec<ExchangeEffect> {
        let mut effects = Vec::new();
        match input {
            ExchangeInput::Heard { route, device, kind, message } => {
                self.heard(&route, device.as_deref(), kind, message, now, &mut effects);
            }
            ExchangeInput::Line { route, up: true } => {
                self.open.insert(route);
                effects.push(ExchangeEffect::Load);
            }
            ExchangeInput::Line { route, up: false } => drop(self.open.remove(&route)),
            ExchangeInput::Counted { device, at, route, is_followed } => {
                if let Some(member) = self.devices.get_mut(&device) {
                    member.said.queued = member.said.queued.saturating_sub(1); // as on disk
                    let ack = member.link.committed(at);
                    effects.extend(acknowledge(&route, &device, &ack).filter(|_| !is_followed));
                }
            }
            ExchangeInput::Written(write) => self.written(write, now, &mut effects),
            ExchangeInput::Loaded { queued, broker, wishes } => {
                self.approved = wishes.approved;
                for device in wishes.forget {
                    self.forget(device, now, &mut effects);
                }
                self.loaded(queued, broker, now, &mut effects);
            }
            ExchangeInput::Wake => self.wake(now, &mut effects),
        }
        effects
    }

    fn heard(
        &mut self,
        route: &Route,
        named: Option<&str>,
        kind: Kind,
        message: Bytes,
        now: Timestamp,
        effects: &mut Vec<ExchangeEffect>,
    ) {
        let done = match kind {
            Kind::Hello => Hello::decode(&message).map(|hello| {
                if !self.is_refused(named, route, hello.device, now, effects) {
                    self.hello(route, &hello, now, effects);
                }
            }),
            Kind::Event => firmware_bridge::Event::decode(&message).map(|event| {
                if !self.is_refused(named, route, &event.device, now, effects) {
                    self.event(route, &event, message.clone(), now, effects);
                }
            }),
            Kind::Result => CommandResult::decode(&message).map(|result| {
                if !self.is_refused(named, route, result.device, now, effects) {
                    self.result(route, &result, now, effects);
                }
            }),
            Kind::Welcome | Kind::Ack | Kind::Command | Kind::Version => Err(FrameError::Malformed), // an echo
        };
        let why = match done {
            Ok(()) => return,
            Err(FrameError::Version(_)) => {
                let (route, device) = (route.clone(), named.unwrap_or_default().to_owned());
                effects.push(ExchangeEffect::Send {
                    route,
                    device,
                    kind: Kind::Version,
                    message: vec![VERSION],
                });
                "version"
            }
            Err(FrameError::Empty | FrameError::Malformed | FrameError::Full) => "malformed",
        };
        effects.push(ExchangeEffect::Ignored { route: route.clone(), why });
    }

    fn hello(&mut self, route: &Route, hello: &Hello<'_>, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
        if !self.devices.contains_key(hello.device) && !self.has_room(now, effects) {
            effects.push(ExchangeEffect::Ignored { route: route.clone(), why: "too-many-devices" });
            return;
        }
        let device = hello.device.to_owned();
        let said = DeviceInfo::read(hello);
        let place = self.wires.iter().position(|wire| wire == route);
        let place = place.and_then(|index| u32::try_from(index + 1).ok()).unwrap_or(0);
        let new = || Member::new(said.clone(), route.clone(), now);
        let member = self.devices.entry(device.clone()).or_insert_with(new);
        if !member.hellos.take(now) {
            effects.push(ExchangeEffect::Ignored { route: route.clone(), why: "too-often" });
            return;
        }
        let was_silent = member.silent;
        let news = DeviceInfo { queued: member.said.queued, ..said.clone() } != member.said
            || member.route != *route
            || was_silent
            || member.written_at.until(now) >= WRITE_EVERY;
        let before = std::mem::replace(&mut member.said, said.clone());
        member.hear(&device, route, now, effects);
        let greeting = member.link.hello(hello, place, unix_ms(now));
        if member.link.took_turns() {
            names::by_turns(&device, member, now, effects);
        }
        match greeting {
            Greeting::Wait => member.said = before, // not written, so what is new in it is new in the next one, too
            Greeting::Known(answer) => {
                effects.extend(welcome(route, &device, (hello.token, answer), now));
                if news {
                    member.written_at = now;
                    effects.push(ExchangeEffect::Write(DeviceWrite::Said {
                        device,
                        said,
                        route: route.clone(),
                        at: now,
                    }));
                }
                effects.push(ExchangeEffect::Load); // it may be a while since it could take one
            }
            Greeting::Save { saved, gap, answer } => {
                member.written_at = now;
                effects.extend(gap.map(|gap| ExchangeEffect::lost(&device, gap)));
                let (route, token) = (route.clone(), hello.token);
                let write = DeviceWrite::Greeted { device, saved, said, route, token, answer, at: now };
                effects.push(ExchangeEffect::Write(write));
            }
        }
    }

    /// A message that comes over a topic is of the device that the topic names, and a device on a wire is not taken over by what
    /// anybody may say at the broker.
    fn is_refused(
        &mut self,
        named: Option<&str>,
        route: &Route,
        device: &str,
        now: Timestamp,
        effects: &mut Vec<ExchangeEffect>,
    ) -> bool {
        if let Some(topic) = named.filter(|named| *named != device) {
            effects.push(ExchangeEffect::Ignored { route: route.clone(), why: "other-name" });
            self.misnamed.hear(topic, device, now, effects);
            return true;
        }
        let Some(member) = self.devices.get_mut(device) else { return false };
        let is_held = *route == Route::Mqtt && self.wires.contains(&member.route);
        if is_held {
            effects.push(ExchangeEffect::Ignored { route: route.clone(), why: "clash" });
            names::not_on_its_wire(device, member, now, effects);
        }
        is_held
    }

    /// Names that strangers made up must not keep a new device out.
    fn has_room(&mut self, now: Timestamp, effects: &mut Vec<ExchangeEffect>) -> bool {
        if self.devices.len() < DEVICES_MAX {
            return true;
        }
        let worth = |(device, member): (&String, &Member)| {
            names::worth(member, self.approved.contains(device)).map(|worth| (worth, device.clone()))
        };
        match self.devices.iter().filter_map(worth).min() {
            Some((_, least)) => self.forget(least, now, effects),
            None => return false,
        }
        true
    }

    fn forget(&mut self, device: String, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
        self.devices.remove(&device);
        effects.push(ExchangeEffect::Write(DeviceWrite::Forgotten { device, at: now }));
    }

    fn event(
        &mut self,
        route: &Route,
        event: &firmware_bridge::Event,
        payload: Bytes,
        now: Timestamp,
        effects: &mut Vec<ExchangeEffect>,
    ) {
        let device = event.device.as_str().to_owned();
        let Some(member) = self.devices.get_mut(&device) else {
            effects.extend(acknowledge(route, &device, &Ack { counted: Position::default() })); // it shall say hello
            return;
        };
        member.hear(&device, route, now, effects);
        match member.link.event(event.position()) {
            Verdict::Wait => {}
            Verdict::Again(ack) | Verdict::OutOfOrder(ack) => {
                effects.extend(acknowledge(route, &device, &ack));
            }
            Verdict::Take(at) => {
                let event = Event {
                    content_type: Some("application/vnd.postcard".to_owned()),
                    identity: Identity::Counted { device: device.clone(), at },
                    happened_at: happened_at(event, now),
                    ..Event::new(source(route), topic::of(&device, Kind::Event), payload, now)
                };
                effects.push(ExchangeEffect::Take { device, at, route: route.clone(), event });
            }
        }
    }

    fn result(
        &mut self,
        route: &Route,
        result: &CommandResult<'_>,
        now: Timestamp,
        effects: &mut Vec<ExchangeEffect>,
    ) {
        if let Some(member) = self.devices.get_mut(result.device) {
            member.hear(result.device, route, now, effects);
            let step = member.link.result(result);
            effects.extend(step.and_then(|step| member.perform(result.device, step, result.detail, now)));
            // So that people see when it was heard last.
            let (device, said, route) = (result.device.to_owned(), member.said.clone(), route.clone());
            effects.extend(
                step.map(|_| ExchangeEffect::Write(DeviceWrite::Said { device, said, route, at: now })),
            );
        }
    }

    fn written(&mut self, write: DeviceWrite, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
        match write {
            DeviceWrite::Said { .. } | DeviceWrite::Clash { .. } | DeviceWrite::Forgotten { .. } => {}
            DeviceWrite::Greeted { device, saved, token, route, answer, .. } => {
                if let Some(member) = self.devices.get_mut(&device) {
                    member.link.greeted(saved);
                    effects.extend(welcome(&route, &device, (token, answer), now));
                    effects.extend(member.step(&device, now)); // a new start ends what the one before was told
                }
                effects.push(ExchangeEffect::Load);
            }
            DeviceWrite::UnderWay { device, under_way, order, .. } => {
                if let Some(member) = self.devices.get_mut(&device) {
                    member.order = Some(order);
                    member.last_number = under_way.id;
                    member.link.recorded(under_way.id);
                    effects.extend(member.step(&device, now));
                }
            }
            DeviceWrite::Ended { device, number, .. } => {
                if let (Some(member), Some(number)) = (self.devices.get_mut(&device), number) {
                    member.link.settled(number);
                    member.order = None;
                }
                effects.push(ExchangeEffect::Load);
            }
        }
    }

    fn loaded(
        &mut self,
        queued: Vec<QueuedDeviceCommand>,
        broker: bool,
        now: Timestamp,
        effects: &mut Vec<ExchangeEffect>,
    ) {
        self.load_at = now + LOAD_EVERY;
        for QueuedDeviceCommand { device, order, expires_at } in queued {
            let command = order.command;
            let known = self.devices.get_mut(&device);
            let ending = if expires_at <= now {
                Some(CommandEnd::unsent(&device, known.is_some()))
            } else {
                order.flaw()
            };
            if let Some(ending) = ending {
                let write = DeviceWrite::Ended { device, number: None, command, ending, at: now };
                effects.push(ExchangeEffect::Write(write));
                continue;
            }
            self.load_at = self.load_at.min(expires_at);
            let Some(member) = known else { continue };
            let reached = match &member.route {
                Route::Mqtt => broker,
                serial @ Route::Serial(_) => self.open.contains(serial),
            };
            if !reached {
                continue;
            }
            match member.link.begin(next_number(member.last_number, now), unix_ms(expires_at)) {
                Ok(under_way) => {
                    effects.push(ExchangeEffect::Write(DeviceWrite::UnderWay {
                        device,
                        under_way,
                        order,
                        at: now,
                    }));
                }
                Err(NotNow::Unknown | NotNow::Busy | NotNow::OutOfOrder) => {}
            }
        }
    }

    fn wake(&mut self, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
        for (device, member) in &mut self.devices {
            effects.extend(member.step(device, now));
            names::settle(device, member, now, effects);
            if !member.silent && member.heard_at.until(now) >= SILENT_AFTER {
                member.silent = true;
                member.tell_status(device, now, effects);
            }
        }
        if self.load_at <= now {
            self.load_at = now + LOAD_EVERY;
            effects.push(ExchangeEffect::Load);
        }
    }
}
