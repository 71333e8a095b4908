//! Commit, then acknowledge: while the database cannot be written, nobody is told that we have anything.

use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Cable, Gateway, Site, publish, wait_for};
use firmware_bridge::Position;

use crate::wire::Wire;

/// Shorter than the store's busy timeout of 5 s and the webhook's deadline of 5 s, longer than any answer takes.
const LOCKED: Duration = Duration::from_secs(2);

#[test]
fn an_event_is_acknowledged_after_its_row_is_committed() {
    for version in ["5", "3.1.1"] {
        let broker = Broker::start_with("log_type all");
        let site = Site::with_mqtt(
            &format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port),
            crate::round_trip::FREEZER,
        );
        let _gateway = Gateway::start(&site);
        // By its packet identifier: the gateway's own test message is acknowledged, too.
        let delivered = || {
            let log = broker.log();
            let line = log
                .lines()
                .find(|line| line.contains("Sending PUBLISH to bellwire-test") && line.contains("'site/"))?;
            line.split(", ").find_map(|word| word.strip_prefix('m')).map(str::to_owned)
        };
        let acknowledged = |packet: &str| {
            broker.log().contains(&format!("Received PUBACK from bellwire-test (Mid: {packet},"))
        };
        let database = site.database();
        database.execute_batch("BEGIN IMMEDIATE").expect("locked");
        publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
        let packet = wait_for(5, "the delivery", delivered);
        std::thread::sleep(LOCKED);
        assert!(!acknowledged(&packet), "version {version}: acknowledged without a row");
        database.execute_batch("ROLLBACK").expect("unlocked");
        wait_for(10, "the acknowledgement", || acknowledged(&packet).then_some(()));
        assert_eq!(site.count("SELECT count(*) FROM event"), 1, "version {version}");
    }
}

#[test]
fn a_device_is_acknowledged_only_after_the_commit() {
    let (broker, folder) = (Broker::start(), tempfile::tempdir().expect("a folder"));
    let cable = Cable::new(folder.path());
    let site = crate::fleet::site(&broker, &cable.port);
    let gateway = Gateway::start(&site);
    let mut device = Wire::connect(&cable);
    device.greet("f", 1);
    let (none, first) = (Position::default(), Position { boot: 1, sequence: 1 });
    let counted = || site.count("SELECT counted_sequence FROM device");

    let database = site.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    device.event("f", first);
    assert_eq!(device.acknowledged(LOCKED), None, "acknowledged without a row");
    // What was not acknowledged is not counted when the power goes, and is when it comes again.
    gateway.kill();
    database.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!((counted(), site.count("SELECT count(*) FROM event")), (0, 0));
    let _gateway = Gateway::start(&site);
    assert_eq!(device.greet("f", 1).counted, none);

    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    device.event("f", first);
    assert_eq!(device.acknowledged(LOCKED), None, "acknowledged without a row");
    database.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!(device.acknowledged(Duration::from_secs(10)), Some(first));
    device.event("f", first);
    assert_eq!(device.acknowledged(Duration::from_secs(10)), Some(first), "a repetition");
    assert_eq!((counted(), site.count("SELECT count(*) FROM event")), (1, 1));
    assert_eq!(site.count("SELECT count(*) FROM alert"), 1);
}

#[test]
fn a_webhook_is_answered_200_after_its_body_is_committed() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let _gateway = Gateway::start(&site);
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    let database = site.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let unlock = std::thread::spawn(move || {
        std::thread::sleep(LOCKED);
        database.execute_batch("ROLLBACK").expect("unlocked");
    });
    let started = Instant::now();
    assert_eq!(crate::webhook::post(&site, body, Some(&crate::webhook::sign("secret", body))), 200);
    assert!(
        started.elapsed() >= LOCKED - Duration::from_millis(200),
        "answered after {:?}",
        started.elapsed()
    );
    assert_eq!(site.count("SELECT count(*) FROM inbox"), 1);
    unlock.join().expect("ended");
}

#[test]
fn a_webhook_that_cannot_be_committed_is_answered_503() {
    let broker = Broker::start();
    let site = Site::new(broker.port, crate::round_trip::FREEZER);
    let mut gateway = Gateway::start(&site);
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    let database = site.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    assert_eq!(crate::webhook::post(&site, body, Some(&crate::webhook::sign("secret", body))), 503);
    database.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!(site.count("SELECT count(*) FROM inbox"), 0);
    assert!(gateway.is_running(), "a database that was busy for 5 s is no reason to end");
}
