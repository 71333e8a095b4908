//! Replies of people, their meaning, and what follows. Pure: no I/O, no clock.
//!
//! ```text
//! inbound ─▶ interpret ─▶ follow_up ─▶ effect ═▶ Store::apply
//!             context ┘     facts ┘
//! ```

/// The content of webhooks, in our words.
pub mod inbound;
/// The context in which a reply is understood.
pub mod context;
/// The meaning of a reply.
pub mod interpret;
/// The facts on record that decide.
pub mod facts;
/// The effects of a reply.
pub mod follow_up;
/// Somebody who is no contact, or was invited.
pub mod stranger;
/// The identity of a sender.
pub mod sender;
/// One message, while that is decided.
pub mod answer;
/// A Yes or No to a request, a choice of a machine's question.
mod agreement;
/// The owner invites somebody, or takes them off the list.
pub mod invitation;
/// The answer to "status".
pub mod status_text;
/// Notices to the owner, and their words.
pub mod owner_notice;
/// Notices to the owner about budgets and Meta's daily limit.
pub mod budget_notice;
/// Alerts that have reached nobody: what the owner is told.
pub mod undelivered;
/// Rules that cannot judge their events: what the owner is told.
pub mod unjudged;
/// Effects as data.
pub mod effect;
/// Replies under an alert.
pub(crate) mod alert_reply;
/// Answers to people; Yes and No.
pub mod keywords;
/// STOP and START.
pub mod opt_out;
/// The syntax of an invitation.
pub mod invitation_syntax;
/// Messages without words.
pub(crate) mod media_reply;
/// Messages for displays and printers.
pub mod forward;
/// Replies that come too late.
pub(crate) mod late_reply;
