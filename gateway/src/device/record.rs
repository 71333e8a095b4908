//! What the store keeps of a device, and the writes that the fleet asks for.

use std::fmt;

use firmware_bridge::gateway::{Answer, Saved, UnderWay};
use firmware_bridge::message::Hello;

use crate::device::order::{CommandEnd, DeviceCommand};
use crate::ids::CommandId;
use crate::time::Timestamp;

/// The heading of notices about messages over topics that name another device than they do.
pub const MISNAMED: &str = "device-topic";

/// By which line a device is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Mqtt,
    /// The path of the port.
    Serial(String),
}

/// What a device said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    pub firmware: String,
    /// The commands that it obeys.
    pub commands: Vec<String>,
    /// Events that it keeps.
    pub queued: u32,
    /// Events that it could not take since its start.
    pub refused: u32,
}

/// A device as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    pub device: String,
    pub saved: Saved,
    pub said: DeviceInfo,
    pub route: Route,
    pub seen_at: Timestamp,
    pub silent: bool,
    /// Two devices of this name were heard by turns, last then.
    pub clash_at: Option<Timestamp>,
    /// The highest command number that was ever under way.
    pub last_number: u64,
    pub under_way: Option<(UnderWay, DeviceCommand)>,
}

/// What is to be written about a device; answered with `Written` when it is on disk.
#[expect(clippy::large_enum_variant, reason = "a handful are alive at once, and each goes on at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceWrite {
    /// A hello moved the boot number or the position. Its answer, with this token, waits for the disk.
    Greeted {
        device: String,
        saved: Saved,
        said: DeviceInfo,
        route: Route,
        token: u32,
        answer: Answer,
        at: Timestamp,
    },
    /// A hello said nothing that an answer depends on.
    Said { device: String, said: DeviceInfo, route: Route, at: Timestamp },
    /// The command may be sent once this is on disk.
    UnderWay { device: String, under_way: UnderWay, order: DeviceCommand, at: Timestamp },
    /// A command's outcome. `number`: of the one under way; none if it never was.
    Ended { device: String, number: Option<u64>, command: CommandId, ending: CommandEnd, at: Timestamp },
    /// Two devices of this name are heard by turns; `None`: no longer.
    Clash { device: String, at: Option<Timestamp> },
    /// Somebody, or a newcomer in want of room, wants the name to go.
    Forgotten { device: String, at: Timestamp },
}

impl DeviceInfo {
    #[must_use]
    pub fn read(hello: &Hello<'_>) -> Self {
        Self {
            firmware: hello.firmware.to_owned(),
            commands: hello.commands.iter().map(|name| (*name).to_owned()).collect(),
            queued: hello.queued,
            refused: hello.refused,
        }
    }
}

impl Route {
    /// From the store.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "mqtt" { Self::Mqtt } else { Self::Serial(text.to_owned()) }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mqtt => "mqtt",
            Self::Serial(path) => path,
        })
    }
}
