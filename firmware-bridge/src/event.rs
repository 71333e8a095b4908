//! What happened at a device, and the bytes that say so.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use crate::message::is_device;
use crate::position::{BOOT_MAX, Position};

/// The first byte of every message.
pub const VERSION: u8 = 1;
/// A device id, as it stands in a topic.
pub const DEVICE_MAX_BYTES: usize = 32;
/// A field's name, a command's name, a firmware's name.
pub const NAME_MAX_BYTES: usize = 24;
/// A text value.
pub const TEXT_MAX_BYTES: usize = 64;
/// Fields in one event: a reading with its limits and its unit has about six.
pub const FIELDS_MAX: usize = 12;
/// The field that says when an event happened, in milliseconds since 1970.
pub(crate) const AT: &str = "at_ms";
/// What names the event itself stands beside its fields in a rule: no field may pass for it.
const RESERVED: [&str; 3] = ["device", "boot", "sequence"];

/// Something that happened at a device. (device, boot, sequence) names it for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub device: String<DEVICE_MAX_BYTES>,
    /// Counts the device's starts.
    pub boot: u32,
    /// Counts the events of one boot.
    pub sequence: u32,
    pub fields: Vec<Field, FIELDS_MAX>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub name: String<NAME_MAX_BYTES>,
    pub value: Value,
}

/// Append only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Bool(bool),
    Integer(i64),
    Float(f32),
    Text(String<TEXT_MAX_BYTES>),
}

/// Why bytes are not a message, or a value does not fit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// No bytes at all.
    Empty,
    /// The first byte names a version that this side does not know.
    Version(u8),
    /// The bytes after it are not what the version says.
    Malformed,
    /// The buffer is too small for the value.
    Full,
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => f.write_str("the frame is empty"),
            Self::Version(found) => {
                write!(f, "the frame is of version {found}, this side reads version {VERSION}")
            }
            Self::Malformed => f.write_str(
                "the frame is damaged, or is not a firmware-bridge event, or its numbers or fields are impossible",
            ),
            Self::Full => f.write_str("the buffer is too small for the event"),
        }
    }
}

impl core::error::Error for FrameError {}

impl Field {
    /// A field of any value. `None` if the name has more than [`NAME_MAX_BYTES`] bytes.
    #[must_use]
    pub fn new(name: &str, value: Value) -> Option<Self> {
        Some(Self { name: String::try_from(name).ok()?, value })
    }

    /// A field of text. `None` if the name or the text is too long ([`NAME_MAX_BYTES`], [`TEXT_MAX_BYTES`]).
    #[must_use]
    pub fn text(name: &str, text: &str) -> Option<Self> {
        Self::new(name, Value::Text(String::try_from(text).ok()?))
    }
}

/// Whether an event may have these fields: each has a name of its own, floats are finite, and what happened did not happen
/// before 1970.
#[must_use]
pub fn are_possible(fields: &[Field]) -> bool {
    fields.iter().enumerate().all(|(at, field)| {
        let name = field.name.as_str();
        let value = match field.value {
            Value::Float(value) => value.is_finite(),
            Value::Integer(value) => name != AT || value >= 0,
            Value::Bool(_) | Value::Text(_) => true,
        };
        let before = fields.get(..at).unwrap_or(&[]);
        value
            && !name.is_empty()
            && !RESERVED.contains(&name)
            && before.iter().all(|other| other.name != field.name)
    })
}

impl Event {
    #[must_use]
    pub fn position(&self) -> Position {
        Position { boot: self.boot, sequence: self.sequence }
    }

    /// Writes the message into `buffer` and returns the part that was used.
    pub fn encode<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a [u8], FrameError> {
        encode(self, buffer)
    }

    /// Reads a message; bytes after it are an error, since a message is a whole payload.
    pub fn decode(message: &[u8]) -> Result<Self, FrameError> {
        decode(message)
    }
}

/// The version byte, then the value in postcard.
pub(crate) fn encode<'b, T: Serialize>(value: &T, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
    let (first, rest) = buffer.split_first_mut().ok_or(FrameError::Full)?;
    *first = VERSION;
    let used = postcard::to_slice(value, rest).map_err(|_| FrameError::Full)?.len();
    buffer.get(..=used).ok_or(FrameError::Full)
}

/// What a message must keep to besides its encoding.
pub(crate) trait Possible {
    fn is_possible(&self) -> bool;

    /// The bytes of its one form. postcard reads overlong numbers too, `80 00` for 0, and such a message is longer.
    fn length(&self) -> usize;
}

/// The bytes of a varint.
pub(crate) fn length_of(number: u64) -> usize {
    let mut rest = number >> 7;
    let mut length = 1usize;
    while rest > 0 {
        rest >>= 7;
        length = length.saturating_add(1);
    }
    length
}

pub(crate) fn length_of_bytes(length: usize) -> usize {
    length_of(length as u64).saturating_add(length)
}

impl Possible for Event {
    fn is_possible(&self) -> bool {
        is_device(&self.device)
            && (1..=BOOT_MAX).contains(&self.boot)
            && self.sequence > 0
            && are_possible(&self.fields)
    }

    fn length(&self) -> usize {
        let of_field = |field: &Field| {
            let value = match &field.value {
                Value::Bool(_) => 1,
                Value::Integer(value) => length_of(((value << 1) ^ (value >> 63)).cast_unsigned()),
                Value::Float(_) => 4,
                Value::Text(text) => length_of_bytes(text.len()),
            };
            length_of_bytes(field.name.len()) + 1 + value
        };
        let head = length_of_bytes(self.device.len())
            + length_of(self.boot.into())
            + length_of(self.sequence.into());
        head + 1 + self.fields.iter().map(of_field).sum::<usize>()
    }
}

pub(crate) fn decode<'b, T: Deserialize<'b> + Possible>(message: &'b [u8]) -> Result<T, FrameError> {
    match message.split_first() {
        None => Err(FrameError::Empty),
        Some((&VERSION, rest)) => match postcard::take_from_bytes::<T>(rest) {
            Ok((value, [])) if value.is_possible() && value.length() == rest.len() => Ok(value),
            Ok(_) | Err(_) => Err(FrameError::Malformed),
        },
        Some((&found, _)) => Err(FrameError::Version(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let field = |name: &str, value| Field { name: String::try_from(name).expect("short"), value };
        let mut fields = Vec::new();
        fields.push(field("celsius", Value::Float(-12.5))).expect("room");
        fields.push(field("door", Value::Bool(true))).expect("room");
        fields.push(field("count", Value::Integer(-3))).expect("room");
        fields.push(field("state", Value::Text(String::try_from("warm").expect("short")))).expect("room");
        Event { device: String::try_from("freezer-2").expect("short"), boot: 7, sequence: 300, fields }
    }

    #[test]
    fn the_encoding_never_changes() {
        let mut buffer = [0; 128];
        let frame = event().encode(&mut buffer).expect("fits");
        let golden: &[u8] = b"\x01\x09freezer-2\x07\xac\x02\x04\x07celsius\x02\x00\x00\x48\xc1\x04door\x00\x01\x05count\x01\x05\x05state\x03\x04warm";
        assert_eq!(frame, golden);
        assert_eq!(Event::decode(golden), Ok(event()));
    }

    #[test]
    fn what_is_not_a_frame_says_why() {
        assert_eq!(Event::decode(&[]), Err(FrameError::Empty));
        assert_eq!(Event::decode(&[9, 1, 2]), Err(FrameError::Version(9)));
        assert_eq!(Event::decode(&[VERSION, 255, 255]), Err(FrameError::Malformed));
        let mut buffer = [0; 128];
        let frame = event().encode(&mut buffer).expect("fits");
        for cut in 0..frame.len() {
            assert!(Event::decode(&frame[..cut]).is_err(), "{cut} bytes");
        }
        assert_eq!(event().encode(&mut [0; 20]), Err(FrameError::Full));
    }
}
