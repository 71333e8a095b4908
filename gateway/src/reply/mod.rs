//! What people write back, what they mean by it, and what follows. Pure: no I/O, no clock.
//!
//! ```text
//! inbound ─▶ interpret ─▶ follow_up ─▶ effect ═▶ Store::apply
//!             context ┘     facts ┘
//! ```

/// What a webhook said, in our words.
pub mod inbound;
/// What a reply is understood by.
pub mod context;
/// What a person meant.
pub mod interpret;
/// What is on record and decides.
pub mod facts;
/// What follows from it.
pub mod follow_up;
/// Somebody who is no contact, or was invited.
pub mod stranger;
/// Who wrote, and whether it is still them.
pub mod sender;
/// One message, while that is decided.
pub mod answer;
/// A Yes or No to a request, a choice of a machine's question.
mod agreement;
/// The owner invites somebody, or takes them off the list.
pub mod invitation;
/// What goes on, for whoever asks by "status".
pub mod status_text;
/// What the owner should know, and in which words.
pub mod owner_notice;
/// What the owner hears of budgets and of Meta's daily limit.
pub mod budget_notice;
/// Alerts that have reached nobody: what the owner is told.
pub mod undelivered;
/// Rules that cannot judge their events: what the owner is told.
pub mod unjudged;
/// What follows, as data.
pub mod effect;
/// What is said under an alert.
pub(crate) mod alert_reply;
/// What is answered to people; Yes and No.
pub mod keywords;
/// STOP and START.
pub mod opt_out;
/// How an invitation is written.
pub mod invitation_syntax;
/// What is sent that is no words.
pub(crate) mod media_reply;
/// What people write for displays and printers.
pub mod forward;
/// What comes later than it may take.
pub(crate) mod late_reply;
