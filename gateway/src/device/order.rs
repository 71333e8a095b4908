//! Commands to devices: what goes out, its number on the line, and how it ended in words.

use firmware_bridge::gateway::{End, UnderWay};
use firmware_bridge::message::{Command, PAYLOAD_MAX_BYTES, TO_DEVICE_MAX_BYTES};
use firmware_bridge::{NAME_MAX_BYTES, Outcome};

use crate::command::command_state::CommandState;
use crate::ids::CommandId;
use crate::time::Timestamp;

/// What a device shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCommand {
    pub command: CommandId,
    pub name: String,
    pub payload: String,
}

/// An order that nobody was given yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedDeviceCommand {
    pub device: String,
    pub order: DeviceCommand,
    pub expires_at: Timestamp,
}

/// How a command ended, as the store keeps it and people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandEnd {
    pub state: EndState,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndState {
    /// The device says that it did it.
    Done,
    /// The device, or its limits, would not have it.
    Refused,
    /// Nothing was done: it was too late.
    Expired,
    /// It may have been acted on, or not.
    NoAnswer,
}

impl From<EndState> for CommandState {
    fn from(end: EndState) -> Self {
        match end {
            EndState::Done => Self::Done,
            EndState::Refused => Self::Refused,
            EndState::Expired => Self::Expired,
            EndState::NoAnswer => Self::NoAnswer,
        }
    }
}

impl CommandEnd {
    /// `detail` is the device's own.
    #[must_use]
    pub fn of(end: End, detail: &str) -> Self {
        let (state, reason) = match end {
            End::Answered(Outcome::Done) => (EndState::Done, "the device did it"),
            End::Answered(Outcome::Refused) => (EndState::Refused, "the device refused it"),
            End::Answered(Outcome::Expired) => {
                (EndState::Expired, "it reached the device after its time, and nothing was done")
            }
            End::ExpiredUnsent => (EndState::Expired, "its time was over before it was sent"),
            End::NoAnswer => (
                EndState::NoAnswer,
                "it was sent and the device did not answer: it may have been acted on; look at the device",
            ),
            End::Restarted => (
                EndState::NoAnswer,
                "the device started anew before it answered: it may have been acted on; look at the device",
            ),
        };
        let reason =
            if detail.is_empty() { reason.to_owned() } else { format!("{reason}: {}", detail.trim()) };
        Self { state, reason }
    }

    /// It was never under way.
    #[must_use]
    pub fn unsent(device: &str, known: bool) -> Self {
        let reason = if known {
            format!("{device} could not be reached, or was busy, until the command's time was over")
        } else {
            format!("no device {device} has ever said hello; see `bellwire devices list`")
        };
        Self { state: EndState::Expired, reason }
    }
}

impl DeviceCommand {
    /// Why no device could take it: the protocol's bounds.
    #[must_use]
    pub fn flaw(&self) -> Option<CommandEnd> {
        let reason = if self.name.len() > NAME_MAX_BYTES {
            format!("the command's name has more than {NAME_MAX_BYTES} bytes; shorten it in the rule")
        } else if self.payload.len() > PAYLOAD_MAX_BYTES {
            format!("the payload has more than {PAYLOAD_MAX_BYTES} bytes; shorten it in the rule")
        } else {
            return None;
        };
        Some(CommandEnd { state: EndState::Refused, reason })
    }

    /// The message on the line; `None` beyond the bounds that [`flaw`](Self::flaw) names.
    #[must_use]
    pub fn message(&self, under_way: &UnderWay) -> Option<Vec<u8>> {
        let command = Command {
            boot: under_way.boot,
            id: under_way.id,
            expires_at_ms: under_way.expires_at_ms,
            name: &self.name,
            payload: self.payload.as_bytes(),
        };
        command.encode(&mut [0; TO_DEVICE_MAX_BYTES]).ok().map(<[u8]>::to_vec)
    }
}

/// The next command's number: it grows, and it is the time, so that a gateway that lost its database does not begin again
/// at 1. A device would take that for a repetition, and answer it with the result of another command.
#[must_use]
pub fn next_number(last: u64, now: Timestamp) -> u64 {
    last.saturating_add(1).max(unix_ms(now))
}

/// The clock as the protocol tells it.
#[must_use]
pub fn unix_ms(now: Timestamp) -> u64 {
    u64::try_from(now.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_whatever_the_clock_does() {
        assert_eq!(next_number(0, Timestamp(1_790_000_000_000)), 1_790_000_000_000);
        assert_eq!(next_number(1_790_000_000_005, Timestamp(1_790_000_000_000)), 1_790_000_000_006);
        assert_eq!(next_number(7, Timestamp(-5)), 8);
    }

    #[test]
    fn an_order_beyond_the_bounds_says_so() {
        let order = |name: &str, payload: usize| DeviceCommand {
            command: CommandId(1),
            name: name.to_owned(),
            payload: "x".repeat(payload),
        };
        assert_eq!(order("defrost", PAYLOAD_MAX_BYTES).flaw(), None);
        assert!(order("defrost", PAYLOAD_MAX_BYTES + 1).flaw().is_some());
        assert!(order(&"x".repeat(25), 1).flaw().is_some());
    }
}
