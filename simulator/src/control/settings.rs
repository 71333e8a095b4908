//! Clock, window, limits, webhook form, token, nodes. What is absent in a body stays as it is.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, answer, bad, read};
use crate::limits::Form;
use crate::state::Simulator;
use crate::world::World;

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/_simulator/clock", get(clock).post(advance))
        .route("/_simulator/window", get(window).post(set_window))
        .route("/_simulator/limits", get(limits).post(set_limits))
        .route("/_simulator/webhooks", get(webhooks).post(set_webhooks))
        .route("/_simulator/token", post(set_token))
        .route("/_simulator/node", post(set_node))
        .route("/_simulator/handshake", post(handshake))
}

fn time(world: &World) -> Value {
    json!({ "now": Simulator::now(world).rfc3339(), "ahead_s": world.ahead_ms / 1_000 })
}

async fn clock(State(simulator): State<Simulator>) -> Answer {
    answer(time(&*simulator.world.lock().await))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_s: i64,
}

async fn advance(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let advance: Advance = read(&body)?;
    let mut world = simulator.world.lock().await;
    world.ahead_ms = world.ahead_ms.saturating_add(advance.advance_s.saturating_mul(1_000));
    answer(time(&world))
}

fn shown_window(world: &World) -> Value {
    let open = world.limits.open(Simulator::now(world)).map(|(number, user, closes)| {
        json!({ "phone_number_id": number, "user_id": user, "wa_id": world.people.phone(user),
                "closes_at": closes.rfc3339() })
    });
    let mut shown = json!(world.limits.window);
    shown["open"] = json!(open.collect::<Vec<_>>());
    shown
}

async fn window(State(simulator): State<Simulator>) -> Answer {
    answer(shown_window(&*simulator.world.lock().await))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowChange {
    enforce: Option<bool>,
    form: Option<Form>,
    reaction_opens: Option<bool>,
}

async fn set_window(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let change: WindowChange = read(&body)?;
    let mut world = simulator.world.lock().await;
    let rules = &mut world.limits.window;
    rules.enforce = change.enforce.unwrap_or(rules.enforce);
    rules.form = change.form.unwrap_or(rules.form);
    rules.reaction_opens = change.reaction_opens.unwrap_or(rules.reaction_opens);
    answer(shown_window(&world))
}

async fn limits(State(simulator): State<Simulator>) -> Answer {
    answer(json!(simulator.world.lock().await.limits.rules))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitChange {
    pair: Option<bool>,
    throughput: Option<bool>,
    form: Option<Form>,
}

async fn set_limits(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let change: LimitChange = read(&body)?;
    let mut world = simulator.world.lock().await;
    let rules = &mut world.limits.rules;
    rules.pair = change.pair.unwrap_or(rules.pair);
    rules.throughput = change.throughput.unwrap_or(rules.throughput);
    rules.form = change.form.unwrap_or(rules.form);
    answer(json!(rules))
}

async fn webhooks(State(simulator): State<Simulator>) -> Answer {
    answer(json!(simulator.world.lock().await.forms))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormChange {
    version: Option<String>,
    user_ids: Option<bool>,
    failed_contacts: Option<bool>,
}

async fn set_webhooks(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let change: FormChange = read(&body)?;
    let is_version =
        |version: &String| version.strip_prefix('v').is_some_and(|number| number.parse::<f32>().is_ok());
    if change.version.as_ref().is_some_and(|version| !is_version(version)) {
        return Err(bad("`version` is a Graph API version, for example \"v25.0\""));
    }
    let mut world = simulator.world.lock().await;
    let forms = &mut world.forms;
    forms.version = change.version.unwrap_or_else(|| forms.version.clone());
    forms.user_ids = change.user_ids.unwrap_or(forms.user_ids);
    forms.failed_contacts = change.failed_contacts.unwrap_or(forms.failed_contacts);
    answer(json!(forms))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenChange {
    /// The token that is taken from now on.
    access_token: Option<String>,
    /// Whether tokens are taken at all.
    valid: Option<bool>,
    code: Option<i64>,
    subcode: Option<i64>,
    expires_at: Option<i64>,
    scopes: Option<Vec<String>>,
}

async fn set_token(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let change: TokenChange = read(&body)?;
    let mut world = simulator.world.lock().await;
    let token = &mut world.account.token;
    if let Some(accepted) = change.access_token {
        token.accepted = Some(SecretString::from(accepted));
    }
    match change.valid {
        Some(true) => token.refused = None,
        Some(false) => token.refused = Some((change.code.unwrap_or(190), change.subcode)),
        None => {}
    }
    token.expires_at = change.expires_at.unwrap_or(token.expires_at);
    token.scopes = change.scopes.unwrap_or_else(|| token.scopes.clone());
    answer(
        json!({ "valid": token.refused.is_none(), "expires_at": token.expires_at, "scopes": token.scopes }),
    )
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeChange {
    id: String,
    fields: Map<String, Value>,
}

/// What a number or the account shows from now on, for example `quality_rating`.
async fn set_node(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let change: NodeChange = read(&body)?;
    simulator.world.lock().await.account.show(&change.id, change.fields);
    answer(json!({ "success": true }))
}

/// Asks the webhook's address for the challenge, as Meta does when it is entered in the App Dashboard.
async fn handshake(State(simulator): State<Simulator>) -> Answer {
    let Some(url) = &simulator.options.webhook else {
        return Err(bad("the simulator was started without --webhook, so there is nobody to ask"));
    };
    let (status, verified) = simulator.postman.handshake(url, &simulator.options.verify_token).await;
    answer(json!({ "status": status, "verified": verified }))
}
