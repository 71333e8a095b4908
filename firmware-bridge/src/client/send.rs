//! What a device says: hellos, results, and its events in order, again until the gateway has them.

use heapless::Vec;

use super::name::name_of;
use super::{AT_MAX_BYTES, Client, DEVICE_BITS, HEADER_MAX_BYTES, HELLO_EVERY_MS, REJOIN_PAUSE_MS, WINDOW};
use crate::clock::{MOMENT_BYTES, Millis, Moment};
use crate::count::Count;
use crate::event::{AT, FIELDS_MAX, Field, VERSION, Value};
use crate::message::{CommandResult, Hello, Kind};
use crate::position::Position;
use crate::queue::Queue;

/// Each of the functions that say something leaves it in the buffer, and gives its kind, where it begins and ends.
impl<Q: Queue, const BUFFER: usize> Client<'_, Q, BUFFER> {
    /// What the queue keeps: the moment, then the fields, which begin at `HEADER_MAX_BYTES`. Gives where they end.
    pub(super) fn encode_fields(&mut self, fields: &[Field], now: Millis) -> Option<usize> {
        let timed = fields.len() < FIELDS_MAX && fields.iter().all(|field| field.name != AT);
        let moment = match self.clock {
            Some(clock) if timed => Moment::Unix(clock.guess(now)),
            None if timed => Moment::Uptime(now),
            Some(_) | None => Moment::Unknown,
        };
        let (head, room) = self.buffer.split_at_mut_checked(HEADER_MAX_BYTES)?;
        *head.last_chunk_mut::<MOMENT_BYTES>()? = moment.to_bytes();
        let room = room.get_mut(..room.len().checked_sub(AT_MAX_BYTES)?)?;
        let length = postcard::to_slice(fields, room).ok().filter(|_| fields.len() <= FIELDS_MAX)?.len();
        Some(HEADER_MAX_BYTES.saturating_add(length))
    }

    pub(super) fn say_hello(&mut self, now: Millis) -> Option<(Kind, usize, usize)> {
        self.count_old_hello(now);
        self.hello.tried(now, &mut self.dice);
        if now >= self.again_from.saturating_add(HELLO_EVERY_MS - 2 * REJOIN_PAUSE_MS) {
            self.rejoins = 0; // the connection held for a heartbeat
        }
        self.again_from = now.saturating_add(REJOIN_PAUSE_MS);
        self.token = (self.token & DEVICE_BITS) | (self.token.wrapping_add(1) & !DEVICE_BITS);
        self.asked_at = Some(now);
        let boot = self.boot();
        let oldest = match self.queue.get(0, &mut self.buffer) {
            Ok(Some((kept, _))) => self.on_wire(kept),
            Ok(None) => Position::default(),
            Err(_) => {
                self.counters.add(Count::StorageFailed, 1);
                Position::default()
            }
        };
        let hello = Hello {
            device: name_of(&self.queue, &self.device),
            boot: boot.unwrap_or(0),
            token: self.token,
            oldest,
            queued: u32::try_from(self.queue.len()).unwrap_or(u32::MAX),
            refused: self.counters.refused(),
            firmware: self.device.firmware,
            commands: Vec::from_slice(self.device.commands).ok()?,
        };
        let length = hello.encode(&mut self.buffer).ok()?.len();
        Some((Kind::Hello, 0, length))
    }

    pub(super) fn say_result(&mut self) -> Option<(Kind, usize, usize)> {
        let boot = self.boot()?;
        let (id, outcome, detail) = self.orders.say()?;
        let result = CommandResult { device: name_of(&self.queue, &self.device), boot, id, outcome, detail };
        let length = result.encode(&mut self.buffer).ok()?.len();
        Some((Kind::Result, 0, length))
    }

    /// Go-back-N: a window of events of one boot, in order; at the end of the wait all of it again.
    pub(super) fn say_event(&mut self, now: Millis) -> Option<(Kind, usize, usize)> {
        if now >= self.events.due {
            self.repeated_below = self.repeated_below.max(self.sent);
            self.sent = 0;
            self.more = true;
        }
        if !self.more || self.sent >= WINDOW {
            self.more = false;
            return None;
        }
        let from = HEADER_MAX_BYTES - MOMENT_BYTES;
        let (kept, length) = match self.queue.get(self.sent, self.buffer.get_mut(from..)?) {
            Ok(Some(event)) => event,
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
        let at = self.on_wire(kept);
        if self.sent == 0 {
            // What is counted already may be kept again after a power cut: it is sent, and its answer lets go of it.
            if at > self.counted && !self.counted.precedes(at) {
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
        self.reach = self.reach.max(at);
        self.sent = self.sent.saturating_add(1);
        let end = self.add_time(kept, from.saturating_add(length))?;
        Some((Kind::Event, self.prepend_header(at)?, end))
    }

    fn pause(&mut self, now: Millis) {
        self.more = false;
        self.events.tried(now, &mut self.dice);
    }

    /// Adds the time to the kept event in the buffer, whose fields end at `end`, if it is known. Gives where they end then.
    fn add_time(&mut self, kept: Position, end: usize) -> Option<usize> {
        let moment = Moment::from_bytes(*self.buffer.get(..HEADER_MAX_BYTES)?.last_chunk::<MOMENT_BYTES>()?);
        let at = match (moment, self.clock) {
            (Moment::Unix(at), _) => at,
            (Moment::Uptime(at), Some(clock)) if kept.boot == self.queue.starts() => clock.guess(at),
            (Moment::Uptime(_) | Moment::Unknown, _) => return Some(end),
        };
        let field = Field::new(AT, Value::Integer(i64::try_from(at).ok()?))?;
        let added = postcard::to_slice(&field, self.buffer.get_mut(end..)?).ok()?.len();
        let count = self.buffer.get_mut(HEADER_MAX_BYTES)?;
        *count = count.saturating_add(1); // one byte, since FIELDS_MAX is below 128
        Some(end.saturating_add(added))
    }

    /// An event is its device, boot and sequence, then its fields; postcard puts nothing between.
    fn prepend_header(&mut self, at: Position) -> Option<usize> {
        let mut header = [0; HEADER_MAX_BYTES];
        let (version, rest) = header.split_first_mut()?;
        *version = VERSION;
        let length =
            postcard::to_slice(&(name_of(&self.queue, &self.device), at.boot, at.sequence), rest).ok()?.len();
        let from = HEADER_MAX_BYTES.checked_sub(length.saturating_add(1))?;
        let place = self.buffer.get_mut(from..HEADER_MAX_BYTES)?;
        for (byte, new) in place.iter_mut().zip(header) {
            *byte = new;
        }
        Some(from)
    }
}
