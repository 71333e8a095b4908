//! What both versions have in common.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::limits::Limits;
use super::settings::Settings;
use super::subscriptions::{Granted as SubscribeAnswer, Grants, SubscribeRequest};
use crate::command::question::ReplyTo;
use crate::event::cloudevents::Name;
use crate::event::incoming::{Event, EventSource, Identity, UNACKNOWLEDGED_MAX};
use crate::time::Timestamp;
use crate::words::word_enum;

/// TCP, TLS and CONNACK together (docs/reliability.md F23).
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// What the broker hears at the start (MQTT 5, 3.1.2.11.3). Each commit waits for the disk once and writes the ends of a dozen tables and indexes anew, so that more events in it make each cheaper.
pub const RECEIVE_MAX: u16 = UNACKNOWLEDGED_MAX;
/// Commands under way. The library's default table for 65,535 of them costs 14 MiB (docs/reliability.md E6).
pub const IN_FLIGHT_MAX: u16 = 64;
/// Between us and the library: an acknowledgement for each event that may wait (256 notices, 256 in a commit, 32 read
/// and not yet handed on), 64 commands, the subscriptions. Nobody ever waits on it: what finds no room is a command that
/// is offered again.
pub const REQUESTS: usize = 1_024;
/// Packets read before acknowledgements get their turn again.
pub const READ_BATCH: usize = 32;

word_enum! {
    /// Why a connection ended, in one word for `/metrics`.
    Cause {
        /// It was never made: no way there, or we were not let in.
        Refused = "refused",
        /// The line broke, or the broker closed it without a word.
        Line = "line",
        /// The broker said goodbye.
        Broker = "broker",
        /// It said nothing for too long.
        Silence = "silence",
        /// Our own disk is too slow for what comes.
        Disk = "disk",
        /// Another client came with our client id.
        TakenOver = "taken_over",
        /// What is published no longer came to us.
        Undelivered = "undelivered",
    }
}

impl Cause {
    /// What a connection that once stood can end with.
    pub const OF_LOSS: [Self; 6] =
        [Self::Line, Self::Broker, Self::Silence, Self::Disk, Self::TakenOver, Self::Undelivered];
}

/// A command as it goes to the broker, always with QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Comes back in [`super::Notice::Published`].
    pub id: u64,
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
    /// The rest are properties of MQTT 5; 3.1.1 cannot carry them.
    pub expires_in_s: Option<u32>,
    pub content_type: Option<String>,
    pub correlation: Option<Vec<u8>>,
    /// Where the device answers.
    pub response_topic: Option<String>,
    pub user_properties: Vec<(String, String)>,
}

/// What one poll brought.
#[derive(Debug)]
pub enum Heard<A> {
    Connected {
        session_present: bool,
        limits: Limits,
    },
    /// The broker does not let us in with the will that we leave with it.
    Unfit(Unsupported),
    /// A SUBSCRIBE went out, with its packet identifier.
    Asked(u16),
    /// The answer to it: one entry a filter, in the order of the subscription.
    Answered(u16, Vec<SubscribeAnswer>),
    /// All subscriptions are answered.
    Subscribed(Grants),
    Message(Incoming, Option<A>),
    /// The answer to the subscription to our own test message.
    LoopbackGranted(Result<(), String>),
    /// Our own test message.
    Loopback(Bytes),
    /// The broker says goodbye, and why (MQTT 5).
    Ended(Cause, String),
    /// Something else came in: the line lives.
    Alive,
    /// Something went out.
    Sent,
}

/// What of our will the broker does not take (MQTT 5, 3.2.2.2, 0x9A and 0x9B).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    Retained,
    QoS1,
}

/// An event as it came.
#[derive(Debug)]
pub struct Incoming {
    pub topic: Result<String, Bytes>,
    pub payload: Bytes,
    pub qos1: bool,
    pub retain: bool,
    pub redelivered: bool,
    pub packet_id: u16,
    pub content_type: Option<String>,
    pub expires_in_s: Option<u32>,
    /// What its sender calls it, where properties say so.
    pub id: Option<Name>,
    /// To which of our subscriptions it belongs, where the broker says so (MQTT 5, 3.3.2.3.8).
    pub subscriptions: Vec<u32>,
    /// Where the sender wants an answer (MQTT 5).
    pub reply_to: Option<Box<ReplyTo>>,
}

impl Incoming {
    /// As the intake takes it, and where its sender wants an answer.
    pub fn into_event(self, received_at: Timestamp) -> (Event, Option<Box<ReplyTo>>) {
        let topic = match self.topic {
            Ok(topic) => topic,
            Err(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let content_type = self.content_type.as_deref();
        let name = self.id.or_else(|| Name::of_payload(content_type, &self.payload));
        let identity = match (name, self.qos1) {
            (Some(name), _) => Identity::Named(name.to_string()),
            (None, true) => Identity::Packet { id: self.packet_id, redelivered: self.redelivered },
            (None, false) => Identity::None,
        };
        let event = Event {
            source: EventSource::Mqtt,
            topic,
            payload: self.payload,
            content_type: self.content_type,
            identity,
            retained: self.retain,
            expires_in_s: self.expires_in_s,
            received_at,
            happened_at: None,
        };
        (event, self.reply_to)
    }
}

/// The broker's answer to a command, when it comes; `None` when the connection ended before.
pub type PublishAck = Pin<Box<dyn Future<Output = Option<Result<(), String>>> + Send>>;

/// The half that polls: owned by the link's task alone.
pub trait EventStream: Send + Sized {
    type Publisher: Publisher;
    fn open(settings: &Settings) -> (Self, Self::Publisher);
    /// The next thing; an error ends the connection.
    fn poll(
        &mut self,
    ) -> impl Future<Output = Result<Heard<<Self::Publisher as Publisher>::Ack>, String>> + Send;
}

/// An stream that notices when the broker has fallen silent: a half-open line would say nothing for ever (docs/reliability.md F22).
pub struct SilenceWatch<E> {
    stream: E,
    silent_from: Instant,
    idle: Duration,
}

impl<E: EventStream> SilenceWatch<E> {
    /// `idle`: a silence as long as this is none of a living line.
    pub fn new(stream: E, idle: Duration) -> Self {
        Self { stream, silent_from: Instant::now(), idle }
    }

    /// The next thing; silence for too long ends the connection like any error.
    pub async fn poll(&mut self) -> Result<Heard<<E::Publisher as Publisher>::Ack>, (Cause, String)> {
        let idle = self.idle;
        let heard = timeout_at(self.silent_from + idle, self.stream.poll())
            .await
            .map_err(|_| (Cause::Silence, format!("the broker said nothing for {} s", idle.as_secs())))?
            .map_err(|error| (Cause::Line, error))?;
        if !matches!(heard, Heard::Sent | Heard::Asked(_)) {
            self.silent_from = Instant::now();
        }
        Ok(heard)
    }
}

/// How something is published whose answer nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1, where the broker takes it.
    AtLeastOnce,
    /// QoS 1, and the broker keeps it for whoever subscribes later.
    Retained,
}

/// The half that speaks: never waits.
pub trait Publisher: Clone + Send + Sync + 'static {
    type Ack: Send + 'static;
    fn acknowledge(&self, ack: Self::Ack) -> bool;
    fn subscribe(&self, ask: &SubscribeRequest) -> bool;
    /// To what we publish ourselves, too.
    fn subscribe_to_own(&self, topic: &str) -> bool;
    fn unsubscribe(&self, filters: &[String]);
    fn publish(&self, publish: Publish) -> Option<PublishAck>;
    /// Without waiting for the broker's answer.
    fn announce(&self, topic: &str, payload: Bytes, how: Announce) -> bool;
    fn disconnect(&self);
}
