use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, post_json, publish, wait_for};
use serde_json::json;

pub const FREEZER: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "site/{area}/freezer/{unit}/temperature"
when = "payload.celsius > -15"
message = "Freezer {{ unit }} in {{ area }} is at {{ payload.celsius }} °C"
notify = ["nino"]
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "site/{area}/freezer/{unit}/set"
payload = '{"defrost": false}'
"#;

#[test]
fn an_event_becomes_one_message_and_a_tap_one_command() {
    round_trip("");
}

#[test]
fn the_round_trip_works_with_mqtt_3_1_1() {
    round_trip("version = \"3.1.1\"");
}

fn round_trip(mqtt: &str) {
    let broker = Broker::start();
    let site = Site::with_mqtt(&format!("url = \"mqtt://127.0.0.1:{}\"\n{mqtt}", broker.port), FREEZER);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let device = Subscriber::start(broker.port, "site/+/freezer/+/set");

    publish(broker.port, "site/bar/freezer/1/temperature", br#"{"celsius": -18}"#);
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    let sent = site.wait_sent(1);
    assert_eq!(sent[0]["to"], "+995555123456");
    assert!(
        sent[0]["text"].as_str().unwrap().starts_with("Freezer 2 in bar is at -12.5 °C\n🕑 "),
        "{}",
        sent[0]["text"]
    );

    let tap = json!({ "from": "+995555123456", "tap": "Stop defrost" });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
    wait_for(10, "the command", || (!device.messages().is_empty()).then_some(()));
    let read = "SELECT count(*) FROM message WHERE state = 'read'";
    wait_for(10, "the receipts", || (site.count(read) == 1).then_some(()));

    // Words under the alert act like the button; words of somebody unknown do not.
    let quote = json!({ "from": "+995555123456", "quote": sent[0]["id"], "text": " stop DEFROST " });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &quote).0, 200);
    wait_for(10, "the second command", || (device.messages().len() == 2).then_some(()));
    let stranger = json!({ "from": "+4915100000000", "text": "stop defrost" });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &stranger).0, 200);
    wait_for(10, "the stranger's words", || (site.count("SELECT count(*) FROM reply") == 3).then_some(()));

    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    assert_eq!(device.messages(), vec![r#"site/bar/freezer/2/set {"defrost": false}"#; 2]);
    let to_nino = site.sent().iter().filter(|sent| sent["to"] == "+995555123456").count();
    assert_eq!(to_nino, 1, "a command that nobody answers is not talked about");
    assert_eq!(site.count("SELECT count(*) FROM command WHERE state = 'published'"), 2);
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn a_command_waits_for_the_broker_and_never_comes_late() {
    let mut broker = Broker::start();
    let rules = FREEZER.replace("payload = '{\"defrost\": false}'", "payload = 'now'\nexpires = \"3s\"");
    let site = Site::new(broker.port, &rules);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    broker.down();
    let tap = json!({ "from": "+995555123456", "tap": "Stop defrost" });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
    wait_for(10, "the command's end", || {
        (site.count("SELECT count(*) FROM command WHERE state = 'expired'") == 1).then_some(())
    });
    broker.up();
    let device = Subscriber::start(broker.port, "site/+/freezer/+/set");
    std::thread::sleep(Duration::from_secs(2)); // room for what must not come
    assert_eq!(device.messages(), Vec::<String>::new());
}
