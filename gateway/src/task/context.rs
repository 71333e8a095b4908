//! What all tasks share, and the one way to write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::admin::connections;
use crate::config::{Config, Connection};
use crate::contact::Guest;
use crate::event::topic::TopicPattern;
use crate::ids::{CommandId, ConnectionName, StoreTag};
use crate::metrics::Metrics;
use crate::outbox::button_token::ButtonSigner;
use crate::outbox::retry_policy::QUALITY_WAIT;
use crate::outbox::scheduler::Scheduler;
use crate::random::Rng;
use crate::rule::definition::Severity;
use crate::store::{Store, StoreError, StoreHandle};
use crate::task::home_assistant::DiscoveryHandle;
use crate::task::outbox_transaction::{SchedulerHandle, SendStep, StepStart, remember};
use crate::task::received_media::ReadReceipts;
use crate::task::recent_faults::Passing;
use crate::time::{Clock, SystemClock, Timestamp};

/// Why the daemon ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Something that a person must change first.
    #[error("{0:#}")]
    Start(anyhow::Error),
    /// Exit 74; systemd starts it again, and it reads what is really on disk.
    #[error("the disk failed: {0}")]
    Disk(Arc<str>),
    /// Exit 74 as well: a new process begins with what is on disk.
    #[error("the database refused what cannot be left out: {0}")]
    Refused(String),
    /// Exit 74 as well: nobody does that task's work any more, and a new process does.
    #[error("{0} ended, and nobody does its work any more; a new process does")]
    Task(&'static str),
}

/// The database refuses what it was given: the statement or its row is wrong, and would be wrong again.
#[derive(Debug)]
pub struct StatementRefused(pub String);

/// How often a full disk is asked again whether there is room.
const DISK_FULL_PAUSE: Duration = Duration::from_secs(1);
/// How often old rows are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
pub struct TaskContext {
    pub store: StoreHandle,
    pub config: Arc<Config>,
    pub tag: StoreTag,
    pub seal: ButtonSigner,
    pub metrics: Metrics,
    /// Where devices answer and machines ask.
    pub heard: Vec<TopicPattern>,
    /// The sender.
    pub turns: Arc<SchedulerHandle>,
    /// Messages may be due.
    pub outbox: Notify,
    /// The template catalogue may have changed.
    pub catalogue: Notify,
    /// A webhook body was stored.
    pub inbox: Notify,
    /// What people wrote, to be shown as read.
    pub marks: ReadReceipts,
    /// Somebody sent a file.
    pub files: Notify,
    /// What Home Assistant is shown.
    pub home: DiscoveryHandle,
    /// What the owner should know, for `bellwire/CLIENT/notice`.
    pub notices: mpsc::Sender<String>,
    /// Something waits for people or devices, until a time.
    pub deadlines: Notify,
    /// A command was stored.
    pub commands: Notify,
    /// The configuration with the numbers that were connected on the page, and the people who were invited.
    live: Mutex<Arc<Config>>,
    /// Commands that were handed to the broker, and are not noted as published.
    at_broker: Mutex<BTreeSet<CommandId>>,
    /// So that one of those may be for a device.
    pub device_commands: Notify,
    /// Something is to be told to the alerts.
    pub alerts: Notify,
    /// Something is to be posted.
    pub posts: Notify,
    /// What the database refused, so that the process ends.
    refused: watch::Sender<Option<String>>,
    state: Mutex<Readiness>,
}

/// What `readyz` reports.
#[derive(Debug, Default)]
struct Readiness {
    broker: Option<String>,
    /// Filters that the broker does not let us read, and its reason.
    refused: BTreeMap<String, String>,
    /// Whether what is published comes to us.
    deliveries: Passing,
    /// Another client with our client id.
    client_id: Passing,
    disk_full: bool,
    paused: BTreeMap<ConnectionName, (Timestamp, String)>,
}

impl Readiness {
    fn refused_in_words(&self) -> impl Iterator<Item = String> {
        self.refused.iter().map(|(filter, reason)| {
            format!("the broker refused the subscription to {filter}: {reason}; its access list has to let this user read it")
        })
    }
}

impl TaskContext {
    pub async fn new(
        store: StoreHandle,
        config: Arc<Config>,
        metrics: Metrics,
        notices: mpsc::Sender<String>,
    ) -> Result<(Arc<Self>, mpsc::Receiver<SendStep>), Fatal> {
        let now = SystemClock.now();
        let of_file = Arc::clone(&config);
        let start = move |store: &Store| {
            let all = connections::all(&of_file.connections, store, &of_file.site.state_directory)?;
            let people = of_file.people.with(&store.guests()?);
            let live = Config { connections: all, people, ..(*of_file).clone() };
            let recovered = store.recover(now)?;
            let restricted = store.restricted(now - QUALITY_WAIT)?; // known by what is held, which may end next
            let ended = crate::task::orphans::end(store, &live, now)?;
            Ok((store.tag().clone(), store.seal().clone(), recovered, ended, restricted, live))
        };
        let (tag, seal, recovered, ended, restricted, live) =
            store.run(start).await.map_err(|gone| Fatal::Disk(gone.to_string().into()))?;
        if recovered > 0 {
            tracing::warn!(
                messages = recovered,
                "requests were under way at the last stop; waiting for their status"
            );
        }
        for what in ended {
            tracing::warn!(
                what,
                "the configuration has changed, and something that went on has no place in it"
            );
        }
        let broker = Some("the broker is not connected yet".to_owned());
        let heard = crate::task::deadlines::filters(&config);
        let heard = heard.iter().filter_map(|filter| TopicPattern::parse(filter).ok()).collect();
        let rate = |connection: &Connection| (connection.name.clone(), connection.messages_per_second);
        let rates = live.connections.iter().map(rate).collect();
        let mut sender = Scheduler::new(rates);
        let done = remember(&mut sender, restricted, now, &mut Rng::from_machine());
        let (turns, to_do) = SchedulerHandle::new(sender);
        turns.done(done).await;
        let shared = Self {
            store,
            turns: Arc::new(turns),
            heard,
            config,
            tag,
            seal,
            metrics,
            outbox: Notify::new(),
            catalogue: Notify::new(),
            inbox: Notify::new(),
            deadlines: Notify::new(),
            marks: ReadReceipts::default(),
            files: Notify::new(),
            home: DiscoveryHandle::default(),
            notices,
            commands: Notify::new(),
            live: Mutex::new(Arc::new(live)),
            at_broker: Mutex::default(),
            device_commands: Notify::new(),
            alerts: Notify::new(),
            posts: Notify::new(),
            refused: watch::channel(None).0,
            state: Mutex::new(Readiness { broker, ..Readiness::default() }),
        };
        Ok((Arc::new(shared), to_do))
    }

    /// The sender takes a turn, and its task does what that leads to.
    pub async fn turn(&self, begin: StepStart) {
        let (turns, live) = (Arc::clone(&self.turns), self.live());
        let take = move |store: &Store| turns.take(store, begin.clone(), &live, SystemClock.now());
        if let Some(turn) = self.durably(take).await {
            self.turns.done(turn).await;
        }
    }

    /// The configuration with all numbers and people, also those that stand in no file.
    pub fn live(&self) -> Arc<Config> {
        Arc::clone(&self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set_connections(&self, connections: Vec<Connection>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        *live = Arc::new(Config { connections, ..(**live).clone() });
    }

    /// Who is on the list, as the store has it.
    pub fn update_contacts(&self, guests: &[Guest]) {
        let people = self.config.people.with(guests);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.people.contacts != people.contacts {
            *live = Arc::new(Config { people, ..(**live).clone() });
        }
    }

    /// What the owner should know: to the log, and to whoever listens at the broker.
    pub fn tell(&self, connection: &ConnectionName, severity: Severity, text: String) {
        if severity >= Severity::Warning {
            tracing::warn!(%connection, text, "a notice");
        } else {
            tracing::info!(%connection, text, "a notice");
        }
        let notice =
            serde_json::json!({ "connection": connection.0, "severity": severity.as_str(), "text": text });
        drop(self.notices.try_send(notice.to_string())); // it is kept in the store, too
    }

    /// What the owner should know of a device: the same way.
    pub fn tell_of_device(&self, device: &str, text: &str) {
        tracing::warn!(device, text, "a notice");
        let severity = Severity::Warning.as_str();
        let notice = serde_json::json!({ "device": device, "severity": severity, "text": text });
        drop(self.notices.try_send(notice.to_string())); // `bellwire devices list` shows it, too
    }

    pub fn at_broker(&self) -> BTreeSet<CommandId> {
        self.at_broker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is handed to the broker, or it has an end on disk.
    pub fn set_at_broker(&self, command: CommandId, is_there: bool) {
        let mut all = self.at_broker.lock().unwrap_or_else(PoisonError::into_inner);
        if is_there {
            all.insert(command)
        } else {
            all.remove(&command)
        };
    }

    /// Runs `work` until it is on disk: a full disk is waited out, since the same rows may be written later. `None` means that
    /// the disk has failed, or refused what nobody can leave out; the process is about to end, and whoever asked just stops.
    pub async fn durably<T: Send + 'static>(
        &self,
        work: impl Fn(&Store) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Option<T> {
        let end = |StatementRefused(why)| drop(self.refused.send_replace(Some(why)));
        self.durably_unless_refused(work).await?.map_err(end).ok()
    }

    /// The same for whoever can leave out what the database refuses.
    pub async fn durably_unless_refused<T: Send + 'static>(
        &self,
        work: impl Fn(&Store) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Option<Result<T, StatementRefused>> {
        let work = Arc::new(work);
        loop {
            let work = Arc::clone(&work);
            match self.store.run(move |store| work(store)).await {
                Ok(value) => {
                    self.condition(|condition| condition.disk_full = false);
                    return Some(Ok(value));
                }
                Err(gone @ (StoreError::DiskFull | StoreError::Busy)) => {
                    self.condition(|condition| condition.disk_full = matches!(gone, StoreError::DiskFull));
                    tokio::time::sleep(DISK_FULL_PAUSE).await;
                }
                Err(gone @ StoreError::Refused(_)) => {
                    tracing::error!(error = %gone, "something could not be written");
                    return Some(Err(StatementRefused(gone.to_string())));
                }
                Err(gone @ StoreError::Failed(_)) => {
                    tracing::error!(error = %gone, "something could not be written");
                    return None;
                }
            }
        }
    }

    /// Waits until the database refuses what nobody can leave out: why.
    pub async fn refused_for_good(&self) -> String {
        let mut refused = self.refused.subscribe();
        let why = refused.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_default()
    }

    pub fn broker_is(&self, obstacle: Option<String>) {
        self.metrics.broker_is(obstacle.is_none());
        self.condition(|condition| condition.broker = obstacle);
    }

    /// Whether our own test message came back through the broker, or why that matters. `true` if that is news.
    pub fn deliveries_are(&self, obstacle: Option<String>) -> bool {
        self.condition(|condition| condition.deliveries.is_now(obstacle, Instant::now()))
    }

    /// Another client came with our client id.
    pub fn was_taken_over(&self, reason: String) {
        self.condition(|condition| condition.client_id.came_again(reason, Instant::now()));
    }

    /// Why what is published may not come to us.
    pub fn deliveries(&self) -> Option<String> {
        self.condition(|condition| condition.deliveries.shown(Instant::now()))
    }

    /// Who has our client id, too.
    pub fn client_id(&self) -> Option<String> {
        self.condition(|condition| condition.client_id.shown(Instant::now()))
    }

    pub fn resumed(&self, connection: &ConnectionName) {
        self.condition(|condition| drop(condition.paused.remove(connection)));
    }

    pub fn paused(&self, connection: ConnectionName, until: Timestamp, reason: String) {
        self.condition(|condition| drop(condition.paused.insert(connection, (until, reason))));
    }

    /// What keeps us from the broker.
    pub fn broker(&self) -> Option<String> {
        self.condition(|condition| condition.broker.clone())
    }

    /// What the broker does not let us read; it is connected all the same.
    pub fn subscriptions_are(&self, refused: BTreeMap<String, String>) {
        self.condition(|condition| condition.refused = refused);
    }

    /// What of the broker's topics is not heard, a sentence each.
    pub fn refused(&self) -> Vec<String> {
        self.condition(|condition| condition.refused_in_words().collect())
    }

    /// Why nothing is sent over a connection.
    pub fn pause(&self, connection: &ConnectionName, now: Timestamp) -> Option<String> {
        self.condition(|condition| {
            let paused = condition.paused.get(connection).filter(|(until, _)| *until > now);
            paused.map(|(_, reason)| reason.clone())
        })
    }

    /// Everything that keeps us from accepting, as sentences. A connection that is paused is not among them: events are
    /// accepted all the same, and wait.
    pub fn obstacles(&self) -> Vec<String> {
        self.condition(|condition| {
            let full = condition
                .disk_full
                .then(|| "the disk is full: nothing is accepted until there is room".to_owned());
            let passing = [&condition.client_id, &condition.deliveries];
            let passing = passing.into_iter().filter_map(|passing| passing.shown(Instant::now()));
            let broker = condition.broker.clone().into_iter().chain(passing);
            broker.chain(condition.refused_in_words()).chain(full).collect()
        })
    }

    /// The same, and what does not keep us from accepting: that the file is not what we run on.
    pub fn troubles(&self) -> Vec<String> {
        self.obstacles().into_iter().chain(self.config.stands_in.clone()).collect()
    }

    /// The connections over which nothing is sent at the moment, as sentences.
    pub fn pauses(&self, now: Timestamp) -> Vec<String> {
        self.condition(|condition| {
            let under_way = condition.paused.iter().filter(|(_, (until, _))| *until > now);
            under_way
                .map(|(name, (until, reason))| format!("{name} pauses until {until}: {reason}"))
                .collect()
        })
    }

    fn condition<T>(&self, change: impl FnOnce(&mut Readiness) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Removes what is too old, a batch at a time.
pub async fn housekeep(shared: Arc<TaskContext>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        crate::task::owner_notice::remind(&shared.config);
        let now = SystemClock.now();
        while shared.durably(move |store| store.forget_old(now)).await == Some(true) {
            tokio::time::sleep(Duration::from_secs(1)).await; // alarms come first
        }
    }
}

#[cfg(test)]
mod tests;
