//! To see it work without an account: a shop whose devices publish by themselves, and its broker. The package in
//! `simulator/` plays WhatsApp. Left out of what is built for devices.

/// The demo's own broker.
pub mod broker;
/// A freezer, a door and a POS terminal.
pub mod shop;
