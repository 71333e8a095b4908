//! Devices that never lose an event: the wire types that a device and the gateway share, and both halves of what they say
//! to each other. `no_std`, no allocation, no panics: every bound is a constant.
//!
//! ```text
//!  event() ─▶ QUEUE ═(RAM or flash)═▶ Client ─▶ serial frames or MQTT ─▶ Link ─▶ commit ─▶ count once
//!               ▲                       │ ▲                                │
//!               └── let go ◀── ack ─────┘ └── command ◀── under way ◀──────┘ then acknowledge
//! ```
//!
//! In reading order:
//! - [`event`]: what happened. [`position`]: where it stands among all events of its device.
//! - [`message`]: what the two sides say; `docs/device-protocol.md` tells it in prose, with bytes.
//! - [`client`]: the device's half. [`queue`]: where it keeps events; [`flash`]: so that they survive a power cut.
//! - [`gateway`]: the gateway's half, which decides what is counted and when it may be acknowledged; `lines.rs` tells devices
//!   of one name apart.
//! - [`frame`]: messages on a serial line; [`serial`] and [`mqtt`] join a client to a real one.
//! - [`count`]: what was dropped, repeated or refused, by cause.
//!
//! No module but `serial` and `mqtt` performs input or output; `flash` writes to the flash that it is given. Nobody asks
//! for the time: it is handed in, in milliseconds of any clock that never goes back.

#![no_std]

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

pub use client::{Client, Device, Outgoing, Refusal};
pub use clock::Millis;
pub use event::{
    DEVICE_MAX_BYTES, Event, FIELDS_MAX, Field, FrameError, NAME_MAX_BYTES, TEXT_MAX_BYTES, VERSION, Value,
    are_possible,
};
pub use message::{Kind, Outcome};
pub use position::{BOOT_MAX, Position};
pub use queue::{Queue, QueueError, RamQueue};
