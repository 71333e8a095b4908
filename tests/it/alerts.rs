//! An alert's life with real parts: it survives a kill, a tap moves it, its end quotes its beginning.

use std::process::Output;
use std::time::Duration;

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, bellwire, post_json, publish, wait_for};
use serde_json::json;

const RULES: &str = r#"
[[contact]]
id = "nino"
name = "Nino"
phone = "+995 555 12 34 56"
[[contact]]
id = "dato"
phone = "+995 555 65 43 21"
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
for = "2s"
message = "Door {{ door }} is open"
notify = ["nino"]
buttons = ["acknowledge"]
escalate = [
  { after = "4s", unless = "acknowledged", notify = ["dato"] },
  { after = "5s", unless = "acknowledged", topic = "site/{door}/siren/set", payload = "ON" },
]
"#;

fn texts(site: &Site) -> Vec<String> {
    site.sent().iter().map(|sent| sent["text"].as_str().unwrap_or_default().to_owned()).collect()
}

fn run(site: &Site, words: &[&str]) -> Output {
    let config = site.config();
    let place = ["--config", config.to_str().expect("a path")];
    bellwire(&[words, &place].concat())
}

#[test]
fn an_alert_survives_a_kill_without_repetition() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "site/back/door", b"open");
    wait_for(10, "the memory", || (site.count("SELECT count(*) FROM alert_memory") == 1).then_some(()));
    gateway.kill();
    let gateway = Gateway::start(&site);
    let sent = site.wait_sent(1);
    assert!(texts(&site)[0].starts_with("Door back is open"), "{:?}", texts(&site));

    let tap = json!({ "from": "+995555123456", "tap": "I take care" });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
    let sent_again = site.wait_sent(2);
    assert_eq!(sent_again[1]["text"], "👍 Noted, you take care: Door back is open");
    publish(broker.port, "site/back/door", b"shut");
    let over = site.wait_sent(3);
    assert!(texts(&site)[2].starts_with("✅ Over after "), "{:?}", texts(&site));
    assert_eq!(over[2]["body"]["context"]["message_id"], sent[0]["id"], "the end quotes the beginning");

    std::thread::sleep(Duration::from_secs(4)); // room for escalations that must not come
    assert_eq!(site.sent().len(), 3, "{:?}", texts(&site));
    let told = run(&site, &["why", "1"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for part in ["`for` runs", "the condition has held for", "Nino takes care", "message 1 to nino: read"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn when_nobody_acts_the_alert_escalates_to_the_siren() {
    let broker = Broker::start();
    let site = Site::new(broker.port, RULES);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let siren = Subscriber::start(broker.port, "site/+/siren/set");
    publish(broker.port, "site/back/door", b"open");
    assert_eq!(site.wait_sent(2).len(), 2);
    assert!(texts(&site)[1].starts_with("⬆ For "), "{:?}", texts(&site));
    wait_for(10, "the siren", || (siren.messages() == ["site/back/siren/set ON"]).then_some(()));

    let listed = run(&site, &["alerts", "list", "--only", "open"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("door door=back"), "{listed:?}");
    let ended = run(&site, &["alerts", "resolve", "1", "--by", "dato"]);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(site.wait_sent(4).len(), 4);
    assert_eq!(
        texts(&site).iter().filter(|text| text.starts_with("✅ Ended by dato")).count(),
        2,
        "{:?}",
        texts(&site)
    );
    assert_eq!(site.count("SELECT count(*) FROM alert WHERE state = 'resolved'"), 1);
    let again = run(&site, &["alerts", "ack", "1"]);
    assert_eq!(again.status.code(), Some(64), "{again:?}");
    assert_eq!(gateway.stop(), Some(0));
}

#[test]
fn own_faults_are_reported_over_the_remaining_channel() {
    let mut broker = Broker::start();
    let site = Site::new(
        broker.port,
        r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "no-broker"
topic = "$bellwire/broker"
when = "payload != 'ok'"
for = "1s"
message = "No broker"
notify = ["nino"]
[[rule]]
name = "refused"
topic = "$bellwire/connection/{name}"
when = "payload != 'ok'"
keep_firing_for = "10m"
message = "Refused"
notify = ["nino"]
escalate = [{ after = "1s", unless = "delivered", topic = "bellwire/alarm/{name}", payload = "refused" }]
"#,
    );
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    publish(broker.port, "nothing", b"x"); // the broker is up and the gateway with it
    broker.down();
    assert!(site.wait_sent(1)[0]["text"].as_str().is_some_and(|text| text.starts_with("No broker")));
    broker.up();
    assert!(site.wait_sent(2)[1]["text"].as_str().is_some_and(|text| text.starts_with("✅ Over after ")));

    let listener = Subscriber::start(broker.port, "bellwire/alarm/+");
    site.fault(&json!({ "code": 190 }));
    assert!(run(&site, &["send", "--to", "nino", "hello"]).status.success());
    wait_for(30, "the alarm", || (listener.messages() == ["bellwire/alarm/main refused"]).then_some(()));
    assert_eq!(gateway.stop(), Some(0));
}
