//! `/{version}/…`: the Cloud API, as far as a gateway calls it.

/// Numbers, the account, its subscription, the token.
mod accounts;
/// How Graph reads an address.
mod address;
/// What a request says: query, JSON, form.
mod arguments;
/// Profile, commerce settings, automation, QR codes, blocked people.
mod business;
/// Upload, look up, fetch, delete.
mod media;
/// `POST /{phone_number_id}/messages`.
mod messages;
/// The catalogue.
mod templates;

use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::graph::Refusal;
use crate::state::{Dropped, Simulator};
use crate::world::Ending;
use arguments::Arguments;

pub use address::bring_into_form;

/// How long a connection stays silent when it hangs: longer than any client waits.
const HANG: Duration = Duration::from_secs(120);

pub fn routes() -> Router<Simulator> {
    Router::new()
        .merge(messages::routes())
        .merge(media::routes())
        .merge(templates::routes())
        .merge(business::routes())
        .merge(accounts::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
}

/// Anything but the wanted answer; boxed because a response is large.
#[derive(Debug)]
pub struct Refused(Box<Response>);

pub type Answer = Result<Response, Refused>;

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Response> for Refused {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl Simulator {
    /// The door of every request but a send: the token is judged, and a fault for this door is used.
    async fn enter(&self, headers: &HeaderMap, door: &str) -> Result<(), Refused> {
        self.authorise(headers).await?;
        self.fail(door).await
    }

    /// Uses a fault for this door. What it drops or leaves hanging is not done at all: of a look-up nobody could tell.
    async fn fail(&self, door: &str) -> Result<(), Refused> {
        let (ending, delay_ms) = {
            let mut world = self.world.lock().await;
            let Some(fault) = world.faults.take_on(door) else { return Ok(()) };
            let ending = match (fault.hang_after_accept, fault.reset_after_accept) {
                (true, _) => Some(Ending::Hang),
                (_, true) => Some(Ending::Reset),
                (false, false) => world.fail(&fault),
            };
            (ending, fault.delay_ms.unwrap_or(0))
        };
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        match ending {
            Some(ending) => Err(respond(ending).await.into()),
            None => Ok(()),
        }
    }

    async fn authorise(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let judged = self.world.lock().await.account.token.judge(bearer(headers));
        match judged {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.refuse(&refusal).await),
        }
    }

    /// Whether a number exists: any does, unless the start named some.
    async fn number(&self, id: &str) -> Result<(), Refused> {
        let known = &self.options.phone_number_ids;
        let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        if digits && (known.is_empty() || known.iter().any(|known| known == id)) {
            return Ok(());
        }
        Err(self.refuse(&Refusal::no_object(id)).await)
    }

    async fn refuse(&self, refusal: &Refusal) -> Refused {
        let outcome = self.world.lock().await.refuse(refusal);
        respond(outcome.ending).await.into()
    }
}

/// The query of a url in Meta's keys; what cannot be read is refused in Meta's form.
struct Parameters<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Simulator> for Parameters<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, simulator: &Simulator) -> Result<Self, Refused> {
        let read = Query::try_from_uri(&parts.uri).map_err(|error| error.body_text());
        match read {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(details) => Err(simulator.refuse(&Refusal::new(100, details)).await),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn json(body: Value) -> Response {
    axum::Json(body).into_response()
}

fn success() -> Answer {
    Ok(json(serde_json::json!({ "success": true })))
}

async fn respond(ending: Ending) -> Response {
    match ending {
        Ending::Answer { status, body, headers } => {
            let mut response = (code(status), axum::Json(body)).into_response();
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                    response.headers_mut().insert(name, value);
                }
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

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What the simulator does not play, in Meta's form.
///
/// The body is read, here and wherever a call needs none: a connection that was answered before its end is closed, and the
/// client's next request on it would be lost.
async fn unknown(State(simulator): State<Simulator>, method: Method, uri: Uri, _: Arguments) -> Response {
    let path = uri.path();
    simulator.refuse(&unplayed(method.as_str(), path)).await.into_response()
}

fn unplayed(method: &str, path: &str) -> Refusal {
    let details = format!(
        "Unsupported request: the simulator does not play {method} {path}; docs/simulator.md lists what it plays"
    );
    Refusal { code: 100, subcode: Some(33), details }
}
