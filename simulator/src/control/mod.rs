//! `/_simulator/…`: what was sent, what a person does, what goes wrong next, what time it is, and the phone.

/// What a person's doing looks like in a webhook.
mod inbound;
/// Webhooks of any field, and statuses by the thousand.
mod load;
/// A person writes, taps, sends, reacts.
mod reply;
/// Clock, window, limits, webhook form, token, nodes.
mod settings;
/// The catalogue: what Meta's reviewers and its quality rating do.
mod templates;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::state::Simulator;
use crate::world::{Sent, Written};

const PHONE: &str = include_str!("../phone.html");

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/_simulator/", get(|| async { Html(PHONE) }))
        .route("/_simulator", get(|| async { Html(PHONE) }))
        .route("/_simulator/messages", get(messages))
        .route("/_simulator/written", get(written))
        .route("/_simulator/chats", get(chats))
        .route("/_simulator/media/{id}", get(medium))
        .route("/_simulator/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/_simulator/{unknown}", axum::routing::any(unknown))
        .merge(reply::routes())
        .merge(load::routes())
        .merge(settings::routes())
        .merge(templates::routes())
}

/// Anything but the wanted answer, as a sentence; boxed because a response is large.
struct Refused(Box<Response>);

type Answer = Result<Response, Refused>;

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

fn refuse(status: StatusCode, what: &str) -> Refused {
    Refused(Box::new((status, axum::Json(json!({ "error": what }))).into_response()))
}

fn bad(what: &str) -> Refused {
    refuse(StatusCode::BAD_REQUEST, what)
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| bad(&format!("the body is not understood: {error}")))
}

fn answer(body: Value) -> Answer {
    Ok(axum::Json(body).into_response())
}

async fn unknown(uri: axum::http::Uri) -> Refused {
    let what = format!("there is no {} here; docs/simulator.md lists what there is", uri.path());
    refuse(StatusCode::NOT_FOUND, &what)
}

async fn messages(State(simulator): State<Simulator>) -> Response {
    let world = simulator.world.lock().await;
    axum::Json(world.sent.iter().map(describe).collect::<Vec<_>>()).into_response()
}

fn describe(sent: &Sent) -> Value {
    let kind = &sent.kind;
    let text = sent.body["text"]["body"]
        .as_str()
        .or_else(|| sent.body["interactive"]["body"]["text"].as_str())
        .or_else(|| sent.body[kind]["caption"].as_str())
        .or_else(|| sent.body["template"]["name"].as_str());
    let buttons = sent.buttons.iter().map(|button| json!({ "id": button.id, "title": button.title }));
    json!({
        "id": sent.id, "phone_number_id": sent.phone_number_id, "to": sent.to, "type": kind, "text": text,
        "buttons": buttons.collect::<Vec<_>>(), "body": sent.body, "status": sent.status,
        "biz_opaque_callback_data": sent.body["biz_opaque_callback_data"],
        "timestamp": sent.at.0 / 1_000, "wa_id": sent.person.wa_id, "user_id": sent.person.user_id,
        "pricing": sent.pricing, "shown": sent.filled,
    })
}

async fn written(State(simulator): State<Simulator>) -> Response {
    let world = simulator.world.lock().await;
    axum::Json(world.written.iter().map(describe_written).collect::<Vec<_>>()).into_response()
}

fn describe_written(written: &Written) -> Value {
    json!({ "id": written.id, "from": written.from, "user_id": written.user_id, "type": written.kind,
            "text": written.text, "quotes": written.quotes, "timestamp": written.at.0 / 1_000,
            "read": written.read, "typing": written.typing })
}

/// Both sides of each chat, for the phone.
async fn chats(State(simulator): State<Simulator>) -> Response {
    let world = simulator.world.lock().await;
    let written: Vec<Value> = world.written.iter().rev().take(500).rev().map(describe_written).collect();
    let sent: Vec<Value> = world.sent.iter().rev().take(500).rev().map(describe).collect();
    axum::Json(json!({ "sent": sent, "written": written })).into_response()
}

/// The bytes of a medium without a token, for the phone and for tests.
async fn medium(State(simulator): State<Simulator>, Path(id): Path<String>) -> Answer {
    let world = simulator.world.lock().await;
    let found = world.media.get(&id, Simulator::now(&world));
    let medium = found.map_err(|_| refuse(StatusCode::NOT_FOUND, &format!("there is no medium {id}")))?;
    Ok(([(CONTENT_TYPE, medium.mime_type.clone())], medium.bytes.clone()).into_response())
}

async fn faults(State(simulator): State<Simulator>) -> Response {
    axum::Json(&simulator.world.lock().await.faults.0).into_response()
}

async fn add_fault(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let fault: Fault = read(&body)?;
    let mut world = simulator.world.lock().await;
    world.faults.0.push(fault);
    // Forgotten ones cannot pile up for ever.
    let surplus = world.faults.0.len().saturating_sub(1_000);
    world.faults.0.drain(..surplus);
    answer(json!(world.faults.0))
}

async fn clear_faults(State(simulator): State<Simulator>) -> Answer {
    simulator.world.lock().await.faults.0.clear();
    answer(json!([]))
}
