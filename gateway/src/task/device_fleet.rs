//! Devices: performs what `device::fleet` asks for, over serial ports and the broker.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use firmware_bridge::{Kind, Position};
use tokio::sync::{mpsc, oneshot};

use crate::device::fleet::{Effect, Fleet, Input};
use crate::device::record::{Route, Write};
use crate::device::topic;
use crate::event::incoming::Event;
use crate::mqtt::Link;
use crate::serial::{Notice, Ports};
use crate::task::context::Shared;
use crate::task::mqtt_intake::Handed;
use crate::task::{deadlines, owner_notice};
use crate::time::{Clock, SystemClock};

/// Inputs taken together, so that their events share a commit: four devices' windows of eight events.
pub const BATCH: usize = 32;
/// Messages from the broker that wait for the fleet. What finds no room the device sends again.
pub const LETTERS: usize = 256;

/// A device's message that came over the broker.
#[derive(Debug)]
pub struct Letter {
    device: String,
    kind: Kind,
    message: Bytes,
}

/// The lines that the fleet speaks over.
#[derive(Debug)]
pub struct Lines {
    pub link: Link,
    pub ports: Ports,
    pub to_intake: mpsc::Sender<Handed>,
}

impl Letter {
    /// `None` for what concerns the rules alone.
    pub fn read(event: &Event) -> Option<Self> {
        let (device, kind) = topic::read(&event.topic)?;
        Some(Self { device: device.to_owned(), kind, message: event.payload.clone() })
    }
}

/// Hands a letter over without waiting: the intake must not wait for the fleet, which waits for it.
pub fn post(shared: &Shared, fleet: &mpsc::Sender<Letter>, letter: Letter) {
    if !topic::LISTENS.contains(&letter.kind) {
        return; // our own, heard back by a rule on `#`
    }
    shared.metrics.device_message(&Route::Mqtt, letter.kind.topic_level());
    if fleet.try_send(letter).is_err() {
        shared.metrics.device_message(&Route::Mqtt, "no-room");
    }
}

pub async fn run(
    shared: Arc<Shared>,
    lines: Lines,
    mut serial: mpsc::Receiver<Notice>,
    mut letters: mpsc::Receiver<Letter>,
) {
    let Some(known) = shared.durably(crate::store::Store::known_devices).await else { return };
    let wires = shared.config.serial.iter().map(|serial| Route::Serial(serial.path.display().to_string()));
    let fleet = Fleet::new(known, wires.collect(), SystemClock.now());
    let mut desk = Desk { shared: Arc::clone(&shared), lines, fleet, under_way: Vec::new() };
    loop {
        let pause = SystemClock.now().until(desk.fleet.wake_at());
        let mut inputs = tokio::select! {
            Some(notice) = serial.recv() => Vec::from_iter(desk.understand(notice)),
            Some(letter) = letters.recv() => vec![letter.into()],
            () = shared.device_commands.notified() => {
                let Some(loaded) = desk.load().await else { return };
                vec![loaded]
            }
            () = tokio::time::sleep(pause) => vec![Input::Wake],
        };
        while inputs.len() < BATCH {
            if let Ok(notice) = serial.try_recv() {
                inputs.extend(desk.understand(notice));
            } else if let Ok(letter) = letters.try_recv() {
                inputs.push(letter.into());
            } else {
                break;
            }
        }
        for input in inputs {
            if desk.take(input).await.is_none() {
                return; // the disk failed
            }
        }
        if desk.settle().await.is_none() {
            return;
        }
    }
}

struct Desk {
    shared: Arc<Shared>,
    lines: Lines,
    fleet: Fleet,
    /// Handed to the intake in this batch.
    under_way: Vec<(String, Position, Route, oneshot::Receiver<()>)>,
}

impl Desk {
    async fn take(&mut self, input: Input) -> Option<()> {
        let mut effects = VecDeque::from(self.fleet.handle(input, SystemClock.now()));
        while let Some(effect) = effects.pop_front() {
            effects.extend(self.perform(effect).await?);
        }
        Some(())
    }

    /// Waits for the commit of this batch's events, then acknowledges them.
    async fn settle(&mut self) -> Option<()> {
        let mut under_way = VecDeque::from(std::mem::take(&mut self.under_way));
        while let Some((device, at, route, counted)) = under_way.pop_front() {
            counted.await.ok()?;
            let follows = |(name, next, by, _): &(String, Position, Route, _)| {
                (name, next.boot, by) == (&device, at.boot, &route)
            };
            let is_followed = under_way.iter().any(follows);
            self.take(Input::Counted { device, at, route, is_followed }).await?;
        }
        Some(())
    }

    async fn perform(&mut self, effect: Effect) -> Option<Vec<Effect>> {
        match effect {
            Effect::Take { device, at, route, event } => {
                let (counted, waiting) = oneshot::channel();
                self.lines.to_intake.send((event, counted)).await.ok()?;
                self.under_way.push((device, at, route, waiting));
            }
            // Written down with it is that it is silent; nobody waits for that.
            Effect::Status(event) => self.lines.to_intake.send((event, oneshot::channel().0)).await.ok()?,
            Effect::Write(write) => return self.write(write).await,
            Effect::Send { route, device, kind, message } => self.send(&route, &device, kind, message),
            Effect::Load => {
                let loaded = self.load().await?;
                return Some(self.fleet.handle(loaded, SystemClock.now()));
            }
            Effect::Tell { device, text } => self.shared.tell_of_device(&device, &text),
            Effect::Warn { device, text } => {
                self.shared.tell_of_device(&device, &text);
                owner_notice::report(&self.shared, "devices", vec![text]).await;
            }
            Effect::Ignored { route, why } => self.shared.metrics.device_message(&route, why),
        }
        Some(Vec::new())
    }

    async fn write(&mut self, write: Write) -> Option<Vec<Effect>> {
        if let Write::Ended { device, command, ending, .. } = &write {
            self.shared.metrics.ended(ending.state);
            tracing::info!(
                device,
                command = command.0,
                state = ending.state.as_str(),
                reason = ending.reason,
                "a command to a device has an outcome"
            );
        }
        let (row, config) = (write.clone(), self.shared.live());
        let written = move |store: &crate::store::Store| {
            store.write_device(&row)?;
            match &row {
                Write::Ended { command, ending, at, .. } => {
                    deadlines::ended_by_device(store, &config, *command, ending, *at)
                }
                Write::Greeted { .. }
                | Write::Said { .. }
                | Write::UnderWay { .. }
                | Write::Clash { .. }
                | Write::Forgotten { .. } => Ok(()),
            }
        };
        self.shared.durably(written).await?;
        self.shared.outbox.notify_one();
        Some(self.fleet.handle(Input::Written(write), SystemClock.now()))
    }

    async fn load(&self) -> Option<Input> {
        let now = SystemClock.now();
        let load = move |store: &crate::store::Store| {
            Ok((store.queued_device_commands(now)?, store.device_wishes()?))
        };
        let (queued, wishes) = self.shared.durably(load).await?;
        Some(Input::Loaded { queued, broker: self.lines.link.is_connected(), wishes })
    }

    /// What finds no room or no line is asked for again, or sent again.
    fn send(&self, route: &Route, device: &str, kind: Kind, message: Vec<u8>) {
        let sent = match route {
            Route::Mqtt if kind == Kind::Ack => {
                self.lines.link.say_at_most_once(&topic::of(device, kind), Bytes::from(message))
            }
            Route::Mqtt => self.lines.link.say(&topic::of(device, kind), Bytes::from(message)),
            Route::Serial(port) => self.lines.ports.send(port, kind, &message),
        };
        if !sent {
            self.shared.metrics.device_message(route, "not-sent");
        }
    }

    fn understand(&self, notice: Notice) -> Option<Input> {
        let metrics = &self.shared.metrics;
        match notice {
            Notice::Opened { port } => {
                tracing::info!(port, "a serial port is open");
                metrics.serial_open(&port, true);
                Some(Input::Line { route: Route::Serial(port), up: true })
            }
            Notice::Gone { port, reason } => {
                tracing::warn!(port, reason, "a serial port is not there; it is tried again until it is");
                metrics.serial_open(&port, false);
                Some(Input::Line { route: Route::Serial(port), up: false })
            }
            Notice::Frame { port, kind, message } => {
                let route = Route::Serial(port);
                metrics.device_message(&route, kind.topic_level());
                Some(Input::Heard { route, device: None, kind, message: Bytes::from(message) })
            }
            Notice::Damaged { port } => {
                metrics.device_message(&Route::Serial(port), "damaged");
                None
            }
            Notice::Noise { port, baud } => {
                tracing::warn!(
                    port,
                    baud,
                    "bytes come and none of them make a frame: does the device use this baud, and does nothing else \
                     print on its line? are RX and TX crossed and the grounds joined?"
                );
                metrics.device_message(&Route::Serial(port), "noise");
                None
            }
            Notice::Unknown { port } => {
                metrics.device_message(&Route::Serial(port), "unknown");
                None
            }
        }
    }
}

impl From<Letter> for Input {
    fn from(letter: Letter) -> Self {
        let Letter { device, kind, message } = letter;
        Self::Heard { route: Route::Mqtt, device: Some(device), kind, message }
    }
}
