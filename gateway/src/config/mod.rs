//! The configuration, read in three steps: what the TOML says, all its problems with line numbers, what we run on.
//! Nothing outside this folder sees a string that has not been checked.

/// `[[command]]`, and the terms of actions.
mod commands;
/// `[[connection]]` and `[files]`.
mod connections;
/// `[[serial]]`, and actions that command a device.
mod devices;
/// Changes to its text.
pub mod edit;
/// Conditions and messages.
mod expressions;
/// `[home_assistant]` and its rules.
mod home_assistant;
/// What stands in for a file with mistakes.
mod last_good;
/// The keys that give alerts a life.
mod alert_lifecycle;
/// Networks, as `10.0.0.0/8`.
mod network;
/// `[[onward]]`.
mod onward;
/// Rules about the gateway itself.
mod self_monitor_rules;
/// Certificates and keys in files.
mod pem;
/// `[[contact]]` and `[[team]]`.
mod people;
/// A large file's tables.
mod pieces;
/// What is wrong, where, and what to do.
mod problem;
/// `[[ask]]`.
mod questions;
/// `[site]`, `[http]`, `[mqtt]`, `[words]`.
mod read;
/// What is right, and may surprise.
mod warnings;
/// Turns of a team.
mod on_call;
/// `[[rule]]` and its actions.
mod rules;
/// Tokens from the page, for the disk.
mod secret_box;
/// Secrets in files.
mod secret;
/// A table of the file, read key by key.
mod section;
#[cfg(test)]
mod tests;
/// How long a version of the Graph API lives.
pub mod versions;

pub use connections::{api_url, api_version, digits};
pub use devices::Serial;
pub use last_good::{in_short, keep_as_last_good, load_or_last_good, refusal};
pub use network::Network;
pub use pem::{Pem, not_pem};
pub use problem::{Problem, Problems};
pub use read::{ConfigurationFile, LoadOptions, load, own_client_id, read};
pub use rules::FIRST_CONNECTION;
pub use secret::{Secret, SecretError, secret, secret_file};
pub use secret_box::{SecretBox, SecretBoxError};
pub use section::duration;
pub use warnings::{exposed, remarks};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::alert::intake::RuleSet;
use crate::command::action::TextCommand;
use crate::command::home_assistant::Appearance;
use crate::command::question::Question;
use crate::contact::People;
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::budget::Budget;
use crate::outbox::button_token::ButtonSigner;
use crate::reply::context::SiteContext;
use crate::reply::forward::ForwardRule;
use crate::reply::opt_out::Words;
use crate::rule::definition::Rule;
use crate::rule::error::TemplateError;
use crate::time::Timestamp;

/// What the daemon runs on. Every name in it exists, every expression in it compiles.
#[derive(Debug, Clone)]
pub struct Config {
    pub site: Site,
    pub http: Http,
    pub mqtt: Mqtt,
    pub serial: Vec<Serial>,
    pub connections: Vec<Connection>,
    /// Shared, as each rule is: whoever needs a copy of the configuration takes a few handles, and not a thousand people.
    pub people: Arc<People>,
    /// Those of the file first, then those that we add.
    pub rules: Vec<Arc<Rule>>,
    pub written_rules: usize,
    pub words: Words,
    pub commands: Vec<TextCommand>,
    pub questions: Vec<Question>,
    pub onward: Vec<ForwardRule>,
    pub files: Files,
    pub home_assistant: Option<HomeAssistant>,
    /// Why this is the last good one, and not what the file says: a sentence.
    pub stands_in: Option<String>,
}

impl Config {
    /// What decides what an event means. It shares the rules and the people.
    pub fn rule_set(&self) -> Result<RuleSet, TemplateError> {
        let (site, zone) = (self.site.name.clone(), self.site.time_zone.clone());
        RuleSet::new(self.rules.clone(), Arc::clone(&self.people), site, zone)
    }

    /// What decides about what people say.
    #[must_use]
    pub fn context<'a>(&'a self, seal: &'a ButtonSigner, now: Timestamp) -> SiteContext<'a> {
        SiteContext {
            name: &self.site.name,
            people: &self.people,
            owner: &self.site.owner,
            rules: &self.rules,
            questions: &self.questions,
            words: &self.words,
            numbers: self.connections.iter().map(|connection| &connection.name).collect(),
            seal,
            now,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Site {
    pub name: String,
    pub time_zone: TimeZone,
    pub state_directory: PathBuf,
    /// Contacts and teams who hear of what concerns the account: paused templates, restrictions, held messages.
    pub owner: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// The page, the API, health, metrics and, without `webhook_listen`, the webhook.
    pub listen: SocketAddr,
    /// Host names under which the page may be asked for, besides addresses and localhost; in small letters.
    pub names: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` says who is behind them.
    pub trusted_proxies: Vec<Network>,
    /// Home Assistant's Supervisor, which brings the page into its frontend; one of `trusted_proxies`, too.
    pub ingress: Option<IpAddr>,
    /// The webhook's own listener.
    pub webhook_listen: Option<SocketAddr>,
    /// Where a monitor gets `/metrics`; without it they are for this machine alone.
    pub metrics_listen: Option<SocketAddr>,
    /// PEM chain and key: `listen` speaks TLS by itself.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether the page and the API may change the configuration.
    pub edit: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    pub host: String,
    pub port: u16,
    pub version: MqttVersion,
    /// Stable, so that the broker keeps the session (`tests/it/mqtt_contract.rs`, C7).
    pub client_id: String,
    /// Whether the file says it.
    pub is_client_id_given: bool,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub tls: Option<MqttTls>,
    /// Largest packet that the broker may send us, in bytes; announced with MQTT 5.
    pub max_packet_bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    V5,
    V311,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MqttTls {
    /// PEM; Mozilla's roots without it.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate chain and key for brokers that ask for a client certificate.
    pub client_certificate_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
}

/// One WhatsApp business phone number.
#[derive(Debug, Clone)]
pub struct Connection {
    pub name: ConnectionName,
    pub phone_number_id: String,
    pub business_account_id: Option<String>,
    pub access_token: Secret,
    pub app_secret: Secret,
    pub verify_token: Secret,
    /// `https://graph.facebook.com`, or a simulator's address. No slash at the end.
    pub api_url: String,
    /// There is a hub of ours: it has the secrets, and the two above are the token that it gave us.
    pub via_hub: bool,
    /// For example `v25.0`.
    pub api_version: String,
    /// How fast this number may send; 80 unless Meta has raised it (docs/cloud-api.md 5.1).
    pub messages_per_second: u32,
    /// Whether people see that what they wrote was read.
    pub mark_read: bool,
    /// What it may cost in a month.
    pub budget: Option<Budget>,
}

/// The gateway as a device of Home Assistant.
#[derive(Debug, Clone)]
pub struct HomeAssistant {
    pub appearance: Appearance,
    /// Alerts so severe come through its mute switch.
    pub break_through: Severity,
    /// The switch is off again after this time.
    pub mute_for: Duration,
}

/// What becomes of pictures, sounds and documents that contacts send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub fetch: bool,
    /// Larger ones are not fetched.
    pub max_bytes: u32,
    /// All together; the oldest go first.
    pub keep_bytes: u64,
    pub keep_for: Duration,
    /// Otherwise Meta keeps its copy for 7 days, and another program on the same number may want it.
    pub delete_at_meta: bool,
}

impl Default for Files {
    /// WhatsApp shrinks pictures to less than a megabyte, and videos to 16 MB (docs/cloud-api.md 2).
    fn default() -> Self {
        Self {
            fetch: true,
            max_bytes: 16 * 1024 * 1024,
            keep_bytes: 100 * 1024 * 1024,
            keep_for: Duration::from_secs(30 * 24 * 3_600),
            delete_at_meta: false,
        }
    }
}
