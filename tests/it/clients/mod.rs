//! Three clients of the device protocol in the same situations: ours, the one in C, and the Python one in the real MicroPython,
//! each as a process of its own that speaks, over MQTT or a serial line, to a real broker and a real gateway, both of which are killed in each.
//!
//! Events that were accepted are counted once and in order, and hellos are bounded: what comes of a situation is a line of the
//! table, the same for all three.

/// Power that goes, storage that fails, a twin for an hour, and noise: each client alone.
mod alone;
/// A device as a process.
mod harness;
/// Plays a situation, and compares what comes of it.
mod stage;
/// The table.
mod situations;
/// The bytes of docs/device-protocol.md.
mod vectors;

use harness::Which;
use situations::SITUATIONS;

macro_rules! situations {
    ($($name:ident)*) => {
        const PLAYED: &[&str] = &[$(stringify!($name)),*];

        mod ours {
            $(#[test] fn $name() { super::stage::play(super::Which::Ours, stringify!($name)); })*
        }
        mod c {
            $(#[test] fn $name() { super::stage::play(super::Which::C, stringify!($name)); })*
        }
        mod micropython {
            $(#[test] fn $name() { super::stage::play(super::Which::MicroPython, stringify!($name)); })*
        }
    };
}

situations! {
    first_hello
    events_before_the_gateway_is_there
    burst
    gateway_killed_in_a_burst
    broker_killed_in_a_burst
    both_killed_again_and_again
    restarted_with_what_it_kept
    restarted_without_storage
    acknowledgements_come_again
    acknowledgements_are_lost
    acknowledged_as_unknown
    welcomes_are_lost
    command_is_obeyed
    command_comes_again
    command_through_a_kill
    command_too_late
    command_to_the_start_before
    queue_is_full
    another_name_in_the_topic
    two_devices_with_one_name
    given_another_name
    older_database_put_back
    database_lost
    clock_not_known
    malformed_answers
    longest_fields
    impossible_events
    kinds_of_numbers
    connection_that_flaps
    serial_line_cut_and_disturbed
    serial_line_with_a_command
}

#[test]
fn each_situation_of_the_table_is_played_and_kills_both() {
    use situations::Step;
    let names: Vec<&str> = SITUATIONS.iter().map(|situation| situation.name).collect();
    assert_eq!(names, PLAYED);
    assert!(names.len() >= 20);
    for situation in SITUATIONS {
        let has = |wanted: &[Step]| situation.steps.iter().any(|step| wanted.contains(step));
        assert!(has(&[Step::KillGateway, Step::GatewayDown]), "{}: no gateway is killed", situation.name);
        assert!(has(&[Step::KillBroker, Step::BrokerDown]), "{}: no broker is killed", situation.name);
    }
}

/// The Python client on a PC: the same program with another interpreter, so two situations are enough.
#[test]
fn the_python_client_runs_in_cpython_too() {
    stage::play(Which::Python, "both_killed_again_and_again");
    stage::play(Which::Python, "restarted_with_what_it_kept");
}
