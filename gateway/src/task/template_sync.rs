//! The catalogue of message templates, read at the start, every six hours, and when a webhook says that it changed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::config::Connection;
use crate::outbox::window::TemplateInfo;
use crate::task::context::TaskContext;
use crate::task::wakeups::{Work, Written};
use crate::whatsapp::catalogue;
use crate::whatsapp::client::Client;
use crate::whatsapp::endpoint::endpoint;
use crate::whatsapp::notices::MESSAGING_LIMIT;

/// Webhooks tell what changes meanwhile; this is for those that were lost.
const READ_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Management calls are limited to 200 an hour for an account (docs/cloud-api.md 5.5).
const RETRY: Duration = Duration::from_secs(300);
/// Pages of a hundred; a verified business may have 6,000 templates (docs/cloud-api.md 1.3).
const PAGES_MAX: usize = 60;

pub async fn run(context: Arc<TaskContext>, client: Client) {
    loop {
        let mut pause = READ_EVERY;
        for connection in context.live.get().connections.iter() {
            learn_limit(&context, &client, connection).await;
            let asked_at = context.machine.now();
            match read(&client, connection).await {
                Ok(None) => {}
                Ok(Some(templates)) => {
                    let name = connection.name.clone();
                    tracing::info!(connection = %name, templates = templates.len(), "the template catalogue was read");
                    let keep =
                        move |store: &crate::store::Store| store.keep_catalogue(&name, &templates, asked_at);
                    if context.store.durably(keep).await.is_none() {
                        return;
                    }
                    context.wakeups.after(Written::Templates);
                }
                Err(error) => {
                    tracing::warn!(connection = %connection.name, %error, "the template catalogue could not be read");
                    pause = RETRY;
                }
            }
        }
        let woken = tokio::time::timeout(pause, context.wakeups.wait(Work::TemplateCatalogue)).await;
        drop(woken); // either way it is time to read
    }
}

/// How many people the business may write to first in a day (docs/cloud-api.md 5.3); later changes come as webhooks.
async fn learn_limit(context: &Arc<TaskContext>, client: &Client, connection: &Connection) {
    const FIELD: &str = "whatsapp_business_manager_messaging_limit";
    let Ok(endpoint) = endpoint(connection) else { return };
    let path = format!("{}?fields={FIELD}", connection.phone_number_id);
    match client.get(&endpoint, &path).await {
        Ok(answer) => {
            let Some(limit) = answer[FIELD].as_str().map(str::to_owned) else { return };
            let (name, machine) = (connection.name.clone(), Arc::clone(&context.machine));
            let keep = move |store: &crate::store::Store| {
                store.keep_fact(&name, MESSAGING_LIMIT, &limit, machine.now())
            };
            if context.store.durably(keep).await.is_none() {
                tracing::info!(connection = %connection.name, "the messaging limit was not stored");
            }
        }
        Err(answer) => {
            tracing::info!(connection = %connection.name, error = answer.in_words(), "Meta did not say how many people this number may write to first; it is asked again")
        }
    }
}

/// `None` without a business account to ask.
async fn read(
    client: &Client,
    connection: &Connection,
) -> Result<Option<Vec<(String, String, TemplateInfo)>>> {
    let Some(account) = &connection.business_account_id else { return Ok(None) };
    let (mut templates, mut after) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let endpoint = endpoint(connection).map_err(|error| anyhow!(error))?;
        let answer = client.get(&endpoint, &catalogue::path(account, after.as_deref())).await;
        let page = catalogue::read(&answer.map_err(|answer| anyhow!(answer.in_words()))?);
        templates.extend(page.templates);
        after = page.after;
        if after.is_none() {
            return Ok(Some(templates));
        }
    }
    tracing::warn!(
        connection = %connection.name, read = templates.len(),
        "the account has more templates than are read: those behind count as missing; delete what is not used in WhatsApp Manager"
    );
    Ok(Some(templates))
}
