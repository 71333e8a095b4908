//! What the crate promises, held against bad lines, bad flash and bad luck.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

/// One small generator of chance for all seeds.
mod dice;
/// The example for the ESP32, as far as it is no ESP32's.
mod esp32;
/// A simulated NOR flash that loses power where it is told to.
mod flash;
/// Any bytes into the frame decoder.
mod frames;
/// A gateway at the end of a real stream of bytes.
mod line;
/// A power cut at every write of the flash queue.
mod power_cuts;
/// The example device of the documentation, as a process.
mod python;
/// A device that keeps its events and is given another name.
mod renamed;
/// Both halves on a good line, step by step.
mod session;
/// Devices, a bad line and a gateway, from ten thousand seeds.
mod simulation;
/// The test vectors and bounds of docs/device-protocol.md.
mod vectors;
