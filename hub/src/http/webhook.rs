//! Meta's webhook, and what sites fetch of it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwire::time::{Clock, SystemClock};
use bellwire::whatsapp::signature::{self, Handshake};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Caller, HUB, Hub, WEBHOOK_MAX, no_such_token};
use crate::engine::{self, Engine, Log, Table};
use crate::incoming::{came, wait};
use crate::out::is_tag;
use crate::settings::Number;
use crate::sites::Seen;

/// How often it is written down that a site was here: a thousand sites make 33 writes a second of it.
const SEEN_EVERY: Duration = Duration::from_secs(30);

pub(super) async fn verify(State(hub): State<Hub>, RawQuery(query): RawQuery) -> Response {
    let tokens = readable(&hub.settings.numbers, Number::verify_token);
    match signature::handshake(query.as_deref().unwrap_or_default(), &tokens) {
        Handshake::Challenge(challenge) => challenge.into_response(),
        Handshake::Wrong => (StatusCode::FORBIDDEN, "the verify token is not ours\n").into_response(),
        Handshake::Malformed => {
            (StatusCode::BAD_REQUEST, "this address is for Meta's webhook verification\n").into_response()
        }
    }
}

/// Of all numbers, read anew for each request, so that a changed one counts at once.
fn readable(numbers: &[Number], read: fn(&Number) -> anyhow::Result<SecretString>) -> Vec<SecretString> {
    let of_number = |number: &Number| {
        let unread = |error: &anyhow::Error| {
            let number = &number.phone_number_id;
            tracing::error!(
                "{error:#}; what Meta sends for number {number} is refused until that file can be read"
            );
        };
        read(number).inspect_err(unread).ok()
    };
    numbers.iter().filter_map(of_number).collect()
}

/// 200 only when a majority of the engine has the body on disk, as it came; else Meta sends it again.
pub(super) async fn receive(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Response {
    let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    let unsigned = || {
        hub.metrics.webhook("unsigned");
        (StatusCode::UNAUTHORIZED, "the signature is missing or wrong\n").into_response()
    };
    if signature.is_none() {
        return unsigned(); // before a byte of the body is waited for
    }
    let body = match hub.bodies.read(body, WEBHOOK_MAX).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let secrets = readable(&hub.settings.numbers, Number::app_secret);
    if !signature::verify(&secrets, signature, &body.bytes) {
        return unsigned();
    }
    let id = bellwire::hex::hex(&Sha256::digest(&body.bytes));
    match hub.engine.append(Log::Raw, "raw.meta", &id, body.bytes.clone()).await {
        Ok(sequence) => {
            hub.metrics.webhook("kept");
            came(&hub.signals, sequence).await;
            "kept\n".into_response()
        }
        Err(error) => {
            hub.metrics.webhook("not_kept");
            tracing::warn!(%error, "a webhook was not kept; Meta sends it again");
            (StatusCode::SERVICE_UNAVAILABLE, "it could not be kept; send it again\n").into_response()
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Position {
    after: Option<String>,
    /// The site's store: receipts of what it sent before it came here are for it.
    store: Option<String>,
    /// Messages in the site's outbox, and for how many seconds the oldest of them has waited.
    #[serde(default)]
    waiting: u64,
    #[serde(default)]
    oldest: u64,
}

/// What is for the site, behind its cursor, each body signed with the token that it came with. Asking with a cursor says that
/// everything up to it is on the site's disk.
pub(super) async fn fetch(
    State(hub): State<Hub>,
    Query(position): Query<Position>,
    headers: HeaderMap,
) -> Response {
    let caller = match hub.caller(&headers).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    if let Some(tag) = position.store.as_deref().filter(|tag| is_tag(tag))
        && let Err(refused) = hub.own_tag(&caller, tag).await
    {
        return refused;
    }
    let _open = hub.metrics.poll();
    see(&hub, &caller, &headers, &position).await;
    let (mut sites, mut stopping) = (hub.sites.clone(), hub.stopping.clone());
    let revoked = sites.wait_for(|registry| registry.of_token(expose(&caller)).is_none());
    let found = tokio::select! {
        found = wait(&hub.engine, &hub.wakes, &caller.name, position.after.as_deref()) => found,
        _ = revoked => return no_such_token(),
        _ = stopping.wait_for(|stop| *stop) => return (StatusCode::NO_CONTENT, [(HUB, "stopping")]).into_response(),
    };
    match found {
        Ok(batch) if batch.bodies.is_empty() => (StatusCode::NO_CONTENT, [(HUB, "nothing")]).into_response(),
        Ok(batch) => {
            let webhook = |body: &Bytes| {
                let text = String::from_utf8_lossy(body);
                json!({ "body": text, "signature": signature::sign(&caller.token, text.as_bytes()) })
            };
            let webhooks: Vec<_> = batch.bodies.iter().map(webhook).collect();
            ([(HUB, "answer")], axum::Json(json!({ "cursor": batch.cursor, "webhooks": webhooks })))
                .into_response()
        }
        Err(error) => later(&error.to_string()),
    }
}

fn expose(caller: &Caller) -> &str {
    secrecy::ExposeSecret::expose_secret(&caller.token)
}

fn later(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(HUB, "later")], format!("{why}\n")).into_response()
}

/// For `sites list`: the newest wins, whichever hub it was at. Presence is "asked last", never "connected".
async fn see(hub: &Hub, caller: &Caller, headers: &HeaderMap, position: &Position) {
    let now = SystemClock.both();
    {
        let mut noted = hub.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if noted.get(&caller.name).is_some_and(|at| now.steady.saturating_sub(*at) < SEEN_EVERY) {
            return;
        }
        noted.insert(caller.name.clone(), now.steady);
    }
    let program = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let seen = Seen {
        at: SystemClock.now().0,
        program: program.map(str::to_owned),
        waiting: position.waiting,
        oldest: position.oldest,
    };
    if let Err(error) = hub.engine.put(Table::Seen, &caller.name, engine::json(&seen)).await {
        tracing::debug!(%error, "the last poll of a site was not recorded");
    }
}
