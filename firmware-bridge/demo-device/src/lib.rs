//! What the programs of this package share: the panic handler that cannot be linked, and the board.

#![no_std]

use core::convert::Infallible;
use core::panic::PanicInfo;
use core::ptr::{read_volatile, write_volatile};

use embedded_io::{ErrorType, Read, ReadReady, Write};

/// Proves that no panic is reachable: it calls a function that exists nowhere. As long as any path to a panic is left
/// after optimisation, the linker misses that function and the build fails. `has_panic.rs` shows that it does.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn a_panic_is_reachable() -> !;
    }
    // SAFETY: it is never called, since a program that calls it is never linked.
    unsafe { a_panic_is_reachable() }
}

/// UART 0 of the LM3S6965, a PL011. The boot loader's settings hold; qemu needs none.
pub struct Uart;

const DATA: *mut u32 = 0x4000_c000 as *mut u32;
const FLAGS: *const u32 = 0x4000_c018 as *const u32;
const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        // SAFETY: a register of the board; reading it changes nothing.
        Ok(unsafe { read_volatile(FLAGS) } & RECEIVE_EMPTY == 0)
    }
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for place in bytes {
            if !self.read_ready()? {
                break;
            }
            // SAFETY: a register of the board; reading it takes one byte out of the FIFO.
            *place = unsafe { read_volatile(DATA) } as u8;
            count += 1;
        }
        Ok(count)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            // SAFETY: registers of the board; the byte goes into the FIFO when it has room.
            unsafe {
                while read_volatile(FLAGS) & TRANSMIT_FULL != 0 {}
                write_volatile(DATA, u32::from(*byte));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Milliseconds from the core's SysTick, which counts 24 bits down at 12 MHz: asked more than once in 1.3 seconds.
pub struct Ticks {
    last: u32,
    cycles: u64,
}

const SYST_CONTROL: *mut u32 = 0xe000_e010 as *mut u32;
const SYST_RELOAD: *mut u32 = 0xe000_e014 as *mut u32;
const SYST_VALUE: *mut u32 = 0xe000_e018 as *mut u32;
const TICKS_MAX: u32 = 0x00ff_ffff;
const CYCLES_PER_MS: u64 = 12_000;

impl Ticks {
    #[must_use]
    pub fn start() -> Self {
        // SAFETY: registers of the core; no interrupt is enabled.
        unsafe {
            write_volatile(SYST_RELOAD, TICKS_MAX);
            write_volatile(SYST_VALUE, 0);
            write_volatile(SYST_CONTROL, 0b101);
        }
        Self { last: 0, cycles: 0 } // the value that was written; the next tick reloads
    }

    pub fn now(&mut self) -> u64 {
        // SAFETY: a register of the core; reading it changes nothing.
        let value = unsafe { read_volatile(SYST_VALUE) };
        self.cycles += u64::from(self.last.wrapping_sub(value) & TICKS_MAX);
        self.last = value;
        self.cycles / CYCLES_PER_MS
    }
}

unsafe extern "C" {
    static stack_bottom: u8;
}

const PAINT: u32 = 0xa5a5_5a5a;
/// Below the stack pointer, for the frames of the function that paints.
const MARGIN_BYTES: usize = 256;

/// Fills the stack that is not used yet, so that [`stack_used`] can tell how deep it went.
#[inline(never)] // so that its frame lies below all others
pub fn paint_stack() {
    let here = 0u8;
    let mut at = &raw const stack_bottom as usize;
    let end = (&raw const here as usize).saturating_sub(MARGIN_BYTES);
    while at < end {
        // SAFETY: free stack of the only thread, below all frames.
        unsafe { write_volatile(at as *mut u32, PAINT) };
        at += 4;
    }
}

/// Bytes of stack used at the deepest since [`paint_stack`]; `top`: the address of a local of the first function.
#[must_use]
pub fn stack_used(top: usize) -> usize {
    let mut at = &raw const stack_bottom as usize;
    // SAFETY: the stack's memory, which is painted or was used.
    while at < top && unsafe { read_volatile(at as *const u32) } == PAINT {
        at += 4;
    }
    top.saturating_sub(at)
}
