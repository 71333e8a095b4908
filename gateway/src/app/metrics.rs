//! Numbers for `/metrics`. Labels are words of ours alone: never a phone number, a topic or a message id.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::alert::state::State;
use crate::command::dispatch::Change;
use crate::device::order::EndState;
use crate::device::record::Route;
use crate::store::Accepted;

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub events: Counter,
    pub connected: Gauge,
    alerts: Counter,
    ignored: Family<Labels, Counter>,
    attempts: Family<Labels, Counter>,
    webhooks: Family<Labels, Counter>,
    commands: Family<Labels, Counter>,
    messages: Family<Labels, Gauge>,
    lines_dropped: Gauge,
    device_messages: Family<Labels, Counter>,
    serial: Family<Labels, Gauge>,
    oldest: Gauge,
    wal: Gauge,
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            events: Counter::default(),
            connected: Gauge::default(),
            alerts: Counter::default(),
            ignored: Family::default(),
            attempts: Family::default(),
            webhooks: Family::default(),
            commands: Family::default(),
            messages: Family::default(),
            lines_dropped: Gauge::default(),
            device_messages: Family::default(),
            serial: Family::default(),
            oldest: Gauge::default(),
            wal: Gauge::default(),
        };
        let build = Family::<Labels, Gauge>::default();
        build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        let registry = &mut metrics.registry;
        registry.register("bellwire_events_received", "Events taken from the broker", metrics.events.clone());
        registry.register(
            "bellwire_mqtt_connected",
            "1 while the broker is connected",
            metrics.connected.clone(),
        );
        registry.register("bellwire_alerts", "Alerts raised", metrics.alerts.clone());
        registry.register(
            "bellwire_events_ignored",
            "Events that nobody was told of",
            metrics.ignored.clone(),
        );
        registry.register("bellwire_send_attempts", "Requests to the Cloud API", metrics.attempts.clone());
        registry.register("bellwire_webhooks", "Webhook posts by answer", metrics.webhooks.clone());
        registry.register("bellwire_commands", "Commands by outcome", metrics.commands.clone());
        registry.register("bellwire_outbox_messages", "Messages by state", metrics.messages.clone());
        registry.register(
            "bellwire_log_lines_dropped",
            "Log lines that the journal did not take in time",
            metrics.lines_dropped.clone(),
        );
        registry.register(
            "bellwire_device_messages",
            "Messages of devices by line: of which kind they were, or why they led to nothing",
            metrics.device_messages.clone(),
        );
        registry.register("bellwire_serial_open", "1 while the serial port is open", metrics.serial.clone());
        metrics.register_store(build);
        metrics
    }

    fn register_store(&mut self, build: Family<Labels, Gauge>) {
        let registry = &mut self.registry;
        let oldest = "How long the oldest message waits";
        registry.register("bellwire_outbox_oldest_seconds", oldest, self.oldest.clone());
        registry.register("bellwire_wal_bytes", "SQLite's write-ahead log", self.wal.clone());
        registry.register("bellwire_build_info", "1, with the version", build);
    }

    /// The path of a port is the installer's own word.
    pub fn device_message(&self, route: &Route, what: &'static str) {
        let labels = vec![("line", route.to_string()), ("what", what.to_owned())];
        self.device_messages.get_or_create(&labels).inc();
    }

    pub fn serial_open(&self, port: &str, open: bool) {
        self.serial.get_or_create(&vec![("line", port.to_owned())]).set(i64::from(open));
    }

    /// A command to a device.
    pub fn ended(&self, state: EndState) {
        self.commands.get_or_create(&vec![("outcome", state.as_str().to_owned())]).inc();
    }

    pub fn accepted(&self, accepted: &Accepted) {
        self.alerts.inc_by(accepted.alerts as u64);
        for (reason, count) in &accepted.ignored {
            self.ignored.get_or_create(&vec![("reason", (*reason).to_owned())]).inc_by(*count);
        }
    }

    pub fn settled(&self, state: State) {
        self.attempts.get_or_create(&vec![("result", state.as_str().to_owned())]).inc();
    }

    pub fn webhook(&self, status: u16) {
        self.webhooks.get_or_create(&vec![("status", status.to_string())]).inc();
    }

    pub fn commanded(&self, change: &Change) {
        let outcome = match change {
            Change::Published { .. } => "published",
            Change::Refused { .. } => "refused",
            Change::Expired { .. } => "expired",
        };
        self.commands.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
    }

    /// The text format; message counts are read from the outbox at the time of asking.
    pub fn text(&self, counts: &[(String, i64)], oldest_s: i64, wal_bytes: u64) -> String {
        self.oldest.set(oldest_s);
        self.wal.set(i64::try_from(wal_bytes).unwrap_or(i64::MAX));
        self.lines_dropped.set(i64::try_from(crate::log::dropped()).unwrap_or(i64::MAX));
        self.messages.clear();
        for (state, count) in counts {
            self.messages.get_or_create(&vec![("state", state.clone())]).set(*count);
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                String::new()
            }
        }
    }
}
