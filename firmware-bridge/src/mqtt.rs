//! A client on MQTT, over the traits of [`embedded_svc`] that ESP-IDF's client implements.
//!
//! A message goes to `PREFIX/DEVICE/KIND`, events with QoS 0 and all others with QoS 1, not retained; its payload is what a serial frame carries between
//! kind and CRC. [`PREFIX`] is `bellwire/device`.
//!
//! # A freezer on an ESP32
//!
//! ESP-IDF's `EspMqttClient` comes in two halves: a client that sends, and a connection that says what happens. The
//! connection blocks, so it gets a thread, which hands what arrives to the one that owns the device's client. Any other
//! MQTT library will do if it is wrapped in the same three traits.
//!
//! ```
//! use embedded_svc::mqtt::client::{Client as Subscribe, Enqueue, EventPayload};
//! use firmware_bridge::mqtt::Mqtt;
//! use firmware_bridge::{Client, Device, Field, Millis, Outcome, Queue, Value};
//!
//! /// Everything that the freezer keeps. The queue is a `FlashQueue` over a partition: what it accepted survives a power
//! /// cut. With a `RamQueue` it does not, and everything else is the same.
//! struct Freezer<Q> {
//!     bridge: Client<'static, Q, 256>,
//!     mqtt: Mqtt,
//!     defrosts: bool,
//! }
//!
//! impl<Q: Queue> Freezer<Q> {
//!     /// `seed`: `esp_random()`, so that two starts do not say the same.
//!     fn new(queue: Q, seed: u32) -> Option<Self> {
//!         let device =
//!             Device { id: "freezer-2", firmware: "freezer 1.4", commands: &["defrost"], seed };
//!         let bridge = Client::new(device, queue).ok()?;
//!         Some(Self { bridge, mqtt: Mqtt::default(), defrosts: false })
//!     }
//!
//!     /// The sensor was read. Once this gives `true` the gateway counts the event once, whatever the network does.
//!     /// `false` is back-pressure: keep the reading for the next time, or leave it out, and the gateway hears how many.
//!     fn measured(&mut self, celsius: f32, now: Millis) -> bool {
//!         let fields = [
//!             Field::new("celsius", Value::Float(celsius)),
//!             Field::new("defrosts", Value::Bool(self.defrosts)),
//!         ];
//!         let [Some(celsius), Some(defrosts)] = fields else { return false };
//!         self.bridge.event(&[celsius, defrosts], now).is_ok()
//!     }
//!
//!     /// The connection said something.
//!     fn arrived<M: Subscribe, E>(&mut self, event: &EventPayload<'_, E>, mqtt: &mut M, now: Millis) {
//!         self.mqtt.receive(&mut self.bridge, event, now);
//!         if matches!(event, EventPayload::Connected(_)) {
//!             // If it fails the connection ends, and this comes again.
//!             let _ = self.mqtt.subscribe(&self.bridge, mqtt);
//!         }
//!     }
//!
//!     /// Several times a second. `now` is `esp_timer_get_time() / 1000`.
//!     fn turn<M: Enqueue>(&mut self, mqtt: &mut M, now: Millis) {
//!         if let Some(command) = self.bridge.command_to_obey(now) {
//!             let (id, defrost) = (command.id, command.payload == br#"{"defrost": true}"#);
//!             self.defrosts = defrost; // here the relay would click; a command comes at most once
//!             self.bridge.answer(id, Outcome::Done, if defrost { "defrosting" } else { "cooling" });
//!         }
//!         // What could not be sent now is sent at a later turn.
//!         let _ = self.mqtt.send(&mut self.bridge, mqtt, now);
//!     }
//! }
//! # use embedded_svc::mqtt::client::{ErrorType, MessageId, QoS};
//! # struct Esp(Vec<String>);
//! # impl ErrorType for Esp { type Error = core::convert::Infallible; }
//! # impl Subscribe for Esp {
//! #     fn subscribe<'a>(&'a mut self, topic: &'a str, _: QoS) -> Result<MessageId, Self::Error> {
//! #         self.0.push(topic.to_owned());
//! #         Ok(0)
//! #     }
//! #     fn unsubscribe<'a>(&'a mut self, _: &'a str) -> Result<MessageId, Self::Error> { Ok(0) }
//! # }
//! # impl Enqueue for Esp {
//! #     fn enqueue<'a>(&'a mut self, topic: &'a str, _: QoS, _: bool, _: &'a [u8]) -> Result<MessageId, Self::Error> {
//! #         self.0.push(topic.to_owned());
//! #         Ok(0)
//! #     }
//! # }
//! # let queue = firmware_bridge::RamQueue::<1024>::new();
//! # let (mut freezer, mut esp) = (Freezer::new(queue, 7).unwrap(), Esp(Vec::new()));
//! # assert!(freezer.measured(-9.5, 0));
//! # let connected: EventPayload<'_, core::convert::Infallible> = EventPayload::Connected(false);
//! # freezer.arrived(&connected, &mut esp, 0);
//! # freezer.turn(&mut esp, 0);
//! # assert_eq!(esp.0.len(), 5);
//! # assert_eq!(esp.0[4], "bellwire/device/freezer-2/hello");
//! ```

use core::fmt::Write;

use embedded_svc::mqtt::client::{self, Details, Enqueue, EventPayload, QoS};
use heapless::{String, Vec};

use crate::client::Client;
use crate::clock::Millis;
use crate::event::DEVICE_MAX_BYTES;
use crate::message::{Kind, TO_DEVICE_MAX_BYTES};
use crate::queue::Queue;

/// The levels before the device's.
pub const PREFIX: &str = "bellwire/device";
/// The longest topic: the prefix, the device, `welcome` or `command` or `version`, and two separators.
const TOPIC_MAX_BYTES: usize = PREFIX.len() + DEVICE_MAX_BYTES + 9;

/// Joins an MQTT client and a device's client. It keeps half a message between two chunks, and nothing else.
#[derive(Debug, Default)]
pub struct Mqtt {
    connected: bool,
    /// A message that comes in chunks: its kind, and what came.
    chunks: Option<(Kind, Vec<u8, TO_DEVICE_MAX_BYTES>)>,
}

impl Mqtt {
    /// Takes what the MQTT client reports. After `Connected`, [`subscribe`](Self::subscribe) is due.
    pub fn receive<Q: Queue, E, const BUFFER: usize>(
        &mut self,
        client: &mut Client<'_, Q, BUFFER>,
        event: &EventPayload<'_, E>,
        now: Millis,
    ) {
        match event {
            EventPayload::Connected(_) => {
                self.connected = true;
                client.connected();
            }
            EventPayload::Disconnected => {
                self.connected = false;
                self.chunks = None;
            }
            EventPayload::Received { topic, data, details, .. } => {
                self.piece(client, *topic, data, *details, now);
            }
            EventPayload::BeforeConnect
            | EventPayload::Subscribed(_)
            | EventPayload::Unsubscribed(_)
            | EventPayload::Published(_)
            | EventPayload::Deleted(_)
            | EventPayload::Error(_) => {}
        }
    }

    /// Subscribes to what the gateway says to this device: four topics, after each `Connected`; eight as long as it speaks
    /// under the name that it had before.
    pub fn subscribe<M: client::Client, Q: Queue, const BUFFER: usize>(
        &self,
        client: &Client<'_, Q, BUFFER>,
        mqtt: &mut M,
    ) -> Result<(), M::Error> {
        let now = (client.name() != client.id()).then(|| client.name());
        for name in now.into_iter().chain([client.id()]) {
            for kind in Kind::TO_DEVICE {
                mqtt.subscribe(&topic(name, kind), QoS::AtLeastOnce)?;
            }
        }
        Ok(())
    }

    /// Enqueues what is to be sent while there is a connection. Call it after [`receive`](Self::receive), after an event
    /// or an answer, and at [`Client::wake_at`]. An error is the MQTT client's; nothing is lost by it.
    pub fn send<M: Enqueue, Q: Queue, const BUFFER: usize>(
        &mut self,
        client: &mut Client<'_, Q, BUFFER>,
        mqtt: &mut M,
        now: Millis,
    ) -> Result<(), M::Error> {
        while self.connected
            && let Some(outgoing) = client.poll(now)
        {
            // An event is repeated until the gateway has it: the broker's answer to QoS 1 would only be in the way.
            let qos = if outgoing.kind == Kind::Event { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            mqtt.enqueue(&topic(outgoing.name, outgoing.kind), qos, false, outgoing.message)?;
        }
        Ok(())
    }

    /// ESP-IDF hands over a message longer than its buffer in pieces, and names the topic with the first one only.
    fn piece<Q: Queue, const BUFFER: usize>(
        &mut self,
        client: &mut Client<'_, Q, BUFFER>,
        topic: Option<&str>,
        data: &[u8],
        details: Details,
        now: Millis,
    ) {
        let total = match details {
            Details::Complete => data.len(),
            Details::InitialChunk(first) => first.total_data_size,
            Details::SubsequentChunk(next) => {
                let fits = self.chunks.as_ref().is_some_and(|(_, got)| got.len() == next.current_data_offset);
                if !fits {
                    self.chunks = None;
                    return client.damaged();
                }
                next.total_data_size
            }
        };
        if let Some(topic) = topic {
            self.chunks = kind_of(topic, client.name()).map(|kind| (kind, Vec::new()));
        }
        let Some((kind, got)) = &mut self.chunks else { return client.damaged() };
        if got.extend_from_slice(data).is_err() || got.len() > total {
            self.chunks = None;
            return client.damaged();
        }
        if got.len() == total {
            client.receive(*kind, got, now);
            self.chunks = None;
        }
    }
}

fn topic(device: &str, kind: Kind) -> String<TOPIC_MAX_BYTES> {
    let mut topic = String::new();
    // It fits: the client's id and the levels are bounded by what TOPIC_MAX_BYTES adds up.
    let _ = write!(topic, "{PREFIX}/{device}/{}", kind.topic_level());
    topic
}

fn kind_of(topic: &str, device: &str) -> Option<Kind> {
    let rest = topic.strip_prefix(PREFIX)?.strip_prefix('/')?;
    Kind::from_topic_level(rest.strip_prefix(device)?.strip_prefix('/')?)
}
