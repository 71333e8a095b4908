//! WhatsApp numbers and what is still to do for them, as pages and API show it.

use serde::Serialize;

use crate::config::{Connection, secret};
use crate::store::{ConnectionFacts, KeptConnection, Result, Store};
use crate::task::context::TaskContext;
use crate::time::Timestamp;

/// A WhatsApp number.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Connection"))]
pub struct ShownConnection {
    pub name: String,
    pub phone_number_id: String,
    pub business_account_id: Option<String>,
    pub api_url: String,
    pub api_version: String,
    pub messages_per_second: u32,
    /// Where it stands; one of the configuration file is changed there
    pub origin: Origin,
    /// Its token is there.
    pub connected: bool,
    pub secrets: Vec<ShownSecret>,
    #[serde(flatten)]
    pub facts: ConnectionFacts,
}

/// Where a number stands.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    File,
    Page,
}

/// Whether it is there and well kept; never what it is.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShownSecret {
    pub name: &'static str,
    pub problem: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Connections {
    pub items: Vec<ShownConnection>,
    /// What keeps the gateway from accepting, in sentences.
    pub obstacles: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    pub name: &'static str,
    pub state: StepState,
    /// What is wrong.
    pub detail: Option<String>,
}

/// How far it is.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    Done,
    Open,
    Wrong,
}

/// What is still to do, in the order of doing it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Setup {
    pub items: Vec<Step>,
    /// When Meta's last webhook came.
    pub webhook_at: Option<Timestamp>,
}

pub fn connections(context: &TaskContext, store: &Store) -> Result<Connections> {
    let (mut items, kept) = (Vec::new(), store.kept_connections()?);
    for one in context.live.get().connections.iter() {
        items.push(one_connection(context, store, one)?);
    }
    for gone in kept.into_iter().filter(|kept| kept.sealed.is_none()) {
        items.push(disconnected(context, store, gone)?);
    }
    Ok(Connections { items, obstacles: context.readiness.troubles() })
}

pub fn connection(context: &TaskContext, store: &Store, name: &str) -> Result<Option<ShownConnection>> {
    let live = context.live.get();
    if let Some(one) = live.connections.iter().find(|connection| connection.name.0 == name) {
        return one_connection(context, store, one).map(Some);
    }
    store.kept_connection(name)?.map(|gone| disconnected(context, store, gone)).transpose()
}

fn one_connection(context: &TaskContext, store: &Store, connection: &Connection) -> Result<ShownConnection> {
    let secrets = [
        ("access_token", &connection.access_token),
        ("app_secret", &connection.app_secret),
        ("verify_token", &connection.verify_token),
    ];
    let secrets = secrets.map(|(name, place)| ShownSecret {
        name,
        problem: secret(place).err().map(|error| error.to_string()),
    });
    let of_file = context.config.connections.iter().any(|known| known.name == connection.name);
    Ok(ShownConnection {
        name: connection.name.0.clone(),
        phone_number_id: connection.phone_number_id.clone(),
        business_account_id: connection.business_account_id.clone(),
        api_url: connection.api_url.clone(),
        api_version: connection.api_version.clone(),
        messages_per_second: connection.messages_per_second,
        origin: if of_file { Origin::File } else { Origin::Page },
        connected: true,
        secrets: secrets.into(),
        facts: store.connection_facts(&connection.name.0, context.machine.now())?,
    })
}

/// Its token is gone; what it sent and what is known of it stays.
fn disconnected(context: &TaskContext, store: &Store, kept: KeptConnection) -> Result<ShownConnection> {
    Ok(ShownConnection {
        facts: store.connection_facts(&kept.name, context.machine.now())?,
        name: kept.name,
        phone_number_id: kept.phone_number_id,
        business_account_id: Some(kept.business_account_id),
        api_url: kept.api_url,
        api_version: kept.api_version,
        messages_per_second: kept.messages_per_second,
        origin: Origin::Page,
        connected: false,
        secrets: Vec::new(),
    })
}

pub fn setup(context: &TaskContext, store: &Store) -> Result<Setup> {
    let (webhook, connections) = (store.webhook_facts()?, connections(context, store)?);
    let broker = context.readiness.obstacles();
    let all: Vec<ShownConnection> = connections.items.into_iter().filter(|one| one.connected).collect();
    let bad: Vec<&str> =
        all.iter().flat_map(|one| &one.secrets).filter_map(|secret| secret.problem.as_deref()).collect();
    let connected = !all.is_empty();
    let account = all.iter().all(|one| one.business_account_id.is_some());
    let read = all.iter().all(|one| one.facts.catalogue_read_at.is_some());
    let arrived = |one: &ShownConnection| {
        one.facts.last_attempt.as_ref().is_some_and(|last| last.0["http_status"] == 200)
    };
    let step = |name, done: bool, detail: Option<String>| {
        let state = match (done, &detail) {
            (true, _) => StepState::Done,
            (false, Some(_)) => StepState::Wrong,
            (false, None) => StepState::Open,
        };
        Step { name, state, detail }
    };
    let to = |done: bool, words: &str| Some(words.to_owned()).filter(|_| !done);
    let items = vec![
        step("broker", broker.is_empty(), to(broker.is_empty(), &broker.join("; "))),
        step("connected", connected, None),
        step("secrets", connected && bad.is_empty(), to(bad.is_empty(), &bad.join("; "))),
        step("account", connected && account, None),
        step("catalogue", connected && account && read, None),
        step("webhook", webhook.webhook_at.is_some(), None),
        step("rules", !context.config.rules.is_empty(), None),
        step("sent", all.iter().any(arrived), None),
        step("receipt", webhook.receipts, None),
        step("reply", webhook.replies, None),
    ];
    Ok(Setup { items, webhook_at: webhook.webhook_at })
}
