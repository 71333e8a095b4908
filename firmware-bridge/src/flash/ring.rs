//! The events: pages in a ring, each filled from its start. The oldest page is erased when its last event was let go.
//!
//! A page's first entry tells its age, since positions only grow. A page whose first entry is damaged holds nothing. An
//! entry that a power cut left unfinished is the last of its page: nothing is appended behind it.

use embedded_storage::nor_flash::NorFlash;

use super::record::{self, Head, Mark};
use crate::position::Position;
use crate::queue::QueueError;

/// Pages before the ring: the log's.
const FIRST_PAGE: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Ring {
    pages: usize,
    /// The oldest event, or where one may be found.
    head: Cursor,
    /// Where the next event goes. At the end of its page, the page is closed.
    tail: Cursor,
    pub len: usize,
    /// The last event that was let go. It may lie there still, with others before it on its page.
    pub gone: Position,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cursor {
    page: usize,
    at: usize,
}

impl Ring {
    pub(super) fn open<F: NorFlash>(&mut self, flash: &mut F, scratch: &mut [u8]) -> Result<(), QueueError> {
        self.pages = (flash.capacity() / F::ERASE_SIZE).saturating_sub(FIRST_PAGE);
        self.len = 0;
        let (mut oldest, mut newest) = (None, None);
        for page in 0..self.pages {
            if let Some(head) = read(flash, scratch, Cursor { page, at: 0 })? {
                let aged = (head.numbers, page);
                oldest = Some(oldest.map_or(aged, |found: ([u32; 2], usize)| found.min(aged)));
                newest = newest.max(Some(aged));
            }
        }
        self.head = Cursor { page: oldest.map_or(0, |(_, page)| page), at: 0 };
        self.tail = Cursor { page: newest.map_or(0, |(_, page)| page), at: 0 };
        let mut cursor = self.head;
        while let Some((found, head)) = self.find(flash, scratch, cursor)? {
            if position(head) > self.gone {
                self.head = if self.len == 0 { found } else { self.head };
                self.len += 1;
            }
            cursor = after::<F>(found, head);
            self.tail.at = if cursor.page == self.tail.page { cursor.at } else { 0 };
        }
        let end = page_start::<F>(self.tail.page) + F::ERASE_SIZE;
        let from = page_start::<F>(self.tail.page) + self.tail.at;
        if !record::is_erased(flash, scratch, from, end)? {
            self.tail.at = F::ERASE_SIZE;
        }
        Ok(())
    }

    pub(super) fn push<F: NorFlash>(
        &mut self,
        flash: &mut F,
        scratch: &mut [u8],
        at: Position,
        fields: &[u8],
    ) -> Result<(), QueueError> {
        let size = record::size::<F>(fields.len());
        if size > F::ERASE_SIZE || size > scratch.len() {
            return Err(QueueError::TooLarge);
        }
        // A page on which a write fails is closed, and the next one tried, once.
        let mut full = QueueError::Full;
        for _ in 0..2 {
            if self.tail.at + size > F::ERASE_SIZE && !self.turn_page(flash, scratch)? {
                return Err(full);
            }
            let place = page_start::<F>(self.tail.page) + self.tail.at;
            let numbers = [at.boot, at.sequence];
            if record::write(flash, scratch, place, Mark::Event, numbers, fields).is_ok() {
                if self.len == 0 {
                    self.head = self.tail;
                }
                self.tail.at += size;
                self.len += 1;
                return Ok(());
            }
            self.tail.at = F::ERASE_SIZE;
            full = QueueError::Storage; // that it failed is more than that there is no other page
        }
        Err(QueueError::Storage)
    }

    /// The event at `index`, left in `scratch`: its position and the length of its fields.
    pub(super) fn get<F: NorFlash>(
        &mut self,
        flash: &mut F,
        scratch: &mut [u8],
        index: usize,
    ) -> Result<Option<(Position, usize)>, QueueError> {
        if index >= self.len {
            return Ok(None);
        }
        let mut cursor = self.head;
        for behind in 0..=index {
            let Some((found, head)) = self.find(flash, scratch, cursor)? else { break };
            if behind == index {
                return Ok(Some((position(head), head.length)));
            }
            cursor = after::<F>(found, head);
        }
        self.open(flash, scratch)?; // an entry went bad in its place: what is left is found anew
        Err(QueueError::Storage)
    }

    pub(super) fn pop<F: NorFlash>(&mut self, flash: &mut F, scratch: &mut [u8]) -> Result<(), QueueError> {
        if self.len == 0 {
            return Ok(());
        }
        let Some((found, head)) = self.find(flash, scratch, self.head)? else {
            return self.open(flash, scratch);
        };
        self.gone = self.gone.max(position(head));
        self.head = after::<F>(found, head);
        self.len = self.len.saturating_sub(1);
        if self.len == 0 {
            return Ok(());
        }
        let Some((next, _)) = self.find(flash, scratch, self.head)? else {
            return self.open(flash, scratch);
        };
        self.head = next;
        if next.page != found.page {
            // If this fails the page is erased before it is used again; until then its events are repeated at most.
            let _ = record::erase(flash, scratch, FIRST_PAGE + found.page);
        }
        Ok(())
    }

    /// Goes on to the next page, unless it holds something that is needed.
    fn turn_page<F: NorFlash>(&mut self, flash: &mut F, scratch: &mut [u8]) -> Result<bool, QueueError> {
        let page = self.next(self.tail.page);
        if self.len > 0 && page == self.head.page {
            return Ok(false);
        }
        if self.len == 0 {
            record::erase(flash, scratch, FIRST_PAGE + self.tail.page)?; // it holds only what was let go
        }
        record::erase(flash, scratch, FIRST_PAGE + page)?;
        self.tail = Cursor { page, at: 0 };
        Ok(true)
    }

    /// The first event at the cursor or behind it.
    fn find<F: NorFlash>(
        &self,
        flash: &mut F,
        scratch: &mut [u8],
        mut cursor: Cursor,
    ) -> Result<Option<(Cursor, Head)>, QueueError> {
        for _ in 0..=self.pages {
            if let Some(head) = read(flash, scratch, cursor)? {
                return Ok(Some((cursor, head)));
            }
            if cursor.page == self.tail.page {
                break;
            }
            cursor = Cursor { page: self.next(cursor.page), at: 0 };
        }
        Ok(None)
    }

    fn next(&self, page: usize) -> usize {
        if page + 1 < self.pages { page + 1 } else { 0 }
    }
}

fn position(head: Head) -> Position {
    let [boot, sequence] = head.numbers;
    Position { boot, sequence }
}

fn page_start<F: NorFlash>(page: usize) -> usize {
    (FIRST_PAGE + page) * F::ERASE_SIZE
}

fn after<F: NorFlash>(cursor: Cursor, head: Head) -> Cursor {
    Cursor { at: cursor.at + record::size::<F>(head.length), ..cursor }
}

fn read<F: NorFlash>(flash: &mut F, scratch: &mut [u8], at: Cursor) -> Result<Option<Head>, QueueError> {
    let room = F::ERASE_SIZE.saturating_sub(at.at);
    record::read(flash, scratch, page_start::<F>(at.page) + at.at, room, Mark::Event)
}
