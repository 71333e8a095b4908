//! How often the device started, the base of its boot numbers, its name: the newest entry of two pages holds.
//!
//! Entries are appended to one page; when it is full the other is erased and takes the next one. So there is always an
//! entry on the page that is not being erased. Which one is newest shows in the numbers: all only grow, the starts at each
//! opening, the base and the number of names within a start.

use embedded_storage::nor_flash::NorFlash;
use heapless::{String, Vec};

use super::record::{self, Mark};
use crate::event::DEVICE_MAX_BYTES;
use crate::position::Position;
use crate::queue::QueueError;

/// What follows an entry's numbers once there is a name: which name it is, the last position that was let go before it, and
/// the name.
pub(super) const BODY_MAX_BYTES: usize = NUMBERS_BYTES + DEVICE_MAX_BYTES;
const NUMBERS_BYTES: usize = 12;

/// The name that events go under.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd)]
pub(super) struct Named {
    /// Names that there were, with this one.
    pub number: u32,
    /// Everything up to here was let go under the name before.
    pub gone: Position,
    pub name: String<DEVICE_MAX_BYTES>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub starts: u32,
    pub base: Option<u32>,
    pub named: Named,
    /// Where the next entry goes.
    page: usize,
    at: usize,
}

/// The base in flash is one more, so that 0 is none.
fn base_number(base: Option<u32>) -> u32 {
    base.map_or(0, |base| base.saturating_add(1))
}

impl Named {
    fn read(body: Option<&[u8]>) -> Self {
        let Some((numbers, name)) = body.and_then(<[u8]>::split_first_chunk::<NUMBERS_BYTES>) else {
            return Self::default();
        };
        let [n0, n1, n2, n3, b0, b1, b2, b3, s0, s1, s2, s3] = *numbers;
        let gone = Position {
            boot: u32::from_le_bytes([b0, b1, b2, b3]),
            sequence: u32::from_le_bytes([s0, s1, s2, s3]),
        };
        let name = core::str::from_utf8(name).ok().and_then(|name| String::try_from(name).ok());
        Self { number: u32::from_le_bytes([n0, n1, n2, n3]), gone, name: name.unwrap_or_default() }
    }

    fn body(&self) -> Vec<u8, BODY_MAX_BYTES> {
        let mut body = Vec::new();
        if !self.name.is_empty() {
            let numbers = [self.number, self.gone.boot, self.gone.sequence].map(u32::to_le_bytes);
            for part in [numbers.as_flattened(), self.name.as_bytes()] {
                let _ = body.extend_from_slice(part); // it fits: BODY_MAX_BYTES adds them up
            }
        }
        body
    }
}

impl Log {
    pub(super) fn open<F: NorFlash>(&mut self, flash: &mut F, scratch: &mut [u8]) -> Result<(), QueueError> {
        let mut newest = None;
        for page in 0..2 {
            let mut at = 0;
            while let Some(head) =
                record::read(flash, scratch, page * F::ERASE_SIZE + at, F::ERASE_SIZE - at, Mark::Start)?
            {
                at += record::size::<F>(head.length);
                let entry = (head.numbers, Named::read(record::body(scratch, head.length)));
                if newest.as_ref() < Some(&entry) {
                    newest = Some(entry);
                    (self.page, self.at) = (page, at);
                }
            }
        }
        if let Some(([starts, base], named)) = newest {
            self.starts = starts;
            self.base = base.checked_sub(1);
            self.named = named;
        }
        let (from, until) = (self.page * F::ERASE_SIZE + self.at, (self.page + 1) * F::ERASE_SIZE);
        if !record::is_erased(flash, scratch, from, until)? {
            self.at = F::ERASE_SIZE; // a power cut left half an entry: the other page is next
        }
        Ok(())
    }

    pub(super) fn write<F: NorFlash>(
        &mut self,
        flash: &mut F,
        scratch: &mut [u8],
        starts: u32,
        base: Option<u32>,
        named: Named,
    ) -> Result<(), QueueError> {
        let numbers = [starts, base_number(base)];
        let body = named.body();
        let size = record::size::<F>(body.len());
        // A place that fails is left for a fresh page, once.
        for _ in 0..2 {
            if self.at + size > F::ERASE_SIZE {
                let other = 1 - self.page;
                record::erase(flash, scratch, other)?;
                (self.page, self.at) = (other, 0);
            }
            let at = self.page * F::ERASE_SIZE + self.at;
            if record::write(flash, scratch, at, Mark::Start, numbers, &body).is_ok() {
                self.at += size;
                (self.starts, self.base, self.named) = (starts, base, named);
                return Ok(());
            }
            if self.at == 0 {
                self.page = 1 - self.page; // the other page still has the newest entry: it must not be erased now
            }
            self.at = F::ERASE_SIZE;
        }
        Err(QueueError::Storage)
    }
}
