//! A broker that does as a test says: the answers that no real one gives on demand. Packets as in MQTT 3.1.1 and 5,
//! chapter 3; only what the gateway uses.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Its listener; each connection is played by hand.
pub struct Scripted {
    pub port: u16,
    listener: TcpListener,
}

/// The packet identifier of what goes back to the gateway by itself.
const LOOPED: u16 = u16::MAX;

/// One connection. The gateway's own test message goes back to it without the test's doing, and is not seen by it.
pub struct Session {
    stream: TcpStream,
    v5: bool,
    loopback: Loopback,
    /// Test messages that came, and are back where that is meant.
    pub looped: usize,
    /// Read, and not yet asked for.
    waiting: Option<Packet>,
}

/// What happens to the gateway's own test message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// It goes back.
    Back,
    /// It is acknowledged, and nothing comes.
    Swallowed,
    /// Nothing at all comes.
    Unanswered,
    /// It is refused with this reason (MQTT 5).
    Refused(u8),
    /// To subscribe to it is refused with this reason.
    Unread(u8),
}

fn is_loopback(topic: &str) -> bool {
    topic.starts_with("bellwire/") && topic.ends_with("/loopback")
}

/// A packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub kind: Kind,
    /// `DUP`, of a PUBLISH.
    pub dup: bool,
    /// Packet identifier; 0 where there is none.
    pub id: u16,
    /// Topic of a PUBLISH.
    pub topic: String,
    pub payload: Vec<u8>,
    /// Filters of a SUBSCRIBE.
    pub filters: usize,
    /// The same by name, and those of an UNSUBSCRIBE.
    pub names: Vec<String>,
    /// The subscription identifier of a SUBSCRIBE (MQTT 5).
    pub identifier: Option<u32>,
    pub retain: bool,
    pub qos: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Connect,
    Publish,
    PubAck,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
}

impl Scripted {
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        Self { port: listener.local_addr().expect("bound").port(), listener }
    }

    /// The next connection, with its CONNECT read; panics when none comes.
    #[must_use]
    pub fn accept(&self, seconds: u64) -> Session {
        let stream = crate::wait_for(seconds, "a connection", || self.listener.accept().ok()).0;
        stream.set_nonblocking(false).expect("set");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let mut session = Session { stream, v5: true, loopback: Loopback::Back, looped: 0, waiting: None };
        let connect = session.read().expect("CONNECT");
        assert_eq!(connect.kind, Kind::Connect);
        session.v5 = connect.id == 5; // the protocol level
        session
    }

    /// Connections that wait to be accepted, dropped at once.
    #[must_use]
    pub fn refuse_for(&self, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut refused = 0;
        while Instant::now() < end {
            match self.listener.accept() {
                Ok(_) => refused += 1,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        refused
    }
}

impl Session {
    /// CONNACK, SUBACK for the subscription, PUBACK for `online`, in whichever order they are asked for: what every
    /// connection starts with.
    pub fn welcome(&mut self, session_present: bool) {
        self.connack(session_present);
        let (mut subscribed, mut online) = (false, false);
        while !(subscribed && online) {
            let packet = self.read().expect("the connection ended before it was welcome");
            match packet.kind {
                Kind::Subscribe => {
                    self.suback(packet.id, &vec![1; packet.filters]);
                    subscribed = true;
                }
                Kind::Publish => {
                    self.puback(packet.id, 0);
                    online = online || packet.payload == b"online";
                }
                Kind::Connect | Kind::PubAck | Kind::Unsubscribe | Kind::PingReq | Kind::Disconnect => {}
            }
        }
    }

    /// From now on.
    pub fn loop_as(&mut self, loopback: Loopback) {
        self.loopback = loopback;
    }

    /// Plays on until that many test messages have come, or until the time is over; `false` if it is.
    pub fn loops_within(&mut self, count: usize, time: Duration) -> bool {
        let end = Instant::now() + time;
        while self.looped < count {
            if !self.is_readable_until(end) || self.step().is_none() {
                return false;
            }
        }
        true
    }

    /// DISCONNECT (MQTT 5).
    pub fn say_goodbye(mut self, reason: u8) {
        self.send(0xe0, vec![reason, 0]);
    }

    pub fn connack(&mut self, session_present: bool) {
        self.connack_with(session_present, 0, &[]);
    }

    /// With a reason, and properties as they are on the wire (MQTT 5, 3.2.2.3).
    pub fn connack_with(&mut self, session_present: bool, reason: u8, properties: &[u8]) {
        let mut body = vec![u8::from(session_present), reason];
        body.extend(self.v5.then_some(u8::try_from(properties.len()).expect("few properties")));
        body.extend_from_slice(properties);
        self.send(0x20, body);
    }

    /// One code a filter: 0 to 2 granted, 0x80 and more refused.
    pub fn suback(&mut self, id: u16, codes: &[u8]) {
        let mut body = id.to_be_bytes().to_vec();
        body.extend(self.v5.then_some(0));
        body.extend_from_slice(codes);
        self.send(0x90, body);
    }

    /// A reason other than 0 exists in MQTT 5 alone.
    pub fn puback(&mut self, id: u16, reason: u8) {
        let mut body = id.to_be_bytes().to_vec();
        body.extend((self.v5 && reason != 0).then_some(reason));
        self.send(0x40, body);
    }

    /// Each of them was subscribed to no more (0) in MQTT 5; 3.1.1 says nothing of each.
    pub fn unsuback(&mut self, id: u16, count: usize) {
        let mut body = id.to_be_bytes().to_vec();
        if self.v5 {
            body.extend(vec![0; count + 1]);
        }
        self.send(0xb0, body);
    }

    /// At QoS 1.
    pub fn publish(&mut self, topic: &str, id: u16, dup: bool, payload: &[u8]) {
        self.publish_for(topic, (id, dup), payload, &[]);
    }

    /// As a copy for subscriptions of these identifiers (MQTT 5, 3.3.2.3.8).
    pub fn publish_for(&mut self, topic: &str, (id, dup): (u16, bool), payload: &[u8], identifiers: &[u32]) {
        let mut properties = Vec::new();
        for identifier in identifiers {
            properties.push(0x0b);
            let mut left = *identifier;
            while left >= 128 {
                properties.push((left % 128) as u8 | 0x80);
                left /= 128;
            }
            properties.push(left as u8);
        }
        let mut body = u16::try_from(topic.len()).expect("a short topic").to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&id.to_be_bytes());
        if self.v5 {
            body.push(u8::try_from(properties.len()).expect("few identifiers"));
            body.extend(properties);
        }
        body.extend_from_slice(payload);
        self.send(0x32 | (u8::from(dup) << 3), body);
    }

    fn send(&mut self, first: u8, body: Vec<u8>) {
        let mut packet = vec![first];
        let mut left = body.len();
        loop {
            let low = u8::try_from(left % 128).expect("below 128");
            left /= 128;
            packet.push(if left > 0 { low | 0x80 } else { low });
            if left == 0 {
                break;
            }
        }
        packet.extend(body);
        drop(self.stream.write_all(&packet)); // the other side may have gone: the next read tells
    }

    /// The next packet of that kind; pings are answered, others are passed over.
    pub fn expect(&mut self, kind: Kind) -> Packet {
        loop {
            let packet = self.read().unwrap_or_else(|| panic!("the connection ended before {kind:?}"));
            if packet.kind == kind {
                return packet;
            }
        }
    }

    /// Whether something comes within that time.
    pub fn has_packet_within(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while self.waiting.is_none() && self.is_readable_until(end) {
            match self.step() {
                None => return false,
                Some(packet) => self.waiting = packet,
            }
        }
        self.waiting.is_some()
    }

    /// Something is there, or the other side has ended the connection.
    fn is_readable_until(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).expect("set");
        let found = self.stream.peek(&mut [0; 1]).is_ok();
        self.stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        found
    }

    /// Whether the other side ends the connection within that time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while self.is_readable_until(end) {
            if self.step().is_none() {
                return true;
            }
        }
        false
    }

    /// Says nothing at all, not even to pings, until the other side ends the connection.
    pub fn keep_silent(mut self, limit: Duration) -> Duration {
        let began = Instant::now();
        self.stream.set_read_timeout(Some(limit)).expect("set");
        let mut buffer = [0; 4_096];
        while let Ok(count) = self.stream.read(&mut buffer) {
            if count == 0 {
                break;
            }
        }
        began.elapsed()
    }

    /// `None`: the connection ended. A silence of 10 s is a failure of the test.
    pub fn read(&mut self) -> Option<Packet> {
        if let Some(packet) = self.waiting.take() {
            return Some(packet);
        }
        loop {
            if let Some(packet) = self.step()? {
                return Some(packet);
            }
        }
    }

    /// The next packet, unless it is about the test message.
    fn step(&mut self) -> Option<Option<Packet>> {
        let packet = self.next()?;
        let is_about_it = match packet.kind {
            Kind::Publish => is_loopback(&packet.topic),
            Kind::Subscribe => packet.names.iter().any(|name| is_loopback(name)),
            Kind::PubAck => packet.id == LOOPED,
            Kind::Connect | Kind::Unsubscribe | Kind::PingReq | Kind::Disconnect => false,
        };
        if !is_about_it {
            return Some(Some(packet));
        }
        match (packet.kind, self.loopback) {
            (Kind::Subscribe, Loopback::Unread(reason)) => self.suback(packet.id, &[reason]),
            (Kind::Subscribe, _) => self.suback(packet.id, &[1]),
            (Kind::Publish, loopback) => {
                match loopback {
                    Loopback::Unanswered => {}
                    Loopback::Refused(reason) => self.puback(packet.id, reason),
                    Loopback::Back | Loopback::Swallowed | Loopback::Unread(_) if packet.qos == 0 => {}
                    Loopback::Back | Loopback::Swallowed | Loopback::Unread(_) => self.puback(packet.id, 0),
                }
                if loopback == Loopback::Back {
                    self.publish(&packet.topic, LOOPED, false, &packet.payload);
                } else {
                    self.looped += 1;
                }
            }
            (Kind::PubAck, _) => self.looped += 1,
            (Kind::Connect | Kind::Unsubscribe | Kind::PingReq | Kind::Disconnect, _) => {}
        }
        Some(None)
    }

    fn next(&mut self) -> Option<Packet> {
        let mut first = [0; 1];
        match self.stream.read_exact(&mut first) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("10 s without a packet")
            }
            Err(_) => return None,
        }
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let mut byte = [0; 1];
            self.stream.read_exact(&mut byte).ok()?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        let packet = self.parse(first[0], &body);
        if packet.kind == Kind::PingReq {
            self.send(0xd0, Vec::new());
        }
        Some(packet)
    }

    fn parse(&self, first: u8, body: &[u8]) -> Packet {
        let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let mut packet = Packet {
            kind: Kind::PingReq,
            dup: first & 8 != 0,
            id: 0,
            topic: String::new(),
            payload: Vec::new(),
            filters: 0,
            names: Vec::new(),
            identifier: None,
            retain: first & 1 != 0,
            qos: first >> 1 & 3,
        };
        match first >> 4 {
            1 => (packet.kind, packet.id) = (Kind::Connect, u16::from(body[6])),
            3 => {
                packet.kind = Kind::Publish;
                let mut at = 2 + usize::from(number(0));
                packet.topic = String::from_utf8_lossy(&body[2..at]).into_owned();
                if first & 6 != 0 {
                    packet.id = number(at);
                    at += 2;
                }
                packet.payload = body[self.after_properties(body, at)..].to_vec();
            }
            4 => (packet.kind, packet.id) = (Kind::PubAck, number(0)),
            8 => {
                (packet.kind, packet.id) = (Kind::Subscribe, number(0));
                let mut at = self.after_properties(body, 2);
                packet.identifier = if at > 4 { identifier(&body[3..at]) } else { None };
                while at < body.len() {
                    let end = at + 2 + usize::from(number(at));
                    packet.names.push(String::from_utf8_lossy(&body[at + 2..end]).into_owned());
                    at = end + 1; // its options
                    packet.filters += 1;
                }
            }
            10 => {
                (packet.kind, packet.id) = (Kind::Unsubscribe, number(0));
                let mut at = self.after_properties(body, 2);
                while at < body.len() {
                    let end = at + 2 + usize::from(number(at));
                    packet.names.push(String::from_utf8_lossy(&body[at + 2..end]).into_owned());
                    at = end;
                }
            }
            12 => {}
            14 => packet.kind = Kind::Disconnect,
            other => panic!("a packet of type {other} that the gateway has no reason to send"),
        }
        packet
    }

    fn after_properties(&self, body: &[u8], at: usize) -> usize {
        if !self.v5 {
            return at;
        }
        let (low, high) = (usize::from(body[at]), usize::from(body.get(at + 1).copied().unwrap_or(0)));
        if low < 128 { at + 1 + low } else { at + 2 + (low & 0x7f) + (high << 7) }
    }
}

/// The only property that the gateway gives a SUBSCRIBE.
fn identifier(properties: &[u8]) -> Option<u32> {
    let (kind, bytes) = properties.split_first()?;
    assert_eq!(*kind, 0x0b, "a property that the gateway has no reason to send");
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
    }
    Some(value)
}
