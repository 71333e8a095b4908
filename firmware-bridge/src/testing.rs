//! A gateway and a flash in memory: firmware is tried out on a PC, without hardware and without a daemon.
//!
//! ```
//! use firmware_bridge::testing::Gateway;
//! use firmware_bridge::{Client, Device, Field, RamQueue, Value};
//!
//! let device = Device { id: "freezer-2", firmware: "freezer 1.4", commands: &[], seed: 7 };
//! let mut client = Client::<_, 256>::new(device, RamQueue::<1024>::new()).unwrap();
//! client.event(&[Field::new("celsius", Value::Float(-9.5)).unwrap()], 0).unwrap();
//!
//! let mut counted = Vec::new();
//! Gateway::new().talk(&mut client, 0, |event| counted.push(event.clone()));
//! assert_eq!(counted[0].fields[0].value, Value::Float(-9.5));
//! assert_eq!(client.queued(), 0);
//! ```

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use heapless::{String, Vec};

use crate::client::Client;
use crate::clock::Millis;
use crate::event::{Event, NAME_MAX_BYTES};
use crate::gateway::{End, Greeting, Link, NotNow, Step, Verdict};
use crate::message::{
    Command, CommandResult, Hello, Kind, PAYLOAD_MAX_BYTES, TO_DEVICE_MAX_BYTES, TO_GATEWAY_MAX_BYTES,
};
use crate::queue::Queue;

/// What its clock shows when the device's shows 0: a day in 2026.
const UNIX_MS: u64 = 1_790_000_000_000;

/// A gateway that commits at once, at the end of a line that loses nothing. It stands for one device.
#[derive(Debug, Default)]
pub struct Gateway {
    link: Link,
    name: String<NAME_MAX_BYTES>,
    payload: Vec<u8, PAYLOAD_MAX_BYTES>,
    number: u64,
    ended: Option<End>,
}

impl Gateway {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that the two have to say to each other now. `counted` is called once for each event that counts.
    pub fn talk<Q: Queue, const BUFFER: usize>(
        &mut self,
        client: &mut Client<'_, Q, BUFFER>,
        now: Millis,
        mut counted: impl FnMut(&Event),
    ) {
        loop {
            let mut message: Vec<u8, TO_GATEWAY_MAX_BYTES> = Vec::new();
            let Some(said) = client.poll(now) else { break };
            let kind = said.kind;
            if message.extend_from_slice(said.message).is_ok() {
                self.hear(client, kind, &message, now, &mut counted);
            }
        }
        self.work(client, now);
    }

    /// Has something done within the next minute, at the next [`talk`](Self::talk). One at a time.
    pub fn command(&mut self, name: &str, payload: &[u8], now: Millis) -> Result<(), NotNow> {
        let under_way =
            self.link.begin(self.number.saturating_add(1), unix_ms(now).saturating_add(60_000))?;
        self.number = under_way.id;
        self.name = name.try_into().unwrap_or_default();
        self.payload = Vec::from_slice(payload).unwrap_or_default();
        self.ended = None;
        self.link.recorded(under_way.id);
        Ok(())
    }

    /// What became of the last command; `None` as long as it is under way.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        self.ended
    }

    fn hear<Q: Queue, const BUFFER: usize>(
        &mut self,
        client: &mut Client<'_, Q, BUFFER>,
        kind: Kind,
        message: &[u8],
        now: Millis,
        counted: &mut impl FnMut(&Event),
    ) {
        let mut buffer = [0; TO_DEVICE_MAX_BYTES];
        if let (Kind::Hello, Ok(hello)) = (kind, Hello::decode(message)) {
            let answer = match self.link.hello(&hello, 0, unix_ms(now)) {
                Greeting::Wait => return,
                Greeting::Known(answer) => answer,
                Greeting::Save { saved, answer, .. } => {
                    self.link.greeted(saved);
                    answer
                }
            };
            if let Ok(welcome) = answer.welcome(hello.token, unix_ms(now)).encode(&mut buffer) {
                client.receive(Kind::Welcome, welcome, now);
            }
        } else if let (Kind::Event, Ok(event)) = (kind, Event::decode(message)) {
            let ack = match self.link.event(event.position()) {
                Verdict::Wait => return,
                Verdict::Again(ack) | Verdict::OutOfOrder(ack) => ack,
                Verdict::Take(at) => {
                    counted(&event);
                    self.link.committed(at)
                }
            };
            if let Ok(ack) = ack.encode(&mut buffer) {
                client.receive(Kind::Ack, ack, now);
            }
        } else if let (Kind::Result, Ok(result)) = (kind, CommandResult::decode(message)) {
            let step = self.link.result(&result);
            self.end(step);
        }
    }

    fn work<Q: Queue, const BUFFER: usize>(&mut self, client: &mut Client<'_, Q, BUFFER>, now: Millis) {
        match self.link.step(unix_ms(now)) {
            Some(Step::Send(under_way)) => {
                let (boot, id, expires_at_ms) = (under_way.boot, under_way.id, under_way.expires_at_ms);
                let command = Command { boot, id, expires_at_ms, name: &self.name, payload: &self.payload };
                let mut buffer = [0; TO_DEVICE_MAX_BYTES];
                if let Ok(command) = command.encode(&mut buffer) {
                    client.receive(Kind::Command, command, now);
                }
            }
            ended => self.end(ended),
        }
    }

    fn end(&mut self, step: Option<Step>) {
        if let Some(Step::Ended(id, end)) = step {
            self.ended = Some(end);
            self.link.settled(id);
        }
    }
}

fn unix_ms(now: Millis) -> u64 {
    UNIX_MS.saturating_add(now)
}

/// NOR flash in memory: words of 4 bytes, pages of 256. It outlives the queue that is opened over `&mut` of it, as the chip
/// outlives a power cut.
#[derive(Debug, Clone)]
pub struct Flash<const BYTES: usize> {
    bytes: [u8; BYTES],
}

impl<const BYTES: usize> Flash<BYTES> {
    /// Erased.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0xff; BYTES] }
    }

    fn range(&mut self, from: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let from = from as usize;
        self.bytes.get_mut(from..from.saturating_add(length)).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl<const BYTES: usize> Default for Flash<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> ErrorType for Flash<BYTES> {
    type Error = NorFlashErrorKind;
}

impl<const BYTES: usize> ReadNorFlash for Flash<BYTES> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(self.range(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl<const BYTES: usize> NorFlash for Flash<BYTES> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 256;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.range(from, to.saturating_sub(from) as usize)?.fill(0xff);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        for (kept, new) in self.range(offset, bytes.len())?.iter_mut().zip(bytes) {
            *kept &= new; // bits only go from one to zero
        }
        Ok(())
    }
}
