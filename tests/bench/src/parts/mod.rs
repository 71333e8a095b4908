//! The parts of a measurement, each a process on a stated core.

mod broker;
mod database;
mod gateway;
mod peer;
mod process;
mod sink;

pub use broker::Broker;
pub use database::{fill, fill_sent, number};
pub use gateway::{Plan, Site};
pub use peer::{PEOPLE, Peer, install};
pub use process::{Cores, Process, Usage, free_port, role};
pub use sink::Sink;
