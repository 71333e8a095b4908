//! The device's half: a state machine without input, output or clock. Bytes, messages and the time are handed in; what is
//! to be sent is asked for.

use heapless::Vec;

use crate::clock::{Clock, Millis, Retry};
use crate::count::{Count, Counters};
use crate::event::{DEVICE_MAX_BYTES, FIELDS_MAX, Field, FrameError, NAME_MAX_BYTES, VERSION, Value};
use crate::message::{self, Ack, Command, CommandResult, Hello, Kind, Outcome, Welcome};
use crate::orders::{Order, Orders};
use crate::position::Position;
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
    /// those of the start before, and spreads the retries of many devices.
    pub seed: u32,
}

/// Why a client cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupError {
    /// The id is empty, too long, or has a character that no topic level may have.
    Id,
    /// The firmware's name or a command's is too long, or there are too many commands.
    Name,
    /// The hello does not fit the client's buffer.
    Buffer,
}

/// Why an event was not accepted. It is counted; nothing else happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The queue is full: the gateway has not acknowledged for a while. Try again, or leave the event out.
    Full,
    /// The event never fits: more than [`FIELDS_MAX`] fields, or larger than the buffer or the queue.
    TooLarge,
    /// The storage failed.
    Storage,
}

/// A message for the gateway: over serial as a frame, over MQTT to the topic of its kind. When it is lost, it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'c> {
    pub kind: Kind,
    pub message: &'c [u8],
}

/// Events under way at once. Over MQTT with a round trip of 100 ms this carries 80 events a second.
pub const WINDOW: usize = 8;
/// A hello is the heartbeat; an absence shows after a few of them.
pub const HELLO_EVERY_MS: u64 = 60_000;
/// What the client needs before an event's fields: version 1, device 33, boot 5, sequence 5.
pub const HEADER_MAX_BYTES: usize = 12 + DEVICE_MAX_BYTES;

/// `BUFFER`: the longest message that the device sends; at least its hello, and [`HEADER_MAX_BYTES`] more than the fields
/// of its longest event. 320 is enough for most.
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
    /// The last hello's, and when it was said, until it is answered.
    token: u32,
    asked_at: Option<Millis>,
    hello: Retry,
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
            token: device.seed,
            asked_at: None,
            hello: Retry::default(),
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
        let hello = Hello {
            token: u32::MAX,
            boot: u32::MAX,
            oldest: Position { boot: u32::MAX, sequence: u32::MAX },
            queued: u32::MAX,
            refused: u32::MAX,
            ..client.hello_now().ok_or(SetupError::Name)?
        };
        hello.encode(&mut client.buffer).map_err(|_| SetupError::Buffer)?;
        Ok(client)
    }

    /// Accepts an event: from when this returns a number it is counted once at the gateway, however often the line fails.
    /// With a queue in flash, also when the power does. The number is the event's sequence in this start.
    ///
    /// If the time is known, a field `at_ms` is added (milliseconds since 1970), unless there is one or no room for it.
    pub fn event(&mut self, fields: &[Field], now: Millis) -> Result<u32, Refusal> {
        let accepted = self.encode_fields(fields, now).ok_or(Refusal::TooLarge).and_then(|length| {
            let sequence = self.sequence.checked_add(1).ok_or(Refusal::Storage)?;
            let encoded = self.buffer.get(HEADER_MAX_BYTES..HEADER_MAX_BYTES.saturating_add(length));
            let at = Position { boot: self.queue.starts(), sequence };
            self.queue.push(at, encoded.unwrap_or(&[])).map_err(Refusal::from)?;
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
        Some(Outgoing { kind, message: self.buffer.get(from..until)? })
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

    /// The transport is there again (a cable, a broker): what waits for its time is tried now.
    pub fn connected(&mut self) {
        self.hello = Retry::default();
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
        Some(self.queue.base()?.saturating_add(self.queue.starts()))
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The device's id.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.device.id
    }

    fn encode_fields(&mut self, fields: &[Field], now: Millis) -> Option<usize> {
        if fields.len() > FIELDS_MAX {
            return None;
        }
        let room = self.buffer.get_mut(HEADER_MAX_BYTES..)?;
        let length = postcard::to_slice(fields, room).ok()?.len();
        let untimed = fields.len() < FIELDS_MAX && fields.iter().all(|field| field.name != "at_ms");
        let at = self.clock.filter(|_| untimed).and_then(|clock| i64::try_from(clock.guess(now)).ok());
        let Some(at) = at.and_then(|at| Field::new("at_ms", Value::Integer(at))) else { return Some(length) };
        let Ok(added) = postcard::to_slice(&at, room.get_mut(length..)?) else { return Some(length) };
        let length = length.saturating_add(added.len());
        *room.first_mut()? += 1; // the count of fields: one byte, since FIELDS_MAX is below 128
        Some(length)
    }

    fn hello_now(&mut self) -> Option<Hello<'a>> {
        let boot = self.boot();
        let oldest = match self.queue.get(0, &mut self.buffer) {
            Ok(Some((kept, _))) => self.on_wire(kept),
            Ok(None) => Position::default(),
            Err(_) => {
                self.counters.add(Count::StorageFailed, 1);
                Position::default()
            }
        };
        Some(Hello {
            device: self.device.id,
            boot: boot.unwrap_or(0),
            token: self.token,
            oldest,
            queued: u32::try_from(self.queue.len()).unwrap_or(u32::MAX),
            refused: self.counters.refused(),
            firmware: self.device.firmware,
            commands: Vec::from_slice(self.device.commands).ok()?,
        })
    }

    /// 0 and 0 as long as the boot number is not known.
    fn on_wire(&self, kept: Position) -> Position {
        self.queue
            .base()
            .map_or(Position::default(), |base| Position { boot: kept.boot.saturating_add(base), ..kept })
    }

    fn say_hello(&mut self, now: Millis) -> Option<(Kind, usize, usize)> {
        self.hello.tried(now, &mut self.dice);
        self.token = self.token.wrapping_add(1);
        self.asked_at = Some(now);
        let hello = self.hello_now()?;
        let length = hello.encode(&mut self.buffer).ok()?.len();
        Some((Kind::Hello, 0, length))
    }

    fn say_result(&mut self) -> Option<(Kind, usize, usize)> {
        let boot = self.boot()?;
        let (id, outcome, detail) = self.orders.say()?;
        let result = CommandResult { device: self.device.id, boot, id, outcome, detail };
        let length = result.encode(&mut self.buffer).ok()?.len();
        Some((Kind::Result, 0, length))
    }

    /// Go-back-N: a window of events of one boot, in order; at the end of the wait all of it again.
    fn say_event(&mut self, now: Millis) -> Option<(Kind, usize, usize)> {
        if now >= self.events.due {
            self.repeated_below = self.repeated_below.max(self.sent);
            self.sent = 0;
            self.more = true;
        }
        if !self.more || self.sent >= WINDOW {
            self.more = false;
            return None;
        }
        let (at, length) = match self.queue.get(self.sent, self.buffer.get_mut(HEADER_MAX_BYTES..)?) {
            Ok(Some((kept, length))) => (self.on_wire(kept), length),
            Ok(None) => {
                self.more = false;
                return None;
            }
            Err(_) => {
                self.counters.add(Count::StorageFailed, 1);
                self.pause(now);
                return None;
            }
        };
        if self.sent == 0 {
            if !self.counted.precedes(at) {
                self.pause(now); // one side lost something: the hello says from where on, and the gateway notes the gap
                self.hello.due = now;
                return None;
            }
            self.events.tried(now, &mut self.dice);
        } else if at.boot != self.last_sent.boot || !self.last_sent.precedes(at) {
            self.more = false; // the next boot's events go when this one's are acknowledged
            return None;
        }
        if self.sent < self.repeated_below {
            self.counters.add(Count::Repeated, 1);
        }
        self.last_sent = at;
        self.sent = self.sent.saturating_add(1);
        let from = self.prepend_header(at)?;
        Some((Kind::Event, from, HEADER_MAX_BYTES.saturating_add(length)))
    }

    fn pause(&mut self, now: Millis) {
        self.more = false;
        self.events.tried(now, &mut self.dice);
    }

    /// An event is its device, boot and sequence, then its fields; postcard puts nothing between.
    fn prepend_header(&mut self, at: Position) -> Option<usize> {
        let mut header = [0; HEADER_MAX_BYTES];
        let (version, rest) = header.split_first_mut()?;
        *version = VERSION;
        let length = postcard::to_slice(&(self.device.id, at.boot, at.sequence), rest).ok()?.len();
        let from = HEADER_MAX_BYTES.checked_sub(length.saturating_add(1))?;
        let place = self.buffer.get_mut(from..HEADER_MAX_BYTES)?;
        for (byte, new) in place.iter_mut().zip(header) {
            *byte = new;
        }
        Some(from)
    }

    fn welcome(&mut self, welcome: Welcome, now: Millis) {
        let asked_at = match self.asked_at.take() {
            Some(asked_at) if welcome.token == self.token => asked_at,
            asked_at => {
                self.asked_at = asked_at;
                return self.counters.add(Count::Stale, 1);
            }
        };
        self.clock = Clock::heard(welcome.unix_ms, asked_at, now).or(self.clock);
        if self.boot().is_none_or(|boot| boot < welcome.boot) {
            return self.take_boot(welcome.boot, now);
        }
        if !self.welcomed {
            self.welcomed = true;
            self.events = Retry::default();
        }
        self.hello = Retry::at(now.saturating_add(HELLO_EVERY_MS));
        self.counted = welcome.counted;
        self.let_go(now);
    }

    /// Each kept boot number is 1 or more, so with this base all of them are new to the gateway.
    fn take_boot(&mut self, seen: u32, now: Millis) {
        if self.queue.base().is_some() {
            self.counters.add(Count::Renumbered, 1);
        }
        if self.queue.set_base(seen).is_err() {
            return self.counters.add(Count::StorageFailed, 1); // the next hello leads here again
        }
        self.welcomed = false;
        self.sent = 0;
        self.repeated_below = 0;
        self.hello = Retry::at(now); // the gateway learns the new number before anything goes by it
    }

    fn ack(&mut self, ack: Ack, now: Millis) {
        let own = Position { boot: self.boot().unwrap_or(0), sequence: self.sequence };
        if !self.welcomed || ack.counted > own {
            self.counters.add(Count::Stale, 1);
        } else if ack.counted == Position::default() && self.counted != ack.counted {
            self.hello.due = self.hello.due.min(now.max(self.events.due)); // it lost what it knew of us
        } else if ack.counted < self.counted {
            self.counters.add(Count::Stale, 1);
        } else {
            self.counted = ack.counted;
            self.let_go(now);
        }
    }

    /// Lets go of what the gateway has on disk.
    fn let_go(&mut self, now: Millis) {
        let mut gone = 0u32;
        while let Ok(Some((kept, _))) = self.queue.get(0, &mut self.buffer) {
            if self.on_wire(kept) > self.counted {
                break;
            }
            if self.queue.pop().is_err() {
                self.counters.add(Count::StorageFailed, 1);
                break;
            }
            self.sent = self.sent.saturating_sub(1);
            self.repeated_below = self.repeated_below.saturating_sub(1);
            gone = gone.saturating_add(1);
        }
        if gone > 0 {
            self.counters.add(Count::Acknowledged, gone);
            self.events = Retry::default();
            if self.sent > 0 {
                self.events.tried(now, &mut self.dice);
            }
        }
        self.more = true;
    }

    fn command(&mut self, command: &Command<'_>, message: &[u8], now: Millis) {
        let Some(clock) = self.clock.filter(|_| self.boot() == Some(command.boot)) else {
            return self.counters.add(Count::CommandForeign, 1);
        };
        match self.orders.receive(command, message, clock.latest(now)) {
            Order::New => {}
            Order::Again => self.counters.add(Count::CommandRepeated, 1),
            Order::Expired => self.counters.add(Count::CommandExpired, 1),
        }
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
