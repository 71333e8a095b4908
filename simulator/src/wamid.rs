//! Ids of messages.

use base64::Engine;

use crate::time::Timestamp;

/// As Meta's look: base64 of bytes in which the person's number stands (the examples of Meta's reference decode to it).
pub fn wamid(who: &str, direction: u8, at: Timestamp, number: u64) -> String {
    let unique = format!("{:012X}{:06}", at.0, number % 1_000_000);
    let mut bytes = vec![0x1c, 0x18, u8::try_from(who.len()).unwrap_or(u8::MAX)];
    bytes.extend(who.bytes());
    bytes.extend([0x15, 0x02, 0x00, direction, 0x18, 0x12]);
    bytes.extend(unique.bytes());
    bytes.push(0);
    format!("wamid.{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}
