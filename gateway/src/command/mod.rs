//! From a webhook to a command. Nothing here performs I/O, asks the time or throws dice.
//!
//! ```text
//! inbound ─▶ reply ─▶ authorise ═▶ (a Yes or two) ═▶ (commands on disk) ═▶ dispatch ─▶ PUBACK ─▶ the device's answer
//!    └─ status: a receipt moves its message
//! ```

/// What is answered to people; Yes and No.
pub mod answers;
/// A Yes or No to something that waits.
pub mod approval;
/// Whether this person may.
pub mod authorise;
/// What is said under an alert.
mod concerning;
/// STOP and START.
pub mod consent;
/// What may be done, and under which conditions.
pub mod deed;
/// Which command is published now, and when it counts as published.
pub mod dispatch;
/// What is sent that is no words.
mod given;
/// How the gateway appears in Home Assistant, and what may be asked from there.
pub mod home_assistant;
/// What a webhook said, in our words.
pub mod inbound;
/// Somebody new on the list.
pub mod invite;
/// What comes later than it may take.
mod late;
/// What people write for displays and printers.
pub mod onward;
/// What a machine asks people.
pub mod question;
/// What a person meant, and what follows.
pub mod reply;
/// What a device's answer means.
pub mod verdict;
/// Words as their speakers mean them.
pub mod words;
