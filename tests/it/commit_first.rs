//! Commit, then acknowledge: while the database cannot be written, nobody is told that we have anything.

use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Site, publish, wait_for};

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
        let acknowledged = || broker.log().contains("Received PUBACK from bellwire-test");
        let database = site.database();
        database.execute_batch("BEGIN IMMEDIATE").expect("locked");
        publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
        wait_for(5, "the delivery", || {
            broker.log().contains("Sending PUBLISH to bellwire-test").then_some(())
        });
        std::thread::sleep(LOCKED);
        assert!(!acknowledged(), "version {version}: acknowledged without a row");
        database.execute_batch("ROLLBACK").expect("unlocked");
        wait_for(10, "the acknowledgement", || acknowledged().then_some(()));
        assert_eq!(site.count("SELECT count(*) FROM event"), 1, "version {version}");
    }
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
