//! Numbers for `/metrics`. Labels are words of ours alone: never a phone number, a topic or a message id.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::command::command_state::CommandState;
use crate::command::dispatch::CommandUpdate;
use crate::device::order::EndState;
use crate::device::record::Route;
use crate::event::incoming::EventSource;
use crate::http::WebhookRejection;
use crate::mqtt::Cause;
use crate::outbox::message_state::State;
use crate::store::IntakeReport;
use crate::time::Timestamp;

type Labels = Vec<(&'static str, String)>;

/// The Cloud API answers within half a second; a request ends after 30 s at the latest.
const SEND_SECONDS: [f64; 8] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// A disk of a PC takes a millisecond for a commit, a good SD card 5 to 20, one that wears out hundreds (`bellwire doctor`
/// warns from 200 on), and one that cleans up behind the scenes seconds. Alarms feel nothing below 0.2 s.
const COMMIT_SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 2.0, 10.0];
/// Which sources these are of: `tools/cross-build` says so, from git where there is one. No build script: it would have to
/// run for each commit, and sources from an archive have no history.
const SHA: Option<&str> = option_env!("BELLWIRE_SHA");

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: Family<Labels, Counter>,
    connected: Gauge,
    /// Why the last connection that stood was lost; the next one is counted by it.
    lost: Mutex<Option<Cause>>,
    reconnects: Family<Labels, Counter>,
    send_seconds: Histogram,
    commit_seconds: Histogram,
    round_trip: Histogram,
    free: Gauge,
    clock: Gauge,
    alerts: Family<Labels, Counter>,
    attempts: Family<Labels, Counter>,
    webhooks: Family<Labels, Counter>,
    commands: Family<Labels, Counter>,
    messages: Family<Labels, Gauge>,
    dropped: Family<Labels, Counter>,
    device_messages: Family<Labels, Counter>,
    serial: Family<Labels, Gauge>,
    oldest: Gauge,
    wal: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            events: Family::default(),
            connected: Gauge::default(),
            lost: Mutex::default(),
            reconnects: Family::default(),
            send_seconds: Histogram::new(SEND_SECONDS),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            round_trip: Histogram::new(COMMIT_SECONDS),
            free: Gauge::default(),
            clock: Gauge::default(),
            alerts: Family::default(),
            attempts: Family::default(),
            webhooks: Family::default(),
            commands: Family::default(),
            messages: Family::default(),
            dropped: Family::default(),
            device_messages: Family::default(),
            serial: Family::default(),
            oldest: Gauge::default(),
            wal: Gauge::default(),
        };
        let build = Family::<Labels, Gauge>::default();
        let sha = SHA.filter(|sha| !sha.is_empty()).unwrap_or("unknown");
        let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("sha", sha.to_owned())];
        build.get_or_create(&labels).set(1);
        for cause in Cause::OF_LOSS {
            metrics.reconnects.get_or_create(&vec![("reason", cause.as_str().to_owned())]).inc_by(0); // so that they are shown
        }
        let registry = &mut metrics.registry;
        registry.register(
            "bellwire_events_received",
            "Events by where they came from",
            metrics.events.clone(),
        );
        registry.register(
            "bellwire_mqtt_connected",
            "1 while the broker is connected",
            metrics.connected.clone(),
        );
        let alerts = "What was decided about events and alerts: raised, told, held, ignored, and why";
        registry.register("bellwire_alerts", alerts, metrics.alerts.clone());
        registry.register("bellwire_send_attempts", "Requests to the Cloud API", metrics.attempts.clone());
        let webhooks = "What Meta told by its kind, and posts that were turned away, unread, and why";
        registry.register("bellwire_webhooks", webhooks, metrics.webhooks.clone());
        registry.register("bellwire_commands", "Commands by outcome", metrics.commands.clone());
        registry.register("bellwire_outbox_messages", "Messages by state", metrics.messages.clone());
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
        registry.register(
            "bellwire_build_info",
            "1, with the version, and which sources it was built from",
            build,
        );
        let free = "Room on the disk of the state directory, as it was within the last minutes";
        registry.register("bellwire_store_free_bytes", free, self.free.clone());
        registry.register(
            "bellwire_clock_sane",
            "0 while the clock says a time long ago",
            self.clock.clone(),
        );
        let seconds = "How long the disk took for a commit";
        registry.register("bellwire_store_commit_duration_seconds", seconds, self.commit_seconds.clone());
        let reconnects = "Connections to the broker after the first, by why the one before was lost";
        registry.register("bellwire_mqtt_reconnects", reconnects, self.reconnects.clone());
        let seconds = "How long the Cloud API took for a message";
        registry.register("bellwire_send_duration_seconds", seconds, self.send_seconds.clone());
        let seconds = "How long our own test message took through the broker and back";
        registry.register("bellwire_mqtt_round_trip_seconds", seconds, self.round_trip.clone());
        let dropped = "What was given up for want of room: log lines that the journal did not take in time";
        registry.register("bellwire_dropped", dropped, self.dropped.clone());
    }

    pub fn event(&self, source: EventSource) {
        self.events.get_or_create(&vec![("source", source.as_str().to_owned())]).inc();
    }

    pub fn broker_is(&self, connected: bool) {
        self.connected.set(i64::from(connected));
        if connected && let Some(cause) = self.last_loss().take() {
            self.reconnects.get_or_create(&vec![("reason", cause.as_str().to_owned())]).inc();
        }
    }

    /// A connection has ended; an attempt that came to nothing is none.
    pub fn lost(&self, cause: Cause) {
        if cause != Cause::Refused {
            self.last_loss().get_or_insert(cause);
        }
    }

    fn last_loss(&self) -> MutexGuard<'_, Option<Cause>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the store's thread, which knows no metrics.
    pub fn commits(&self) -> impl Fn(Duration) + Send + 'static {
        let seconds = self.commit_seconds.clone();
        move |time| seconds.observe(time.as_secs_f64())
    }

    pub fn round_trip(&self, time: Duration) {
        self.round_trip.observe(time.as_secs_f64());
    }

    pub fn sent_within(&self, time: Duration) {
        self.send_seconds.observe(time.as_secs_f64());
    }

    pub fn free(&self, megabytes: u64) {
        self.free.set(i64::try_from(megabytes << 20).unwrap_or(i64::MAX));
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
        self.commands.get_or_create(&vec![("outcome", CommandState::from(state).as_str().to_owned())]).inc();
    }

    pub fn accepted(&self, accepted: &IntakeReport) {
        for ((outcome, reason), count) in &accepted.decided {
            let labels = vec![("outcome", outcome.as_str().to_owned()), ("reason", (*reason).to_owned())];
            self.alerts.get_or_create(&labels).inc_by(*count);
        }
    }

    pub fn settled(&self, state: State) {
        self.attempts.get_or_create(&vec![("result", state.as_str().to_owned())]).inc();
    }

    /// What was in a webhook that is on disk.
    pub fn heard(&self, kinds: &BTreeMap<&'static str, u64>) {
        for (kind, count) in kinds {
            let labels = vec![("kind", (*kind).to_owned()), ("result", "kept".to_owned())];
            self.webhooks.get_or_create(&labels).inc_by(*count);
        }
    }

    /// Nobody has looked into it: it may be anybody's.
    pub fn turned_away(&self, why: WebhookRejection) {
        let labels = vec![("kind", "unread".to_owned()), ("result", why.as_str().to_owned())];
        self.webhooks.get_or_create(&labels).inc();
    }

    pub fn commanded(&self, change: &CommandUpdate) {
        self.commands.get_or_create(&vec![("outcome", change.state().as_str().to_owned())]).inc();
    }

    /// The text format; message counts are read from the outbox at the time of asking.
    pub fn text(&self, counts: &[(String, i64)], oldest_s: i64, wal_bytes: u64, now: Timestamp) -> String {
        self.oldest.set(oldest_s);
        self.wal.set(i64::try_from(wal_bytes).unwrap_or(i64::MAX));
        self.clock.set(i64::from(now.is_sane()));
        let lines = self.dropped.get_or_create_owned(&vec![("where", "log".to_owned())]);
        lines.inc_by(crate::log::dropped().saturating_sub(lines.get()));
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
