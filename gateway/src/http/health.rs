//! What a monitor asks: is it alive, does it accept, what are its numbers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::listen::Peer;
use crate::http::auth::{is_ours, not_ours};

/// What the answers depend on.
pub trait Health: Send + Sync {
    /// Everything that keeps it from its promise, each as a sentence; empty when it is ready.
    fn obstacles(&self) -> Vec<String>;
    /// Numbers in Prometheus' text format.
    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send>>;
}

#[derive(Clone)]
struct Local {
    health: Arc<dyn Health>,
    names: Arc<Vec<String>>,
}

/// `/metrics` on a listener of its own, for a monitor elsewhere, by one of our names.
pub fn metrics_routes(health: Arc<dyn Health>, names: Vec<String>) -> Router {
    Router::new().route("/metrics", get(elsewhere)).with_state(Local { health, names: Arc::new(names) })
}

/// `/healthz`, `/readyz`, `/version`, and `/metrics` for the machine itself. What is said beside "ready" is for whoever asks for
/// us by one of our names.
pub fn health_routes(health: Arc<dyn Health>, names: Vec<String>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/version", get(|| async { concat!(env!("CARGO_PKG_VERSION"), "\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Local { health, names: Arc::new(names) })
}

async fn ready(State(local): State<Local>, headers: HeaderMap) -> Response {
    let obstacles = local.health.obstacles();
    let status = if obstacles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = serde_json::json!({ "ready": obstacles.is_empty() });
    if is_ours(&local.names, &headers) {
        body["obstacles"] = obstacles.into();
    }
    (status, axum::Json(body)).into_response()
}

/// Never exposed by accident: from elsewhere it has a listener of its own.
async fn metrics(
    State(local): State<Local>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if !is_ours(&local.names, &headers) {
        return not_ours(); // a page somewhere, through somebody's browser on this machine
    }
    if !peer.address.to_canonical().is_loopback() {
        let how = "the numbers are for this machine; give them an address of their own with metrics_listen\n";
        return (StatusCode::FORBIDDEN, how).into_response();
    }
    numbers(local.health).await
}

async fn elsewhere(State(local): State<Local>, headers: HeaderMap) -> Response {
    if is_ours(&local.names, &headers) { numbers(local.health).await } else { not_ours() }
}

async fn numbers(health: Arc<dyn Health>) -> Response {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], health.metrics().await).into_response()
}
