//! The link: connect, receive, acknowledge, publish, connect again. A new client for each connection: one that has seen a
//! disconnect can be wedged for ever (docs/reliability.md E4).

/// Whether what is published comes to us.
mod deliveries;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::loopback::LoopbackProbe;
use super::overlapping::OverlapFilter;
use super::settings::Settings;
use super::subscriptions::{Grants, Subscriptions};
use super::takeover::Takeovers;
use super::v4::{EventStream4, Publisher4};
use super::v5::{EventStream5, Publisher5};
use crate::command::question::ReplyTo;
use crate::config::MqttVersion;
use crate::event::incoming::Event;
use crate::mqtt::protocol::{
    Announce, CONNECT_DEADLINE, Cause, EventStream, Heard, Incoming, Publish, Publisher, Unsupported,
};
use crate::random::{Rng, backoff};
use crate::time::Clock;

/// Contract C4: 250 ms, doubling to a minute, forgotten after a minute of health.
const RECONNECT_FIRST: Duration = Duration::from_millis(250);
const RECONNECT_LIMIT: Duration = Duration::from_secs(60);
const HEALTHY: Duration = Duration::from_secs(60);
/// Notices that wait for the intake: a group commit's worth. Beyond it the broker is read no further, which it feels.
const NOTICES: usize = 256;
/// How long a full queue is waited for. A third of what the broker gives us to show that we live (MQTT 5, 3.1.2.10), so
/// a poll that waits for a slow disk cannot miss the keep-alive (docs/reliability.md E5, F9).
const PATIENCE: Duration = Duration::from_secs(15);
const SLOW_DISK: &str = "the disk is slower than the broker; connecting again later";
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

const ONLINE: Bytes = Bytes::from_static(b"online");
const OFFLINE: Bytes = Bytes::from_static(b"offline");

/// What comes up; an event is acknowledged with an `A`.
#[derive(Debug)]
pub enum ConnectionEvent<A = AckToken> {
    Connected {
        session_present: bool,
    },
    /// Every command without a `Published` is to be published again (`tests/it/mqtt_contract.rs`, C3).
    Disconnected {
        cause: Cause,
        reason: String,
    },
    Message {
        event: Event,
        ack: Option<A>,
        /// Where the sender wants an answer (MQTT 5).
        reply_to: Option<Box<ReplyTo>>,
    },
    /// The broker's answer to a command.
    Published {
        id: u64,
        result: Result<(), String>,
    },
    /// The broker has answered all subscriptions, and may have refused some (`tests/it/mqtt_contract.rs`, C8).
    Subscribed(Grants),
    /// Our own test message came back after this time, or did not, and why that matters.
    Loopback(Result<Duration, String>),
}

/// Acknowledges one event, over the connection that it came by.
#[derive(Debug)]
pub struct AckToken {
    epoch: u64,
    ack: Ack,
}

#[derive(Debug)]
enum Ack {
    V5(<Publisher5 as Publisher>::Ack),
    V4(<Publisher4 as Publisher>::Ack),
}

/// What goes down. Never waits.
#[derive(Debug, Clone)]
pub struct BrokerHandle {
    current: Arc<Mutex<Current>>,
    notices: mpsc::Sender<ConnectionEvent>,
    status_topic: Arc<str>,
    notice_topic: Arc<str>,
    stop: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Current {
    epoch: u64,
    publisher: Option<VersionedClient>,
    /// We say goodbye: when the connection ends nothing has happened.
    takes_leave: bool,
}

#[derive(Debug, Clone)]
enum VersionedClient {
    V5(Publisher5),
    V4(Publisher4),
}

/// Starts the link's task on the current runtime.
pub fn start(
    settings: Settings,
    mut dice: Rng,
    clock: Arc<dyn Clock + Send + Sync>,
) -> (BrokerHandle, mpsc::Receiver<ConnectionEvent>) {
    let (notices, received) = mpsc::channel(NOTICES);
    let (stop, stopped) = watch::channel(false);
    let link = BrokerHandle {
        current: Arc::default(),
        notices,
        status_topic: settings.status_topic.as_str().into(),
        notice_topic: settings.notice_topic.as_str().into(),
        stop,
    };
    let task = Task {
        loopback: LoopbackProbe::new(dice.tag()),
        takeovers: Takeovers::default(),
        settings,
        dice,
        clock,
        current: Arc::clone(&link.current),
        notices: link.notices.clone(),
    };
    tokio::spawn(async move {
        match task.settings.version {
            MqttVersion::V5 => task.run::<EventStream5>(stopped, VersionedClient::V5, Ack::V5).await,
            MqttVersion::V311 => task.run::<EventStream4>(stopped, VersionedClient::V4, Ack::V4).await,
        }
    });
    (link, received)
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

/// How a version's publishing half, and its acknowledgements, are kept here.
type PublishingHalf<E> = (
    fn(<E as EventStream>::Publisher) -> VersionedClient,
    fn(<<E as EventStream>::Publisher as Publisher>::Ack) -> Ack,
);

struct Task {
    settings: Settings,
    dice: Rng,
    clock: Arc<dyn Clock + Send + Sync>,
    current: Arc<Mutex<Current>>,
    notices: mpsc::Sender<ConnectionEvent>,
    loopback: LoopbackProbe,
    takeovers: Takeovers,
}

impl Task {
    async fn run<E: EventStream>(
        mut self,
        mut stopped: watch::Receiver<bool>,
        speaker: fn(E::Publisher) -> VersionedClient,
        token: fn(<E::Publisher as Publisher>::Ack) -> Ack,
    ) {
        let mut failures = 0;
        let mut subscriptions = Subscriptions::new(&self.settings.filters, &self.settings.earlier);
        loop {
            let began = Instant::now();
            let (stream, publisher) = E::open(&self.settings);
            let ended = tokio::select! {
                ended = self.converse(stream, &publisher, &mut subscriptions, (speaker, token)) => ended,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            let (was_connected, takes_leave) = {
                let mut current = lock(&self.current);
                current.epoch += 1;
                (current.publisher.take().is_some(), current.takes_leave)
            };
            if takes_leave {
                return; // the goodbye was ours: that is no news
            }
            let (cause, reason) = self.explain(ended, was_connected, began.elapsed());
            failures = if was_connected && began.elapsed() > HEALTHY { 1 } else { failures + 1 };
            if self.notices.send(ConnectionEvent::Disconnected { cause, reason }).await.is_err() {
                return; // the daemon has ended
            }
            let pause =
                self.dice.jitter(backoff(RECONNECT_FIRST, RECONNECT_LIMIT, failures)).max(RECONNECT_FIRST);
            tokio::select! {
                () = sleep(pause) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// One connection, from CONNECT to its end; why it ended is a sentence, too.
    async fn converse<E: EventStream>(
        &mut self,
        mut stream: E,
        publisher: &E::Publisher,
        subscriptions: &mut Subscriptions,
        (speaker, token): PublishingHalf<E>,
    ) -> (Cause, String) {
        let (session_present, limits) = loop {
            match timeout(CONNECT_DEADLINE, stream.poll()).await {
                Ok(Ok(Heard::Connected { session_present, limits })) => break (session_present, limits),
                Ok(Ok(Heard::Unfit(will))) => return (Cause::Refused, self.leave_out(will)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return (Cause::Refused, error),
                Err(_) => {
                    let waited = CONNECT_DEADLINE.as_secs();
                    return (Cause::Refused, format!("no answer within {waited} s while connecting"));
                }
            }
        };
        limits.in_words().iter().for_each(|limit| tracing::warn!(limit, "the broker has a limit"));
        let topic = self.settings.loopback_topic.clone();
        let mut stream =
            OverlapFilter::begin(stream, publisher, subscriptions, (session_present, &limits), Some(&topic));
        self.loopback.connected(Instant::now());
        publisher.announce(&self.settings.status_topic, ONLINE, Announce::Retained);
        let epoch = {
            let mut current = lock(&self.current);
            current.publisher = Some(speaker(publisher.clone()));
            current.epoch
        };
        if self.notices.try_send(ConnectionEvent::Connected { session_present }).is_err() {
            return (Cause::Disk, "the intake is too far behind to start".into());
        }
        let mut answer = None;
        loop {
            let heard = match self.poll(&mut stream, publisher, &mut answer).await {
                Ok(heard) => heard,
                Err(why) => return why,
            };
            match heard {
                Heard::Message(incoming, ack) => {
                    let ack = ack.map(|ack| AckToken { epoch, ack: token(ack) });
                    if let Err(reason) = self.hand_on(incoming, ack).await {
                        return (Cause::Disk, reason);
                    }
                    self.loopback.event_came(Instant::now());
                }
                Heard::Loopback(payload) => self.looped(&payload),
                Heard::LoopbackGranted(answer) => self.loopback_granted(answer),
                Heard::Subscribed(outcome) => {
                    // Readiness waits for it, so it is not dropped; a connection that could not tell it begins again.
                    if self
                        .notices
                        .send_timeout(ConnectionEvent::Subscribed(outcome), PATIENCE)
                        .await
                        .is_err()
                    {
                        return (Cause::Disk, SLOW_DISK.into());
                    }
                }
                Heard::Ended(cause, reason) => return (cause, reason),
                Heard::Connected { .. }
                | Heard::Unfit(_)
                | Heard::Asked(_)
                | Heard::Answered(..)
                | Heard::Alive
                | Heard::Sent => {}
            }
        }
    }

    /// The next connection does without it.
    fn leave_out(&mut self, will: Unsupported) -> String {
        match will {
            Unsupported::Retained => {
                self.settings.will_retained = false;
                "the broker keeps no retained messages; connecting again with a last will that is not kept"
            }
            Unsupported::QoS1 => {
                self.settings.will_qos1 = false;
                "the broker takes QoS 0 only; connecting again with a last will of QoS 0"
            }
        }
        .to_owned()
    }

    /// A flood is slowed down by waiting: mosquitto 2.0.11 was seen to send a thousand messages beyond our receive
    /// maximum once it had a backlog. What finds no room for so long is left unacknowledged, and the connection ends, so
    /// that the broker sends it again later.
    async fn hand_on(&self, incoming: Incoming, ack: Option<AckToken>) -> Result<(), String> {
        let (event, reply_to) = incoming.into_event(self.clock.now());
        let surely_repeated = ack.is_some();
        let message = ConnectionEvent::Message { event, ack, reply_to };
        if self.notices.send_timeout(message, PATIENCE).await.is_ok() {
            return Ok(());
        }
        if surely_repeated {
            return Err(SLOW_DISK.into());
        }
        tracing::warn!("an event at QoS 0 was dropped: the disk is slower than the broker");
        Ok(())
    }
}

fn lock(current: &Mutex<Current>) -> std::sync::MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}
