//! Devices that never lose an event: the wire types that a device and the gateway share, and both halves of what they say
//! to each other. `no_std`, no allocation, no panics: every bound is a constant.
//!
//! ```text
//!  event() ─▶ QUEUE ═(RAM or flash)═▶ Client ─▶ serial frames or MQTT ─▶ Link ─▶ commit ─▶ count once
//!               ▲                       │ ▲                                │
//!               └── let go ◀── ack ─────┘ └── command ◀── under way ◀──────┘ then acknowledge
//! ```
//!
//! # From nothing to an alarm that is not lost
//!
//! Everything here runs on a PC, against the gateway in memory of [`testing`]; on a device a line takes its place.
//!
//! **An event is counted.** A client needs a name, a queue, and a buffer for its longest message. From when [`Client::event`]
//! returns a number the event is the crate's business.
//!
//! ```
//! use firmware_bridge::testing::Gateway;
//! use firmware_bridge::{Client, Device, Field, RamQueue, Value};
//!
//! let device = Device {
//!     id: "freezer-2",         // as it stands in rules and topics: no two devices have one
//!     firmware: "freezer 1.4", // people see it in `bellwire devices list`
//!     commands: &["defrost"],
//!     seed: 0x1234_5678,       // from the chip's random number generator: another one at each start
//! };
//! let mut client = Client::<_, 256>::new(device, RamQueue::<1024>::new()).unwrap();
//!
//! // The sensor was read. Nobody has to listen yet: the event waits. `now` is in milliseconds since the start.
//! let celsius = Field::new("celsius", Value::Float(-9.5)).unwrap();
//! client.event(&[celsius], 100).unwrap();
//! assert_eq!(client.queued(), 1);
//!
//! // The line is there: the device says hello, is welcomed, sends the event, and lets go of it when it is on disk.
//! let mut gateway = Gateway::new();
//! let mut counted = 0;
//! gateway.talk(&mut client, 2_000, |event| {
//!     assert_eq!(event.fields[0].value, Value::Float(-9.5));
//!     assert_eq!(event.fields[1].name, "at_ms"); // when it happened, by the gateway's clock: nobody set the device's
//!     counted += 1;
//! });
//! assert_eq!((counted, client.queued()), (1, 0));
//! assert_eq!(client.counters().to_string(), "accepted 1, acknowledged 1");
//! ```
//!
//! **A command is answered.** Ask for one at each turn of the main loop, act, and say what came of it. It is handed out once, and
//! not at all when it comes too late.
//!
//! ```
//! # use firmware_bridge::testing::Gateway;
//! # use firmware_bridge::{Client, Device, RamQueue};
//! use firmware_bridge::Outcome;
//! use firmware_bridge::gateway::End;
//! # let device = Device { id: "freezer-2", firmware: "freezer 1.4", commands: &["defrost"], seed: 0x1234_5678 };
//! # let mut client = Client::<_, 256>::new(device, RamQueue::<1024>::new()).unwrap();
//! # let mut gateway = Gateway::new();
//! # gateway.talk(&mut client, 2_000, |_| {});
//!
//! gateway.command("defrost", b"on", 3_000).unwrap(); // somebody tapped a button
//! gateway.talk(&mut client, 3_000, |_| {});
//!
//! let mut relay = false;
//! if let Some(command) = client.command_to_obey(3_010) {
//!     let id = command.id;
//!     let (outcome, detail) = match (command.name, command.payload) {
//!         ("defrost", b"on") => {
//!             relay = true;
//!             (Outcome::Done, "defrosting")
//!         }
//!         _ => (Outcome::Refused, "this freezer only defrosts"),
//!     };
//!     client.answer(id, outcome, detail);
//! }
//! gateway.talk(&mut client, 3_020, |_| {});
//! assert!(relay);
//! assert_eq!(gateway.ended(), Some(End::Answered(Outcome::Done))); // whoever tapped reads "defrosting"
//! assert!(client.command_to_obey(3_030).is_none(), "once");
//! ```
//!
//! **The power goes.** With a queue in flash an accepted event is still there at the next start, and is counted once however often
//! that happens.
//!
//! ```
//! # use firmware_bridge::testing::Gateway;
//! # use firmware_bridge::{Client, Device, Field, Value};
//! use firmware_bridge::flash::FlashQueue;
//! use firmware_bridge::testing::Flash;
//!
//! # let device = Device { id: "freezer-2", firmware: "freezer 1.4", commands: &["defrost"], seed: 0x1234_5678 };
//! # let celsius = || [Field::new("celsius", Value::Float(-9.5)).unwrap()];
//! let mut flash = Flash::<2048>::new(); // on a device a partition, or the last pages of the chip
//! let mut gateway = Gateway::new();
//! let mut counted = Vec::new();
//!
//! let queue = FlashQueue::<_, 96>::open(&mut flash).unwrap();
//! let mut client = Client::<_, 256>::new(device, queue).unwrap();
//! client.event(&celsius(), 100).unwrap();
//! gateway.talk(&mut client, 200, |event| counted.push(event.position()));
//! client.event(&celsius(), 300).unwrap(); // accepted, and never sent:
//! drop(client); // the power goes
//!
//! let queue = FlashQueue::<_, 96>::open(&mut flash).unwrap();
//! let mut client = Client::<_, 256>::new(device, queue).unwrap();
//! gateway.talk(&mut client, 50, |event| counted.push(event.position()));
//! assert_eq!(client.queued(), 0);
//! let positions: Vec<_> = counted.iter().map(|at| (at.boot, at.sequence)).collect();
//! assert_eq!(positions, [(1, 1), (1, 2)]); // both of the first start, each once
//! ```
//!
//! **On a device** a line takes the gateway's place: [`serial::Serial`] over a UART, [`mqtt::Mqtt`] over ESP-IDF's client or any other,
//! `serial_async` (feature `async`) in Embassy. The crate's repository has whole programs for an ESP32 and a Raspberry Pi Pico under
//! `firmware-bridge/examples`.
//!
//! # The map
//!
//! In reading order:
//! - [`event`]: what happened. [`position`]: where it stands among all events of its device.
//! - [`message`]: what the two sides say; `docs/device-protocol.md` tells it in prose, with bytes.
//! - [`client`]: the device's half. [`queue`]: where it keeps events; [`flash`]: so that they survive a power cut.
//! - [`gateway`]: the gateway's half, which decides what is counted and when it may be acknowledged; `lines.rs` tells devices
//!   of one name apart.
//! - [`frame`]: messages on a serial line; [`serial`], `serial_async` and [`mqtt`] join a client to a real one. [`testing`]: to one
//!   in memory.
//! - [`count`]: what was dropped, repeated or refused, by cause.
//!
//! No module but `serial`, `serial_async` and `mqtt` performs input or output; `flash` writes to the flash that it is given. Nobody asks
//! for the time: it is handed in, in milliseconds of any clock that never goes back.

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod client;
mod clock;
pub mod count;
pub mod event;
pub mod flash;
pub mod frame;
pub mod gateway;
mod lines;
pub mod message;
#[cfg(feature = "mqtt")]
pub mod mqtt;
mod orders;
pub mod position;
pub mod queue;
pub mod serial;
#[cfg(feature = "async")]
pub mod serial_async;
pub mod testing;

pub use client::{Client, Device, Outgoing, Refusal};
pub use clock::Millis;
pub use event::{
    DEVICE_MAX_BYTES, Event, FIELDS_MAX, Field, FrameError, NAME_MAX_BYTES, TEXT_MAX_BYTES, VERSION, Value,
    are_possible,
};
pub use message::{Kind, Outcome};
pub use position::{BOOT_MAX, Position};
pub use queue::{Queue, QueueError, RamQueue};
