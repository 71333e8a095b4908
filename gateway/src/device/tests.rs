use std::time::Duration;

use bytes::Bytes;
use firmware_bridge::gateway::{ANSWER_GRACE_MS, Saved};
use firmware_bridge::message::{Command, CommandResult, Hello};
use firmware_bridge::{Field, Kind, Outcome, Position, Value};

use super::fleet::{DEVICES_MAX, ExchangeEffect, ExchangeInput, Fleet, NameDecisions};
use super::order::{DeviceCommand, EndState, QueuedDeviceCommand};
use super::record::{DeviceRecord, DeviceWrite, Route};
use super::status::SILENT_AFTER;
use crate::event::incoming::Identity;
use crate::ids::CommandId;
use crate::time::Timestamp;

/// Names, and who may have them.
mod names;

const NOW: Timestamp = Timestamp(1_795_247_385_145);
const EXPIRES: Duration = Duration::from_secs(20);

fn port() -> Route {
    Route::Serial("/dev/ttyUSB0".to_owned())
}

fn hello(device: &str, boot: u32) -> ExchangeInput {
    let commands = ["defrost"].into_iter().collect();
    let (token, oldest, firmware) = (7, Position::default(), "test 1");
    let hello = Hello { device, boot, token, oldest, queued: 0, refused: 0, firmware, commands };
    heard(None, Kind::Hello, hello.encode(&mut [0; 200]).expect("fits"))
}

fn event(boot: u32, sequence: u32, at_ms: i64) -> ExchangeInput {
    let fields = [Field::new("at_ms", Value::Integer(at_ms)).expect("short")].into_iter().collect();
    let event = firmware_bridge::Event { device: "f".try_into().expect("short"), boot, sequence, fields };
    heard(None, Kind::Event, event.encode(&mut [0; 200]).expect("fits"))
}

fn heard(device: Option<&str>, kind: Kind, message: &[u8]) -> ExchangeInput {
    let device = device.map(str::to_owned);
    ExchangeInput::Heard { route: port(), device, kind, message: Bytes::copy_from_slice(message) }
}

fn queued(id: i64) -> QueuedDeviceCommand {
    let order =
        DeviceCommand { command: CommandId(id), name: "defrost".to_owned(), payload: "{}".to_owned() };
    QueuedDeviceCommand { device: "f".to_owned(), order, expires_at: NOW + EXPIRES }
}

fn loaded(id: i64) -> ExchangeInput {
    ExchangeInput::Loaded { queued: vec![queued(id)], broker: false, wishes: NameDecisions::default() }
}

/// Performs writes and counts events at once; gives what is left.
fn play(fleet: &mut Fleet, input: ExchangeInput, now: Timestamp) -> Vec<ExchangeEffect> {
    let (mut left, mut inputs) = (Vec::new(), vec![input]);
    while let Some(input) = inputs.pop() {
        for effect in fleet.handle(input, now) {
            match &effect {
                ExchangeEffect::Write(write) => inputs.push(ExchangeInput::Written(write.clone())),
                ExchangeEffect::Take { device, at, route, .. } => {
                    inputs.push(ExchangeInput::Counted {
                        device: device.clone(),
                        at: *at,
                        route: route.clone(),
                        is_followed: false,
                    });
                }
                ExchangeEffect::Send { .. }
                | ExchangeEffect::Load
                | ExchangeEffect::Status(_)
                | ExchangeEffect::Tell { .. }
                | ExchangeEffect::Warn { .. }
                | ExchangeEffect::Note { .. }
                | ExchangeEffect::Ignored { .. } => {}
            }
            left.push(effect);
        }
    }
    left
}

fn sent(effects: &[ExchangeEffect], wanted: Kind) -> Vec<Vec<u8>> {
    let message = |effect: &ExchangeEffect| match effect {
        ExchangeEffect::Send { kind, message, .. } if *kind == wanted => Some(message.clone()),
        ExchangeEffect::Send { .. }
        | ExchangeEffect::Take { .. }
        | ExchangeEffect::Write(_)
        | ExchangeEffect::Load
        | ExchangeEffect::Status(_)
        | ExchangeEffect::Tell { .. }
        | ExchangeEffect::Warn { .. }
        | ExchangeEffect::Note { .. }
        | ExchangeEffect::Ignored { .. } => None,
    };
    effects.iter().filter_map(message).collect()
}

fn ending(effects: &[ExchangeEffect]) -> Option<EndState> {
    effects.iter().find_map(|effect| match effect {
        ExchangeEffect::Write(DeviceWrite::Ended { ending, .. }) => Some(ending.state),
        ExchangeEffect::Write(_)
        | ExchangeEffect::Send { .. }
        | ExchangeEffect::Take { .. }
        | ExchangeEffect::Load
        | ExchangeEffect::Status(_)
        | ExchangeEffect::Tell { .. }
        | ExchangeEffect::Warn { .. }
        | ExchangeEffect::Note { .. }
        | ExchangeEffect::Ignored { .. } => None,
    })
}

/// A device that was welcomed, over a port that is open.
fn welcomed() -> Fleet {
    let mut fleet = Fleet::new(Vec::new(), vec![port()], NOW);
    play(&mut fleet, ExchangeInput::Line { route: port(), up: true }, NOW);
    assert_eq!(sent(&play(&mut fleet, hello("f", 1), NOW), Kind::Welcome).len(), 1);
    fleet
}

#[test]
fn nothing_is_answered_before_it_is_on_disk() {
    let mut fleet = Fleet::new(Vec::new(), vec![port()], NOW);
    let effects = fleet.handle(hello("f", 1), NOW);
    assert!(matches!(effects[..], [ExchangeEffect::Write(DeviceWrite::Greeted { .. })]), "{effects:?}");
    let Some(ExchangeEffect::Write(write)) = effects.into_iter().next() else { return };
    assert_eq!(sent(&fleet.handle(ExchangeInput::Written(write), NOW), Kind::Welcome).len(), 1);
    let effects = fleet.handle(event(1, 1, 0), NOW);
    assert!(matches!(effects[..], [ExchangeEffect::Take { .. }]), "{effects:?}");
    let at = Position { boot: 1, sequence: 1 };
    let counted = ExchangeInput::Counted { device: "f".to_owned(), at, route: port(), is_followed: false };
    assert_eq!(sent(&fleet.handle(counted, NOW), Kind::Ack).len(), 1);
}

/// A hello that comes while an event is being written is not answered, and the next one says the same.
#[test]
fn a_hello_during_a_write_takes_effect_with_the_next() {
    let mut fleet = welcomed();
    let taken = fleet.handle(event(1, 1, 0), NOW);
    assert!(matches!(taken[..], [ExchangeEffect::Take { .. }]), "{taken:?}");
    let full = |token| {
        let at = Position { boot: 1, sequence: 1 };
        let (device, firmware, commands) = ("f", "test 1", ["defrost"].into_iter().collect());
        let hello = Hello { device, boot: 1, token, oldest: at, queued: 1, refused: 3, firmware, commands };
        heard(None, Kind::Hello, hello.encode(&mut [0; 200]).expect("fits"))
    };
    assert_eq!(fleet.handle(full(8), NOW), []);
    let at = Position { boot: 1, sequence: 1 };
    let counted = ExchangeInput::Counted { device: "f".to_owned(), at, route: port(), is_followed: false };
    fleet.handle(counted, NOW);
    let written = play(&mut fleet, full(9), NOW).into_iter().find_map(|effect| match effect {
        ExchangeEffect::Write(DeviceWrite::Said { said, .. } | DeviceWrite::Greeted { said, .. }) => {
            Some(said.refused)
        }
        ExchangeEffect::Write(_)
        | ExchangeEffect::Send { .. }
        | ExchangeEffect::Take { .. }
        | ExchangeEffect::Load
        | ExchangeEffect::Status(_)
        | ExchangeEffect::Tell { .. }
        | ExchangeEffect::Warn { .. }
        | ExchangeEffect::Note { .. }
        | ExchangeEffect::Ignored { .. } => None,
    });
    assert_eq!(written, Some(3), "people read how many it could not take");
}

#[test]
fn an_event_says_when_it_happened_if_the_device_knows() {
    let mut fleet = welcomed();
    let mut happened = |sequence, at_ms| {
        let effects = play(&mut fleet, event(1, sequence, at_ms), NOW);
        effects.iter().find_map(|effect| match effect {
            ExchangeEffect::Take { event, .. } => event.happened_at,
            ExchangeEffect::Write(_)
            | ExchangeEffect::Send { .. }
            | ExchangeEffect::Load
            | ExchangeEffect::Status(_)
            | ExchangeEffect::Tell { .. }
            | ExchangeEffect::Warn { .. }
            | ExchangeEffect::Note { .. }
            | ExchangeEffect::Ignored { .. } => None,
        })
    };
    assert_eq!(happened(1, NOW.0 - 5_000), Some(Timestamp(NOW.0 - 5_000)));
    assert_eq!(happened(2, NOW.0 + 5_000), Some(NOW));
    assert_eq!(happened(3, 12_345), None);
    assert_eq!(happened(4, NOW.0 + 61_000), None, "one of the two clocks is wrong: it counts from now");
}

#[test]
fn a_command_waits_for_its_line_and_is_asked_after() {
    let mut fleet = welcomed();
    fleet.handle(ExchangeInput::Line { route: port(), up: false }, NOW);
    assert_eq!(play(&mut fleet, loaded(1), NOW), [], "the port is closed");
    fleet.handle(ExchangeInput::Line { route: port(), up: true }, NOW);
    let first = sent(&play(&mut fleet, loaded(1), NOW), Kind::Command);
    let command = Command::decode(&first[0]).expect("a command");
    assert_eq!((command.boot, command.name, command.payload), (1, "defrost", &b"{}"[..]));
    assert_eq!(play(&mut fleet, loaded(2), NOW), [], "one at a time");
    let later = NOW + Duration::from_secs(2);
    assert_eq!(fleet.wake_at(), later);
    assert_eq!(sent(&play(&mut fleet, ExchangeInput::Wake, later), Kind::Command), first);

    let (id, outcome, detail) = (command.id, Outcome::Done, "cooling");
    let result = CommandResult { device: "f", boot: 1, id, outcome, detail };
    let result = || heard(None, Kind::Result, result.encode(&mut [0; 200]).expect("fits"));
    assert_eq!(ending(&play(&mut fleet, result(), later)), Some(EndState::Done));
    assert_eq!(play(&mut fleet, result(), later), [], "a repetition");
    let second = sent(&play(&mut fleet, loaded(2), later), Kind::Command);
    assert!(Command::decode(&second[0]).expect("a command").id > id);
}

/// A result is a sign of life, and what was counted since the hello does not wait again by it.
#[test]
fn a_result_updates_last_seen_and_the_queued_count() {
    let mut fleet = welcomed();
    let (token, oldest, firmware) = (8, Position { boot: 2, sequence: 1 }, "test 1");
    let commands = ["defrost"].into_iter().collect();
    let hello = Hello { device: "f", boot: 2, token, oldest, queued: 3, refused: 0, firmware, commands };
    play(&mut fleet, heard(None, Kind::Hello, hello.encode(&mut [0; 200]).expect("fits")), NOW);
    play(&mut fleet, event(2, 1, 0), NOW);
    play(&mut fleet, event(2, 2, 0), NOW);
    let command = sent(&play(&mut fleet, loaded(1), NOW), Kind::Command);
    let id = Command::decode(&command[0]).expect("a command").id;
    let result = CommandResult { device: "f", boot: 2, id, outcome: Outcome::Done, detail: "" };
    let later = NOW + Duration::from_secs(7);
    let result = heard(None, Kind::Result, result.encode(&mut [0; 200]).expect("fits"));
    let written = play(&mut fleet, result, later);
    let is_seen = |effect: &ExchangeEffect| {
        matches!(effect, ExchangeEffect::Write(DeviceWrite::Said { device, said, at, .. })
            if device == "f" && *at == later && said.queued == 1)
    };
    assert!(written.iter().any(is_seen), "{written:?}");
    let silent_at = NOW + SILENT_AFTER;
    assert!(
        !play(&mut fleet, ExchangeInput::Wake, silent_at)
            .iter()
            .any(|effect| matches!(effect, ExchangeEffect::Status(_)))
    );
    assert!(
        play(&mut fleet, ExchangeInput::Wake, later + SILENT_AFTER)
            .iter()
            .any(|effect| matches!(effect, ExchangeEffect::Status(_)))
    );
}

#[test]
fn a_command_that_nobody_answers_ends() {
    let late = NOW + EXPIRES + Duration::from_millis(ANSWER_GRACE_MS);
    let mut fleet = welcomed();
    play(&mut fleet, loaded(1), NOW);
    assert_eq!(ending(&play(&mut fleet, ExchangeInput::Wake, late)), Some(EndState::NoAnswer));

    let mut fleet = welcomed();
    play(&mut fleet, loaded(1), NOW);
    assert_eq!(ending(&play(&mut fleet, hello("f", 2), NOW)), Some(EndState::NoAnswer), "a new start");

    let mut fleet = Fleet::new(Vec::new(), vec![port()], NOW);
    assert_eq!(play(&mut fleet, loaded(1), NOW), [], "it may still say hello");
    assert_eq!(fleet.wake_at(), NOW + EXPIRES);
    assert_eq!(ending(&play(&mut fleet, loaded(1), NOW + EXPIRES)), Some(EndState::Expired));
}

#[test]
fn a_gateway_that_starts_anew_asks_for_the_result() {
    let mut fleet = welcomed();
    let effects = play(&mut fleet, loaded(1), NOW);
    let under_way = effects.iter().find_map(|effect| match effect {
        ExchangeEffect::Write(DeviceWrite::UnderWay { under_way, order, .. }) => {
            Some((*under_way, order.clone()))
        }
        ExchangeEffect::Write(_)
        | ExchangeEffect::Send { .. }
        | ExchangeEffect::Take { .. }
        | ExchangeEffect::Load
        | ExchangeEffect::Status(_)
        | ExchangeEffect::Tell { .. }
        | ExchangeEffect::Warn { .. }
        | ExchangeEffect::Note { .. }
        | ExchangeEffect::Ignored { .. } => None,
    });
    let known = DeviceRecord {
        device: "f".to_owned(),
        saved: Saved::new(1, Position::default()),
        said: super::record::DeviceInfo {
            firmware: String::new(),
            commands: Vec::new(),
            queued: 0,
            refused: 0,
        },
        route: port(),
        seen_at: NOW,
        silent: false,
        clash_at: None,
        last_number: under_way.as_ref().map_or(0, |(under_way, _)| under_way.id),
        under_way,
    };
    let mut anew = Fleet::new(vec![known], vec![port()], NOW);
    let again = sent(&play(&mut anew, ExchangeInput::Wake, NOW), Kind::Command);
    assert_eq!(again, sent(&effects, Kind::Command), "the same number, so it is acted on once");
}

#[test]
fn silence_is_told_once_and_its_end_too() {
    let told = |effects: &[ExchangeEffect]| -> Vec<Identity> {
        let identity = |effect: &ExchangeEffect| match effect {
            ExchangeEffect::Status(event) => Some(event.identity.clone()),
            ExchangeEffect::Take { .. }
            | ExchangeEffect::Write(_)
            | ExchangeEffect::Send { .. }
            | ExchangeEffect::Load
            | ExchangeEffect::Tell { .. }
            | ExchangeEffect::Warn { .. }
            | ExchangeEffect::Note { .. }
            | ExchangeEffect::Ignored { .. } => None,
        };
        effects.iter().filter_map(identity).collect()
    };
    let status = |silent| vec![Identity::Status { device: "f".to_owned(), silent }];
    let mut fleet = welcomed();
    let late = NOW + SILENT_AFTER;
    assert_eq!(told(&play(&mut fleet, ExchangeInput::Wake, late - Duration::from_secs(1))), []);
    assert_eq!(told(&play(&mut fleet, ExchangeInput::Wake, late)), status(true));
    assert_eq!(told(&play(&mut fleet, ExchangeInput::Wake, late + SILENT_AFTER)), []);
    // Whatever it says ends it: after a cut cable an event may come before the next hello.
    assert_eq!(told(&play(&mut fleet, event(1, 1, 0), late + SILENT_AFTER)), status(false));
    assert_eq!(told(&play(&mut fleet, hello("f", 1), late + SILENT_AFTER)), []);
}

#[test]
fn malformed_device_messages_are_counted_and_ignored() {
    let mut fleet = welcomed();
    let mut why = |input| match &fleet.handle(input, NOW)[..] {
        [ExchangeEffect::Ignored { why, .. }]
        | [ExchangeEffect::Send { .. }, ExchangeEffect::Ignored { why, .. }] => *why,
        _ => "something else",
    };
    assert_eq!(why(heard(None, Kind::Event, b"\x01\xff\xff")), "malformed");
    assert_eq!(why(heard(None, Kind::Ack, b"\x01\x00\x00")), "malformed");
    assert_eq!(why(heard(None, Kind::Hello, b"\x09")), "version");
    assert_eq!(why(event(1, 0, 1)), "malformed", "not an acknowledgement");
    assert_eq!(why(event(1, 1, -1)), "malformed");
}

fn over_mqtt(input: ExchangeInput, device: &str) -> ExchangeInput {
    let ExchangeInput::Heard { kind, message, .. } = input else { return input };
    ExchangeInput::Heard { route: Route::Mqtt, device: Some(device.to_owned()), kind, message }
}
