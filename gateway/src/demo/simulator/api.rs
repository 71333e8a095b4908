//! `/{version}/…`: the Cloud API, as far as a gateway calls it.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::serve::{Dropped, Simulator};
use super::world::Ending;

/// How long a connection stays silent when it hangs: longer than any client waits.
const HANG: Duration = Duration::from_secs(120);

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/{version}/{node}/messages", post(send))
        .route("/{version}/{node}/subscribed_apps", get(subscribed).post(success))
        .route("/{version}/{node}/message_templates", get(empty_list))
        .route("/{version}/{node}/phone_numbers", get(phone_numbers))
        .route("/{version}/debug_token", get(debug_token))
        .route("/{version}/{node}", get(phone_number))
}

async fn send(
    State(simulator): State<Simulator>,
    Path((_, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    let mut world = simulator.world.lock().await;
    let known = &simulator.options.phone_number_ids;
    let outcome = match serde_json::from_slice::<Value>(&body) {
        Err(_) => world.refuse(400, 100, "The body is not valid JSON."),
        Ok(_) if !known.is_empty() && !known.contains(&number) => {
            world.refuse(400, 33, &format!("Object with ID '{number}' does not exist."))
        }
        Ok(body) => {
            let now = Simulator::now(&world);
            world.send(&number, body, now)
        }
    };
    drop(world);
    if let Some((sent, statuses)) = outcome.accepted {
        simulator.postman.receipts(simulator.world.clone(), sent, statuses);
    }
    tokio::time::sleep(Duration::from_millis(outcome.delay_ms)).await;
    match outcome.ending {
        Ending::Answer { status, body, retry_after } => {
            let mut response = (code(status), axum::Json(body)).into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Ending::Html { status } => {
            let page = "<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>";
            (code(status), [(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        Ending::Hang => {
            tokio::time::sleep(HANG).await;
            dropped()
        }
        Ending::Reset => dropped(),
    }
}

fn dropped() -> Response {
    let mut response = StatusCode::BAD_GATEWAY.into_response();
    response.extensions_mut().insert(Dropped);
    response
}

async fn unauthorised(simulator: &Simulator, headers: &HeaderMap) -> Option<Response> {
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let right = match (&simulator.options.access_token, token) {
        (_, None) => false,
        (None, Some(token)) => !token.is_empty(),
        (Some(expected), Some(token)) => expected.expose_secret() == token,
    };
    if right {
        return None;
    }
    let body = simulator.world.lock().await.error(190, "Error validating access token.");
    Some((StatusCode::UNAUTHORIZED, axum::Json(body)).into_response())
}

async fn phone_number(
    State(simulator): State<Simulator>,
    Path((_, node)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = unauthorised(&simulator, &headers).await {
        return refused;
    }
    axum::Json(json!({
        "id": node, "display_phone_number": "+1 555-010-0100", "verified_name": "Simulated Shop", "status": "CONNECTED",
        "quality_rating": "GREEN", "platform_type": "CLOUD_API", "throughput": { "level": "STANDARD" },
        "health_status": { "can_send_message": "AVAILABLE", "entities": [] },
    }))
    .into_response()
}

async fn phone_numbers(State(simulator): State<Simulator>) -> Response {
    let ids = simulator.options.phone_number_ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>();
    axum::Json(json!({ "data": ids })).into_response()
}

async fn subscribed() -> Response {
    let app = json!({ "whatsapp_business_api_data": { "id": "1", "name": "Simulated app" } });
    axum::Json(json!({ "data": [app] })).into_response()
}

async fn success() -> Response {
    axum::Json(json!({ "success": true })).into_response()
}

async fn empty_list() -> Response {
    axum::Json(json!({ "data": [] })).into_response()
}

async fn debug_token() -> Response {
    let scopes = ["whatsapp_business_messaging", "whatsapp_business_management"];
    axum::Json(
        json!({ "data": { "is_valid": true, "expires_at": 0, "type": "SYSTEM_USER", "scopes": scopes } }),
    )
    .into_response()
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
