//! What outlives a configuration: the store, the line to the broker, serial ports, sockets, and what is counted.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, mpsc};

use super::Fatal;
use super::plan::Plan;
use crate::config::{Mqtt, Serial};
use crate::hex::hex;
use crate::http::{Poster, code};
use crate::metrics::Metrics;
use crate::mqtt::{self, BrokerHandle, ConnectionEvent, CopyMark};
use crate::random::Rng;
use crate::serial::{self, PortEvents, Ports};
use crate::store::{Store, StoreHandle, StoreThread};
use crate::task::handles::ReloadHandle;
use crate::time::SystemClock;
use crate::whatsapp::client::{Client, Deadlines};

pub struct Edges {
    pub store: StoreHandle,
    pub metrics: Arc<Metrics>,
    pub client: Client,
    pub poster: Poster,
    pub reload: ReloadHandle,
    /// What the first visit to the page needs; it stays the same until there is a password.
    pub first_visit: Option<String>,
    pub broker: BrokerLink,
    pub serial: SerialLines,
}

/// The line to the broker, and what came over it and waits.
pub struct BrokerLink {
    pub handle: BrokerHandle,
    pub events: Arc<Mutex<mpsc::Receiver<ConnectionEvent>>>,
    settings: String,
}

/// The serial ports, and what came over them and waits.
pub struct SerialLines {
    pub ports: Ports,
    pub events: Arc<Mutex<PortEvents>>,
    configured: Vec<Serial>,
}

impl Edges {
    /// For the first configuration. The thread is there to be closed at the end.
    pub async fn open(store: Store, plan: &Plan, reload: ReloadHandle) -> Result<(Self, StoreThread), Fatal> {
        let metrics = Arc::new(Metrics::new());
        let store = store.start(metrics.commits()).context("the store's thread cannot be started");
        let (store, thread) = store.map_err(Fatal::Start)?;
        let edges = Self {
            client: Client::new(Deadlines::default()).map_err(Fatal::Start)?,
            first_visit: code(),
            poster: Poster::new().map_err(Fatal::Start)?,
            broker: BrokerLink::open(&store, plan).await?,
            serial: SerialLines::open(&plan.config.serial),
            store,
            metrics,
            reload,
        };
        Ok((edges, thread))
    }
}

impl BrokerLink {
    pub async fn open(store: &StoreHandle, plan: &Plan) -> Result<Self, Fatal> {
        let earlier = store.run(Store::subscriptions).await;
        let earlier = earlier.map_err(|gone| Fatal::Disk(gone.to_string().into()))?.into_keys().collect();
        let copy =
            store.run(|store| Ok(CopyMark { number: store.copy_number()?, signer: store.seal().clone() }));
        let copy = copy.await.map_err(|gone| Fatal::Disk(gone.to_string().into()))?;
        let settings = mqtt::Settings { earlier, copy: Some(copy), ..plan.mqtt.clone() };
        let (handle, events) = mqtt::start(settings, Rng::from_machine(), Arc::new(SystemClock));
        let settings = fingerprint(&plan.config.mqtt);
        Ok(Self { handle, events: Arc::new(Mutex::new(events)), settings })
    }

    /// Whether it goes on with this section, and with what its files say now.
    pub fn serves(&self, mqtt: &Mqtt) -> bool {
        self.settings == fingerprint(mqtt)
    }
}

impl SerialLines {
    pub fn open(configured: &[Serial]) -> Self {
        let (ports, events) = serial::start(configured);
        Self { ports, events: Arc::new(Mutex::new(events)), configured: configured.to_vec() }
    }

    /// To open a port again resets many boards.
    pub fn serves(&self, configured: &[Serial]) -> bool {
        self.configured == configured
    }
}

/// Of a section and of the files that it names: a password may be another one in the same file.
fn fingerprint(mqtt: &Mqtt) -> String {
    let tls =
        mqtt.tls.iter().flat_map(|tls| [&tls.ca_file, &tls.client_certificate_file, &tls.client_key_file]);
    let files = [&mqtt.password_file].into_iter().chain(tls).flatten();
    let mut sum = Sha256::new();
    sum.update(format!("{mqtt:?}"));
    for file in files {
        let content = |path: &Path| std::fs::read(path).unwrap_or_default();
        sum.update(Sha256::digest(content(file)));
    }
    hex(&sum.finalize())
}
