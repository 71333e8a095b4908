use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bellwire_tests::{Broker, Cable, Gateway, Simulator, Site, post_json, publish, wait_for};
use firmware_bridge::message::Ack;
use firmware_bridge::{Event, Field, Kind, Position, Value};
use serde_json::json;
use tempfile::TempDir;

use super::harness::{Harness, Which};
use super::situations::{SITUATIONS, Situation, Step};

/// A device's longest wait between two tries is 64 s and a quarter; a busy machine takes its time.
const PATIENCE_S: u64 = 100;
const PAGE: &str = include_str!("../../../docs/device-protocol.md");
const FILES: [&str; 3] = ["bellwire.db", "bellwire.db-wal", "bellwire.db-shm"];

/// Every event is an alert, so that it is a row; the button speaks to the device.
const RULE: &str = r#"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "event"
topic = "bellwire/device/{device}/event"
when = "payload.sequence > 0"
message = "{{ device }} says {{ payload.boot }}/{{ payload.sequence }}"
notify = ["nino"]
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "bellwire/device/{device}/command/defrost"
payload = '{"defrost": false}'
expires = "EXPIRES"
"#;

/// One device over its starts.
struct Played {
    store: Option<PathBuf>,
    id: String,
    process: Option<Harness>,
    /// What each start accepted, in order, and its name.
    accepted: Vec<Vec<Vec<Field>>>,
    names: Vec<&'static str>,
    /// Of the starts before this one.
    hellos: u32,
    lose: Vec<(Kind, u32)>,
    topic: Option<&'static str>,
}

struct Stage {
    which: Which,
    situation: &'static Situation,
    broker: Broker,
    cable: Option<(Cable, TempDir)>,
    site: Site,
    gateway: Option<Gateway>,
    devices: Vec<Played>,
    /// The device's name from its next start on.
    name: &'static str,
    next: i64,
    _simulator: Option<Simulator>,
}

/// Plays a situation to its end, and compares what came of it with its line of the table.
pub fn play(which: Which, name: &str) {
    let situation = SITUATIONS.iter().find(|situation| situation.name == name).unwrap();
    let broker = Broker::start_with("set_tcp_nodelay true");
    let cable = situation.serial.then(|| {
        let folder = tempfile::tempdir().unwrap();
        (Cable::new(folder.path()), folder)
    });
    let port = |(cable, _): &(Cable, TempDir)| format!("[[serial]]\npath = \"{}\"\n", cable.port.display());
    let port = cable.as_ref().map(port).unwrap_or_default();
    let site = Site::new(broker.port, &format!("{port}{}", RULE.replace("EXPIRES", situation.expires)));
    let simulator = situation.steps.contains(&Step::Tap).then(|| Simulator::start(&site));
    let gateway = Some(Gateway::start(&site));
    let mut stage = Stage {
        which,
        situation,
        broker,
        cable,
        site,
        gateway,
        devices: Vec::new(),
        name: situation.device,
        next: 1,
        _simulator: simulator,
    };
    stage.add_device("one");
    for step in situation.steps {
        stage.step(*step);
    }
    stage.compare();
}

impl Stage {
    fn add_device(&mut self, id: &str) {
        let store = self.situation.keeps.then(|| self.site.path().join(format!("device-{id}")));
        let id = id.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.devices.push(Played {
            store,
            id,
            process: None,
            accepted: Vec::new(),
            names: Vec::new(),
            hellos: 0,
            lose: Vec::new(),
            topic: None,
        });
    }

    fn step(&mut self, step: Step) {
        let (which, name) = (self.which, self.situation.name);
        let what = format!("{step:?} of {name}, {which:?}");
        match step {
            Step::Start => self.start(0),
            Step::Twin => {
                self.add_device("two");
                self.start(1);
            }
            Step::KillDevice => self.devices[0].kill(),
            Step::Emit(count) => self.emit(count),
            Step::Fields(words, answer) => self.fields(words, answer),
            Step::Longest => self.fields(&longest(), "ok"),
            Step::Line(up) => drop(self.device().ask(&format!("line {}", u8::from(up)))),
            Step::Flaps(count) => (0..count).for_each(|_| self.flap(&what)),
            Step::Lose(kind, count) => self.devices[0].lose(kind, count),
            Step::Topic(name) => self.topic(name),
            Step::Rename(name) => self.name = name,
            Step::Acknowledge(boot, sequence) => {
                let ack = Ack { counted: Position { boot, sequence } };
                self.say(Kind::Ack, ack.encode(&mut [0; 16]).unwrap());
            }
            Step::Malformed => self.malformed(),
            Step::Tap => {
                assert!(!self.site.wait_sent(1).is_empty());
                let tap = json!({ "from": "+995555123456", "tap": "Stop defrost" });
                assert_eq!(post_json(&self.site.api("/_simulator/reply"), &tap).0, 200);
            }
            Step::Obeyed => {
                wait_for(20, &what, || (self.device().status()["obeyed"] > 0).then_some(()));
            }
            Step::Ended(end) => assert_eq!(wait_for(60, &what, || self.ended()), end, "{what}"),
            Step::Counted(events) => wait_for(PATIENCE_S, &what, || {
                (self.site.count("SELECT count(*) FROM event") >= i64::from(events)).then_some(())
            }),
            Step::Idle => wait_for(PATIENCE_S, &what, || self.is_idle().then_some(())),
            Step::Seconds(seconds) => std::thread::sleep(Duration::from_secs(seconds)),
            Step::Plugged(is_plugged) => self.cable.as_ref().unwrap().0.plug(is_plugged),
            Step::Disturbed(every) => self.cable.as_ref().unwrap().0.disturb(every),
            Step::KillBroker => {
                self.broker.kill();
                self.broker.up();
            }
            Step::BrokerDown => self.broker.kill(),
            Step::BrokerUp => self.broker.up(),
            Step::KillGateway
            | Step::GatewayDown
            | Step::GatewayUp
            | Step::CopyDatabase
            | Step::PutDatabaseBack
            | Step::LoseDatabase => self.kill_gateway(step),
        }
    }

    fn flap(&mut self, what: &str) {
        let connects = self.device().status()["connects"];
        self.device().ask("line 0");
        self.device().ask("line 1");
        wait_for(20, what, || (self.device().status()["connects"] > connects).then_some(()));
    }

    fn is_idle(&mut self) -> bool {
        self.devices.iter_mut().all(|device| {
            let status = device.process.as_mut().unwrap().status();
            status["queued"] == 0 && status["welcomed"] == 1
        })
    }

    /// How the command ended, once it has.
    fn ended(&self) -> Option<String> {
        let sql = "SELECT max(state) FROM command WHERE device IS NOT NULL AND state NOT IN ('queued', 'published')";
        self.site.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn topic(&mut self, name: Option<&'static str>) {
        self.devices[0].topic = name;
        if let Some(process) = &mut self.devices[0].process {
            process.ask(name.map_or("topic".to_owned(), |name| format!("topic {name}")).as_str());
        }
    }

    fn kill_gateway(&mut self, step: Step) {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill();
        }
        let (state, copy) = (self.site.path().join("state"), self.site.path().join("copy"));
        for file in FILES {
            let (file, copied) = (state.join(file), copy.join(file));
            if step == Step::CopyDatabase {
                std::fs::create_dir_all(&copy).unwrap();
                drop(std::fs::copy(&file, &copied)); // one of them may not be there
            }
            if matches!(step, Step::PutDatabaseBack | Step::LoseDatabase) {
                drop(std::fs::remove_file(&file));
                drop(std::fs::copy(&copied, &file));
            }
        }
        if step != Step::GatewayDown {
            self.gateway = Some(Gateway::start(&self.site));
        }
    }

    fn start(&mut self, index: usize) {
        let (which, name) = (self.which, self.name);
        let serial = |(cable, _): &(Cable, TempDir)| cable.device.replace("tcp:127.0.0.1", "serial");
        let port = self.cable.as_ref().map_or_else(|| self.broker.port.to_string(), serial);
        let device = &mut self.devices[index];
        let id = device.store.as_ref().map(|_| &*device.id);
        let mut process = Harness::start(which, name, &port, device.store.as_deref(), id);
        if let Some(topic) = device.topic {
            process.ask(&format!("topic {topic}"));
        }
        for (kind, count) in device.lose.drain(..) {
            process.ask(&format!("lose {:02x} {count}", kind.byte()));
        }
        device.process = Some(process);
        device.accepted.push(Vec::new());
        device.names.push(name);
    }

    fn device(&mut self) -> &mut Harness {
        self.devices[0].process.as_mut().unwrap()
    }

    fn emit(&mut self, count: u32) {
        for device in &mut self.devices {
            let answer = device.process.as_mut().unwrap().ask(&format!("emit {count} {}", self.next));
            let numbers: Vec<u32> = answer.split(' ').map(|word| word.parse().unwrap()).collect();
            // A queue that is full stays so: nothing is sent while events are made.
            for n in (self.next..).take(numbers[0] as usize) {
                let celsius = Field::new("celsius", Value::Float(-18.0)).unwrap();
                let event = vec![celsius, Field::new("n", Value::Integer(n)).unwrap()];
                device.accepted.last_mut().unwrap().push(event);
            }
            self.next += i64::from(count);
        }
    }

    fn fields(&mut self, words: &str, answer: &str) {
        let name = self.situation.name;
        let found = self.device().ask(&format!("fields {words}"));
        assert_eq!(found, answer, "{words} in {name}, {:?}", self.which);
        if found == "ok" {
            let event = words.split(' ').map(|word| field(word).unwrap()).collect();
            self.devices[0].accepted.last_mut().unwrap().push(event);
            self.next += 1;
        }
    }

    fn say(&self, kind: Kind, message: &[u8]) {
        let topic = format!("bellwire/device/{}/{}", self.situation.device, kind.topic_level());
        publish(self.broker.port, &topic, message);
    }

    fn malformed(&mut self) {
        let before = self.device().status()["damaged"];
        let mut said = 0;
        for (kind, message) in refused().iter().filter(|(kind, _)| Kind::TO_DEVICE.contains(kind)) {
            self.say(*kind, message);
            said += 1;
        }
        for noise in [&[1][..], &[1, 0xff], &[1; 300], &[1, 1, 0, 0, 0, 0, 0]] {
            self.say(Kind::Ack, noise);
            said += 1;
        }
        self.say(Kind::Welcome, &[9, 1, 2, 3]); // of another version, which is no damage
        self.say(Kind::Version, &[2]);
        wait_for(20, "all to be counted as damaged", || {
            (self.device().status()["damaged"] >= before + said).then_some(())
        });
    }

    fn compare(&mut self) {
        let situation = self.situation;
        let context = format!("{}, {:?}", situation.name, self.which);
        let counted = self.counted();
        let (mut hellos, mut refused) = (0, 0);
        for device in &mut self.devices {
            let status = device.process.as_mut().unwrap().status();
            hellos += device.hellos + status["hellos"];
            refused += status["refused"];
            assert_eq!(status["obeyed"], situation.obeyed, "commands acted on, {context}");
        }
        assert!(hellos <= situation.hellos, "{hellos} hellos, {context}");
        if self.devices.len() > 1 {
            return self.compare_two(&counted, &context);
        }
        let of_device = &self.devices[0].accepted;
        let expected: Vec<(u32, u32)> = if situation.counted.is_empty() {
            positions(&[(1, 1, of_device[0].len() as u32)])
        } else {
            positions(situation.counted)
        };
        let found: Vec<(u32, u32)> = counted.iter().map(|event| (event.boot, event.sequence)).collect();
        assert_eq!(found, expected, "{context}");
        let untimed = positions(situation.untimed);
        for event in &counted {
            let accepted = &of_device[event.boot as usize - 1][event.sequence as usize - 1];
            assert_eq!(event.device, self.devices[0].names[event.boot as usize - 1], "{context}");
            let is_timed = !untimed.contains(&(event.boot, event.sequence));
            assert_eq!(plain(event.fields.iter()), plain(accepted.iter()), "{context}");
            assert_eq!(
                event.fields.iter().any(|field| field.name == "at_ms"),
                is_timed,
                "{event:?}, {context}"
            );
        }
        self.refused_are_told_of(refused, &context);
    }

    /// With the next hello, which a reconnection brings.
    fn refused_are_told_of(&mut self, refused: u32, context: &str) {
        let rejected = self.situation.steps.iter().any(|step| matches!(step, Step::Fields(_, "refused")));
        let must = rejected || self.situation.counted.is_empty();
        assert_eq!(refused > 0, must, "{context}");
        if must {
            self.device().ask("line 0");
            self.device().ask("line 1");
            let what = format!("{refused} refused to be told of, {context}");
            wait_for(20, &what, || {
                (self.site.count("SELECT refused FROM device") == i64::from(refused)).then_some(())
            });
        }
    }

    /// Each event of both once, those of each in its order.
    fn compare_two(&self, counted: &[Event], context: &str) {
        let counted: Vec<i64> = counted.iter().map(|event| number(&event.fields)).collect();
        for device in &self.devices {
            let accepted: Vec<i64> = device.accepted.iter().flatten().map(|fields| number(fields)).collect();
            let own: Vec<i64> = counted.iter().copied().filter(|n| accepted.contains(n)).collect();
            assert_eq!(own, accepted, "{context}");
        }
        let accepted: usize = self.devices.iter().flat_map(|device| &device.accepted).map(Vec::len).sum();
        assert_eq!(counted.len(), accepted, "{context}");
        let clash = "SELECT clash_at IS NOT NULL FROM device";
        assert_eq!(self.site.count(clash), 1, "somebody is told of the two, {context}");
    }

    /// What the gateway has, in the order in which it came.
    fn counted(&self) -> Vec<Event> {
        let database = self.site.database();
        let mut rows = database
            .prepare("SELECT payload FROM event WHERE topic LIKE 'bellwire/device/%/event' ORDER BY id")
            .unwrap();
        let payloads = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        payloads.map(|payload| Event::decode(&payload.unwrap()).unwrap()).collect()
    }
}

impl Played {
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            self.hellos += process.status()["hellos"];
        }
    }

    /// One that is not started yet loses them when it is.
    fn lose(&mut self, kind: Kind, count: u32) {
        match &mut self.process {
            Some(process) => drop(process.ask(&format!("lose {:02x} {count}", kind.byte()))),
            None => self.lose.push((kind, count)),
        }
    }
}

/// The field `n`.
fn number(fields: &[Field]) -> i64 {
    let number = |field: &Field| match field.value {
        Value::Integer(n) if field.name == "n" => Some(n),
        Value::Integer(_) | Value::Bool(_) | Value::Float(_) | Value::Text(_) => None,
    };
    fields.iter().find_map(number).unwrap()
}

fn positions(ranges: &[(u32, u32, u32)]) -> Vec<(u32, u32)> {
    ranges.iter().flat_map(|(boot, from, to)| (*from..=*to).map(|sequence| (*boot, sequence))).collect()
}

/// Fields have no order, and `at_ms` is the client's.
fn plain<'f>(fields: impl Iterator<Item = &'f Field>) -> BTreeMap<String, Value> {
    let own = fields.filter(|field| field.name != "at_ms");
    own.map(|field| (field.name.as_str().to_owned(), field.value.clone())).collect()
}

pub fn bytes(word: &str) -> Vec<u8> {
    let digits = word.strip_prefix('x').unwrap_or(word);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A field as `fields` reads it.
fn field(word: &str) -> Option<Field> {
    let parts: Vec<&str> = word.splitn(3, ':').collect();
    let name = String::from_utf8(bytes(parts[0])).ok()?;
    let value = match parts[1] {
        "b" => Value::Bool(parts[2] == "1"),
        "i" => Value::Integer(parts[2].parse().ok()?),
        "f" => Value::Float(parts[2].parse().ok()?),
        _ => return Field::text(&name, &String::from_utf8(bytes(parts[2])).ok()?),
    };
    Field::new(&name, value)
}

fn longest() -> String {
    let word = |letter: char, count: usize| format!("x{}", format!("{:02x}", letter as u32).repeat(count));
    let field = |letter| format!("{}:t:{}", word(letter, 24), word(letter, 64));
    ('a'..='l').map(field).collect::<Vec<_>>().join(" ")
}

/// What the page says is malformed: kind and message.
pub fn refused() -> Vec<(Kind, Vec<u8>)> {
    let block = |block: &str| {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        (Kind::from_byte(bytes(value("kind"))[0]).unwrap(), bytes(value("message")))
    };
    PAGE.split("```refused\n").skip(1).map(block).collect()
}
