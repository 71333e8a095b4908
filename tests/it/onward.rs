//! What people send that is no words goes on to displays, and alerts that are answered say what they are.

use std::time::Duration;

use bellwire_tests::{Subscriber, publish, wait_for};
use serde_json::{Value, json};

use crate::replies::{LEVAN, NINO, Shop, text};

const RULES: &str = r#"
[[onward]]
name = "positions"
takes = ["location"]
topic = "fleet/positions"
payload = "{{ from }} {{ location.latitude }},{{ location.longitude }} {{ location.name }}"
roles = ["manager"]
[[onward]]
name = "readings"
takes = ["flow", "image"]
topic = "site/readings"
[[command]]
name = "open"
words = "open front"
topic = "site/front/set"
payload = "OPEN"
"#;

#[test]
fn locations_forms_and_pictures_go_to_their_topics() {
    let shop = Shop::open(RULES, "site/#");
    let positions = Subscriber::start(shop.broker.port, "fleet/#");
    let here = json!({ "latitude": 41.7151, "longitude": 44.8271, "name": "Bakery\u{1b}@" });
    assert_eq!(shop.outcome(&json!({ "from": NINO, "location": here })), "command");
    let shown = wait_for(10, "the position", || positions.messages().first().cloned());
    assert_eq!(shown, "fleet/positions nino 41.7151,44.8271 Bakery@");
    assert_eq!(shop.outcome(&json!({ "from": LEVAN, "location": here })), "refused");

    let answers = json!({ "meter": "7", "kWh": "1204" }).to_string();
    let form = json!({ "type": "nfm_reply", "nfm_reply": { "name": "flow", "body": "Sent", "response_json": answers } });
    let form = json!({ "from": LEVAN, "raw": { "type": "interactive", "interactive": form } });
    assert_eq!(shop.outcome(&form), "command");
    let picture =
        json!({ "from": LEVAN, "image": "aGVsbG8=", "mime_type": "image/jpeg", "caption": "meter 7" });
    assert_eq!(shop.outcome(&picture), "command");
    wait_for(10, "two readings", || (shop.device.messages().len() == 2).then_some(()));
    let reading = |at: usize| -> Value {
        serde_json::from_str(shop.device.messages()[at].strip_prefix("site/readings ").unwrap()).unwrap()
    };
    let (form, picture) = (reading(0), reading(1));
    assert_eq!(
        (&form["kind"], &form["flow"]["kWh"], &form["from"]),
        (&json!("flow"), &json!("1204"), &json!("levan"))
    );
    assert_eq!((&picture["kind"], &picture["text"]), (&json!("image"), &json!("meter 7")));
    assert_eq!(picture["image"]["mime_type"], "image/jpeg");
    assert!(picture["image"].get("url").is_none() && picture["image"].get("id").is_none(), "{picture}");

    // A caption that is a command is that; a forwarded place and a sound that nobody takes are nothing.
    let door =
        json!({ "from": NINO, "image": "aGVsbG8=", "mime_type": "image/jpeg", "caption": "open front" });
    assert_eq!(shop.outcome(&door), "command");
    assert_eq!(shop.outcome(&json!({ "from": NINO, "location": here, "forwarded": true })), "say");
    assert_eq!(
        shop.outcome(&json!({ "from": NINO, "audio": "aGVsbG8=", "mime_type": "audio/ogg" })),
        "nothing"
    );
    wait_for(10, "the door", || (shop.device.messages().len() == 3).then_some(()));
    std::thread::sleep(Duration::from_millis(300)); // room for what must not come
    assert_eq!((shop.device.messages().len(), positions.messages().len()), (3, 1));
}

const DOOR: &str = r#"
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
resolve_when = "payload == 'shut'"
message = "Door {{ door }} is open"
notify = ["nino", "levan"]
buttons = ["acknowledge", "snooze 1h"]
[[rule.action]]
id = "lock"
title = "Lock"
topic = "lock/{door}/set"
payload = "LOCK"
"#;

#[test]
fn words_and_taps_on_a_firing_alert_and_one_over() {
    let shop = Shop::open(DOOR, "lock/#");
    let port = shop.broker.port;
    publish(port, "site/back/door", b"open");
    let (ninos, levans) = (shop.wait_to(NINO, 1), shop.wait_to(LEVAN, 1));
    let says = |who: &str, alert: &Value, words: &str| {
        shop.outcome(&json!({ "from": who, "quote": alert["id"], "text": words }))
    };
    assert_eq!(says(NINO, &ninos, "ack"), "alert");
    let state = |state: &str| {
        let sql = format!("SELECT count(*) FROM alert WHERE state = '{state}'");
        wait_for(10, state, || (shop.site.count(&sql) == 1).then_some(()));
    };
    state("acknowledged");
    assert_eq!(says(LEVAN, &levans, "snooze 2h"), "alert");
    assert_eq!(says(LEVAN, &levans, "snoze 2h"), "nothing", "no guess at a time");
    assert_eq!(says(NINO, &ninos, "lock"), "command", "an action of an alert that is acknowledged");
    publish(port, "site/back/door", b"shut");
    state("resolved");
    let before = shop.to(NINO).len();
    for what in ["ack", "snooze 1h", "👍"] {
        assert_eq!(says(NINO, &ninos, what), "say", "{what}");
    }
    let thumb = json!({ "from": NINO, "reaction": "👍", "message_id": ninos["id"] });
    assert_eq!(shop.outcome(&thumb), "say");
    wait_for(10, &format!("four answers; {:#?}", shop.to(NINO)), || {
        let over = shop.to(NINO).iter().filter(|sent| text(sent).contains("That alert is over")).count();
        (over == 4).then_some(())
    });
    assert!(shop.to(NINO).len() >= before);
    // A door can still be locked after it was shut: an action is no answer to the alert.
    let lock = shop.outcome(&json!({ "from": NINO, "tap": "Lock", "message_id": ninos["id"] }));
    assert_eq!(lock, "command");
    shop.wait_device(&["lock/back/set LOCK", "lock/back/set LOCK"]);
}
