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

use anyhow::{Result, bail};
use secrecy::{ExposeSecret, SecretString};

pub use dialogue::{Dialogue, Wrong, ask_hidden};

use crate::config::{Connection, secret};
use crate::contact::Phone;
use crate::doctor::{self, Severity};
use crate::ids::ConnectionName;
use crate::started_by::StartedBy;
use crate::time::{zone_of_this_machine, zone_or_why};
use crate::whatsapp::client::Client;
use crate::whatsapp::graph::GraphApi;
use write::Draft;

/// What stands in a first configuration for an id that is not known yet.
const UNSET: &str = "0";
/// And for the zone and the phone.
const NO_ZONE: &str = "Etc/UTC";
const NO_PHONE: &str = "+15550100100";
const PHONE: &str = "Your phone number";

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
    /// Meta is asked nothing: what was given is kept, and checked the next time.
    pub unchecked: bool,
    pub api_url: Option<String>,
}

/// Asks, checks, writes.
pub async fn run(config: PathBuf, given: Given, dialogue: &mut Dialogue, client: &Client) -> Result<()> {
    if given.webhook.as_deref().is_some_and(|address| !address.starts_with("https://")) {
        let why = "its address must begin with https://: Meta takes nothing else";
        return Err(Wrong("The webhook".to_owned(), why.to_owned()).into());
    }
    let mut draft = Draft::open(config)?;
    draft.sound()?;
    if let Some(url) = &given.api_url {
        draft.move_to(url)?;
    }
    let checked = connect(&mut draft, &given, dialogue, client).await?;
    secrets(&mut draft, &given, dialogue, client, checked.as_ref()).await?;
    let phone = site(&mut draft, &given, dialogue)?;
    let Some((api, _)) = checked else {
        draft.note()?;
        dialogue.say(&format!(
            "kept in {}, and nothing of it was checked with Meta.\nnext, when there is a network: {} again; \
             Enter takes each answer as it is known",
            draft.path().display(),
            StartedBy::here().set_up()
        ));
        return Ok(());
    };
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
    dialogue.say(&format!("next: {}", StartedBy::here().first_start(draft.path())));
    Ok(())
}

/// The API with the token, and the app that it belongs to.
type Checked = (GraphApi, Option<String>);

/// The number, its account and the token, which can only be checked together. `None`: Meta cannot be asked, and they are kept.
async fn connect(
    draft: &mut Draft,
    given: &Given,
    dialogue: &mut Dialogue,
    client: &Client,
) -> Result<Option<Checked>> {
    loop {
        let known = draft.connection().ok();
        let known = |of: fn(&Connection) -> Option<String>| known.as_ref().and_then(of);
        let number = dialogue.ask(
            (
                "Phone number ID",
                "developers.facebook.com > your app > WhatsApp > API Setup, under the number (not the number itself)",
            ),
            given.phone_number_id.as_deref(),
            known(|connection| Some(connection.phone_number_id.clone())).filter(|id| id != UNSET),
            judge_id,
        )?;
        draft.set("[[connection]]", "phone_number_id", &number)?;
        draft.note()?;
        let business = dialogue.ask(
            ("WhatsApp Business Account ID", "on the same page"),
            given.business_account_id.as_deref(),
            known(|connection| connection.business_account_id.clone()).filter(|id| id != UNSET),
            judge_id,
        )?;
        draft.set("[[connection]]", "business_account_id", &business)?;
        draft.note()?;
        let token = dialogue.ask_secret(
            ("Access token", doctor::TOKEN_PLACE),
            given.access_token.as_ref(),
            draft.secret("access-token"),
        )?;
        let checked = check(draft, dialogue, client, (given.unchecked, &token)).await?;
        if let Some(checked) = checked {
            dialogue.settled();
            return Ok(checked);
        }
    }
}

/// `None`: something is wrong, and asked again; `Some(None)`: Meta cannot be asked, and the answers are kept.
async fn check(
    draft: &mut Draft,
    dialogue: &mut Dialogue,
    client: &Client,
    (unchecked, token): (bool, &SecretString),
) -> Result<Option<Option<Checked>>> {
    let connection = draft.on_trial(token)?;
    let api = GraphApi {
        url: connection.api_url.clone(),
        version: connection.api_version.clone(),
        access_token: token.clone(),
    };
    loop {
        let away = if unchecked { Some(String::new()) } else { meta::unreachable(client, &api).await };
        let Some(why) = away else { break };
        if !unchecked && !dialogue.goes_on_without(&why)? {
            continue;
        }
        if !draft.is_new() {
            bail!(
                "the configuration is in use, and nothing of it was changed; start again when there is a network"
            );
        }
        draft.keep("access-token", token)?;
        draft.forget_moved()?;
        return Ok(Some(None));
    }
    let findings = doctor::examine_account(&connection, client).await;
    let wrong = findings.iter();
    let wrong: Vec<_> = wrong
        .filter(|finding| finding.severity == Severity::Error && finding.check != "subscription")
        .collect();
    for finding in &wrong {
        let next = finding.next.as_deref().unwrap_or("");
        dialogue.say(&format!("{}: {}\n  → {next}", finding.check, finding.what));
    }
    if !wrong.is_empty() {
        dialogue.again()?;
        return Ok(None);
    }
    dialogue.say("Meta knows the number, the account and the token");
    draft.keep("access-token", token)?;
    draft.forget_moved()?;
    draft.save()?;
    let app = meta::app_of(client, &api).await?;
    Ok(Some(Some((api, app))))
}

/// Digits alone: what was typed with a `+` or spaces is the phone number, or something else of the page.
fn judge_id(answer: &str) -> std::result::Result<(), String> {
    let is_id = (5..=20).contains(&answer.len()) && answer.bytes().all(|byte| byte.is_ascii_digit());
    let why = "an ID has digits alone, such as 109876543210123; the phone number itself is none";
    if is_id { Ok(()) } else { Err(why.to_owned()) }
}

async fn secrets(
    draft: &mut Draft,
    given: &Given,
    dialogue: &mut Dialogue,
    client: &Client,
    checked: Option<&Checked>,
) -> Result<()> {
    loop {
        let app_secret = dialogue.ask_secret(
            ("App secret", "developers.facebook.com > your app > App settings > Basic > Show"),
            given.app_secret.as_ref(),
            draft.secret("app-secret"),
        )?;
        let judged = match checked {
            Some((api, app)) => meta::check_app_secret(client, api, app.as_deref(), &app_secret).await,
            None => Ok(()),
        };
        match judged {
            Ok(()) => {
                draft.keep("app-secret", &app_secret)?;
                dialogue.settled();
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
        let phone = given.phone.as_deref().map(Phone::parse).transpose();
        return phone.map_err(|error| Wrong(PHONE.to_owned(), error.to_string()).into());
    }
    let name = draft.known(|config| Some(config.site.name.clone()));
    let judge = |name: &str| draft.judge("[site]", "name", name);
    let name = dialogue.ask(
        ("Name of the site", "it stands in messages"),
        given.site_name.as_deref(),
        name,
        judge,
    )?;
    draft.set("[site]", "name", &name)?;
    draft.note()?;
    let zone = draft.known(|config| config.site.time_zone.iana_name().map(str::to_owned));
    let zone = zone.filter(|zone| zone != NO_ZONE).unwrap_or_else(zone_of_this_machine);
    let judge = |name: &str| zone_or_why(name).map(drop);
    let zone = dialogue.ask(
        ("Time zone", "for the times in messages"),
        given.time_zone.as_deref(),
        Some(zone),
        judge,
    )?;
    draft.set("[site]", "time_zone", &zone)?;
    draft.note()?;
    let url = draft.mqtt_url();
    let judge = |url: &str| draft.judge("[mqtt]", "url", url);
    let url = dialogue.ask(
        ("MQTT broker", "mqtt://HOST or mqtts://HOST"),
        given.mqtt_url.as_deref(),
        url,
        judge,
    )?;
    draft.set("[mqtt]", "url", &url)?;
    draft.note()?;
    let phone =
        draft.known(|config| config.people.contacts.values().next().map(|one| one.to.address().to_owned()));
    let judge = |phone: &str| Phone::parse(phone).map(drop).map_err(|error| error.to_string());
    let phone = dialogue.ask(
        (PHONE, "with country code; it gets the first message"),
        given.phone.as_deref(),
        phone.filter(|phone| phone != NO_PHONE),
        judge,
    )?;
    let phone = Phone::parse(&phone).map_err(|error| Wrong(PHONE.to_owned(), error.to_string()))?;
    draft.set("[[contact]]", "phone", phone.e164())?;
    draft.note()?;
    Ok(Some(phone))
}

/// What a person enters in the dashboard: Meta takes it from an administrator's hand alone.
fn webhook(connection: &Connection, address: Option<&str>, dialogue: &mut Dialogue) -> Result<()> {
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
