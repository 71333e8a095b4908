//! One device: its link, what it said, the command under way.

use std::time::Duration;

use firmware_bridge::gateway::{Answer, Link, Step};
use firmware_bridge::message::Ack;
use firmware_bridge::{Kind, Value};

use crate::device::exchange::ExchangeEffect;
use crate::device::order::{CommandEnd, DeviceCommand, unix_ms};
use crate::device::record::{DeviceInfo, DeviceWrite, Route};
use crate::device::status;
use crate::time::Timestamp;

#[derive(Debug)]
pub struct Member {
    pub link: Link,
    pub said: DeviceInfo,
    /// Where it was heard last.
    pub route: Route,
    pub heard_at: Timestamp,
    pub written_at: Timestamp,
    pub silent: bool,
    pub last_number: u64,
    /// The command under way.
    pub order: Option<DeviceCommand>,
    /// Hellos that may still be answered.
    pub hellos: Allowance,
    pub clash: Clash,
}

/// Two devices with one name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clash {
    /// When they were last heard by turns.
    pub seen_at: Option<Timestamp>,
    pub told_at: Option<Timestamp>,
    pub written_at: Option<Timestamp>,
}

/// So often may something be done, and again so much later.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    left: u32,
    since: Timestamp,
}

/// A device that starts, is renumbered and loses its line a few times says about ten hellos in a minute.
const HELLOS_AT_ONCE: u32 = 20;
/// One more each. What is not answered is said again, ever more seldom.
const HELLO_AGAIN: Duration = Duration::from_secs(5);

impl Allowance {
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { left: HELLOS_AT_ONCE, since: now }
    }

    /// `false`: it was too often.
    pub fn take(&mut self, now: Timestamp) -> bool {
        while self.left < HELLOS_AT_ONCE && self.since.until(now) >= HELLO_AGAIN {
            (self.left, self.since) = (self.left + 1, self.since + HELLO_AGAIN);
        }
        if self.left == HELLOS_AT_ONCE || now < self.since {
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl Member {
    pub fn new(said: DeviceInfo, route: Route, now: Timestamp) -> Self {
        let never = Timestamp(0);
        Self {
            link: Link::default(),
            said,
            route,
            heard_at: never,
            written_at: never,
            silent: false,
            last_number: 0,
            order: None,
            hellos: Allowance::new(now),
            clash: Clash::default(),
        }
    }

    /// It said something on this line.
    pub fn hear(&mut self, device: &str, route: &Route, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
        self.heard_at = now;
        self.route = route.clone();
        if std::mem::take(&mut self.silent) {
            self.tell_status(device, now, effects);
        }
    }

    pub fn tell_status(&self, device: &str, now: Timestamp, effects: &mut Vec<ExchangeEffect>) {
        let (event, text) = status::of(device, self, now);
        effects.push(ExchangeEffect::Status(event));
        effects.push(ExchangeEffect::Tell { device: device.to_owned(), text });
    }

    pub fn step(&mut self, device: &str, now: Timestamp) -> Option<ExchangeEffect> {
        let step = self.link.step(unix_ms(now))?;
        self.perform(device, step, "", now)
    }

    pub fn perform(
        &mut self,
        device: &str,
        step: Step,
        detail: &str,
        now: Timestamp,
    ) -> Option<ExchangeEffect> {
        let order = self.order.as_ref()?;
        Some(match step {
            Step::Send(under_way) => ExchangeEffect::Send {
                route: self.route.clone(),
                device: device.to_owned(),
                kind: Kind::Command,
                message: order.message(&under_way)?,
            },
            Step::Ended(number, end) => ExchangeEffect::Write(DeviceWrite::Ended {
                device: device.to_owned(),
                number: Some(number),
                command: order.command,
                ending: CommandEnd::of(end, detail),
                at: now,
            }),
        })
    }
}

/// A clock that was not set since the machine booted is no time for a device to go by.
pub fn welcome(
    route: &Route,
    device: &str,
    (token, answer): (u32, Answer),
    now: Timestamp,
) -> Option<ExchangeEffect> {
    let unix_ms = if now.is_sane() { unix_ms(now) } else { 0 };
    let message = answer.welcome(token, unix_ms).encode(&mut [0; 32]).ok()?.to_vec(); // at most 31 bytes
    Some(ExchangeEffect::Send {
        route: route.clone(),
        device: device.to_owned(),
        kind: Kind::Welcome,
        message,
    })
}

pub fn acknowledge(route: &Route, device: &str, ack: &Ack) -> Option<ExchangeEffect> {
    let message = ack.encode(&mut [0; 16]).ok()?.to_vec(); // version, two numbers of at most 5 bytes
    Some(ExchangeEffect::Send { route: route.clone(), device: device.to_owned(), kind: Kind::Ack, message })
}

/// A device's clock may be so far ahead of ours. Beyond it one of the two is wrong, and the event counts from when it came:
/// it is not refused, since the wrong one may be ours (a Pi without a clock, before it asked for the time).
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// The field `at_ms` (protocol, section 2). A clock that was never set says nothing.
pub fn happened_at(event: &firmware_bridge::Event, now: Timestamp) -> Option<Timestamp> {
    let field = event.fields.iter().find(|field| field.name == "at_ms")?;
    match field.value {
        Value::Integer(at) if Timestamp(at) > now + AHEAD_MAX => None,
        Value::Integer(at) => Some(Timestamp(at).min(now)).filter(|at| at.is_sane()),
        Value::Bool(_) | Value::Float(_) | Value::Text(_) => None,
    }
}
