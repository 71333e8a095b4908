use firmware_bridge::frame::{Decoder, Encoder, Found};
use firmware_bridge::message::{Ack, Command, CommandResult, Hello, Welcome};
use firmware_bridge::{Event, Kind};

const PAGE: &str = include_str!("../../../docs/device-protocol.md");

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The values in words, and the message that they are written as again.
fn read(kind: Kind, message: &[u8]) -> (String, Vec<u8>) {
    let mut buffer = [0; 400];
    let buffer = &mut buffer[..];
    match kind {
        Kind::Hello => {
            let hello = Hello::decode(message).unwrap();
            (format!("{hello:?}"), hello.encode(buffer).unwrap().to_vec())
        }
        Kind::Event => {
            let event = Event::decode(message).unwrap();
            (format!("{event:?}"), event.encode(buffer).unwrap().to_vec())
        }
        Kind::Result => {
            let result = CommandResult::decode(message).unwrap();
            (format!("{result:?}"), result.encode(buffer).unwrap().to_vec())
        }
        Kind::Welcome => {
            let welcome = Welcome::decode(message).unwrap();
            (format!("{welcome:?}"), welcome.encode(buffer).unwrap().to_vec())
        }
        Kind::Ack => {
            let ack = Ack::decode(message).unwrap();
            (format!("{ack:?}"), ack.encode(buffer).unwrap().to_vec())
        }
        Kind::Command => {
            let command = Command::decode(message).unwrap();
            (format!("{command:?}"), command.encode(buffer).unwrap().to_vec())
        }
        Kind::Version => (message[0].to_string(), message.to_vec()),
    }
}

#[test]
fn the_documented_vectors_match_the_crate() {
    let mut kinds = Vec::new();
    for block in PAGE.split("```vector\n").skip(1) {
        let value = |name: &str| {
            let line = block.lines().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("no {name} in {block}"))[name.len()..].trim()
        };
        let kind = Kind::from_byte(bytes(value("kind"))[0]).unwrap();
        let (message, frame) = (bytes(value("message")), bytes(value("frame")));
        assert_eq!(read(kind, &message), (value("values").to_owned(), message.clone()));
        assert_eq!(Encoder::new(kind, &message).collect::<Vec<u8>>(), frame, "{kind:?}");
        let mut decoder = Decoder::<1200>::default();
        let found = frame.iter().fold(false, |found, byte| {
            found | (decoder.push(*byte) == Found::Frame { kind: Some(kind), message: &message })
        });
        assert!(found, "{kind:?}");
        kinds.push(kind);
    }
    assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
}

fn is_read(kind: Kind, message: &[u8]) -> bool {
    match kind {
        Kind::Hello => Hello::decode(message).is_ok(),
        Kind::Event => Event::decode(message).is_ok(),
        Kind::Result => CommandResult::decode(message).is_ok(),
        Kind::Welcome => Welcome::decode(message).is_ok(),
        Kind::Ack => Ack::decode(message).is_ok(),
        Kind::Command => Command::decode(message).is_ok(),
        Kind::Version => true,
    }
}

/// Kind, message and why, of what the page says is refused.
fn refused() -> Vec<(Kind, Vec<u8>, &'static str)> {
    let block = |block: &'static str| {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        (Kind::from_byte(bytes(value("kind"))[0]).unwrap(), bytes(value("message")), value("why"))
    };
    PAGE.split("```refused\n").skip(1).map(block).collect()
}

#[test]
fn impossible_messages_are_malformed() {
    use firmware_bridge::FrameError;
    let refused = refused();
    assert!(refused.len() > 60, "{refused:?}");
    for (kind, message, why) in refused {
        assert!(!is_read(kind, &message), "{kind:?}: {why}");
        assert_eq!(message[0], firmware_bridge::VERSION, "{why}");
    }
    assert_eq!(
        Event::decode(&[1, 0, 7, 1, 0]),
        Err(FrameError::Malformed),
        "no answer to a device without a name"
    );
}

/// Every number of every vector, written one byte longer than it must be.
#[test]
fn no_message_has_two_forms() {
    for block in PAGE.split("```vector\n").skip(1) {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        let (kind, message) = (Kind::from_byte(bytes(value("kind"))[0]).unwrap(), bytes(value("message")));
        for at in (1..message.len()).filter(|at| message[*at] < 0x80) {
            let longer = [&message[..at], &[message[at] | 0x80, 0], &message[at + 1..]].concat();
            let same =
                kind != Kind::Version && is_read(kind, &longer) && read(kind, &longer).0 == value("values");
            assert!(!same, "{kind:?} at {at}");
        }
    }
}

/// The example in Python refuses the same, and what it would not be acknowledged.
#[test]
fn the_example_in_python_refuses_what_the_page_says() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/device/refuses.py");
    let to_device = |(kind, message, _): &(Kind, Vec<u8>, &str)| {
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        Kind::TO_DEVICE.contains(kind).then(|| format!("{:02x}:{hex}", kind.byte()))
    };
    let refused: Vec<String> = refused().iter().filter_map(to_device).collect();
    assert!(refused.len() > 8, "{refused:?}");
    let output = std::process::Command::new("python3").arg(script).args(refused).output();
    let output = output.expect("python3 is needed for this test: install it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_page_names_every_kind_and_bound() {
    use firmware_bridge::message::{
        COMMANDS_MAX, PAYLOAD_MAX_BYTES, TO_DEVICE_MAX_BYTES, TO_GATEWAY_MAX_BYTES,
    };
    use firmware_bridge::{DEVICE_MAX_BYTES, FIELDS_MAX, NAME_MAX_BYTES, TEXT_MAX_BYTES};
    for kind in Kind::ALL {
        let row = format!("| {kind:?} | `{:02x}` | `{}` |", kind.byte(), kind.topic_level());
        assert!(PAGE.contains(&row), "{row}");
    }
    for bound in [
        format!("device: text ≤ {DEVICE_MAX_BYTES}"),
        format!("list ≤ {COMMANDS_MAX} of text ≤ {NAME_MAX_BYTES}"),
        format!("list ≤ {FIELDS_MAX} of field"),
        format!("detail: text ≤ {TEXT_MAX_BYTES}"),
        format!("payload: bytes ≤ {PAYLOAD_MAX_BYTES}"),
        format!(
            "to a device has {TO_DEVICE_MAX_BYTES} bytes, the longest to the gateway {TO_GATEWAY_MAX_BYTES}"
        ),
        format!("at most {} that are not acknowledged", firmware_bridge::client::WINDOW),
        format!("every {} seconds, which is the heartbeat", firmware_bridge::client::HELLO_EVERY_MS / 1000),
        format!("again every {} seconds", firmware_bridge::gateway::COMMAND_AGAIN_MS / 1000),
        format!("or {} seconds after it expired", firmware_bridge::gateway::ANSWER_GRACE_MS / 1000),
    ] {
        assert!(PAGE.replace('\n', " ").contains(&bound), "the page lacks: {bound}");
    }
}

#[test]
fn the_longest_messages_are_as_long_as_the_page_says() {
    use firmware_bridge::Outcome;
    use firmware_bridge::message::{
        PAYLOAD_MAX_BYTES, RESULT_MAX_BYTES, TO_DEVICE_MAX_BYTES, TO_GATEWAY_MAX_BYTES,
    };
    use firmware_bridge::{DEVICE_MAX_BYTES, FIELDS_MAX, Field, NAME_MAX_BYTES, TEXT_MAX_BYTES};
    let mut buffer = [0; 2000];
    let name = "n".repeat(NAME_MAX_BYTES);
    let command = Command {
        boot: u32::MAX,
        id: u64::MAX,
        expires_at_ms: u64::MAX,
        name: &name,
        payload: &[0; PAYLOAD_MAX_BYTES],
    };
    assert_eq!(command.encode(&mut buffer).unwrap().len(), TO_DEVICE_MAX_BYTES);
    let result = CommandResult {
        device: &"d".repeat(DEVICE_MAX_BYTES),
        boot: u32::MAX,
        id: u64::MAX,
        outcome: Outcome::Done,
        detail: &"t".repeat(TEXT_MAX_BYTES),
    };
    assert_eq!(result.encode(&mut buffer).unwrap().len(), RESULT_MAX_BYTES);
    let field = Field::text(&name, &"t".repeat(TEXT_MAX_BYTES)).unwrap();
    let event = Event {
        device: heapless::String::try_from("d".repeat(DEVICE_MAX_BYTES).as_str()).unwrap(),
        boot: u32::MAX,
        sequence: u32::MAX,
        fields: std::iter::repeat_n(field, FIELDS_MAX).collect(),
    };
    assert_eq!(event.encode(&mut buffer).unwrap().len(), TO_GATEWAY_MAX_BYTES);
}
