//! A clock that is unset, or jumps. libfaketime stands between the program and the kernel; its monotonic clock stays true,
//! as the kernel's does.

use std::path::PathBuf;
use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Simulator, Site, bellwire, libfaketime, wait_for};
use serde_json::json;

use super::warm;
use crate::round_trip::FREEZER;

/// The file that says what time it is.
pub struct Watch(PathBuf);

impl Watch {
    pub fn new(site: &Site) -> Self {
        Self(site.path().join("what-time"))
    }

    /// `@2026-01-01 00:00:00` from now on, or `+0` for the true time.
    pub fn set(&self, time: &str) {
        std::fs::write(&self.0, format!("{time}\n")).expect("written");
    }

    pub fn start(&self, site: &Site) -> Gateway {
        let library = libfaketime();
        let file = self.0.to_string_lossy();
        let environment = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Gateway::launch_under(site, &[], &environment)
    }
}

/// No battery behind the clock: it says 1970 until the network comes. Nothing expires meanwhile.
#[test]
fn f17_an_unset_clock_accepts_sends_and_expires_nothing() {
    let broker = Broker::start();
    let site = Site::new(
        broker.port,
        &FREEZER.replace(
            "topic = \"site/{area}/freezer/{unit}/temperature\"",
            "topic = \"site/{area}/freezer/{unit}/temperature\"\nexpires = \"30m\"",
        ),
    );
    let watch = Watch::new(&site);
    watch.set("@1970-01-01 00:02:00");
    let gateway = watch.start(&site);
    gateway.wait_ready(&site);
    warm(&broker, 1..=3);
    wait_for(10, "the alerts", || (super::messages(&site) == 3).then_some(()));
    // The network brings the time, 56 years later, and only then the Cloud API.
    watch.set("+0");
    let _simulator = Simulator::start(&site);
    let sent = site.wait_sent(3);
    assert!(
        sent.iter().all(|message| message["text"].as_str().is_some_and(|text| text.contains("is at -12.5")))
    );
    wait_for(20, "the receipts", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 3).then_some(())
    });
    assert_eq!(gateway.stop(), Some(0));
}

/// Ten years on, an hour back, and to the true time: each event is one message, none is late, none comes in a burst.
#[test]
fn f18_a_clock_that_jumps_neither_stops_nor_repeats_anything() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let _simulator = Simulator::start(&site);
    let watch = Watch::new(&site);
    watch.set("+0");
    let gateway = watch.start(&site);
    gateway.wait_ready(&site);
    for (at, jump) in (0_u32..).zip(["+0", "+10y", "-1h", "+2h", "+0"]) {
        watch.set(jump);
        warm(&broker, at * 2 + 1..=at * 2 + 2);
        let _arrived = site.wait_sent(at as usize * 2 + 2);
    }
    wait_for(20, "the receipts", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 10).then_some(())
    });
    assert_eq!(site.sent().len(), 10);
    assert_eq!(gateway.stop(), Some(0));
}

/// What is to be tried again in seconds is, though the clock goes back by an hour meanwhile and nobody else wakes the sender.
#[test]
fn f18_a_clock_set_back_makes_no_try_wait_longer() {
    let broker = Broker::start();
    let site = Site::new(broker.port, FREEZER);
    let (_simulator, watch) = (Simulator::start(&site), Watch::new(&site));
    watch.set("+0");
    let gateway = watch.start(&site);
    gateway.wait_ready(&site);
    warm(&broker, 1..=1);
    wait_for(20, "the receipt", || {
        (site.count("SELECT count(*) FROM message WHERE state = 'read'") == 1).then_some(())
    });
    std::thread::sleep(Duration::from_secs(7)); // two looks at the outbox: the next finds that nobody has written beside us
    site.fault(&json!({ "count": 1, "code": 999_999 })); // one that nobody knows: again within 5 s
    warm(&broker, 2..=2);
    let refused = "SELECT count(*) FROM message WHERE state = 'queued' AND code = 999999";
    wait_for(10, "the refusal", || (site.count(refused) == 1).then_some(()));
    watch.set("-1h");
    let _arrived = site.wait_sent(2);
    assert_eq!(gateway.stop(), Some(0));
}

/// Who looks after the gateway hears that it does not know the time, and that it knows it now.
#[test]
fn the_owner_hears_of_a_clock_that_was_never_set() {
    let broker = Broker::start();
    let rules = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "bellwire-clock"
topic = "$bellwire/clock"
payload = "text"
when = "payload != 'ok'"
for = "1s"
message = "No time: {{ payload }}"
notify = ["nino"]
"#;
    let site = Site::new(broker.port, rules);
    let (_simulator, watch) = (Simulator::start(&site), Watch::new(&site));
    watch.set("@1970-01-01 00:02:00");
    let gateway = watch.start(&site);
    let sent = site.wait_sent(1);
    let text = sent[0]["text"].as_str().expect("a text");
    assert_eq!(
        text,
        "No time: it says 1970 or so; let the machine reach a time server, or fit a battery-backed clock"
    );
    watch.set("+0");
    let over = site.wait_sent(2)[1]["text"].clone();
    assert!(over.as_str().is_some_and(|text| text.starts_with("✅ Over after ")), "{over}");
    assert_eq!(gateway.stop(), Some(0));
}

/// A rule without a life at night: nothing comes, a restart loses nothing, and the morning tells it in one message.
#[test]
fn what_quiet_hours_held_back_is_told_in_the_morning() {
    let broker = Broker::start();
    let night = "[[contact]]\nid = \"nino\"\nquiet_hours = \"22:00-07:00\"";
    let site = Site::new(broker.port, &FREEZER.replace("[[contact]]\nid = \"nino\"", night));
    let (_simulator, watch) = (Simulator::start(&site), Watch::new(&site));
    watch.set("@2026-03-10 23:00:00");
    let gateway = watch.start(&site);
    gateway.wait_ready(&site);
    warm(&broker, 1..=2);
    wait_for(10, "the alerts", || (site.count("SELECT count(*) FROM alert") == 2).then_some(()));
    gateway.kill();
    watch.set("@2026-03-11 02:00:00");
    let gateway = watch.start(&site);
    gateway.wait_ready(&site);
    warm(&broker, 3..=3);
    wait_for(10, "the third", || (site.count("SELECT count(*) FROM alert") == 3).then_some(()));
    assert_eq!(super::messages(&site), 0);
    let config = site.config();
    let why = |words: &[&str]| {
        let words = [&["why"], words, &["--config", config.to_str().expect("a path")]].concat();
        String::from_utf8_lossy(&bellwire(&words).stdout).into_owned()
    };
    let held = "held for nino: quiet hours until 2026-03-11 07:00:00";
    assert!(why(&["1"]).contains(held), "{}", why(&["1"]));
    let told = why(&["--event", "3"]);
    assert!(
        told.starts_with("event 3: ") && told.contains("alert 3: freezer") && told.contains(held),
        "{told}"
    );

    watch.set("@2026-03-11 07:00:05");
    let text = site.wait_sent(1)[0]["text"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("🌙 In your quiet hours: 3 alerts\n🟠 10 Mar, 23:00 Freezer 1 in "), "{text}");
    warm(&broker, 4..=4);
    let by_day = site.wait_sent(2)[1]["text"].clone();
    assert!(by_day.as_str().is_some_and(|text| text.starts_with("Freezer 4 in ")), "{by_day}");
    assert_eq!(gateway.stop(), Some(0));
}
