//! `POST /{phone_number_id}/messages`.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::Value;

use super::arguments::Arguments;
use super::{Answer, respond};
use crate::graph::Refusal;
use crate::state::Simulator;

pub fn routes() -> Router<Simulator> {
    Router::new().route("/{version}/{node}/messages", post(send))
}

async fn send(
    State(simulator): State<Simulator>,
    Path((_, number)): Path<(String, String)>,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.authorise(&headers).await?;
    let body = Value::Object(arguments.object(&simulator).await?);
    let outcome = {
        let mut world = simulator.world.lock().await;
        let known = &simulator.options.phone_number_ids;
        if !known.is_empty() && !known.contains(&number) {
            world.refuse(&Refusal::new(33, format!("Object with ID '{number}' does not exist.")))
        } else {
            let now = Simulator::now(&world);
            world.send(&number, body, now)
        }
    };
    if let Some((sent, plan)) = outcome.accepted {
        simulator.receipts(sent, plan);
    }
    tokio::time::sleep(Duration::from_millis(outcome.delay_ms)).await;
    Ok(respond(outcome.ending).await)
}
