//! What the broker lets us do: a look that leaves nothing behind, under another client id, so that a daemon that runs
//! beside it keeps its session.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::limits::Limits;
use super::loopback;
use super::overlapping::OverlapFilter;
use super::settings::Settings;
use super::subscriptions::{Grants, Subscriptions};
use super::v4::EventStream4;
use super::v5::EventStream5;
use crate::config::MqttVersion;
use crate::mqtt::protocol::{CONNECT_DEADLINE, EventStream, Heard, PublishAck, Publisher};

/// To be let in, and to have an answer about each topic: as long again.
const LIMIT: Duration = CONNECT_DEADLINE.saturating_mul(2);
/// For the test message to come back: somebody waits, and no backlog stands before it.
const LOOP: Duration = Duration::from_secs(3);
const FAREWELL: Duration = Duration::from_secs(1);

/// What a look found.
#[derive(Debug, Default)]
pub struct Probed {
    pub limits: Limits,
    pub outcome: Grants,
    /// Our own test message: it came back, or why not; `None` without a word from the broker.
    pub loopback: Option<Result<(), String>>,
}

/// Connects, subscribes, sends a test message, and goes again. The error says what the broker or the network said.
pub async fn probe(mut settings: Settings) -> Result<Probed, String> {
    settings.client_id.push_str("-doctor");
    settings.is_guest = true;
    match settings.version {
        MqttVersion::V5 => look::<EventStream5>(&settings).await,
        MqttVersion::V311 => look::<EventStream4>(&settings).await,
    }
}

async fn look<E: EventStream>(settings: &Settings) -> Result<Probed, String> {
    let (mut stream, publisher) = E::open(settings);
    let late = |_| format!("no answer came within {} s", LIMIT.as_secs());
    let (session_present, limits) = timeout(LIMIT, enter(&mut stream)).await.map_err(late)??;
    let mut subscriptions = Subscriptions::new(&settings.filters, &[]);
    let topic = Some(settings.loopback_topic.as_str());
    let mut stream =
        OverlapFilter::begin(stream, &publisher, &mut subscriptions, (session_present, &limits), topic);
    // Without a topic there is no answer to wait for.
    let outcome = settings.filters.is_empty().then(Grants::default);
    let (outcome, granted) = timeout(LIMIT, answers(&mut stream, outcome)).await.map_err(late)??;
    let loopback = match granted {
        Ok(()) => timeout(LOOP, send(&mut stream, &publisher, settings)).await.ok(),
        Err(reason) => Some(Err(reason)),
    };
    publisher.disconnect();
    drop(timeout(FAREWELL, async { while stream.poll().await.is_ok() {} }).await); // the broker forgets us either way
    Ok(Probed { limits, outcome, loopback })
}

async fn enter<E: EventStream>(stream: &mut E) -> Result<(bool, Limits), String> {
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
}

/// To the topics, and to the test message. What arrives is the daemon's to acknowledge.
async fn answers<E: EventStream>(
    stream: &mut OverlapFilter<'_, E>,
    mut outcome: Option<Grants>,
) -> Result<(Grants, Result<(), String>), String> {
    let mut granted: Option<Result<(), String>> = None;
    loop {
        if let (Some(outcome), Some(granted)) = (&outcome, &granted) {
            return Ok((outcome.clone(), granted.clone()));
        }
        match stream.poll().await.map_err(|(_, reason)| reason)? {
            Heard::Subscribed(all) => outcome = Some(all),
            Heard::LoopbackGranted(answer) => granted = Some(answer),
            Heard::Ended(_, reason) => return Err(reason),
            Heard::Connected { .. }
            | Heard::Unfit(_)
            | Heard::Asked(_)
            | Heard::Answered(..)
            | Heard::Loopback(_)
            | Heard::Message(..)
            | Heard::Alive
            | Heard::Sent => {}
        }
    }
}

/// Sends a test message and waits until it is back.
async fn send<E: EventStream>(
    stream: &mut OverlapFilter<'_, E>,
    publisher: &E::Publisher,
    settings: &Settings,
) -> Result<(), String> {
    let payload = format!("doctor {}", std::process::id());
    let message = loopback::message(&settings.loopback_topic, payload.clone());
    let mut refusal = pin!(refusal(publisher.publish(message)));
    loop {
        let heard = tokio::select! {
            heard = stream.poll() => heard,
            reason = &mut refusal => return Err(reason),
        };
        if let Heard::Loopback(came) = heard.map_err(|(_, reason)| reason)?
            && came == payload
        {
            return Ok(());
        }
    }
}

/// Waits until the broker refuses it.
async fn refusal(answer: Option<PublishAck>) -> String {
    if let Some(answer) = answer
        && let Some(Err(reason)) = answer.await
    {
        return reason;
    }
    std::future::pending().await
}
