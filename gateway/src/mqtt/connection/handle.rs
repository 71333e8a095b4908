//! What goes down to the broker, for whoever has something to say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::super::v4::Publisher4;
use super::super::v5::Publisher5;
use super::ConnectionEvent;
use crate::mqtt::protocol::{Announce, Publish, Publisher};

/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) const ONLINE: Bytes = Bytes::from_static(b"online");
const OFFLINE: Bytes = Bytes::from_static(b"offline");

/// Acknowledges one event, over the connection that it came by.
#[derive(Debug)]
pub struct AckToken {
    pub(super) epoch: u64,
    pub(super) ack: Ack,
}

#[derive(Debug)]
pub(super) enum Ack {
    V5(<Publisher5 as Publisher>::Ack),
    V4(<Publisher4 as Publisher>::Ack),
}

/// What goes down. Never waits.
#[derive(Debug, Clone)]
pub struct BrokerHandle {
    pub(super) current: Arc<Mutex<Current>>,
    pub(super) notices: mpsc::Sender<ConnectionEvent>,
    pub(super) status_topic: Arc<str>,
    pub(super) notice_topic: Arc<str>,
    pub(super) wanted: watch::Sender<Vec<String>>,
    pub(super) stop: watch::Sender<bool>,
}

#[derive(Debug, Default)]
pub(super) struct Current {
    pub epoch: u64,
    pub publisher: Option<VersionedClient>,
    /// We say goodbye: when the connection ends nothing has happened.
    pub takes_leave: bool,
}

#[derive(Debug, Clone)]
pub(super) enum VersionedClient {
    V5(Publisher5),
    V4(Publisher4),
}

impl BrokerHandle {
    /// Nothing happens if the connection has gone: the broker sends the event again.
    pub fn ack(&self, token: AckToken) {
        let current = lock(&self.current);
        if current.epoch != token.epoch {
            return;
        }
        let sent = match (&current.publisher, token.ack) {
            (Some(VersionedClient::V5(publisher)), Ack::V5(ack)) => publisher.acknowledge(ack),
            (Some(VersionedClient::V4(publisher)), Ack::V4(ack)) => publisher.acknowledge(ack),
            (Some(_) | None, _) => true,
        };
        if !sent {
            tracing::warn!("an acknowledgement found no room; the broker will send the event again");
        }
    }

    /// `false`: no connection, or no room; offer it again after the next notice.
    pub fn publish(&self, publish: Publish) -> bool {
        let id = publish.id;
        let answer = match &lock(&self.current).publisher {
            Some(VersionedClient::V5(publisher)) => publisher.publish(publish),
            Some(VersionedClient::V4(publisher)) => publisher.publish(publish),
            None => None,
        };
        let Some(answer) = answer else { return false };
        let notices = self.notices.clone();
        tokio::spawn(async move {
            if let Some(result) = answer.await {
                drop(notices.send(ConnectionEvent::Published { id, result }).await); // nobody listens after the end
            }
        });
        true
    }

    /// Tells whoever listens to the gateway's notices, if the broker is there.
    pub fn tell(&self, notice: Bytes) {
        self.say(&self.notice_topic, notice);
    }

    /// Publishes without waiting for the broker's answer. `false`: no connection, or no room.
    pub fn say(&self, topic: &str, payload: Bytes) -> bool {
        self.announce(topic, payload, Announce::AtLeastOnce)
    }

    /// Publishes with QoS 0: as Sparkplug wants its commands (3.0.0, tck-id-payloads-ncmd-qos), and for what is asked for again, such
    /// as a device's acknowledgements. The broker's answer to QoS 1 is a small packet that our system acknowledges 40 ms later, and
    /// until then the broker's holds back the next events (Nagle).
    pub fn say_at_most_once(&self, topic: &str, payload: Bytes) -> bool {
        self.announce(topic, payload, Announce::AtMostOnce)
    }

    /// Publishes what the broker shall keep, without waiting for its answer; nothing takes away what it keeps.
    /// `false`: no connection, or no room.
    pub fn keep(&self, topic: &str, payload: Bytes) -> bool {
        self.announce(topic, payload, Announce::Retained)
    }

    fn announce(&self, topic: &str, payload: Bytes, how: Announce) -> bool {
        match &lock(&self.current).publisher {
            Some(VersionedClient::V5(publisher)) => publisher.announce(topic, payload, how),
            Some(VersionedClient::V4(publisher)) => publisher.announce(topic, payload, how),
            None => false,
        }
    }

    /// From now on these topics: they change by their difference, and the connection goes on. Then it is told as if it had just been
    /// made: `Connected` if it stands, and `Subscribed`.
    pub fn subscribe(&self, filters: Vec<String>) {
        self.wanted.send_replace(filters);
        // The task looks after whatever goes in or out: this goes out now.
        self.announce(&self.status_topic, ONLINE, Announce::Retained);
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        lock(&self.current).publisher.is_some()
    }

    /// Says goodbye: without this the broker would publish our will.
    pub async fn stop(&self) {
        let publisher = {
            let mut current = lock(&self.current);
            current.takes_leave = true;
            current.publisher.clone()
        };
        self.announce(&self.status_topic, OFFLINE, Announce::Retained);
        match publisher {
            Some(VersionedClient::V5(publisher)) => publisher.disconnect(),
            Some(VersionedClient::V4(publisher)) => publisher.disconnect(),
            None => {}
        }
        let gone = async {
            while lock(&self.current).publisher.is_some() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        drop(timeout(FAREWELL, gone).await); // then the connection just ends
        self.stop.send_replace(true);
    }
}

pub(super) fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}
