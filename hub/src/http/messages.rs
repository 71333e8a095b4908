//! `POST /{version}/{phone_number_id}/messages`, as sites send it.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{Caller, HUB, Hub, again, refusal};
use crate::engine::{Engine, Table};
use crate::out::{Answer, Outgoing, Request, Told, send as send_once};
use crate::sites::random_hex;

/// After what does not last.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn send(
    State(hub): State<Hub>,
    Path((version, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A site whose line breaks off has sent its message all the same: what was begun goes on.
    let sent = tokio::spawn(async move {
        match answer(&hub, &version, &number, &headers, body).await {
            Ok(answer) | Err(answer) => answer,
        }
    });
    sent.await.unwrap_or_else(|_| {
        let unknown = [(HUB, "unknown")];
        (StatusCode::GATEWAY_TIMEOUT, unknown, "the hub failed while it was at it\n").into_response()
    })
}

async fn answer(
    hub: &Hub,
    version: &str,
    number: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let caller = hub.caller(headers)?;
    let endpoint = hub.endpoint(&caller, version, number)?;
    if is_read_mark(&body) {
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
    own_tag(hub, &caller, &out.tag).await?;
    let nonce = random_hex::<16>().map_err(|error| again(&error.to_string(), PAUSE))?;
    let request =
        Request { client: &hub.client, paces: &hub.paces, endpoint: &endpoint, site: &caller.name, body };
    Ok(told(send_once(&hub.engine, &request, &caller.name, &out, &nonce).await))
}

fn told(told: Told) -> Response {
    match told {
        Told::Answer(Answer { status, body, is_unknown }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::GATEWAY_TIMEOUT);
            let whose = if is_unknown { "unknown" } else { "answer" };
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (status, [(HUB, whose)], kind, body).into_response()
        }
        Told::Again { why, retry_after } => again(&why, retry_after),
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

/// A store belongs to one site: what comes back for its tag must not go elsewhere. The first that sends with it has it.
async fn own_tag(hub: &Hub, caller: &Caller, tag: &str) -> Result<(), Response> {
    let unavailable = |error: crate::engine::Unavailable| again(&error.to_string(), Duration::from_secs(5));
    let known = hub.engine.get(Table::Tags, tag).await.map_err(unavailable)?;
    if known.as_ref().is_some_and(|row| row.value == caller.name.as_bytes()) {
        return Ok(());
    }
    if known.is_none() {
        let name = caller.name.clone().into();
        if hub.engine.create(Table::Tags, tag, name).await.map_err(unavailable)?.is_some() {
            return Ok(());
        }
        // A replica that was behind, or another request of the same site.
        let known = hub.engine.get(Table::Tags, tag).await.map_err(unavailable)?;
        match known {
            Some(row) if row.value == caller.name.as_bytes() => return Ok(()),
            Some(_) => {}
            None => return Err(again("it is not known yet whose store this is", PAUSE)),
        }
    }
    Err(refusal(
        StatusCode::FORBIDDEN,
        10,
        "another site sends from a copy of this store: two cards were made from one; `bellwire restore` gives this one its own tag",
    ))
}

fn is_read_mark(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|json| json["status"] == "read" && json["to"].is_null())
}
