//! The handles that tasks share, each of one thing, and what a start finds on disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::{Config, Connection};
use crate::event::topic::TopicPattern;
use crate::ids::StoreTag;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::outbox::button_token::ButtonSigner;
use crate::outbox::retry_policy::QUALITY_WAIT;
use crate::outbox::row::Conversation;
use crate::outbox::scheduler::Scheduler;
use crate::store::{self, Store, StoreError, StoreHandle};
use crate::task::copies::CopyState;
use crate::task::durable_store::{DISK_FULL_PAUSE, DurableStore};
use crate::task::handles::{CommandsAtBroker, DiscoveryHandle, OwnerNotices, ReadReceipts, ReloadHandle};
use crate::task::live_config::{LiveConfig, connections};
use crate::task::orphans;
use crate::task::outbox_transaction::{SchedulerHandle, SendStep, remember};
use crate::task::readiness::Readiness;
use crate::task::subscriptions;
use crate::task::supervisor::Fatal;
use crate::task::wakeups::{Wakeups, Work};
use crate::time::Timestamp;

#[derive(Debug)]
pub struct TaskContext {
    pub machine: Arc<dyn Machine>,
    pub store: DurableStore,
    /// The file's.
    pub config: Arc<Config>,
    pub live: LiveConfig,
    pub wakeups: Wakeups,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    /// Notices to the owner.
    pub notices: OwnerNotices,
    pub tag: StoreTag,
    pub signer: ButtonSigner,
    pub copy: CopyState,
    pub scheduler: Arc<SchedulerHandle>,
    /// Topics of devices' answers and machines' questions.
    pub answer_topics: Vec<TopicPattern>,
    pub at_broker: CommandsAtBroker,
    pub receipts: ReadReceipts,
    pub home: DiscoveryHandle,
    pub reload: ReloadHandle,
}

/// The state that a start finds on disk.
#[derive(Debug)]
pub struct Found {
    tag: StoreTag,
    signer: ButtonSigner,
    /// Requests that were under way at the last stop.
    recovered: usize,
    /// What had no place in the configuration any more, a sentence each.
    pub ended: Vec<String>,
    /// Numbers that Meta has restricted, as they stood before anything ended.
    pub restricted: Vec<(Conversation, i64, Timestamp)>,
    /// With the numbers and the people who stand in no file.
    pub live: Config,
}

impl Found {
    /// Inside a transaction: what was under way is recovered, and what has no place in the configuration ends.
    pub fn read(store: &Store, of_file: &Config, now: Timestamp) -> store::Result<Self> {
        let all = connections(&of_file.connections, store, &of_file.site.state_directory)?;
        let people = of_file.people.with(&store.guests()?);
        let live = Config { connections: all, people, ..of_file.clone() };
        let recovered = store.recover(now)?;
        let restricted = store.restricted(now - QUALITY_WAIT)?; // known by what is held, which may end next
        let ended = orphans::end(store, &live, now)?;
        Ok(Self {
            tag: store.tag().clone(),
            signer: store.seal().clone(),
            recovered,
            ended,
            restricted,
            live,
        })
    }

    fn tell(&self) {
        if self.recovered > 0 {
            tracing::warn!(
                messages = self.recovered,
                "requests were under way at the last stop; waiting for their status"
            );
        }
        for what in &self.ended {
            tracing::warn!(what, "ended, since the configuration does not have it any more");
        }
    }
}

impl TaskContext {
    pub async fn new(
        store: StoreHandle,
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        notices: mpsc::Sender<String>,
        machine: Arc<dyn Machine>,
        reload: ReloadHandle,
    ) -> Result<(Self, mpsc::Receiver<SendStep>), Fatal> {
        let found = loop {
            let (of_file, now) = (Arc::clone(&config), machine.now());
            match store.run(move |store| Found::read(store, &of_file, now)).await {
                Ok(found) => break found,
                // As of every task of a daemon that runs: a full disk is waited out.
                Err(full @ (StoreError::DiskFull | StoreError::Busy)) => {
                    tracing::warn!(%full, "what is on disk cannot be looked through; trying again in a second");
                    machine.sleep(DISK_FULL_PAUSE).await;
                }
                Err(error) => return Err(Fatal::Disk(error.to_string().into())),
            }
        };
        Ok(Self::with(found, store, config, metrics, notices, machine, reload))
    }

    /// With what was found.
    pub fn with(
        found: Found,
        store: StoreHandle,
        config: Arc<Config>,
        metrics: Arc<Metrics>,
        notices: mpsc::Sender<String>,
        machine: Arc<dyn Machine>,
        reload: ReloadHandle,
    ) -> (Self, mpsc::Receiver<SendStep>) {
        found.tell();
        let answer_topics = subscriptions::of_replies(&config);
        let answer_topics =
            answer_topics.iter().filter_map(|filter| TopicPattern::parse(filter).ok()).collect();
        let rate = |connection: &Connection| (connection.name.clone(), connection.messages_per_second);
        let mut scheduler = Scheduler::new(found.live.connections.iter().map(rate).collect());
        let mut dice = machine.dice();
        let remembered = remember(&mut scheduler, found.restricted, machine.now(), &mut dice);
        let (scheduler, steps) = SchedulerHandle::new(scheduler, dice, remembered);
        let readiness = Arc::new(Readiness::new(config.stands_in.clone()));
        let context = Self {
            store: DurableStore::new(store, Arc::clone(&readiness), Arc::clone(&machine)),
            machine,
            live: LiveConfig::new(Arc::clone(&config), found.live),
            config,
            wakeups: Wakeups::default(),
            readiness,
            metrics,
            notices: OwnerNotices(notices),
            tag: found.tag,
            signer: found.signer,
            copy: CopyState::default(),
            scheduler: Arc::new(scheduler),
            answer_topics,
            at_broker: CommandsAtBroker::default(),
            receipts: ReadReceipts::default(),
            home: DiscoveryHandle::default(),
            reload,
        };
        (context, steps)
    }

    /// Waits for such work, but no longer than that: a wake-up that was missed costs time and nothing else.
    pub async fn wait(&self, work: Work, at_most: Duration) {
        tokio::select! {
            biased; // as a simulation repeats it
            () = self.wakeups.wait(work) => {}
            () = self.machine.sleep(at_most) => {}
        }
    }
}

#[cfg(test)]
mod tests;
