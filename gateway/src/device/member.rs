//! One device: its link, what it said, the command under way.

use std::time::Duration;

use firmware_bridge::Kind;
use firmware_bridge::gateway::{Answer, Link, Step};
use firmware_bridge::message::Ack;

use crate::device::fleet::Effect;
use crate::device::order::{Ending, Order, unix_ms};
use crate::device::record::{Route, Said, Write};
use crate::device::status;
use crate::time::Timestamp;

#[derive(Debug)]
pub struct Member {
    pub link: Link,
    pub said: Said,
    /// Where it was heard last.
    pub route: Route,
    pub heard_at: Timestamp,
    pub written_at: Timestamp,
    pub silent: bool,
    pub last_number: u64,
    /// The command under way.
    pub order: Option<Order>,
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
    pub fn new(said: Said, route: Route, now: Timestamp) -> Self {
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
    pub fn hear(&mut self, device: &str, route: &Route, now: Timestamp, effects: &mut Vec<Effect>) {
        self.heard_at = now;
        self.route = route.clone();
        if std::mem::take(&mut self.silent) {
            self.tell_status(device, now, effects);
        }
    }

    pub fn tell_status(&self, device: &str, now: Timestamp, effects: &mut Vec<Effect>) {
        let (event, text) = status::of(device, self, now);
        effects.push(Effect::Status(event));
        effects.push(Effect::Tell { device: device.to_owned(), text });
    }

    pub fn step(&mut self, device: &str, now: Timestamp) -> Option<Effect> {
        let step = self.link.step(unix_ms(now))?;
        self.perform(device, step, "", now)
    }

    pub fn perform(&mut self, device: &str, step: Step, detail: &str, now: Timestamp) -> Option<Effect> {
        let order = self.order.as_ref()?;
        Some(match step {
            Step::Send(under_way) => Effect::Send {
                route: self.route.clone(),
                device: device.to_owned(),
                kind: Kind::Command,
                message: order.message(&under_way)?,
            },
            Step::Ended(number, end) => Effect::Write(Write::Ended {
                device: device.to_owned(),
                number: Some(number),
                command: order.command,
                ending: Ending::of(end, detail),
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
) -> Option<Effect> {
    let unix_ms = if now.is_sane() { unix_ms(now) } else { 0 };
    let message = answer.welcome(token, unix_ms).encode(&mut [0; 32]).ok()?.to_vec(); // at most 31 bytes
    Some(Effect::Send { route: route.clone(), device: device.to_owned(), kind: Kind::Welcome, message })
}

pub fn acknowledge(route: &Route, device: &str, ack: &Ack) -> Option<Effect> {
    let message = ack.encode(&mut [0; 16]).ok()?.to_vec(); // version, two numbers of at most 5 bytes
    Some(Effect::Send { route: route.clone(), device: device.to_owned(), kind: Kind::Ack, message })
}
