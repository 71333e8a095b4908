//! What the fleet is told, and what it asks for.

use std::collections::BTreeSet;

use bytes::Bytes;
use firmware_bridge::gateway::Gap;
use firmware_bridge::{Kind, Position};

use crate::device::order::QueuedDeviceCommand;
use crate::device::record::{DeviceWrite, Route};
use crate::event::incoming::Event;

#[expect(clippy::large_enum_variant, reason = "a handful are alive at once, and each goes on at once")]
#[derive(Debug)]
pub enum ExchangeInput {
    /// A message came in. `device`: by the topic, where there is one.
    Heard {
        route: Route,
        device: Option<String>,
        kind: Kind,
        message: Bytes,
    },
    /// A serial port was opened, or is gone.
    Line {
        route: Route,
        up: bool,
    },
    /// The event that was taken is on disk, and the device's position with it.
    Counted {
        device: String,
        at: Position,
        route: Route,
        /// Another one of the same start is in the same commit: its acknowledgement is for this one too.
        is_followed: bool,
    },
    Written(DeviceWrite),
    /// The store's answer to `Load`, the oldest of each device. `broker`: whether it is connected. `wishes`: what people
    /// want with names.
    Loaded {
        queued: Vec<QueuedDeviceCommand>,
        broker: bool,
        wishes: NameDecisions,
    },
    /// Something may have to be done: a timer, a command that was stored.
    Wake,
}

/// What people said of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameDecisions {
    pub forget: Vec<String>,
    /// These never give way to others.
    pub approved: BTreeSet<String>,
}

#[expect(clippy::large_enum_variant, reason = "a handful are alive at once, and each goes on at once")]
#[derive(Debug, PartialEq)]
pub enum ExchangeEffect {
    /// Hand it to the intake; answered with `Counted`.
    Take {
        device: String,
        at: Position,
        route: Route,
        event: Event,
    },
    Write(DeviceWrite),
    /// It is silent, or heard again: hand it to the intake.
    Status(Event),
    Send {
        route: Route,
        device: String,
        kind: Kind,
        message: Vec<u8>,
    },
    /// Look for queued commands; answered with `Loaded`.
    Load,
    /// What the owner should know.
    Tell {
        device: String,
        text: String,
    },
    /// The same, and it needs somebody to do something.
    Warn {
        device: String,
        text: String,
    },
    /// What stays to be read, and is nothing to wake the owner for.
    Note {
        device: String,
        text: String,
    },
    /// A message led to nothing; the word is for the metrics.
    Ignored {
        route: Route,
        why: &'static str,
    },
}

impl ExchangeEffect {
    /// An acknowledged position that the store has not.
    pub fn lost(device: &str, gap: Gap) -> Self {
        let place = |at: Position| format!("{}/{}", at.boot, at.sequence);
        let text = format!(
            "{device} was told that its events after {} and before {} are on disk, and they are not: was an older database put \
             back?",
            place(gap.after),
            place(gap.before)
        );
        Self::Tell { device: device.to_owned(), text }
    }
}
