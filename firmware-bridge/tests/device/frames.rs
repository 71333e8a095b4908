use firmware_bridge::frame::{Decoder, Encoder, Found};
use firmware_bridge::message::{Ack, Command, CommandResult, Hello, Welcome};
use firmware_bridge::{Event, Kind};
use proptest::prelude::*;

const ROOM: usize = 700;

/// A frame, or damage.
type Read = Result<(Option<Kind>, Vec<u8>), ()>;

fn frames(bytes: impl IntoIterator<Item = u8>) -> Vec<Read> {
    let mut decoder = Decoder::<ROOM>::default();
    let mut found = Vec::new();
    for byte in bytes {
        match decoder.push(byte) {
            Found::Nothing => {}
            Found::Frame { kind, message } => found.push(Ok((kind, message.to_vec()))),
            Found::Damaged => found.push(Err(())),
        }
    }
    found
}

fn any_kind() -> impl Strategy<Value = Kind> {
    (0..Kind::ALL.len()).prop_map(|index| Kind::ALL[index])
}

/// Bytes with runs of zeros and of others, around the 254 that a code reaches.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..ROOM - 5),
        proptest::collection::vec(0u8..2, 0..40),
        (240usize..270, any::<bool>()).prop_map(|(length, zero)| {
            let mut bytes = vec![7; length];
            bytes.extend(zero.then_some(0));
            bytes
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn written_frames_are_read_back(kind in any_kind(), message in message()) {
        let bytes: Vec<u8> = Encoder::new(kind, &message).collect();
        let inside = &bytes[1..bytes.len() - 1];
        prop_assert!(!inside.contains(&0) && bytes[0] == 0 && bytes[bytes.len() - 1] == 0);
        prop_assert!(bytes.len() <= message.len() + 5 + 2 + 1 + (message.len() + 5) / 254);
        prop_assert_eq!(frames(bytes), vec![Ok((Some(kind), message))]);
    }

    /// Whatever comes before, the next frame is read.
    #[test]
    fn noise_damages_no_neighbouring_frame(
        noise in proptest::collection::vec(any::<u8>(), 0..2000),
        message in message(),
    ) {
        let bytes = noise.into_iter().chain(Encoder::new(Kind::Event, &message));
        let last = frames(bytes).pop();
        prop_assert_eq!(last, Some(Ok((Some(Kind::Event), message))));
    }

    /// A frame with a byte wrong, missing or too many is noticed, and the one after it is read.
    #[test]
    fn damaged_frames_are_detected(
        first in message(),
        second in message(),
        at in any::<prop::sample::Index>(),
        how in 0..3,
        byte in any::<u8>(),
    ) {
        let mut bytes: Vec<u8> = Encoder::new(Kind::Event, &first).collect();
        let at = 1 + at.index(bytes.len() - 2);
        match how {
            0 => bytes[at] ^= byte.max(1),
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, byte),
        }
        bytes.extend(Encoder::new(Kind::Ack, &second));
        let found = frames(bytes);
        prop_assert_eq!(found.last(), Some(&Ok((Some(Kind::Ack), second))));
        let survivors = found.iter().filter(|frame| matches!(frame, Ok((_, message)) if *message == first)).count();
        prop_assert!(survivors == 0 || how == 2 && byte == 0 && survivors == 1 || found.len() == 2);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        drop(frames(bytes.iter().copied()));
        let mut version_1 = bytes;
        version_1.insert(0, 1);
        let (event, hello) = (Event::decode(&version_1).is_ok(), Hello::decode(&version_1).is_ok());
        let (welcome, ack) = (Welcome::decode(&version_1).is_ok(), Ack::decode(&version_1).is_ok());
        let (command, result) = (Command::decode(&version_1).is_ok(), CommandResult::decode(&version_1).is_ok());
        let _ = (event, hello, welcome, ack, command, result);
    }
}

#[test]
fn an_overlong_frame_is_reported_as_damaged() {
    let long = vec![1; ROOM];
    let bytes = Encoder::new(Kind::Event, &long).chain(Encoder::new(Kind::Ack, &[9]));
    assert_eq!(frames(bytes), [Err(()), Ok((Some(Kind::Ack), vec![9]))]);
}
