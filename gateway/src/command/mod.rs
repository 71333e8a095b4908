//! From a webhook to a command. Nothing here performs I/O, asks the time or throws dice.

pub mod inbound;
