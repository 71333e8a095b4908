//! The composition root: what runs on one configuration is planned, started and drained; another configuration takes its place
//! while it runs. Every task is the same loop: wait for an input, hand it to its pure machine, perform the effects.

/// What outlives a configuration.
mod edges;
/// Everything that runs on one configuration.
mod generation;
/// A configuration of which everything that may fail has been tried.
mod plan;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

pub use crate::admin::access_list::{Device, list as access_list};
pub use crate::admin::credentials::{add_token, end_session, end_sessions, revoke_token};
pub use crate::admin::http_ports::WebhookReceiver;
pub use crate::http::{ListenError, Listeners};
pub use crate::task::handles::ReloadHandle;
pub use crate::task::live_config::connections;
pub use crate::task::subscriptions::{all as subscriptions, answer_prefix};
pub use crate::task::supervisor::Fatal;

use edges::Edges;
use generation::Generation;
use plan::Plan;

use crate::config::{Config, in_short, keep_as_last_good, refusal};
use crate::store::{Crashes, Store, StoreError};
use crate::task::{owner_notice, systemd};

/// At the end of the process: how long a request under way may take, and the intake's last commit.
const STOP: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(2));
/// When another configuration is taken over: as long as a request may take at all, so that none is given up (`whatsapp::client`,
/// 30 s); and a commit on a slow card.
const TAKE_OVER: (Duration, Duration) = (Duration::from_secs(32), Duration::from_secs(10));

/// What the daemon is given at its start. A text in `requests` asks to read the configuration again, and says who asked.
pub struct Start {
    pub config: Config,
    pub store: Store,
    pub listeners: Listeners,
    pub reload: ReloadHandle,
    pub requests: mpsc::Receiver<String>,
}

/// Runs until `stop` says so, the disk fails or a task ends: what may fail is built first, then all tasks run, then they
/// are drained.
pub async fn run(start: Start, mut stop: watch::Receiver<bool>) -> Result<(), Fatal> {
    let Start { config, store, listeners, reload, mut requests } = start;
    let directory = config.site.state_directory.clone();
    let findings = store.findings().to_vec();
    let plan = Plan::new(config, listeners).map_err(Fatal::Start)?;
    let (mut edges, thread) = Edges::open(store, &plan, reload).await?;
    let started = Generation::start(plan, &edges);
    let mut running = unless_stopped(started, &mut stop).await.transpose()?;
    if let Some(running) = &running {
        owner_notice::report(&running.context, "store", findings).await;
        let stands_in = running.context.config.stands_in.clone().into_iter().collect();
        owner_notice::report(&running.context, "configuration", stands_in).await;
        systemd::ready();
        running.tell_of_start();
    }

    let mut failing = edges.store.clone();
    let (last, fatal) = loop {
        let Some(mut current) = running else { break (None, None) }; // told to stop before it ran
        let context = Arc::clone(&current.context);
        let fatal = tokio::select! {
            biased; // a task ends because of the others
            reason = failing.failed() => Some(Fatal::Disk(reason)),
            why = context.store.refused_for_good() => Some(Fatal::Refused(why)),
            why = context.copy.ends() => Some(Fatal::Stopped(why)),
            task = current.tasks.first_end() => Some(Fatal::Task(task)),
            _ = async { drop(stop.wait_for(|stop| *stop).await) } => None,
            Some(by) = requests.recv() => {
                drop(context);
                systemd::reloading();
                running = current.take_over(&mut edges, &by, stop.clone()).await?;
                systemd::ready();
                continue;
            }
        };
        break (Some(current), fatal);
    };
    systemd::stopping();
    // Intake ends first, so that nothing new is accepted; what is under way may finish; then the store closes.
    edges.broker.handle.stop().await;
    if let Some(last) = last {
        let (_, drained) = last.end(sleep(STOP.0), STOP.1).await;
        if !drained.requests {
            tracing::warn!(
                "a request was still under way; its message is marked as unknown at the next start"
            );
        }
    }
    drop(edges);
    thread.close().await;
    if fatal.is_none() {
        Crashes::forget(&directory);
    }
    fatal.map_or(Ok(()), Err)
}

/// What is run stands in for a file with mistakes at a later start.
pub fn keep(directory: &Path, text: &str) {
    if let Err(error) = keep_as_last_good(directory, text) {
        tracing::warn!(%error, "the configuration cannot be kept for a start with a mistake in it");
    }
}

/// `None`: it was told to stop first, and what is on disk was only read.
async fn unless_stopped<T>(work: impl Future<Output = T>, stop: &mut watch::Receiver<bool>) -> Option<T> {
    tokio::select! {
        biased; // a start that is done is run, and then drained
        done = work => Some(done),
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

impl Generation {
    fn tell_of_start(&self) {
        let config = &self.context.config;
        tracing::info!(site = config.site.name, client_id = config.mqtt.client_id, listen = %config.http.listen, "ready");
    }

    /// The configuration is read again, and another generation runs on it; or this one goes on, and the owner hears why.
    async fn take_over(
        self,
        edges: &mut Edges,
        by: &str,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Option<Self>, Fatal> {
        tracing::info!(by, "the configuration is read again");
        let running = &self.context.config;
        let (plan, text) = match edges.reload.file.load() {
            Err(problems) => return Ok(Some(self.goes_on(&in_short(&problems)).await)),
            Ok((config, text)) => match Plan::after(running, &self.plan.listeners, config).await {
                Err(why) => return Ok(Some(self.goes_on(&format!("{why:#}")).await)),
                Ok(plan) => (plan, text),
            },
        };
        let is_same_broker = edges.broker.serves(&plan.config.mqtt);
        if !is_same_broker {
            edges.broker.handle.stop().await; // what has come is still taken
        }
        let (mut told, now) = (stop.clone(), self.context.machine.now());
        let is_stopped = async {
            drop(told.wait_for(|stop| *stop).await);
            sleep(STOP.0).await;
        };
        let enough = async {
            tokio::select! { () = sleep(TAKE_OVER.0) => {}, () = is_stopped => {} }
        };
        let (before, drained) = self.end(enough, TAKE_OVER.1).await;
        drop(before); // a socket that is not needed any more is closed
        edges.turn_to(&plan, is_same_broker && drained.last).await?;
        keep(&plan.config.site.state_directory, &text);
        noted(edges.store.run(move |store| store.runs_with(&text, now)).await);
        let next = unless_stopped(Self::start(plan, edges), &mut stop).await.transpose()?;
        next.iter().for_each(Self::tell_of_start);
        Ok(next)
    }

    async fn goes_on(self, why: &str) -> Self {
        let context = &self.context;
        let path = &context.reload.file.path;
        let (on_disk, reason, now) = (std::fs::read_to_string(path), why.to_owned(), context.machine.now());
        if let Ok(text) = on_disk {
            noted(context.store.run(move |store| store.runs_without(&text, &reason, now)).await);
        }
        let sentence = refusal(path, why, &context.config);
        context.readiness.stands_in(sentence.clone());
        owner_notice::report(context, "configuration", vec![sentence]).await;
        self
    }
}

/// The history of the configuration is for people: without it everything goes on.
fn noted(written: Result<(), StoreError>) {
    if let Err(error) = written {
        tracing::warn!(%error, "what became of the configuration is not in its history");
    }
}
