//! What sites send: the Cloud API as it is, with a key by which a repetition gets the same answer. What did not leave is never
//! answered with a 5xx: a site takes that for "may have gone out".

/// What a request asks for. Pure.
mod request;
/// What is known of a key, and what follows. Pure.
mod sent;
/// One request to Meta.
mod meta;
/// The way of one message.
mod send;

pub use meta::{Request, posted};
pub use request::{Outgoing, RequestError, SEVERITY, is_tag, tag};
pub use send::{Ports, Posted, Told, send};
pub use sent::Answer;
