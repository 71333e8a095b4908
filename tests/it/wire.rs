//! The device's end of a wire, byte by byte: what it says is the test's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bellwire_tests::{Cable, wait_for};
use firmware_bridge::frame::{Decoder, Encoder, Found};
use firmware_bridge::message::{Ack, Hello, Welcome};
use firmware_bridge::{Event, Field, Kind, Position, Value};

pub struct Wire {
    line: TcpStream,
    decoder: Decoder<200>,
    /// Of the last hello; each has the next one.
    token: u32,
}

impl Wire {
    pub fn connect(cable: &Cable) -> Self {
        let address = cable.device.strip_prefix("tcp:").unwrap();
        let line = TcpStream::connect(address).unwrap();
        line.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Self { line, decoder: Decoder::default(), token: 0 }
    }

    /// Says hello until it is welcomed: the gateway may not have opened its port yet.
    pub fn greet(&mut self, device: &str, boot: u32) -> Welcome {
        let (oldest, firmware) = (Position::default(), "test");
        wait_for(20, "a welcome", || {
            self.token += 1;
            let commands = [].into_iter().collect();
            let hello =
                Hello { device, boot, token: self.token, oldest, queued: 0, refused: 0, firmware, commands };
            self.say(Kind::Hello, hello.encode(&mut [0; 200]).unwrap());
            let (_, welcome) = self.hear(Duration::from_millis(300), Kind::Welcome)?;
            Welcome::decode(&welcome).ok()
        })
    }

    pub fn event(&mut self, device: &str, at: Position) {
        let fields = [Field::new("celsius", Value::Float(-9.5)).unwrap()].into_iter().collect();
        let event =
            Event { device: device.try_into().unwrap(), boot: at.boot, sequence: at.sequence, fields };
        self.say(Kind::Event, event.encode(&mut [0; 200]).unwrap());
    }

    pub fn acknowledged(&mut self, patience: Duration) -> Option<Position> {
        self.hear(patience, Kind::Ack).map(|(_, ack)| Ack::decode(&ack).unwrap().counted)
    }

    /// What is no frame.
    pub fn noise(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).unwrap();
    }

    fn say(&mut self, kind: Kind, message: &[u8]) {
        let frame: Vec<u8> = Encoder::new(kind, message).collect();
        self.line.write_all(&frame).unwrap();
    }

    fn hear(&mut self, patience: Duration, wanted: Kind) -> Option<(Kind, Vec<u8>)> {
        let end = Instant::now() + patience;
        let mut byte = [0];
        while Instant::now() < end {
            if self.line.read(&mut byte).is_ok_and(|count| count == 1)
                && let Found::Frame { kind: Some(kind), message } = self.decoder.push(byte[0])
                && kind == wanted
            {
                return Some((kind, message.to_vec()));
            }
        }
        None
    }
}
