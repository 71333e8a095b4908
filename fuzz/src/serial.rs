//! Bytes on a serial line: whatever the noise, the next whole frame is found, and what is read can be written again.

use firmware_bridge::frame::{Decoder, Encoder, Found, OVERHEAD_BYTES};
use firmware_bridge::message::{Ack, Command, CommandResult, Hello, TO_GATEWAY_MAX_BYTES, Welcome};
use firmware_bridge::{Event, FrameError, Kind};

type Line = Decoder<{ TO_GATEWAY_MAX_BYTES + OVERHEAD_BYTES }>;

pub fn serial(data: &[u8]) {
    let mut line = Line::default();
    for byte in data {
        if let Found::Frame { kind, message } = line.push(*byte) {
            assert!(message.len() <= TO_GATEWAY_MAX_BYTES);
            if let Some(kind) = kind {
                let message = message.to_vec();
                again(kind, &message);
                read(kind, &message);
            }
        }
    }
    // Whatever came before, a frame is found.
    let found = Encoder::new(Kind::Hello, b"hello")
        .filter(|byte| line.push(*byte) == Found::Frame { kind: Some(Kind::Hello), message: b"hello" })
        .count();
    assert_eq!(found, 1);
    for kind in Kind::ALL {
        read(kind, data);
    }
    if data.len() <= TO_GATEWAY_MAX_BYTES {
        again(Kind::Event, data);
    }
}

/// A message goes over the line unchanged.
fn again(kind: Kind, message: &[u8]) {
    let mut line = Line::default();
    let found = Encoder::new(kind, message)
        .filter(|byte| line.push(*byte) == Found::Frame { kind: Some(kind), message })
        .count();
    assert_eq!(found, 1);
}

/// What can be read can be written, and reads the same again. (Its bytes may differ: numbers may be written too long.)
fn read(kind: Kind, message: &[u8]) {
    let mut buffer = [0; TO_GATEWAY_MAX_BYTES];
    macro_rules! same {
        ($type:ident) => {
            if let Ok(read) = $type::decode(message) {
                match read.encode(&mut buffer) {
                    Ok(bytes) => assert!($type::decode(bytes).is_ok_and(|again| alike(&again, &read))),
                    Err(error) => assert_eq!(error, FrameError::Full, "{read:?}"),
                }
            }
        };
    }
    match kind {
        Kind::Hello => same!(Hello),
        Kind::Event => same!(Event),
        Kind::Result => same!(CommandResult),
        Kind::Welcome => same!(Welcome),
        Kind::Ack => same!(Ack),
        Kind::Command => same!(Command),
        Kind::Version => {}
    }
}

/// As they are printed: no number is a number that equals itself.
fn alike(one: &impl std::fmt::Debug, other: &impl std::fmt::Debug) -> bool {
    format!("{one:?}") == format!("{other:?}")
}
