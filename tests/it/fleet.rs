use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bellwire_tests::{
    Broker, Cable, Gateway, Simulator, Site, Subscriber, bellwire, post_json, publish, wait_for,
};
use firmware_bridge::message::{Ack, CommandResult, Hello, Welcome};
use firmware_bridge::{Event, Field, Kind, Outcome, Position, Value};
use serde_json::{Value as Json, json};

use crate::wire::Wire;

/// Every event is an alert; the button speaks to the device.
pub const DEVICES: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "bellwire/device/{device}/event"
when = "payload.celsius > -15"
message = "{{ device }} is at {{ payload.celsius }} °C"
notify = ["nino"]
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "bellwire/device/{device}/command/defrost"
payload = '{"defrost": false}'
expires = "20s"
"#;

/// `docs/examples/device.py` as a process of its own, with its store in a file.
struct Device(Child);

impl Device {
    fn start(address: &str, store: &Path, events: u32) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/device.py");
        let mut command = Command::new("python3");
        command.args([script, address, "--events", &events.to_string(), "--store"]).arg(store);
        Self(command.stderr(Stdio::null()).spawn().expect("python3 is needed for this test: install it"))
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn site(broker: &Broker, port: &Path) -> Site {
    Site::new(broker.port, &format!("[[serial]]\npath = \"{}\"\n{DEVICES}", port.display()))
}

/// `bellwire devices show DEVICE --json`, once there is one.
pub fn show(site: &Site, device: &str) -> Option<Json> {
    let config = site.config();
    let output = bellwire(&["devices", "show", device, "--json", "--config", &config.to_string_lossy()]);
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

pub fn tap(site: &Site) {
    let tap = json!({ "from": "+995555123456", "tap": "Stop defrost" });
    assert_eq!(post_json(&site.api("/_simulator/reply"), &tap).0, 200);
}

/// How its last command ended, once it has.
pub fn ended(site: &Site, device: &str) -> Option<(String, String)> {
    let shown = show(site, device)?;
    let command = shown["commands"].get(0)?;
    let word = |key: &str| command[key].as_str().unwrap_or_default().to_owned();
    let (state, reason) = (word("state"), word("reason"));
    (state != "queued" && state != "published").then_some((state, reason))
}

#[test]
fn a_wired_devices_event_becomes_a_message() {
    let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
    let cable = Cable::new(folder.path());
    let site = site(&broker, &cable.port);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let mut device = Device::start(&cable.device, &folder.path().join("device.json"), 1);

    let sent = site.wait_sent(1);
    assert!(sent[0]["text"].as_str().unwrap().starts_with("python-1 is at -9.5 °C\n"), "{}", sent[0]["text"]);
    tap(&site);
    let end = wait_for(20, "the device's answer", || ended(&site, "python-1"));
    assert_eq!(end, ("done".to_owned(), "the device did it: cooling".to_owned()));
    let status = wait_for(10, "the device's end", || device.0.try_wait().unwrap());
    assert!(status.success());
    let shown = show(&site, "python-1").unwrap();
    assert_eq!((&shown["boot"], &shown["events"], &shown["counted"]), (&json!(1), &json!(1), &json!("1/1")));
    assert_eq!((&shown["state"], &shown["obeys"]), (&json!("here"), &json!(["defrost"])));
    assert_eq!(shown["link"], json!(cable.port.to_string_lossy()));

    // Nobody can be reached over a cut cable: the command is not sent, and its end says so.
    cable.plug(false);
    wait_for(10, "the port's end", || site.log().contains("it was unplugged").then_some(()));
    tap(&site);
    let late = wait_for(40, "the end of what could not be sent", || {
        ended(&site, "python-1").filter(|(state, _)| state != "done")
    });
    assert_eq!(late.0, "expired", "{}", late.1);
    // Whoever tapped hears it, under the tap.
    wait_for(10, "the words to whoever tapped", || {
        let told = |sent: &Json| {
            sent["text"].as_str().is_some_and(|text| text.contains("❌") && text.contains("was not done"))
        };
        site.sent().into_iter().find(|sent| told(sent) && sent["body"]["context"]["message_id"].is_string())
    });
    assert_eq!(gateway.stop(), Some(0));
}

/// Boards start anew when their port is opened (DTR): another configuration must not do that to them.
#[test]
fn a_reload_leaves_a_serial_port_open() {
    let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
    let cable = Cable::new(folder.path());
    let site = site(&broker, &cable.port);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let opened = || site.log().matches("a serial port is open").count();
    wait_for(10, "the port", || (opened() == 1).then_some(()));
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text.replace("is at", "has")).unwrap();
    let asked = bellwire(&["reload", "--config", &site.config().to_string_lossy()]);
    assert!(asked.status.success(), "{asked:?}");
    wait_for(20, "the other configuration", || {
        (site.log().matches("ready site=").count() == 2).then_some(())
    });
    let mut device = Device::start(&cable.device, &folder.path().join("device.json"), 1);
    let sent = site.wait_sent(1);
    assert!(sent[0]["text"].as_str().unwrap().starts_with("python-1 has -9.5 °C\n"), "{}", sent[0]["text"]);
    assert_eq!(opened(), 1, "{}", site.log());
    tap(&site);
    wait_for(20, "the device's end", || device.0.try_wait().unwrap());
    assert_eq!(gateway.stop(), Some(0));
}

/// The promise of the crate on real parts: kills of the gateway, cuts of the cable, a bad line, a device that starts anew.
#[test]
fn device_events_survive_cuts_and_kills_in_order() {
    let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
    let store = folder.path().join("device.json");
    let cable = Cable::new(folder.path());
    let site = site(&broker, &cable.port);
    let mut gateway = Gateway::start(&site);
    let mut device = Device::start(&cable.device, &store, 10_000);
    let mut random = 0x2545_f491_u32; // xorshift: the moments differ, and are the same in every run
    let mut next = move |bound: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        u64::from(random % bound)
    };
    let mut accepted = Vec::new();
    cable.disturb(3_000);
    for round in 0..12 {
        std::thread::sleep(Duration::from_millis(300 + next(900)));
        match round % 4 {
            0 | 2 => {
                gateway.kill();
                gateway = Gateway::launch(&site);
            }
            1 => {
                cable.plug(false);
                std::thread::sleep(Duration::from_millis(next(700)));
                cable.plug(true);
            }
            _ => {
                device.kill();
                accepted.extend(kept(&store)); // waited there when its power went
                device = Device::start(&cable.device, &store, 10_000);
            }
        }
    }
    cable.disturb(0);
    // The last start must come through as well: some of its events are counted, with all of the starts before.
    wait_for(60, "events of the last start", || {
        (site.count("SELECT boot = 4 AND counted_boot = 4 AND counted_sequence > 20 FROM device") == 1)
            .then_some(())
    });
    device.kill();
    assert_eq!(gateway.stop(), Some(0));

    let found = events(&site);
    let mut expected = Position::default();
    for (at, n) in &found {
        assert!(expected.precedes(*at), "{at:?} after {expected:?}");
        assert_eq!(*n, i64::from(at.sequence) - 1, "the content is that of its position");
        expected = *at;
    }
    let counted = site.count("SELECT events FROM device");
    assert_eq!(counted, found.len() as i64);
    assert_eq!(counted, site.count("SELECT count(*) FROM alert"), "each is one alert");
    assert_eq!(expected.boot, 4, "the device started four times");
    let missing = |at: &&Position| !found.iter().any(|(counted, _)| counted == *at);
    assert_eq!(accepted.iter().find(missing), None, "what a start left behind is counted, too");
    println!(
        "{counted} events of {} starts, {} of them left behind by a start",
        expected.boot,
        accepted.len()
    );
}

/// What the device has accepted and not seen acknowledged: its file holds starts, base and events.
fn kept(store: &Path) -> Vec<Position> {
    let file: Json = serde_json::from_slice(&std::fs::read(store).unwrap()).unwrap();
    let number = |value: &Json| u32::try_from(value.as_u64().unwrap()).unwrap();
    let position = |event: &Json| Position { boot: number(&event[0]), sequence: number(&event[1]) };
    file[2].as_array().unwrap().iter().map(position).collect()
}

/// Position and number of each event, in the order of their rows.
fn events(site: &Site) -> Vec<(Position, i64)> {
    let database = site.database();
    let mut rows = database.prepare("SELECT payload FROM event ORDER BY id").unwrap();
    let payloads = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    payloads
        .map(|payload| {
            let event = Event::decode(&payload.unwrap()).unwrap();
            let number = |field: &Field| match field.value {
                Value::Integer(n) if field.name == "n" => Some(n),
                Value::Integer(_) | Value::Bool(_) | Value::Float(_) | Value::Text(_) => None,
            };
            (event.position(), event.fields.iter().find_map(number).unwrap())
        })
        .collect()
}

/// Each port has its own device, its own counters and its own end.
#[test]
fn serial_ports_are_independent_and_noise_is_reported() {
    let (broker, left, right) = (Broker::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (good, bad) = (Cable::new(left.path()), Cable::new(right.path()));
    let more = format!("[[serial]]\npath = \"{}\"\nbaud = 9600\n{DEVICES}", bad.port.display());
    let site = Site::new(broker.port, &format!("[[serial]]\npath = \"{}\"\n{more}", good.port.display()));
    let _gateway = Gateway::start(&site);
    let (mut device, mut stranger) = (Wire::connect(&good), Wire::connect(&bad));
    let metrics = || ureq::get(site.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    let number = |what: &str, port: &Path| -> u64 {
        let name = format!("bellwire_device_messages_total{{line=\"{}\",what=\"{what}\"}} ", port.display());
        let line = metrics().lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.map_or(0, |value| value.parse().unwrap())
    };
    let told = "bytes come and none of them make a frame";

    device.greet("f", 1);
    device.event("f", Position { boot: 1, sequence: 1 });
    assert!(device.acknowledged(Duration::from_secs(10)).is_some());
    let open = format!("bellwire_serial_open{{line=\"{}\"}}", bad.port.display());
    wait_for(10, "the other port", || metrics().contains(&format!("{open} 1")).then_some(()));
    for burst in 1..=5 {
        assert!(!site.log().contains(told), "after {burst} bursts");
        stranger.noise(b"\x00\xff\x55 a boot loader speaks \x00\x03\x81\x01\x00");
        std::thread::sleep(Duration::from_millis(700));
    }
    wait_for(10, "the advice", || site.log().contains(told).then_some(()));
    assert_eq!((number("damaged", &bad.port), number("noise", &bad.port)), (10, 1));
    assert_eq!((number("damaged", &good.port), number("hello", &bad.port)), (0, 0));
    // The frame after it is read, and a cut of this cable is nothing to the other.
    let welcome = stranger.greet("g", 1);
    assert_eq!(welcome.counted, Position::default());
    bad.plug(false);
    wait_for(10, "the port's end", || metrics().contains(&format!("{open} 0")).then_some(()));
    let config = site.config().to_string_lossy().into_owned();
    let found = String::from_utf8(bellwire(&["doctor", "--config", &config]).stdout).unwrap();
    assert!(
        found.contains(&format!("{} is there, and this user may use it", good.port.display())),
        "{found}"
    );
    assert!(found.contains(&format!("{}: No such file", bad.port.display())), "{found}");
    device.event("f", Position { boot: 1, sequence: 2 });
    let second = Some(Position { boot: 1, sequence: 2 });
    assert_eq!(device.acknowledged(Duration::from_secs(10)), second);
    let links = |device: &str| show(&site, device).unwrap()["link"].clone();
    assert_eq!(links("f"), json!(good.port.to_string_lossy()));
    assert_eq!(links("g"), json!(bad.port.to_string_lossy()));
    // Put back, it is opened again.
    bad.plug(true);
    wait_for(15, "the port's return", || metrics().contains(&format!("{open} 1")).then_some(()));
    stranger.event("g", Position { boot: 1, sequence: 1 });
    assert!(stranger.acknowledged(Duration::from_secs(10)).is_some());
}

/// Not its bytes.
fn people_read_its_fields(site: &Site) {
    let events = bellwire(&["events", "--config", &site.config().to_string_lossy()]);
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.contains(r#""celsius":-9.5"#) && events.contains(r#""sequence":1"#), "{events}");
}

/// The same protocol over the broker.
#[test]
fn a_device_over_mqtt_is_welcomed_acknowledged_and_commanded() {
    let broker = Broker::start();
    let site = Site::new(broker.port, DEVICES);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let heard = Subscriber::in_hex(broker.port, "bellwire/device/freezer-7/+");
    let say = |kind: Kind, message: &[u8]| {
        publish(broker.port, &format!("bellwire/device/freezer-7/{}", kind.topic_level()), message);
    };
    let answers = |kind: Kind| -> Vec<Vec<u8>> {
        let topic = format!("bellwire/device/freezer-7/{} ", kind.topic_level());
        let of_kind = |line: &String| line.strip_prefix(&topic).map(bytes);
        heard.messages().iter().filter_map(of_kind).collect()
    };
    let hello = |boot, token| {
        let commands = ["defrost"].into_iter().collect();
        let (device, firmware, oldest) = ("freezer-7", "test 1", Position::default());
        let hello = Hello { device, boot, token, oldest, queued: 0, refused: 3, firmware, commands };
        say(Kind::Hello, hello.encode(&mut [0; 200]).unwrap());
        wait_for(10, "a welcome", || {
            let welcomes = answers(Kind::Welcome);
            welcomes
                .iter()
                .map(|bytes| Welcome::decode(bytes).unwrap())
                .find(|welcome| welcome.token == token)
        })
    };
    let event = |sequence, celsius| {
        let fields = [Field::new("celsius", Value::Float(celsius)).unwrap()].into_iter().collect();
        let event = Event { device: "freezer-7".try_into().unwrap(), boot: 1, sequence, fields };
        let before = answers(Kind::Ack).len();
        say(Kind::Event, event.encode(&mut [0; 200]).unwrap());
        let acks = wait_for(10, "an acknowledgement", || {
            Some(answers(Kind::Ack)).filter(|acks| acks.len() > before)
        });
        Ack::decode(acks.last().unwrap()).unwrap().counted
    };

    assert_eq!(event(1, -9.5), Position::default(), "nobody it knows: it shall say hello");
    assert_eq!(hello(0, 11).boot, 0);
    let welcome = hello(1, 12);
    assert_eq!((welcome.boot, welcome.counted), (1, Position::default()));
    assert!(welcome.unix_ms > 1_700_000_000_000);
    assert_eq!(event(1, -9.5), Position { boot: 1, sequence: 1 });
    assert_eq!(event(1, -9.5), Position { boot: 1, sequence: 1 }, "a repetition");
    assert_eq!(event(3, -9.5), Position { boot: 1, sequence: 1 }, "one before it is missing");
    assert_eq!(event(2, -18.0), Position { boot: 1, sequence: 2 });
    assert_eq!(
        site.wait_sent(1)[0]["text"].as_str().unwrap().lines().next(),
        Some("freezer-7 is at -9.5 °C")
    );
    assert_eq!(site.count("SELECT count(*) FROM alert"), 1);
    people_read_its_fields(&site);

    tap(&site);
    let command = wait_for(10, "the command", || answers(Kind::Command).pop());
    let command = firmware_bridge::message::Command::decode(&command).unwrap();
    assert_eq!((command.boot, command.name, command.payload), (1, "defrost", &br#"{"defrost": false}"#[..]));
    let result = CommandResult {
        device: "freezer-7",
        boot: 1,
        id: command.id,
        outcome: Outcome::Refused,
        detail: "the door is open",
    };
    say(Kind::Result, result.encode(&mut [0; 200]).unwrap());
    let end = wait_for(10, "the end", || ended(&site, "freezer-7"));
    assert_eq!(end, ("refused".to_owned(), "the device refused it: the door is open".to_owned()));

    // Another version is told which one we read; the device is what its topic says.
    say(Kind::Hello, &[9, 1, 2]);
    assert_eq!(wait_for(10, "the version", || answers(Kind::Version).pop()), [1]);
    let shown = show(&site, "freezer-7").unwrap();
    assert_eq!((&shown["link"], &shown["refused"], &shown["events"]), (&json!("mqtt"), &json!(3), &json!(2)));
    let metrics = ureq::get(site.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains(r#"bellwire_device_messages_total{line="mqtt",what="version"} 1"#), "{metrics}");
}

/// Two boards with one firmware image: each event of both is an alert, once; nobody storms; people hear of it by the name.
#[test]
fn two_devices_with_one_name_are_reported_without_loss() {
    let (broker, left, right) = (Broker::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (Cable::new(left.path()), Cable::new(right.path()));
    let more = format!("[[serial]]\npath = \"{}\"\n{DEVICES}", two.port.display());
    let site = Site::new(broker.port, &format!("[[serial]]\npath = \"{}\"\n{more}", one.port.display()));
    let config = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), config.replacen("\"Test\"", "\"Test\"\nowner = [\"nino\"]", 1)).unwrap();
    let _simulator = Simulator::start(&site);
    let gateway = Gateway::start(&site);
    let (first, second) = (left.path().join("device.json"), right.path().join("device.json"));
    let devices = [Device::start(&one.device, &first, 40), Device::start(&two.device, &second, 40)];

    wait_for(120, "all events of both", || (site.count("SELECT count(*) FROM alert") == 80).then_some(()));
    wait_for(90, "somebody to be told", || {
        site.log().contains("two devices call themselves python-1").then_some(())
    });
    // The owner's message is kept before the clash itself: a kill in between tells them again rather than never.
    wait_for(10, "the clash on disk", || {
        (site.count("SELECT count(*) FROM device WHERE clash_at IS NOT NULL") == 1).then_some(())
    });
    gateway.kill();
    let gateway = Gateway::start(&site);
    wait_for(30, "the owner's message", || {
        let told =
            |sent: &Json| sent["text"].as_str().is_some_and(|text| text.contains("call themselves python-1"));
        site.sent().iter().any(told).then_some(())
    });
    let config = site.config().to_string_lossy().into_owned();
    let words = |arguments: &[&str]| {
        let output = bellwire(&[arguments, &["--config", &config]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(words(&["doctor"]).contains("two devices call themselves python-1"));
    assert!(words(&["devices", "list"]).contains("clash"));
    assert_eq!(site.count("SELECT count(*) FROM alert"), 80, "nothing is counted twice");
    let boot = site.count("SELECT boot FROM device WHERE id = 'python-1'");
    assert!(boot < 10, "{boot} boot numbers");
    for store in [&first, &second] {
        assert_eq!(kept(store), [], "each has let go of what it said");
    }
    drop(devices);
    assert_eq!(gateway.stop(), Some(0));
}

/// What anybody may say at the broker is not believed of a device on a wire, and strangers' names go when somebody says so.
#[test]
fn a_serial_device_is_not_taken_over_by_mqtt() {
    let (broker, folder) = (Broker::start(), tempfile::tempdir().unwrap());
    let cable = Cable::new(folder.path());
    let site = site(&broker, &cable.port);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let heard = Subscriber::in_hex(broker.port, "bellwire/device/siren/#");
    let mut device = Wire::connect(&cable);
    device.greet("siren", 3);
    let (oldest, firmware) = (Position::default(), "rogue");
    let commands = ["on"].into_iter().collect();
    let rogue =
        Hello { device: "siren", boot: 3, token: 7, oldest, queued: 0, refused: 0, firmware, commands };
    publish(broker.port, "bellwire/device/siren/hello", rogue.encode(&mut [0; 200]).unwrap());
    wait_for(20, "the notice", || site.log().contains("somebody says to be siren over MQTT").then_some(()));
    let answered = |kind: &str| heard.messages().iter().any(|line| line.contains(kind));
    assert!(!answered("/welcome"), "{:?}", heard.messages());
    let shown = show(&site, "siren").unwrap();
    assert_eq!(shown["link"], json!(cable.port.to_string_lossy()), "commands go where it is");
    device.event("siren", Position { boot: 3, sequence: 1 });
    assert!(device.acknowledged(Duration::from_secs(10)).is_some(), "and it goes on");

    let config = site.config().to_string_lossy().into_owned();
    assert!(bellwire(&["devices", "approve", "siren", "--config", &config]).status.success());
    assert!(bellwire(&["devices", "forget", "siren", "--config", &config]).status.success());
    assert!(show(&site, "siren").is_none(), "nobody sees it any more");
    wait_for(60, "the daemon to forget it", || {
        (site.count("SELECT count(*) FROM device") == 0).then_some(())
    });
    publish(broker.port, "bellwire/device/siren/hello", rogue.encode(&mut [0; 200]).unwrap());
    wait_for(20, "a welcome", || answered("/welcome").then_some(()));
    assert!(!bellwire(&["devices", "forget", "nobody", "--config", &config]).status.success());
}

/// The page's list of what is refused: nothing of it is answered or counted, and it moves no position.
#[test]
fn invalid_device_messages_are_ignored() {
    let broker = Broker::start();
    let site = Site::new(broker.port, DEVICES);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let heard = Subscriber::in_hex(broker.port, "bellwire/device/#");
    let say = |kind: Kind, device: &str, message: &[u8]| {
        publish(broker.port, &format!("bellwire/device/{device}/{}", kind.topic_level()), message);
    };
    let answers = || heard.messages().iter().filter(|line| line.contains("/ack ")).count();
    let (device, firmware, oldest) = ("freezer-2", "test 1", Position::default());
    let commands = || [].into_iter().collect();
    let hello =
        Hello { device, boot: 7, token: 1, oldest, queued: 0, refused: 0, firmware, commands: commands() };
    say(Kind::Hello, device, hello.encode(&mut [0; 200]).unwrap());
    wait_for(10, "the device", || show(&site, device));

    let page = include_str!("../../docs/device-protocol.md");
    let mut refused = 0;
    for block in page.split("```refused\n").skip(1) {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        let (kind, message) = (Kind::from_byte(bytes(value("kind"))[0]).unwrap(), bytes(value("message")));
        let name_length = usize::from(message[1]);
        if [Kind::Hello, Kind::Event, Kind::Result].contains(&kind) {
            say(kind, std::str::from_utf8(&message[2..2 + name_length]).unwrap(), &message);
            refused += 1;
        }
    }
    let metric = |what: &str| {
        let name = format!("bellwire_device_messages_total{{line=\"mqtt\",what=\"{what}\"}} ");
        let metrics = ureq::get(site.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
        metrics.lines().find_map(|line| line.strip_prefix(&name).map(|value| value.parse::<u32>().unwrap()))
    };
    wait_for(20, "all to be refused", || (metric("malformed") == Some(refused)).then_some(()));
    assert_eq!(answers(), 0, "{:?}", heard.messages());
    assert_eq!(site.count("SELECT count(*) FROM device"), 1);
    assert_eq!(site.count("SELECT boot = 7 AND counted_sequence = 0 AND events = 0 FROM device"), 1);

    let state = Field::text("state", "\u{1b}[2J\u{7}\u{202e}warm").unwrap();
    let fields = [Field::new("celsius", Value::Float(-9.5)).unwrap(), state].into_iter().collect();
    let event = Event { device: device.try_into().unwrap(), boot: 7, sequence: 1, fields };
    say(Kind::Event, device, event.encode(&mut [0; 200]).unwrap());
    wait_for(10, "its acknowledgement", || (answers() == 1).then_some(()));
    assert_eq!(site.count("SELECT events FROM device"), 1);
    let events = bellwire(&["events", "--config", &site.config().to_string_lossy()]).stdout;
    let events = String::from_utf8(events).unwrap();
    assert!(events.contains("warm") && events.contains("\"celsius\":-9.5"), "{events}");
    let is_order = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!events.contains(is_order), "a device's word is no order to the terminal: {events:?}");
}

/// A device's program that mixes names up hears so where it publishes, and whoever looks for the fault finds it.
#[test]
fn a_name_that_differs_from_its_topic_is_reported() {
    let broker = Broker::start();
    let site = Site::new(broker.port, DEVICES);
    let (_simulator, _gateway) = (Simulator::start(&site), Gateway::start(&site));
    let heard = Subscriber::in_hex(broker.port, "bellwire/device/#");
    let (device, firmware, oldest) = ("freezer-2", "test 1", Position::default());
    let commands = [].into_iter().collect();
    let hello = Hello { device, boot: 7, token: 1, oldest, queued: 0, refused: 0, firmware, commands };
    publish(broker.port, "bellwire/device/freezer-9/hello", hello.encode(&mut [0; 200]).unwrap());
    let is_answer = |line: &String| line == "bellwire/device/freezer-9/ack 010000";
    wait_for(10, "the answer", || heard.messages().iter().any(is_answer).then_some(()));
    wait_for(10, "the log", || site.log().contains("topic of the device freezer-9").then_some(()));
    let config = site.config().to_string_lossy().into_owned();
    wait_for(10, "doctor", || {
        let output = bellwire(&["doctor", "--config", &config]).stdout;
        let said = String::from_utf8(output).unwrap();
        (said.contains("topic of the device freezer-9 says that it is of freezer-2")).then_some(())
    });
    assert_eq!(site.count("SELECT count(*) FROM device"), 0, "nothing of it is believed");
    let metrics = ureq::get(site.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(
        metrics.contains(r#"bellwire_device_messages_total{line="mqtt",what="other-name"} 1"#),
        "{metrics}"
    );
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
