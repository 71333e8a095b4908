//! The composition root: builds the stages, spawns their tasks, drains them. Every task is the same loop: wait for an
//! input, hand it to its pure machine, perform the effects.

/// The catalogue of message templates.
mod catalogue;
/// Commands to the broker.
mod commands;
/// Numbers of the file and of the page.
pub mod connections;
/// Budgets and Meta's daily limit.
mod costs;
/// What somebody decides about an alert.
mod decisions;
/// What pages and API ask.
mod desk;
/// Devices, over serial ports and the broker.
mod devices;
/// What the HTTP doors ask.
mod doors;
/// The end of what people asked for.
mod endings;
/// Broker notices: events to the intake, answers to the dispatch.
mod events;
/// Configuration and store, as pages show them.
mod facts;
/// Broker, connections, disk and clock, as events.
mod health;
/// Answers of devices and questions of machines.
mod hearing;
/// Home Assistant: what it is shown, and what it asks.
mod home_assistant;
/// Webhook bodies, read after they were stored.
mod inbox;
/// Somebody new on the list.
pub mod invitations;
/// Passwords, sessions, tokens.
mod keys;
/// Filters of addresses, checked.
mod listing;
/// Files on their way out.
mod media;
/// Numbers for `/metrics`.
mod metrics;
/// Replies that are faster than Meta's answer.
mod overtaking;
/// What the owner should know.
mod owner;
/// What stays in sight for a while after it has gone.
mod passing;
/// Last resorts over HTTP.
mod posting;
/// Machines that ask people.
mod questions;
/// What people wrote is shown as read, and their files are fetched.
mod received;
/// What follows from a reply.
mod replies;
/// The outbox's sender.
mod sending;
/// What all tasks share, and the one way to write.
mod shared;
/// What goes on, for whoever asks.
mod status;
/// The audit as it is shown.
mod trail;
/// What an event would lead to.
mod trial;
/// What the sender decides, in the transaction of whoever writes.
pub mod turn;
/// Alerts that have reached nobody.
mod undelivered;
/// A rule that could not judge its events is told to the owner.
mod unjudged;
/// What systemd hears.
mod watchdog;
/// Whom a webhook names.
mod whose;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use endings::{answer_prefix, filters as listens_to, settle, tend, waiting};
pub use hearing::hear;
pub use inbox::{Read, read_next};
pub use shared::Fatal;
pub use watchdog::ready;

use crate::alert::intake::Judge;
use crate::alert::route;
use crate::chance::Dice;
use crate::config::Config;
use crate::device;
use crate::http::{
    Certificate, Front, Poster, View, code, front_routes, health_routes, metrics_routes, serve,
    webhook_routes,
};
use crate::mqtt;
use crate::serial;
use crate::store::{Crashes, Store};
use crate::time::SystemClock;
use crate::whatsapp::client::{Client, Deadlines};
use metrics::Metrics;
use shared::Shared;

/// How long a request under way may take to end before the process does.
const DRAIN: Duration = Duration::from_secs(10);
/// Notices that wait for the broker; each is in the store as well.
const NOTICES: usize = 16;
/// Commands and broker answers between the two tasks that speak of them.
const DISPATCH_QUEUE: usize = 64;

/// Events of devices and by HTTP that wait for the intake. A device's batch has 32; by HTTP each holds a connection, and there
/// are 64.
const HANDED: usize = devices::BATCH;

/// The sockets, opened before anything else so that a port that is taken is told at once.
#[derive(Debug)]
pub struct Listeners {
    pub local: TcpListener,
    pub webhook: Option<TcpListener>,
    pub metrics: Option<TcpListener>,
}

impl Listeners {
    pub async fn open(config: &Config) -> Result<Self> {
        let bind = async |address: std::net::SocketAddr, key: &str| {
            let refuse = |error: std::io::Error| {
                let next = next_step(error.kind());
                anyhow!("{key} = \"{address}\" cannot be opened ({error}); {next}")
            };
            TcpListener::bind(address).await.map_err(refuse)
        };
        let door = async |address: Option<std::net::SocketAddr>, key: &str| match address {
            Some(address) => bind(address, key).await.map(Some),
            None => Ok(None),
        };
        Ok(Self {
            local: bind(config.http.listen, "listen").await?,
            webhook: door(config.http.webhook_listen, "webhook_listen").await?,
            metrics: door(config.http.metrics_listen, "metrics_listen").await?,
        })
    }
}

/// What to do about a port that cannot be opened.
fn next_step(why: ErrorKind) -> &'static str {
    let known = [
        (ErrorKind::AddrInUse, "another program is on this port: ss -ltnp shows which"),
        (ErrorKind::AddrNotAvailable, "this machine has no such address: ip address shows those that it has"),
        (
            ErrorKind::PermissionDenied,
            "take a port above 1023, or allow this one with CAP_NET_BIND_SERVICE (docs/installation.md)",
        ),
    ];
    known.into_iter().find(|(kind, _)| *kind == why).map_or("choose another address", |(_, next)| next)
}

/// Runs until `stop` says so or the disk fails.
pub async fn run(
    config: Config,
    store: Store,
    listeners: Listeners,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Fatal> {
    let findings = store.findings().to_vec();
    let metrics = Metrics::new();
    let (handle, thread) = store_thread(store, &metrics)?;
    let config = Arc::new(config);
    let (notices, to_tell) = mpsc::channel(NOTICES);
    let (shared, to_do) = Shared::new(handle, Arc::clone(&config), metrics, notices).await?;
    owner::report(&shared, "store", findings).await;
    let (stopping, stopped) = watch::channel(false);

    let mut settings = mqtt::Settings::from_config(&config.mqtt, filters(&config)).map_err(Fatal::Start)?;
    let earlier = shared.store.run(Store::subscriptions).await;
    settings.earlier = earlier.map_err(|gone| Fatal::Disk(gone.to_string().into()))?.into_keys().collect();
    let (link, notices) = mqtt::start(settings, Dice::from_machine(), Arc::new(SystemClock));
    let judge = judge(&config)?;

    let (to_intake, handed) = mpsc::channel(HANDED);
    let (to_dispatch, dispatch_inputs) = mpsc::channel(DISPATCH_QUEUE);
    let client = Client::new(Deadlines::default()).map_err(Fatal::Start)?;
    let (fleet, letters) = start_fleet(&shared, &link, to_intake.clone());
    let own = tokio::spawn(health::watch(Arc::clone(&shared), to_intake.clone()));
    let doors = events::Doors { notices, handed, to_dispatch, letters };
    let intake = tokio::spawn(events::run(Arc::clone(&shared), judge, link.clone(), doors));
    let telling = tokio::spawn(commands::tell(link.clone(), to_tell));
    let dispatch = tokio::spawn(commands::run(Arc::clone(&shared), link.clone(), dispatch_inputs));
    let mut beside = beside(&shared, &client);
    beside.push(tokio::spawn(home_assistant::run(Arc::clone(&shared), link.clone())));
    let sending = tokio::spawn(sending::run(Arc::clone(&shared), client, to_do, stopped.clone()));
    let inbox = tokio::spawn(inbox::run(Arc::clone(&shared)));
    let endings = tokio::spawn(endings::run(Arc::clone(&shared)));
    let poster = Poster::new().map_err(Fatal::Start)?;
    let posting = tokio::spawn(posting::run(Arc::clone(&shared), poster));

    let front = front(&shared, to_intake, stopped.clone()).await?;
    let servers = open_doors(&shared, front, listeners, &stopped)?;

    let mut failing = shared.store.clone();
    let failed = tokio::select! {
        reason = failing.failed() => Some(reason),
        _ = async { drop(stop.wait_for(|stop| *stop).await) } => None,
    };
    watchdog::stopping();
    // Intake ends first, so that nothing new is accepted; what is under way may finish; then the store closes.
    link.stop().await;
    drop(link);
    stopping.send_replace(true);
    if tokio::time::timeout(DRAIN, sending).await.is_err() {
        tracing::warn!("a request was still under way; its message is marked as unknown at the next start");
    }
    for task in servers {
        drop(task.await);
    }
    for task in [own, fleet, intake, dispatch, inbox, endings, posting, telling].into_iter().chain(beside) {
        task.abort();
    }
    thread.close().await;
    Crashes::forget(&config.site.state_directory);
    failed.map_or(Ok(()), |reason| Err(Fatal::Disk(reason)))
}

/// What to subscribe to: the rules' topics and the devices', each once.
#[must_use]
pub fn filters(config: &Config) -> Vec<String> {
    let mut filters = route::filters(&config.rules);
    filters.extend(endings::filters(config));
    filters.extend(home_assistant::filters(config.home_assistant.as_ref()));
    filters.sort();
    filters.dedup();
    let ours: Vec<String> = device::topic::filters().filter(|ours| !filters.contains(ours)).collect();
    filters.extend(ours);
    filters
}

fn start_fleet(
    shared: &Arc<Shared>,
    link: &mqtt::Link,
    to_intake: mpsc::Sender<events::Handed>,
) -> (JoinHandle<()>, mpsc::Sender<devices::Letter>) {
    let (ports, serial) = serial::start(&shared.config.serial);
    let (letters, to_fleet) = mpsc::channel(devices::LETTERS);
    let lines = devices::Lines { link: link.clone(), ports, to_intake };
    let fleet = tokio::spawn(devices::run(Arc::clone(shared), lines, serial, to_fleet));
    (fleet, letters)
}

/// Tasks that look at things now and then, and that nobody waits for.
fn beside(shared: &Arc<Shared>, client: &Client) -> Vec<JoinHandle<()>> {
    let shared = || Arc::clone(shared);
    vec![
        tokio::spawn(catalogue::run(shared(), client.clone())),
        tokio::spawn(received::mark(shared(), client.clone())),
        tokio::spawn(received::fetch(shared(), client.clone())),
        tokio::spawn(costs::watch(shared())),
        tokio::spawn(shared::housekeep(shared())),
        tokio::spawn(watchdog::feed(shared())),
    ]
}

fn store_thread(
    store: Store,
    metrics: &Metrics,
) -> Result<(crate::store::Handle, crate::store::StoreThread), Fatal> {
    store.start(metrics.commits()).context("the store's thread cannot be started").map_err(Fatal::Start)
}

/// Who may come in where: Meta, people and programs, a monitor.
fn open_doors(
    shared: &Arc<Shared>,
    front: Arc<Front>,
    listeners: Listeners,
    stop: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Fatal> {
    let tls = shared.config.http.tls.clone().map(|(chain, key)| Certificate::read(chain, key)).transpose();
    let tls = tls.map_err(Fatal::Start)?.map(Arc::new);
    let monitor = Arc::new(doors::Monitor::new(Arc::clone(shared)));
    let webhook = webhook_routes(Arc::new(doors::MetasDoor::new(Arc::clone(shared))));
    let mut local = health_routes(Arc::<doors::Monitor>::clone(&monitor)).merge(front_routes(front));
    let mut servers = Vec::new();
    match listeners.webhook {
        Some(own) => servers.push(tokio::spawn(serve(own, webhook, None, stop.clone()))),
        None => local = webhook.merge(local),
    }
    if let Some(own) = listeners.metrics {
        servers.push(tokio::spawn(serve(own, metrics_routes(monitor), None, stop.clone())));
    }
    servers.push(tokio::spawn(serve(listeners.local, local, tls, stop.clone())));
    Ok(servers)
}

fn judge(config: &Config) -> Result<Judge, Fatal> {
    let (rules, people) = (config.rules.clone(), config.people.clone());
    let (site, zone) = (config.site.name.clone(), config.site.time_zone.clone());
    Judge::new(rules, people, site, zone).map_err(|error| Fatal::Start(error.into()))
}

/// The page and the API. While there is no password, the code that the first visit needs is in the log.
async fn front(
    shared: &Arc<Shared>,
    to_intake: mpsc::Sender<events::Handed>,
    stop: watch::Receiver<bool>,
) -> Result<Arc<Front>, Fatal> {
    let config = &shared.config;
    let client = Client::new(Deadlines::default()).map_err(Fatal::Start)?;
    let counter = desk::Counter::new(Arc::clone(shared), judge(config)?, to_intake, client);
    let known = shared.store.run(Store::password).await;
    let known = known.map_err(|gone| Fatal::Disk(gone.to_string().into()))?.is_some();
    let code = if known { None } else { code() };
    if let Some(code) = &code {
        tracing::info!(
            code,
            "open http://{}/ and give this code to choose the page's password",
            config.http.listen
        );
    }
    let view = View::new(&config.site.name, &config.site.time_zone);
    let view = view.map_err(|error| Fatal::Start(error.into()))?;
    let (desk, keys) = (Arc::new(counter.clone()), Arc::new(counter));
    let hosts = (config.http.names.clone(), config.http.trusted_proxies.clone());
    Ok(Arc::new(Front::new(desk, keys, view, hosts, code, stop)))
}
