//! What the two sides say to each other. `docs/device-protocol.md` is the same in prose, with the bytes.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::event::{
    self, DEVICE_MAX_BYTES, FrameError, NAME_MAX_BYTES, Possible, TEXT_MAX_BYTES, length_of, length_of_bytes,
};
use crate::position::{BOOT_MAX, Position};

/// Commands that a hello can name; more than eight buttons fit no WhatsApp message (its list has ten rows).
pub const COMMANDS_MAX: usize = 8;
/// A command's payload: a small JSON object.
pub const PAYLOAD_MAX_BYTES: usize = 128;
/// The longest message to a device, a command: version 1, boot 5, id 10, expiry 10, name 1 + 24, payload 2 + 128.
pub const TO_DEVICE_MAX_BYTES: usize = 181;
/// The longest result: version 1, device 33, boot 5, id 10, outcome 1, detail 65.
pub const RESULT_MAX_BYTES: usize = 115;
/// The longest message to the gateway, an event: version 1, device 33, boot 5, sequence 5, count 1, and 12 fields of
/// 25 for the name and 66 for the value.
pub const TO_GATEWAY_MAX_BYTES: usize = 1137;

/// Which message it is: the first byte of a serial frame, or the last level of an MQTT topic. Append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hello,
    Event,
    Result,
    Welcome,
    Ack,
    Command,
    /// The gateway does not read the device's version. Its payload is one byte, the version that it reads, for ever.
    Version,
}

impl Kind {
    pub const ALL: [Self; 7] =
        [Self::Hello, Self::Event, Self::Result, Self::Welcome, Self::Ack, Self::Command, Self::Version];
    /// What a device listens to.
    pub const TO_DEVICE: [Self; 4] = [Self::Welcome, Self::Ack, Self::Command, Self::Version];

    /// Below 0x80 to the gateway, from 0x80 to the device.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Hello => 0x01,
            Self::Event => 0x02,
            Self::Result => 0x03,
            Self::Welcome => 0x81,
            Self::Ack => 0x82,
            Self::Command => 0x83,
            Self::Version => 0x8f,
        }
    }

    #[must_use]
    pub const fn topic_level(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Event => "event",
            Self::Result => "result",
            Self::Welcome => "welcome",
            Self::Ack => "ack",
            Self::Command => "command",
            Self::Version => "version",
        }
    }

    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    #[must_use]
    pub fn from_topic_level(level: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.topic_level() == level)
    }
}

/// A device says who it is: at its start until it is welcomed, then every minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    pub device: &'a str,
    /// 0: the device does not know its boot number yet, and takes one above the welcome's.
    pub boot: u32,
    /// Comes back in the welcome, so that a late welcome is not taken for this one's.
    pub token: u32,
    /// The oldest event that the device still keeps; 0 and 0 without one.
    pub oldest: Position,
    /// Events that the device keeps.
    pub queued: u32,
    /// Events that the device could not take since its start, for want of room or by a fault of its storage.
    pub refused: u32,
    /// What runs on it, such as `freezer 1.4`.
    pub firmware: &'a str,
    /// The names of the commands that it obeys.
    #[serde(borrow)]
    pub commands: Vec<&'a str, COMMANDS_MAX>,
}

/// The gateway knows the device, and says what it has and what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub token: u32,
    /// The highest boot number that the gateway has seen from a device of this name.
    pub boot: u32,
    /// Everything up to here is on the gateway's disk.
    pub counted: Position,
    /// Milliseconds since 1970 in UTC, when the welcome was written; 0 if the gateway does not know the time.
    pub unix_ms: u64,
}

/// Everything up to here is on the gateway's disk. 0 and 0: the gateway does not know the device, it shall say hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub counted: Position,
}

/// Something that the device shall do, once, before it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command<'a> {
    /// Only the start of the device with this boot number may act on it.
    pub boot: u32,
    /// 1 or more; grows from command to command of a device.
    pub id: u64,
    /// Milliseconds since 1970 in UTC, by the gateway's clock. At this time it is too late.
    pub expires_at_ms: u64,
    pub name: &'a str,
    pub payload: &'a [u8],
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult<'a> {
    pub device: &'a str,
    pub boot: u32,
    pub id: u64,
    pub outcome: Outcome,
    /// A few words for people, such as `door is blocked`; may be empty.
    pub detail: &'a str,
}

/// Append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    /// The device would not or could not.
    Refused,
    /// It came too late, nothing was done.
    Expired,
}

impl<'a> Hello<'a> {
    /// Writes the message into `buffer` and returns the part that was used.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
        event::encode(self, buffer)
    }

    /// Reads a message. Names beyond their bounds are an error, and so is an oldest event that cannot be.
    pub fn decode(message: &'a [u8]) -> Result<Self, FrameError> {
        event::decode(message)
    }
}

impl Possible for Hello<'_> {
    /// A device keeps events of its own starts alone, and none before it knows its boot number.
    fn is_possible(&self) -> bool {
        let short = |name: &&str| name.len() <= NAME_MAX_BYTES;
        let oldest = self.oldest == Position::default()
            || (self.oldest.sequence > 0 && (1..=self.boot).contains(&self.oldest.boot));
        let named = is_device(self.device) && short(&self.firmware) && self.commands.iter().all(short);
        named && oldest && self.boot <= BOOT_MAX
    }

    fn length(&self) -> usize {
        let numbers = [self.boot, self.token, self.queued, self.refused];
        length_of_bytes(self.device.len())
            + numbers.into_iter().map(|number| length_of(number.into())).sum::<usize>()
            + self.oldest.length()
            + length_of_bytes(self.firmware.len())
            + 1
            + self.commands.iter().map(|name| length_of_bytes(name.len())).sum::<usize>()
    }
}

impl Welcome {
    /// Writes the message into `buffer` and returns the part that was used.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
        event::encode(self, buffer)
    }

    /// Reads a message. A position beyond the boot number is an error.
    pub fn decode(message: &[u8]) -> Result<Self, FrameError> {
        event::decode(message)
    }
}

impl Possible for Welcome {
    fn is_possible(&self) -> bool {
        self.counted.is_possible() && self.counted.boot <= self.boot && self.boot <= BOOT_MAX
    }

    fn length(&self) -> usize {
        length_of(self.token.into())
            + length_of(self.boot.into())
            + self.counted.length()
            + length_of(self.unix_ms)
    }
}

impl Ack {
    /// Writes the message into `buffer` and returns the part that was used.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
        event::encode(self, buffer)
    }

    /// Reads a message.
    pub fn decode(message: &[u8]) -> Result<Self, FrameError> {
        event::decode(message)
    }
}

impl Possible for Ack {
    fn is_possible(&self) -> bool {
        self.counted.is_possible()
    }

    fn length(&self) -> usize {
        self.counted.length()
    }
}

impl<'a> Command<'a> {
    /// Writes the message into `buffer` and returns the part that was used. A name or payload beyond its bound is
    /// [`FrameError::Full`]: no device could take it.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
        if self.is_bounded() { event::encode(self, buffer) } else { Err(FrameError::Full) }
    }

    /// Reads a message. A name or payload beyond its bound is an error.
    pub fn decode(message: &'a [u8]) -> Result<Self, FrameError> {
        event::decode(message)
    }

    fn is_bounded(&self) -> bool {
        self.name.len() <= NAME_MAX_BYTES && self.payload.len() <= PAYLOAD_MAX_BYTES
    }
}

impl Possible for Command<'_> {
    fn is_possible(&self) -> bool {
        self.is_bounded() && !self.name.is_empty() && self.id > 0 && (1..=BOOT_MAX).contains(&self.boot)
    }

    fn length(&self) -> usize {
        length_of(self.boot.into())
            + length_of(self.id)
            + length_of(self.expires_at_ms)
            + length_of_bytes(self.name.len())
            + length_of_bytes(self.payload.len())
    }
}

impl<'a> CommandResult<'a> {
    /// Writes the message into `buffer` and returns the part that was used.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
        event::encode(self, buffer)
    }

    /// Reads a message. A device or detail beyond its bound is an error.
    pub fn decode(message: &'a [u8]) -> Result<Self, FrameError> {
        event::decode(message)
    }
}

impl Possible for CommandResult<'_> {
    fn is_possible(&self) -> bool {
        let bounded = is_device(self.device) && self.detail.len() <= TEXT_MAX_BYTES;
        bounded && self.id > 0 && (1..=BOOT_MAX).contains(&self.boot)
    }

    fn length(&self) -> usize {
        length_of_bytes(self.device.len())
            + length_of(self.boot.into())
            + length_of(self.id)
            + 1
            + length_of_bytes(self.detail.len())
    }
}

/// A device id stands in a topic: no level separator, no wildcard, no space, no control character.
pub(crate) fn is_device(name: &str) -> bool {
    (1..=DEVICE_MAX_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'+' | b'#'))
}
