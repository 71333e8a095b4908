//! Meta delivers at least once, in any order (docs/cloud-api.md 3.3): each message of a person is one command all the same.

use std::time::Duration;

use bellwire_tests::{Gateway, PHONE_NUMBER_ID, Subscriber, wait_for};
use serde_json::{Value, json};

use crate::replies::{NINO, Shop, now_s, text};
use crate::webhook::{post, sign};

const DOORS: &str = r#"
[[command]]
name = "open"
words = "open {door}"
values = { door = ["front", "back", "side", "roof"] }
topic = "site/{door}/set"
payload = "OPEN"
expires = "1m"
[[command]]
name = "oven"
words = "oven off"
topic = "site/oven/set"
payload = "OFF"
confirm = true
"#;

/// A body of Meta's with one message of Nino's, written so many seconds ago.
fn body(id: &str, ago_s: u64, mut message: Value) -> Vec<u8> {
    message["id"] = json!(id);
    message["from"] = json!(NINO.trim_start_matches('+'));
    message["timestamp"] = json!((now_s() - ago_s).to_string());
    let metadata = json!({ "display_phone_number": "15550100100", "phone_number_id": PHONE_NUMBER_ID });
    let value = json!({ "messaging_product": "whatsapp", "metadata": metadata, "messages": [message] });
    let change = json!({ "field": "messages", "value": value });
    let entry = json!({ "id": "102290129340398", "changes": [change] });
    json!({ "object": "whatsapp_business_account", "entry": [entry] }).to_string().into_bytes()
}

fn words(id: &str, ago_s: u64, words: &str) -> Vec<u8> {
    body(id, ago_s, json!({ "type": "text", "text": { "body": words } }))
}

fn deliver(shop: &Shop, body: &[u8]) {
    assert_eq!(post(&shop.site, body, Some(&sign("secret", body))), 200);
}

#[test]
fn repeated_deliveries_across_a_crash_act_once() {
    let mut shop = Shop::open(DOORS, "site/+/set");
    let device = Subscriber::start_with(shop.broker.port, "site/+/set", &["-V", "5", "-F", "%t %D"]);
    // Written in this order; the first is older than its command may be when it comes at last.
    let written = [
        words("wamid.roof", 300, "open roof"),
        words("wamid.front", 20, "open front"),
        words("wamid.back", 10, "open back"),
        words("wamid.side", 0, "open side"),
    ];
    let came = [3, 1, 3, 2, 1, 0, 2, 1, 3];
    for at in came {
        deliver(&shop, &written[at]);
    }
    shop.gateway.take().unwrap().kill();
    shop.gateway = Some(Gateway::start(&shop.site));
    for at in [0, 1, 2, 3, 2, 0, 3, 1, 0, 2, 0] {
        deliver(&shop, &written[at]);
    }
    let read = "SELECT count(*) FROM inbox WHERE state = 'done' AND note NOT LIKE '1 statuses%'";
    wait_for(10, "twenty bodies", || (shop.site.count(read) == 20).then_some(()));
    let published = "SELECT count(*) FROM command WHERE state = 'published'";
    wait_for(10, "three commands", || (shop.site.count(published) == 3).then_some(()));
    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    // One that was out when the crash came may be out again; its id is the same, so it is the same command.
    let mut commands = device.messages();
    commands.sort();
    commands.dedup();
    let doors: Vec<&str> = commands.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(doors, ["site/back/set", "site/front/set", "site/side/set"], "{commands:?}");
    assert_eq!(shop.site.count("SELECT count(*) FROM command"), 3);
    let late = "SELECT count(*) FROM reply WHERE outcome = 'say' AND reason LIKE '%came too late%'";
    assert_eq!(shop.site.count(late), 1, "the first is older than its command may be");
    // In the outbox: if the crash came while it was being sent, it waits for Meta's word about it first.
    let told = "SELECT count(*) FROM message WHERE content LIKE '%came too late%open roof%was not done%'";
    assert_eq!((shop.site.count(told), shop.site.count("SELECT count(*) FROM message")), (1, 1), "told once");
}

#[test]
fn a_yes_that_comes_five_times_is_one_command() {
    let shop = Shop::open(DOORS, "site/+/set");
    assert_eq!(shop.writes(NINO, "oven off"), "confirm");
    let asked = shop.wait_to(NINO, 1);
    let button = |at: usize| {
        let id = &asked["buttons"][at]["id"];
        json!({ "type": "interactive", "interactive": { "type": "button_reply",
            "button_reply": { "id": id, "title": asked["buttons"][at]["title"] } } })
    };
    let (yes, no) = (body("wamid.yes", 0, button(0)), body("wamid.no", 1, button(1)));
    // The No was tapped first and comes last: whoever said Yes after it meant Yes.
    for body in [&yes, &yes, &no, &yes, &yes, &no, &yes, &no] {
        deliver(&shop, body);
    }
    shop.became("wamid.no");
    shop.wait_device(&["site/oven/set OFF"]);
    assert!(text(&shop.wait_to(NINO, 2)).contains("decided already"));
    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    assert_eq!(shop.device.messages().len(), 1);
    assert_eq!(shop.to(NINO).len(), 2, "each message is answered once");
}
