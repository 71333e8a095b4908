//! Who did what at the hub: sites, tokens, limits, and each message with Meta's answer. Append-only in the engine, in chains: an entry
//! holds the hash of the one before, so that a changed or removed one is noticed (docs/decisions/0042).

/// An entry and its hash. Pure.
mod entry;
/// One chain for each hub, one for all commands.
mod writer;
/// Whether the chains hold. Pure.
mod verify;

pub use entry::{Entry, Head, Note};
pub use verify::{Verified, verify};
pub use writer::{Audit, command, who};
