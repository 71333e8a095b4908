//! How often the device started, and the base of its boot numbers: the newest entry of two pages holds.
//!
//! Entries are appended to one page; when it is full the other is erased and takes the next one. So there is always an
//! entry on the page that is not being erased. Which one is newest shows in the numbers: both only grow, the starts at each
//! opening, the base within a start.

use embedded_storage::nor_flash::NorFlash;

use super::record::{self, Mark};
use crate::queue::QueueError;

#[derive(Debug, Default)]
pub(super) struct Log {
    pub starts: u32,
    pub base: Option<u32>,
    /// Where the next entry goes.
    page: usize,
    at: usize,
}

/// The base in flash is one more, so that 0 is none.
fn base_number(base: Option<u32>) -> u32 {
    base.map_or(0, |base| base.saturating_add(1))
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
                if newest < Some(head.numbers) {
                    newest = Some(head.numbers);
                    (self.page, self.at) = (page, at);
                }
            }
        }
        if let Some([starts, base]) = newest {
            self.starts = starts;
            self.base = base.checked_sub(1);
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
    ) -> Result<(), QueueError> {
        let numbers = [starts, base_number(base)];
        let size = record::size::<F>(0);
        // A place that fails is left for a fresh page, once.
        for _ in 0..2 {
            if self.at + size > F::ERASE_SIZE {
                let other = 1 - self.page;
                record::erase(flash, scratch, other)?;
                (self.page, self.at) = (other, 0);
            }
            let at = self.page * F::ERASE_SIZE + self.at;
            if record::write(flash, scratch, at, Mark::Start, numbers, &[]).is_ok() {
                self.at += size;
                (self.starts, self.base) = (starts, base);
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
