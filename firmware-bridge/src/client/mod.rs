//! The device's half: a state machine without input, output or clock. Bytes, messages and the time are handed in; what is
//! to be sent is asked for.
//!
//! - `send.rs`: what a device says. `take.rs`: what it makes of what the gateway says. `name.rs`: under which name.

mod name;
mod send;
mod take;

pub use name::OLD_HELLOS_MAX;

use heapless::Vec;

use crate::clock::{Clock, MOMENT_BYTES, Millis, Retry};
use crate::count::{Count, Counters};
use crate::event::{AT, DEVICE_MAX_BYTES, Field, FrameError, NAME_MAX_BYTES, Value, are_possible};
use crate::frame::crc32_of;
use crate::message::{self, Ack, Command, Hello, Kind, Outcome, Welcome};
use crate::orders::Orders;
use crate::position::{BOOT_MAX, Position};
use crate::queue::{Queue, QueueError};

/// Who the device is. The texts are bounded by [`DEVICE_MAX_BYTES`] and [`NAME_MAX_BYTES`].
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// Visible ASCII without `/`, `+` and `#`, as it stands in a topic; one of its kind at a gateway.
    pub id: &'a str,
    /// What runs on it, such as `freezer 1.4`.
    pub firmware: &'a str,
    /// The commands that it obeys, at most [`COMMANDS_MAX`](message::COMMANDS_MAX).
    pub commands: &'a [&'a str],
    /// Another number at each start, from a hardware random source if there is one. It tells this start's hellos from
    /// those of the start before, and spreads the retries of many devices. See [`Client::with_unique_id`], too.
    pub seed: u32,
}

/// Why a client cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupError {
    /// The id is empty, too long, or has a character that no topic level may have.
    Id,
    /// The firmware's name or a command's is too long, or there are too many commands.
    Name,
    /// The hello or a result does not fit the client's buffer.
    Buffer,
}

/// Why an event was not accepted. It is counted; nothing else happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The queue is full: the gateway has not acknowledged for a while. Try again, or leave the event out.
    Full,
    /// The event never fits: more than [`FIELDS_MAX`](crate::FIELDS_MAX) fields, or larger than the buffer or the queue.
    TooLarge,
    /// The gateway would refuse it ([`are_possible`]): a name that is empty, reserved (`device`, `boot`, `sequence`) or
    /// there twice, a float that is not finite, an `at_ms` that is negative or [in the future](AHEAD_MAX_MS).
    Malformed,
    /// The storage failed.
    Storage,
}

/// A message for the gateway: over serial as a frame, over MQTT to the topic of its kind. When it is lost, it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'c> {
    pub kind: Kind,
    /// The device in the topic: [`Client::name`].
    pub name: &'c str,
    pub message: &'c [u8],
}

/// Events under way at once. Over MQTT with a round trip of 100 ms this carries 80 events a second.
pub const WINDOW: usize = 8;
/// A hello is the heartbeat; an absence shows after a few of them.
pub const HELLO_EVERY_MS: u64 = 60_000;
/// What the client needs before an event's fields: version 1, device 33, boot 5, sequence 5.
pub const HEADER_MAX_BYTES: usize = 12 + DEVICE_MAX_BYTES;
/// What the client needs after them for the time: name 1 + 5, type 1, value 10.
pub const AT_MAX_BYTES: usize = 17;
/// The upper half of a token is the device's, the lower half counts its hellos.
const DEVICE_BITS: u32 = 0xffff_0000;
/// Reconnections that each bring a hello at once, in a minute. Two MQTT clients with one id push each other off a broker
/// several times a second.
pub const REJOINS_MAX: u8 = 3;
/// The pause between two hellos after that.
pub const REJOIN_PAUSE_MS: u64 = 5_000;
/// An application's own clock may be so far ahead of the gateway's; an `at_ms` beyond it is refused.
pub const AHEAD_MAX_MS: u64 = 60_000;

/// `BUFFER`: the longest message that the device sends; at least its hello, a result
/// ([`RESULT_MAX_BYTES`](message::RESULT_MAX_BYTES)), and [`HEADER_MAX_BYTES`] and [`AT_MAX_BYTES`] more than the fields of its longest event. 256 is enough for most. Firmware that takes over a queue in flash takes over
/// this number too, or a larger one: an event that does not fit it stays in the queue.
#[derive(Debug)]
pub struct Client<'a, Q, const BUFFER: usize> {
    device: Device<'a>,
    queue: Q,
    counters: Counters,
    /// The last one given to an event of this start.
    sequence: u32,
    /// What the gateway has, as far as we know.
    counted: Position,
    welcomed: bool,
    was_welcomed: bool,
    /// Hellos under the name before, since the last one that was answered.
    old_hellos: u8,
    /// The last hello's, and when it was said, until it is answered.
    token: u32,
    asked_at: Option<Millis>,
    hello: Retry,
    /// A lost connection may bring the next hello forward to here, and this often to now.
    again_from: Millis,
    rejoins: u8,
    /// When a new boot number may be said, and the one after it.
    renumber_from: Millis,
    renumber: Retry,
    /// The highest position that this start has sent: nothing above it is let go of, whatever the gateway says.
    reach: Position,
    /// Events from the front of the queue that are under way, the last of them, and how many of them went out before.
    sent: usize,
    last_sent: Position,
    repeated_below: usize,
    /// There may be an event to be sent before `events.due`.
    more: bool,
    events: Retry,
    clock: Option<Clock>,
    orders: Orders,
    dice: u32,
    buffer: [u8; BUFFER],
}

impl<'a, Q: Queue, const BUFFER: usize> Client<'a, Q, BUFFER> {
    /// A device that just started. It says hello at the next [`poll`](Self::poll).
    pub fn new(device: Device<'a>, queue: Q) -> Result<Self, SetupError> {
        if !message::is_device(device.id) {
            return Err(SetupError::Id);
        }
        let short = |name: &str| name.len() <= NAME_MAX_BYTES;
        if !short(device.firmware) || !device.commands.iter().all(|name| short(name)) {
            return Err(SetupError::Name);
        }
        let mut client = Self {
            device,
            queue,
            counters: Counters::default(),
            sequence: 0,
            counted: Position::default(),
            welcomed: false,
            was_welcomed: false,
            old_hellos: 0,
            token: device.seed,
            asked_at: None,
            hello: Retry::default(),
            again_from: 0,
            rejoins: 0,
            renumber_from: 0,
            renumber: Retry::default(),
            reach: Position::default(),
            sent: 0,
            last_sent: Position::default(),
            repeated_below: 0,
            more: false,
            events: Retry::default(),
            clock: None,
            orders: Orders::default(),
            dice: device.seed,
            buffer: [0; BUFFER],
        };
        client.settle_name(0);
        if client.has_room()? { Ok(client) } else { Err(SetupError::Buffer) }
    }

    /// Whether the buffer holds the longest hello, under either name, and a result.
    fn has_room(&mut self) -> Result<bool, SetupError> {
        let mut hello = Hello {
            device: self.device.id,
            token: u32::MAX,
            boot: u32::MAX, // longer than any that there is
            oldest: Position { boot: u32::MAX, sequence: u32::MAX },
            queued: u32::MAX,
            refused: u32::MAX,
            firmware: self.device.firmware,
            commands: Vec::from_slice(self.device.commands).map_err(|_| SetupError::Name)?,
        };
        let has_room = hello.encode(&mut self.buffer).is_ok() && BUFFER >= message::RESULT_MAX_BYTES;
        hello.device = name::name_of(&self.queue, &self.device);
        Ok(has_room && hello.encode(&mut self.buffer).is_ok())
    }

    /// For a device with a number that no other has: its MAC address, its chip's id. By it the gateway knows a device again
    /// over its starts, and tells two boards apart that were given one name.
    #[must_use]
    pub fn with_unique_id(mut self, id: &[u8]) -> Self {
        self.token = (crc32_of(&[id]) & DEVICE_BITS) | (self.token & !DEVICE_BITS);
        self
    }

    /// Accepts an event: from when this returns a number it is counted once at the gateway, however often the line fails.
    /// With a queue in flash, also when the power does. The number is the event's sequence in this start.
    ///
    /// When it is sent, a field `at_ms` says when this was (milliseconds since 1970), unless there is such a field already,
    /// or [`FIELDS_MAX`](crate::FIELDS_MAX) of others, or the power went before this start knew the time.
    pub fn event(&mut self, fields: &[Field], now: Millis) -> Result<u32, Refusal> {
        let possible = are_possible(fields) && !self.is_ahead(fields, now);
        let encoded = self.encode_fields(fields, now).ok_or(Refusal::TooLarge);
        let accepted = encoded.and_then(|end| if possible { Ok(end) } else { Err(Refusal::Malformed) });
        let accepted = accepted.and_then(|end| {
            let sequence = self.sequence.checked_add(1).ok_or(Refusal::Storage)?;
            let encoded = self.buffer.get(HEADER_MAX_BYTES - MOMENT_BYTES..end).ok_or(Refusal::TooLarge)?;
            let at = Position { boot: self.queue.starts(), sequence };
            self.queue.push(at, encoded).map_err(Refusal::from)?;
            Ok(sequence)
        });
        match accepted {
            Ok(sequence) => {
                self.sequence = sequence;
                self.more = true;
                self.counters.add(Count::Accepted, 1);
            }
            Err(Refusal::Full) => self.counters.add(Count::RefusedFull, 1),
            Err(Refusal::TooLarge) => self.counters.add(Count::RefusedTooLarge, 1),
            Err(Refusal::Malformed) => self.counters.add(Count::RefusedMalformed, 1),
            Err(Refusal::Storage) => self.counters.add(Count::StorageFailed, 1),
        }
        accepted
    }

    /// The next message to be sent now, until there is none.
    pub fn poll(&mut self, now: Millis) -> Option<Outgoing<'_>> {
        let (kind, from, until) = if now >= self.hello.due {
            self.say_hello(now)?
        } else if !self.welcomed {
            return None;
        } else if self.orders.has_result() {
            self.say_result()?
        } else {
            self.say_event(now)?
        };
        Some(Outgoing {
            kind,
            name: name::name_of(&self.queue, &self.device),
            message: self.buffer.get(from..until)?,
        })
    }

    /// When [`poll`](Self::poll) has something again if nothing else happens; 0: now.
    #[must_use]
    pub fn wake_at(&self) -> Millis {
        if self.welcomed && (self.more || self.orders.has_result()) {
            0
        } else if self.welcomed && !self.queue.is_empty() {
            self.hello.due.min(self.events.due)
        } else {
            self.hello.due
        }
    }

    /// Takes a message from the gateway. Whatever it is, it is survived, and counted if it is not as it should be.
    pub fn receive(&mut self, kind: Kind, message: &[u8], now: Millis) {
        let read = match kind {
            Kind::Welcome => Welcome::decode(message).map(|welcome| self.welcome(welcome, now)),
            Kind::Ack => Ack::decode(message).map(|ack| self.ack(ack, now)),
            Kind::Command => Command::decode(message).map(|command| self.command(&command, message, now)),
            Kind::Version => Err(FrameError::Version(message.first().copied().unwrap_or(0))),
            Kind::Hello | Kind::Event | Kind::Result => Err(FrameError::Malformed),
        };
        match read {
            Ok(()) => {}
            Err(FrameError::Version(_)) => self.counters.add(Count::Version, 1),
            Err(FrameError::Empty | FrameError::Malformed | FrameError::Full) => self.damaged(),
        }
    }

    /// The transport met something that is no message.
    pub fn damaged(&mut self) {
        self.counters.add(Count::Damaged, 1);
    }

    /// The transport is there again (a cable, a broker): what waits for its time is tried now. A connection that comes and
    /// goes does not make it a storm: after [`REJOINS_MAX`] of them a hello goes every [`REJOIN_PAUSE_MS`].
    pub fn connected(&mut self) {
        let is_storm = self.rejoins >= REJOINS_MAX;
        self.rejoins = self.rejoins.saturating_add(1);
        self.hello.due = self.hello.due.min(if is_storm { self.again_from } else { self.renumber_from });
        self.events = Retry::default();
    }

    /// The command to act on now, once; then [`answer`](Self::answer) it.
    pub fn command_to_obey(&mut self, now: Millis) -> Option<Command<'_>> {
        let latest = self.clock?.latest(now);
        match self.orders.take(latest) {
            Ok(command) => command,
            Err(()) => {
                self.counters.add(Count::CommandExpired, 1);
                None
            }
        }
    }

    /// What became of a command; `detail` is cut after [`TEXT_MAX_BYTES`](crate::TEXT_MAX_BYTES). `false`: it is not the
    /// one under way.
    pub fn answer(&mut self, id: u64, outcome: Outcome, detail: &str) -> bool {
        self.orders.answer(id, outcome, detail)
    }

    /// The gateway's clock, milliseconds since 1970 in UTC, within half a round trip; `None` until it said so.
    #[must_use]
    pub fn unix_ms(&self, now: Millis) -> Option<u64> {
        Some(self.clock?.guess(now))
    }

    /// Whether the gateway has answered a hello of this start.
    #[must_use]
    pub fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Events that wait for the gateway.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// This start's boot number on the wire; `None` until the gateway gave it.
    #[must_use]
    pub fn boot(&self) -> Option<u32> {
        self.boot_above(self.queue.base()?)
    }

    /// `None`: there is no such number.
    fn boot_above(&self, base: u32) -> Option<u32> {
        base.checked_add(self.queue.starts()).filter(|boot| *boot <= BOOT_MAX)
    }

    fn is_ahead(&self, fields: &[Field], now: Millis) -> bool {
        let Some(clock) = self.clock else { return false };
        let limit = clock.latest(now).saturating_add(AHEAD_MAX_MS);
        fields.iter().any(|field| match field.value {
            Value::Integer(at) if field.name == AT => u64::try_from(at).is_ok_and(|at| at > limit),
            Value::Integer(_) | Value::Bool(_) | Value::Float(_) | Value::Text(_) => false,
        })
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The device's id: the name that it has, though [`name`](Self::name) may be another one for a while.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.device.id
    }

    /// 0 and 0 as long as the boot number is not known.
    fn on_wire(&self, kept: Position) -> Position {
        self.queue
            .base()
            .map_or(Position::default(), |base| Position { boot: kept.boot.saturating_add(base), ..kept })
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full => Self::Full,
            QueueError::TooLarge => Self::TooLarge,
            QueueError::Storage => Self::Storage,
        }
    }
}
