//! Where a device keeps its events until the gateway has them: in memory, or behind the same trait in flash.

use crate::position::Position;

/// First in, first out, bounded. Positions here are *kept* ones: their boot counts the starts that the queue has seen; the
/// boot on the wire is [`Queue::base`] more.
pub trait Queue {
    /// Counts the starts of the device that the queue has seen, this one included; 1 for a queue in memory.
    fn starts(&self) -> u32;

    /// What to add to a kept boot number for the one on the wire; `None` until the gateway said what it has seen.
    fn base(&self) -> Option<u32>;

    /// Keeps the base for as long as the queue keeps events.
    fn set_base(&mut self, base: u32) -> Result<(), QueueError>;

    /// Keeps an event; it has survived a power cut from when this returns. Positions only grow.
    fn push(&mut self, at: Position, fields: &[u8]) -> Result<(), QueueError>;

    /// The position of the event at `index`, 0 being the oldest, and the length of its fields, which are copied to the
    /// front of `buffer`. `None`: there are not so many.
    fn get(&mut self, index: usize, buffer: &mut [u8]) -> Result<Option<(Position, usize)>, QueueError>;

    /// Lets the oldest event go. After a power cut it may be there again; the gateway counts it once all the same.
    fn pop(&mut self) -> Result<(), QueueError>;

    /// The name that events of earlier starts went under, as [`set_name`](Self::set_name) left it; empty: none was kept
    /// yet. `None`: the queue keeps no events over a start, so no name either.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Keeps a name, and that what has been let go by now never comes back, as long as the queue keeps events.
    fn set_name(&mut self, _: &str) -> Result<(), QueueError> {
        Ok(())
    }

    /// Events that are kept.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a queue could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueError {
    /// No room now; there is again when the gateway has acknowledged events.
    Full,
    /// Larger than the queue or the buffer could ever hold.
    TooLarge,
    /// The storage failed. The event was not kept.
    Storage,
}

/// A queue in memory: nothing to wear, nothing survives. `BYTES` holds the events, each with [`RECORD_BYTES`] more.
#[derive(Debug)]
pub struct RamQueue<const BYTES: usize> {
    ring: [u8; BYTES],
    head: usize,
    used: usize,
    len: usize,
    base: Option<u32>,
}

/// Length 2, boot 4, sequence 4.
pub const RECORD_BYTES: usize = 10;

impl<const BYTES: usize> RamQueue<BYTES> {
    /// For a device that cannot count its starts: it takes its boot number from the gateway before it sends.
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: [0; BYTES], head: 0, used: 0, len: 0, base: None }
    }

    /// For a device that counts its starts elsewhere: `boot` is 1 or more, and more than at any start before.
    #[must_use]
    pub const fn with_boot(boot: u32) -> Self {
        Self { base: Some(boot.saturating_sub(1)), ..Self::new() }
    }

    /// `offset` bytes behind the oldest one. Both are below `BYTES`, or the ring is empty.
    fn place(&self, offset: usize) -> usize {
        let place = self.head.saturating_add(offset);
        if place >= BYTES { place.saturating_sub(BYTES) } else { place }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let place = self.place(offset.saturating_add(index));
            if let Some(kept) = self.ring.get_mut(place) {
                *kept = *byte;
            }
        }
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            let place = self.place(offset.saturating_add(index));
            *byte = self.ring.get(place).copied().unwrap_or(0);
        }
    }

    fn record(&self, offset: usize) -> (Position, usize) {
        let (mut length, mut boot, mut sequence) = ([0; 2], [0; 4], [0; 4]);
        self.read(offset, &mut length);
        self.read(offset.saturating_add(2), &mut boot);
        self.read(offset.saturating_add(6), &mut sequence);
        let at = Position { boot: u32::from_le_bytes(boot), sequence: u32::from_le_bytes(sequence) };
        (at, usize::from(u16::from_le_bytes(length)))
    }
}

impl<const BYTES: usize> Default for RamQueue<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> Queue for RamQueue<BYTES> {
    fn starts(&self) -> u32 {
        1
    }

    fn base(&self) -> Option<u32> {
        self.base
    }

    fn set_base(&mut self, base: u32) -> Result<(), QueueError> {
        self.base = Some(base);
        Ok(())
    }

    fn push(&mut self, at: Position, fields: &[u8]) -> Result<(), QueueError> {
        let length = u16::try_from(fields.len()).map_err(|_| QueueError::TooLarge)?;
        let need = fields.len().saturating_add(RECORD_BYTES);
        if need > BYTES {
            return Err(QueueError::TooLarge);
        }
        if need > BYTES.saturating_sub(self.used) {
            return Err(QueueError::Full);
        }
        self.write(self.used, &length.to_le_bytes());
        self.write(self.used.saturating_add(2), &at.boot.to_le_bytes());
        self.write(self.used.saturating_add(6), &at.sequence.to_le_bytes());
        self.write(self.used.saturating_add(RECORD_BYTES), fields);
        self.used = self.used.saturating_add(need);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    fn get(&mut self, index: usize, buffer: &mut [u8]) -> Result<Option<(Position, usize)>, QueueError> {
        if index >= self.len {
            return Ok(None);
        }
        let mut offset = 0usize;
        for _ in 0..index {
            let (_, length) = self.record(offset);
            offset = offset.saturating_add(length).saturating_add(RECORD_BYTES);
        }
        let (at, length) = self.record(offset);
        let fields = buffer.get_mut(..length).ok_or(QueueError::TooLarge)?;
        self.read(offset.saturating_add(RECORD_BYTES), fields);
        Ok(Some((at, length)))
    }

    fn pop(&mut self) -> Result<(), QueueError> {
        if self.len > 0 {
            let (_, length) = self.record(0);
            let gone = length.saturating_add(RECORD_BYTES).min(self.used);
            self.head = self.place(gone);
            self.used = self.used.saturating_sub(gone);
            self.len = self.len.saturating_sub(1);
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.len
    }
}
