//! A burst of a device's events over MQTT: one acknowledgement for many, and nothing waits for a clock.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bellwire_tests::{Broker, Gateway, Simulator, Site, wait_for};
use firmware_bridge::client::Device;
use firmware_bridge::{Client, Field, Kind, RamQueue, Value};

const NAME: &str = "burst-1";
/// Ten thousand with `BELLWIRE_BURST=10000`, for the figures in docs/device-protocol.md.
const EVENTS: i64 = 1_500;
/// A measure of a busy machine, not of ours: with a delayed acknowledgement each eight took 90 ms, so these 17 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// As much of MQTT 3.1.1 as a device needs.
struct Mqtt {
    line: TcpStream,
    received: Vec<u8>,
    packet: u16,
    /// Of its events; all else goes with 1.
    qos: u8,
}

impl Mqtt {
    fn connect(port: u16, qos: u8) -> Self {
        let line = TcpStream::connect(("127.0.0.1", port)).unwrap();
        line.set_nodelay(true).unwrap();
        line.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut mqtt = Self { line, received: Vec::new(), packet: 0, qos };
        let mut connect = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
        connect.extend(text(NAME));
        mqtt.send(0x10, &connect);
        for kind in Kind::TO_DEVICE {
            let packet = mqtt.next_packet();
            let filter = text(&format!("bellwire/device/{NAME}/{}", kind.topic_level()));
            mqtt.send(0x82, &[&packet[..], &filter, &[1]].concat());
        }
        mqtt
    }

    fn next_packet(&mut self) -> [u8; 2] {
        self.packet = self.packet % 60_000 + 1;
        self.packet.to_be_bytes()
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
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
        self.line.write_all(&packet).unwrap();
    }

    fn publish(&mut self, kind: Kind, message: &[u8]) {
        let packet = self.next_packet();
        let topic = text(&format!("bellwire/device/{NAME}/{}", kind.topic_level()));
        let is_qos1 = kind != Kind::Event || self.qos == 1;
        let packet = if is_qos1 { &packet[..] } else { &[] };
        self.send(if is_qos1 { 0x32 } else { 0x30 }, &[&topic, packet, message].concat());
    }

    /// What came for the device.
    fn hear(&mut self) -> Vec<(Kind, Vec<u8>)> {
        let mut bytes = [0; 4_096];
        let read = self.line.read(&mut bytes);
        let is_quiet =
            |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        if !read.as_ref().is_err_and(is_quiet) {
            let count = read.expect("the broker is there");
            self.received.extend_from_slice(&bytes[..count]);
        }
        let mut heard = Vec::new();
        // No packet to us has more than 127 bytes of body but a command, and nobody commands.
        while self.received.len() >= 2 && self.received.len() >= 2 + usize::from(self.received[1]) {
            let packet: Vec<u8> = self.received.drain(..2 + usize::from(self.received[1])).collect();
            if packet[0] & 0xf0 == 0x30 {
                let topic_end = 4 + usize::from(packet[3]);
                let level = std::str::from_utf8(&packet[4..topic_end]).unwrap().rsplit('/').next().unwrap();
                let is_qos1 = packet[0] & 6 == 2;
                if is_qos1 {
                    self.send(0x40, &packet[topic_end..topic_end + 2]);
                }
                let payload = packet[topic_end + if is_qos1 { 2 } else { 0 }..].to_vec();
                heard.push((Kind::from_topic_level(level).unwrap(), payload));
            }
        }
        heard
    }
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

#[test]
fn a_burst_over_mqtt_is_counted_once_and_acknowledged_together() {
    let (took, acks) = burst(0, "");
    println!("{} events in {:.1} s, {acks} acknowledgements", events(), took.as_secs_f64());
}

/// The broker's answers to QoS 1 are small packets before the gateway's acknowledgement. With Nagle's algorithm, as mosquitto is
/// unless it is told otherwise, each window of eight events waits 40 ms for the device's system to acknowledge them: 57 s for
/// 10,000 events instead of 8.
#[test]
fn a_burst_is_as_fast_with_the_packages_settings() {
    let setting =
        include_str!("../../config/mosquitto.conf").lines().find(|line| line.starts_with("set_tcp"));
    let setting = setting.expect("the package's settings of the broker say it");
    // Three tries: a busy machine is no fault of ours, and no try can come below what the waits alone take.
    let waits = Duration::from_millis(u64::try_from(events() / 8 * 40).unwrap());
    let mut took = Vec::new();
    while took.len() < 3 && took.iter().all(|took| *took >= waits * 2 / 3) {
        took.push(burst(1, setting).0);
    }
    println!("{} events in {took:.1?}", events());
    assert!(took.iter().any(|took| *took < waits * 2 / 3), "each window waits for a timer: {took:?}");
}

fn events() -> i64 {
    std::env::var("BELLWIRE_BURST").map_or(EVENTS, |events| events.parse().unwrap())
}

/// How long it took, and how many acknowledgements.
fn burst(qos: u8, of_broker: &str) -> (Duration, i64) {
    let events = events();
    let broker = Broker::start_with(of_broker);
    let site = Site::new(broker.port, crate::fleet::DEVICES);
    let (_simulator, gateway) = (Simulator::start(&site), Gateway::start(&site));
    let device = Device { id: NAME, firmware: "burst", commands: &[], seed: 7 };
    let mut client = Client::<_, 256>::new(device, RamQueue::<2_048>::new()).unwrap();
    let mut mqtt = Mqtt::connect(broker.port, qos);
    let begun = Instant::now();
    let (mut made, mut acks) = (0, 0);
    while made < events || client.queued() > 0 {
        let now = begun.elapsed().as_millis() as u64;
        // Below the rule's limit, so that the burst is of events and not of messages to people.
        let fields = [
            Field::new("celsius", Value::Float(-18.0)).unwrap(),
            Field::new("n", Value::Integer(made)).unwrap(),
        ];
        while made < events && client.event(&fields, now).is_ok() {
            made += 1;
        }
        while let Some((kind, message)) = client.poll(now).map(|said| (said.kind, said.message.to_vec())) {
            mqtt.publish(kind, &message);
        }
        for (kind, message) in mqtt.hear() {
            acks += i64::from(kind == Kind::Ack);
            client.receive(kind, &message, begun.elapsed().as_millis() as u64);
        }
        assert!(
            begun.elapsed() < PATIENCE * u32::try_from(events / EVENTS).unwrap(),
            "{made} made, {} wait",
            client.queued()
        );
    }
    let took = begun.elapsed();
    wait_for(10, "the count", || (site.count("SELECT events FROM device") == events).then_some(()));
    assert_eq!(site.count("SELECT queued FROM device"), 0, "nothing waits there any more");
    assert!(acks < events, "{acks} acknowledgements for {events} events");
    assert_eq!(gateway.stop(), Some(0));
    (took, acks)
}
