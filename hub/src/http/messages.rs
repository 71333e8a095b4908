//! `POST /{version}/{phone_number_id}/messages`, as sites send it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwire::time::{Clock, SystemClock};
use serde_json::Value;

use super::{FROM_SITE_MAX, HUB, Hub, PAUSE, again, refusal};
use crate::audit::Note;
use crate::out::{Answer, Outgoing, Request, SEVERITY, Told, send as send_once};
use crate::pace::Scope;
use crate::sites::random_hex;

pub(super) async fn send(
    State(hub): State<Hub>,
    Path((version, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (metrics, severity) = (Arc::clone(&hub.metrics), headers.get(SEVERITY).cloned());
    // A site whose line breaks off has sent its message all the same: what was begun goes on.
    let sent = tokio::spawn(async move {
        match answer(&hub, &version, &number, &headers, body).await {
            Ok(answer) | Err(answer) => answer,
        }
    });
    let answer = sent.await.unwrap_or_else(|_| {
        let unknown = [(HUB, "unknown")];
        (StatusCode::GATEWAY_TIMEOUT, unknown, "the hub failed while it was at it\n").into_response()
    });
    let word = |value: Option<&HeaderValue>| {
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    metrics.message(&word(severity.as_ref()), &word(answer.headers().get(HUB)));
    answer
}

async fn answer(
    hub: &Hub,
    version: &str,
    number: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    let caller = hub.caller(headers).await?;
    let endpoint = hub.endpoint(&caller, version, number)?;
    let held = hub.bodies.read(body, FROM_SITE_MAX).await?;
    let body = held.bytes.clone();
    let (is_read_mark, is_template) = kind(&body);
    if is_read_mark {
        return Ok(hub.forward(&endpoint, Method::POST, &format!("{number}/messages"), body).await);
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let out = Outgoing::read(header, &body)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, 100, &format!("the hub refuses it: {error}")))?;
    if !caller.site.may_write_to(&out.to) {
        let details =
            "the hub does not let this site write to this person; `bellwire-hub sites claim` changes that";
        return Err(refusal(StatusCode::BAD_REQUEST, 131_030, details));
    }
    hub.own_tag(&caller, &out.tag).await?;
    let nonce = random_hex::<16>().map_err(|error| again(&error.to_string(), PAUSE))?;
    let request = Request {
        client: &hub.client,
        paces: &hub.paces,
        limits: &hub.limits,
        endpoint: &endpoint,
        site: &caller.name,
        quota: &caller.site.quota,
        to: &out.to,
        is_template,
        body,
    };
    let what = send_once(&hub.engine, &request, &caller.name, &out, &nonce).await;
    if let Told::Answer(answer) = &what {
        hub.audit.note(Note::sent(&caller.name, &out, answer.status, SystemClock.now())).await;
    }
    Ok(told(what))
}

/// What a site is told, as HTTP.
pub fn told(told: Told) -> Response {
    match told {
        Told::Answer(Answer { status, body, is_unknown }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::GATEWAY_TIMEOUT);
            let whose = if is_unknown { "unknown" } else { "answer" };
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (status, [(HUB, whose)], kind, body).into_response()
        }
        Told::Again { why, retry_after } => again(&why, retry_after),
        Told::Later { scope, why, retry_after } => later(scope, &why, retry_after),
        Told::Wait => {
            (StatusCode::CONFLICT, [(HUB, "wait")], "it is being sent; ask again\n").into_response()
        }
        Told::AnotherMessage => refusal(
            StatusCode::BAD_REQUEST,
            100,
            "another message was sent under this key: are there two copies of this site, with one card? Give one of them a new one",
        ),
    }
}

/// In Meta's words where it has some (131056, the limit of a pair), which close this person at the site and nobody else.
fn later(scope: Scope, why: &str, retry_after: Duration) -> Response {
    let seconds = [(header::RETRY_AFTER, retry_after.as_secs_f64().ceil().max(1.0).to_string())];
    if scope == Scope::Person {
        return (seconds, refusal(StatusCode::BAD_REQUEST, 131_056, why)).into_response();
    }
    (StatusCode::TOO_MANY_REQUESTS, seconds, [(HUB, "later")], format!("{why}; nothing was sent\n"))
        .into_response()
}

/// Whether it is a mark of read, and whether a template. What is no JSON is neither; `Outgoing` says so.
fn kind(body: &[u8]) -> (bool, bool) {
    let message: Value = serde_json::from_slice(body).unwrap_or_default();
    (message["status"] == "read" && message["to"].is_null(), message["type"] == "template")
}
