//! The API: what the pages show, as JSON, for programs. `assets/openapi.json` describes it; `tests/it/web` compares.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::problem;
use crate::http::admin_port::{AdminAction, AdminQuery, AlertAction, ApiError, Filter, LIMIT_MAX, Scope};
use crate::http::state::{AppState, RequestContext};
use crate::packed::{packed, unpack};
use crate::time::Timestamp;

const DESCRIPTION: &[u8] = packed!("openapi.json");
/// Rows of a long list that are in memory at once, as a tree of values: 500 messages took 5 MB that way, and are 0.3 MB of JSON.
const AT_ONCE: u32 = 50;
/// Of an idempotency key: a UUID has 36.
const KEY_MAX_BYTES: usize = 200;

pub fn api_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/api/openapi.json", get(description))
        .route(
            "/api/overview",
            get(|state: ApiState, request: RequestContext| answer(state, request, AdminQuery::Overview)),
        )
        .route("/api/messages", get(messages))
        .route("/api/messages/{id}", get(message))
        .route("/api/outbox/{id}/{action}", post(decide))
        .route("/api/outbox/release", post(release))
        .route("/api/alerts", get(alerts))
        .route("/api/alerts/{id}", get(alert))
        .route("/api/alerts/{id}/{action}", post(decide_alert))
        .route(
            "/api/devices",
            get(|state: ApiState, request: RequestContext| answer(state, request, AdminQuery::Devices)),
        )
        .route("/api/devices/{id}", get(device))
        .route("/api/commands", get(commands))
        .route("/api/audit", get(audit))
        .route("/api/trail", get(trail))
        .route(
            "/api/trail/check",
            get(|state: ApiState, request: RequestContext| answer(state, request, AdminQuery::TrailCheck)),
        )
        .route("/api/requests", get(requests))
        .route("/api/questions", get(questions))
        .route("/api/strangers", get(strangers))
        .route(
            "/api/contacts",
            get(|state: ApiState, request: RequestContext| answer(state, request, AdminQuery::Contacts)),
        )
        .route("/api/contacts/{id}", get(contact))
        .route("/api/contacts/{id}/messages", post(write))
        .route(
            "/api/rules",
            get(|state: ApiState, request: RequestContext| answer(state, request, AdminQuery::Rules)),
        )
        .route("/api/rules/try", post(attempt))
        .route(
            "/api/usage",
            get(|state: ApiState, request: RequestContext| answer(state, request, AdminQuery::Usage)),
        )
        .route(
            "/api/whatsapp/setup",
            get(|state: ApiState, request: RequestContext| answer(state, request, AdminQuery::Setup)),
        )
        .route("/api/events", post(event))
}

type ApiState = State<Arc<AppState>>;
type Filtered = Result<Query<Filter>, QueryRejection>;

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.oai.openapi+json;version=3.1")], unpack(DESCRIPTION))
        .into_response()
}

pub async fn answer(State(state): ApiState, request: RequestContext, question: AdminQuery) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Read) {
        return *refusal;
    }
    match state.admin.ask(question).await {
        Ok(mut found) => {
            times(&mut found);
            Json(found).into_response()
        }
        Err(trouble) => trouble.into_response(),
    }
}

async fn messages(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    filtered(state, request, filter, AdminQuery::Messages).await
}

async fn alerts(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    filtered(state, request, filter, AdminQuery::Alerts).await
}

async fn commands(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    filtered(state, request, filter, AdminQuery::Commands).await
}

async fn audit(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    filtered(state, request, filter, AdminQuery::Audit).await
}

/// In one piece: each piece would bring the chain's check with it.
async fn trail(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    whole(state, request, filter, AdminQuery::Trail).await
}

async fn requests(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    filtered(state, request, filter, AdminQuery::Requests).await
}

async fn questions(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    filtered(state, request, filter, AdminQuery::Questions).await
}

async fn strangers(state: ApiState, request: RequestContext, filter: Filtered) -> Response {
    whole(state, request, filter, AdminQuery::Strangers).await // it has no cursor
}

async fn whole(
    state: ApiState,
    request: RequestContext,
    filter: Filtered,
    ask: impl Fn(Filter) -> AdminQuery,
) -> Response {
    match filter {
        Ok(Query(filter)) => answer(state, request, ask(filter)).await,
        Err(wrong) => problem(StatusCode::UNPROCESSABLE_ENTITY, &wrong.body_text()),
    }
}

async fn filtered(
    state: ApiState,
    request: RequestContext,
    filter: Filtered,
    ask: impl Fn(Filter) -> AdminQuery,
) -> Response {
    match filter {
        Ok(Query(filter)) if filter.limit.is_some_and(|limit| (AT_ONCE + 1..=LIMIT_MAX).contains(&limit)) => {
            if let Err(refusal) = request.caller.may(Scope::Read) {
                return *refusal;
            }
            let long = in_pieces(&state.0, filter, ask).await;
            let json = |body| ([(header::CONTENT_TYPE, "application/json")], body).into_response();
            long.map_or_else(IntoResponse::into_response, json)
        }
        filter => whole(state, request, filter, ask).await,
    }
}

/// A long list as JSON, asked for piece by piece from cursor to cursor: what is written is out of memory before the next
/// piece comes in. It ends where a piece is not full, though more may be behind its cursor, as a short list does.
async fn in_pieces(
    state: &AppState,
    mut filter: Filter,
    ask: impl Fn(Filter) -> AdminQuery,
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

async fn message(state: ApiState, request: RequestContext, Path(id): Path<String>) -> Response {
    numbered(state, request, &id, AdminQuery::Message).await
}

async fn alert(state: ApiState, request: RequestContext, Path(id): Path<String>) -> Response {
    numbered(state, request, &id, AdminQuery::Alert).await
}

async fn device(state: ApiState, request: RequestContext, Path(id): Path<String>) -> Response {
    answer(state, request, AdminQuery::Device(id)).await
}

async fn contact(state: ApiState, request: RequestContext, Path(id): Path<String>) -> Response {
    answer(state, request, AdminQuery::Contact(id)).await
}

async fn numbered(
    state: ApiState,
    request: RequestContext,
    id: &str,
    ask: impl Fn(i64) -> AdminQuery,
) -> Response {
    match id.parse() {
        Ok(id) => answer(state, request, ask(id)).await,
        Err(_) => problem(StatusCode::NOT_FOUND, "ids are whole numbers"),
    }
}

async fn decide(
    State(state): ApiState,
    request: RequestContext,
    Path((id, action)): Path<(String, String)>,
) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Act) {
        return *refusal;
    }
    let Ok(id) = id.parse() else { return problem(StatusCode::NOT_FOUND, "ids are whole numbers") };
    let action = match action.as_str() {
        "retry" => AdminAction::Retry(id),
        "hold" => AdminAction::Hold(id),
        "cancel" => AdminAction::Cancel(id),
        _ => {
            return problem(
                StatusCode::NOT_FOUND,
                "a message can be sent again, held or cancelled: retry, hold, cancel",
            );
        }
    };
    act(&state, &request, action).await
}

async fn release(State(state): ApiState, request: RequestContext) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Act) {
        return *refusal;
    }
    act(&state, &request, AdminAction::Release).await
}

async fn decide_alert(
    State(state): ApiState,
    request: RequestContext,
    Path((id, action)): Path<(String, String)>,
) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Act) {
        return *refusal;
    }
    let (Ok(id), Some(action)) = (id.parse(), AlertAction::parse(&action)) else {
        let how = "an alert has a whole number, and can be taken: acknowledge, resolve, silence";
        return problem(StatusCode::NOT_FOUND, how);
    };
    act(&state, &request, AdminAction::Alert(id, action)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    text: String,
}

async fn write(
    State(state): ApiState,
    request: RequestContext,
    Path(contact): Path<String>,
    words: Result<Json<Words>, JsonRejection>,
) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Act) {
        return *refusal;
    }
    match words {
        Ok(Json(Words { text })) => act(&state, &request, AdminAction::Write { contact, text }).await,
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

async fn act(state: &AppState, request: &RequestContext, action: AdminAction) -> Response {
    match state.admin.act(action, request.who()).await {
        Ok(mut done) => {
            times(&mut done);
            Json(done).into_response()
        }
        Err(trouble) => trouble.into_response(),
    }
}

/// As a publish on the topic would be; the payload is JSON, or a text as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    topic: String,
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

async fn attempt(
    state: ApiState,
    request: RequestContext,
    event: Result<Json<Event>, JsonRejection>,
) -> Response {
    match event {
        Ok(Json(event)) => {
            let (payload, content_type) = (event.payload(), event.content_type);
            answer(state, request, AdminQuery::Try { topic: event.topic, payload, content_type }).await
        }
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

/// 202 when it is on disk, like the acknowledgement of a publish.
async fn event(
    State(state): ApiState,
    request: RequestContext,
    headers: HeaderMap,
    event: Result<Json<Event>, JsonRejection>,
) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Events) {
        return *refusal;
    }
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .unwrap_or_default()
        .trim_matches('"');
    if key.is_empty() || key.len() > KEY_MAX_BYTES {
        let how = "send an Idempotency-Key of up to 200 characters, a new one for each event and the same when you repeat it";
        return problem(StatusCode::BAD_REQUEST, how);
    }
    let event = match event {
        Ok(Json(event)) => event,
        Err(wrong) => return problem(wrong.status(), &wrong.body_text()),
    };
    if let Err(refusal) = request.caller.may_tell(&event.topic) {
        return *refusal;
    }
    let (payload, content_type) = (event.payload(), event.content_type);
    let action = AdminAction::Event { topic: event.topic, payload, content_type, key: key.to_owned() };
    match state.admin.act(action, request.who()).await {
        Ok(answer) => (StatusCode::ACCEPTED, Json(answer)).into_response(),
        Err(trouble) => trouble.into_response(),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_text_of_white_space_is_wrong_in_the_description_too() {
        let description: Value = serde_json::from_str(&unpack(DESCRIPTION)).unwrap();
        let body = &description["paths"]["/api/contacts/{id}/messages"]["post"]["requestBody"];
        let schema = jsonschema::validator_for(&body["content"]["application/json"]["schema"]).unwrap();
        let blank: String = ('\0'..=char::MAX).filter(|letter| letter.is_whitespace()).collect();
        assert!(!schema.is_valid(&json!({ "text": blank })), "as `trim` sees it: {blank:?}");
        for text in ["x", " x ", "\u{1c}", "\u{feff}", "👍"] {
            assert!(schema.is_valid(&json!({ "text": text })), "{text:?}");
        }
    }
}
