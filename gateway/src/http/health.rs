//! What a monitor asks: is it alive, does it accept, what are its numbers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::listen::Peer;

/// What the answers depend on.
pub trait Health: Send + Sync {
    /// Everything that keeps it from its promise, each as a sentence; empty when it is ready.
    fn obstacles(&self) -> Vec<String>;
    /// Numbers in Prometheus' text format.
    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send>>;
}

/// `/metrics` on its own door, for a monitor elsewhere.
pub fn metrics_routes(health: Arc<dyn Health>) -> Router {
    Router::new().route("/metrics", get(numbers)).with_state(health)
}

/// `/healthz`, `/readyz`, `/version`, and `/metrics` for the machine itself.
pub fn health_routes(health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/version", get(|| async { concat!(env!("CARGO_PKG_VERSION"), "\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Arc<dyn Health>>) -> Response {
    let obstacles = health.obstacles();
    let status = if obstacles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": obstacles.is_empty(), "obstacles": obstacles });
    (status, axum::Json(body)).into_response()
}

/// Never exposed by accident: from elsewhere it has a door of its own.
async fn metrics(State(health): State<Arc<dyn Health>>, Extension(peer): Extension<Peer>) -> Response {
    if !peer.address.to_canonical().is_loopback() {
        let how = "the numbers are for this machine; give them a door of their own with metrics_listen\n";
        return (StatusCode::FORBIDDEN, how).into_response();
    }
    numbers(State(health)).await
}

async fn numbers(State(health): State<Arc<dyn Health>>) -> Response {
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], health.metrics().await).into_response()
}
