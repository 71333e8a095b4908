//! What is asked of Meta beside the diagnosis: the app secret, the subscription, a template, the first message.

use anyhow::{Context, Result, anyhow};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::contact::Phone;
use crate::whatsapp::client::Client;
use crate::whatsapp::graph::{GraphApi, NoAnswer, escape};

/// The app that the token belongs to.
pub async fn app_of(client: &Client, api: &GraphApi) -> Result<Option<String>> {
    let answer =
        client.ask(api, &inspect(&api.access_token)).await.context("the token's app cannot be read")?;
    let app = &answer["data"]["app_id"];
    Ok(app.as_str().map(str::to_owned).or_else(|| app.as_i64().map(|id| id.to_string())))
}

/// Why Meta cannot be asked at all: no network, or somebody else answers.
pub async fn unreachable(client: &Client, api: &GraphApi) -> Option<String> {
    match client.ask(api, &inspect(&api.access_token)).await {
        Err(error @ (NoAnswer::Unreachable(_) | NoAnswer::NotTheApi(_))) => Some(error.to_string()),
        Ok(_) | Err(NoAnswer::Refused(_)) => None,
    }
}

/// `APP|SECRET` is a token too: Meta takes it only with the right secret (docs/cloud-api.md 6).
pub async fn check_app_secret(
    client: &Client,
    api: &GraphApi,
    app: Option<&str>,
    app_secret: &SecretString,
) -> Result<()> {
    let Some(app) = app else { return Ok(()) }; // Meta did not name the app: webhooks will tell
    let access_token = SecretString::from(format!("{app}|{}", app_secret.expose_secret()));
    let as_app = GraphApi { access_token, ..api.clone() };
    match client.ask(&as_app, &inspect(&api.access_token)).await {
        Ok(_) => Ok(()),
        Err(NoAnswer::Refused(refusal)) => Err(anyhow!(
            "this is not the secret of the app {app} that the token belongs to: {}",
            refusal.details
        )),
        Err(error @ (NoAnswer::Unreachable(_) | NoAnswer::NotTheApi(_))) => Err(error.into()),
    }
}

fn inspect(token: &SecretString) -> String {
    format!("debug_token?input_token={}", escape(token.expose_secret()))
}

/// Webhooks of the account go to the token's app.
pub async fn subscribe(client: &Client, api: &GraphApi, business: &str) -> Result<()> {
    let done = client.tell(api, &format!("{business}/subscribed_apps"), &json!({})).await;
    done.map(drop).with_context(|| format!("the app cannot be subscribed to the account {business}"))
}

/// What `setup` offers and docs/whatsapp.md shows. A parameter at either end of a body is refused (2388299), so words follow it.
pub const TEMPLATE_BODY: &str = "Alarm: {{1}}\nThis message was sent because you asked to be told.";

pub async fn create_template(client: &Client, api: &GraphApi, business: &str) -> Result<String> {
    let body = json!({
        "name": "alarm_v1", "language": "en", "category": "UTILITY",
        "components": [{ "type": "BODY", "text": TEMPLATE_BODY,
                         "example": { "body_text": [["Freezer 2 in the bar is at -12.5 °C"]] } }],
    });
    match client.tell(api, &format!("{business}/message_templates"), &body).await {
        Ok(answer) => Ok(format!(
            "the template alarm_v1 waits for approval ({}); that takes minutes to a day",
            answer["status"].as_str().unwrap_or("PENDING")
        )),
        // It exists already, or its wording is refused: neither keeps the rest from working.
        Err(NoAnswer::Refused(refusal)) => Ok(format!(
            "the template was not created: {}; see WhatsApp Manager > Message templates",
            refusal.details
        )),
        Err(error @ (NoAnswer::Unreachable(_) | NoAnswer::NotTheApi(_))) => Err(error.into()),
    }
}

/// The one template that every account has from the start: the person has not written yet, so nothing else may go out.
pub async fn greet(client: &Client, api: &GraphApi, number: &str, phone: &Phone) -> Result<String> {
    let body = json!({
        "messaging_product": "whatsapp", "to": phone.e164(), "type": "template",
        "template": { "name": "hello_world", "language": { "code": "en_US" } },
    });
    match client.tell(api, &format!("{number}/messages"), &body).await {
        Ok(_) => Ok(format!("a first message is on its way to {}", phone.masked())),
        Err(NoAnswer::Refused(refusal)) => Ok(format!(
            "the first message was refused with code {}: {}\n  → {}",
            refusal.code, refusal.details, refusal.advice
        )),
        Err(error @ (NoAnswer::Unreachable(_) | NoAnswer::NotTheApi(_))) => Err(error.into()),
    }
}
