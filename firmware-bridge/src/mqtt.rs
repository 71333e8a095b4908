//! A client on MQTT, over the traits of [`embedded_svc`] that ESP-IDF's client implements.
//!
//! A message goes to `PREFIX/DEVICE/KIND`, with QoS 1, not retained; its payload is what a serial frame carries between
//! kind and CRC. [`PREFIX`] is `bellwire/device`.

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

    /// Subscribes to what the gateway says to this device: four topics, after each `Connected`.
    pub fn subscribe<M: client::Client, Q: Queue, const BUFFER: usize>(
        &self,
        client: &Client<'_, Q, BUFFER>,
        mqtt: &mut M,
    ) -> Result<(), M::Error> {
        for kind in Kind::TO_DEVICE {
            mqtt.subscribe(&topic(client.id(), kind), QoS::AtLeastOnce)?;
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
        let id = client.id();
        while self.connected
            && let Some(outgoing) = client.poll(now)
        {
            mqtt.enqueue(&topic(id, outgoing.kind), QoS::AtLeastOnce, false, outgoing.message)?;
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
            self.chunks = kind_of(topic, client.id()).map(|kind| (kind, Vec::new()));
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
