//! Whether the broker lets us in: a look that leaves nothing behind, under another client id, so that a daemon that runs
//! beside it keeps its session.

use std::time::Duration;

use super::settings::Settings;
use super::wire::CONNECT_DEADLINE;
use super::{v4, v5};
use crate::config::MqttVersion;

/// Connects, and goes again. The error says what the broker or the network said.
pub async fn probe(mut settings: Settings) -> Result<(), String> {
    settings.client_id.push_str("-doctor");
    let look = async {
        match settings.version {
            MqttVersion::V5 => v5::look(&settings).await,
            MqttVersion::V311 => v4::look(&settings).await,
        }
    };
    let limit = CONNECT_DEADLINE + Duration::from_secs(1);
    tokio::time::timeout(limit, look)
        .await
        .unwrap_or_else(|_| Err(format!("no answer came within {} s", limit.as_secs())))
}
