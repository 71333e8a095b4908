//! A queue in flash, over any [`embedded_storage`] NOR flash: every accepted event survives a power cut at any instant.
//!
//! - `log.rs`: two pages that alternate and say how often the device started, the base of its boot numbers, and its name.
//! - `ring.rs`: the other pages, a ring of events. Pages are filled in turn and erased in turn, so all wear alike.
//! - `record.rs`: how one entry of either lies in flash.
//!
//! Nothing here is written twice between two erasures, and nothing is erased that is still needed.

mod log;
mod record;
mod ring;

use embedded_storage::nor_flash::NorFlash;
use heapless::String;

use crate::position::Position;
use crate::queue::{Queue, QueueError};

use log::{Log, Named};
use ring::Ring;

/// Two pages for the starts, two or more for events: one is being filled while another is emptied.
pub const PAGES_MIN: usize = 4;

/// Events in all pages of `flash` but the first two. `SCRATCH` holds one event on its way in or out: 16 bytes and its
/// fields, rounded up to what the flash writes at once; 60 bytes at least, rounded up likewise.
///
/// Wear: a start writes 28 bytes and the device's name, an event 16 and its fields, each rounded up likewise; each page is erased once a round.
/// Events of 60 bytes in 64 KiB of flash with 100,000 erasures last for 78 million events.
#[derive(Debug)]
pub struct FlashQueue<F, const SCRATCH: usize> {
    flash: F,
    log: Log,
    ring: Ring,
    scratch: [u8; SCRATCH],
}

impl<F: NorFlash, const SCRATCH: usize> FlashQueue<F, SCRATCH> {
    /// Finds what the flash holds, and counts one start more. Flash that holds anything else is taken for empty.
    ///
    /// [`QueueError::TooLarge`]: the flash has fewer than [`PAGES_MIN`] pages, pages or writes of an unusable size, or the
    /// scratch is smaller than a write. [`QueueError::Storage`]: the flash failed.
    pub fn open(flash: F) -> Result<Self, QueueError> {
        let pages = flash.capacity() / F::ERASE_SIZE.max(1);
        let unit = record::unit::<F>();
        // A record's head is 16 bytes; writes of up to 256 bytes are known (RP2040).
        let usable = pages >= PAGES_MIN
            && unit.is_power_of_two()
            && unit <= 256
            && F::ERASE_SIZE % unit == 0
            && F::ERASE_SIZE >= 2 * record::size::<F>(log::BODY_MAX_BYTES)
            && SCRATCH >= record::size::<F>(log::BODY_MAX_BYTES)
            && u32::try_from(flash.capacity()).is_ok();
        if !usable {
            return Err(QueueError::TooLarge);
        }
        let mut opened = Self { flash, log: Log::default(), ring: Ring::default(), scratch: [0; SCRATCH] };
        opened.log.open(&mut opened.flash, &mut opened.scratch)?;
        let (starts, base) = (opened.log.starts.saturating_add(1), opened.log.base);
        opened.ring.gone = opened.log.named.gone;
        let named = opened.log.named.clone();
        opened.log.write(&mut opened.flash, &mut opened.scratch, starts, base, named)?;
        opened.ring.open(&mut opened.flash, &mut opened.scratch)?;
        Ok(opened)
    }

    /// Gives the flash back.
    pub fn close(self) -> F {
        self.flash
    }
}

impl<F: NorFlash, const SCRATCH: usize> Queue for FlashQueue<F, SCRATCH> {
    fn starts(&self) -> u32 {
        self.log.starts
    }

    fn base(&self) -> Option<u32> {
        self.log.base
    }

    fn set_base(&mut self, base: u32) -> Result<(), QueueError> {
        let (starts, named) = (self.log.starts, self.log.named.clone());
        self.log.write(&mut self.flash, &mut self.scratch, starts, Some(base), named)
    }

    fn name(&self) -> Option<&str> {
        Some(&self.log.named.name)
    }

    fn set_name(&mut self, name: &str) -> Result<(), QueueError> {
        let (starts, base) = (self.log.starts, self.log.base);
        let name = String::try_from(name).map_err(|_| QueueError::TooLarge)?;
        let number = self.log.named.number.saturating_add(1);
        let named = Named { number, gone: self.ring.gone, name };
        self.log.write(&mut self.flash, &mut self.scratch, starts, base, named)
    }

    fn push(&mut self, at: Position, fields: &[u8]) -> Result<(), QueueError> {
        self.ring.push(&mut self.flash, &mut self.scratch, at, fields)
    }

    fn get(&mut self, index: usize, buffer: &mut [u8]) -> Result<Option<(Position, usize)>, QueueError> {
        let Some((at, length)) = self.ring.get(&mut self.flash, &mut self.scratch, index)? else {
            return Ok(None);
        };
        let fields = record::body(&self.scratch, length).ok_or(QueueError::Storage)?;
        for (place, byte) in buffer.get_mut(..length).ok_or(QueueError::TooLarge)?.iter_mut().zip(fields) {
            *place = *byte;
        }
        Ok(Some((at, length)))
    }

    fn pop(&mut self) -> Result<(), QueueError> {
        self.ring.pop(&mut self.flash, &mut self.scratch)
    }

    fn len(&self) -> usize {
        self.ring.len
    }
}
