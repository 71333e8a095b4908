//! The only MQTT library. One adapter for MQTT 5 and 3.1.1; the contract it keeps (C1 to C11) is in
//! `tests/it/mqtt_contract.rs`. Nothing here decides: events go up, acknowledgements and commands come down.

/// What to do about a broker's certificate.
mod advice;
/// What the broker announces when it lets us in.
mod limits;
/// The link: connect, receive, acknowledge, publish, connect again.
mod connection;
/// Which copy of this gateway is the newest.
mod copies;
/// A test message of our own, through the broker and back.
mod loopback;
/// One copy of each publish, where subscriptions overlap.
mod overlapping;
/// Everything that is published, for a recording.
mod recorder;
/// What the broker lets us do.
mod probe;
/// What a connection is made with.
mod settings;
/// The subscriptions of a session, and which copy of a publish is the event.
mod subscriptions;
/// Another client with our client id.
mod takeover;
/// MQTT 3.1.1 on the wire.
mod v4;
/// MQTT 5 on the wire.
mod v5;
/// What both versions have in common, as a trait.
mod protocol;

pub use connection::{AckToken, BrokerHandle, ConnectionEvent, start};
pub use copies::CopyMark;
pub use probe::{Probed, probe};
pub use protocol::{Cause, Publish};
pub use recorder::{ObservedMessage, record};
pub use settings::Settings;
pub use subscriptions::Grants;
