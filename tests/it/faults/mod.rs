//! Faults that a gateway has to survive, injected into real processes. docs/reliability.md lists all forty; what is not here
//! is shown where its part is tested. A machine without the means to inject one fails: nothing is skipped.

/// A clock that is unset, or jumps.
pub mod clock;
/// Power cuts.
mod power;
/// What a kernel gives too little of, or takes away.
mod process;
/// The disk: full, failing, slow, read-only.
mod storage;
/// Lines to Meta that lie, and people who talk too slowly to us.
mod wires;

/// The table names tests that exist, and all forty faults.
pub mod table;

use std::process::Command;

use bellwire_tests::{Broker, Site, publish_lines};

/// Runs a tool that a fault needs.
fn tool(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("a tool that tests/run installs");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Freezers 1 to `count`, too warm: one alert each.
fn warm(broker: &Broker, count: std::ops::RangeInclusive<u32>) {
    for unit in count {
        bellwire_tests::publish(
            broker.port,
            &format!("site/bar/freezer/{unit}/temperature"),
            br#"{"celsius": -12.5}"#,
        );
    }
}

/// Many at once, over one connection.
fn flood(broker: &Broker, count: usize) {
    let lines: Vec<String> = (0..count).map(|n| format!(r#"{{"celsius": -18, "n": {n}}}"#)).collect();
    publish_lines(broker.port, "site/bar/freezer/1/temperature", &lines);
}

fn messages(site: &Site) -> i64 {
    site.count("SELECT count(*) FROM message")
}
