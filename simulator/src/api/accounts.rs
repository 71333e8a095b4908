//! Numbers, the account, its subscription, the token (docs/cloud-api.md 6).

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::{Answer, Parameters, Refused, bearer, json as answer, media, success, unplayed};
use crate::account::APP;
use crate::fields::parse;
use crate::graph::Refusal;
use crate::media::Media;
use crate::state::Simulator;
use crate::world::World;

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/{version}/{node}/subscribed_apps", get(subscribed).post(subscribe).delete(unsubscribe))
        .route("/{version}/{node}/phone_numbers", get(phone_numbers))
        .route("/{version}/{node}/register", post(register))
        .route("/{version}/{node}/deregister", post(deregister))
        .route("/{version}/debug_token", get(debug_token))
        .route("/{version}/{node}", get(node).post(set_number).delete(delete_node))
}

#[derive(Debug, Deserialize)]
struct Asked {
    fields: Option<String>,
    phone_number_id: Option<String>,
}

/// A number, the account, a medium or a template: ids are one space.
async fn node(
    State(simulator): State<Simulator>,
    Path((_, id)): Path<(String, String)>,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter(&headers, "node").await?;
    if Media::is_id(&id) {
        return media::look_up(&simulator, &id, asked.phone_number_id.as_deref(), &headers).await;
    }
    let shown = {
        let mut world = simulator.world.lock().await;
        let (fields, url) = (asked.fields.as_deref(), simulator.options.webhook.as_deref());
        let known = &simulator.options.phone_number_ids;
        let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        match world.catalogue.by_id(&id) {
            (Some(template), _) => template.shown(fields),
            (None, true) => Err(Refusal::no_object(&id)),
            (None, false) if digits && world.account.names_account(&id, known, fields) => {
                let edges = edges(&simulator, &world, fields);
                edges.and_then(|edges| world.account.account_node(&id, edges, fields))
            }
            (None, false) if digits && (known.is_empty() || known.contains(&id)) => {
                world.account.number_mut(&id);
                world.account.number_node(&id, url, fields)
            }
            (None, false) if digits => Err(Refusal::no_object(&id)),
            (None, false) => Err(unplayed("GET", &id)),
        }
    };
    shown_or_refused(&simulator, shown).await
}

/// The account's edges that can stand among its fields: `phone_numbers{id,status}`.
fn edges(simulator: &Simulator, world: &World, fields: Option<&str>) -> Result<Value, Refusal> {
    let mut edges = json!({});
    for field in parse(fields.unwrap_or_default()) {
        edges[field.name] = match field.name {
            "phone_numbers" => numbers(simulator, world, field.within)?,
            "subscribed_apps" => apps(world),
            "message_templates" => {
                let shown = world.catalogue.templates.iter().map(|template| template.shown(field.within));
                json!({ "data": shown.collect::<Result<Vec<_>, _>>()? })
            }
            _ => continue,
        };
    }
    Ok(edges)
}

async fn shown_or_refused(simulator: &Simulator, shown: Result<Value, Refusal>) -> Answer {
    match shown {
        Ok(body) => Ok(answer(body)),
        Err(refusal) => Err(simulator.refuse(&refusal).await),
    }
}

async fn delete_node(
    State(simulator): State<Simulator>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    _: Arguments,
) -> Answer {
    simulator.enter(&headers, "node").await?;
    let deleted = {
        let mut world = simulator.world.lock().await;
        let now = Simulator::now(&world);
        world.media.delete(&id, now)
    };
    match deleted {
        Ok(()) => success(),
        Err(refusal) => Err(simulator.refuse(&refusal).await),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberChange {
    #[serde(rename = "messaging_product")]
    _messaging_product: Option<String>,
    pin: Option<String>,
    webhook_configuration: Option<Callback>,
    /// Both are shown from then on.
    new_display_name: Option<String>,
    search_visibility: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Callback {
    override_callback_uri: Option<String>,
    verify_token: Option<String>,
}

/// `POST /{phone_number_id}`: the two-step PIN, or an address of its own for webhooks.
async fn set_number(
    State(simulator): State<Simulator>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter(&headers, "node").await?;
    if simulator.world.lock().await.catalogue.by_id(&id).1 {
        return edit_template(&simulator, &id, arguments).await;
    }
    if Media::is_id(&id) {
        let details = "A medium is not changed: upload another.";
        return Err(simulator.refuse(&Refusal::new(100, details)).await);
    }
    simulator.number(&id).await?;
    let change: NumberChange = arguments.read(&simulator).await?;
    if let Some(pin) = &change.pin {
        check_pin(&simulator, pin).await?;
    }
    let callback = match change.webhook_configuration {
        Some(callback) => Some(verified(&simulator, callback).await?),
        None => None,
    };
    let mut world = simulator.world.lock().await;
    let number = world.account.number_mut(&id);
    number.pin = change.pin.or(number.pin.take());
    if let Some(callback) = callback {
        number.callback = callback;
    }
    let mut shown = Map::new();
    if let Some(name) = change.new_display_name {
        shown.extend([
            ("new_display_name".to_owned(), json!(name)),
            ("new_name_status".to_owned(), json!("PENDING_REVIEW")),
        ]);
    }
    if let Some(visibility) = change.search_visibility {
        shown.insert("search_visibility".to_owned(), json!(visibility));
    }
    if !shown.is_empty() {
        world.account.show(&id, shown);
    }
    success()
}

async fn edit_template(simulator: &Simulator, id: &str, arguments: Arguments) -> Answer {
    let change = arguments.object(simulator).await?;
    let edited = {
        let mut world = simulator.world.lock().await;
        let edited = world.catalogue.edit(id.parse().unwrap_or_default(), &change);
        edited.map(|template| {
            json!({ "success": true, "id": id, "name": template.name, "category": template.category })
        })
    };
    shown_or_refused(simulator, edited).await
}

async fn check_pin(simulator: &Simulator, pin: &str) -> Result<(), Refused> {
    if pin.len() == 6 && pin.chars().all(|digit| digit.is_ascii_digit()) {
        return Ok(());
    }
    Err(simulator.refuse(&Refusal::new(100, "Param pin must be 6 digits.")).await)
}

/// Meta asks an address for the challenge before it takes it (docs/cloud-api.md 3.1). An empty one removes the override.
async fn verified(simulator: &Simulator, callback: Callback) -> Result<Option<String>, Refused> {
    let Some(url) = callback.override_callback_uri.filter(|url| !url.is_empty()) else { return Ok(None) };
    if url.len() > 200 {
        let refusal = Refusal::new(100, "Param override_callback_uri must be at most 200 characters long.");
        return Err(simulator.refuse(&refusal).await);
    }
    let token = SecretString::from(callback.verify_token.unwrap_or_default());
    let (status, echoed) = simulator.postman.handshake(&url, &token).await;
    if echoed {
        return Ok(Some(url));
    }
    let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    let details =
        format!("Callback verification failed with the following errors: HTTP Status Code = {status}");
    Err(simulator.refuse(&Refusal::new(2_200, details)).await)
}

async fn phone_numbers(
    State(simulator): State<Simulator>,
    Path((_, account)): Path<(String, String)>,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter(&headers, "phone_numbers").await?;
    let listed = {
        let mut world = simulator.world.lock().await;
        let judged = world.account.is_account(&account);
        judged.and_then(|()| numbers(&simulator, &world, asked.fields.as_deref()))
    };
    shown_or_refused(&simulator, listed).await
}

/// All on one page: a test has a handful.
fn numbers(simulator: &Simulator, world: &World, fields: Option<&str>) -> Result<Value, Refusal> {
    let mut ids = simulator.options.phone_number_ids.clone();
    ids.extend(world.account.numbers().filter(|_| ids.is_empty()).cloned().collect::<Vec<_>>());
    let url = simulator.options.webhook.as_deref();
    let shown = ids.iter().map(|id| world.account.number_node(id, url, fields));
    Ok(json!({ "data": shown.collect::<Result<Vec<_>, _>>()? }))
}

async fn subscribed(
    State(simulator): State<Simulator>,
    Path((_, account)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter(&headers, "subscribed_apps").await?;
    let listed = {
        let mut world = simulator.world.lock().await;
        let judged = world.account.is_account(&account);
        judged.map(|()| apps(&world))
    };
    shown_or_refused(&simulator, listed).await
}

fn apps(world: &World) -> Value {
    let link = "https://www.facebook.com/games/?app_id=900000000000701";
    let mut app =
        json!({ "whatsapp_business_api_data": { "id": APP, "name": "Simulated app", "link": link } });
    if let Some(callback) = &world.account.callback {
        app["override_callback_uri"] = json!(callback);
    }
    let apps = if world.account.subscribed { vec![app] } else { Vec::new() };
    json!({ "data": apps })
}

/// Without a body it removes an override (docs/cloud-api.md 6).
async fn subscribe(
    State(simulator): State<Simulator>,
    Path((_, account)): Path<(String, String)>,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter(&headers, "subscribed_apps").await?;
    let callback: Callback = arguments.read(&simulator).await?;
    let judged = simulator.world.lock().await.account.is_account(&account);
    if let Err(refusal) = judged {
        return Err(simulator.refuse(&refusal).await);
    }
    let callback = verified(&simulator, callback).await?;
    let mut world = simulator.world.lock().await;
    world.account.subscribed = true;
    world.account.callback = callback;
    success()
}

async fn unsubscribe(
    State(simulator): State<Simulator>,
    Path((_, account)): Path<(String, String)>,
    headers: HeaderMap,
    _: Arguments,
) -> Answer {
    simulator.enter(&headers, "subscribed_apps").await?;
    let judged = {
        let mut world = simulator.world.lock().await;
        let judged = world.account.is_account(&account);
        world.account.subscribed &= judged.is_err();
        judged
    };
    match judged {
        Ok(()) => success(),
        Err(refusal) => Err(simulator.refuse(&refusal).await),
    }
}

#[derive(Debug, Deserialize)]
struct Registration {
    messaging_product: String,
    pin: String,
}

async fn register(
    State(simulator): State<Simulator>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter(&headers, "register").await?;
    simulator.number(&id).await?;
    let registration: Registration = arguments.read(&simulator).await?;
    if registration.messaging_product != "whatsapp" {
        return Err(simulator.refuse(&Refusal::new(100, "Param messaging_product must be whatsapp.")).await);
    }
    check_pin(&simulator, &registration.pin).await?;
    registered(&simulator, &id, Some(&registration.pin)).await
}

async fn deregister(
    State(simulator): State<Simulator>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    _: Arguments,
) -> Answer {
    simulator.enter(&headers, "register").await?;
    simulator.number(&id).await?;
    registered(&simulator, &id, None).await
}

async fn registered(simulator: &Simulator, id: &str, pin: Option<&str>) -> Answer {
    let done = {
        let mut world = simulator.world.lock().await;
        let now = Simulator::now(&world);
        world.account.register(id, pin, now)
    };
    match done {
        Ok(()) => success(),
        Err(refusal) => Err(simulator.refuse(&refusal).await),
    }
}

#[derive(Debug, Deserialize)]
struct Inspected {
    input_token: String,
}

/// With the token itself, or with `app_id|app_secret`. A token that is refused can still be inspected.
async fn debug_token(
    State(simulator): State<Simulator>,
    Parameters(inspected): Parameters<Inspected>,
    headers: HeaderMap,
) -> Answer {
    let app = format!("{APP}|{}", simulator.options.app_secret.expose_secret());
    let bearer = bearer(&headers).unwrap_or_default();
    if bearer != app && bearer != inspected.input_token {
        simulator.authorise(&headers).await?;
    }
    simulator.fail("debug_token").await?;
    let world = simulator.world.lock().await;
    Ok(answer(world.account.token.debug(&inspected.input_token, world.account.own_id())))
}
