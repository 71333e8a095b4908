//! Inside and outside the 24 h window, in the simulator's own time; what a flood and a STOP lead to.

use std::time::Duration;

use bellwire_tests::{
    Broker, Gateway, PHONE_NUMBER_ID, Simulator, Site, Subscriber, get_json, post_json, publish,
    publish_lines, wait_for,
};
use serde_json::{Value, json};

const NINO: &str = "+995555123456";
const TOPIC: &str = "site/bar/freezer/2/temperature";
const WARM: &[u8] = br#"{"celsius": -12.5}"#;

/// One contact, one rule with two templates; the account's catalogue can be read.
fn rules() -> String {
    format!(
        "business_account_id = \"900000000000001\"\n{}",
        crate::round_trip::FREEZER.replace(
            "notify = [\"nino\"]",
            "notify = [\"nino\"]\n\
             [[rule.template]]\nname = \"alarm\"\nlanguage = \"en\"\nparameters = [\"{{ site.name }}\", \"{{ text }}\"]\n\
             [[rule.template]]\nname = \"plain\"\nlanguage = \"en\"\nparameters = { what = \"{{ text }}\" }"
        )
    )
}

struct Shop {
    broker: Broker,
    site: Site,
    _simulator: Simulator,
    _gateway: Gateway,
}

impl Shop {
    fn open(rules: &str) -> Self {
        let broker = Broker::start();
        let site = Site::new(broker.port, rules);
        let simulator = Simulator::start(&site);
        let control = |path: &str, body: Value| {
            let answer = post_json(&site.api(&format!("/_simulator/{path}")), &body);
            assert_eq!(answer.0, 200, "{answer:?}");
        };
        control("window", json!({ "enforce": true }));
        let buttons = json!({ "type": "BUTTONS", "buttons": [{ "type": "QUICK_REPLY", "text": "Act" }] });
        let body = |text: &str| json!({ "type": "BODY", "text": text });
        control(
            "templates",
            json!({ "name": "alarm", "language": "en", "parameter_format": "POSITIONAL",
                    "components": [body("Alarm at {{1}} right now: {{2}}. Please look."), buttons] }),
        );
        control(
            "templates",
            json!({ "name": "plain", "language": "en", "parameter_format": "NAMED",
                    "components": [body("This just happened: {{what}}. Please look.")] }),
        );
        let gateway = Gateway::start(&site);
        let read = "SELECT count(*) FROM template";
        wait_for(10, "the catalogue", || {
            (rules.contains("business_account_id") && site.count(read) >= 2
                || !rules.contains("business_account_id"))
            .then_some(())
        });
        Self { broker, site, _simulator: simulator, _gateway: gateway }
    }

    fn control(&self, path: &str, body: &Value) -> Value {
        let answer = post_json(&self.site.api(&format!("/_simulator/{path}")), body);
        assert_eq!(answer.0, 200, "{answer:?}");
        answer.1
    }

    fn write(&self, text: &str) {
        self.control("reply", &json!({ "from": NINO, "text": text, "phone_number_id": PHONE_NUMBER_ID }));
    }

    fn state(&self, id: i64) -> (String, String) {
        self.site
            .database()
            .query_row("SELECT state, reason FROM message WHERE id = ?1", [id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap_or_default()
    }

    fn wait_state(&self, id: i64, state: &str) -> String {
        wait_for(15, &format!("message {id} to be {state}; it is {:?}", self.state(id)), || {
            Some(self.state(id)).filter(|(now, _)| now == state)
        })
        .1
    }

    /// Moves the simulator's clock alone: the gateway does not know that a day has passed, as with a clock that is wrong.
    fn days_pass(&self, days: u32) {
        self.control("clock", &json!({ "advance_s": days * 86_400 }));
    }
}

#[test]
fn a_template_and_its_button_work_outside_the_window() {
    let shop = Shop::open(&rules());
    let device = Subscriber::start(shop.broker.port, "site/+/freezer/+/set");
    publish(shop.broker.port, TOPIC, WARM);
    let sent = shop.site.wait_sent(1);
    assert_eq!(sent[0]["type"], "template", "{sent:#?}");
    let template = &sent[0]["body"]["template"];
    assert_eq!(template["name"], "alarm");
    let blanks = &template["components"][0]["parameters"];
    assert_eq!(blanks[0]["text"], "Test");
    let words = blanks[1]["text"].as_str().unwrap();
    assert!(words.starts_with("Freezer 2 in bar is at -12.5 °C · 🕑 "), "{words}");
    shop.control("reply", &json!({ "from": NINO, "tap": "Act", "message_id": sent[0]["id"] }));
    wait_for(10, "the command", || (device.messages().len() == 1).then_some(()));

    // The tap was a message: the window is open, and words with buttons are cheaper and better.
    publish(shop.broker.port, TOPIC, WARM);
    assert_eq!(shop.site.wait_sent(2)[1]["type"], "interactive");
}

#[test]
fn a_closed_window_error_leads_to_one_template() {
    for form in ["direct", "later"] {
        let shop = Shop::open(&rules());
        shop.control("window", &json!({ "form": form }));
        shop.write("hello");
        wait_for(10, "the window", || (shop.site.count("SELECT count(*) FROM window") == 1).then_some(()));
        shop.days_pass(2);
        publish(shop.broker.port, TOPIC, WARM);
        wait_for(15, "the template", || {
            shop.site.sent().iter().any(|sent| sent["type"] == "template").then_some(())
        });
        shop.wait_state(1, "read");
        let shown = shop.site.show(1);
        assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2), "{form}: {shown:#}");
        assert_eq!(shown["possible_duplicate"], false, "{form}: the first one surely did not arrive");
        let templates = shop.site.sent().iter().filter(|sent| sent["type"] == "template").count();
        assert_eq!(templates, 1, "{form}");
    }
}

#[test]
fn paused_templates_fall_back_and_then_the_message_waits() {
    let owner = rules().replace("business", "messages_per_second = 40\nbusiness");
    let shop = Shop::open(&owner);
    let status = |name: &str, status: &str| {
        shop.control("templates", &json!({ "name": name, "language": "en", "status": status }));
        let now = format!("SELECT count(*) FROM template WHERE name = '{name}' AND status = '{status}'");
        wait_for(10, "the news", || (shop.site.count(&now) == 1).then_some(()));
    };
    status("alarm", "PAUSED");
    publish(shop.broker.port, TOPIC, WARM);
    assert_eq!(shop.site.wait_sent(1)[0]["body"]["template"]["name"], "plain");
    assert_eq!(
        shop.site.wait_sent(1)[0]["body"]["template"]["components"][0]["parameters"][0]["parameter_name"],
        "what"
    );

    status("plain", "PAUSED");
    publish(shop.broker.port, TOPIC, WARM);
    let reason = shop.wait_state(2, "held"); // free words are refused with 131047, which proves the window closed
    assert!(reason.contains("alarm (en) is paused") && reason.contains("plain (en) is paused"), "{reason}");
    let notices = "SELECT count(*) FROM notice WHERE field = 'message_template_status_update' AND text LIKE '%is paused%'";
    assert_eq!(shop.site.count(notices), 2);
    status("alarm", "APPROVED");
    shop.wait_state(2, "read");
    assert_eq!(shop.site.wait_sent(2)[1]["body"]["template"]["name"], "alarm");
}

#[test]
fn without_a_template_the_message_waits_for_the_person() {
    let shop = Shop::open(crate::round_trip::FREEZER);
    publish(shop.broker.port, TOPIC, WARM);
    let reason = shop.wait_state(1, "held");
    assert!(reason.contains("as soon as the person writes"), "{reason}");
    publish(shop.broker.port, TOPIC, WARM);
    let reason = shop.wait_state(2, "held");
    assert!(reason.contains("the rule has no template"), "{reason}");
    let told = "SELECT count(*) FROM notice WHERE field = 'held nino' AND text LIKE '%until nino writes%'";
    wait_for(10, "the owner's notice", || (shop.site.count(told) == 1).then_some(()));
    // What is written in a group is not written to the number.
    shop.control(
        "reply",
        &json!({ "from": NINO, "text": "anything?", "phone_number_id": PHONE_NUMBER_ID, "group_id": "G1" }),
    );
    let replies = "SELECT count(*) FROM reply";
    wait_for(10, "the group's words", || (shop.site.count(replies) == 1).then_some(()));
    assert_eq!((shop.state(1).0, shop.state(2).0), ("held".into(), "held".into()));
    shop.write("anything?");
    shop.wait_state(1, "read");
    shop.wait_state(2, "read");
}

/// Not a flood at any moment, and yet more than anybody reads one by one.
#[test]
fn a_steady_trickle_becomes_digests_after_ten_messages() {
    const EVENTS: i64 = 60;
    let shop = Shop::open(crate::round_trip::FREEZER);
    shop.write("hello");
    wait_for(10, "the window", || (shop.site.count("SELECT count(*) FROM window") == 1).then_some(()));
    for number in 0..EVENTS {
        publish(shop.broker.port, TOPIC, format!("{{\"celsius\": {number}}}").as_bytes());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let done = "SELECT count(*) FROM message WHERE alert IS NOT NULL AND state = 'read'";
    wait_for(30, "everything to be told", || (shop.site.count(done) == EVENTS).then_some(()));
    let sent = shop.site.sent().len();
    println!("60 alerts within some seconds: {sent} messages");
    assert!(sent <= 16, "{sent} messages");
}

#[test]
fn a_flood_becomes_few_messages_without_loss() {
    const EVENTS: usize = 10_000;
    let shop = Shop::open(crate::round_trip::FREEZER);
    shop.control("limits", &json!({ "pair": true }));
    shop.write("hello");
    wait_for(10, "the window", || (shop.site.count("SELECT count(*) FROM window") == 1).then_some(()));
    let lines: Vec<String> = (0..EVENTS).map(|number| format!("{{\"celsius\": {number}}}")).collect();
    publish_lines(shop.broker.port, TOPIC, &lines);
    let done = "SELECT count(*) FROM message WHERE alert IS NOT NULL AND state = 'read'";
    wait_for(100, "everything to be told", || (shop.site.count(done) == EVENTS as i64).then_some(()));
    let sent = shop.site.sent();
    assert!(sent.len() <= 15, "{} messages", sent.len());
    let told: usize = sent.iter().map(|sent| count_of(sent["text"].as_str().unwrap_or_default())).sum();
    assert_eq!(told, EVENTS, "each is in a message or counted in one");
    println!("10,000 alerts to one person: {} messages", sent.len());

    let digest = sent.iter().max_by_key(|sent| sent["text"].as_str().map_or(0, str::len)).unwrap();
    assert_eq!(digest["type"], "interactive");
    shop.control("reply", &json!({ "from": NINO, "tap": "Read on", "message_id": digest["id"] }));
    let before = sent.len();
    assert!(shop.site.wait_sent(before + 1).len() > before, "the rest is had by tapping");
}

/// `🔔 37 alerts` counts for 37, anything else for one.
fn count_of(text: &str) -> usize {
    let counted = text.strip_prefix("🔔 ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    counted.unwrap_or(1)
}

#[test]
fn stop_holds_messages_and_start_releases_them() {
    let shop = Shop::open(crate::round_trip::FREEZER);
    shop.write("Stop");
    let told = shop.site.wait_sent(1);
    assert!(told[0]["text"].as_str().unwrap().contains("Write START"), "{told:?}");
    publish(shop.broker.port, TOPIC, WARM);
    shop.wait_state(2, "held");
    // Meta's timestamps are whole seconds: of two wishes in one second nobody could say which came last.
    std::thread::sleep(Duration::from_millis(1_100));
    shop.write("start");
    shop.wait_state(2, "read");
    let consents: i64 =
        shop.site.count("SELECT count(*) FROM consent WHERE source LIKE 'a WhatsApp message to main (%'");
    assert_eq!(consents, 2, "when and where is on record");

    let duty = crate::round_trip::FREEZER.replace("id = \"nino\"", "id = \"nino\"\nmay_stop = false");
    let shop = Shop::open(&duty);
    shop.write("stop");
    assert!(shop.site.wait_sent(1)[0]["text"].as_str().unwrap().contains("on duty"));
    publish(shop.broker.port, TOPIC, WARM);
    shop.wait_state(2, "read");
    let usage = get_json(&shop.site.api("/_simulator/messages")).as_array().map_or(0, Vec::len);
    let counted = "SELECT coalesce(sum(count), 0) FROM usage";
    wait_for(10, "the prices", || (shop.site.count(counted) == usage as i64).then_some(()));
}
