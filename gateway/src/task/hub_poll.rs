//! Fetches what a hub has for this site as soon as it is there: nobody reaches the site from outside.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::task::JoinSet;

use crate::config::{Connection, secret};
use crate::ids::ConnectionName;
use crate::random::backoff;
use crate::store::Store;
use crate::task::context::TaskContext;
use crate::task::wakeups::Written;
use crate::task::webhook_inbox::{signed_by, signers};
use crate::whatsapp::client::Endpoint;
use crate::whatsapp::endpoint::endpoint;
use crate::whatsapp::hub::{Fetched, HubLine, erase_at_hub, fetch_webhooks};

/// Between two tries while the hub cannot be reached: a thousand sites come back within half a minute, not at once.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One loop for each token.
pub async fn run(context: Arc<TaskContext>, line: impl HubLine) {
    let mut loops = JoinSet::new();
    let hubs = one_for_each_token(&context.config.connections);
    let names: Vec<ConnectionName> = hubs.iter().map(|connection| connection.name.clone()).collect();
    let dropped = context.store.durably(move |store| store.drop_erasures_but_of(&names)).await;
    if dropped.is_some_and(|dropped| dropped > 0) {
        tracing::warn!(
            "somebody was erased, and a hub that the configuration had does not know; whoever runs it can see to it"
        );
    }
    for connection in hubs {
        loops.spawn(fetch(Arc::clone(&context), line.clone(), connection.clone()));
    }
    while loops.join_next().await.is_some() {}
    std::future::pending().await // most sites have no hub
}

/// Of connections through a hub, those that speak for all: one for each token.
pub fn one_for_each_token(connections: &[Connection]) -> Vec<&Connection> {
    let (mut tokens, mut hubs) = (Vec::new(), Vec::new());
    for connection in connections.iter().filter(|connection| connection.via_hub) {
        let token = secret(&connection.access_token).ok().map(|token| token.expose_secret().to_owned());
        if token.is_none() || !tokens.contains(&token) {
            tokens.push(token);
            hubs.push(connection);
        }
    }
    hubs
}

/// Who was erased at this site: the hub forgets them, too. What it does not take now is owed still.
async fn tell_erasures(
    context: &Arc<TaskContext>,
    line: &impl HubLine,
    endpoint: &Endpoint,
    name: &ConnectionName,
) {
    loop {
        let of_read = name.clone();
        let next = context.store.durably(move |store| store.next_erasure(&of_read)).await;
        let Some(Some(erasure)) = next else { return };
        if let Err(why) = erase_at_hub(line, endpoint, erasure.body).await {
            tracing::warn!(connection = %name, why, "the hub does not yet know who was erased here; trying again");
            return;
        }
        if context.store.durably(move |store| store.erasure_is_told(erasure.id)).await.is_none() {
            return;
        }
    }
}

/// Asks again as long as the process runs.
pub async fn fetch(context: Arc<TaskContext>, line: impl HubLine, connection: Connection) {
    let mut failures = 0;
    loop {
        match fetch_once(&context, &line, &connection).await {
            Ok(()) => failures = 0,
            Err(why) => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(connection = %connection.name, why, "what people write waits at the hub; trying again");
                }
                let pause = context.machine.dice().jitter(backoff(FIRST_PAUSE, LONGEST_PAUSE, failures));
                context.machine.sleep(pause).await;
            }
        }
    }
}

async fn fetch_once(
    context: &Arc<TaskContext>,
    line: &impl HubLine,
    connection: &Connection,
) -> Result<(), String> {
    let (name, now) = (connection.name.clone(), context.machine.now());
    let read = move |store: &Store| Ok((store.hub_cursor(&name)?, store.backlog(now)?));
    let (cursor, backlog) = context.store.durably(read).await.ok_or("the disk cannot be read")?;
    let endpoint = endpoint(connection)?;
    tell_erasures(context, line, &endpoint, &connection.name).await;
    let fetched = fetch_webhooks(line, &endpoint, &context.tag, cursor.as_deref(), backlog).await?;
    let Some(Fetched { cursor, webhooks }) = fetched else { return Ok(()) };
    let live = context.live.get();
    let mut bodies = Vec::with_capacity(webhooks.len());
    for webhook in webhooks {
        let signed_by = signed_by(&live, Some(&webhook.signature), webhook.body.as_bytes());
        if signed_by.is_empty() {
            return Err("what it has for this site is not signed with its token".to_owned());
        }
        bodies.push((webhook.body, signers(&live, signed_by)));
    }
    let (name, machine) = (connection.name.clone(), Arc::clone(&context.machine));
    let keep = move |store: &Store| store.keep_fetched(&name, &bodies, &cursor, machine.now());
    context.store.durably(keep).await.ok_or("the disk takes nothing")?;
    context.wakeups.after(Written::WebhookBody);
    Ok(())
}
