//! What devices answer, and how whoever asked hears of it.

use std::time::Duration;

use bellwire_tests::{Subscriber, publish, wait_for};
use serde_json::{Value, json};

use crate::replies::{NINO, Shop, text};

const DOORS: &str = r#"
[[command]]
name = "open"
words = "open {door}"
topic = "site/{door}/set"
payload = "OPEN"
expires = "20s"
answer = { within = "3s" }
[[command]]
name = "defrost"
words = "defrost {unit}"
topic = "site/freezer/{unit}/set"
payload = "1"
answer = { topic = "site/freezer/{unit}/state", when = "payload.defrost == 1", refused_when = "payload.fault", within = "5s" }
"#;

/// Topic, payload, response topic, correlation data, expiry, user properties.
const ALL: [&str; 4] = ["-V", "5", "-F", "%t|%p|%R|%D|%E|%P"];

fn asked(shop: &Shop, device: &Subscriber, words: &str, number: usize) -> (String, Vec<String>) {
    let tap = shop.does(&json!({ "from": NINO, "text": words }));
    let line = wait_for(10, "the command", || device.messages().get(number - 1).cloned());
    (tap, line.split('|').map(str::to_owned).collect())
}

/// The answer that is a reaction to this message.
fn reaction(shop: &Shop, tap: &str) -> Value {
    wait_for(10, &format!("a reaction to {tap}; {:#?}", shop.to(NINO)), || {
        shop.to(NINO).into_iter().find(|sent| sent["body"]["reaction"]["message_id"] == tap)
    })
}

fn quoting(shop: &Shop, tap: &str) -> Value {
    wait_for(10, &format!("an answer to {tap}; {:#?}", shop.to(NINO)), || {
        shop.to(NINO).into_iter().find(|sent| sent["body"]["context"]["message_id"] == tap)
    })
}

#[test]
fn a_devices_answer_is_shown_under_the_request() {
    let shop = Shop::open(DOORS, "never/used");
    let device = Subscriber::start_with(shop.broker.port, "site/+/set", &ALL);
    let (tap, parts) = asked(&shop, &device, "open front", 1);
    assert_eq!(parts[..2], ["site/front/set", "OPEN"]);
    let (response, correlation) = (&parts[2], &parts[3]);
    assert!(response.starts_with("bellwire/") && response.ends_with(correlation), "{parts:?}");
    assert!((1..=20).contains(&parts[4].parse::<u32>().unwrap()), "expiry {parts:?}");
    assert!(parts[5].contains("command_id") && parts[5].contains("issued_by"), "{parts:?}");
    assert!(!parts[5].contains("nino") && !parts[5].contains("995555"), "{parts:?}");
    publish(shop.broker.port, response, b"ok");
    assert_eq!(reaction(&shop, &tap)["body"]["reaction"]["emoji"], "✅");
    publish(shop.broker.port, response, b"error: late second thoughts"); // one end is enough

    let (tap, parts) = asked(&shop, &device, "open back", 2);
    publish(shop.broker.port, &parts[2], br#"{"ok": false, "reason": "the door is blocked"}"#);
    assert_eq!(text(&quoting(&shop, &tap)), "❌ open back: the door is blocked");

    let (tap, parts) = asked(&shop, &device, "open roof", 3);
    assert!(text(&quoting(&shop, &tap)).starts_with("⏳ open roof: sent, but no answer came"));
    // Late, it is told all the same: somebody stands in the rain.
    publish(shop.broker.port, &parts[2], br#"{"ok": true, "text": "open now"}"#);
    wait_for(10, "the late answer", || {
        shop.to(NINO).into_iter().find(|sent| text(sent) == "✅ open roof: open now")
    });
    assert_eq!(shop.to(NINO).len(), 4, "{:#?}", shop.to(NINO));
    let (_, listed) = shop.audit("list");
    for word in
        ["commanded     nino", "published", "open front: done", "open back: failed, the door is blocked"]
    {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    // A stranger to the chain of commands cannot end one: an answer with another id says nothing.
    publish(shop.broker.port, "bellwire/x/answer/00000000-1", b"ok");
}

#[test]
fn a_state_that_holds_is_an_answer() {
    let shop = Shop::open(DOORS, "site/freezer/+/set");
    // What the broker has kept was said before anybody asked.
    let port = shop.broker.port;
    let tap = shop.does(&json!({ "from": NINO, "text": "defrost 2" }));
    shop.wait_device(&["site/freezer/2/set 1"]);
    publish(port, "site/freezer/3/state", br#"{"defrost": 1}"#);
    publish(port, "site/freezer/2/state", br#"{"defrost": 0}"#);
    publish(port, "site/freezer/2/state", br#"{"defrost": 1}"#);
    assert_eq!(reaction(&shop, &tap)["body"]["reaction"]["emoji"], "✅");
    let tap = shop.does(&json!({ "from": NINO, "text": "defrost 2" }));
    wait_for(10, "the second", || (shop.device.messages().len() == 2).then_some(()));
    publish(port, "site/freezer/2/state", br#"{"defrost": 0, "fault": true, "text": "compressor too hot"}"#);
    assert_eq!(text(&quoting(&shop, &tap)), "❌ defrost 2: compressor too hot");
    let tap = shop.does(&json!({ "from": NINO, "text": "defrost 2" }));
    assert!(text(&quoting(&shop, &tap)).starts_with("⏳ defrost 2"));
    assert_eq!(shop.to(NINO).len(), 3);
}

#[test]
fn a_command_waits_for_the_broker_until_it_expires() {
    let mut shop = Shop::open(&DOORS.replace("20s", "6s"), "site/+/set");
    // The broker keeps this device's session: else a command may be out before it listens again.
    let session = [&ALL[..], &["-c", "-i", "door", "-x", "3600"]].concat();
    let device = Subscriber::start_with(shop.broker.port, "site/+/set", &session);
    shop.broker.down();
    let tap = shop.does(&json!({ "from": NINO, "text": "open front" }));
    assert_eq!(shop.became(&tap), "command");
    shop.broker.up();
    let line = wait_for(10, "the command", || device.messages().first().cloned());
    publish(shop.broker.port, line.split('|').nth(2).unwrap(), b"done");
    assert_eq!(reaction(&shop, &tap)["body"]["reaction"]["emoji"], "✅");
    shop.broker.down();
    let tap = shop.does(&json!({ "from": NINO, "text": "open back" }));
    let told = quoting(&shop, &tap);
    assert!(text(&told).contains("❌ open back was not done: the broker could not be reached"), "{told}");
    shop.broker.up();
    // On a busy machine the way back to the broker may take as long as this command may live.
    shop.gateway.as_ref().unwrap().wait_ready(&shop.site);
    let again = shop.does(&json!({ "from": NINO, "text": "open side" }));
    assert_eq!(shop.became(&again), "command");
    let line = wait_for(10, "the next command", || device.messages().get(1).cloned());
    assert!(line.starts_with("site/side/set"), "{line}");
    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    assert_eq!(device.messages().len(), 2, "{:?}", device.messages());
}
