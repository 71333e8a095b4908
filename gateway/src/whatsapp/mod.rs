//! The only Cloud API: its forms become our words here, and ours become its. Nothing here touches the store or decides
//! what follows from an answer.

/// Message templates as Meta lists them.
pub mod catalogue;
/// The connection to Meta: one request, one answer.
pub mod client;
/// The same requests through a hub, which repeats none; and what it has for this site.
pub mod hub;
/// Where and as whom to ask.
pub mod endpoint;
/// Meta's error codes as classes.
pub mod errors;
/// Questions about the account.
pub mod graph;
/// Webhook bodies, read.
pub mod inbound;
/// How long things may be, and how they are cut.
pub mod limits;
/// What Meta tells of the account, the number, the templates.
pub mod notices;
/// Messages that people wrote: shown as read, their files fetched.
pub mod received;
/// A message of the outbox as a request, before anything is sent.
pub mod prepare;
/// A message as Meta wants it.
pub mod request;
/// Webhook signatures and the verification handshake.
pub mod signature;
/// Files on their way out, in pieces.
pub mod upload;
