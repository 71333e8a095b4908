//! Where Meta posts (docs/cloud-api.md 3.1 to 3.3): 200 only after the raw body is on disk, else 503, so that Meta sends it again.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;

use super::bodies::{BodyBudget, BodyShare, PIECE_BYTES};
use super::listen::Peer;
use super::visitors::client;

use crate::words::word_enum;

/// Meta sends up to 3 MB (docs/cloud-api.md 3.3).
const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// A body that takes longer is a dead line or an attack; Meta posts it again.
const BODY_DEADLINE: Duration = Duration::from_secs(2);
/// Meta wants an answer within a second; a disk that takes longer than this gets the body again later.
const KEEP_DEADLINE: Duration = Duration::from_secs(5);
/// What the answers depend on.
pub trait Webhook: Send + Sync {
    /// Judges the verification request by its query string.
    fn handshake(&self, query: &str) -> Handshake;
    /// The connections with whose app secret these raw bytes are signed; none: it is forged.
    fn signed_by(&self, signature: Option<&str>, body: &[u8]) -> Vec<String>;
    /// Commits the body, which speaks for these connections; `true` when it is on disk.
    fn keep(&self, body: Bytes, signed_by: Vec<String>) -> Pin<Box<dyn Future<Output = bool> + Send>>;
    /// Counts what was turned away, for the metrics; what was kept is counted when it is read.
    fn refused(&self, why: WebhookRejection);
}

word_enum! {
    /// Why a post was not taken.
    WebhookRejection {
        /// Its signature is missing or wrong.
        Forged = "forged",
        TooLarge = "too-large",
        /// It did not arrive whole.
        Incomplete = "incomplete",
        Slow = "slow",
        /// The disk did not take it, or not in time: Meta sends it again.
        NotStored = "not-stored",
        Stopping = "stopping",
    }
}

impl WebhookRejection {
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Forged => (StatusCode::UNAUTHORIZED, "the signature is missing or wrong\n"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than Meta ever sends\n"),
            Self::Incomplete => (StatusCode::BAD_REQUEST, "the body did not arrive whole\n"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
            Self::NotStored => (StatusCode::SERVICE_UNAVAILABLE, "it could not be stored; send it again\n"),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        }
    }
}

/// The answer to Meta's verification request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// The token is right: send this back as plain text.
    Challenge(String),
    Wrong,
    Malformed,
}

#[derive(Clone)]
struct WebhookState {
    webhook: Arc<dyn Webhook>,
    room: Arc<BodyBudget>,
}

/// `GET` and `POST /webhook/whatsapp`, also under `/api/whatsapp/webhook`.
pub fn webhook_routes(webhook: Arc<dyn Webhook>) -> Router {
    let methods = || get(verify).post(receive);
    Router::new()
        .route("/webhook/whatsapp", methods())
        .route("/api/whatsapp/webhook", methods())
        .with_state(WebhookState { webhook, room: Arc::default() })
}

async fn verify(State(state): State<WebhookState>, RawQuery(query): RawQuery) -> Response {
    match state.webhook.handshake(query.as_deref().unwrap_or_default()) {
        Handshake::Challenge(challenge) => {
            let kind = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (kind, challenge).into_response()
        }
        Handshake::Wrong => (StatusCode::FORBIDDEN, "the verify token is not ours\n").into_response(),
        Handshake::Malformed => {
            (StatusCode::BAD_REQUEST, "this address is for Meta's webhook verification\n").into_response()
        }
    }
}

async fn receive(
    State(state): State<WebhookState>,
    Extension(Peer { address, .. }): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&state, client(address), &headers, body).await {
        Ok(()) => (StatusCode::OK, "kept\n").into_response(),
        Err(why) => {
            state.webhook.refused(why);
            // What is left of the body is not read.
            ([(header::CONNECTION, "close")], why.answer()).into_response()
        }
    }
}

/// The bytes, and the room that they have. A piece has its memory of its own until all have come: what grows by doubling would
/// take twice as much.
async fn collect<'a>(
    room: &'a BodyBudget,
    client: IpAddr,
    mut body: Body,
) -> Result<(Bytes, BodyShare<'a>), WebhookRejection> {
    let (mut pieces, mut length) = (Vec::<Vec<u8>>::new(), 0);
    let mut taken = room.enter(client);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| WebhookRejection::Incomplete)?.into_data() else { continue };
        length += data.len();
        if length > BODY_MAX_BYTES {
            return Err(WebhookRejection::TooLarge);
        }
        taken.grow(length).await;
        let mut left = &data[..];
        while !left.is_empty() {
            let space = pieces.last().map_or(0, |piece| PIECE_BYTES - piece.len());
            if space == 0 {
                pieces.push(Vec::new());
            }
            let (now, rest) = left.split_at(left.len().min(if space == 0 { PIECE_BYTES } else { space }));
            if let Some(piece) = pieces.last_mut() {
                piece.extend_from_slice(now);
            }
            left = rest;
        }
    }
    Ok((pieces.concat().into(), taken))
}

/// `sha256=` and 64 digits.
fn may_be_signature(header: &str) -> bool {
    let digits = header.strip_prefix("sha256=").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

async fn take(
    state: &WebhookState,
    client: IpAddr,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), WebhookRejection> {
    let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    if !signature.is_some_and(may_be_signature) {
        return Err(WebhookRejection::Forged); // before a byte of the body is waited for
    }
    if body.size_hint().lower() > BODY_MAX_BYTES as u64 {
        return Err(WebhookRejection::TooLarge);
    }
    let collected = tokio::time::timeout(BODY_DEADLINE, collect(&state.room, client, body)).await;
    let (body, _room) = collected.unwrap_or(Err(WebhookRejection::Slow))?;
    let signed_by = state.webhook.signed_by(signature, &body);
    if signed_by.is_empty() {
        return Err(WebhookRejection::Forged);
    }
    match tokio::time::timeout(KEEP_DEADLINE, state.webhook.keep(body, signed_by)).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(WebhookRejection::NotStored),
    }
}
