//! The simulated Cloud API. It validates what Meta validates, answers in Meta's form, enforces Meta's limits by its own
//! clock, and sends signed webhooks. For the tests of any program that speaks to the Cloud API; it knows nothing of the gateway,
//! so that a mistake there is not repeated here.
//!
//! A request goes `serve → api → validate → world (limits, templates, media, people) → receipts → webhooks`; a person's
//! word goes `serve → control → world → webhooks`.

/// Token, numbers, subscription, and what their nodes show.
mod account;
/// `/{version}/…`: the Cloud API.
mod api;
/// What a number has besides its messages: profile, QR codes, blocked people.
mod business;
/// What a person can tap in a message.
mod buttons;
/// `/_simulator/…`: the control interface and the phone.
mod control;
/// What goes wrong next.
mod faults;
/// Hexadecimal digits, and what is escaped in addresses.
mod encoding;
/// The fields that nodes have, and field expansion.
mod fields;
/// Meta's error form.
mod graph;
/// Throughput, pair rate, the 24 h window.
mod limits;
/// Uploaded and received media.
mod media;
/// Who has WhatsApp: phone numbers and user ids.
mod people;
/// The `pricing` of statuses.
mod price;
/// What happens to a message that was taken: its statuses.
mod receipts;
/// What becomes of a message that was taken.
mod plan;
/// The accept loop, which can also drop a connection without an answer.
mod serve;
/// The `X-Hub-Signature-256` of webhooks.
mod signature;
/// What all requests share.
mod state;
/// The template catalogue.
mod templates;
/// Milliseconds since 1970.
mod time;
/// What Meta would refuse.
mod validate;
/// Ids of messages.
mod wamid;
/// Signed webhooks, sent again until they are taken.
mod webhooks;
/// What it remembers and decides; no sockets.
mod world;

pub use serve::{Settings, serve, serve_with};
pub use world::Options;
