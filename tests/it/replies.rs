//! Replies that act: who may, what is asked back, and everything that must not act.

use std::time::Duration;

use bellwire_tests::{
    Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, Subscriber, bellwire, post_json, publish, wait_for,
};
use serde_json::{Value, json};

pub const NINO: &str = "+995555123456";
pub const GIORGI: &str = "+995555654321";
pub const LEVAN: &str = "+995555000111";
pub const OWNER: &str = "+995555999888";
const STRANGER: &str = "+4915112345678";

/// Two managers, one of them bound to the bar; a cook; an owner.
const PEOPLE: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
roles = ["manager"]
[[contact]]
id = "giorgi"
phone = "+995 555 65 43 21"
roles = ["manager"]
topics = ["site/bar/#", "pos/#"]
[[contact]]
id = "levan"
phone = "+995 555 00 01 11"
[[contact]]
id = "owner"
phone = "+995 555 99 98 88"
roles = ["owner"]
"#;

pub const RULES: &str = r#"
[[rule]]
name = "freezer"
topic = "site/{area}/freezer/{unit}/temperature"
message = "Freezer {{ unit }} in {{ area }} is at {{ payload.celsius }} °C"
notify = ["nino", "levan"]
[[rule.action]]
id = "stop"
title = "Stop defrost"
words = ["ყინვის გაჩერება", "Abtauen stoppen"]
topic = "site/{area}/freezer/{unit}/set"
payload = '{"defrost": false}'
roles = ["manager"]
[[command]]
name = "open"
words = ["open {door}", "öffne {door}", "გააღე {door}", "افتح {door}", "{door} aç"]
values = { door = ["front", "Arka Kapı"] }
topic = "site/{door}/set"
payload = "OPEN {door}"
roles = ["manager"]
[[command]]
name = "oven"
words = "oven off"
topic = "site/oven/set"
payload = "OFF"
confirm = true
expires = "20s"
[[command]]
name = "safe"
words = "open the safe"
topic = "site/bar/safe/set"
payload = "OPEN"
roles = ["manager"]
approvals = 2
[[onward]]
name = "printer"
word = "print"
topic = "site/kitchen/printer"
payload = "{{ from }}: {{ text }}"
roles = ["manager"]
[[onward]]
name = "display"
rule = "freezer"
topic = "display/{area}"
"#;

pub struct Shop {
    pub broker: Broker,
    pub site: Site,
    pub device: Subscriber,
    _simulator: Simulator,
    pub gateway: Option<Gateway>,
}

impl Shop {
    pub fn open(rules: &str, filter: &str) -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, &format!("{PEOPLE}{rules}"));
        let config = std::fs::read_to_string(site.config()).unwrap();
        std::fs::write(site.config(), config.replace("[http]", "owner = [\"owner\"]\n[http]")).unwrap();
        let simulator = Simulator::start(&site);
        let gateway = Some(Gateway::start(&site));
        let device = Subscriber::start(broker.port, filter);
        Self { broker, site, device, _simulator: simulator, gateway }
    }

    pub fn does(&self, what: &Value) -> String {
        let mut what = what.clone();
        what["phone_number_id"] = json!(PHONE_NUMBER_ID);
        let (status, answer) = post_json(&self.site.api("/_simulator/reply"), &what);
        assert_eq!(status, 200, "{what}: {answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Does something and waits for what becomes of it: the word in the table of replies.
    pub fn outcome(&self, what: &Value) -> String {
        let id = self.does(what);
        self.became(&id)
    }

    pub fn became(&self, id: &str) -> String {
        wait_for(10, "the reply", || {
            let read = "SELECT outcome FROM reply WHERE wamid = ?1";
            self.site.database().query_row(read, [id], |row| row.get(0)).ok()
        })
    }

    pub fn writes(&self, from: &str, text: &str) -> String {
        self.outcome(&json!({ "from": from, "text": text }))
    }

    pub fn taps(&self, from: &str, title: &str) -> String {
        self.outcome(&json!({ "from": from, "tap": title }))
    }

    /// What was sent to this person, in order.
    pub fn to(&self, whom: &str) -> Vec<Value> {
        self.site.sent().into_iter().filter(|sent| sent["to"] == whom).collect()
    }

    pub fn wait_to(&self, whom: &str, count: usize) -> Value {
        wait_for(10, &format!("{count} messages to {whom}; {:#?}", self.to(whom)), || {
            self.to(whom).get(count - 1).cloned()
        })
    }

    pub fn wait_device(&self, expected: &[&str]) {
        wait_for(10, &format!("{expected:?}; there is {:?}", self.device.messages()), || {
            (self.device.messages().len() >= expected.len()).then_some(())
        });
        assert_eq!(self.device.messages(), expected);
    }

    pub fn alert(&self) {
        publish(self.broker.port, "site/bar/freezer/2/temperature", br#"{"celsius": -12.5}"#);
    }

    pub fn audit(&self, command: &str) -> (Option<i32>, String) {
        let config = self.site.config();
        let output = bellwire(&["audit", command, "--config", &config.to_string_lossy()]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

pub fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

pub fn text(message: &Value) -> &str {
    message["text"].as_str().unwrap_or_default()
}

#[test]
fn text_commands_match_whole_phrases_in_every_language() {
    let shop = Shop::open(RULES, "site/+/set");
    for words in ["Open FRONT", "ÖFFNE front", "გააღე front", "افتـــح front", "ARKA KAPI AÇ"]
    {
        assert_eq!(shop.writes(NINO, words), "command", "{words}");
    }
    let front = "site/front/set OPEN front";
    shop.wait_device(&[front, front, front, front, "site/Arka Kapı/set OPEN Arka Kapı"]);
    for words in ["please open front now", "opening front", "hello", "don't open front!"] {
        assert_eq!(shop.writes(GIORGI, words), "nothing", "{words}");
    }
    for words in ["оpen front", "opne front", "open cellar"] {
        assert_eq!(shop.writes(NINO, words), "say", "{words}: a suggestion");
    }
    assert!(text(&shop.wait_to(NINO, 1)).contains("open front|Arka Kapı"));
    assert_eq!(shop.writes(NINO, "op\u{200b}en front"), "nothing");
    let caption =
        json!({ "from": NINO, "image": "aGVsbG8=", "mime_type": "image/jpeg", "caption": "open front" });
    assert_eq!(shop.outcome(&caption), "command");
    assert_eq!(shop.writes(LEVAN, "help"), "say");
    let help = shop.wait_to(LEVAN, 1);
    assert!(text(&help).contains("oven off") && !text(&help).contains("open front"), "{help}");
    std::thread::sleep(Duration::from_millis(300)); // room for what must not come
    assert_eq!(shop.device.messages().len(), 6);
}

#[test]
fn words_and_a_thumb_under_an_alert() {
    let shop = Shop::open(RULES, "site/+/freezer/+/set");
    shop.alert();
    let alert = shop.wait_to(NINO, 1);
    assert!(alert["buttons"][0]["id"].as_str().unwrap().len() <= 200);
    let quote = |words: &str| json!({ "from": NINO, "quote": alert["id"], "text": words });
    assert_eq!(shop.outcome(&quote("abtauen STOPPEN")), "command");
    assert_eq!(shop.outcome(&quote("ᲧᲘᲜᲕᲘᲡ გაჩერება")), "command");
    assert_eq!(shop.outcome(&quote("stop defrsot")), "say");
    assert_eq!(shop.taps(NINO, "Stop defrost"), "command");
    let thumb = json!({ "from": NINO, "reaction": "👍🏽", "message_id": alert["id"] });
    assert_eq!(shop.outcome(&thumb), "acknowledge");
    assert_eq!(shop.site.count("SELECT count(*) FROM acknowledgement WHERE contact = 'nino'"), 1);
    assert_eq!(shop.writes(NINO, "status"), "status");
    let sent = shop.to(NINO);
    let status = wait_for(10, "the status", || {
        shop.to(NINO).into_iter().find(|sent| text(sent).contains("freezer bar 2"))
    });
    assert!(text(&status).contains("👍 nino"), "{status} {sent:?}");
    let stop = r#"site/bar/freezer/2/set {"defrost": false}"#;
    shop.wait_device(&[stop, stop, stop]);
}

#[test]
fn what_is_dangerous_is_asked_back_and_needs_two() {
    let shop = Shop::open(RULES, "site/#");
    assert_eq!(shop.writes(LEVAN, "oven off"), "confirm");
    assert!(text(&shop.wait_to(LEVAN, 1)).starts_with("oven off?"));
    assert_eq!(shop.taps(LEVAN, "No"), "vote");
    assert_eq!(shop.writes(LEVAN, "oven off"), "confirm");
    let asked = shop.wait_to(LEVAN, 2);
    assert_eq!(shop.outcome(&json!({ "from": LEVAN, "quote": asked["id"], "text": "კი" })), "vote");
    shop.wait_device(&["site/oven/set OFF"]);
    assert_eq!(shop.outcome(&json!({ "from": LEVAN, "tap": "Yes", "message_id": asked["id"] })), "vote");
    assert!(text(&shop.wait_to(LEVAN, 3)).contains("decided already"));

    // Two managers: one asks, the other agrees; nobody agrees with themselves, and a cook is not asked.
    assert_eq!(shop.writes(NINO, "open the safe"), "confirm");
    let asked = shop.wait_to(GIORGI, 1);
    assert!(text(&asked).starts_with("nino asks for: open the safe"), "{asked}");
    let yes = json!({ "id": asked["buttons"][0]["id"], "title": "Yes" });
    let yes = json!({ "type": "button_reply", "button_reply": yes });
    let borrowed = json!({ "from": NINO, "raw": { "type": "interactive", "interactive": yes } });
    assert_eq!(shop.outcome(&borrowed), "refused");
    assert_eq!(shop.taps(GIORGI, "Yes"), "vote");
    shop.wait_device(&["site/oven/set OFF", "site/bar/safe/set OPEN"]);
    assert_eq!(text(&shop.wait_to(NINO, 2)), "✅ giorgi agrees: open the safe");
    assert_eq!(shop.writes(GIORGI, "open the safe"), "confirm");
    shop.wait_to(NINO, 3);
    assert_eq!(shop.taps(NINO, "No"), "vote");
    assert!(text(&shop.wait_to(GIORGI, 2)).contains("❌ nino does not agree"));
    std::thread::sleep(Duration::from_millis(300)); // room for what must not come
    assert_eq!(shop.device.messages().len(), 2);
    assert_eq!(shop.to(LEVAN).len(), 3);
}

#[test]
fn the_asker_is_told_when_nobody_may_agree() {
    let shop = Shop::open(&RULES.replace("bar/safe", "hall/safe"), "site/+/safe/set");
    assert_eq!(shop.writes(NINO, "open the safe"), "confirm");
    assert!(text(&shop.wait_to(NINO, 1)).contains("nobody else may agree"), "giorgi is bound to the bar");
    assert_eq!(shop.site.count("SELECT count(*) FROM request WHERE state = 'open'"), 0);
}

#[test]
fn foreign_altered_and_old_buttons_do_not_act() {
    let mut shop = Shop::open(RULES, "site/#");
    shop.alert();
    let (mine, levans) = (shop.wait_to(NINO, 1), shop.wait_to(LEVAN, 1));
    let id = mine["buttons"][0]["id"].as_str().unwrap().to_owned();
    let raw = |from: &str, id: &str| {
        let reply = json!({ "type": "button_reply", "button_reply": { "id": id, "title": "Stop defrost" } });
        json!({ "from": from, "raw": { "type": "interactive", "interactive": reply } })
    };
    // Somebody else's button, an altered one, one of another alert, and one that is a day old.
    assert_eq!(shop.outcome(&raw(LEVAN, &id)), "refused");
    assert_eq!(shop.outcome(&raw(NINO, &id.replace("/stop/", "/open/"))), "refused");
    assert_eq!(shop.outcome(&raw(NINO, &id.replace("/a1/", "/a2/"))), "refused");
    let context = json!({ "from": "15550100100", "id": levans["id"] });
    let borrowed =
        json!({ "from": NINO, "raw": { "type": "text", "text": { "body": "stop" }, "context": context } });
    assert_eq!(shop.outcome(&borrowed), "refused");
    let mut old = raw(NINO, &id);
    old["timestamp"] = json!(now_s() + 25 * 3600);
    assert_eq!(shop.outcome(&old), "say");
    // A role that this person has not; a place that is not theirs; words that somebody else wrote.
    assert_eq!(shop.writes(LEVAN, "open front"), "refused");
    assert_eq!(shop.writes(GIORGI, "open front"), "refused");
    let forwarded = json!({ "from": NINO, "text": "open front", "forwarded": true });
    assert_eq!(shop.outcome(&forwarded), "say");
    // A stranger with the owner's name gets one answer, and the owner hears of it.
    for _ in 0..3 {
        let stranger = json!({ "from": STRANGER, "name": "nino", "text": "open front" });
        assert_eq!(shop.outcome(&stranger), "stranger");
    }
    assert!(text(&shop.wait_to(STRANGER, 1)).contains("not on its list"));
    assert!(text(&shop.wait_to(OWNER, 1)).contains(STRANGER));
    // Taken away since: the button is still there, the role is not.
    shop.gateway.take().unwrap().stop();
    let config = std::fs::read_to_string(shop.site.config()).unwrap();
    std::fs::write(shop.site.config(), config.replacen("roles = [\"manager\"]", "roles = []", 1)).unwrap();
    shop.gateway = Some(Gateway::start(&shop.site));
    assert_eq!(shop.taps(NINO, "Stop defrost"), "refused");
    std::thread::sleep(Duration::from_millis(300)); // room for what must not come
    assert_eq!(shop.device.messages(), ["site/bar/freezer/2/temperature {\"celsius\": -12.5}"]);
    assert_eq!(shop.to(STRANGER).len(), 1);
    assert_eq!(shop.site.count("SELECT count(*) FROM command"), 0);
    assert_eq!(shop.site.count("SELECT count(*) FROM audit WHERE what = 'refused'"), 7);
    assert_eq!(shop.audit("verify"), (Some(0), "7 entries, none changed, removed or inserted\n".to_owned()));
    assert!(shop.audit("list").1.contains("refused       levan"), "{}", shop.audit("list").1);
    assert_eq!(shop.audit("export").1.lines().count(), 7);
}

#[test]
fn one_message_is_one_command_however_often_it_comes() {
    let shop = Shop::open(RULES, "site/+/set");
    let once = json!({ "from": NINO, "text": "open front", "id": "wamid.once", "duplicate": 5 });
    assert_eq!(shop.outcome(&once), "command");
    let again = shop.outcome(&json!({ "from": NINO, "text": "open front", "id": "wamid.once" }));
    assert_eq!(again, "command", "what became of it the first time");
    shop.wait_device(&["site/front/set OPEN front"]);
    std::thread::sleep(Duration::from_millis(500)); // room for what must not come
    assert_eq!(shop.device.messages().len(), 1);
    assert_eq!(shop.site.count("SELECT count(*) FROM command"), 1);
}

#[test]
fn five_refusals_are_a_lock_out() {
    let shop = Shop::open(RULES, "site/+/set");
    for _ in 0..5 {
        assert_eq!(shop.writes(LEVAN, "open front"), "refused");
    }
    assert!(text(&shop.wait_to(LEVAN, 5)).contains("nothing acts for you for 15 minutes"));
    assert!(text(&shop.wait_to(OWNER, 1)).contains("levan was refused 5 times"));
    assert_eq!(shop.writes(LEVAN, "oven off"), "locked");
    assert_eq!(shop.writes(LEVAN, "stop"), "stop", "STOP is always heard");
}

#[test]
fn words_go_on_to_printers_and_displays() {
    let shop = Shop::open(RULES, "site/kitchen/#");
    let display = Subscriber::start(shop.broker.port, "display/#");
    assert_eq!(shop.writes(NINO, "Print: table 4\u{1b}@ has no fish"), "command");
    shop.wait_device(&["site/kitchen/printer nino: table 4@ has no fish"]);
    assert_eq!(shop.writes(LEVAN, "print hello"), "refused");
    assert_eq!(shop.writes(NINO, "please print hello"), "nothing");
    shop.alert();
    let alert = shop.wait_to(NINO, 1);
    let words = json!({ "from": NINO, "quote": alert["id"], "text": "the plumber comes at six" });
    assert_eq!(shop.outcome(&words), "command");
    let shown = wait_for(10, "the display", || display.messages().first().cloned());
    assert!(shown.starts_with("display/bar {") && shown.contains("the plumber comes at six"), "{shown}");
    let status = json!({ "from": NINO, "quote": alert["id"], "text": "status" });
    assert_eq!(shop.outcome(&status), "status");
    assert_eq!(display.messages().len(), 1);
}

/// Meta answers our request when it likes; people may be faster.
#[test]
fn a_thumb_that_overtakes_metas_answer_waits_for_it() {
    let shop = Shop::open(RULES, "site/+/freezer/+/set");
    shop.site.fault(&json!({ "to": LEVAN, "delay_ms": 3_000, "statuses": { "drop": true } }));
    shop.alert();
    let alert = shop.wait_to(LEVAN, 1);
    let thumb = shop.does(&json!({ "from": LEVAN, "reaction": "👍", "message_id": alert["id"] }));
    assert_eq!(shop.writes(LEVAN, "help"), "say", "what came after it does not wait");
    assert_eq!(shop.site.count("SELECT count(*) FROM acknowledgement"), 0);
    assert_eq!(shop.became(&thumb), "acknowledge");
}
