//! Parts that tests share: real processes, each with its own folder and port, ended when the test ends.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on stops; it waits by the machine's clock"
)]

/// A mosquitto of one's own.
mod broker;
/// A line between a device and a serial port.
mod cable;
/// The gateway, the simulator and their configuration.
mod processes;
/// A broker that does as a test says.
mod scripted;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub use broker::{Broker, Subscriber, publish, publish_5, publish_lines};
pub use cable::Cable;
pub use processes::{
    Gateway, PHONE_NUMBER_ID, Simulator, Site, bellwire, firmware, gateway_command, get_json, post_json,
};
pub use scripted::{Kind, Loopback, Packet, Scripted, Session};

/// A port that nobody uses. Tests that run at the same time each have a thousand of their own, by nextest's slot
/// (https://nexte.st/docs/configuration/env-vars/): what the system gives to one process and takes back, it may give to the next
/// before the first has used it, and then one test's gateway sends to another's simulator. Below what the system itself gives
/// to connections, and begun anywhere, so that nobody hears what was for the test before.
#[must_use]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let slot = std::env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse::<u16>().ok());
    let Some(slot) = slot.filter(|slot| *slot < 12) else {
        return TcpListener::bind("127.0.0.1:0")
            .and_then(|one| one.local_addr())
            .expect("a free port")
            .port();
    };
    let begin = u16::try_from(std::process::id() * 37 % 1_000).unwrap_or_default();
    let free =
        (0..1_000).map(|_| 20_000 + slot * 1_000 + (begin + TAKEN.fetch_add(1, Ordering::Relaxed)) % 1_000);
    let mut free = free.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port among a thousand")
}

/// Waits until `reached` returns something; panics with `what` when it takes longer than `seconds`.
pub fn wait_for<T>(seconds: u64, what: &str, reached: impl FnMut() -> Option<T>) -> T {
    wait_or_show(seconds, what, String::new, reached)
}

/// The same, with what `shown` says then.
pub fn wait_or_show<T>(
    seconds: u64,
    what: &str,
    shown: impl Fn() -> String,
    mut reached: impl FnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = reached() {
            return value;
        }
        assert!(Instant::now() < end, "waited {seconds} s for {what}\n{}", shown());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What shows a program another time, as `LD_PRELOAD`: the command `faketime` stays between, and what it started outlives it.
#[must_use]
pub fn libfaketime() -> String {
    let found = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"));
    found.into_iter().find(|path| Path::new(path).exists()).expect("libfaketime; tests/run installs it")
}

/// A program of the system that a test needs; absent, the test fails and says how to get it.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = places.iter().map(|place| PathBuf::from(place).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!("{name} is not installed: apt-get install mosquitto mosquitto-clients qemu-system-arm (tests/run does it)")
    })
}
