//! Tokens of programs that end: whoever uses one should hear of it before.

use std::time::Duration;

use super::Findings;
use crate::config::Config;
use crate::store::Store;
use crate::time::{Clock, SystemClock, Timestamp};

/// Time to come by.
const SOON: Duration = Duration::from_secs(14 * 24 * 3_600);
/// Longer ago somebody has noticed.
const LATELY: Duration = Duration::from_secs(30 * 24 * 3_600);

pub fn examine(findings: &mut Findings, config: &Config) {
    let Ok(store) = Store::open_existing(&config.site.state_directory) else { return };
    let now = SystemClock.now();
    for token in store.tokens().map(|tokens| tokens.0).unwrap_or_default() {
        let at = |name: &str| token[name].as_i64().map(Timestamp);
        let Some(end) = at("expires_at").filter(|_| at("revoked_at").is_none()) else { continue };
        if at("used_at").is_none() || end > now + SOON || end + LATELY < now {
            continue;
        }
        let name = token["name"].as_str().unwrap_or_default();
        let ends = if end <= now { "ended" } else { "ends" };
        findings.warn(
            "token",
            format!("the API token {name} {ends} on {}", end.for_tables(&config.site.time_zone)),
            format!("make another one for that program: bellwire token new {name:?} --scope …, or on the page under Setup"),
        );
    }
}
