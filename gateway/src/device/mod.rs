//! Devices that speak `docs/device-protocol.md`. Nothing here performs I/O, asks the time or throws dice.
//!
//! ```text
//! serial frame ─┐                    ┌─▶ Take ═(intake: event and position in one commit)═▶ Counted ─▶ ack
//! MQTT message ─┴─▶ fleet (a Link each) ─┼─▶ Write ═(disk)═▶ Written ─▶ welcome, command
//! queued command ─▶                  └─▶ Send, Status, Tell
//! ```

/// What the fleet is told, and what it asks for.
mod exchange;
/// All devices: what each said, what is answered, what is commanded.
pub mod fleet;
/// One device.
mod member;
/// Two devices with one name, topics that say another, and more names than there is room for.
mod names;
/// Commands to devices: their number, their end.
pub mod order;
/// What the store keeps of a device.
pub mod record;
/// Whether a device is heard.
pub mod status;
#[cfg(test)]
mod tests;
/// The topics that devices and rules meet on.
pub mod topic;
