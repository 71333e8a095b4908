//! Handles by which tasks tell each other things in memory alone: none of it is missed after a crash.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::config::ConfigurationFile;
use crate::contact::severity::Severity;
use crate::ids::{CommandId, ConnectionName, Wamid};

/// Ticks are a courtesy: after this many that wait (an outage), the oldest are not shown.
const MARKS_MAX: usize = 64;

/// Commands that were handed to the broker, and are not noted as published: at most as many as are loaded at once, 16.
#[derive(Debug, Default)]
pub struct CommandsAtBroker(Mutex<BTreeSet<CommandId>>);

impl CommandsAtBroker {
    pub fn all(&self) -> BTreeSet<CommandId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is handed to the broker, or it has an end on disk.
    pub fn set(&self, command: CommandId, is_there: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_there {
            all.insert(command)
        } else {
            all.remove(&command)
        };
    }
}

/// Messages of people that were taken.
#[derive(Debug, Default)]
pub struct ReadReceipts {
    waiting: Mutex<VecDeque<ReadReceipt>>,
    pub(super) told: Notify,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadReceipt {
    pub connection: ConnectionName,
    pub wamid: Wamid,
    /// An answer follows.
    pub typing: bool,
}

impl ReadReceipts {
    pub fn add(&self, marks: Vec<ReadReceipt>) {
        if marks.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(marks);
        let surplus = waiting.len().saturating_sub(MARKS_MAX);
        waiting.drain(..surplus);
        drop(waiting);
        self.told.notify_one();
    }

    pub(super) fn take(&self) -> Option<ReadReceipt> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Wakes the task that shows the state to Home Assistant. It has no clock of its own: an idle gateway is woken often
/// enough.
#[derive(Debug, Default)]
pub struct DiscoveryHandle {
    pub(super) told: Notify,
    pub(super) news: Notify,
    /// Connections to the broker, and starts of Home Assistant: after each all is said again.
    pub(super) greetings: AtomicU64,
}

impl DiscoveryHandle {
    /// The broker or Home Assistant is new.
    pub fn greet(&self) {
        self.greetings.fetch_add(1, Ordering::Relaxed);
        self.told.notify_one();
    }

    /// Something that it shows may have changed, and somebody waits to see it.
    pub fn look(&self) {
        self.told.notify_one();
    }

    /// Something may have changed; the intake says so every half a minute at least.
    pub fn news(&self) {
        self.news.notify_one();
    }
}

/// The configuration file, and the wish to read it again.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    pub file: Arc<ConfigurationFile>,
    requests: mpsc::Sender<String>,
}

impl ReloadHandle {
    /// One request that waits reads whatever is written until then: another beside it would find nothing new.
    pub fn new(file: ConfigurationFile) -> (Self, mpsc::Receiver<String>) {
        let (requests, received) = mpsc::channel(1);
        (Self { file: Arc::new(file), requests }, received)
    }

    /// It is read again soon, and the owner hears if that cannot be. `by`: who asked, for the log.
    pub fn request(&self, by: &str) {
        drop(self.requests.try_send(by.to_owned()));
    }
}

/// Notices on their way to `bellwire/CLIENT/notice`.
#[derive(Debug)]
pub struct OwnerNotices(pub mpsc::Sender<String>);

impl OwnerNotices {
    /// Tells the owner something: in the log, and at the broker.
    pub fn tell(&self, connection: &ConnectionName, severity: Severity, text: String) {
        if severity >= Severity::Warning {
            tracing::warn!(%connection, text, "notice to the owner");
        } else {
            tracing::info!(%connection, text, "notice to the owner");
        }
        let notice =
            serde_json::json!({ "connection": connection.0, "severity": severity.as_str(), "text": text });
        drop(self.0.try_send(notice.to_string())); // it is kept in the store, too
    }

    /// Tells the owner something about a device: the same way.
    pub fn tell_of_device(&self, device: &str, text: &str) {
        tracing::warn!(device, text, "notice to the owner");
        let severity = Severity::Warning.as_str();
        let notice = serde_json::json!({ "device": device, "severity": severity, "text": text });
        drop(self.0.try_send(notice.to_string())); // `bellwire devices list` shows it, too
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_64_read_receipts_are_queued() {
        let marks = ReadReceipts::default();
        let mark = |number: usize| ReadReceipt {
            connection: ConnectionName("main".into()),
            wamid: Wamid(number.to_string()),
            typing: false,
        };
        marks.add((0..100).map(mark).collect());
        assert_eq!(marks.take(), Some(mark(36)), "the newest 64 stay");
    }
}
