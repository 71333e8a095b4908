//! The link: connect, receive, acknowledge, publish, connect again. A new client for each connection: one that has seen a
//! disconnect can be wedged for ever (docs/reliability.md E4).

/// Whether what is published comes to us.
mod deliveries;
/// What goes down to the broker.
mod handle;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use handle::{Ack, Current, ONLINE, VersionedClient, lock};
pub use handle::{AckToken, BrokerHandle};

use super::copies::Copies;
use super::loopback::LoopbackProbe;
use super::overlapping::OverlapFilter;
use super::settings::Settings;
use super::subscriptions::{Grants, Subscriptions};
use super::takeover::Takeovers;
use super::v4::EventStream4;
use super::v5::EventStream5;
use crate::command::question::ReplyTo;
use crate::config::MqttVersion;
use crate::event::incoming::Event;
use crate::mqtt::protocol::{
    Announce, CONNECT_DEADLINE, Cause, EventStream, Heard, Incoming, Publisher, Unsupported,
};
use crate::random::{Rng, backoff};
use crate::time::{Clock, Timestamp};

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
    /// Another copy of this gateway, restored then, has the higher number.
    NewerCopy(Timestamp),
    /// Our own test message came back after this time, or did not, and why that matters.
    Loopback(Result<Duration, String>),
}

/// Starts the link's task on the current runtime.
pub fn start(
    settings: Settings,
    mut dice: Rng,
    clock: Arc<dyn Clock + Send + Sync>,
) -> (BrokerHandle, mpsc::Receiver<ConnectionEvent>) {
    let (notices, received) = mpsc::channel(NOTICES);
    let (stop, stopped) = watch::channel(false);
    let (wants, wanted) = watch::channel(settings.filters.clone());
    let link = BrokerHandle {
        current: Arc::default(),
        notices,
        status_topic: settings.status_topic.as_str().into(),
        notice_topic: settings.notice_topic.as_str().into(),
        wanted: wants,
        stop,
    };
    let task = Task {
        loopback: LoopbackProbe::new(dice.tag()),
        takeovers: Takeovers::default(),
        copies: Copies::default(),
        settings,
        wanted,
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

/// How a version's publishing half, and its acknowledgements, are kept here.
type PublishingHalf<E> = (
    fn(<E as EventStream>::Publisher) -> VersionedClient,
    fn(<<E as EventStream>::Publisher as Publisher>::Ack) -> Ack,
);

struct Task {
    settings: Settings,
    wanted: watch::Receiver<Vec<String>>,
    dice: Rng,
    clock: Arc<dyn Clock + Send + Sync>,
    current: Arc<Mutex<Current>>,
    notices: mpsc::Sender<ConnectionEvent>,
    loopback: LoopbackProbe,
    takeovers: Takeovers,
    copies: Copies,
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
            self.copies = Copies::default(); // what the broker keeps is told at each connection
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
        if let Some(filters) = self.now_wanted() {
            drop(subscriptions.want(&filters)); // it subscribes to all of them next
        }
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
                Heard::Loopback(payload) => self.looped(&payload, publisher),
                Heard::LoopbackGranted(answer) => self.loopback_granted(answer),
                Heard::Subscribed(outcome) => {
                    if let Err(reason) = self.tell(ConnectionEvent::Subscribed(outcome)).await {
                        return (Cause::Disk, reason);
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
            if let Some(filters) = self.now_wanted() {
                let outcome = stream.want(&filters);
                let connected = Some(ConnectionEvent::Connected { session_present: true });
                for event in connected.into_iter().chain(outcome.map(ConnectionEvent::Subscribed)) {
                    if let Err(reason) = self.tell(event).await {
                        return (Cause::Disk, reason);
                    }
                }
            }
        }
    }

    /// Other topics than before.
    fn now_wanted(&mut self) -> Option<Vec<String>> {
        let is_new = self.wanted.has_changed().unwrap_or_default();
        is_new.then(|| self.wanted.borrow_and_update().clone())
    }

    /// Readiness waits for it, so it is not dropped; a connection that could not tell it begins again.
    async fn tell(&self, event: ConnectionEvent) -> Result<(), String> {
        self.notices.send_timeout(event, PATIENCE).await.map_err(|_| SLOW_DISK.to_owned())
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
