//! `/{version}/…` beside the sending: the token, the number, the business account, as a diagnosis and a set-up ask
//! (FACTS 6). `POST /_simulator/account` changes what is answered.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::api::unauthorised;
use super::serve::Simulator;

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/{version}/{node}/subscribed_apps", get(subscribed).post(subscribe))
        .route("/{version}/{node}/message_templates", get(templates).post(create_template))
        .route("/{version}/{node}/phone_numbers", get(phone_numbers))
        .route("/{version}/debug_token", get(debug_token))
        .route("/{version}/{node}", get(phone_number))
        .route("/_simulator/account", post(change))
}

/// Each key of the body is laid over the answer of that name; `null` takes a key back.
async fn change(State(simulator): State<Simulator>, body: Bytes) -> Response {
    let Ok(wanted) = serde_json::from_slice::<BTreeMap<String, Map<String, Value>>>(&body) else {
        let what = "the body is an object of objects: {\"debug_token\": {\"is_valid\": false}}";
        return (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": what }))).into_response();
    };
    let mut world = simulator.world.lock().await;
    for (answer, keys) in wanted {
        world.account.entry(answer).or_default().extend(keys);
    }
    axum::Json(&world.account).into_response()
}

async fn answer(simulator: &Simulator, name: &str, mut usual: Value) -> Value {
    if let Some(changes) = simulator.world.lock().await.account.get(name) {
        for (key, value) in changes {
            usual[key] = value.clone();
        }
    }
    usual
}

async fn phone_number(
    State(simulator): State<Simulator>,
    Path((_, node)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    let known = &simulator.options.phone_number_ids;
    if !known.is_empty() && !known.contains(&node) {
        let mut world = simulator.world.lock().await;
        let what = format!(
            "Unsupported get request. Object with ID '{node}' does not exist, cannot be loaded due to missing permissions, or does not support this operation."
        );
        let mut body = world.error(100, &what);
        body["error"]["error_subcode"] = json!(33);
        return (StatusCode::BAD_REQUEST, axum::Json(body)).into_response();
    }
    let usual = json!({
        "id": node, "display_phone_number": "+1 555-010-0100", "verified_name": "Simulated Shop", "status": "CONNECTED",
        "quality_rating": "GREEN", "platform_type": "CLOUD_API", "throughput": { "level": "STANDARD" },
        "code_verification_status": "VERIFIED",
        "health_status": { "can_send_message": "AVAILABLE", "entities": [] },
        "webhook_configuration": { "application": simulator.options.webhook },
    });
    axum::Json(answer(&simulator, "phone_number", usual).await).into_response()
}

/// The numbers that it was started with.
async fn phone_numbers(State(simulator): State<Simulator>, headers: HeaderMap) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    let ids = simulator.options.phone_number_ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>();
    axum::Json(answer(&simulator, "phone_numbers", json!({ "data": ids })).await).into_response()
}

async fn subscribed(State(simulator): State<Simulator>, headers: HeaderMap) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    let app = json!({ "whatsapp_business_api_data": { "id": "1", "name": "Simulated app" } });
    axum::Json(answer(&simulator, "subscribed_apps", json!({ "data": [app] })).await).into_response()
}

async fn subscribe(State(simulator): State<Simulator>, headers: HeaderMap) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    simulator.world.lock().await.account.remove("subscribed_apps");
    axum::Json(json!({ "success": true })).into_response()
}

async fn templates(State(simulator): State<Simulator>, headers: HeaderMap) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    axum::Json(answer(&simulator, "message_templates", json!({ "data": [] })).await).into_response()
}

/// It waits for approval, as with Meta.
async fn create_template(State(simulator): State<Simulator>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    let mut template: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut world = simulator.world.lock().await;
    if !(template["name"].is_string()
        && template["language"].is_string()
        && template["components"].is_array())
    {
        let body = world.error(100, "name, language and components are required.");
        return (StatusCode::BAD_REQUEST, axum::Json(body)).into_response();
    }
    template["id"] = json!("594425479261596");
    template["status"] = json!("PENDING");
    let created = json!({ "id": template["id"], "status": "PENDING", "category": template["category"] });
    let known = world.account.entry("message_templates".into()).or_default();
    let mut all = known.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    all.push(template);
    known.insert("data".into(), Value::Array(all));
    axum::Json(created).into_response()
}

async fn debug_token(
    State(simulator): State<Simulator>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    let right = simulator.options.access_token.as_ref().is_none_or(|expected| {
        query.get("input_token").is_some_and(|token| token == expected.expose_secret())
    });
    let scopes = ["whatsapp_business_messaging", "whatsapp_business_management"];
    let usual =
        json!({ "app_id": "1", "is_valid": right, "expires_at": 0, "type": "SYSTEM_USER", "scopes": scopes });
    axum::Json(json!({ "data": answer(&simulator, "debug_token", usual).await })).into_response()
}
