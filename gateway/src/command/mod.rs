//! From a webhook to a command. Nothing here performs I/O, asks the time or throws dice.
//!
//! ```text
//! inbound ─▶ reply ─▶ authorise ═▶ (commands on disk) ═▶ dispatch ─▶ PUBACK
//!    └─ status: a receipt moves its message
//! ```

/// Whether this person may.
pub mod authorise;
/// STOP and START.
pub mod consent;
/// Which command is published now, and when it counts as published.
pub mod dispatch;
/// What a webhook said, in our words.
pub mod inbound;
/// What a person meant, and what follows.
pub mod reply;
