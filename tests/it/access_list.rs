//! `bellwire acl` on a mosquitto that keeps it: the gateway works whole, and nobody may more than they need.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bellwire_tests::{Broker, Gateway, Simulator, Site, Subscriber, bellwire, post_json, program, wait_for};
use firmware_bridge::message::{Ack, Command as Told, CommandResult, Hello, Welcome};
use firmware_bridge::{Event, Field, Kind, Outcome, Position, Value};
use serde_json::json;

const RULES: &str = r#"
[home_assistant]
notify = ["nino"]
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "site/{area}/freezer/{unit}/temperature"
when = "payload.celsius > -15"
message = "Freezer {{ unit }} is at {{ payload.celsius }}"
notify = ["nino"]
severity = "critical"
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "site/{area}/freezer/{unit}/set"
payload = "STOP"
[[rule]]
name = "door"
topic = "doors/{door}/state"
message = "Door {{ door }}"
notify = ["nino"]
severity = "critical"
[[rule]]
name = "yard"
topic = "yard/{lamp}/#"
message = "Yard"
notify = ["nino"]
[[rule.action]]
id = "gate"
title = "Gate"
topic = "gates/yard/set"
payload = "OPEN"
[[rule]]
name = "link"
topic = "bellwire/device/{device}/event"
when = "payload.celsius > -15"
message = "{{ device }} is at {{ payload.celsius }} °C"
notify = ["nino"]
severity = "critical"
[[rule.action]]
id = "heat"
title = "Heat"
topic = "bellwire/device/{device}/command/defrost"
payload = "1"
"#;

/// Who has a password: the name.
const USERS: [&str; 8] =
    ["bellwire", "homeassistant", "freezer-2", "freezer-7", "other-8", "front", "rule-yard", "observer"];

/// A mosquitto with the list that `bellwire acl` makes of the site's configuration, and an observer who hears everything.
fn guarded() -> (Broker, Site, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (users, list) = (folder.path().join("users"), folder.path().join("acl"));
    for (index, user) in USERS.iter().enumerate() {
        let mut command = Command::new("mosquitto_passwd");
        command.arg("-b").args((index == 0).then_some("-c")).arg(&users).args([user, user]);
        assert!(command.status().expect("mosquitto_passwd comes with mosquitto").success());
    }
    // The list has to be there when the broker starts, and the configuration has to name the broker's port.
    let port = bellwire_tests::free_port();
    let password = folder.path().join("password");
    write_secret(&password, "bellwire");
    let mqtt = format!(
        "url = \"mqtt://127.0.0.1:{port}\"\nusername = \"bellwire\"\npassword_file = \"{}\"",
        password.display()
    );
    let site = Site::with_mqtt(&mqtt, RULES);
    write_list(&site, folder.path());
    let access =
        format!("allow_anonymous false\npassword_file {}\nacl_file {}", users.display(), list.display());
    (Broker::start_on(port, &access), site, folder)
}

/// The list that `bellwire acl` makes now, in the broker's file.
fn write_list(site: &Site, folder: &Path) -> String {
    let config = site.config().to_string_lossy().into_owned();
    let made =
        bellwire(&["acl", "--config", &config, "--device", "freezer-2=site/bar/freezer/2/temperature"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8(made.stdout).unwrap();
    std::fs::write(folder.join("acl"), format!("{text}\nuser observer\ntopic read #\n")).unwrap();
    text
}

fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Publishes as somebody; returns when the broker has taken or refused it.
fn say(port: u16, user: &str, topic: &str, payload: &[u8]) {
    let mut child = Command::new(program("mosquitto_pub"))
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-q",
            "1",
            "-u",
            user,
            "-P",
            user,
            "-t",
            topic,
            "-s",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(payload).unwrap();
    assert!(child.wait().unwrap().success(), "{user} to {topic}");
}

fn listen(port: u16, user: &str, filter: &str) -> Subscriber {
    Subscriber::start_with(port, filter, &["-u", user, "-P", user, "-F", "%t %x"])
}

fn said_on(heard: &Subscriber, topic: &str) -> Vec<Vec<u8>> {
    let start = format!("{topic} ");
    heard.messages().iter().filter_map(|line| line.strip_prefix(&start).map(bytes)).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_generated_access_list_allows_everything_needed() {
    let (broker, site, _folder) = guarded();
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let port = broker.port;
    let text = |index: usize| site.wait_sent(index + 1)[index]["text"].as_str().unwrap().to_owned();
    let tap = |title: &str| {
        let tap = json!({ "from": "+995555123456", "tap": title });
        assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
    };

    // An alert, and the command that the device hears.
    let freezer = listen(port, "freezer-2", "site/#");
    say(port, "freezer-2", "site/bar/freezer/2/temperature", br#"{"celsius": -3}"#);
    assert!(text(0).starts_with("Freezer 2 is at -3"), "{}", text(0));
    tap("Stop defrost");
    wait_for(10, "the command", || said_on(&freezer, "site/bar/freezer/2/set").pop());
    say(port, "front", "doors/front/state", b"open");
    assert!(text(1).starts_with("Door front"), "{}", text(1));

    // A device that speaks the device protocol.
    let device = listen(port, "freezer-7", "bellwire/device/freezer-7/+");
    let topic = |kind: Kind| format!("bellwire/device/freezer-7/{}", kind.topic_level());
    let commands = ["defrost"].into_iter().collect();
    let (name, oldest) = ("freezer-7", Position::default());
    let hello =
        Hello { device: name, boot: 1, token: 5, oldest, queued: 0, refused: 0, firmware: "t", commands };
    say(port, name, &topic(Kind::Hello), hello.encode(&mut [0; 200]).unwrap());
    let welcome = wait_for(10, "a welcome", || said_on(&device, &topic(Kind::Welcome)).pop());
    assert_eq!(Welcome::decode(&welcome).unwrap().token, 5);
    let fields = [Field::new("celsius", Value::Float(-9.5)).unwrap()].into_iter().collect();
    let event = Event { device: name.try_into().unwrap(), boot: 1, sequence: 1, fields };
    say(port, name, &topic(Kind::Event), event.encode(&mut [0; 200]).unwrap());
    let ack = wait_for(10, "an acknowledgement", || said_on(&device, &topic(Kind::Ack)).pop());
    assert_eq!(Ack::decode(&ack).unwrap().counted, Position { boot: 1, sequence: 1 });
    assert!(text(2).starts_with("freezer-7 is at -9.5"), "{}", text(2));
    tap("Heat");
    let told = wait_for(10, "the device's command", || said_on(&device, &topic(Kind::Command)).pop());
    let told = Told::decode(&told).unwrap();
    let outcome = Outcome::Done;
    let result = CommandResult { device: name, boot: 1, id: told.id, outcome, detail: "warm" };
    say(port, name, &topic(Kind::Result), result.encode(&mut [0; 200]).unwrap());
    wait_for(20, "its end", || {
        (site.count("SELECT count(*) FROM command WHERE state = 'done'") == 1).then_some(())
    });

    // Home Assistant sees it, and may mute.
    let home = listen(port, "homeassistant", "homeassistant/#");
    let discovery = "homeassistant/device/bellwire-test/config";
    wait_for(10, "the discovery", || said_on(&home, discovery).pop());
    say(port, "homeassistant", "bellwire/bellwire-test/home-assistant/mute/set", b"ON");
    wait_for(10, "the mute", || {
        (site.count("SELECT count(*) FROM change WHERE deed = 'mute'") == 1).then_some(())
    });
    let state = listen(port, "homeassistant", "bellwire/bellwire-test/home-assistant/state");
    wait_for(45, "the switch", || {
        let states = said_on(&state, "bellwire/bellwire-test/home-assistant/state");
        states.iter().any(|state| String::from_utf8_lossy(state).contains(r#""mute":"ON""#)).then_some(())
    });
}

#[test]
fn with_the_access_list_no_device_speaks_for_another() {
    let (broker, site, _folder) = guarded();
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let port = broker.port;
    let all = listen(port, "observer", "#");
    let others = listen(port, "other-8", "#");
    let back = listen(port, "front", "#");
    let denied = [
        ("freezer-2", "site/bar/freezer/3/temperature"),
        ("freezer-2", "site/bar/freezer/2/set"),
        ("freezer-2", "bellwire/bellwire-test/home-assistant/mute/set"),
        ("freezer-2", "bellwire/bellwire-test/loopback"),
        ("freezer-2", "bellwire/device/freezer-7/event"),
        ("freezer-7", "bellwire/device/other-8/hello"),
        ("freezer-7", "bellwire/device/freezer-7/command"),
        ("freezer-7", "bellwire/device/other-8/result"),
        ("freezer-7", "site/bar/freezer/2/temperature"),
        ("front", "doors/back/state"),
        ("front", "homeassistant/light/x/config"),
        ("rule-yard", "gates/yard/set"),
        ("homeassistant", "site/bar/freezer/2/set"),
        ("homeassistant", "doors/front/state"),
        ("observer", "site/bar/freezer/2/temperature"),
    ];
    for (user, topic) in denied {
        say(port, user, topic, br#"{"celsius": 1}"#);
    }
    // What is allowed comes after it, so what was denied would be there by now.
    say(port, "rule-yard", "yard/lamp/on", b"on");
    say(port, "freezer-2", "site/bar/freezer/2/temperature", br#"{"celsius": -3}"#);
    wait_for(10, "what is allowed", || said_on(&all, "site/bar/freezer/2/temperature").pop());
    assert_eq!(said_on(&all, "yard/lamp/on").len(), 1);
    for (user, topic) in denied.iter().filter(|(_, topic)| *topic != "site/bar/freezer/2/temperature") {
        let own = |payload: &Vec<u8>| payload.starts_with(br#"{"celsius": 1}"#);
        assert!(!said_on(&all, topic).iter().any(own), "{user} published to {topic}");
    }
    assert_eq!(said_on(&all, "site/bar/freezer/2/temperature").len(), 1);
    let texts: Vec<String> =
        site.wait_sent(2).iter().map(|sent| sent["text"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(texts.iter().all(|text| !text.contains("is at 1")), "{texts:?}");
    assert_eq!(others.messages(), Vec::<String>::new(), "a device hears what is told to others");
    assert_eq!(back.messages(), Vec::<String>::new());
    // Who has no user is not let in at all.
    let anonymous = Command::new(program("mosquitto_pub"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "yard/lamp/on", "-m", "x"])
        .stderr(Stdio::null())
        .status();
    assert!(!anonymous.unwrap().success());
}

#[test]
fn the_access_list_allows_clearing_the_former_client_ids_topics() {
    let (mut broker, site, folder) = guarded();
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    // The topics of the former name, as the broker keeps them.
    let state = |client: &str| format!("bellwire/{client}/home-assistant/state");
    let kept = |port: u16, topic: &str| {
        let heard = listen(port, "observer", topic);
        std::thread::sleep(std::time::Duration::from_millis(300));
        !heard.messages().is_empty()
    };
    wait_for(20, "its state", || kept(broker.port, &state("bellwire-test")).then_some(()));
    assert_eq!(gateway.stop(), Some(0));
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config.replace("\"bellwire-test\"", "\"bellwire-new\"")).unwrap();
    write_list(&site, folder.path());
    broker.restart();
    let _gateway = Gateway::start(&site);
    wait_for(20, "its new state", || kept(broker.port, &state("bellwire-new")).then_some(()));
    wait_for(90, "the end of the old one", || (!kept(broker.port, &state("bellwire-test"))).then_some(()));
    let no_more = || {
        let text = write_list(&site, folder.path());
        (!text.contains("bellwire-test")).then_some(())
    };
    wait_for(60, "a list without the former name", no_more);
}
