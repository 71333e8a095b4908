//! What the client costs: events, commands and time over a serial line, a queue of one kilobyte in memory, and nothing
//! else. Its sizes are measured and held against the budget by `firmware-bridge/check-targets`.

#![no_std]
#![no_main]

use core::hint::black_box;

use demo_device::Uart;
use firmware_bridge::serial::Serial;
use firmware_bridge::{Client, Device, Field, Outcome, RamQueue, Value};

type Smallest = Client<'static, RamQueue<1024>, 256>;

/// Bytes of memory, read from the linked file: the client without its queue's kilobyte, and the serial adapter.
#[used]
#[unsafe(link_section = ".sizes")]
static SIZES: [u32; 2] = [(size_of::<Smallest>() - 1024) as u32, size_of::<Serial<Uart>>() as u32];

#[unsafe(no_mangle)]
pub extern "C" fn reset() -> ! {
    let device = Device { id: "freezer-2", firmware: "smallest", commands: &["open"], seed: black_box(7) };
    if let Ok(mut client) = Smallest::new(device, RamQueue::new()) {
        let mut serial = Serial::new(Uart);
        loop {
            let now = black_box(1);
            if let Some(field) = Field::new("celsius", Value::Float(black_box(1.5))) {
                let _ = client.event(&[field], now);
            }
            if let Some(command) = client.command_to_obey(now) {
                let id = command.id;
                client.answer(id, Outcome::Done, "");
            }
            let Ok(()) = serial.exchange(&mut client, now);
        }
    }
    loop {
        core::hint::spin_loop();
    }
}
