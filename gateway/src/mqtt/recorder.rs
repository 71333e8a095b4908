//! Everything that is published, for a recording: a guest that leaves nothing behind, under another client id, so that a
//! daemon that runs beside it keeps its session.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::overlapping::OverlapFilter;
use super::settings::Settings;
use super::subscriptions::Subscriptions;
use super::v4::EventStream4;
use super::v5::EventStream5;
use crate::config::MqttVersion;
use crate::event::cloudevents::Name;
use crate::mqtt::protocol::{CONNECT_DEADLINE, EventStream, Heard, Incoming, Publisher};
use crate::random::backoff;

/// As the link waits, without its dice: one recorder crowds no broker.
const RECONNECT_FIRST: Duration = Duration::from_millis(250);
const RECONNECT_LIMIT: Duration = Duration::from_secs(60);

/// What a guest hears.
#[derive(Debug)]
pub enum ObservedMessage {
    /// Connected, and about to subscribe.
    Listening,
    /// The broker does not let us listen to this.
    Refused {
        filter: String,
        reason: String,
    },
    Event {
        topic: String,
        payload: Bytes,
        retained: bool,
        id: Option<Name>,
        content_type: Option<String>,
    },
    /// The connection has ended, or could not be made; the next attempt follows.
    Lost(String),
}

/// Listens until nobody takes what is heard.
pub async fn record(mut settings: Settings, to: mpsc::Sender<ObservedMessage>) {
    // Two recordings at a time would end each other's connection with one name.
    settings.client_id = format!("{}-record-{}", settings.client_id, std::process::id());
    settings.is_guest = true;
    match settings.version {
        MqttVersion::V5 => run::<EventStream5>(&settings, &to).await,
        MqttVersion::V311 => run::<EventStream4>(&settings, &to).await,
    }
}

async fn run<E: EventStream>(settings: &Settings, to: &mpsc::Sender<ObservedMessage>) {
    let mut failures = 0;
    let mut subscriptions = Subscriptions::new(&settings.filters, &[]);
    while !to.is_closed() {
        let began = Instant::now();
        let reason = converse::<E>(settings, &mut subscriptions, to).await;
        failures = if began.elapsed() > RECONNECT_LIMIT { 1 } else { failures + 1 };
        if to.send(ObservedMessage::Lost(reason)).await.is_err() {
            return;
        }
        sleep(backoff(RECONNECT_FIRST, RECONNECT_LIMIT, failures)).await;
    }
}

/// One connection, from CONNECT to its end; the answer says why it ended.
async fn converse<E: EventStream>(
    settings: &Settings,
    subscriptions: &mut Subscriptions,
    to: &mpsc::Sender<ObservedMessage>,
) -> String {
    let (mut stream, publisher) = E::open(settings);
    let connected = async {
        loop {
            match stream.poll().await? {
                Heard::Connected { session_present, limits } => return Ok((session_present, limits)),
                Heard::Ended(_, reason) => return Err(reason),
                Heard::Unfit(_)
                | Heard::Asked(_)
                | Heard::Answered(..)
                | Heard::Subscribed(_)
                | Heard::LoopbackGranted(_)
                | Heard::Loopback(_)
                | Heard::Message(..)
                | Heard::Alive
                | Heard::Sent => {}
            }
        }
    };
    let (session_present, limits) = match timeout(CONNECT_DEADLINE, connected).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return error,
        Err(_) => return format!("no answer within {} s while connecting", CONNECT_DEADLINE.as_secs()),
    };
    let gone = || "the recording has ended".to_owned();
    if to.send(ObservedMessage::Listening).await.is_err() {
        return gone();
    }
    let mut stream =
        OverlapFilter::begin(stream, &publisher, subscriptions, (session_present, &limits), None);
    loop {
        let heard = match stream.poll().await {
            Ok(heard) => heard,
            Err((_, reason)) => return reason,
        };
        match heard {
            Heard::Message(incoming, ack) => {
                if to.send(event(incoming)).await.is_err() {
                    return gone();
                }
                if let Some(ack) = ack {
                    publisher.acknowledge(ack);
                }
            }
            Heard::Subscribed(outcome) => {
                for (filter, reason) in outcome.refused {
                    if to.send(ObservedMessage::Refused { filter, reason }).await.is_err() {
                        return gone();
                    }
                }
            }
            Heard::Ended(_, reason) => return reason,
            Heard::Connected { .. }
            | Heard::Unfit(_)
            | Heard::Asked(_)
            | Heard::Answered(..)
            | Heard::LoopbackGranted(_)
            | Heard::Loopback(_)
            | Heard::Alive
            | Heard::Sent => {}
        }
    }
}

fn event(incoming: Incoming) -> ObservedMessage {
    let topic = incoming.topic.unwrap_or_else(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ObservedMessage::Event {
        topic,
        payload: incoming.payload,
        retained: incoming.retain,
        id: incoming.id,
        content_type: incoming.content_type,
    }
}
