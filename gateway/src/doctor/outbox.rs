//! Whether the daemon runs and accepts, and what waits in its outbox for a person.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::Value;

use super::Findings;
use crate::config::Config;
use crate::outbox::message_state::State;
use crate::started_by::StartedBy;
use crate::store::{Lock, MessageFilter, RELEASE, Store};
use crate::whatsapp::client::Client;

/// The newest ones tell what is wrong now.
const LOOK_AT: u32 = 500;

/// Whether the daemon runs, and accepts.
pub async fn examine_daemon(findings: &mut Findings, config: &Config, client: &Client) {
    let url = format!("http://{}/readyz", config.http.listen);
    if config.http.tls.is_some() {
        // Its certificate is for its name, not for this address: that it answers must do.
        match tokio::net::TcpStream::connect(config.http.listen).await {
            Ok(_) => findings.good("daemon", "it runs; the page tells whether it accepts events"),
            Err(_) => findings.warn(
                "daemon",
                "it is not running",
                format!("start it: {}", StartedBy::here().start()),
            ),
        }
        return;
    }
    match client.request(Method::GET, &url, None, None).await {
        Err(_) => findings.warn(
            "daemon",
            "it is not running",
            format!("start it: {}", StartedBy::here().start()),
        ),
        // What answers need not be the one that works with this database.
        Ok(_) if Lock::is_taken(&config.site.state_directory) == Some(false) => findings.fail(
            "daemon",
            format!(
                "it is not running: another gateway, or another program, answers on {}",
                config.http.listen
            ),
            "give this one an address of its own: listen in [http]; or look at the other's configuration with --config",
        ),
        Ok(answered) => {
            let answer: Value = serde_json::from_slice(&answered.body).unwrap_or(Value::Null);
            let obstacles = answer["obstacles"].as_array().into_iter().flatten();
            let obstacles: Vec<&str> = obstacles.filter_map(Value::as_str).collect();
            if answer["ready"] == true {
                findings.good("daemon", "it runs, and accepts events");
            } else {
                let why = if obstacles.is_empty() {
                    "it does not say why".to_owned()
                } else {
                    obstacles.join("; ")
                };
                findings.fail(
                    "daemon",
                    format!("it is not ready: {why}"),
                    format!("its log says more: {}", StartedBy::here().log()),
                );
            }
        }
    }
}

/// What waits for a person.
pub fn examine(findings: &mut Findings, config: &Config) {
    let Ok(store) = Store::open_existing(&config.site.state_directory) else {
        return; // nothing was ever sent; the disk was looked at before
    };
    if let Ok(Some(why)) = store.copy_stopped() {
        findings.fail("copy", why.to_string(), format!("leave it stopped: {}", StartedBy::here().disable()));
    }
    if let Ok(Some(what)) = store.unreleased() {
        findings.warn("copy", what.to_string(), RELEASE);
    }
    for state in [State::Held, State::Failed, State::Unknown] {
        let filter = MessageFilter { state: Some(state), contact: None, limit: LOOK_AT };
        let rows = store.messages(&filter).unwrap_or_default();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows {
            *reasons.entry(row.reason).or_default() += 1;
        }
        for (reason, count) in reasons {
            findings.warn(
                "outbox",
                format!("{count} of the newest messages are {}: {reason}", state.as_str()),
                format!("bellwire outbox list --state {}; then retry or cancel each", state.as_str()),
            );
        }
    }
}
