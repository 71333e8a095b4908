//! Everything that runs on one configuration: its tasks, built and spawned, and drained when another takes their place or the
//! process ends. What they know is on disk, so that a configuration that is taken over begins as a start does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Fatal;
use super::edges::{BrokerLink, Edges, SerialLines};
use super::plan::Plan;
use crate::admin::admin_service::AdminService;
use crate::admin::http_ports;
use crate::http::{AppState, View, front_routes, health_routes, metrics_routes, serve, webhook_routes};
use crate::machine::SystemMachine;
use crate::started_by::StartedBy;
use crate::store::Store;
use crate::task::context::TaskContext;
use crate::task::outbox_transaction::SendStep;
use crate::task::supervisor::{Drained, Endings, Tasks};
use crate::task::{
    budget_monitor, command_publisher, deadlines, device_fleet, escalation_post, home_assistant, hub_poll,
    mqtt_intake, outbox_sender, received_media, retention, self_monitor, subscriptions, systemd,
    template_sync, webhook_inbox,
};
use crate::time::SystemClock;

/// Notices that wait for the broker; each is in the store as well.
const NOTICES: usize = 16;
/// Commands and broker answers between the two tasks that speak of them.
const DISPATCH_QUEUE: usize = 64;
/// Events of devices and by HTTP that wait for the intake. A device's batch has 32; by HTTP each holds a connection, and there
/// are 64.
const SUBMITTED: usize = device_fleet::BATCH;

/// What a task started beside itself is short, and writes nothing that a crash would not leave to be written again.
const DETACHED: Duration = Duration::from_secs(2);

pub struct Generation {
    pub plan: Plan,
    pub context: Arc<TaskContext>,
    pub tasks: Tasks,
    endings: Endings,
}

impl Generation {
    /// Reads what is on disk, then runs every task.
    pub async fn start(plan: Plan, edges: &Edges) -> Result<Self, Fatal> {
        let (to_tell, notices) = mpsc::channel(NOTICES);
        let (store, config) = (edges.store.clone(), Arc::clone(&plan.config));
        let (metrics, machine) = (Arc::clone(&edges.metrics), Arc::new(SystemMachine));
        let (context, steps) =
            TaskContext::new(store, config, metrics, to_tell, machine, edges.reload.clone()).await?;
        let context = Arc::new(context);
        let endings = Endings::default();
        let (to_intake, submitted) = mpsc::channel(SUBMITTED);
        let (rules, client) = (plan.rules.clone(), edges.client.clone());
        let service = AdminService::new(Arc::clone(&context), rules, to_intake.clone(), client);
        let front = front(&context, service, edges.first_visit.clone(), endings.draining()).await?;
        let inputs = Inputs { to_intake, submitted, steps, notices };
        let mut generation = Self { plan, context, tasks: Tasks::default(), endings };
        generation.spawn_core(edges, inputs);
        generation.spawn_servers(front);
        Ok(generation)
    }

    /// Every task but the servers, by its name in the log.
    fn spawn_core(&mut self, edges: &Edges, inputs: Inputs) {
        let Inputs { to_intake, submitted, steps, notices } = inputs;
        let (broker, client) = (&edges.broker.handle, &edges.client);
        let context = || Arc::clone(&self.context);
        let (draining, last) = (self.endings.draining(), self.endings.last());
        let (to_dispatch, dispatch_inputs) = mpsc::channel(DISPATCH_QUEUE);
        let (device_messages, to_fleet) = mpsc::channel(device_fleet::DEVICE_MESSAGES);
        let ports = edges.serial.ports.clone();
        let transports =
            device_fleet::Transports { link: broker.clone(), ports, to_intake: to_intake.clone() };
        let serial = Arc::clone(&edges.serial.events);
        let inputs = mqtt_intake::IntakeInputs {
            notices: Arc::clone(&edges.broker.events),
            handed: submitted,
            to_dispatch,
            letters: device_messages,
            end: last,
        };
        let rules = self.plan.rules.clone();
        let intake = mqtt_intake::run(context(), rules, broker.clone(), inputs);
        let dispatch = command_publisher::run(context(), broker.clone(), dispatch_inputs, draining.clone());
        let sender = outbox_sender::run(context(), client.clone(), steps, draining);
        let tasks = &mut self.tasks;
        tasks.spawn("the devices' task", device_fleet::run(context(), transports, serial, to_fleet));
        tasks.spawn("the look at our own health", self_monitor::watch(context(), to_intake));
        tasks.spawn_last("the intake", intake);
        tasks.spawn("the notices' task", command_publisher::tell(broker.clone(), notices));
        tasks.spawn_draining("the dispatch", dispatch);
        tasks.spawn("the catalogue's task", template_sync::run(context(), client.clone()));
        tasks.spawn("the read marks' task", received_media::mark(context(), client.clone()));
        tasks.spawn("the files' task", received_media::fetch(context(), client.clone()));
        tasks.spawn("the look at costs", budget_monitor::watch(context()));
        tasks.spawn("the housekeeping", retention::housekeep(context()));
        tasks.spawn("the watchdog's task", systemd::feed(context()));
        tasks.spawn("Home Assistant's task", home_assistant::run(context(), broker.clone()));
        tasks.spawn_draining("the sender", sender);
        tasks.spawn("the inbox", webhook_inbox::run(context()));
        tasks.spawn("the hub's task", hub_poll::run(context(), client.clone()));
        tasks.spawn("the look at what ends", deadlines::run(context()));
        tasks.spawn("the task of last resorts", escalation_post::run(context(), edges.poster.clone()));
    }

    /// The page, the webhook, health and metrics.
    fn spawn_servers(&mut self, front: Arc<AppState>) {
        let stop = || self.endings.draining();
        let (context, listeners) = (|| Arc::clone(&self.context), self.plan.listeners.clone());
        let monitor = Arc::new(http_ports::HealthEndpoint::new(context()));
        let webhook = webhook_routes(Arc::new(http_ports::WebhookReceiver::new(context())));
        let names = || self.plan.config.http.names.clone();
        let mut local = health_routes(Arc::<http_ports::HealthEndpoint>::clone(&monitor), names())
            .merge(front_routes(front));
        let tasks = &mut self.tasks;
        match listeners.webhook {
            Some(own) => tasks.spawn_draining("the webhook's server", serve(own, webhook, None, stop())),
            None => local = webhook.merge(local),
        }
        if let Some(own) = listeners.metrics {
            let routes = metrics_routes(monitor, names());
            tasks.spawn_draining("the metrics' server", serve(own, routes, None, stop()));
        }
        let page = serve(listeners.local, local, self.plan.certificate.clone(), stop());
        tasks.spawn_draining("the page's server", page);
    }

    /// Its tasks end, those first that have something under way. With what it was planned by.
    pub async fn end(self, enough: impl Future<Output = ()>, last: Duration) -> (Plan, Drained) {
        let drained = self.tasks.drain(&self.endings, enough, last).await;
        let began = tokio::time::Instant::now();
        while Arc::strong_count(&self.context) > 1 && began.elapsed() < DETACHED {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (self.plan, drained)
    }
}

impl Edges {
    /// What a plan cannot go on with is opened anew; the rest hears what has changed. `keeps_broker`: the line serves, and the
    /// intake finished what it had taken; otherwise the broker must bring that again.
    pub async fn turn_to(&mut self, plan: &Plan, keeps_broker: bool) -> Result<(), Fatal> {
        if keeps_broker {
            self.broker.handle.subscribe(subscriptions::all(&plan.config));
        } else {
            self.broker.handle.stop().await;
            self.broker = BrokerLink::open(&self.store, plan).await?;
        }
        if !self.serial.serves(&plan.config.serial) {
            self.serial = SerialLines::open(&plan.config.serial);
        }
        Ok(())
    }
}

/// Ends of the channels between tasks.
struct Inputs {
    to_intake: mpsc::Sender<mqtt_intake::Submitted>,
    submitted: mpsc::Receiver<mqtt_intake::Submitted>,
    steps: mpsc::Receiver<SendStep>,
    notices: mpsc::Receiver<String>,
}

/// The page and the API. While there is no password, the code that the first visit needs is in the log.
async fn front(
    context: &Arc<TaskContext>,
    service: AdminService,
    first_visit: Option<String>,
    stop: watch::Receiver<bool>,
) -> Result<Arc<AppState>, Fatal> {
    let config = &context.config;
    let known = context.store.run(Store::password).await;
    let known = known.map_err(|gone| Fatal::Disk(gone.to_string().into()))?.is_some();
    let code = first_visit.filter(|_| !known);
    if let Some(code) = &code {
        tracing::info!(
            code,
            "open {} and give this code to choose the page's password",
            StartedBy::here().page(config.http.listen)
        );
    }
    let view = View::new(&config.site.name, &config.site.time_zone, Arc::new(SystemClock));
    let (admin, keys) = (Arc::new(service.clone()), Arc::new(service));
    let hosts = (config.http.names.clone(), config.http.trusted_proxies.clone(), config.http.ingress);
    Ok(Arc::new(AppState::new(admin, keys, view, hosts, code, stop)))
}
