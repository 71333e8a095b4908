//! The composition root: builds the stages, spawns their tasks, drains them. Every task is the same loop: wait for an
//! input, hand it to its pure machine, perform the effects.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, watch};

pub use crate::admin::access_list::{Device, list as access_list};
pub use crate::admin::credentials::{add_token, end_session, end_sessions, revoke_token};
pub use crate::admin::http_ports::WebhookReceiver;
pub use crate::http::{ListenError, Listeners};
pub use crate::task::live_config::connections;
pub use crate::task::subscriptions::{all as subscriptions, answer_prefix};
pub use crate::task::supervisor::Fatal;

use crate::admin::{admin_service, http_ports};
use crate::alert::intake::RuleSet;
use crate::config::Config;
use crate::http::{
    AppState, Certificate, Poster, View, code, front_routes, health_routes, metrics_routes, serve,
    webhook_routes,
};
use crate::machine::SystemMachine;
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
    budget_monitor, command_publisher, deadlines, device_fleet, escalation_post, home_assistant, mqtt_intake,
    outbox_sender, owner_notice, received_media, retention, self_monitor, systemd, template_sync,
    webhook_inbox,
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
const SUBMITTED: usize = device_fleet::BATCH;

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
    let (context, broker) = (Arc::clone(&built.context), built.broker.clone());
    let mut tasks = spawn(built, listeners, &stopped);
    ready();
    let (site, client_id) = (&context.config.site.name, &context.config.mqtt.client_id);
    tracing::info!(site, client_id, listen = %context.config.http.listen, "ready");

    let mut failing = context.store.handle();
    let fatal = tokio::select! {
        biased; // a task ends because of the others
        reason = failing.failed() => Some(Fatal::Disk(reason)),
        why = context.store.refused_for_good() => Some(Fatal::Refused(why)),
        task = tasks.first_end() => Some(Fatal::Task(task)),
        _ = async { drop(stop.wait_for(|stop| *stop).await) } => None,
    };
    systemd::stopping();
    // Intake ends first, so that nothing new is accepted; what is under way may finish; then the store closes.
    broker.stop().await;
    drop(broker);
    stopping.send_replace(true);
    if !tasks.drain(DRAIN).await {
        tracing::warn!("a request was still under way; its message is marked as unknown at the next start");
    }
    drop(context);
    thread.close().await;
    if fatal.is_none() {
        Crashes::forget(&directory);
    }
    fatal.map_or(Ok(()), Err)
}

/// What the tasks are made of.
struct Built {
    context: Arc<TaskContext>,
    broker: mqtt::BrokerHandle,
    rules: RuleSet,
    client: Client,
    poster: Poster,
    certificate: Option<Arc<Certificate>>,
    front: Arc<AppState>,
    from_broker: mpsc::Receiver<mqtt::ConnectionEvent>,
    to_intake: mpsc::Sender<mqtt_intake::Submitted>,
    submitted: mpsc::Receiver<mqtt_intake::Submitted>,
    steps: mpsc::Receiver<SendStep>,
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
    let (context, steps) =
        TaskContext::new(handle, Arc::clone(&config), metrics, to_tell, Arc::new(SystemMachine)).await?;
    let context = Arc::new(context);
    let rules = config.rule_set().map_err(|error| Fatal::Start(error.into()))?;
    let client = Client::new(Deadlines::default()).map_err(Fatal::Start)?;
    let poster = Poster::new().map_err(Fatal::Start)?;
    let tls = config.http.tls.clone().map(|(chain, key)| Certificate::read(chain, key)).transpose();
    let certificate = tls.map_err(Fatal::Start)?.map(Arc::new);
    let (to_intake, submitted) = mpsc::channel(SUBMITTED);
    let front = front(&context, rules.clone(), client.clone(), to_intake.clone(), stop).await?;
    let mut settings =
        mqtt::Settings::from_config(&config.mqtt, subscriptions(&config)).map_err(Fatal::Start)?;
    let earlier = context.store.run(Store::subscriptions).await;
    settings.earlier = earlier.map_err(|gone| Fatal::Disk(gone.to_string().into()))?.into_keys().collect();
    owner_notice::report(&context, "store", findings).await;
    let stands_in = context.config.stands_in.clone().into_iter().collect();
    owner_notice::report(&context, "configuration", stands_in).await;
    let (broker, from_broker) = mqtt::start(settings, Rng::from_machine(), Arc::new(SystemClock));
    let built = Built {
        context,
        broker,
        rules,
        client,
        poster,
        certificate,
        front,
        from_broker,
        to_intake,
        submitted,
        steps,
        notices,
    };
    Ok((built, thread))
}

/// Every task, by its name in the log.
fn spawn(built: Built, listeners: Listeners, stop: &watch::Receiver<bool>) -> Tasks {
    let Built { broker, rules, client, to_intake, .. } = built;
    let context = || Arc::clone(&built.context);
    let mut tasks = Tasks::default();
    let (to_dispatch, dispatch_inputs) = mpsc::channel(DISPATCH_QUEUE);
    let (ports, serial) = serial::start(&built.context.config.serial);
    let (device_messages, to_fleet) = mpsc::channel(device_fleet::DEVICE_MESSAGES);
    let transports = device_fleet::Transports { link: broker.clone(), ports, to_intake: to_intake.clone() };
    tasks.spawn("the devices' task", device_fleet::run(context(), transports, serial, to_fleet));
    tasks.spawn("the look at our own health", self_monitor::watch(context(), to_intake));
    let inputs = mqtt_intake::IntakeInputs {
        notices: built.from_broker,
        handed: built.submitted,
        to_dispatch,
        letters: device_messages,
    };
    tasks.spawn("the intake", mqtt_intake::run(context(), rules, broker.clone(), inputs));
    tasks.spawn("the notices' task", command_publisher::tell(broker.clone(), built.notices));
    tasks.spawn("the dispatch", command_publisher::run(context(), broker.clone(), dispatch_inputs));
    tasks.spawn("the catalogue's task", template_sync::run(context(), client.clone()));
    tasks.spawn("the read marks' task", received_media::mark(context(), client.clone()));
    tasks.spawn("the files' task", received_media::fetch(context(), client.clone()));
    tasks.spawn("the look at costs", budget_monitor::watch(context()));
    tasks.spawn("the housekeeping", retention::housekeep(context()));
    tasks.spawn("the watchdog's task", systemd::feed(context()));
    tasks.spawn("Home Assistant's task", home_assistant::run(context(), broker));
    tasks.spawn_draining("the sender", outbox_sender::run(context(), client, built.steps, stop.clone()));
    tasks.spawn("the inbox", webhook_inbox::run(context()));
    tasks.spawn("the look at what ends", deadlines::run(context()));
    tasks.spawn("the task of last resorts", escalation_post::run(context(), built.poster));

    let monitor = Arc::new(http_ports::HealthEndpoint::new(context()));
    let webhook = webhook_routes(Arc::new(http_ports::WebhookReceiver::new(context())));
    let mut local = health_routes(
        Arc::<http_ports::HealthEndpoint>::clone(&monitor),
        built.context.config.http.names.clone(),
    )
    .merge(front_routes(built.front));
    match listeners.webhook {
        Some(own) => tasks.spawn_draining("the webhook's server", serve(own, webhook, None, stop.clone())),
        None => local = webhook.merge(local),
    }
    if let Some(own) = listeners.metrics {
        let routes = metrics_routes(monitor, built.context.config.http.names.clone());
        tasks.spawn_draining("the metrics' server", serve(own, routes, None, stop.clone()));
    }
    let page = serve(listeners.local, local, built.certificate, stop.clone());
    tasks.spawn_draining("the page's server", page);
    tasks
}

/// The page and the API. While there is no password, the code that the first visit needs is in the log.
async fn front(
    context: &Arc<TaskContext>,
    rules: RuleSet,
    client: Client,
    to_intake: mpsc::Sender<mqtt_intake::Submitted>,
    stop: watch::Receiver<bool>,
) -> Result<Arc<AppState>, Fatal> {
    let config = &context.config;
    let counter = admin_service::AdminService::new(Arc::clone(context), rules, to_intake, client);
    let known = context.store.run(Store::password).await;
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
    let hosts = (config.http.names.clone(), config.http.trusted_proxies.clone(), config.http.ingress);
    Ok(Arc::new(AppState::new(desk, keys, view, hosts, code, stop)))
}
