//! One entry in flash: CRC-32 of the rest, a mark, the body's length, two numbers, the body, then ones to the next write
//! unit. It is written at once; after a power cut it is whole, or its CRC says that it is not.

use embedded_storage::nor_flash::NorFlash;

use crate::frame::crc32_of;
use crate::queue::QueueError;

/// CRC 4, mark 2, length 2, numbers 4 and 4.
pub(super) const HEAD_BYTES: usize = 16;

/// Erased flash reads as ones. No mark begins with them.
const ERASED: u8 = 0xff;

/// What an entry is. The marks differ in many bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Start,
    Event,
}

impl Mark {
    const fn bytes(self) -> [u8; 2] {
        match self {
            Self::Start => [0x5a, 0xc3],
            Self::Event => [0xa6, 0x1e],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub numbers: [u32; 2],
    pub length: usize,
}

/// What is written and read at once.
pub(super) const fn unit<F: NorFlash>() -> usize {
    if F::WRITE_SIZE > F::READ_SIZE { F::WRITE_SIZE } else { F::READ_SIZE }
}

/// What an entry with a body of this length takes.
pub(super) const fn size<F: NorFlash>(length: usize) -> usize {
    let unit = unit::<F>();
    let bytes = HEAD_BYTES.saturating_add(length).saturating_add(unit).saturating_sub(1);
    bytes & !(unit.saturating_sub(1)) // a power of two, `open` checked it
}

/// The body of the entry that lies in `scratch`.
pub(super) fn body(scratch: &[u8], length: usize) -> Option<&[u8]> {
    scratch.get(HEAD_BYTES..HEAD_BYTES.saturating_add(length))
}

pub(super) fn write<F: NorFlash>(
    flash: &mut F,
    scratch: &mut [u8],
    at: usize,
    mark: Mark,
    numbers: [u32; 2],
    content: &[u8],
) -> Result<(), QueueError> {
    let size = size::<F>(content.len());
    let length = u16::try_from(content.len()).map_err(|_| QueueError::TooLarge)?;
    let entry = scratch.get_mut(..size).ok_or(QueueError::TooLarge)?;
    entry.fill(ERASED);
    let rest = [&mark.bytes()[..], &length.to_le_bytes(), &le(numbers), content];
    let crc = crc32_of(&rest).to_le_bytes();
    let bytes = crc.iter().chain(rest.into_iter().flatten());
    for (place, byte) in entry.iter_mut().zip(bytes) {
        *place = *byte;
    }
    let at = offset(at)?;
    if flash.write(at, entry).is_ok() {
        return Ok(());
    }
    // It may lie there whole nevertheless, and would be found after a restart: what is found then must hold now.
    if read(flash, scratch, at as usize, size, mark) == Ok(Some(Head { numbers, length: content.len() })) {
        Ok(())
    } else {
        Err(QueueError::Storage)
    }
}

/// Reads the entry at `at` into `scratch`. `None`: there is none, or it is damaged. `room`: to the end of the page.
pub(super) fn read<F: NorFlash>(
    flash: &mut F,
    scratch: &mut [u8],
    at: usize,
    room: usize,
    mark: Mark,
) -> Result<Option<Head>, QueueError> {
    let first = size::<F>(0);
    if room < first {
        return Ok(None);
    }
    fill(flash, scratch, at, first)?;
    let Some(head) = scratch.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let [c0, c1, c2, c3, m0, m1, l0, l1, a0, a1, a2, a3, b0, b1, b2, b3] = *head;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let size = size::<F>(length);
    if [m0, m1] != mark.bytes() || size > room {
        return Ok(None);
    }
    if size > first {
        if size > scratch.len() {
            return Ok(None);
        }
        fill(flash, scratch, at, size)?;
    }
    let end = HEAD_BYTES.saturating_add(length);
    let whole = scratch.get(4..end).is_some_and(|rest| crc32_of(&[rest]).to_le_bytes() == [c0, c1, c2, c3]);
    let numbers = [u32::from_le_bytes([a0, a1, a2, a3]), u32::from_le_bytes([b0, b1, b2, b3])];
    Ok(whole.then_some(Head { numbers, length }))
}

/// Whether nothing was written here since the last erasure.
pub(super) fn is_erased<F: NorFlash>(
    flash: &mut F,
    scratch: &mut [u8],
    from: usize,
    until: usize,
) -> Result<bool, QueueError> {
    let mut at = from;
    while at < until {
        fill(flash, scratch, at, unit::<F>())?;
        let Some(read) = scratch.get(..unit::<F>()) else { return Ok(false) };
        if read.iter().any(|byte| *byte != ERASED) {
            return Ok(false);
        }
        at = at.saturating_add(unit::<F>());
    }
    Ok(true)
}

/// Erases a page unless it is erased: reading wears nothing.
pub(super) fn erase<F: NorFlash>(flash: &mut F, scratch: &mut [u8], page: usize) -> Result<(), QueueError> {
    let (from, until) = (page * F::ERASE_SIZE, (page + 1) * F::ERASE_SIZE);
    if is_erased(flash, scratch, from, until)? {
        return Ok(());
    }
    flash.erase(offset(from)?, offset(until)?).map_err(|_| QueueError::Storage)
}

fn fill<F: NorFlash>(flash: &mut F, scratch: &mut [u8], at: usize, length: usize) -> Result<(), QueueError> {
    let place = scratch.get_mut(..length).ok_or(QueueError::TooLarge)?;
    flash.read(offset(at)?, place).map_err(|_| QueueError::Storage)
}

fn offset(at: usize) -> Result<u32, QueueError> {
    u32::try_from(at).map_err(|_| QueueError::Storage)
}

fn le(numbers: [u32; 2]) -> [u8; 8] {
    let [a, b] = numbers.map(u32::to_le_bytes);
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    [a0, a1, a2, a3, b0, b1, b2, b3]
}
