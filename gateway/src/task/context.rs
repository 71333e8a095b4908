//! The handles that tasks share, each of one thing, and what a start finds on disk.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{Config, Connection};
use crate::event::topic::TopicPattern;
use crate::ids::StoreTag;
use crate::metrics::Metrics;
use crate::outbox::button_token::ButtonSigner;
use crate::outbox::retry_policy::QUALITY_WAIT;
use crate::outbox::scheduler::Scheduler;
use crate::random::Rng;
use crate::store::{Store, StoreHandle};
use crate::task::durable_store::DurableStore;
use crate::task::handles::{CommandsAtBroker, DiscoveryHandle, OwnerNotices, ReadReceipts};
use crate::task::live_config::{LiveConfig, connections};
use crate::task::orphans;
use crate::task::outbox_transaction::{SchedulerHandle, SendStep, remember};
use crate::task::readiness::Readiness;
use crate::task::subscriptions;
use crate::task::supervisor::Fatal;
use crate::task::wakeups::Wakeups;
use crate::time::{Clock, SystemClock};

#[derive(Debug)]
pub struct TaskContext {
    pub store: DurableStore,
    /// The file's.
    pub config: Arc<Config>,
    pub live: LiveConfig,
    pub wakeups: Wakeups,
    pub readiness: Arc<Readiness>,
    pub metrics: Metrics,
    /// What the owner should know.
    pub notices: OwnerNotices,
    pub tag: StoreTag,
    pub signer: ButtonSigner,
    pub scheduler: Arc<SchedulerHandle>,
    /// Topics of devices' answers and machines' questions.
    pub answer_topics: Vec<TopicPattern>,
    pub at_broker: CommandsAtBroker,
    pub receipts: ReadReceipts,
    pub home: DiscoveryHandle,
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
            let all = connections(&of_file.connections, store, &of_file.site.state_directory)?;
            let people = of_file.people.with(&store.guests()?);
            let live = Config { connections: all, people, ..(*of_file).clone() };
            let recovered = store.recover(now)?;
            let restricted = store.restricted(now - QUALITY_WAIT)?; // known by what is held, which may end next
            let ended = orphans::end(store, &live, now)?;
            Ok((store.tag().clone(), store.seal().clone(), recovered, ended, restricted, live))
        };
        let (tag, signer, recovered, ended, restricted, live) =
            store.run(start).await.map_err(|error| Fatal::Disk(error.to_string().into()))?;
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
        let answer_topics = subscriptions::of_replies(&config);
        let answer_topics =
            answer_topics.iter().filter_map(|filter| TopicPattern::parse(filter).ok()).collect();
        let rate = |connection: &Connection| (connection.name.clone(), connection.messages_per_second);
        let mut scheduler = Scheduler::new(live.connections.iter().map(rate).collect());
        let remembered = remember(&mut scheduler, restricted, now, &mut Rng::from_machine());
        let (scheduler, steps) = SchedulerHandle::new(scheduler);
        scheduler.done(remembered).await;
        let readiness = Arc::new(Readiness::new(config.stands_in.clone()));
        let context = Self {
            store: DurableStore::new(store, Arc::clone(&readiness)),
            live: LiveConfig::new(Arc::clone(&config), live),
            config,
            wakeups: Wakeups::default(),
            readiness,
            metrics,
            notices: OwnerNotices(notices),
            tag,
            signer,
            scheduler: Arc::new(scheduler),
            answer_topics,
            at_broker: CommandsAtBroker::default(),
            receipts: ReadReceipts::default(),
            home: DiscoveryHandle::default(),
        };
        Ok((Arc::new(context), steps))
    }
}

#[cfg(test)]
mod tests;
