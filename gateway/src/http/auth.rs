//! Who may come in: the host they asked for, the password that must be set first, the cookie or the token, and the
//! proof that a page of ours sent the form. Every answer of the page and the API goes through here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::endpoints::Endpoint;
use super::listen::Peer;
use super::password::{digest, same};
use super::problem::problem;
use crate::event::topic::TopicPattern;
use crate::http::admin_port::{Actor, ApiError, ApiToken, Scope};
use crate::http::cookies::cookie;
use crate::http::prefix::Prefix;
use crate::http::state::{AppState, RequestContext};

/// The cookie's name.
const COOKIE: &str = "bellwire_session";
/// Longer than the slowest list; a body that trickles in ends here, too.
const DEADLINE: Duration = Duration::from_secs(20);
/// Nothing from elsewhere, nothing inline, no frame around us.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Home Assistant shows the page in a frame of the same address.
const FRAMED_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                             form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

/// Who asks.
#[derive(Debug, Clone)]
pub enum Caller {
    Nobody,
    /// A browser that is logged in, by its cookie.
    Page(String),
    Token(ApiToken),
}

impl Caller {
    /// What a form of this session must send back: made from the cookie, so nothing is stored, and the cookie cannot
    /// be had from it.
    pub fn csrf(&self) -> String {
        match self {
            Self::Page(cookie) => digest(&format!("form {cookie}"))[..32].to_owned(),
            Self::Nobody | Self::Token(_) => String::new(),
        }
    }

    /// The hash of its session, whose beginning names it in lists; empty for others.
    pub fn session(&self) -> String {
        match self {
            Self::Page(cookie) => digest(cookie),
            Self::Nobody | Self::Token(_) => String::new(),
        }
    }

    fn may(&self, scope: Scope) -> Result<(), Box<Response>> {
        match self {
            Self::Page(_) => Ok(()),
            Self::Token(token) if token.scopes.contains(&scope) => Ok(()),
            Self::Token(_) | Self::Nobody => Err(Box::new(problem(
                StatusCode::FORBIDDEN,
                &format!(
                    "this token has not the scope `{}`; make one that has it under Setup",
                    scope.as_str()
                ),
            ))),
        }
    }

    /// Whether an event on this topic may come from them.
    pub fn may_tell(&self, topic: &str) -> Result<(), Box<Response>> {
        let Self::Token(ApiToken { topic: Some(allowed), .. }) = self else { return Ok(()) };
        if TopicPattern::parse(allowed).is_ok_and(|allowed| allowed.matches(topic).is_some()) {
            return Ok(());
        }
        let how =
            format!("this token hands in events on {allowed} alone; make one for this topic under Setup");
        Err(Box::new(problem(StatusCode::FORBIDDEN, &how)))
    }

    /// Who writes to a person: of a page, which of the sessions that the list shows.
    pub fn writer(&self, address: IpAddr) -> Actor {
        let who = self.who(address);
        match self {
            Self::Page(cookie) => {
                Actor { name: format!("{}, session {}", who.name, &digest(cookie)[..12]), ..who }
            }
            Self::Nobody | Self::Token(_) => who,
        }
    }

    pub fn who(&self, address: IpAddr) -> Actor {
        let name = match self {
            Self::Nobody => "nobody".to_owned(),
            Self::Page(_) => "page".to_owned(),
            Self::Token(token) => format!("token {}", token.name),
        };
        Actor { name, address: address.to_string() }
    }
}

/// Who is behind the connection.
#[derive(Debug, Clone, Copy)]
pub struct Behind(pub IpAddr);

/// How new the page is.
#[derive(Debug, Clone, Copy)]
pub struct Revision(pub i64);

/// The layer around all routes of the page and the API.
pub async fn guard(
    State(state): State<Arc<AppState>>,
    Extension(Peer { address, .. }): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let prefix = Prefix::of((&state.proxies, state.ingress), address, &parts.headers);
    let address = super::behind::address(address, &parts.headers, &state.proxies);
    parts.extensions.insert(Behind(address));
    let mut response = match admit(&state, address, prefix.as_ref(), &parts).await {
        Ok(caller) => {
            if matches!(caller, Caller::Page(_)) && parts.method.is_safe() {
                // Before the page is filled: what changes meanwhile is told by the first event of /live.
                parts.extensions.insert(Revision(state.admin.revision().await.unwrap_or_default()));
            }
            parts.extensions.insert(caller);
            let request = Request::from_parts(parts, body);
            match tokio::time::timeout(DEADLINE, next.run(request)).await {
                Ok(response) => response,
                Err(_) => {
                    problem(StatusCode::REQUEST_TIMEOUT, "the request took longer than 20 s; send it again")
                }
            }
        }
        Err(refusal) => *refusal,
    };
    if let Some(prefix) = &prefix {
        response = prefix.apply(response).await;
    }
    let (policy, frames) = match prefix.is_some_and(|prefix| prefix.is_framed()) {
        true => (FRAMED_POLICY, "SAMEORIGIN"),
        false => (POLICY, "DENY"),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, frames),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn admit(
    state: &AppState,
    address: IpAddr,
    prefix: Option<&Prefix>,
    request: &Parts,
) -> Result<Caller, Box<Response>> {
    let (headers, path) = (&request.headers, request.uri.path());
    let api = path.starts_with("/api/");
    // Home Assistant has a name of its own, and lets nobody through without its session.
    let is_ingress = prefix.is_some_and(Prefix::is_framed);
    if !is_ingress {
        check_host(state, headers)?;
    }
    if path.starts_with("/assets/") {
        return Ok(Caller::Nobody);
    }
    if request.extensions.get::<MatchedPath>().is_none() && !api {
        return Ok(Caller::Nobody); // nothing is there, and nobody needs a password to be told
    }
    if !request.method.is_safe() {
        check_origin(headers)?;
    }
    let password = state.keys.password().await.map_err(refuse)?;
    if password.is_none() {
        return first_visit(is_ingress || address.to_canonical().is_loopback(), path, api);
    }
    let caller = identify(state, headers).await?;
    if !matches!(caller, Caller::Nobody) {
        check_scope(&caller, request)?;
    }
    match &caller {
        Caller::Nobody
            if matches!(path, "/login" | "/welcome" | "/language") || path.starts_with("/open/") =>
        {
            Ok(caller)
        }
        Caller::Nobody if api => Err(unknown_caller()),
        Caller::Nobody => Err(Box::new(Redirect::to("/login").into_response())),
        Caller::Token(_) if !api => {
            Err(Box::new(problem(StatusCode::FORBIDDEN, "tokens are for /api; the page wants the password")))
        }
        Caller::Page(_) if api && !request.method.is_safe() => {
            let sent = headers.get("x-csrf-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
            match same(sent, &caller.csrf()) {
                true => Ok(caller),
                false => Err(Box::new(problem(
                    StatusCode::FORBIDDEN,
                    "a page's own request sends X-CSRF-Token; a program uses a token",
                ))),
            }
        }
        Caller::Page(_) | Caller::Token(_) => Ok(caller),
    }
}

/// What the address asks for is theirs to ask.
fn check_scope(caller: &Caller, request: &Parts) -> Result<(), Box<Response>> {
    let path = request.extensions.get::<MatchedPath>();
    let endpoint = path.and_then(|path| Endpoint::at(&request.method, path.as_str()));
    endpoint.and_then(Endpoint::scope).map_or(Ok(()), |scope| caller.may(scope))
}

/// Before there is a password nobody from elsewhere sees more than this sentence.
fn first_visit(is_near: bool, path: &str, api: bool) -> Result<Caller, Box<Response>> {
    if !is_near {
        let how = "no password is set yet, so only the machine itself is let in: open the page there, or through \
                   ssh -L 8080:127.0.0.1:8080 MACHINE, with the code from the log";
        return Err(Box::new((StatusCode::FORBIDDEN, format!("{how}\n")).into_response()));
    }
    match path {
        "/welcome" | "/language" => Ok(Caller::Nobody),
        _ if api => Err(unknown_caller()),
        _ => Err(Box::new(Redirect::to("/welcome").into_response())),
    }
}

fn unknown_caller() -> Box<Response> {
    unauthorized("send a token as `Authorization: Bearer bw_…`; tokens are made on the page, under Setup")
}

fn ended() -> Box<Response> {
    unauthorized("this token has ended; make a new one under Setup, or with bellwire token new")
}

fn unauthorized(how: &str) -> Box<Response> {
    let mut refusal = problem(StatusCode::UNAUTHORIZED, how);
    refusal
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"bellwire\""));
    Box::new(refusal)
}

fn refuse(trouble: ApiError) -> Box<Response> {
    Box::new(trouble.into_response())
}

async fn identify(state: &AppState, headers: &HeaderMap) -> Result<Caller, Box<Response>> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        let Some(token) = token else { return Err(unknown_caller()) };
        return match state.keys.token(digest(token)).await.map_err(refuse)? {
            Some(token) if token.expires_at.is_some_and(|end| end <= state.view.now()) => Err(ended()),
            Some(token) => Ok(Caller::Token(token)),
            None => Err(unknown_caller()),
        };
    }
    let Some(cookie) = cookie(headers, COOKIE) else { return Ok(Caller::Nobody) };
    let known = state.keys.has_session(digest(cookie)).await.map_err(refuse)?;
    Ok(if known { Caller::Page(cookie.to_owned()) } else { Caller::Nobody })
}

/// A name that somebody else's DNS may point at this machine is not answered (DNS rebinding): only addresses,
/// localhost, and the names that the configuration gives.
fn check_host(state: &AppState, headers: &HeaderMap) -> Result<(), Box<Response>> {
    if is_ours(&state.names, headers) { Ok(()) } else { Err(Box::new(not_ours())) }
}

pub fn is_ours(names: &[String], headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = host_name(host).to_ascii_lowercase();
    name == "localhost"
        || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
        || names.contains(&name)
}

pub fn not_ours() -> Response {
    let how = "this name is not one of ours; add it to names = [\"…\"] under [http], or use the address in numbers\n";
    (StatusCode::MISDIRECTED_REQUEST, how).into_response()
}

/// Without the port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// A browser says from which page a form comes; a program says nothing.
fn check_origin(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let elsewhere = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let host = text("host").unwrap_or_default();
    let foreign =
        text("origin").is_some_and(|origin| origin.split_once("://").map(|(_, rest)| rest) != Some(host));
    if elsewhere || foreign {
        return Err(Box::new(problem(
            StatusCode::FORBIDDEN,
            "this form was sent by another site; nothing was done",
        )));
    }
    Ok(())
}

/// The cookie that keeps a browser logged in; `Secure` where we, or a proxy in front, speak TLS.
pub fn session_cookie(context: &RequestContext, value: &str, seconds: u64) -> String {
    cookie_of(context, COOKIE, value, seconds)
}

/// One that no script and no other site sees.
pub fn cookie_of(context: &RequestContext, name: &str, value: &str, seconds: u64) -> String {
    let encrypted =
        context.encrypted || context.headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
    let secure = if encrypted { "; Secure" } else { "" };
    format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}")
}
