//! `/_simulator/…`: what was sent, what a person does, what goes wrong next, what time it is, and the phone.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::faults::Fault;
use super::serve::Simulator;
use super::world::{Sent, World, Written};

const PHONE: &str = include_str!("phone.html");

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/_simulator/", get(|| async { Html(PHONE) }))
        .route("/_simulator", get(|| async { Html(PHONE) }))
        .route("/_simulator/messages", get(messages))
        .route("/_simulator/chats", get(chats))
        .route("/_simulator/reply", post(reply))
        .route("/_simulator/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_simulator/clock", post(clock))
}

async fn messages(State(simulator): State<Simulator>) -> Response {
    let world = simulator.world.lock().await;
    axum::Json(world.sent.iter().map(describe).collect::<Vec<_>>()).into_response()
}

fn describe(sent: &Sent) -> Value {
    let kind = sent.body["type"].as_str().unwrap_or("text");
    let text = sent.body["text"]["body"]
        .as_str()
        .or_else(|| sent.body["interactive"]["body"]["text"].as_str())
        .or_else(|| sent.body[kind]["caption"].as_str())
        .or_else(|| sent.body["template"]["name"].as_str());
    let buttons: Vec<Value> = buttons(sent).map(|(id, title)| json!({ "id": id, "title": title })).collect();
    json!({
        "id": sent.id, "phone_number_id": sent.phone_number_id, "to": sent.to, "type": kind, "text": text,
        "buttons": buttons, "body": sent.body, "status": sent.status,
        "biz_opaque_callback_data": sent.body["biz_opaque_callback_data"],
        "timestamp": sent.at.0 / 1_000,
    })
}

fn buttons(sent: &Sent) -> impl Iterator<Item = (&str, &str)> {
    let buttons = sent.body["interactive"]["action"]["buttons"].as_array();
    buttons
        .into_iter()
        .flatten()
        .filter_map(|button| Some((button["reply"]["id"].as_str()?, button["reply"]["title"].as_str()?)))
}

/// Both sides of each chat, for the phone.
async fn chats(State(simulator): State<Simulator>) -> Response {
    let world = simulator.world.lock().await;
    let written = world.written.iter().map(|written| {
        json!({ "from": written.from, "text": written.text, "quotes": written.quotes, "timestamp": written.at.0 / 1_000 })
    });
    let sent: Vec<Value> = world.sent.iter().rev().take(500).rev().map(describe).collect();
    axum::Json(json!({ "sent": sent, "written": written.collect::<Vec<_>>() })).into_response()
}

/// What a person does: writes, taps a button, or answers a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    from: String,
    text: Option<String>,
    tap: Option<String>,
    quote: Option<String>,
    message_id: Option<String>,
}

async fn reply(State(simulator): State<Simulator>, body: Bytes) -> Response {
    let reply: Reply = match read(&body) {
        Ok(reply) => reply,
        Err(refused) => return *refused,
    };
    let from: String = reply.from.chars().filter(char::is_ascii_digit).collect();
    let mut world = simulator.world.lock().await;
    let newest = |wanted: &dyn Fn(&Sent) -> bool| {
        world.sent.iter().rev().find(|sent| sent.to.trim_start_matches('+') == from && wanted(sent)).cloned()
    };
    let content = match (&reply.tap, &reply.text) {
        (Some(tap), None) => {
            let is_it = |sent: &Sent| reply.message_id.as_ref().is_none_or(|id| sent.id == *id);
            let has = |sent: &Sent| is_it(sent) && buttons(sent).any(|(id, title)| id == tap || title == tap);
            let Some(message) = newest(&has) else {
                return refuse(
                    StatusCode::NOT_FOUND,
                    &format!(
                        "no message to +{from} has the button `{tap}`; GET /_simulator/messages shows them"
                    ),
                );
            };
            let button = buttons(&message).find(|(id, title)| id == tap || title == tap).unwrap_or_default();
            let interactive =
                json!({ "type": "button_reply", "button_reply": { "id": button.0, "title": button.1 } });
            let shown = button.1.to_owned();
            (
                json!({ "type": "interactive", "interactive": interactive }),
                Some(message.clone()),
                shown,
                message.phone_number_id,
            )
        }
        (None, Some(text)) => {
            let quoted = reply.quote.as_ref().map(|id| newest(&|sent: &Sent| sent.id == *id));
            if let Some(None) = quoted {
                return refuse(
                    StatusCode::NOT_FOUND,
                    "there is no such message to quote; GET /_simulator/messages shows their ids",
                );
            }
            let number = newest(&|_| true).map(|sent| sent.phone_number_id);
            let number =
                number.or_else(|| simulator.options.phone_number_ids.first().cloned()).unwrap_or_default();
            (json!({ "type": "text", "text": { "body": text } }), quoted.flatten(), text.clone(), number)
        }
        _ => return refuse(StatusCode::BAD_REQUEST, "say what the person does: either `text` or `tap`"),
    };
    let (mut message, answered, shown, number) = content;
    let now = Simulator::now(&world);
    let quotes = answered.as_ref().map(|sent| sent.id.clone());
    let id = world.wrote(Written { from: from.clone(), text: shown, quotes: quotes.clone(), at: now });
    drop(world);
    message["from"] = json!(from);
    message["id"] = json!(id);
    message["timestamp"] = json!((now.0 / 1_000).to_string());
    if let Some(wamid) = quotes {
        message["context"] = json!({ "from": "15550100100", "id": wamid });
    }
    simulator.postman.message(&number, message);
    axum::Json(json!({ "id": id })).into_response()
}

async fn faults(State(simulator): State<Simulator>) -> Response {
    axum::Json(&simulator.world.lock().await.faults.0).into_response()
}

async fn add_fault(State(simulator): State<Simulator>, body: Bytes) -> Response {
    let fault: Fault = match read(&body) {
        Ok(fault) => fault,
        Err(refused) => return *refused,
    };
    let mut world = simulator.world.lock().await;
    world.faults.0.push(fault);
    // Forgotten ones cannot pile up for ever.
    let surplus = world.faults.0.len().saturating_sub(1_000);
    world.faults.0.drain(..surplus);
    axum::Json(&world.faults.0).into_response()
}

async fn clear_faults(State(simulator): State<Simulator>) -> Response {
    simulator.world.lock().await.faults.0.clear();
    axum::Json(json!([])).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_s: i64,
}

async fn clock(State(simulator): State<Simulator>, body: Bytes) -> Response {
    let advance: Advance = match read(&body) {
        Ok(advance) => advance,
        Err(refused) => return *refused,
    };
    let mut world = simulator.world.lock().await;
    let world: &mut World = &mut world;
    world.ahead_ms = world.ahead_ms.saturating_add(advance.advance_s.saturating_mul(1_000));
    axum::Json(json!({ "now": Simulator::now(world).rfc3339() })).into_response()
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| {
        Box::new(refuse(StatusCode::BAD_REQUEST, &format!("the body is not understood: {error}")))
    })
}

fn refuse(status: StatusCode, what: &str) -> Response {
    (status, axum::Json(json!({ "error": what }))).into_response()
}
