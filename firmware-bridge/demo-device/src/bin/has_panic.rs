//! Must not link: it shows that the check of `no_panic.rs` can fail.

#![no_std]
#![no_main]

use core::hint::black_box;

use demo_device as _;

#[unsafe(no_mangle)]
pub extern "C" fn reset() -> ! {
    let bytes: &[u8] = black_box(&[1, 2, 3]);
    loop {
        black_box(bytes[black_box(1)]);
    }
}
