//! What came in: topics, payloads and what they are read as. Nothing here knows a rule's settings but the payload's format.

/// What came in.
pub mod incoming;
/// Bytes to a value: JSON, text, number, CBOR, postcard; Sparkplug needs memory, and is read before.
pub mod decode;
/// JSON, and what is wrong with what only begins like it.
pub mod json;
/// What CloudEvents are called.
pub mod cloudevents;
/// Sparkplug: metrics by the names that births gave them.
pub mod sparkplug;
/// Patterns with named levels, and topics to publish to.
pub mod topic;
/// Which filters to subscribe to, so that each publish comes once.
pub mod subscription_cover;
