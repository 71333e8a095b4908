//! Devices: performs what `device::fleet` asks for, over serial ports and the broker.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use firmware_bridge::{Kind, Position};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::command::command_state::CommandState;
use crate::contact::severity::Severity;
use crate::device::fleet::{ExchangeEffect, ExchangeInput, Fleet};
use crate::device::record::{DeviceWrite, MISNAMED, Route};
use crate::device::topic;
use crate::event::incoming::Event;
use crate::mqtt::BrokerHandle;
use crate::reply::inbound;
use crate::serial::{PortEvent, PortEvents, Ports};
use crate::task::context::TaskContext;
use crate::task::mqtt_intake::Submitted;
use crate::task::wakeups::{Work, Written};
use crate::task::{deadlines, owner_notice};

/// Inputs taken together, so that their events share a commit: four devices' windows of eight events.
pub const BATCH: usize = 32;
/// Messages from the broker that wait for the fleet. What finds no room the device sends again.
pub const DEVICE_MESSAGES: usize = 256;

/// A device's message that came over the broker.
#[derive(Debug)]
pub struct DeviceMessage {
    device: String,
    kind: Kind,
    message: Bytes,
}

/// The lines that the fleet speaks over.
#[derive(Debug)]
pub struct Transports {
    pub link: BrokerHandle,
    pub ports: Ports,
    pub to_intake: mpsc::Sender<Submitted>,
}

impl DeviceMessage {
    /// `None` for what concerns the rules alone.
    pub fn read(event: &Event) -> Option<Self> {
        let (device, kind) = topic::read(&event.topic)?;
        Some(Self { device: device.to_owned(), kind, message: event.payload.clone() })
    }
}

/// Hands a letter over without waiting: the intake must not wait for the fleet, which waits for it.
pub fn post(context: &TaskContext, fleet: &mpsc::Sender<DeviceMessage>, letter: DeviceMessage) {
    if !topic::LISTENS.contains(&letter.kind) {
        return; // our own, heard back by a rule on `#`
    }
    context.metrics.device_message(&Route::Mqtt, letter.kind.topic_level());
    if fleet.try_send(letter).is_err() {
        context.metrics.device_message(&Route::Mqtt, "no-room");
    }
}

pub async fn run(
    context: Arc<TaskContext>,
    lines: Transports,
    serial: Arc<Mutex<PortEvents>>,
    mut letters: mpsc::Receiver<DeviceMessage>,
) {
    let Some(known) = context.store.durably(crate::store::Store::known_devices).await else { return };
    let wires = context.config.serial.iter().map(|serial| Route::Serial(serial.path.display().to_string()));
    let fleet = Fleet::new(known, wires.collect(), context.machine.now());
    let mut task = FleetTask { context: Arc::clone(&context), lines, fleet, under_way: Vec::new() };
    let mut serial = serial.lock().await;
    // Ports that stayed open while another configuration was taken over.
    for port in serial.open() {
        let is_open = ExchangeInput::Line { route: Route::Serial(port), up: true };
        if task.take(is_open).await.is_none() {
            return; // the disk failed
        }
    }
    loop {
        let pause = context.machine.now().until(task.fleet.wake_at());
        let mut inputs = tokio::select! {
            Some(notice) = serial.recv() => Vec::from_iter(task.understand(notice)),
            Some(letter) = letters.recv() => vec![letter.into()],
            () = context.wakeups.wait(Work::DeviceCommands) => {
                let Some(loaded) = task.load().await else { return };
                vec![loaded]
            }
            () = tokio::time::sleep(pause) => vec![ExchangeInput::Wake],
        };
        while inputs.len() < BATCH {
            if let Some(notice) = serial.try_recv() {
                inputs.extend(task.understand(notice));
            } else if let Ok(letter) = letters.try_recv() {
                inputs.push(letter.into());
            } else {
                break;
            }
        }
        for input in inputs {
            if task.take(input).await.is_none() {
                return; // the disk failed
            }
        }
        if task.settle().await.is_none() {
            return;
        }
    }
}

struct FleetTask {
    context: Arc<TaskContext>,
    lines: Transports,
    fleet: Fleet,
    /// Handed to the intake in this batch.
    under_way: Vec<(String, Position, Route, oneshot::Receiver<()>)>,
}

impl FleetTask {
    async fn take(&mut self, input: ExchangeInput) -> Option<()> {
        let mut effects = VecDeque::from(self.fleet.handle(input, self.context.machine.now()));
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
            self.take(ExchangeInput::Counted { device, at, route, is_followed }).await?;
        }
        Some(())
    }

    async fn perform(&mut self, effect: ExchangeEffect) -> Option<Vec<ExchangeEffect>> {
        match effect {
            ExchangeEffect::Take { device, at, route, event } => {
                let (counted, waiting) = oneshot::channel();
                self.lines.to_intake.send((event, counted)).await.ok()?;
                self.under_way.push((device, at, route, waiting));
            }
            // Written down with it is that it is silent; nobody waits for that.
            ExchangeEffect::Status(event) => {
                self.lines.to_intake.send((event, oneshot::channel().0)).await.ok()?
            }
            ExchangeEffect::Write(write) => return self.write(write).await,
            ExchangeEffect::Send { route, device, kind, message } => {
                self.send(&route, &device, kind, message)
            }
            ExchangeEffect::Load => {
                let loaded = self.load().await?;
                return Some(self.fleet.handle(loaded, self.context.machine.now()));
            }
            ExchangeEffect::Tell { device, text } => self.context.notices.tell_of_device(&device, &text),
            ExchangeEffect::Warn { device, text } => {
                owner_notice::report(&self.context, "devices", vec![text.clone()]).await;
                self.context.notices.tell_of_device(&device, &text);
            }
            ExchangeEffect::Note { device, text } => {
                self.context.notices.tell_of_device(&device, &text);
                let machine = Arc::clone(&self.context.machine);
                let notice = inbound::AccountNotice::of(MISNAMED.to_owned(), Severity::Info, text);
                let keep = move |store: &crate::store::Store| {
                    store.keep_notice(&owner_notice::gateway(), &notice, machine.now()).map(drop)
                };
                self.context.store.durably(keep).await?;
            }
            ExchangeEffect::Ignored { route, why } => self.context.metrics.device_message(&route, why),
        }
        Some(Vec::new())
    }

    async fn write(&mut self, write: DeviceWrite) -> Option<Vec<ExchangeEffect>> {
        if let DeviceWrite::Ended { device, command, ending, .. } = &write {
            self.context.metrics.ended(ending.state);
            tracing::info!(
                device,
                command = command.0,
                state = CommandState::from(ending.state).as_str(),
                reason = ending.reason,
                "a command to a device has an outcome"
            );
        }
        let (row, config) = (write.clone(), self.context.live.get());
        let written = move |store: &crate::store::Store| {
            store.write_device(&row)?;
            match &row {
                DeviceWrite::Ended { command, ending, at, .. } => {
                    deadlines::ended_by_device(store, &config, *command, ending, *at)
                }
                DeviceWrite::Greeted { .. }
                | DeviceWrite::Said { .. }
                | DeviceWrite::UnderWay { .. }
                | DeviceWrite::Clash { .. }
                | DeviceWrite::Forgotten { .. } => Ok(()),
            }
        };
        self.context.store.durably(written).await?;
        self.context.wakeups.after(Written::Message);
        Some(self.fleet.handle(ExchangeInput::Written(write), self.context.machine.now()))
    }

    async fn load(&self) -> Option<ExchangeInput> {
        let now = self.context.machine.now();
        let load = move |store: &crate::store::Store| {
            Ok((store.queued_device_commands(now)?, store.device_wishes()?))
        };
        let (queued, wishes) = self.context.store.durably(load).await?;
        Some(ExchangeInput::Loaded { queued, broker: self.lines.link.is_connected(), wishes })
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
            self.context.metrics.device_message(route, "not-sent");
        }
    }

    fn understand(&self, notice: PortEvent) -> Option<ExchangeInput> {
        let metrics = &self.context.metrics;
        match notice {
            PortEvent::Opened { port } => {
                tracing::info!(port, "a serial port is open");
                metrics.serial_open(&port, true);
                Some(ExchangeInput::Line { route: Route::Serial(port), up: true })
            }
            PortEvent::Gone { port, reason } => {
                tracing::warn!(port, reason, "a serial port is not there; it is tried again until it is");
                metrics.serial_open(&port, false);
                Some(ExchangeInput::Line { route: Route::Serial(port), up: false })
            }
            PortEvent::Frame { port, kind, message } => {
                let route = Route::Serial(port);
                metrics.device_message(&route, kind.topic_level());
                Some(ExchangeInput::Heard { route, device: None, kind, message: Bytes::from(message) })
            }
            PortEvent::Damaged { port } => {
                metrics.device_message(&Route::Serial(port), "damaged");
                None
            }
            PortEvent::Noise { port, baud } => {
                tracing::warn!(
                    port,
                    baud,
                    "bytes come and none of them make a frame: does the device use this baud, and does nothing else \
                     print on its line? are RX and TX crossed and the grounds joined?"
                );
                metrics.device_message(&Route::Serial(port), "noise");
                None
            }
            PortEvent::Unknown { port } => {
                metrics.device_message(&Route::Serial(port), "unknown");
                None
            }
        }
    }
}

impl From<DeviceMessage> for ExchangeInput {
    fn from(letter: DeviceMessage) -> Self {
        let DeviceMessage { device, kind, message } = letter;
        Self::Heard { route: Route::Mqtt, device: Some(device), kind, message }
    }
}
