//! MQTT 3.1.1, blocking: CONNECT, PUBLISH, SUBSCRIBE and their answers.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, bail};

pub struct Client {
    stream: TcpStream,
    heard: Vec<u8>,
    used: usize,
}

/// What the broker sent.
pub enum Packet {
    Publish {
        topic: String,
        payload: Vec<u8>,
        id: u16,
        /// How long the remaining of the packet was does not matter; whether it wants an answer does.
        qos1: bool,
    },
    Acknowledged,
    Other,
}

impl Client {
    pub fn connect(port: u16, id: &str, clean: bool) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, heard: Vec::new(), used: 0 };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, if clean { 2 } else { 0 }, 0, 0];
        text(&mut body, id);
        let mut packet = Vec::new();
        frame(&mut packet, 0x10, &body);
        client.stream.write_all(&packet)?;
        let (kind, body) = client.packet()?;
        if kind != 0x20 || body.get(1) != Some(&0) {
            bail!("the broker refused the connection");
        }
        Ok(client)
    }

    pub fn subscribe(&mut self, filter: &str) -> Result<()> {
        let mut body = vec![0, 1];
        text(&mut body, filter);
        body.push(1);
        let mut packet = Vec::new();
        frame(&mut packet, 0x82, &body);
        self.stream.write_all(&packet)?;
        while self.packet()?.0 != 0x90 {}
        Ok(())
    }

    pub fn send(&mut self, packets: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(packets)?)
    }

    pub fn acknowledge(&mut self, id: u16) -> Result<()> {
        let [high, low] = id.to_be_bytes();
        self.send(&[0x40, 2, high, low])
    }

    pub fn close(mut self) -> Result<()> {
        self.send(&[0xe0, 0])
    }

    pub fn hear(&mut self) -> Result<Packet> {
        let (kind, body) = self.packet()?;
        Ok(match kind & 0xf0 {
            0x30 => publish(kind, &body)?,
            0x40 => Packet::Acknowledged,
            _ => Packet::Other,
        })
    }

    /// Whether a whole packet has been read already.
    pub fn has_more(&self) -> bool {
        whole(&self.heard[self.used..]).is_some()
    }

    fn packet(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((head, length)) = whole(&self.heard[self.used..]) {
                let start = self.used + head;
                let kind = self.heard[self.used];
                self.used = start + length;
                return Ok((kind, self.heard[start..start + length].to_vec()));
            }
            self.heard.drain(..self.used);
            self.used = 0;
            let mut buffer = [0; 65_536];
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                bail!("the broker closed the connection");
            }
            self.heard.extend_from_slice(&buffer[..read]);
        }
    }
}

/// The lengths of header and body, if all of it is there.
fn whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let head = index + 2;
            return (bytes.len() >= head + length).then_some((head, length));
        }
    }
    None
}

fn publish(kind: u8, body: &[u8]) -> Result<Packet> {
    let length = |at: usize| body.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (Some(topic_length), qos1) = (length(0), kind & 0x06 != 0) else { bail!("half a packet") };
    let topic_end = 2 + usize::from(topic_length);
    let id = if qos1 { length(topic_end).unwrap_or(0) } else { 0 };
    let start = topic_end + if qos1 { 2 } else { 0 };
    let topic = String::from_utf8_lossy(body.get(2..topic_end).unwrap_or_default()).into_owned();
    Ok(Packet::Publish { topic, payload: body.get(start..).unwrap_or_default().to_vec(), id, qos1 })
}

/// Appends a PUBLISH at QoS 1.
pub fn encode(packets: &mut Vec<u8>, topic: &str, payload: &[u8], id: u16) {
    let length = 2 + topic.len() + 2 + payload.len();
    packets.push(0x32);
    remaining(packets, length);
    text(packets, topic);
    packets.extend_from_slice(&id.to_be_bytes());
    packets.extend_from_slice(payload);
}

fn frame(packets: &mut Vec<u8>, kind: u8, body: &[u8]) {
    packets.push(kind);
    remaining(packets, body.len());
    packets.extend_from_slice(body);
}

fn remaining(packets: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        packets.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            return;
        }
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}
