//! What the broker lets us do: a look that leaves nothing behind, under another client id, so that a daemon that runs
//! beside it keeps its session.

use std::time::Duration;

use tokio::time::timeout;

use super::limits::Limits;
use super::once::Once;
use super::settings::Settings;
use super::subscriptions::{Outcome, Subscriptions};
use super::v4::Ear4;
use super::v5::Ear5;
use super::wire::{CONNECT_DEADLINE, Ear, Heard, Mouth};
use crate::config::MqttVersion;

/// To be let in, and to have an answer about each topic: as long again.
const LIMIT: Duration = CONNECT_DEADLINE.saturating_mul(2);
const FAREWELL: Duration = Duration::from_secs(1);

/// Connects, subscribes, and goes again. The error says what the broker or the network said.
pub async fn probe(mut settings: Settings) -> Result<(Limits, Outcome), String> {
    settings.client_id.push_str("-doctor");
    settings.is_guest = true;
    let look = async {
        match settings.version {
            MqttVersion::V5 => look::<Ear5>(&settings).await,
            MqttVersion::V311 => look::<Ear4>(&settings).await,
        }
    };
    timeout(LIMIT, look).await.unwrap_or_else(|_| Err(format!("no answer came within {} s", LIMIT.as_secs())))
}

async fn look<E: Ear>(settings: &Settings) -> Result<(Limits, Outcome), String> {
    let (mut ear, mouth) = E::open(settings);
    let (session_present, limits) = loop {
        match ear.hear().await? {
            Heard::Connected { session_present, limits } => break (session_present, limits),
            Heard::Ended(reason) => return Err(reason),
            Heard::Unfit(_)
            | Heard::Asked(_)
            | Heard::Answered(..)
            | Heard::Subscribed(_)
            | Heard::Message(..)
            | Heard::Alive
            | Heard::Sent => {}
        }
    };
    let mut subscriptions = Subscriptions::new(&settings.filters, &[]);
    let mut ear = Once::begin(ear, &mouth, &mut subscriptions, (session_present, &limits));
    // Without a topic there is no answer to wait for. What arrives is the daemon's to acknowledge.
    let mut outcome = settings.filters.is_empty().then(Outcome::default);
    let outcome = loop {
        if let Some(outcome) = outcome {
            break outcome;
        }
        outcome = match ear.hear().await.map_err(|(_, reason)| reason)? {
            Heard::Subscribed(outcome) => Some(outcome),
            Heard::Ended(reason) => return Err(reason),
            Heard::Connected { .. }
            | Heard::Unfit(_)
            | Heard::Asked(_)
            | Heard::Answered(..)
            | Heard::Message(..)
            | Heard::Alive
            | Heard::Sent => None,
        };
    };
    mouth.disconnect();
    drop(timeout(FAREWELL, async { while ear.hear().await.is_ok() {} }).await); // the broker forgets us either way
    Ok((limits, outcome))
}
