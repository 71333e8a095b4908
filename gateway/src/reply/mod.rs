//! What people write back, and what they mean by it. Pure: no I/O, no clock.

/// What a webhook said, in our words.
pub mod inbound;
/// What a reply is understood by.
pub mod context;
/// What a person meant, and what follows.
pub mod interpret;
/// What is said under an alert.
pub(crate) mod alert_reply;
/// What is answered to people; Yes and No.
pub mod keywords;
/// STOP and START.
pub mod opt_out;
/// Somebody new on the list.
pub mod invitation_syntax;
/// What is sent that is no words.
pub(crate) mod media_reply;
/// What people write for displays and printers.
pub mod forward;
/// What comes later than it may take.
pub(crate) mod late_reply;
