//! Each vector of the page, as each client reads and writes it, and each message that the page refuses.

use bellwire_tests::free_port;
use firmware_bridge::message::{Command, CommandResult, Hello, Welcome};
use firmware_bridge::{Event, Kind, Position, Value};

use super::harness::{Harness, Which};
use super::stage::{bytes, refused};

const PAGE: &str = include_str!("../../../docs/device-protocol.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("x".to_owned(), |word, byte| format!("{word}{byte:02x}"))
}

/// The question whose answer is the message, and the answer.
fn question(kind: Kind, message: &[u8]) -> (String, String) {
    let asked = match kind {
        Kind::Hello => {
            let hello = Hello::decode(message).unwrap();
            let commands: String =
                hello.commands.iter().map(|name| format!(" {}", hex(name.as_bytes()))).collect();
            format!(
                "encode-hello {} {} {} {} {} {} {} {}{commands}",
                hex(hello.device.as_bytes()),
                hello.boot,
                hello.token,
                hello.oldest.boot,
                hello.oldest.sequence,
                hello.queued,
                hello.refused,
                hex(hello.firmware.as_bytes())
            )
        }
        Kind::Event => {
            let event = Event::decode(message).unwrap();
            let at = event.position();
            let fields: String =
                event.fields.iter().map(|field| format!(" {}", word(&field.name, &field.value))).collect();
            format!("encode-event {} {} {}{fields}", hex(event.device.as_bytes()), at.boot, at.sequence)
        }
        Kind::Result => {
            let result = CommandResult::decode(message).unwrap();
            let (device, detail) = (hex(result.device.as_bytes()), hex(result.detail.as_bytes()));
            format!("encode-result {device} {} {} {} {detail}", result.boot, result.id, result.outcome as u8)
        }
        Kind::Welcome | Kind::Ack | Kind::Command | Kind::Version => {
            return (format!("decode {:02x} {}", kind.byte(), hex(message)), values(kind, message));
        }
    };
    (asked, hex(message))
}

fn word(name: &str, value: &Value) -> String {
    let name = hex(name.as_bytes());
    match value {
        Value::Bool(value) => format!("{name}:b:{}", u8::from(*value)),
        Value::Integer(value) => format!("{name}:i:{value}"),
        Value::Float(value) => format!("{name}:f:{value}"),
        Value::Text(text) => format!("{name}:t:{}", hex(text.as_bytes())),
    }
}

fn values(kind: Kind, message: &[u8]) -> String {
    let of = |at: Position| format!("{} {}", at.boot, at.sequence);
    match kind {
        Kind::Welcome => {
            let welcome = Welcome::decode(message).unwrap();
            format!("{} {} {} {}", welcome.token, welcome.boot, of(welcome.counted), welcome.unix_ms)
        }
        Kind::Ack => of(firmware_bridge::message::Ack::decode(message).unwrap().counted),
        Kind::Command => {
            let command = Command::decode(message).unwrap();
            let (name, payload) = (hex(command.name.as_bytes()), hex(command.payload));
            format!("{} {} {} {name} {payload}", command.boot, command.id, command.expires_at_ms)
        }
        Kind::Hello | Kind::Event | Kind::Result | Kind::Version => "refused".to_owned(),
    }
}

/// What a device would have to be told to say a message that the page refuses. A client cannot say the others: it writes each
/// number in its one form, and in as many bits as it has.
const NEVER_SAID: &[(&str, &str)] = &[
    ("the device has no name", "encode-hello x 7 1 0 0 0 0 x64 x"),
    ("the oldest event is of a boot beyond the device's own", "encode-hello x66 7 1 9 1 0 0 x64"),
    ("a device that does not know its boot number knows no position", "encode-hello x66 0 1 1 1 1 0 x64"),
    ("sequences begin at 1", "encode-hello x66 7 1 2 0 1 0 x64"),
    ("boot 0 has no events", "encode-hello x66 7 1 0 3 1 0 x64"),
    (
        "boot 2³²-1 is no number: there would be none for the next start",
        "encode-hello x66 4294967295 1 0 0 0 0 x64",
    ),
    ("sequences begin at 1", "encode-event x66 7 0 x6e:i:1"),
    ("boot 0 has no events", "encode-event x66 0 1 x6e:i:1"),
    ("boot 2³²-1 is no number", "encode-event x66 4294967295 1 x6e:i:1"),
    ("two fields have one name", "encode-event x66 7 1 x6e:i:1 x6e:i:2"),
    ("a field has no name", "encode-event x66 7 1 x:i:1"),
    ("the name `device` is reserved", "encode-event x66 7 1 x646576696365:t:x67"),
    ("the name `sequence` is reserved", "encode-event x66 7 1 x73657175656e6365:i:2"),
    ("NaN is no number", "encode-event x66 7 1 x6e:f:nan"),
    ("an infinite number says nothing", "encode-event x66 7 1 x6e:f:inf"),
    ("nothing happened before 1970", "encode-event x66 7 1 x61745f6d73:i:-1"),
    ("a text is UTF-8", "encode-event x66 7 1 x6e:t:xc328"),
    ("command ids begin at 1", "encode-result x66 7 0 0 x"),
];

fn check(which: Which) {
    let mut harness = Harness::start(which, "freezer-2", &free_port().to_string(), None, None);
    let mut kinds = Vec::new();
    for block in PAGE.split("```vector\n").skip(1) {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        let (kind, message) = (Kind::from_byte(bytes(value("kind"))[0]).unwrap(), bytes(value("message")));
        let (byte, message_hex, frame) =
            (format!("{:02x}", kind.byte()), hex(&message), format!("x{}", value("frame")));
        let (asked, answer) = question(kind, &message);
        assert_eq!(harness.ask(&asked), answer, "{which:?}: {asked}");
        assert_eq!(harness.ask(&format!("frame {byte} {message_hex}")), frame, "{which:?}");
        assert_eq!(harness.ask(&format!("unframe {frame}")), format!("{byte} {message_hex}"), "{which:?}");
        let mut damaged = bytes(value("frame"));
        damaged[3] ^= 1;
        assert_eq!(harness.ask(&format!("unframe {}", hex(&damaged))), "nothing", "{which:?}");
        kinds.push(kind);
    }
    assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind)));
    for (kind, message) in refused().iter().filter(|(kind, _)| Kind::TO_DEVICE.contains(kind)) {
        let asked = format!("decode {:02x} {}", kind.byte(), hex(message));
        assert_eq!(harness.ask(&asked), "refused", "{which:?}: {asked}");
        let cut = format!("decode {:02x} {}", kind.byte(), hex(&message[..message.len() - 1]));
        assert_eq!(harness.ask(&cut), "refused", "{which:?}: {cut}");
    }
    for (why, asked) in NEVER_SAID {
        assert!(PAGE.contains(&format!("why     {why}\n")), "the page says: {why}");
        assert_eq!(harness.ask(asked), "refused", "{which:?}: {why}");
    }
    // Runs of 254 bytes without a zero, at the end and before one, and zeros alone.
    for length in [0, 1, 120, 175, 176] {
        for fill in [0, 7] {
            let message = hex(&vec![fill; length]);
            let frame = harness.ask(&format!("frame 83 {message}"));
            assert!(!frame.as_bytes()[3..frame.len() - 2].chunks(2).any(|byte| byte == b"00"), "{frame}");
            assert_eq!(harness.ask(&format!("unframe {frame}")), format!("83 {message}"), "{which:?}");
        }
    }
    for length in [248, 249, 250, 254, 600] {
        let message = vec![7; length];
        let frame: String = firmware_bridge::frame::Encoder::new(Kind::Event, &message)
            .fold("x".to_owned(), |word, byte| format!("{word}{byte:02x}"));
        let said = harness.ask(&format!("frame 02 {}", hex(&message)));
        let with_last_run = format!("{}0100", &frame[..frame.len() - 2]); // allowed after a run of exactly 254
        assert!(said == frame || said == with_last_run, "{which:?}: {said}");
    }
}

#[test]
fn the_c_client_matches_the_documented_bytes() {
    check(Which::C);
}

#[test]
fn the_python_client_matches_the_documented_bytes() {
    check(Which::Python);
}

#[test]
fn the_micropython_client_matches_the_documented_bytes() {
    check(Which::MicroPython);
}
