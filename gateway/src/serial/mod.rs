//! The only serial ports. Frames come up and go down; what they mean is decided elsewhere. A port that is unplugged is
//! opened again when it is back.

/// One port: open, read, write, open again.
mod port;

pub use port::{PortEvent, PortEvents, Ports, start};
