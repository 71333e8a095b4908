//! `/{version}/{phone_number_id}/messages`: the sending.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::serve::{Dropped, Simulator};
use super::world::Ending;

/// How long a connection stays silent when it hangs: longer than any client waits.
const HANG: Duration = Duration::from_secs(120);

pub fn routes() -> Router<Simulator> {
    Router::new().route("/{version}/{node}/messages", post(send))
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

pub async fn unauthorised(simulator: &Simulator, headers: &HeaderMap) -> Option<Response> {
    let token =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let right = match (&simulator.options.access_token, token) {
        (_, None) => false,
        (None, Some(token)) => !token.is_empty(),
        // The app itself may ask too: its id, which is 1, and its secret.
        (Some(expected), Some(token)) => {
            expected.expose_secret() == token
                || token.strip_prefix("1|") == Some(simulator.options.app_secret.expose_secret())
        }
    };
    if right {
        return None;
    }
    let body = simulator.world.lock().await.error(190, "Error validating access token.");
    Some((StatusCode::UNAUTHORIZED, axum::Json(body)).into_response())
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
