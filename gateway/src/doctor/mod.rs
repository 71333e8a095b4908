//! What keeps it from working, and what to do about it. Every check looks for itself: one that cannot look says so, and
//! the others go on. Nothing here changes anything.

/// The access list of a mosquitto on this machine.
mod access;
/// The token, the number, the business account, its subscription.
mod account;
/// The broker, and how durable it is.
mod broker;
/// What goes to a supporter: no secret, no number.
mod bundle;
/// Devices that have one name, or too many names.
mod devices;
/// A number that a hub has.
mod hub;
/// The clock and the disk.
mod machine;
/// What waits in the outbox for a person, and why.
mod outbox;
/// Who gets what people write.
mod routing;
/// What rules could not make of events.
mod rules;
/// What goes on, and the file would leave without an owner.
mod running;
/// The serial ports of devices.
mod serial;
/// The templates that rules name.
mod templates;
/// Tokens of programs that end.
mod tokens;
/// The way of Meta's webhooks to us.
mod webhook;

use serde::Serialize;

use crate::config::{Config, Connection};
use crate::time::{Clock, SystemClock};
use crate::whatsapp::client::Client;

pub use account::TOKEN_PLACE;
pub use bundle::bundle;

/// How bad it is; the exit code is that of monitoring plugins: 0, 1, 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    #[serde(rename = "ok")]
    Good,
    Warning,
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Check"))]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at: `token`, `number`, `webhook`.
    pub check: &'static str,
    /// Of which connection, if of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    pub what: String,
    /// What to do about it; nothing when it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings {
    connection: Option<String>,
    found: Vec<Finding>,
}

impl Findings {
    fn good(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(Severity::Good, check, what.into(), None);
    }

    fn warn(&mut self, check: &'static str, what: impl Into<String>, next: impl Into<String>) {
        self.add(Severity::Warning, check, what.into(), Some(next.into()));
    }

    fn fail(&mut self, check: &'static str, what: impl Into<String>, next: impl Into<String>) {
        self.add(Severity::Error, check, what.into(), Some(next.into()));
    }

    fn add(&mut self, severity: Severity, check: &'static str, what: String, next: Option<String>) {
        self.found.push(Finding { severity, check, connection: self.connection.clone(), what, next });
    }
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Warning => 1,
            Self::Error => 2,
        }
    }
}

/// The worst of them.
#[must_use]
pub fn worst(findings: &[Finding]) -> Severity {
    findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Good)
}

/// Looks at everything, in the order in which one thing depends on another.
pub async fn examine(config: &Config, client: &Client) -> Vec<Finding> {
    let mut findings = Findings::default();
    if let Some(why) = &config.stands_in {
        findings.fail("configuration", why, "correct the file, run bellwire check, then restart bellwire");
    }
    machine::examine(&mut findings, config);
    serial::examine(&mut findings, config);
    devices::examine(&mut findings, config);
    broker::examine(&mut findings, config).await;
    for connection in &config.connections {
        findings.connection = Some(connection.name.0.clone());
        examine_connection(&mut findings, config, connection, client).await;
    }
    findings.connection = None;
    outbox::examine_daemon(&mut findings, config, client).await;
    outbox::examine(&mut findings, config);
    rules::examine(&mut findings, config);
    running::examine(&mut findings, config);
    tokens::examine(&mut findings, config);
    findings.found
}

/// Looks at the daemon alone: what an update waits for.
pub async fn examine_daemon(config: &Config, client: &Client) -> Vec<Finding> {
    let mut findings = Findings::default();
    outbox::examine_daemon(&mut findings, config, client).await;
    findings.found
}

/// Looks at the token, the number and the business account of one connection alone.
pub async fn examine_account(connection: &Connection, client: &Client) -> Vec<Finding> {
    let mut findings = Findings::default();
    account::examine(&mut findings, connection, client).await;
    findings.found
}

async fn examine_connection(
    findings: &mut Findings,
    config: &Config,
    connection: &Connection,
    client: &Client,
) {
    account::judge_version(findings, connection, SystemClock.now());
    routing::examine(findings, config, connection);
    if connection.via_hub {
        return hub::examine(findings, connection, client).await;
    }
    let Some(account) = account::examine(findings, connection, client).await else { return };
    templates::examine(findings, config, connection, &account, client).await;
    webhook::examine(findings, config, connection, &account, client).await;
}
