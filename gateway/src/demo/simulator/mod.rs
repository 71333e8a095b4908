//! The simulated Cloud API. It validates what Meta validates, answers in Meta's form, enforces Meta's limits by its own
//! clock, and sends signed webhooks. Nothing here is used by the daemon.

/// `/{version}/…`: the token, the number, the business account.
mod account;
/// `/{version}/{phone_number_id}/messages`: the sending.
mod api;
/// `/_simulator/…`: the control interface and the phone.
mod control;
/// What goes wrong next.
mod faults;
/// The accept loop, which can also drop a connection without an answer.
mod serve;
/// What Meta would refuse.
mod validate;
/// Signed webhooks, sent again until they are taken.
mod webhooks;
/// What it remembers and decides; no sockets.
mod world;

pub use serve::serve;
pub use world::Options;
