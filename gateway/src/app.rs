//! The composition root: builds the stages, spawns their tasks, drains them. Every task is the same loop: wait for an
//! input, hand it to its pure machine, perform the effects.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use crate::admin::access_list::{Device, list as access_list};
pub use crate::admin::credentials::{add_token, end_session, end_sessions, revoke_token};
pub use crate::task::context::Fatal;
pub use crate::task::deadlines::{
    answer_prefix, expire_overdue, filters as listens_to, record_outcome, waiting,
};
pub use crate::task::device_message::record_device_message;
pub use crate::task::webhook_reader::{BodyOutcome, read_next};

use crate::admin::{backend, http_ports};
use crate::alert::intake::RuleSet;
use crate::alert::route;
use crate::config::Config;
use crate::device;
use crate::http::{
    AppState, Certificate, Poster, View, code, front_routes, health_routes, metrics_routes, serve,
    webhook_routes,
};
use crate::metrics::Metrics;
use crate::mqtt;
use crate::random::Rng;
use crate::serial;
use crate::store::{Crashes, Store, StoreThread};
use crate::task::context::TaskContext;
use crate::task::outbox_transaction::SendStep;
use crate::task::supervisor::Tasks;
use crate::task::systemd::ready;
use crate::task::{
    budget_monitor, command_publisher, context, deadlines, device_fleet, escalation_post, home_assistant,
    mqtt_intake, outbox_sender, owner_notice, received_media, self_monitor, systemd, template_sync,
    webhook_reader,
};
use crate::time::SystemClock;
use crate::whatsapp::client::{Client, Deadlines};

/// How long a request under way may take to end before the process does.
const DRAIN: Duration = Duration::from_secs(10);
/// Notices that wait for the broker; each is in the store as well.
const NOTICES: usize = 16;
/// Commands and broker answers between the two tasks that speak of them.
const DISPATCH_QUEUE: usize = 64;

/// Events of devices and by HTTP that wait for the intake. A device's batch has 32; by HTTP each holds a connection, and there
/// are 64.
const HANDED: usize = device_fleet::BATCH;

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

/// Runs until `stop` says so, the disk fails or a task ends: what may fail is built first, then all tasks run, then they
/// are drained.
pub async fn run(
    config: Config,
    store: Store,
    listeners: Listeners,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Fatal> {
    let directory = config.site.state_directory.clone();
    let (stopping, stopped) = watch::channel(false);
    let (built, thread) = build(config, store, stopped.clone()).await?;
    let (shared, link) = (Arc::clone(&built.shared), built.link.clone());
    let mut tasks = spawn(built, listeners, &stopped);
    ready();
    let (site, client_id) = (&shared.config.site.name, &shared.config.mqtt.client_id);
    tracing::info!(site, client_id, listen = %shared.config.http.listen, "ready");

    let mut failing = shared.store.clone();
    let fatal = tokio::select! {
        biased; // a task ends because of the others
        reason = failing.failed() => Some(Fatal::Disk(reason)),
        why = shared.refused_for_good() => Some(Fatal::Refused(why)),
        task = tasks.first_end() => Some(Fatal::Task(task)),
        _ = async { drop(stop.wait_for(|stop| *stop).await) } => None,
    };
    systemd::stopping();
    // Intake ends first, so that nothing new is accepted; what is under way may finish; then the store closes.
    link.stop().await;
    drop(link);
    stopping.send_replace(true);
    if !tasks.drain(DRAIN).await {
        tracing::warn!("a request was still under way; its message is marked as unknown at the next start");
    }
    drop(shared);
    thread.close().await;
    if fatal.is_none() {
        Crashes::forget(&directory);
    }
    fatal.map_or(Ok(()), Err)
}

/// What the tasks are made of.
struct Built {
    shared: Arc<TaskContext>,
    link: mqtt::BrokerHandle,
    judge: RuleSet,
    client: Client,
    poster: Poster,
    certificate: Option<Arc<Certificate>>,
    front: Arc<AppState>,
    from_link: mpsc::Receiver<mqtt::ConnectionEvent>,
    to_intake: mpsc::Sender<mqtt_intake::Submitted>,
    handed: mpsc::Receiver<mqtt_intake::Submitted>,
    turns: mpsc::Receiver<SendStep>,
    notices: mpsc::Receiver<String>,
}

/// Everything that may fail, before anything runs.
async fn build(
    config: Config,
    store: Store,
    stop: watch::Receiver<bool>,
) -> Result<(Built, StoreThread), Fatal> {
    let findings = store.findings().to_vec();
    let metrics = Metrics::new();
    let store = store.start(metrics.commits()).context("the store's thread cannot be started");
    let (handle, thread) = store.map_err(Fatal::Start)?;
    let config = Arc::new(config);
    let (to_tell, notices) = mpsc::channel(NOTICES);
    let (shared, turns) = TaskContext::new(handle, Arc::clone(&config), metrics, to_tell).await?;
    let judge = judge(&config)?;
    let client = Client::new(Deadlines::default()).map_err(Fatal::Start)?;
    let poster = Poster::new().map_err(Fatal::Start)?;
    let tls = config.http.tls.clone().map(|(chain, key)| Certificate::read(chain, key)).transpose();
    let certificate = tls.map_err(Fatal::Start)?.map(Arc::new);
    let (to_intake, handed) = mpsc::channel(HANDED);
    let front = front(&shared, judge.clone(), client.clone(), to_intake.clone(), stop).await?;
    let mut settings = mqtt::Settings::from_config(&config.mqtt, filters(&config)).map_err(Fatal::Start)?;
    let earlier = shared.store.run(Store::subscriptions).await;
    settings.earlier = earlier.map_err(|gone| Fatal::Disk(gone.to_string().into()))?.into_keys().collect();
    owner_notice::report(&shared, "store", findings).await;
    let stands_in = shared.config.stands_in.clone().into_iter().collect();
    owner_notice::report(&shared, "configuration", stands_in).await;
    let (link, from_link) = mqtt::start(settings, Rng::from_machine(), Arc::new(SystemClock));
    let built = Built {
        shared,
        link,
        judge,
        client,
        poster,
        certificate,
        front,
        from_link,
        to_intake,
        handed,
        turns,
        notices,
    };
    Ok((built, thread))
}

/// Every task, by its name in the log.
fn spawn(built: Built, listeners: Listeners, stop: &watch::Receiver<bool>) -> Tasks {
    let Built { link, judge, client, to_intake, .. } = built;
    let shared = || Arc::clone(&built.shared);
    let mut tasks = Tasks::default();
    let (to_dispatch, dispatch_inputs) = mpsc::channel(DISPATCH_QUEUE);
    let (ports, serial) = serial::start(&built.shared.config.serial);
    let (letters, to_fleet) = mpsc::channel(device_fleet::DEVICE_MESSAGES);
    let lines = device_fleet::Transports { link: link.clone(), ports, to_intake: to_intake.clone() };
    tasks.spawn("the devices' task", device_fleet::run(shared(), lines, serial, to_fleet));
    tasks.spawn("the look at our own health", self_monitor::watch(shared(), to_intake));
    let doors =
        mqtt_intake::IntakeInputs { notices: built.from_link, handed: built.handed, to_dispatch, letters };
    tasks.spawn("the intake", mqtt_intake::run(shared(), judge, link.clone(), doors));
    tasks.spawn("the notices' task", command_publisher::tell(link.clone(), built.notices));
    tasks.spawn("the dispatch", command_publisher::run(shared(), link.clone(), dispatch_inputs));
    tasks.spawn("the catalogue's task", template_sync::run(shared(), client.clone()));
    tasks.spawn("the read marks' task", received_media::mark(shared(), client.clone()));
    tasks.spawn("the files' task", received_media::fetch(shared(), client.clone()));
    tasks.spawn("the look at costs", budget_monitor::watch(shared()));
    tasks.spawn("the housekeeping", context::housekeep(shared()));
    tasks.spawn("the watchdog's task", systemd::feed(shared()));
    tasks.spawn("Home Assistant's task", home_assistant::run(shared(), link));
    tasks.spawn_draining("the sender", outbox_sender::run(shared(), client, built.turns, stop.clone()));
    tasks.spawn("the inbox", webhook_reader::run(shared()));
    tasks.spawn("the look at what ends", deadlines::run(shared()));
    tasks.spawn("the task of last resorts", escalation_post::run(shared(), built.poster));

    let monitor = Arc::new(http_ports::HealthEndpoint::new(shared()));
    let webhook = webhook_routes(Arc::new(http_ports::WebhookReceiver::new(shared())));
    let mut local = health_routes(
        Arc::<http_ports::HealthEndpoint>::clone(&monitor),
        built.shared.config.http.names.clone(),
    )
    .merge(front_routes(built.front));
    match listeners.webhook {
        Some(own) => tasks.spawn_draining("the webhook's server", serve(own, webhook, None, stop.clone())),
        None => local = webhook.merge(local),
    }
    if let Some(own) = listeners.metrics {
        let routes = metrics_routes(monitor, built.shared.config.http.names.clone());
        tasks.spawn_draining("the metrics' server", serve(own, routes, None, stop.clone()));
    }
    let page = serve(listeners.local, local, built.certificate, stop.clone());
    tasks.spawn_draining("the page's server", page);
    tasks
}

/// What to subscribe to: the rules' topics and the devices', each once.
#[must_use]
pub fn filters(config: &Config) -> Vec<String> {
    let mut filters = route::filters(&config.rules);
    filters.extend(deadlines::filters(config));
    filters.extend(home_assistant::filters(config.home_assistant.as_ref()));
    filters.sort();
    filters.dedup();
    let ours: Vec<String> = device::topic::filters().filter(|ours| !filters.contains(ours)).collect();
    filters.extend(ours);
    filters
}

fn judge(config: &Config) -> Result<RuleSet, Fatal> {
    let (rules, people) = (config.rules.clone(), config.people.clone());
    let (site, zone) = (config.site.name.clone(), config.site.time_zone.clone());
    RuleSet::new(rules, people, site, zone).map_err(|error| Fatal::Start(error.into()))
}

/// The page and the API. While there is no password, the code that the first visit needs is in the log.
async fn front(
    shared: &Arc<TaskContext>,
    judge: RuleSet,
    client: Client,
    to_intake: mpsc::Sender<mqtt_intake::Submitted>,
    stop: watch::Receiver<bool>,
) -> Result<Arc<AppState>, Fatal> {
    let config = &shared.config;
    let counter = backend::AdminService::new(Arc::clone(shared), judge, to_intake, client);
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
    Ok(Arc::new(AppState::new(desk, keys, view, hosts, code, stop)))
}
