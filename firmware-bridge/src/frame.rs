//! Frames on a serial line: `00`, COBS of (kind, message, CRC-32 of both, low byte first), `00`.
//!
//! COBS (Cheshire and Baker, 1999) leaves no zero inside a frame, so a receiver that lost its place finds it at the next
//! zero. The zero before a frame ends whatever noise came before it.

use crate::message::Kind;

/// Writes one frame, byte by byte: no buffer of its own.
#[derive(Debug, Clone)]
pub struct Encoder<'a> {
    kind: u8,
    message: &'a [u8],
    crc: [u8; 4],
    /// The next byte of (kind, message, CRC).
    at: usize,
    part: Part,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Start,
    Code,
    /// This many bytes are left of the run, then the zero that the code stands for, if it stands for one.
    Run {
        left: u8,
        zero: bool,
    },
    Stop,
    Over,
}

/// The longest run that a code byte can announce.
const RUN_MAX: u8 = 254;

impl<'a> Encoder<'a> {
    #[must_use]
    pub fn new(kind: Kind, message: &'a [u8]) -> Self {
        let crc = crc32_of(&[&[kind.byte()], message]).to_le_bytes();
        Self { kind: kind.byte(), message, crc, at: 0, part: Part::Start }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        let Some(at) = at.checked_sub(1) else { return Some(self.kind) };
        match at.checked_sub(self.message.len()) {
            None => self.message.get(at).copied(),
            Some(at) => self.crc.get(at).copied(),
        }
    }

    fn code(&mut self) -> u8 {
        let mut run: u8 = 0;
        while run < RUN_MAX {
            match self.byte(self.at.saturating_add(usize::from(run))) {
                Some(0) => {
                    self.part = Part::Run { left: run, zero: true };
                    return run.saturating_add(1);
                }
                None => break,
                Some(_) => run = run.saturating_add(1),
            }
        }
        self.part = Part::Run { left: run, zero: false };
        run.saturating_add(1)
    }
}

impl Iterator for Encoder<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        loop {
            match self.part {
                Part::Start => {
                    self.part = Part::Code;
                    return Some(0);
                }
                Part::Code => return Some(self.code()),
                Part::Run { left: 0, zero: true } => {
                    self.at = self.at.saturating_add(1);
                    self.part = Part::Code; // also at the end: the code 1 then stands for the last zero
                }
                Part::Run { left: 0, zero: false } => {
                    self.part = if self.byte(self.at).is_some() { Part::Code } else { Part::Stop };
                }
                Part::Run { left, zero } => {
                    let byte = self.byte(self.at);
                    self.at = self.at.saturating_add(1);
                    self.part = Part::Run { left: left.saturating_sub(1), zero };
                    return byte;
                }
                Part::Stop => {
                    self.part = Part::Over;
                    return Some(0);
                }
                Part::Over => return None,
            }
        }
    }
}

/// Finds frames in a stream of bytes. `N`: the longest message to be read, and [`OVERHEAD_BYTES`].
#[derive(Debug)]
pub struct Decoder<const N: usize> {
    buffer: [u8; N],
    used: usize,
    /// Bytes until the next code.
    left: u8,
    /// A zero comes before the next run.
    zero: bool,
    begun: bool,
    overflow: bool,
}

/// The kind and the CRC.
pub const OVERHEAD_BYTES: usize = 5;

/// What a byte led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// It belongs to a frame that is not over, or to none.
    Nothing,
    /// A frame of a kind that this version knows, or not.
    Frame { kind: Option<Kind>, message: &'a [u8] },
    /// A frame was damaged, or longer than the buffer.
    Damaged,
}

impl<const N: usize> Default for Decoder<N> {
    fn default() -> Self {
        Self { buffer: [0; N], used: 0, left: 0, zero: false, begun: false, overflow: false }
    }
}

impl<const N: usize> Decoder<N> {
    /// Takes the next byte from the line. A found frame is to be used before the next byte.
    pub fn push(&mut self, byte: u8) -> Found<'_> {
        if byte == 0 {
            return self.end();
        }
        self.begun = true;
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            self.keep(byte);
        } else {
            if self.zero {
                self.keep(0);
            }
            self.left = byte.saturating_sub(1);
            self.zero = byte <= RUN_MAX;
        }
        Found::Nothing
    }

    fn keep(&mut self, byte: u8) {
        match self.buffer.get_mut(self.used) {
            Some(place) => {
                *place = byte;
                self.used = self.used.saturating_add(1);
            }
            None => self.overflow = true,
        }
    }

    fn end(&mut self) -> Found<'_> {
        let whole = self.left == 0 && !self.overflow;
        let (begun, used) = (self.begun, self.used);
        (self.used, self.left, self.zero, self.begun, self.overflow) = (0, 0, false, false, false);
        if !begun {
            return Found::Nothing;
        }
        let frame = self.buffer.get(..used).filter(|_| whole);
        let parts = frame.and_then(|frame| {
            let (body, crc) = frame.split_last_chunk::<4>()?;
            let (kind, message) = body.split_first()?;
            (crc32_of(&[body]).to_le_bytes() == *crc).then_some((*kind, message))
        });
        match parts {
            Some((kind, message)) => Found::Frame { kind: Kind::from_byte(kind), message },
            None => Found::Damaged,
        }
    }
}

/// CRC-32 as in zlib, PNG and Ethernet: polynomial 0xEDB88320 reflected, from and to all ones. Four bits a step, since a
/// table of 16 costs 64 bytes of flash and one of 256 costs a kilobyte.
pub(crate) fn crc32_of(parts: &[&[u8]]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index = 0;
        while index < 16 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    let step = |crc: u32, nibble: u32| (crc >> 4) ^ TABLE[((crc ^ nibble) & 15) as usize];
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(u32::MAX, |crc, byte| step(step(crc, u32::from(*byte)), u32::from(*byte) >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32_iso_hdlc() {
        assert_eq!(crc32_of(&[b"1234", b"56789"]), 0xcbf4_3926); // the check value of CRC-32/ISO-HDLC
    }
}
