use std::cell::RefCell;
use std::rc::Rc;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use crate::dice::Dice;

/// A NOR flash with write unit `W`. The chip outlives the device that writes to it: clones share it.
///
/// It holds the user to the rules of `embedded_storage`: a word is written once between two erasures. When the power goes
/// during a write, each of its bytes is old, new or noise; during an erasure, each byte of the page is.
#[derive(Clone)]
pub struct Flash<const W: usize>(Rc<RefCell<Chip>>);

struct Chip {
    bytes: Vec<u8>,
    written: Vec<bool>,
    pub erasures: Vec<u32>,
    /// Writes and erasures so far.
    operations: u32,
    /// Writes and erasures until the power goes.
    until_cut: Option<u32>,
    /// Writes and erasures until one fails without a power cut, leaving noise.
    until_fault: Option<u32>,
    off: bool,
    dice: Dice,
}

#[derive(Debug)]
pub struct Fault;

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

pub const PAGE: usize = 256;

impl<const W: usize> Flash<W> {
    pub fn new(pages: usize, seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Chip {
            bytes: vec![0xff; pages * PAGE],
            written: vec![false; pages * PAGE / W],
            erasures: vec![0; pages],
            operations: 0,
            until_cut: None,
            until_fault: None,
            off: false,
            dice: Dice::new(seed),
        })))
    }

    pub fn cut_after(&self, operations: u32) {
        self.0.borrow_mut().until_cut = Some(operations);
    }

    pub fn fault_after(&self, operations: u32) {
        self.0.borrow_mut().until_fault = Some(operations);
    }

    /// Power is back. Whether it was gone.
    pub fn power(&self) -> bool {
        let mut chip = self.0.borrow_mut();
        chip.until_cut = None;
        std::mem::take(&mut chip.off)
    }

    pub fn is_off(&self) -> bool {
        self.0.borrow().off
    }

    /// A bit goes bad where it lies.
    pub fn rot(&self, at: usize) {
        self.0.borrow_mut().bytes[at] ^= 4;
    }

    pub fn operations(&self) -> u32 {
        self.0.borrow().operations
    }

    pub fn erasures(&self) -> Vec<u32> {
        self.0.borrow().erasures.clone()
    }
}

impl Chip {
    /// Counts an operation down. `Err`: it is interrupted.
    fn operate(&mut self) -> Result<(), Fault> {
        if self.off {
            return Err(Fault);
        }
        self.operations += 1;
        if let Some(left) = &mut self.until_fault {
            if *left == 0 {
                self.until_fault = None;
                return Err(Fault);
            }
            *left -= 1;
        }
        if let Some(left) = &mut self.until_cut {
            if *left == 0 {
                self.off = true;
                return Err(Fault);
            }
            *left -= 1;
        }
        Ok(())
    }

    /// A word that reads as erased after it may be written: bits only go from one to zero.
    fn scramble(&mut self, unit: usize, at: usize, new: &[u8]) {
        // Seldom nothing happened, or everything did and only the word that it did was lost.
        let whole = self.dice.below(8);
        for (place, new) in self.bytes[at..].iter_mut().zip(new) {
            *place = match (whole, self.dice.below(3)) {
                (0, _) => *place,
                (1, _) => *new,
                (_, 0) => *place,
                (_, 1) => *new,
                (_, _) => *place & self.dice.roll() as u8,
            };
        }
        for word in at / unit..(at + new.len()) / unit {
            self.written[word] = self.bytes[word * unit..][..unit].iter().any(|byte| *byte != 0xff);
        }
    }
}

impl<const W: usize> ErrorType for Flash<W> {
    type Error = Fault;
}

impl<const W: usize> ReadNorFlash for Flash<W> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        let chip = self.0.borrow();
        if chip.off {
            return Err(Fault);
        }
        let at = offset as usize;
        bytes.copy_from_slice(&chip.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl<const W: usize> NorFlash for Flash<W> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        let chip = &mut *self.0.borrow_mut();
        let (from, to) = (from as usize, to as usize);
        assert!(
            from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE),
            "an erasure off the page: {from}..{to}"
        );
        let interrupted = chip.operate();
        if interrupted.is_err() {
            chip.scramble(W, from, &vec![0xff; to - from]);
            return Err(Fault);
        }
        chip.bytes[from..to].fill(0xff);
        chip.written[from / W..to / W].fill(false);
        for count in &mut chip.erasures[from / PAGE..to / PAGE] {
            *count += 1;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        let chip = &mut *self.0.borrow_mut();
        let at = offset as usize;
        assert!(
            at.is_multiple_of(W) && bytes.len().is_multiple_of(W),
            "a write off the unit: {at}, {}",
            bytes.len()
        );
        if chip.off {
            return Err(Fault);
        }
        for word in &mut chip.written[at / W..(at + bytes.len()) / W] {
            assert!(!std::mem::replace(word, true), "a word is written twice, in {at}");
        }
        if chip.operate().is_err() {
            chip.scramble(W, at, bytes);
            return Err(Fault);
        }
        chip.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}
