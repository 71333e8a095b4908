//! Where sites and Meta come in.

#![expect(
    clippy::result_large_err,
    reason = "what is answered in place of what was asked for is an answer like any other"
)]

/// The page of all sites, and `/metrics`.
mod admin;
/// The accept loop.
mod listen;
/// The memory and the time that bodies have.
mod body;
/// What sites send.
mod messages;
/// Files, templates and what else a site asks Meta.
mod ask;
/// What Meta sends, and what sites fetch of it.
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bellwire::time::{Clock, SystemClock};
use bellwire::whatsapp::client::Client;
use serde_json::json;
use tokio::sync::watch;

pub use admin::admin_routes;
pub use body::Bodies;
pub use listen::serve;
pub use messages::told;

use crate::audit::{Audit, Note};
use crate::engine::{Engine, JetStream, Signals, Table, Unavailable};
use crate::incoming::Wakes;
use crate::metrics::Metrics;
use crate::pace::{Limits, Paces};
use crate::settings::Settings;
use crate::sites::{EnrolError, Erasure, Registry, SeenSites, Site, digest, enrol, erase};

/// After what does not last.
const PAUSE: Duration = Duration::from_secs(2);
/// A change of the sites is at every hub within milliseconds; one that has not come by then is asked about at the engine.
const BROUGHT_WITHIN: Duration = Duration::from_millis(500);
/// Marks an answer as the hub's own, so that a site does not take a proxy's for it.
pub const HUB: HeaderName = HeaderName::from_static("bellwire-hub");
/// Meta sends up to 3 MB.
const WEBHOOK_MAX: usize = 4 * 1024 * 1024;
/// A list of ten rows with all their texts, in letters of four bytes, each escaped, has 200 KB; whom to erase has less.
const FROM_SITE_MAX: usize = 256 * 1024;
const CODE_MAX: usize = 1024;

#[derive(Clone)]
pub struct Hub {
    pub settings: Arc<Settings>,
    pub engine: JetStream,
    pub signals: Signals,
    pub client: Client,
    pub sites: watch::Receiver<Arc<Registry>>,
    pub paces: Paces,
    pub limits: Limits<JetStream>,
    pub wakes: Wakes,
    /// Becomes true when this hub is about to end.
    pub stopping: watch::Receiver<bool>,
    /// When each site asked last, at whichever hub.
    pub seen: watch::Receiver<Arc<SeenSites>>,
    /// When this hub last wrote that down.
    pub noted: Arc<Mutex<BTreeMap<String, Duration>>>,
    pub metrics: Arc<Metrics>,
    pub audit: Audit,
    pub bodies: Bodies,
}

pub fn routes(hub: Hub) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/webhook/whatsapp", get(webhook::verify).post(webhook::receive))
        .route("/hub/v1/enrol", post(change_code))
        .route("/hub/v1/erase", post(forget))
        .route("/hub/v1/webhooks", get(webhook::fetch))
        .route("/hub/v1/media/{id}", get(ask::download))
        .route("/{version}/{id}/messages", post(messages::send))
        .route("/{version}/{id}/media", post(ask::upload).layer(DefaultBodyLimit::disable()))
        .route("/{version}/{id}/message_templates", get(ask::templates))
        .route("/{version}/{id}", get(ask::about).delete(ask::delete))
        .layer(DefaultBodyLimit::max(CODE_MAX))
        .with_state(hub)
}

/// A proxy sends nothing new to a hub that is about to end.
async fn ready(State(hub): State<Hub>) -> (StatusCode, &'static str) {
    match *hub.stopping.borrow() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        false => (StatusCode::OK, "ready\n"),
    }
}

/// The token of a site for its code.
async fn change_code(State(hub): State<Hub>, code: String) -> Response {
    match enrol(&hub.engine, code.trim()).await {
        Ok((site, token)) => {
            hub.audit.note(Note::new("enrolled", &site, SystemClock.now())).await;
            format!("{token}\n").into_response()
        }
        Err(error @ EnrolError::NoCode) => (StatusCode::FORBIDDEN, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// Somebody was erased at a site.
async fn forget(State(hub): State<Hub>, headers: HeaderMap, body: Body) -> Response {
    let caller = match hub.caller(&headers).await {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let body = match hub.bodies.read(body, FROM_SITE_MAX).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let asked = serde_json::from_slice::<Erasure>(&body.bytes).ok().filter(|asked| !asked.is_too_much());
    let Some(asked) = asked else {
        return refusal(StatusCode::BAD_REQUEST, 100, "whom to erase cannot be read, or is too much at once");
    };
    if let Err(error) = erase(&hub.engine, &caller.name, &asked).await {
        return again(&error.to_string(), Duration::from_secs(5));
    }
    let detail = format!("{} ids of a person, {} of messages", asked.people.len(), asked.messages.len());
    hub.audit.note(Note { detail, ..Note::new("erased", &caller.name, SystemClock.now()) }).await;
    ([(HUB, "answer")], "forgotten\n").into_response()
}

/// Who asks: a name, its rights, and its token, with which bodies for it are signed.
pub struct Caller {
    pub name: String,
    pub site: Site,
    pub token: secrecy::SecretString,
}

impl Hub {
    /// The site of the token; without one, the answer. Another hub may have given the token out a moment ago: its change is
    /// waited for, and a hub that cannot ask the engine does not call a token unknown.
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Response> {
        let token = bearer(headers);
        let mut sites = self.sites.clone();
        let brought = sites.wait_for(|registry| registry.of_token(token).is_some());
        if let Ok(Ok(registry)) = tokio::time::timeout(BROUGHT_WITHIN, brought).await
            && let Some((name, site)) = registry.of_token(token)
        {
            return Ok(Caller { name: name.to_owned(), site: site.clone(), token: token.into() });
        }
        // There is no such row: what counts is whether the engine answers at all.
        match self.engine.get(Table::Codes, &digest(token)).await {
            Ok(_) => Err(no_such_token()),
            Err(error) => Err(again(&error.to_string(), Duration::from_secs(5))),
        }
    }

    /// A store belongs to one site: what comes back for its tag must not go elsewhere. The first that sends with it has it.
    async fn own_tag(&self, caller: &Caller, tag: &str) -> Result<(), Response> {
        let unavailable = |error: Unavailable| again(&error.to_string(), Duration::from_secs(5));
        let owner = || async { self.engine.get(Table::Tags, tag).await.map_err(unavailable) };
        let mut known = owner().await?;
        if known.is_none() {
            let name = caller.name.clone().into();
            if self.engine.create(Table::Tags, tag, name).await.map_err(unavailable)?.is_some() {
                return Ok(());
            }
            known = owner().await?; // another request came first
        }
        if known.is_some_and(|row| row.value == caller.name.as_bytes()) {
            return Ok(());
        }
        Err(refusal(
            StatusCode::FORBIDDEN,
            10,
            "another site sends from a copy of this store: two cards were made from one; `bellwire restore` gives this one its own tag",
        ))
    }
}

fn bearer(headers: &HeaderMap) -> &str {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

fn no_such_token() -> Response {
    let details = "the hub does not know this token: it was revoked or replaced; enrol the site again";
    refusal(StatusCode::UNAUTHORIZED, 190, details)
}

/// In the words of the Cloud API, which a site reads anyway: the code says what it does about it.
fn refusal(status: StatusCode, code: i64, details: &str) -> Response {
    let error =
        json!({ "error": { "code": code, "message": "(hub)", "error_data": { "details": details } } });
    ([(HUB, "refused")], (status, axum::Json(error))).into_response()
}

/// Nothing was sent.
fn again(why: &str, retry_after: Duration) -> Response {
    let seconds = retry_after.as_secs().max(1).to_string();
    let headers = [(HUB, "again".to_owned()), (header::RETRY_AFTER, seconds)];
    (StatusCode::TOO_MANY_REQUESTS, headers, format!("{why}; nothing was sent\n")).into_response()
}
