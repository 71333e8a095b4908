//! The gateway as a device of Home Assistant: what it publishes is what Home Assistant takes, and what comes from there is
//! done once, or not at all.

use bellwire_tests::{
    Broker, Gateway, Simulator, Site, Subscriber, bellwire, post_json, publish, publish_5, wait_for,
};
use serde_json::{Value, json};

use crate::web::{code, form, get, log_in};

const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
roles = ["manager"]
[[contact]]
id = "giorgi"
name = "Giorgi \"G\" G."
phone = "+995 555 65 43 21"
language = "de"
[[command]]
words = "light on"
topic = "site/light"
payload = '{"on": true, "by": "{{ contact }}", "name": "{{ contact.name }}"}'
[[rule]]
name = "door"
topic = "site/{door}/door"
when = "payload == 'open'"
resolve_when = "payload == 'shut'"
message = "Door {{ door }} is open"
notify = ["nino"]
[[rule]]
name = "fire"
topic = "site/{room}/smoke"
message = "Smoke in {{ room }}"
notify = ["nino"]
severity = "critical"
[[rule]]
name = "started"
topic = "homeassistant/status"
when = "payload == 'online'"
message = "Home Assistant has started"
notify = ["nino"]
"#;
const HOME: &str = "[home_assistant]\nnotify = [\"nino\"]\n";

/// `home-assistant/core`, `homeassistant/components/mqtt`: what `PLATFORM_SCHEMA_MODERN` of `NAME.py` requires, and what else of
/// it we use. What it does not know it drops, or refuses the whole device.
const PLATFORMS: [(&str, &[&str], &[&str]); 6] = [
    ("binary_sensor", &["state_topic"], &["device_class", "payload_on", "payload_off", "value_template"]),
    ("sensor", &["state_topic"], &["device_class", "unit_of_measurement", "state_class", "value_template"]),
    ("switch", &["command_topic"], &["state_topic", "value_template"]),
    ("button", &["command_topic"], &["payload_press"]),
    ("notify", &["command_topic"], &["command_template", "json_attributes_topic"]),
    ("event", &["state_topic"], &["event_types"]),
];
/// `MQTT_ENTITY_COMMON_SCHEMA`, `MQTT_AVAILABILITY_SCHEMA` and `MQTT_BASE_SCHEMA`.
const EVERYWHERE: [&str; 7] =
    ["p", "unique_id", "name", "icon", "entity_category", "availability_topic", "qos"];

const DEVICE: &str = "homeassistant/device/bellwire-test/config";
const STATE: &str = "bellwire/bellwire-test/home-assistant/state";
const STATUS: &str = "bellwire/bellwire-test/status";

fn own(rest: &str) -> String {
    format!("bellwire/bellwire-test/home-assistant/{rest}")
}

/// A site with a broker, a Cloud API, and a gateway that is shown.
struct Shop {
    broker: Broker,
    site: Site,
    _simulator: Simulator,
}

impl Shop {
    fn open() -> (Self, Gateway) {
        Self::open_with(&[], "5")
    }

    /// With commands that somebody has left at the broker: it hands them to whoever subscribes anew.
    fn open_with(retained: &[(&str, &str)], version: &str) -> (Self, Gateway) {
        let broker = Broker::start();
        for (topic, payload) in retained {
            publish_5(broker.port, topic, payload, &["-r"]);
        }
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, &format!("{RULES}{HOME}"));
        let (simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
        (Self { broker, site, _simulator: simulator }, gateway)
    }

    /// What the broker keeps under a topic; waits until it says what is wanted.
    fn kept(&self, topic: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait_for(45, topic, || {
            let listener = Subscriber::start_with(self.broker.port, topic, &["-F", "%r %p"]);
            std::thread::sleep(std::time::Duration::from_millis(100));
            let found = listener.messages();
            found
                .iter()
                .find_map(|line| line.strip_prefix("1 ").filter(|text| wanted(text)).map(str::to_owned))
        })
    }

    fn state(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        read(&self.kept(STATE, |text| wanted(&read(text))))
    }

    fn has_kept(&self, topic: &str) -> bool {
        let listener = Subscriber::start_with(self.broker.port, topic, &["-F", "%r %p"]);
        std::thread::sleep(std::time::Duration::from_millis(300));
        !listener.messages().is_empty()
    }

    /// The texts, when there are so many.
    fn told(&self, count: usize) -> Vec<String> {
        assert!(self.site.wait_sent(count).len() >= count);
        self.texts()
    }

    fn texts(&self) -> Vec<String> {
        let text = |sent: &Value| sent["text"].as_str().unwrap_or_default().to_owned();
        self.site.sent().iter().map(text).collect()
    }

    fn why(&self, alert: i64) -> String {
        let config = self.site.config();
        let told = bellwire(&["why", &alert.to_string(), "--config", config.to_str().expect("a path")]);
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    fn audit(&self, action: &str) -> i64 {
        let sql = "SELECT count(*) FROM change WHERE who = 'Home Assistant' AND address = 'mqtt'";
        self.site.count(&format!("{sql} AND deed = '{action}'"))
    }
}

fn parts_are_what_home_assistant_takes(device: &Value) {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    assert_eq!(device["dev"]["identifiers"][0], "bellwire-test", "a device needs an identifier");
    assert!(!text(&device["o"]["name"]).is_empty(), "an origin needs a name");
    assert!(text(&device["o"]["url"]).starts_with("https://"));
    let parts = device["cmps"].as_object().expect("parts");
    let mut ids: Vec<String> = Vec::new();
    for (key, part) in parts {
        let platform = text(&part["p"]);
        let known = PLATFORMS.iter().find(|(name, ..)| *name == platform);
        assert!(known.is_some(), "{key}: platform {platform}");
        let (_, required, more) = known.expect("a platform");
        if part.as_object().expect("a part").len() == 1 {
            assert_eq!(key, "oldest", "what is taken away has its platform alone");
            continue;
        }
        for name in part.as_object().expect("a part").keys().map(String::as_str) {
            let is_known = EVERYWHERE.contains(&name) || required.contains(&name) || more.contains(&name);
            assert!(is_known, "{key}: {platform} knows no {name}");
        }
        for name in *required {
            assert!(part[name].is_string(), "{key}: {platform} needs {name}");
        }
        // A text waits at the broker while we are away.
        let is_always = key == "connected" || platform == "notify" || platform == "event";
        assert_eq!(part["availability_topic"].is_null(), is_always, "{key}: our last will");
        ids.push(text(&part["unique_id"]));
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "each has an id of its own");
    let platforms = |wanted: &str| parts.values().filter(|part| part["p"] == wanted).count();
    // With the one that is taken away; of two contacts.
    let count = ["binary_sensor", "sensor", "switch", "button", "notify", "event"].map(platforms);
    assert_eq!(count, [2, 5, 1, 1, 3, 3]);
}

#[test]
fn the_gateway_is_a_device_that_home_assistant_takes() {
    let (shop, gateway) = Shop::open();
    let device: Value = serde_json::from_str(&shop.kept(DEVICE, |text| !text.is_empty())).expect("JSON");
    parts_are_what_home_assistant_takes(&device);
    assert_eq!(device["cmps"]["mute"]["command_topic"], own("mute/set").as_str());
    assert_eq!(device["cmps"]["connected"]["state_topic"], STATUS);
    let state = shop.state(|_| true);
    assert_eq!(state["queue"], 0, "{state}");
    assert_eq!((&state["mute"], &state["token"]), (&Value::from("OFF"), &Value::Null), "{state}");

    // Home Assistant starts, and wants to hear it again; a rule on the same topic hears it, too.
    let listener = Subscriber::start_with(shop.broker.port, "#", &["-F", "%r %t"]);
    let heard = |line: &str| listener.messages().iter().filter(|heard| *heard == line).count();
    let before = [DEVICE, STATE].map(|topic| heard(&format!("0 {topic}")));
    publish(shop.broker.port, "homeassistant/status", b"online");
    wait_for(10, "the introduction", || {
        let now = [DEVICE, STATE].map(|topic| heard(&format!("0 {topic}")));
        (now[0] == before[0] + 1 && now[1] == before[1] + 1).then_some(())
    });

    assert!(shop.told(1)[0].starts_with("Home Assistant has started"), "{:?}", shop.texts());

    // What is not refused is good.
    publish(shop.broker.port, &own("test/set"), b"PRESS");
    assert_eq!(shop.told(2).len(), 2);
    shop.state(|state| state["token"] == "good" && state["queue"] == 0);

    // A power cut: the broker says that it is gone.
    assert_eq!(shop.kept(STATUS, |_| true), "online");
    gateway.kill();
    shop.kept(STATUS, |text| text == "offline");
}

#[test]
fn its_button_and_its_texts_are_messages() {
    its_button_and_its_texts("5");
}

#[test]
fn its_button_and_texts_work_with_mqtt_3_1_1() {
    its_button_and_its_texts("3.1.1");
}

fn its_button_and_its_texts(version: &str) {
    // What the broker keeps would be asked again with each new session.
    let (test, notify) = (own("test/set"), own("notify/set"));
    let (shop, _gateway) = Shop::open_with(&[(&test, "PRESS"), (&notify, "Kept by mistake")], version);
    shop.kept(DEVICE, |text| !text.is_empty());
    wait_for(10, "both counted", || {
        let ignored =
            "SELECT count(*) FROM tally WHERE rule LIKE 'home-assistant-%' AND outcome = 'retained'";
        (shop.site.count(ignored) == 2).then_some(())
    });
    publish(shop.broker.port, &own("test/set"), b"PRESS");
    assert!(
        shop.site.wait_sent(1)[0]["text"]
            .as_str()
            .expect("text")
            .starts_with("✅ A test from Home Assistant: Test")
    );
    publish(shop.broker.port, &own("notify/set"), "The cake {{ is }} ready 🎂".as_bytes());
    let sent = shop.site.wait_sent(2);
    assert_eq!(sent[1]["to"], "+995555123456");
    assert!(
        sent[1]["text"].as_str().expect("text").starts_with("The cake {{ is }} ready 🎂"),
        "{}",
        sent[1]["text"]
    );
    publish(shop.broker.port, &own("test/set"), b"anything");
    publish(shop.broker.port, &own("notify/set"), b"  ");
    publish(shop.broker.port, &own("notify/set"), b"Last");
    assert!(shop.told(3)[2].starts_with("Last"), "{:?}", shop.texts());
    assert_eq!((shop.audit("send test"), shop.audit("tell")), (1, 1), "the same within a minute is one line");
}

#[test]
fn muting_lets_only_critical_alerts_through() {
    let (shop, gateway) = Shop::open_with(&[(&own("mute/set"), "ON")], "5");
    wait_for(10, "the retained one", || shop.site.log().contains("publish it without retain").then_some(()));
    shop.state(|state| state["mute"] == "OFF");
    publish(shop.broker.port, &own("mute/set"), b"on");
    publish(shop.broker.port, "site/back/door", b"open");
    assert_eq!(shop.told(1).len(), 1); // neither retained nor misspelt
    assert_eq!(shop.audit("mute"), 0);

    publish(shop.broker.port, &own("mute/set"), b"ON");
    shop.state(|state| state["mute"] == "ON");
    publish(shop.broker.port, "site/front/door", b"open");
    publish(shop.broker.port, "site/attic/smoke", b"much");
    let sent = shop.site.wait_sent(2);
    assert!(sent[1]["text"].as_str().expect("text").starts_with("Smoke in attic"), "{}", sent[1]["text"]);
    let why = wait_for(10, "the reason", || Some(shop.why(2)).filter(|why| why.contains("silenced by")));
    assert!(why.contains("not to nino: silenced by Home Assistant until"), "{why}");

    // Whoever looks at the page sees why it is so quiet, and who did it.
    let fields = format!("code={}&password=correct+horse&again=correct+horse", code(&shop.site));
    assert_eq!(form(&shop.site, "/welcome", &[], &fields).status, 303);
    let cookie = log_in(&shop.site);
    let page = get(&shop.site, "/", &[&cookie]).body;
    assert!(page.contains("Home Assistant has silenced all alerts below “critical” until"), "{page}");
    let audit = get(&shop.site, "/commands?show=audit", &[&cookie]).body;
    assert!(
        audit.contains("<strong>Muted:</strong> all alerts<small>Home Assistant · mqtt</small>"),
        "{audit}"
    );

    // It is on disk: a restart does not lift it.
    gateway.kill();
    let _gateway = Gateway::start(&shop.site);
    publish(shop.broker.port, "site/cellar/door", b"open");
    wait_for(10, "the alert", || (shop.site.count("SELECT count(*) FROM alert") == 4).then_some(()));
    shop.state(|state| state["mute"] == "ON");
    publish(shop.broker.port, "site/cellar/door", b"shut");
    wait_for(10, "its end", || {
        (shop.site.count("SELECT count(*) FROM alert WHERE state = 'resolved'") == 1).then_some(())
    });
    assert_eq!(shop.texts().len(), 2, "{:?}", shop.texts());

    publish(shop.broker.port, &own("mute/set"), b"OFF");
    // What still holds is told now, and what is over is not.
    assert!(shop.told(3)[2].starts_with("Door front is open"), "{:?}", shop.texts());
    shop.state(|state| state["mute"] == "OFF");
    assert_eq!((shop.audit("mute"), shop.audit("unmute")), (1, 1));
    assert_eq!(shop.texts().len(), 3, "{:?}", shop.texts());
}

const NINO: &str = "+995555123456";
const GIORGI: &str = "+995555654321";

impl Shop {
    fn ask(&self, request: &Value) {
        publish_5(self.broker.port, &own("notify"), &request.to_string(), &["-q", "1"]);
    }

    /// A person does something.
    fn does(&self, who: &str, what: &Value) {
        let mut body = json!({ "from": who, "phone_number_id": bellwire_tests::PHONE_NUMBER_ID });
        body.as_object_mut().expect("an object").extend(what.as_object().expect("an object").clone());
        assert_eq!(post_json(&self.site.api("/_simulator/reply"), &body).0, 200, "{body}");
    }

    fn to(&self, who: &str) -> Vec<Value> {
        self.site.sent().into_iter().filter(|sent| sent["to"] == who).collect()
    }
}

fn starts(sent: &Value, words: &str) -> bool {
    sent["text"].as_str().is_some_and(|text| text.starts_with(words))
}

#[test]
fn a_requests_button_tap_returns_with_its_person() {
    let (shop, gateway) = Shop::open();
    let taps = Subscriber::start_with(shop.broker.port, &own("action"), &["-F", "%p"]);
    let lights = Subscriber::start_with(shop.broker.port, "site/light", &["-F", "%p"]);
    shop.ask(&json!({
        "title": "Water", "message": "In the cellar", "to": ["nino", "giorgi"], "severity": "critical", "tag": "leak",
        "actions": [{ "action": "close", "title": "Close the valve" }, { "action": "wait", "title": "Wait" }],
    }));
    let sent = shop.site.wait_sent(2);
    assert!(sent.iter().all(|one| starts(one, "*Water*\nIn the cellar")), "{sent:?}");
    let titles = |one: &Value| one["buttons"].as_array().expect("buttons").len();
    assert_eq!(sent.iter().map(titles).collect::<Vec<_>>(), [2, 2]);
    assert_eq!((shop.to(NINO).len(), shop.to(GIORGI).len()), (1, 1));
    // It is on disk: a power cut takes neither the alert nor what its buttons mean.
    gateway.kill();
    let _gateway = Gateway::start(&shop.site);
    shop.does(GIORGI, &json!({ "tap": "Close the valve" }));
    let tap = wait_for(20, "the tap", || taps.messages().first().cloned());
    let tap: Value = serde_json::from_str(&tap).expect("JSON");
    assert_eq!(
        (&tap["action"], &tap["title"], &tap["tag"]),
        (&"close".into(), &"Close the valve".into(), &"leak".into())
    );
    assert_eq!((&tap["contact"], &tap["name"]), (&"giorgi".into(), &"Giorgi \"G\" G.".into()), "{tap}");

    // In words, too; and a command's payload may name whoever asks.
    shop.does(NINO, &json!({ "text": "wait", "quote": shop.to(NINO)[0]["id"] }));
    let tap = wait_for(20, "the words", || taps.messages().get(1).cloned());
    let tap: Value = serde_json::from_str(&tap).expect("JSON");
    assert_eq!((&tap["action"], &tap["roles"]), (&"wait".into(), &json!(["manager"])), "{tap}");
    shop.does(GIORGI, &json!({ "text": "light on" }));
    let light = wait_for(20, "the light", || lights.messages().first().cloned());
    let light: Value = serde_json::from_str(&light).expect("JSON");
    assert_eq!(light, json!({ "on": true, "by": "giorgi", "name": "Giorgi \"G\" G." }));
}

#[test]
fn texts_around_a_request_use_its_language() {
    let (shop, _gateway) = Shop::open();
    let action = |n: usize| json!({ "action": format!("a{n}"), "title": format!("Zone {n}") });
    let actions: Vec<Value> = (0..4).map(action).collect();
    let long = "Kuchen ".repeat(1_300); // three messages
    let ask = |message: &str, language: &str, to: &str, actions: &[Value]| {
        shop.ask(&json!({ "message": message, "language": language, "to": to, "actions": actions, "tag": message.get(..5) }));
    };
    let opens = |sent: &Value| sent["body"]["interactive"]["action"]["button"].clone();
    // Nino reads English, Giorgi German: each is asked in the other's language.
    ask("Wasser", "de", "nino", &actions);
    ask("Water", "en", "giorgi", &actions);
    assert_eq!(shop.site.wait_sent(2).len(), 2);
    let of = |phone: &str, text: &str| {
        let sent = shop.site.sent().into_iter().rfind(|one| one["to"] == phone && starts(one, text));
        sent.unwrap_or_else(|| panic!("{text} to {phone}: {:?}", shop.texts()))
    };
    assert_eq!((opens(&of(NINO, "Wasser")), opens(&of(GIORGI, "Water"))), (json!("Handeln"), json!("Act")));
    // What is too long is read on in it, the second time too.
    ask(&long, "de", "nino", &[]);
    let first = &shop.site.wait_sent(3)[2];
    assert_eq!(
        (&opens(first), &first["buttons"][0]["title"]),
        (&json!("Mehr"), &json!("Weiterlesen")),
        "{first}"
    );
    shop.does(NINO, &json!({ "tap": "Weiterlesen" }));
    let second = &shop.site.wait_sent(4)[3];
    assert_eq!(
        (&opens(second), &second["buttons"][0]["title"]),
        (&json!("Mehr"), &json!("Weiterlesen")),
        "{second}"
    );
    // Its end, too.
    shop.ask(&json!({ "tag": "Wasse", "language": "de" }));
    assert_eq!(shop.site.wait_sent(5).len(), 5);
    of(NINO, "✅ Es ist vorbei");
    shop.ask(&json!({ "tag": "Water", "language": "en" }));
    assert_eq!(shop.site.wait_sent(6).len(), 6);
    of(GIORGI, "✅ It is over");
}

#[test]
fn a_tag_replaces_the_former_message_or_ends_it() {
    let (shop, _gateway) = Shop::open();
    let taps = Subscriber::start_with(shop.broker.port, &own("action"), &["-F", "%p"]);
    let leak =
        |message: &str, actions: &Value| json!({ "message": message, "tag": "leak", "actions": actions });
    shop.ask(&leak("Water in the cellar", &json!([{ "action": "close", "title": "Close" }])));
    let first = shop.site.wait_sent(1).remove(0);
    // The next one cannot leave; the one after takes its place in the queue.
    shop.site.fault(&json!({ "code": 130_429, "count": 1_000 }));
    shop.ask(&leak("Water in the hall", &Value::Null));
    wait_for(10, "the second", || (shop.site.count("SELECT count(*) FROM message") == 2).then_some(()));
    shop.ask(&leak("Water in the kitchen", &json!([{ "action": "shut", "title": "Shut" }])));
    let cancelled = "SELECT count(*) FROM message WHERE state = 'cancelled' AND reason = 'a later request took its place'";
    wait_for(10, "its end", || (shop.site.count(cancelled) == 1).then_some(()));
    drop(ureq::delete(&shop.site.api("/_simulator/faults")).call().expect("cleared"));
    let sent = shop.site.wait_sent(2);
    assert!(starts(&sent[1], "Water in the kitchen"), "{}", sent[1]["text"]);

    // What is replaced does nothing any more, and says so.
    shop.does(NINO, &json!({ "tap": "Close" }));
    assert!(starts(&shop.site.wait_sent(3)[2], "That alert is over"), "{:?}", shop.texts());
    shop.does(NINO, &json!({ "tap": "Shut" }));
    wait_for(20, "the tap", || (taps.messages().len() == 1).then_some(()));
    shop.ask(&json!({ "tag": "leak" }));
    let sent = shop.site.wait_sent(4);
    assert!(starts(&sent[3], "✅ It is over"), "{}", sent[3]["text"]);
    assert_eq!(sent[3]["body"]["context"]["message_id"], sent[1]["id"], "under the last of them");
    assert_ne!(sent[3]["body"]["context"]["message_id"], first["id"]);
    // Nothing goes on with that tag: nobody is told twice.
    shop.ask(&json!({ "tag": "leak" }));
    shop.ask(&json!({ "message": "Last" }));
    assert!(starts(&shop.site.wait_sent(5)[4], "Last"), "{:?}", shop.texts());
}

#[test]
fn a_wrong_request_is_answered_and_nobody_is_told() {
    let (shop, _gateway) = Shop::open();
    let to = own("answer/tests");
    let answers = Subscriber::start_with(shop.broker.port, &to, &["-V", "5", "-F", "%t %D %p"]);
    let ask = |payload: &str, response: &str| {
        let response = [
            "-q",
            "1",
            "-D",
            "publish",
            "response-topic",
            response,
            "-D",
            "publish",
            "correlation-data",
            "n7",
        ];
        publish_5(shop.broker.port, &own("notify"), payload, &response);
    };
    ask(r#"{"message": "x", "prio": 1}"#, "site/elsewhere");
    ask(r#"{"message": "x", "prio": 1}"#, &to);
    let answer = wait_for(20, "the answer", || answers.messages().first().cloned());
    assert!(answer.starts_with(&to) && answer.contains("n7"), "{answer}");
    assert!(
        answer.contains(r#""accepted":false"#) && answer.contains("`prio` is no name of a request"),
        "{answer}"
    );
    ask(r#"{"message": "Once", "key": "7"}"#, &to);
    ask(r#"{"message": "Once", "key": "7"}"#, &to);
    ask(r#"{"message": "After", "image": "http://127.0.0.1/a.png"}"#, &to);
    wait_for(20, "the answers", || (answers.messages().len() >= 4).then_some(()));
    let answer = answers.messages().into_iter().find(|answer| answer.contains("flaw\":\"")).expect("a flaw");
    assert!(
        answer.contains(r#""accepted":true"#) && answer.contains("its host 127.0.0.1"),
        "{:?}",
        answers.messages()
    );
    let sent = shop.told(2);
    assert!(sent[0].starts_with("Once") && sent[1].starts_with("After"), "{sent:?}");
    assert!(shop.site.log().contains("the response topic is not below home-assistant/answer/"));
}

#[test]
fn without_the_section_it_is_gone_from_home_assistant() {
    let (shop, gateway) = Shop::open();
    shop.kept(DEVICE, |text| !text.is_empty());
    shop.state(|_| true);
    assert_eq!(gateway.stop(), Some(0));
    assert_eq!(shop.kept(STATUS, |_| true), "offline");
    let config = std::fs::read_to_string(shop.site.config()).expect("read");
    std::fs::write(shop.site.config(), config.replace(HOME, "")).expect("written");
    let _gateway = Gateway::start(&shop.site);
    wait_for(60, "its removal", || (!shop.has_kept(DEVICE) && !shop.has_kept(STATE)).then_some(()));
    wait_for(120, "the last trace", || {
        (shop.site.count("SELECT count(*) FROM meta WHERE key = 'left_at_broker' AND value = '[]'") == 1)
            .then_some(())
    });
    // The broker's session still has the subscription of before: what comes over it does nothing.
    publish(shop.broker.port, &own("mute/set"), b"ON");
    publish(shop.broker.port, &own("test/set"), b"PRESS");
    publish(shop.broker.port, "site/back/door", b"open");
    assert!(shop.told(1)[0].starts_with("Door back is open"), "{:?}", shop.texts());
}
