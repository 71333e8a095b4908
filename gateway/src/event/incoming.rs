//! What came in, before anything is decided.

use std::time::Duration;

use bytes::Bytes;
use firmware_bridge::Position;
use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::time::Timestamp;
use crate::words::word_enum;

/// One MQTT publish, serial frame or local HTTP post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub source: EventSource,
    pub topic: String,
    pub payload: Bytes,
    /// MQTT 5 content type, for example `application/json`; chooses the decoder.
    pub content_type: Option<String>,
    /// What makes two deliveries the same event.
    pub identity: Identity,
    /// Sent because we subscribed, not because it happened now: state, not an event (promise P6).
    pub retained: bool,
    /// MQTT 5 message expiry, in seconds after `received_at`.
    pub expires_in_s: Option<u32>,
    pub received_at: Timestamp,
    /// When it happened, by a device that kept it for a while and knows the time.
    pub happened_at: Option<Timestamp>,
}

word_enum! {
    /// By which door an event came.
    EventSource {
        Mqtt = "mqtt",
        Serial = "serial",
        Http = "http",
        Cli = "cli",
        /// The gateway itself.
        Own = "own",
    }
}

/// How a repetition is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The sender named it: CloudEvents' `source` and `id` together, or the key of a local HTTP post.
    Named(String),
    /// QoS 1: the packet identifier, and whether the broker says that it may have sent this before. A redelivery
    /// carries the same packet identifier as the first delivery (MQTT 5, 4.4; 3.1.1, 4.4).
    Packet { id: u16, redelivered: bool },
    /// The device counts its events, and the fleet lets each through once: it moves the device's position in the same
    /// transaction.
    Counted { device: String, at: Position },
    /// Whether the device is heard: its row says so in the same transaction, and each change is told once.
    Status { device: String, silent: bool },
    /// QoS 0: no promise, no repetition.
    None,
}

/// Events that a broker may send before it has an acknowledgement: one group commit's worth in a flood. After a lost connection it
/// may send all of them again.
pub const UNACKNOWLEDGED_MAX: u16 = 256;

/// How long an event is remembered, so that its repetition is known: for as long as a broker keeps our session it may send
/// again what we had and could not acknowledge, named or not.
pub const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Whether what came at `at` is remembered. What came before the clock was set (no RTC on a Pi) may have come at any time.
#[must_use]
pub fn is_remembered(at: Timestamp, window: Duration, now: Timestamp) -> bool {
    at.until(now) < window || at.is_sane() != now.is_sane()
}

impl Event {
    /// One that says nothing else.
    pub fn new(
        source: EventSource,
        topic: impl Into<String>,
        payload: impl Into<Bytes>,
        received_at: Timestamp,
    ) -> Self {
        Self {
            source,
            topic: topic.into(),
            payload: payload.into(),
            content_type: None,
            identity: Identity::None,
            retained: false,
            expires_in_s: None,
            received_at,
            happened_at: None,
        }
    }

    /// What a message says, and what its age is counted from (promise P9).
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.happened_at.unwrap_or(self.received_at)
    }

    /// How a second delivery of this event is recognised (docs/reliability.md F19, F29): by its sender's own name for it if it has one,
    /// always; else by packet identifier, topic and payload together, and only when the broker itself says that it is
    /// sending again, so that a sensor that honestly repeats a reading is heard each time.
    #[must_use]
    pub fn repetition(&self) -> (Option<String>, bool) {
        match &self.identity {
            Identity::Named(name) => (Some(format!("id {}", hash(&self.topic, name.as_bytes()))), true),
            Identity::Packet { id, redelivered } => {
                (Some(format!("packet {id} {}", hash(&self.topic, &self.payload))), *redelivered)
            }
            Identity::Counted { device, at } => {
                (Some(format!("device {device} {}/{}", at.boot, at.sequence)), false)
            }
            Identity::Status { .. } | Identity::None => (None, false),
        }
    }
}

/// 16 digits, however long both are.
fn hash(topic: &str, rest: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(topic.as_bytes());
    hash.update([0]);
    hash.update(rest);
    hex(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_source_has_its_word() {
        let doors =
            [EventSource::Mqtt, EventSource::Serial, EventSource::Http, EventSource::Cli, EventSource::Own];
        assert_eq!(doors.map(EventSource::as_str), ["mqtt", "serial", "http", "cli", "own"]);
    }
}
