//! From an account to a configuration that works: each value is asked for with where it stands in Meta's pages, checked
//! with Meta when it is given, and written when everything before it is right. Started again, it goes on with what the
//! files say.

/// Questions and answers, from a person or from arguments.
mod dialogue;
/// What is asked of Meta beside the diagnosis.
pub mod meta;
/// The configuration and the secret files.
mod write;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};

pub use dialogue::Dialogue;

use crate::config::{Connection, secret};
use crate::contact::Phone;
use crate::doctor::{self, Severity};
use crate::ids::ConnectionName;
use crate::whatsapp::client::Client;
use crate::whatsapp::graph::Api;
use write::Draft;

/// What stands in a first configuration for an id that is not known yet.
const UNSET: &str = "0";

/// What arguments and files have answered already; the rest is asked.
#[derive(Debug, Default)]
pub struct Given {
    pub phone_number_id: Option<String>,
    pub business_account_id: Option<String>,
    pub access_token: Option<SecretString>,
    pub app_secret: Option<SecretString>,
    pub verify_token: Option<SecretString>,
    pub site_name: Option<String>,
    pub time_zone: Option<String>,
    pub mqtt_url: Option<String>,
    pub phone: Option<String>,
    pub webhook: Option<String>,
    pub template: bool,
    pub api_url: Option<String>,
}

/// Asks, checks, writes.
pub async fn run(config: PathBuf, given: Given, dialogue: &mut Dialogue, client: &Client) -> Result<()> {
    let mut draft = Draft::open(config)?;
    if let Some(url) = &given.api_url {
        draft.move_to(url)?;
    }
    let (api, app) = connect(&mut draft, &given, dialogue, client).await?;
    secrets(&mut draft, &given, dialogue, client, &api, app.as_deref()).await?;
    let phone = site(&mut draft, &given, dialogue)?;
    draft.finish()?;
    dialogue.say(&format!("written: {}", draft.path().display()));

    let connection = draft.connection()?;
    let business = connection.business_account_id.clone().unwrap_or_default();
    meta::subscribe(client, &api, &business).await?;
    dialogue.say("the app is subscribed to the account's webhooks");
    let question =
        format!("For alerts after 24 h, a template:\n\n{}\n\nCreate it as alarm_v1?", meta::TEMPLATE_BODY);
    if given.template || dialogue.agrees(&question)? {
        dialogue.say(&meta::create_template(client, &api, &business).await?);
    }
    webhook(&connection, given.webhook.as_deref(), dialogue)?;
    if let Some(phone) = phone {
        dialogue.say(&meta::greet(client, &api, &connection.phone_number_id, &phone).await?);
    }
    dialogue.say("next: systemctl enable --now bellwire, then: sudo -u bellwire bellwire doctor");
    Ok(())
}

/// The number, its account and the token, which can only be checked together.
async fn connect(
    draft: &mut Draft,
    given: &Given,
    dialogue: &mut Dialogue,
    client: &Client,
) -> Result<(Api, Option<String>)> {
    loop {
        let known = draft.connection().ok();
        let known = |of: fn(&Connection) -> Option<String>| known.as_ref().and_then(of);
        let number = dialogue.ask(
            "Phone number ID",
            "developers.facebook.com > your app > WhatsApp > API Setup, under the number (not the number itself)",
            given.phone_number_id.as_deref(),
            known(|connection| Some(connection.phone_number_id.clone())).filter(|id| id != UNSET),
        )?;
        let business = dialogue.ask(
            "WhatsApp Business Account ID",
            "on the same page",
            given.business_account_id.as_deref(),
            known(|connection| connection.business_account_id.clone()).filter(|id| id != UNSET),
        )?;
        let token = dialogue.ask_secret(
            "Access token",
            doctor::TOKEN_PLACE,
            given.access_token.as_ref(),
            draft.secret("access-token"),
        )?;
        draft.set("[[connection]]", "phone_number_id", number.trim())?;
        draft.set("[[connection]]", "business_account_id", business.trim())?;
        let connection = draft.on_trial(&token)?;
        let findings = doctor::examine_account(&connection, client).await;
        let wrong: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error && finding.check != "subscription")
            .collect();
        for finding in &wrong {
            dialogue.say(&format!(
                "{}: {}\n  → {}",
                finding.check,
                finding.what,
                finding.next.as_deref().unwrap_or("")
            ));
        }
        if wrong.is_empty() {
            dialogue.say("Meta knows the number, the account and the token");
            draft.keep("access-token", &token)?;
            draft.forget_moved()?;
            draft.save()?;
            let api = Api { url: connection.api_url, version: connection.api_version, access_token: token };
            let app = meta::app_of(client, &api).await?;
            return Ok((api, app));
        }
        dialogue.again()?;
    }
}

async fn secrets(
    draft: &mut Draft,
    given: &Given,
    dialogue: &mut Dialogue,
    client: &Client,
    api: &Api,
    app: Option<&str>,
) -> Result<()> {
    loop {
        let app_secret = dialogue.ask_secret(
            "App secret",
            "developers.facebook.com > your app > App settings > Basic > Show",
            given.app_secret.as_ref(),
            draft.secret("app-secret"),
        )?;
        match meta::check_app_secret(client, api, app, &app_secret).await {
            Ok(()) => {
                draft.keep("app-secret", &app_secret)?;
                break;
            }
            Err(error) => {
                dialogue.say(&format!("{error:#}"));
                dialogue.again()?;
            }
        }
    }
    let known = draft.secret("verify-token");
    let verify_token = match given.verify_token.clone().or(known) {
        Some(token) => token,
        None => write::random_word()?,
    };
    draft.keep("verify-token", &verify_token)
}

/// The rest of a first configuration. Answers the phone of the first person, if there is one to greet.
fn site(draft: &mut Draft, given: &Given, dialogue: &mut Dialogue) -> Result<Option<Phone>> {
    if !draft.is_new() {
        return given.phone.as_deref().map(Phone::parse).transpose().context("the phone number");
    }
    let name = dialogue.ask(
        "Name of the site",
        "it stands in messages",
        given.site_name.as_deref(),
        Some("My shop".into()),
    )?;
    draft.set("[site]", "name", &name)?;
    let zone = std::fs::read_to_string("/etc/timezone").unwrap_or_default();
    let zone =
        Some(zone.trim().to_owned()).filter(|zone| !zone.is_empty()).unwrap_or_else(|| "Etc/UTC".into());
    let zone =
        dialogue.ask("Time zone", "for the times in messages", given.time_zone.as_deref(), Some(zone))?;
    draft.set("[site]", "time_zone", &zone)?;
    let broker = Some("mqtt://127.0.0.1:1883".to_owned());
    let url =
        dialogue.ask("MQTT broker", "mqtt://HOST or mqtts://HOST", given.mqtt_url.as_deref(), broker)?;
    draft.set("[mqtt]", "url", &url)?;
    loop {
        let phone = dialogue.ask(
            "Your phone number",
            "with country code; it gets the first message",
            given.phone.as_deref(),
            None,
        )?;
        match Phone::parse(&phone) {
            Ok(phone) => {
                draft.set("[[contact]]", "phone", phone.e164())?;
                return Ok(Some(phone));
            }
            Err(error) => {
                dialogue.say(&error.to_string());
                dialogue.again()?;
            }
        }
    }
}

/// What a person enters in the dashboard: Meta takes it from an administrator's hand alone.
fn webhook(connection: &Connection, address: Option<&str>, dialogue: &mut Dialogue) -> Result<()> {
    if address.is_some_and(|address| !address.starts_with("https://")) {
        bail!("the webhook's address must begin with https://: Meta takes nothing else");
    }
    let verify_token = secret(&connection.verify_token)?;
    dialogue.say("now in the dashboard: WhatsApp > Configuration, while bellwire runs:");
    dialogue.say(&format!("  Callback URL  {}", address.unwrap_or("https://YOUR-NAME/webhook/whatsapp")));
    dialogue.say(&format!("  Verify token  {}", verify_token.expose_secret()));
    dialogue.say("  then subscribe to the field messages");
    Ok(())
}

/// What the connection is called in a first configuration.
fn first_name() -> ConnectionName {
    ConnectionName("main".into())
}
