//! A publish that several rules want is one event, whatever the broker makes of subscriptions that overlap; and a broker's
//! limits and refusals are kept and told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bellwire_tests::{
    Broker, Gateway, Kind, Packet, Scripted, Session, Simulator, Site, bellwire, gateway_command, post_json,
    publish, wait_for,
};
use serde_json::json;

use crate::mqtt_contract::obstacle;

const VERSIONS: [&str; 2] = ["5", "3.1.1"];

/// One topic in another, two that overlap in part, a question and a window on what a rule wants as well.
const RULES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "any-door"
topic = "site/#"
when = "payload == 'open'"
message = "Any {{ topic }}"
notify = ["nino"]
[[rule]]
name = "door"
topic = "site/{area}/door"
when = "payload == 'open'"
message = "Door {{ area }}"
notify = ["nino"]
[[rule]]
name = "sensor"
topic = "tele/{device}/SENSOR"
message = "Sensor {{ device }}"
notify = ["nino"]
[[rule]]
name = "plug"
topic = "tele/plug/{what}"
message = "Plug {{ what }}"
notify = ["nino"]
[[rule]]
name = "often"
topic = "tele/{device}/{kind}"
value = "payload | float"
window = "10m"
when = "window.count >= 3"
message = "Often: {{ window.count }}"
notify = ["nino"]
[[ask]]
name = "refund"
topic = "site/{till}/refund"
text = "Till {{ till }}?"
choices = ["Approve", "Deny"]
who = ["nino"]
within = "10m"
default = "Deny"
response_topic = "pos/{till}/decision"
"#;

fn texts(site: &Site) -> Vec<String> {
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let mut texts: Vec<String> =
        site.sent().iter().map(|sent| first(sent["text"].as_str().unwrap_or_default())).collect();
    texts.sort();
    texts
}

fn outcomes(site: &Site, rule: &str) -> i64 {
    site.count(&format!("SELECT coalesce(sum(count), 0) FROM tally WHERE rule = '{rule}'"))
        + site.count(&format!("SELECT count(*) FROM alert WHERE rule = '{rule}'"))
}

#[test]
fn overlapping_rules_see_a_publish_once_with_mosquitto() {
    for settings in ["", "allow_duplicate_messages true", "allow_duplicate_messages false"] {
        for version in VERSIONS {
            let broker = Broker::start_with(settings);
            let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
            let site = Site::with_mqtt(&mqtt, RULES);
            let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
            let what = format!("{settings}, version {version}");
            let subscribed = || site.log().contains("the broker has answered all subscriptions");
            wait_for(10, "the subscriptions", || subscribed().then_some(()));
            publish(broker.port, "site/back/door", b"open");
            publish(broker.port, "tele/plug/SENSOR", b"1");
            publish(broker.port, "site/1/refund", b"{}");
            wait_for(20, &what, || (texts(&site).len() >= 5).then_some(()));
            let expected = ["Any site/back/door", "Door back", "Plug SENSOR", "Sensor plug", "Till 1?"];
            assert_eq!(texts(&site), expected, "{what}");
            publish(broker.port, "tele/plug/SENSOR", b"1");
            wait_for(10, &what, || (outcomes(&site, "plug") >= 2).then_some(()));
            std::thread::sleep(Duration::from_millis(300)); // room for what must not come
            assert_eq!(outcomes(&site, "plug"), 2, "{what}: the same words again are another event");
            assert_eq!(outcomes(&site, "any-door"), 2, "{what}: a door and a question");
            assert_eq!(outcomes(&site, "often"), 2, "{what}: a window counts each once");
            assert_eq!(site.count("SELECT count(*) FROM event WHERE topic = 'site/back/door'"), 1, "{what}");
            // What comes while we are away is queued with the subscriptions of before.
            assert_eq!(gateway.stop(), Some(0));
            publish(broker.port, "tele/plug/SENSOR", b"2");
            publish(broker.port, "site/front/door", b"open");
            let _gateway = Gateway::start(&site);
            wait_for(20, &what, || (texts(&site).contains(&"Door front".to_owned())).then_some(()));
            wait_for(20, &what, || (outcomes(&site, "plug") >= 3).then_some(()));
            std::thread::sleep(Duration::from_millis(300));
            let counts = (outcomes(&site, "plug"), outcomes(&site, "sensor"));
            assert_eq!(counts, (3, 3), "{what}: after a restart");
            wait_for(20, &what, || texts(&site).contains(&"Often: 3".to_owned()).then_some(()));
            assert_eq!(outcomes(&site, "any-door"), 3, "{what}: after a restart");
        }
    }
}

/// How a scripted broker sends a publish that several subscriptions match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Copies,
    Merges,
    NamesNone,
}

/// A broker as those that people have: subscriptions, by name, and what they make of a publish.
struct Small {
    session: Session,
    held: BTreeMap<String, Option<u32>>,
    largest: usize,
    next: u16,
}

impl Small {
    /// Until the gateway says that it has subscribed.
    fn welcome(mut session: Session, site: &Site, properties: &[u8]) -> Self {
        session.connack_with(false, 0, properties);
        let mut small = Self { session, held: BTreeMap::new(), largest: 0, next: 100 };
        small.settle(site);
        small
    }

    fn settle(&mut self, site: &Site) {
        let (mut subscribed, mut online) = (false, false);
        while !(subscribed && online) {
            let packet = self.serve().expect("the connection lives");
            online |= packet.payload == b"online";
            subscribed |= packet.kind == Kind::Subscribe;
        }
        while !site.log().contains("the broker has answered all subscriptions") {
            self.serve_within(Duration::from_millis(50));
        }
    }

    fn serve_within(&mut self, time: Duration) {
        if self.session.has_packet_within(time) {
            self.serve();
        }
    }

    /// Answers one packet.
    fn serve(&mut self) -> Option<Packet> {
        let packet = self.session.read()?;
        match packet.kind {
            Kind::Subscribe => {
                self.largest = self.largest.max(packet.filters);
                self.held.extend(packet.names.iter().map(|name| (name.clone(), packet.identifier)));
                self.session.suback(packet.id, &vec![1; packet.filters]);
            }
            Kind::Unsubscribe => {
                self.held.retain(|name, _| !packet.names.contains(name));
                self.session.unsuback(packet.id, packet.names.len());
            }
            Kind::Publish if packet.qos > 0 => self.session.puback(packet.id, 0),
            Kind::Connect | Kind::PubAck | Kind::Publish | Kind::PingReq | Kind::Disconnect => {}
        }
        Some(packet)
    }

    /// Sends it as this broker does, and waits until all copies are acknowledged. Returns how many there were.
    fn publish(&mut self, way: Way, topic: &str, payload: &[u8]) -> usize {
        let matching = self.held.iter().filter(|(filter, _)| matches(filter, topic));
        let named: Vec<Vec<u32>> = matching.map(|(_, id)| id.iter().copied().collect()).collect();
        let copies = match way {
            Way::Copies => named,
            Way::Merges => vec![named.concat()],
            Way::NamesNone => named.iter().map(|_| Vec::new()).collect(),
        };
        for identifiers in &copies {
            self.next += 1;
            self.session.publish_for(topic, (self.next, false), payload, identifiers);
        }
        let mut acknowledged = 0;
        while acknowledged < copies.len() {
            let packet = self.serve().expect("the connection lives");
            acknowledged += usize::from(packet.kind == Kind::PubAck && packet.id > 100);
        }
        copies.len()
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

#[test]
fn each_publish_is_one_event_with_any_broker_behaviour() {
    // 0x29 0: subscription identifiers are not available (MQTT 5, 3.2.2.3.12).
    let cases: [(&str, Way, &[u8]); 6] = [
        ("5", Way::Copies, &[]),
        ("5", Way::Merges, &[]),
        ("5", Way::NamesNone, &[0x29, 0]),
        ("5", Way::NamesNone, &[]),
        ("3.1.1", Way::NamesNone, &[]),
        ("3.1.1", Way::Merges, &[]),
    ];
    for (version, way, properties) in cases {
        let what = format!("version {version}, {way:?}, {properties:?}");
        let broker = Scripted::start();
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, RULES);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
        let mut small = Small::welcome(broker.accept(10), &site, properties);
        assert!(small.largest <= 8, "{what}");
        small.publish(way, "site/back/door", b"open");
        small.publish(way, "tele/plug/SENSOR", b"1");
        small.publish(way, "tele/plug/SENSOR", b"1");
        let taken = |rule: &str| outcomes(&site, rule);
        wait_for(10, &what, || (taken("sensor") >= 2 && taken("door") >= 1).then_some(()));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!((taken("any-door"), taken("door")), (1, 1), "{what}");
        assert_eq!((taken("sensor"), taken("plug"), taken("often")), (2, 2, 2), "{what}");
    }
}

/// What overlaps in part and begins with wildcards is left as it is: only identifiers tell the copies apart.
#[test]
fn a_broker_ignoring_subscription_identifiers_is_detected() {
    let rules = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "sensor"
topic = "tele/{device}/SENSOR"
message = "Sensor {{ device }}"
notify = ["nino"]
[[rule]]
name = "plug"
topic = "tele/plug/{what}"
message = "Plug {{ what }}"
notify = ["nino"]
"#;
    for way in [Way::Copies, Way::Merges, Way::NamesNone] {
        let broker = Scripted::start();
        let site = Site::new(broker.port, rules);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
        let mut small = Small::welcome(broker.accept(10), &site, &[]);
        assert_eq!(small.publish(Way::Copies, "tele/lamp/STATE", b"0"), 0, "no wider than what is wanted");
        small.publish(way, "tele/plug/SENSOR", b"1");
        wait_for(10, "the first", || (outcomes(&site, "plug") >= 1).then_some(()));
        let before = outcomes(&site, "plug");
        assert!(before == 1 || way == Way::NamesNone, "{way:?}: {before}");
        if way == Way::NamesNone {
            let end = Instant::now() + Duration::from_secs(5);
            while small.held.contains_key("tele/plug/+") {
                assert!(Instant::now() < end, "{:?}", small.held);
                small.serve_within(Duration::from_millis(50));
            }
        }
        small.publish(way, "tele/plug/SENSOR", b"2");
        wait_for(10, "the second", || (outcomes(&site, "plug") > before).then_some(()));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!((outcomes(&site, "plug"), outcomes(&site, "sensor")), (before + 1, before + 1), "{way:?}");
    }
}

/// AWS IoT Core ends the connection over a SUBSCRIBE with more than eight filters.
#[test]
fn twenty_topics_are_subscribed_to_in_pieces_of_eight() {
    let rule = |number: usize| {
        format!(
            "[[rule]]\nname = \"r{number}\"\ntopic = \"d{number}/{{a}}/x\"\nmessage = \"m\"\nnotify = [\"nino\"]\n"
        )
    };
    let rules: String = (0..20).map(rule).collect();
    let contact = "[[contact]]\nid = \"nino\"\nphone = \"+995 555 12 34 56\"\n";
    for version in VERSIONS {
        let broker = Scripted::start();
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, &format!("{contact}{rules}"));
        let _gateway = Gateway::launch(&site);
        let small = Small::welcome(broker.accept(10), &site, &[]);
        assert_eq!(small.largest, 8, "version {version}");
        assert!((0..20).all(|number| small.held.contains_key(&format!("d{number}/+/x"))), "{:?}", small.held);
    }
}

/// A rule that is taken out of the configuration takes its subscription with it, or the broker would send for it for ever.
#[test]
fn an_unwanted_topic_is_unsubscribed() {
    for version in VERSIONS {
        let broker = Broker::start_with("allow_duplicate_messages true");
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, RULES);
        let simulator = Simulator::start(&site);
        let gateway = Gateway::start(&site);
        wait_for(10, "the record", || {
            (site.count("SELECT count(*) FROM subscription WHERE filter = 'site/#'") == 1).then_some(())
        });
        assert_eq!(gateway.stop(), Some(0));
        let text = std::fs::read_to_string(site.config()).unwrap();
        std::fs::write(site.config(), text.replace("topic = \"site/#\"", "topic = \"other/#\"")).unwrap();
        let _gateway = Gateway::start(&site);
        wait_for(10, "the record", || {
            (site.count("SELECT count(*) FROM subscription WHERE filter = 'site/#'") == 0).then_some(())
        });
        std::thread::sleep(Duration::from_millis(200)); // the broker has the UNSUBSCRIBE
        publish(broker.port, "site/back/window", b"open");
        publish(broker.port, "site/back/door", b"open");
        wait_for(10, "the door", || (outcomes(&site, "door") == 1).then_some(()));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(outcomes(&site, ""), 0, "version {version}: nothing came that no rule wants");
        assert_eq!(outcomes(&site, "door"), 1, "version {version}");
        drop(simulator);
    }
}

const OWNER: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
language = "de"
[[rule]]
name = "secret"
topic = "secret/{a}"
message = "Secret {{ a }}"
notify = ["nino"]
[[rule]]
name = "open"
topic = "open/{a}"
message = "Open {{ a }}"
notify = ["nino"]
[[rule]]
name = "bellwire-subscriptions"
topic = "$bellwire/subscriptions"
payload = "text"
when = "payload != 'ok'"
message = "Refused: {{ payload }}"
notify = ["nino"]
for = "1s"
key = []
"#;

/// The broker is there and other rules work; the owner hears of the topic by its name.
#[test]
fn a_refused_topic_is_told_by_its_name() {
    for (version, code) in [("5", 0x87), ("3.1.1", 0x80)] {
        let broker = Scripted::start();
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, OWNER);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
        let mut session = broker.accept(10);
        session.connack(false);
        let subscribe = session.expect(Kind::Subscribe);
        let codes: Vec<u8> =
            subscribe.names.iter().map(|name| if name == "secret/+" { code } else { 1 }).collect();
        session.suback(subscribe.id, &codes);
        obstacle(&site, "the broker refused the subscription to secret/+");
        session.publish("open/1", 7, false, b"1");
        session.expect(Kind::PubAck);
        wait_for(20, "both messages", || (texts(&site).len() >= 2).then_some(()));
        let told = texts(&site);
        assert!(told.iter().any(|text| text.starts_with("Open 1")), "{told:?}");
        assert!(told.iter().any(|text| text.contains("Refused: ") && text.contains("secret/+")), "{told:?}");
        assert_eq!(
            site.count("SELECT count(*) FROM event WHERE topic = '$bellwire/broker' AND payload != 'ok'"),
            0
        );
    }
}

/// A real broker whose access list refuses in so many words: mosquitto's dynamic security.
#[test]
fn a_topic_refused_by_dynamic_security_is_named() {
    let may_read = ["bellwire/#", "open/#"]
        .map(|topic| json!({ "acltype": "subscribePattern", "topic": topic, "priority": 0, "allow": true }));
    let lists = json!({
        "defaultACLAccess":
            { "publishClientSend": true, "publishClientReceive": true, "subscribe": false, "unsubscribe": true },
        "anonymousGroup": "anybody",
        "groups": [{ "groupname": "anybody", "roles": [{ "rolename": "reader" }] }],
        "roles": [{ "rolename": "reader", "acls": may_read }],
        "clients": [],
    });
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dynamic-security.json");
        std::fs::write(&file, lists.to_string()).unwrap();
        let plugin = format!("/usr/lib/{}-linux-gnu/mosquitto_dynamic_security.so", std::env::consts::ARCH);
        let extra = format!("plugin {plugin}\nplugin_opt_config_file {}", file.display());
        let broker = Broker::start_with(&extra);
        let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"\nversion = \"{version}\"", broker.port);
        let site = Site::with_mqtt(&mqtt, OWNER);
        let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
        obstacle(&site, "the broker refused the subscription to secret/+");
        publish(broker.port, "open/1", b"1");
        wait_for(20, "both messages", || (texts(&site).len() >= 2).then_some(()));
        let told = texts(&site);
        assert!(told.iter().any(|text| text.contains("Refused: ") && text.contains("secret/+")), "{told:?}");
        assert_eq!(told.len(), 2, "version {version}: and nothing about the broker: {told:?}");
        let doctor = bellwire(&["doctor", "--config", &site.config().to_string_lossy()]);
        let doctor = String::from_utf8_lossy(&doctor.stdout);
        assert!(doctor.contains("it refuses to let us read secret/+"), "version {version}: {doctor}");
        assert!(doctor.contains("our own test message comes back"), "version {version}: {doctor}");
    }
}

/// MQTT 5, 3.2.2.3: nothing is sent beyond what the broker announces, and it is told.
#[test]
fn what_the_broker_announces_is_kept() {
    let broker = Scripted::start();
    let rules = format!(
        "{}[[rule.action]]\nid = \"long\"\ntitle = \"Long\"\ntopic = \"site/set\"\npayload = '{}'\n\
         [[rule.action]]\nid = \"short\"\ntitle = \"Short\"\ntopic = \"site/set\"\npayload = 'x'\nretain = true\n",
        crate::round_trip::FREEZER,
        "x".repeat(300)
    );
    let site = Site::new(broker.port, &rules);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::launch(&site));
    // A broker that keeps nothing refuses a will that is to be kept (0x9A), and one of QoS 0 a will of QoS 1 (0x9B).
    let mut session = broker.accept(10);
    session.connack_with(false, 0x9a, &[]);
    let mut session = broker.accept(10);
    session.connack_with(false, 0x9b, &[]);
    let session = broker.accept(20);
    // Maximum QoS 0, retain not available, packets of at most 300 bytes, a session of an hour.
    let limits = [0x24, 0, 0x25, 0, 0x27, 0, 0, 1, 0x2c, 0x11, 0, 0, 0x0e, 0x10];
    let mut small = Small { session, held: BTreeMap::new(), largest: 0, next: 100 };
    small.session.connack_with(false, 0, &limits);
    let online = wait_for(10, "online", || small.serve().filter(|packet| packet.payload == b"online"));
    while small.held.is_empty() {
        small.serve();
    }
    assert_eq!((online.qos, online.retain), (0, false));
    small.publish(Way::Copies, "site/bar/freezer/1/temperature", br#"{"celsius": -1}"#);
    assert_eq!(site.wait_sent(1).len(), 1);
    let tap = |title: &str| {
        let tap = json!({ "from": "+995555123456", "tap": title });
        assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
    };
    let reason = |state: &str| {
        wait_for(10, state, || {
            let query = format!("SELECT coalesce(max(reason), '') FROM command WHERE state = '{state}'");
            let reason: String = site.database().query_row(&query, [], |row| row.get(0)).unwrap_or_default();
            Some(reason).filter(|reason| !reason.is_empty())
        })
    };
    tap("Long");
    assert!(reason("refused").contains("at most 300 bytes"));
    tap("Stop defrost");
    let command = wait_for(10, "the command", || {
        small.serve().filter(|packet| packet.topic == "site/bar/freezer/1/set")
    });
    assert_eq!(command.qos, 0);
    wait_for(10, "published", || {
        (site.count("SELECT count(*) FROM command WHERE state = 'published'") == 1).then_some(())
    });
    let log = site.log();
    for words in ["no retained messages", "QoS 0 only", "at most 300 bytes", "for 1 h 0 min only"] {
        assert!(log.contains(words), "{words} is not in {log}");
    }
}

/// mosquitto grants what an access list denies, and delivers nothing: what never came is told after a day, with the line
/// that the list needs.
#[test]
fn doctor_names_the_topics_on_which_nothing_ever_came() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("acl");
    std::fs::write(&list, "topic readwrite bellwire/#\ntopic readwrite open/#\ntopic write secret/#\n")
        .unwrap();
    let broker = Broker::start_with(&format!("acl_file {}", list.display()));
    let site = Site::new(broker.port, OWNER);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    wait_for(10, "the record", || (site.count("SELECT count(*) FROM subscription") >= 2).then_some(()));
    publish(broker.port, "open/1", b"1");
    publish(broker.port, "secret/1", b"1");
    wait_for(10, "the open one", || (outcomes(&site, "open") == 1).then_some(()));
    let config = site.config().to_string_lossy().into_owned();
    let doctor = || String::from_utf8_lossy(&bellwire(&["doctor", "--config", &config]).stdout).into_owned();
    assert!(!doctor().contains("nothing has come"), "they are new");
    assert_eq!(gateway.stop(), Some(0));
    site.database().execute("UPDATE subscription SET since = since - 2 * 86400000", []).unwrap();
    let found = doctor();
    assert!(found.contains("nothing has come on secret/+ for rule secret, for 2 d"), "{found}");
    assert!(found.contains("`topic read secret/+`") && !found.contains("on open/+"), "{found}");
}

#[test]
fn doctor_checks_each_topic_and_the_brokers_limits() {
    let broker = Scripted::start();
    let site = Site::new(broker.port, OWNER);
    let doctor = gateway_command()
        .args(["doctor", "--config", &site.config().to_string_lossy()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut session = broker.accept(20);
    session.connack_with(false, 0, &[0x25, 0]);
    let subscribe = session.expect(Kind::Subscribe);
    let codes: Vec<u8> =
        subscribe.names.iter().map(|name| if name == "secret/+" { 0x87 } else { 1 }).collect();
    session.suback(subscribe.id, &codes);
    session.expect(Kind::Disconnect);
    drop(session);
    let found = doctor.wait_with_output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    for words in [
        "it refuses to let us read secret/+ (NotAuthorized); it is of rule secret",
        "`topic read secret/+`",
        "it keeps no retained messages",
        "lets us in",
    ] {
        assert!(found.contains(words), "{words} is not in {found}");
    }
    assert!(!found.contains("read open/+"), "{found}");
}
