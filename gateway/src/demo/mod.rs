//! To see it work without an account: the simulated Cloud API with a phone to look at, and a shop whose devices publish
//! by themselves. Left out of device packages.

/// The demo's own broker.
pub mod broker;
/// A freezer, a door and a POS terminal.
pub mod shop;
/// The simulated Cloud API: for the demo, for tests, and alone.
pub mod simulator;
