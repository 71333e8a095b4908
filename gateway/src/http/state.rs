//! What all routes of the page and the API share, and who stands before them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::listen::Peer;
use super::password::same;
use crate::config::Network;
use crate::http::admin_port::{Actor, AdminApi, ApiError, Credentials};
use crate::http::auth::{Behind, Caller, Revision};
use crate::http::cookies::cookie;
use crate::http::rate_limit::RateLimiter;
use crate::http::templates::{LANGUAGES, View};

/// Pages that are told of changes: a few phones and a screen on the wall; more would keep connections from Meta.
const WATCHERS_MAX: usize = 16;

/// Passwords that wait: a family that logs in at once. A quarter of a second each on a Pi 3.
const PASSWORDS_WAIT: usize = 8;
/// And of browsers that were logged in before: strangers at as many addresses as they like take the places of strangers.
const KNOWN_WAIT: usize = 4;

pub struct AppState {
    pub admin: Arc<dyn AdminApi>,
    pub keys: Arc<dyn Credentials>,
    pub view: View,
    /// Host names besides addresses and localhost.
    pub names: Vec<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// Home Assistant's Supervisor, which lets nobody through without a session of its own.
    pub ingress: Option<IpAddr>,
    pub stop: watch::Receiver<bool>,
    pub watchers: Arc<Semaphore>,
    /// One password at a time: each takes 7 MiB.
    pub hashing: Arc<Semaphore>,
    /// Passwords that wait for that, of strangers and of browsers that were logged in before.
    pub waiting: Semaphore,
    pub known_waiting: Semaphore,
    throttle: Mutex<RateLimiter>,
    /// Of the first visit, while there is no password.
    code: Mutex<Option<String>>,
}

impl AppState {
    pub fn new(
        admin: Arc<dyn AdminApi>,
        keys: Arc<dyn Credentials>,
        view: View,
        (names, proxies, ingress): (Vec<String>, Vec<Network>, Option<IpAddr>),
        code: Option<String>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            admin,
            keys,
            view,
            names,
            proxies,
            ingress,
            stop,
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
            hashing: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(PASSWORDS_WAIT),
            known_waiting: Semaphore::new(KNOWN_WAIT),
            throttle: Mutex::default(),
            code: Mutex::new(code),
        }
    }

    pub fn throttle<T>(&self, ask: impl FnOnce(&mut RateLimiter) -> T) -> T {
        ask(&mut self.throttle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it is the code of the first visit.
    pub fn is_code(&self, text: &str) -> bool {
        let wanted = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.as_ref().is_some_and(|code| same(code, &text.trim().to_ascii_uppercase()))
    }

    /// It has done its work.
    pub fn forget_code(&self) {
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A page. What every page needs is added to `data`.
    pub fn page(&self, context: &RequestContext, template: &str, data: Value) -> Response {
        self.page_with(context, StatusCode::OK, template, data)
    }

    pub fn page_with(
        &self,
        context: &RequestContext,
        status: StatusCode,
        template: &str,
        mut data: Value,
    ) -> Response {
        data["visit"] = json!({ "csrf": context.caller.csrf(), "path": context.path, "query": context.query, "revision": context.revision,
                                "known": matches!(context.caller, Caller::Page(_)) });
        self.view.render(context.language, status, template, data)
    }

    /// A page that says what went wrong, and the way back.
    pub fn sorry(&self, context: &RequestContext, trouble: &ApiError) -> Response {
        let data = json!({ "trouble": trouble.to_string(), "status": trouble.status().as_u16() });
        self.page_with(context, trouble.status(), "sorry.html", data)
    }
}

/// Who asks for a page, how and in which language.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub caller: Caller,
    /// Who is behind the connection, and its other end.
    pub address: IpAddr,
    pub peer: IpAddr,
    pub encrypted: bool,
    pub language: &'static str,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    revision: i64,
}

impl RequestContext {
    pub fn who(&self) -> Actor {
        self.caller.who(self.address)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let caller = parts.extensions.get::<Caller>().cloned().ok_or(StatusCode::FORBIDDEN)?;
        let Peer { address: peer, encrypted } =
            *parts.extensions.get::<Peer>().ok_or(StatusCode::FORBIDDEN)?;
        let address = parts.extensions.get::<Behind>().map_or(peer, |behind| behind.0);
        Ok(Self {
            caller,
            address,
            peer,
            encrypted,
            language: language(&parts.headers),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            revision: parts.extensions.get::<Revision>().map_or(0, |revision| revision.0),
        })
    }
}

/// The one that the person chose, else the first that the browser asks for and that we have.
fn language(headers: &HeaderMap) -> &'static str {
    let known = |wanted: &str| LANGUAGES.into_iter().find(|language| wanted.trim().starts_with(language));
    let asked = headers.get("accept-language").and_then(|value| value.to_str().ok()).unwrap_or_default();
    cookie(headers, "language")
        .and_then(known)
        .or_else(|| asked.split(',').find_map(known))
        .unwrap_or(LANGUAGES[0])
}

/// The fields of a form that a page of ours sent: a handler that changes something takes this, and so cannot forget to
/// look. Nobody who is not logged in has a token to compare; those forms ask for a secret.
pub struct Fields(pub BTreeMap<String, String>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Nobody);
        let form = Form::<BTreeMap<String, String>>::from_request(request, state).await;
        let Form(fields) = form.map_err(IntoResponse::into_response)?;
        let sent = fields.get("csrf").map(String::as_str).unwrap_or_default();
        match caller {
            Caller::Page(_) if !same(sent, &caller.csrf()) => {
                let how = "the form is not from this session; go back, load the page again and repeat it\n";
                Err((StatusCode::FORBIDDEN, how).into_response())
            }
            Caller::Page(_) | Caller::Nobody | Caller::Token(_) => Ok(Self(fields)),
        }
    }
}

impl Fields {
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}
