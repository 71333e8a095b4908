//! Numbers for `/metrics`, of this hub. No label is a site's name: a thousand of them are too many for a time series each, and the
//! page and `sites list` have them.

use bellwire::contact::severity::Severity;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, &'static str)>;

pub const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

pub struct Metrics {
    registry: Registry,
    messages: Family<Labels, Counter>,
    webhooks: Family<Labels, Counter>,
    polls: Gauge,
    waiting: Family<Labels, Gauge>,
    sites: Family<Labels, Gauge>,
    backlog: Gauge,
    oldest: Gauge,
    unrouted: Gauge,
    hubs: Gauge,
}

/// How the chain is at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fleet {
    pub heard: usize,
    pub silent: usize,
    pub never_asked: usize,
    /// Messages in the outboxes of all sites, as they said when they asked last.
    pub backlog: u64,
    /// Seconds.
    pub oldest: u64,
    pub hubs: usize,
    /// `None`: the engine did not say.
    pub unrouted: Option<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            messages: Family::default(),
            webhooks: Family::default(),
            polls: Gauge::default(),
            waiting: Family::default(),
            sites: Family::default(),
            backlog: Gauge::default(),
            oldest: Gauge::default(),
            unrouted: Gauge::default(),
            hubs: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        let messages = "Requests of sites to send a message, by what they were told";
        registry.register("bellwire_hub_messages", messages, metrics.messages.clone());
        let webhooks = "Webhooks of Meta's, by what became of them";
        registry.register("bellwire_hub_webhooks", webhooks, metrics.webhooks.clone());
        registry.register("bellwire_hub_polls", "Sites that wait at this hub", metrics.polls.clone());
        let waiting = "Messages that wait at this hub for their turn";
        registry.register("bellwire_hub_waiting", waiting, metrics.waiting.clone());
        registry.register(
            "bellwire_hub_sites",
            "Sites of the chain, by when they asked last",
            metrics.sites.clone(),
        );
        let backlog = "Messages in the outboxes of all sites, as they said when they asked last";
        registry.register("bellwire_hub_backlog", backlog, metrics.backlog.clone());
        let oldest = "How long the oldest message of any site has waited there";
        registry.register("bellwire_hub_backlog_oldest_seconds", oldest, metrics.oldest.clone());
        let unrouted = "Messages of people and statuses that have no site";
        registry.register("bellwire_hub_unrouted", unrouted, metrics.unrouted.clone());
        registry.register("bellwire_hub_hubs", "Hubs that hear each other", metrics.hubs.clone());
        metrics
    }
}

impl Metrics {
    pub fn message(&self, severity: &str, said: &str) {
        const SAID: [&str; 6] = ["answer", "again", "later", "wait", "unknown", "refused"];
        let severity = SEVERITIES.iter().map(|known| known.as_str()).find(|known| *known == severity);
        let said = SAID.into_iter().find(|known| *known == said).unwrap_or("failed");
        self.messages.get_or_create(&vec![("severity", severity.unwrap_or("none")), ("result", said)]).inc();
    }

    pub fn webhook(&self, result: &'static str) {
        self.webhooks.get_or_create(&vec![("result", result)]).inc();
    }

    /// Counts a site as waiting until it is dropped.
    pub fn poll(&self) -> OpenPoll {
        self.polls.inc();
        OpenPoll(self.polls.clone())
    }

    #[must_use]
    pub fn text(&self, fleet: &Fleet, waiting: impl Fn(Severity) -> usize) -> String {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for severity in SEVERITIES {
            self.waiting.get_or_create(&vec![("severity", severity.as_str())]).set(number(waiting(severity)));
        }
        let states = [("heard", fleet.heard), ("silent", fleet.silent), ("never_asked", fleet.never_asked)];
        for (state, count) in states {
            self.sites.get_or_create(&vec![("state", state)]).set(number(count));
        }
        self.backlog.set(i64::try_from(fleet.backlog).unwrap_or(i64::MAX));
        self.oldest.set(i64::try_from(fleet.oldest).unwrap_or(i64::MAX));
        self.hubs.set(number(fleet.hubs));
        if let Some(unrouted) = fleet.unrouted {
            self.unrouted.set(i64::try_from(unrouted).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "the metrics could not be written");
            text.clear();
        }
        text
    }
}

/// A request of a site's that is held open.
pub struct OpenPoll(Gauge);

impl Drop for OpenPoll {
    fn drop(&mut self) {
        self.0.dec();
    }
}
