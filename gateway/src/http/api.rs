//! The API: what the pages show, as JSON, for programs. `endpoints.rs` lists it; `assets/openapi.json` describes it.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, RawPathParams, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::configuration::api as configuration;
use super::endpoints::Endpoint;
use super::problem::Refusal;
use crate::http::admin_port::{
    AdminAction, AdminQuery, AlertAction, ApiError, Filter, LIMIT_MAX, MessageAction, NewConnection,
};
use crate::http::state::{AppState, RequestContext};
use crate::packed::{packed, unpack};
use crate::time::Timestamp;

const DESCRIPTION: &[u8] = packed!("openapi.json");
/// Rows of a long list that are in memory at once, as a tree of values: 500 messages took 5 MB that way, and are 0.3 MB of JSON.
const AT_ONCE: u32 = 50;
/// Of an idempotency key: a UUID has 36.
const KEY_MAX_BYTES: usize = 200;
const NO_NUMBER: &str = "ids are whole numbers";

pub type ApiState = State<Arc<AppState>>;
pub type Body<T> = Result<Json<T>, JsonRejection>;
pub type Answer = Result<Response, Refusal>;
type Filtered = Result<Query<Filter>, QueryRejection>;
/// What an address asks for, or why nothing is there.
type Found<T> = Result<T, &'static str>;

pub fn api_routes() -> Router<Arc<AppState>> {
    Endpoint::ALL.iter().fold(Router::new(), |router, one| router.route(one.path(), served(*one)))
}

fn served(endpoint: Endpoint) -> MethodRouter<Arc<AppState>> {
    let method = endpoint.method();
    let ask = |question: fn(&str) -> Found<AdminQuery>| {
        on(method, move |state: ApiState, address: RawPathParams| asked(state, address, question))
    };
    let list = |question: fn(Filter) -> AdminQuery| {
        on(method, move |state: ApiState, filter: Filtered| listed(state, filter, question))
    };
    let whole = |question: fn(Filter) -> AdminQuery| {
        on(method, move |state: ApiState, filter: Filtered| whole(state, filter, question))
    };
    let act = |action: fn(&str, &str) -> Found<AdminAction>| {
        on(method, move |state: ApiState, request: RequestContext, address: RawPathParams| {
            acted(state, request, address, action)
        })
    };
    match endpoint {
        Endpoint::Openapi => on(method, description),
        Endpoint::Overview => ask(|_| Ok(AdminQuery::Overview)),
        Endpoint::Messages => list(AdminQuery::Messages),
        Endpoint::Message => ask(|id| number(id).map(AdminQuery::Message)),
        Endpoint::Decide => act(decide),
        Endpoint::Release => act(|_, _| Ok(AdminAction::Release)),
        Endpoint::Alerts => list(AdminQuery::Alerts),
        Endpoint::Alert => ask(|id| number(id).map(AdminQuery::Alert)),
        Endpoint::DecideAlert => act(decide_alert),
        Endpoint::Commands => list(AdminQuery::Commands),
        Endpoint::Audit => list(AdminQuery::Audit),
        Endpoint::Trail => whole(AdminQuery::Trail), // each piece would bring the chain's check with it
        Endpoint::TrailCheck => ask(|_| Ok(AdminQuery::TrailCheck)),
        Endpoint::Requests => list(AdminQuery::Requests),
        Endpoint::Questions => list(AdminQuery::Questions),
        Endpoint::Strangers => whole(AdminQuery::Strangers), // it has no cursor
        Endpoint::Contacts => ask(|_| Ok(AdminQuery::Contacts)),
        Endpoint::Contact => ask(|id| Ok(AdminQuery::Contact(id.to_owned()))),
        Endpoint::Write => {
            let write = |contact, Words { text }| AdminAction::Write { contact, text };
            sent(method, StatusCode::OK, write)
        }
        Endpoint::Rules => ask(|_| Ok(AdminQuery::Rules)),
        Endpoint::Try => on(method, attempt),
        Endpoint::Devices => ask(|_| Ok(AdminQuery::Devices)),
        Endpoint::Device => ask(|id| Ok(AdminQuery::Device(id.to_owned()))),
        Endpoint::Usage => ask(|_| Ok(AdminQuery::Usage)),
        Endpoint::Setup => ask(|_| Ok(AdminQuery::Setup)),
        Endpoint::Event => on(method, event),
        Endpoint::Connections | Endpoint::Status => ask(|_| Ok(AdminQuery::Connections)),
        Endpoint::ConnectNew => sent(method, StatusCode::CREATED, connect),
        Endpoint::WhatsappConnect => sent(method, StatusCode::OK, connect),
        Endpoint::Connection => ask(|name| Ok(AdminQuery::Connection(name.to_owned()))),
        Endpoint::ChangeConnection => on(method, change),
        Endpoint::DeleteConnection => act(|name, _| Ok(AdminAction::Forget(name.to_owned()))),
        Endpoint::CheckConnection => act(|name, _| Ok(AdminAction::Check(name.to_owned()))),
        Endpoint::WhatsappDisconnect => {
            sent(method, StatusCode::OK, |_, Named { name }| AdminAction::Disconnect(name))
        }
        Endpoint::Tokens => ask(|_| Ok(AdminQuery::Tokens)),
        Endpoint::RevokeToken => act(|id, _| number(id).map(AdminAction::RevokeToken)),
        Endpoint::Sessions => ask(|_| Ok(AdminQuery::Sessions)),
        Endpoint::EndSession => act(|id, _| Ok(AdminAction::EndSession(id.to_owned()))),
        Endpoint::Configuration => on(method, configuration::read),
        Endpoint::ReplaceConfiguration => on(method, configuration::replace),
        Endpoint::CheckConfiguration => on(method, configuration::check),
    }
}

fn number(id: &str) -> Found<i64> {
    id.parse().map_err(|_| NO_NUMBER)
}

fn decide(id: &str, action: &str) -> Found<AdminAction> {
    let how = "a message can be sent again, held or cancelled: retry, hold, cancel";
    Ok(AdminAction::Decide(number(id)?, MessageAction::parse(action).ok_or(how)?))
}

fn decide_alert(id: &str, action: &str) -> Found<AdminAction> {
    let how = "an alert has a whole number, and can be taken: acknowledge, resolve, silence";
    let (id, action) = id.parse().ok().zip(AlertAction::parse(action)).ok_or(how)?;
    Ok(AdminAction::Alert(id, action))
}

fn connect(_: String, given: NewConnection) -> AdminAction {
    AdminAction::Connect(Box::new(given))
}

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.oai.openapi+json;version=3.1")], unpack(DESCRIPTION))
        .into_response()
}

/// What stands in the address at that place of its pattern; empty where there is none.
fn part(address: &RawPathParams, place: usize) -> &str {
    address.iter().nth(place).map_or("", |(_, part)| part)
}

fn nothing(how: &'static str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, how)
}

/// An answer as programs see it.
fn shown(mut answer: Value) -> Json<Value> {
    times(&mut answer);
    Json(answer)
}

async fn asked(
    State(state): ApiState,
    address: RawPathParams,
    question: fn(&str) -> Found<AdminQuery>,
) -> Answer {
    let question = question(part(&address, 0)).map_err(nothing)?;
    Ok(shown(state.admin.ask(question).await?).into_response())
}

async fn whole(State(state): ApiState, filter: Filtered, question: fn(Filter) -> AdminQuery) -> Answer {
    Ok(shown(state.admin.ask(question(filter?.0)).await?).into_response())
}

async fn listed(State(state): ApiState, filter: Filtered, question: fn(Filter) -> AdminQuery) -> Answer {
    let filter = filter?.0;
    if filter.limit.is_some_and(|limit| (AT_ONCE + 1..=LIMIT_MAX).contains(&limit)) {
        let long = in_pieces(&state, filter, question).await?;
        return Ok(([(header::CONTENT_TYPE, "application/json")], long).into_response());
    }
    Ok(shown(state.admin.ask(question(filter)).await?).into_response())
}

/// A long list as JSON, asked for piece by piece from cursor to cursor: what is written is out of memory before the next
/// piece comes in. It ends where a piece is not full, though more may be behind its cursor, as a short list does.
async fn in_pieces(
    state: &AppState,
    mut filter: Filter,
    ask: fn(Filter) -> AdminQuery,
) -> Result<Vec<u8>, ApiError> {
    let mut left = filter.limit.unwrap_or_default();
    let mut body = b"{\"items\":[".to_vec();
    loop {
        let asked = left.min(AT_ONCE);
        filter.limit = Some(asked);
        let mut found = state.admin.ask(ask(filter.clone())).await?;
        times(&mut found);
        let items = found["items"].as_array().map_or(&[][..], Vec::as_slice);
        for item in items {
            if !body.ends_with(b"[") {
                body.push(b',');
            }
            body.extend(item.to_string().as_bytes());
        }
        left -= asked;
        let is_full = items.len() == asked as usize;
        match found["next"].as_str() {
            Some(next) if is_full && left > 0 => filter.cursor = Some(next.to_owned()),
            Some(_) | None => {
                body.extend(format!("],\"next\":{}}}", found["next"]).as_bytes());
                return Ok(body);
            }
        }
    }
}

/// Done, and written down as theirs.
pub async fn act(
    state: &AppState,
    request: &RequestContext,
    action: AdminAction,
) -> Result<Json<Value>, ApiError> {
    state.admin.act(action, request.who()).await.map(shown)
}

async fn acted(
    State(state): ApiState,
    request: RequestContext,
    address: RawPathParams,
    action: fn(&str, &str) -> Found<AdminAction>,
) -> Answer {
    let action = action(part(&address, 0), part(&address, 1)).map_err(nothing)?;
    Ok(act(&state, &request, action).await?.into_response())
}

/// With what the address names first and the body.
fn sent<T: DeserializeOwned + Send + 'static>(
    method: MethodFilter,
    status: StatusCode,
    action: fn(String, T) -> AdminAction,
) -> MethodRouter<Arc<AppState>> {
    let handler = move |State(state): ApiState,
                        request: RequestContext,
                        address: RawPathParams,
                        body: Body<T>| async move {
        let action = action(part(&address, 0).to_owned(), body?.0);
        Answer::Ok((status, act(&state, &request, action).await?).into_response())
    };
    on(method, handler)
}

/// To a contact.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// 4,096 UTF-16 code units at most, and not white space alone
    #[cfg_attr(test, schemars(length(max = 4096), regex(pattern = NOT_BLANK)))]
    pub text: String,
}

/// As [`str::trim`] sees it.
#[cfg(test)]
const NOT_BLANK: &str = r"[^\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]";

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
}

/// The name stands in the address; what is left out stays.
async fn change(
    State(state): ApiState,
    request: RequestContext,
    address: RawPathParams,
    body: Body<NewConnection>,
) -> Answer {
    let (given, name) = (body?.0, part(&address, 0).to_owned());
    if !given.name.is_empty() && given.name != name {
        let how = "a connection keeps its name; make a new one";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, how));
    }
    state.admin.ask(AdminQuery::Connection(name.clone())).await?;
    let action = AdminAction::Connect(Box::new(NewConnection { name, ..given }));
    Ok(act(&state, &request, action).await?.into_response())
}

/// As a publish on the topic would be.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Event {
    #[cfg_attr(
        test,
        schemars(
            length(min = 1),
            regex(pattern = r"^(?!bellwire/device/)[^$+#\u0000][^+#\u0000]*$"),
            example = "pos/3/paper"
        )
    )]
    topic: String,
    /// JSON, or a text as it is.
    #[serde(default)]
    payload: Value,
    content_type: Option<String>,
}

impl Event {
    fn payload(&self) -> String {
        match &self.payload {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            json @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                json.to_string()
            }
        }
    }
}

async fn attempt(State(state): ApiState, event: Body<Event>) -> Answer {
    let Json(event) = event?;
    let (payload, content_type) = (event.payload(), event.content_type);
    let question = AdminQuery::Try { topic: event.topic, payload, content_type };
    Ok(shown(state.admin.ask(question).await?).into_response())
}

/// 202 when it is on disk, like the acknowledgement of a publish.
async fn event(
    State(state): ApiState,
    request: RequestContext,
    headers: HeaderMap,
    event: Body<Event>,
) -> Answer {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let key = key.trim_matches('"').to_owned();
    if key.is_empty() || key.len() > KEY_MAX_BYTES {
        let how = "send an Idempotency-Key of up to 200 characters, a new one for each event and the same when you repeat it";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, how));
    }
    let Json(event) = event?;
    request.caller.may_tell(&event.topic)?;
    let (payload, content_type) = (event.payload(), event.content_type);
    let action = AdminAction::Event { topic: event.topic, payload, content_type, key };
    Ok((StatusCode::ACCEPTED, act(&state, &request, action).await?).into_response())
}

/// Milliseconds, as the store has them, become RFC 3339: every field called `at` or `…_at`.
pub fn times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_i64() {
                    Some(at) if name == "at" || name.ends_with("_at") => {
                        *field = json!(Timestamp(at).rfc3339())
                    }
                    Some(_) | None => times(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(times),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
