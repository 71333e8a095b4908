//! Hubs, engines, Meta's simulator and real gateways as processes, killed in the middle of things. Every message is counted by its
//! id: none is lost, and nobody is told twice.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on stops; it waits by the machine's clock, and says what it counted"
)]

/// What the tests start, and the examples.
#[allow(dead_code, reason = "the examples need more of it")]
mod parts;
/// One site behind one hub: alerts, replies, files, revocation.
mod site;
/// What who runs the chain sees and hears.
mod operation;
/// A hub that is killed at each point of a message's way.
mod points;
/// A site that floods, and what a hub costs.
mod flood;
/// Two hubs and three engines, killed under load.
mod chain;
/// What else goes wrong: engines, clocks, Meta, and what comes from it.
mod faults;
/// Nodes of the engine that cannot reach each other.
mod partition;
/// Who did what, and that nobody changed it.
mod audit;
