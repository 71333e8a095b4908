//! What the database refuses: an event or a webhook body is closed as failed with its reason, and what comes after it
//! counts; what nobody can leave out ends the process, so that there is never a daemon without one of its tasks behind a
//! green `/readyz`. Triggers stand for mistakes of ours that nobody has found.

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, post_json, publish, wait_for};
use serde_json::json;

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "bad"
topic = "bad/{id}"
when = "payload == 'on'"
message = "Bad {{ id }}"
notify = ["nino"]
for = "0s"
resolve_when = "payload == 'off'"
[[rule]]
name = "good"
topic = "good/{id}"
message = "Good {{ id }}"
notify = ["nino"]
[[rule.action]]
id = "stop"
title = "Stop"
topic = "site/set"
payload = "stop"
[[ask]]
name = "refund"
topic = "till/{till}/refund"
text = "Till {{ till }}?"
choices = ["Approve", "Deny"]
who = ["nino"]
within = "10m"
default = "Deny"
response_topic = "pos/{till}/decision"
"#;

/// A site whose database refuses these rows: a table, and a condition on the new row.
fn start(refuses: &[(&str, &str)]) -> (Broker, Site, Simulator) {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let config = std::fs::read_to_string(site.config()).expect("read");
    let config = config.replacen("name = \"Test\"", "name = \"Test\"\nowner = [\"nino\"]", 1);
    std::fs::write(site.config(), config).expect("written");
    let simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    assert_eq!(gateway.stop(), Some(0));
    let database = rusqlite::Connection::open(site.path().join("state/bellwire.db")).expect("opened");
    for (table, row) in refuses {
        let trigger = format!(
            "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN {row} BEGIN SELECT RAISE(ABORT, 'on purpose'); END"
        );
        database.execute(&trigger, []).expect("a trigger");
    }
    (broker, site, simulator)
}

fn has(site: &Site, what: &str) -> bool {
    site.sent().iter().any(|sent| sent["text"].as_str().is_some_and(|text| text.contains(what)))
}

#[test]
fn a_refused_event_is_closed_and_later_ones_count() {
    let (broker, site, _simulator) =
        start(&[("alert", "NEW.rule = 'bad'"), ("question", "NEW.name = 'refund'")]);
    let gateway = Gateway::start(&site);
    let subscribed = || site.log().contains("the broker has answered all subscriptions");
    wait_for(10, "the subscriptions", || subscribed().then_some(()));
    publish(broker.port, "bad/1", b"on");
    publish(broker.port, "till/1/refund", b"{}");
    publish(broker.port, "good/1", b"on");
    wait_for(20, "the alert after them", || has(&site, "Good 1").then_some(()));
    let refused = "SELECT count(*) FROM event WHERE outcome = 'refused' AND topic = 'bad/1' AND reason LIKE '%on purpose%'";
    assert_eq!(site.count(refused), 1);
    for what in
        ["an event on the topic bad/1 could not be written down", "what came on the topic till/1/refund"]
    {
        wait_for(10, what, || has(&site, what).then_some(()));
    }
    assert_eq!(ureq::get(&site.url("/readyz")).call().expect("ready").status(), 200);
    // It was acknowledged: the broker does not bring it again, and the memory of the alert is what the disk has.
    assert_eq!(gateway.stop(), Some(0));
    let database = rusqlite::Connection::open(site.path().join("state/bellwire.db")).expect("opened");
    database.execute("DROP TRIGGER refuse_alert", []).expect("dropped");
    let _gateway = Gateway::start(&site);
    publish(broker.port, "good/2", b"on");
    publish(broker.port, "bad/1", b"on");
    wait_for(20, "the alerts", || (has(&site, "Good 2") && has(&site, "Bad 1")).then_some(()));
    assert_eq!(site.count(refused), 1);
}

#[test]
fn a_refused_webhook_is_closed_and_later_ones_read() {
    let (broker, site, _simulator) = start(&[("reply", "NEW.text = 'refuse me'")]);
    let done = Subscriber::start(broker.port, "site/set");
    let gateway = Gateway::start(&site);
    publish(broker.port, "good/1", b"on");
    assert_eq!(site.wait_sent(1).len(), 1);
    let says = |what: serde_json::Value| assert_eq!(post_json(&site.api("/_simulator/reply"), &what).0, 200);
    says(json!({ "from": "+995555123456", "text": "refuse me" }));
    says(json!({ "from": "+995555123456", "tap": "Stop" }));
    wait_for(20, "the command after it", || done.messages().first().cloned());
    let failed = "SELECT count(*) FROM inbox WHERE state = 'failed' AND note LIKE '%on purpose%'";
    assert_eq!(site.count(failed), 1);
    wait_for(10, "the owner's message", || has(&site, "of Meta's webhook could not be taken").then_some(()));
    assert_eq!(gateway.stop(), Some(0));
    let _gateway = Gateway::start(&site);
    assert_eq!(site.count(failed), 1, "it is not read again");
    let new = "SELECT count(*) FROM inbox WHERE state = 'new' AND CAST(body AS TEXT) LIKE '%refuse me%'";
    assert_eq!(site.count(new), 0);
}

#[test]
fn an_unskippable_database_error_ends_the_process() {
    let (_broker, site, _simulator) = start(&[]);
    let database = rusqlite::Connection::open(site.path().join("state/bellwire.db")).expect("opened");
    // The intake's memory cannot be read: no event could be judged.
    database.execute("ALTER TABLE alert_note RENAME COLUMN id TO number", []).expect("renamed");
    let gateway = Gateway::launch(&site);
    assert_eq!(gateway.wait_end(20), Some(74));
    let log = site.log();
    assert!(log.contains("the database refused a statement that cannot be skipped"), "{log}");
    assert!(log.contains("no such column"), "{log}");
}
