//! A freezer on an emulated board: `qemu-system-arm -M lm3s6965evb -nographic -kernel demo-device -serial ...`.
//!
//! It says its temperature at the start, after each command, and every 30 seconds. It starts to defrost after two seconds,
//! which a rule of the gateway can alert to, and obeys `defrost` with the payload `{"defrost":false}` or `true`.

#![no_std]
#![no_main]

use demo_device::{Ticks, Uart, paint_stack, stack_used};
use firmware_bridge::serial::Serial;
use firmware_bridge::{Client, Device, Field, Outcome, RamQueue, Value};

const EVENT_EVERY_MS: u64 = 30_000;
const DEFROST_AFTER_MS: u64 = 2_000;

struct Freezer {
    defrosts: bool,
    event_at: u64,
}

impl Freezer {
    fn fields(&self, stack_used: usize) -> Option<[Field; 3]> {
        let celsius = if self.defrosts { -9.5 } else { -18.5 };
        Some([
            Field::new("celsius", Value::Float(celsius))?,
            Field::new("defrosts", Value::Bool(self.defrosts))?,
            Field::new("stack_bytes", Value::Integer(i64::try_from(stack_used).ok()?))?,
        ])
    }

    fn obey(&mut self, name: &str, payload: &[u8], now: u64) -> (Outcome, &'static str) {
        self.defrosts = match (name, payload) {
            ("defrost", br#"{"defrost":true}"# | br#"{"defrost": true}"#) => true,
            ("defrost", br#"{"defrost":false}"# | br#"{"defrost": false}"#) => false,
            ("defrost", _) => return (Outcome::Refused, "the payload is {\"defrost\": true} or false"),
            (_, _) => return (Outcome::Refused, "this freezer obeys defrost only"),
        };
        self.event_at = now;
        (Outcome::Done, if self.defrosts { "defrosting" } else { "cooling" })
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn reset() -> ! {
    paint_stack();
    run();
    loop {
        core::hint::spin_loop();
    }
}

#[inline(never)] // its frame is to be measured, so it must not be there yet when the stack is painted
fn run() {
    let device = Device { id: "freezer-2", firmware: "demo 0.1", commands: &["defrost"], seed: 1 };
    let Ok(mut client) = Client::<_, 320>::new(device, RamQueue::<1024>::new()) else { return };
    let mut serial = Serial::new(Uart);
    let mut ticks = Ticks::start();
    let mut freezer = Freezer { defrosts: false, event_at: 0 };
    let mut defrost_at = DEFROST_AFTER_MS;
    let top = &raw const freezer as usize;
    loop {
        let now = ticks.now();
        if now >= defrost_at {
            freezer.defrosts = true;
            freezer.event_at = now;
            defrost_at = u64::MAX;
        }
        if now >= freezer.event_at
            && let Some(fields) = freezer.fields(stack_used(top))
            && client.event(&fields, now).is_ok()
        {
            freezer.event_at = now + EVENT_EVERY_MS; // a refused event is tried again
        }
        if let Some(command) = client.command_to_obey(now) {
            let (id, (outcome, detail)) = (command.id, freezer.obey(command.name, command.payload, now));
            client.answer(id, outcome, detail);
        }
        let Ok(()) = serial.exchange(&mut client, now);
    }
}
