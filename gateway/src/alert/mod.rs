//! From an event to a message's end. Nothing here performs I/O, asks the time or throws its own dice.

pub mod delivery;
pub mod event;
pub mod message;
pub mod rule;
pub mod template;
pub mod topic;
