//! What needs no broker, and what none could show: tests/devices/selftest.c and selftest.py hold the two clients in other
//! languages against power cuts at each write, storage that fails, an hour beside a device of the same name, and noise.
//! `firmware-bridge/tests` does so for ours.

use super::harness::{Which, selftest};

fn all_parts(which: Which) {
    let said = selftest(which);
    for part in
        ["power cuts: each accepted", "storage that fails:", "an hour with a twin:", "a name that", "noise:"]
    {
        assert!(said.contains(part), "{which:?}: {said}");
    }
}

#[test]
fn the_c_client_survives_power_cuts_and_spares_flash() {
    all_parts(Which::C);
}

#[test]
fn the_python_client_survives_power_cuts_and_spares_flash() {
    all_parts(Which::Python);
}

#[test]
fn the_micropython_client_survives_power_cuts_and_spares_flash() {
    all_parts(Which::MicroPython);
}
