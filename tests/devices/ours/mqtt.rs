use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use firmware_bridge::Kind;

/// As much of MQTT 3.1.1 as a device needs.
pub struct Mqtt {
    line: TcpStream,
    received: Vec<u8>,
    packet: u16,
    /// In topics instead of the device's, if the test wants one.
    pub name: Option<String>,
}

impl Mqtt {
    pub fn connect(port: u16, id: &str, name: Option<String>) -> Option<Self> {
        let line = TcpStream::connect(("127.0.0.1", port)).ok()?;
        line.set_nodelay(true).ok()?;
        line.set_nonblocking(true).ok()?;
        let mut mqtt = Self { line, received: Vec::new(), packet: 0, name };
        let start = [0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
        mqtt.send(0x10, &[&start[..], &text(id)].concat()).then_some(mqtt)
    }

    fn next_packet(&mut self) -> [u8; 2] {
        self.packet = self.packet % 60_000 + 1;
        self.packet.to_be_bytes()
    }

    fn topic(&self, name: &str, kind: Kind) -> Vec<u8> {
        text(&format!("bellwire/device/{}/{}", self.name.as_deref().unwrap_or(name), kind.topic_level()))
    }

    pub fn send(&mut self, kind: u8, body: &[u8]) -> bool {
        let mut packet = vec![kind];
        let mut length = body.len();
        loop {
            packet.push((length % 128) as u8 | if length > 127 { 128 } else { 0 });
            length /= 128;
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.line.write_all(&packet).is_ok()
    }

    pub fn subscribe(&mut self, name: &str) {
        for kind in Kind::TO_DEVICE {
            let packet = self.next_packet();
            let body = [&packet[..], &self.topic(name, kind), &[1]].concat();
            self.send(0x82, &body);
        }
    }

    pub fn publish(&mut self, name: &str, kind: Kind, message: &[u8]) -> bool {
        let packet = self.next_packet();
        let (first, packet) = if kind == Kind::Event { (0x30, &[][..]) } else { (0x32, &packet[..]) };
        self.send(first, &[&self.topic(name, kind), packet, message].concat())
    }

    /// Packets that came; `None`: the connection is over.
    pub fn hear(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut bytes = [0; 4_096];
        match self.line.read(&mut bytes) {
            Ok(0) => return None,
            Ok(count) => self.received.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
        let mut packets = Vec::new();
        while let Some((head, length)) = head_of(&self.received)
            && self.received.len() >= head + length
        {
            let packet: Vec<u8> = self.received.drain(..head + length).collect();
            packets.push([&packet[..1], &packet[head..]].concat());
        }
        Some(packets)
    }
}

/// How long a packet's head is, and what follows.
fn head_of(received: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in received.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Some((at + 1, length));
        }
    }
    None
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}
