//! Our own client as a program that a test drives: one command a line on standard input, one line of answer each, and a real
//! connection to a broker beside it. What the commands are is told in tests/it/clients/harness.rs.
//!
//!     harness NAME PORT|serial:PORT STORE|- MEMORY UNIQUE-ID
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a part of a test: it stops when it cannot go on, and goes by the machine's clock"
)]

/// A flash chip in a file.
mod chip;
/// The way to the broker.
mod mqtt;

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use firmware_bridge::client::Device;
use firmware_bridge::flash::FlashQueue;
use firmware_bridge::frame::{Decoder, Encoder, Found};
use firmware_bridge::{Client, Field, Kind, Millis, Outcome, Queue, RamQueue, Refusal, Value};

use chip::Chip;
use mqtt::Mqtt;

/// Any event fits.
const BUFFER: usize = 1_200;
/// Between two attempts to reach the broker.
const AGAIN: Duration = Duration::from_millis(100);

fn unhex(word: &str) -> Vec<u8> {
    let digits = word.strip_prefix('x').unwrap_or(word);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// `NAME:TYPE:VALUE`, names and texts as hexadecimal words; `None`: no field has room for it.
fn field(word: &str) -> Option<Field> {
    let parts: Vec<&str> = word.splitn(3, ':').collect();
    let name = String::from_utf8(unhex(parts[0])).ok()?;
    let value = match parts[1] {
        "b" => Value::Bool(parts[2] == "1"),
        "i" => Value::Integer(parts[2].parse().unwrap()),
        "f" => Value::Float(parts[2].parse().unwrap()),
        _ => return Field::text(&name, &String::from_utf8(unhex(parts[2])).ok()?),
    };
    Field::new(&name, value)
}

struct Harness<Q> {
    client: Client<'static, Q, BUFFER>,
    name: &'static str,
    topic: Option<String>,
    port: u16,
    mqtt: Option<Mqtt>,
    wire: Option<(TcpStream, Decoder<200>)>,
    is_serial: bool,
    wanted: bool,
    again_at: Instant,
    begun: Instant,
    is_connected: bool,
    lose: BTreeMap<u8, u32>,
    hellos: u32,
    connects: u32,
    obeyed: u32,
}

impl<Q: Queue> Harness<Q> {
    fn now(&self) -> Millis {
        self.begun.elapsed().as_millis() as u64
    }

    fn is_lost(&mut self, kind: Kind) -> bool {
        let left = self.lose.entry(kind.byte()).or_default();
        let is_lost = *left > 0;
        *left = left.saturating_sub(1);
        is_lost
    }

    fn disconnect(&mut self) {
        (self.mqtt, self.wire) = (None, None);
        self.is_connected = false;
        self.again_at = Instant::now() + AGAIN;
    }

    fn turn(&mut self) {
        let now = self.now();
        if let Some(command) = self.client.command_to_obey(now) {
            let (id, is_known) = (command.id, command.name == "defrost");
            self.obeyed += 1;
            let (outcome, detail) =
                if is_known { (Outcome::Done, "cooling") } else { (Outcome::Refused, "no such command") };
            self.client.answer(id, outcome, detail);
        }
        if self.is_serial {
            self.turn_wire(now);
        } else if self.mqtt.is_none() && self.wanted && Instant::now() >= self.again_at {
            let id = format!("{:.30}-{}", self.name, std::process::id());
            self.mqtt = Mqtt::connect(self.port, &id, self.topic.clone());
            self.again_at = Instant::now() + AGAIN;
        }
        match self.mqtt.as_mut().map(Mqtt::hear) {
            Some(Some(packets)) => packets.iter().for_each(|packet| self.heard(packet)),
            Some(None) => self.disconnect(),
            None => {}
        }
        while self.is_connected
            && let Some(said) = self.client.poll(now)
        {
            let (kind, name, message) = (said.kind, said.name.to_owned(), said.message.to_vec());
            self.hellos += u32::from(kind == Kind::Hello);
            let is_lost = self.is_lost(kind);
            if !is_lost && !self.send(&name, kind, &message) {
                self.disconnect();
            }
        }
    }

    fn send(&mut self, name: &str, kind: Kind, message: &[u8]) -> bool {
        match (&mut self.mqtt, &mut self.wire) {
            (Some(mqtt), _) => mqtt.publish(name, kind, message),
            (None, Some((line, _))) => {
                line.write_all(&Encoder::new(kind, message).collect::<Vec<u8>>()).is_ok()
            }
            (None, None) => false,
        }
    }

    /// A serial line over TCP.
    fn turn_wire(&mut self, now: Millis) {
        if self.wire.is_none() && self.wanted && Instant::now() >= self.again_at {
            let Ok(line) = TcpStream::connect(("127.0.0.1", self.port)) else { return self.disconnect() };
            line.set_nonblocking(true).unwrap();
            self.wire = Some((line, Decoder::default()));
            self.is_connected = true;
            self.connects += 1;
            self.client.connected();
        }
        let Some((line, decoder)) = &mut self.wire else { return };
        let mut bytes = [0; 4_096];
        let count = match line.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Ok(0) | Err(_) => return self.disconnect(),
            Ok(count) => count,
        };
        for byte in &bytes[..count] {
            match decoder.push(*byte) {
                Found::Frame { kind: Some(kind), message } => self.client.receive(kind, message, now),
                Found::Damaged => self.client.damaged(),
                Found::Frame { kind: None, .. } | Found::Nothing => {}
            }
        }
    }

    fn heard(&mut self, packet: &[u8]) {
        let Some(mqtt) = &mut self.mqtt else { return };
        if packet[0] == 0x20 {
            mqtt.subscribe(self.client.name());
            if self.client.name() != self.name {
                mqtt.subscribe(self.name);
            }
            self.is_connected = true;
            self.connects += 1;
            self.client.connected();
        } else if packet[0] >> 4 == 3 {
            let mut at = 3 + usize::from(packet[2]);
            let topic = std::str::from_utf8(&packet[3..at]).unwrap();
            let (start, level) = topic.rsplit_once('/').unwrap();
            let kind = Kind::from_topic_level(level).unwrap();
            let is_own = mqtt.name.is_some() || start.ends_with(&format!("/{}", self.client.name()));
            if packet[0] & 6 == 2 {
                mqtt.send(0x40, &packet[at..at + 2]);
                at += 2;
            }
            if !self.is_lost(kind) && is_own {
                let now = self.now();
                self.client.receive(kind, &packet[at..], now);
            }
        }
    }

    fn obey(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let now = self.now();
        match words[0] {
            "emit" => {
                let (events, first): (i64, i64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
                let accepted = (first..first + events).filter(|n| {
                    let celsius = Field::new("celsius", Value::Float(-18.0)).unwrap();
                    self.client.event(&[celsius, Field::new("n", Value::Integer(*n)).unwrap()], now).is_ok()
                });
                let accepted = accepted.count() as i64;
                format!("{accepted} {}", events - accepted)
            }
            "fields" => match words[1..].iter().map(|word| field(word)).collect::<Option<Vec<_>>>() {
                Some(fields) => status(self.client.event(&fields, now)).to_owned(),
                None => "refused".to_owned(), // its type has no room for it, so the client is not even asked
            },
            "lose" => {
                self.lose.insert(u8::from_str_radix(words[1], 16).unwrap(), words[2].parse().unwrap());
                "ok".to_owned()
            }
            "line" => {
                self.wanted = words[1] == "1";
                self.disconnect();
                "ok".to_owned()
            }
            "topic" => {
                self.topic = words.get(1).map(|name| (*name).to_owned());
                self.disconnect();
                "ok".to_owned()
            }
            "status" => self.status(),
            other => panic!("{other} is no command of this program"),
        }
    }

    fn status(&self) -> String {
        let counters = self.client.counters();
        format!(
            "boot={} welcomed={} queued={} refused={} hellos={} connects={} obeyed={} damaged={} renumbered={}",
            self.client.boot().unwrap_or(0),
            u8::from(self.client.is_welcomed()),
            self.client.queued(),
            counters.refused(),
            self.hellos,
            self.connects,
            self.obeyed,
            counters.get(firmware_bridge::count::Count::Damaged),
            counters.get(firmware_bridge::count::Count::Renumbered),
        )
    }
}

fn status(result: Result<u32, Refusal>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Refusal::Full) => "full",
        Err(Refusal::Storage) => "storage",
        Err(Refusal::TooLarge | Refusal::Malformed) => "refused",
    }
}

fn run<Q: Queue>(queue: Q, name: &'static str, port: &str, unique_id: &str) {
    let is_serial = port.starts_with("serial:");
    let port = port.rsplit(':').next().unwrap().parse().unwrap();
    let time = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let seed = time ^ std::process::id() << 16;
    let device = Device { id: name, firmware: "rust 1", commands: &["defrost"], seed };
    let client = Client::new(device, queue).unwrap();
    let client = if unique_id == "-" { client } else { client.with_unique_id(&unhex(unique_id)) };
    let now = Instant::now();
    let mut harness = Harness {
        client,
        name,
        topic: None,
        port,
        mqtt: None,
        wire: None,
        is_serial,
        wanted: true,
        again_at: now,
        begun: now,
        is_connected: false,
        lose: BTreeMap::new(),
        hellos: 0,
        connects: 0,
        obeyed: 0,
    };
    let (told, commands) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            told.send(line).unwrap();
        }
    });
    loop {
        match commands.recv_timeout(Duration::from_millis(5)) {
            Ok(line) => println!("{}", harness.obey(&line)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::process::exit(0),
        }
        harness.turn();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, port, store, memory, unique_id] = &arguments[..] else {
        panic!("five arguments: see above")
    };
    let name = &*name.clone().leak();
    if store == "-" {
        run(RamQueue::<8_192>::new(), name, port, unique_id);
    } else {
        let chip = Chip::open(store, memory.parse().unwrap());
        run(FlashQueue::<_, BUFFER>::open(chip).unwrap(), name, port, unique_id);
    }
}
