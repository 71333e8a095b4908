//! A gateway at the end of a byte stream: the crate's decoder and [`Link`], with a list for a disk.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use firmware_bridge::frame::{Decoder, Encoder, Found, OVERHEAD_BYTES};
use firmware_bridge::gateway::{End, Greeting, Link, Step, Verdict};
use firmware_bridge::message::{Command, CommandResult, Hello, TO_GATEWAY_MAX_BYTES};
use firmware_bridge::{Event, Kind};

#[derive(Default)]
pub struct Gateway {
    link: Link,
    decoder: Decoder<{ TO_GATEWAY_MAX_BYTES + OVERHEAD_BYTES }>,
    pub events: Vec<Event>,
    pub hello: Option<String>,
    pub ended: Option<(End, String)>,
    /// Every so many bytes of the device are changed, so that frames are damaged.
    pub damage_every: Option<usize>,
    bytes: usize,
}

impl Gateway {
    /// Serves until `done`, or the device hangs up.
    pub fn serve(&mut self, line: &mut TcpStream, done: impl Fn(&Self) -> bool) {
        line.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut bytes = [0; 512];
        while !done(self) {
            let count = match line.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
                Err(_) => return,
            };
            let mut out = Vec::new();
            for byte in &bytes[..count] {
                self.bytes += 1;
                let damaged = self.damage_every.is_some_and(|every| self.bytes.is_multiple_of(every));
                let byte = if damaged { byte ^ 0x10 } else { *byte };
                let found = match self.decoder.push(byte) {
                    Found::Frame { kind: Some(kind), message } => Some((kind, message.to_vec())),
                    Found::Frame { kind: None, .. } | Found::Damaged | Found::Nothing => None,
                };
                if let Some((kind, message)) = found {
                    self.receive(kind, &message, &mut out);
                }
            }
            if let Some(Step::Send(command)) = self.link.step(unix_ms()) {
                let (boot, id, expires_at_ms) = (command.boot, command.id, command.expires_at_ms);
                let payload = br#"{"defrost": false}"#;
                let command = Command { boot, id, expires_at_ms, name: "defrost", payload };
                let mut buffer = [0; 200];
                out.extend(Encoder::new(Kind::Command, command.encode(&mut buffer).unwrap()));
            }
            if line.write_all(&out).is_err() {
                return;
            }
        }
    }

    /// Asks the device to stop its defrosting.
    pub fn command(&mut self, id: u64) {
        let command = self.link.begin(id, unix_ms() + 60_000).expect("a device that said hello");
        self.link.recorded(command.id);
    }

    fn receive(&mut self, kind: Kind, message: &[u8], out: &mut Vec<u8>) {
        let mut buffer = [0; 64];
        match kind {
            Kind::Hello => {
                let hello = Hello::decode(message).expect("a hello");
                let answer = match self.link.hello(&hello, 0, unix_ms()) {
                    Greeting::Wait => return,
                    Greeting::Known(answer) => answer,
                    Greeting::Save { saved, gap, answer } => {
                        assert_eq!(gap, None);
                        self.link.greeted(saved);
                        answer
                    }
                };
                self.hello = (hello.boot > 0).then(|| format!("{} {:?}", hello.firmware, hello.commands));
                let welcome = answer.welcome(hello.token, unix_ms());
                out.extend(Encoder::new(Kind::Welcome, welcome.encode(&mut buffer).unwrap()));
            }
            Kind::Event => {
                let event = Event::decode(message).expect("an event");
                let ack = match self.link.event(event.position()) {
                    Verdict::Take(_) => {
                        let at = event.position();
                        self.events.push(event);
                        self.link.committed(at)
                    }
                    Verdict::Again(ack) | Verdict::OutOfOrder(ack) => ack,
                    Verdict::Wait => return,
                };
                out.extend(Encoder::new(Kind::Ack, ack.encode(&mut buffer).unwrap()));
            }
            Kind::Result => {
                let result = CommandResult::decode(message).expect("a result");
                if let Some(Step::Ended(id, end)) = self.link.result(&result) {
                    self.ended = Some((end, result.detail.to_owned()));
                    self.link.settled(id);
                }
            }
            Kind::Welcome | Kind::Ack | Kind::Command | Kind::Version => panic!("{kind:?} to the gateway"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a real process is at the other end, with the machine's clock")]
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
