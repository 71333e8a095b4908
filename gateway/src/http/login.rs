//! The first visit, logging in and out, the language.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::behind::{KNOWN_COOKIE, keys, make_known};
use super::password::{HashMemory, PASSWORD_MAX, PASSWORD_MIN, digest, fresh, hash, verify};
use crate::http::admin_port::ApiError;
use crate::http::auth::{Caller, cookie_of, session_cookie};
use crate::http::rate_limit::Key;
use crate::http::state::{AppState, Fields, RequestContext};
use crate::http::templates::LANGUAGES;

/// A month: a screen on the wall should not ask each day; logging out or a new password ends it at once.
pub const SESSION: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Forms of whoever is not logged in: two passwords of 256 characters, each byte as `%F0`, and a code.
const FORM_BYTES: usize = 16 * 1024;
/// That a browser was logged in, in seconds: a year.
const KNOWN_KEPT: u64 = 365 * 24 * 3_600;
/// Of the language, in seconds: a year.
const LANGUAGE_KEPT: u64 = 365 * 24 * 3_600;

pub fn entry_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/welcome", get(welcome).post(first_password))
        .route("/login", get(login).post(enter))
        .route("/open/{secret}", get(open))
        .route("/logout", post(leave))
        .route("/password", post(change_password))
        .route("/language", post(language))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
}

async fn welcome(State(state): State<Arc<AppState>>, request: RequestContext) -> Response {
    match state.keys.password().await {
        Ok(None) => state.page(&request, "welcome.html", json!({ "wrong": "" })),
        Ok(Some(_)) => Redirect::to("/").into_response(),
        Err(trouble) => state.sorry(&request, &trouble),
    }
}

async fn first_password(
    State(state): State<Arc<AppState>>,
    request: RequestContext,
    fields: Fields,
) -> Response {
    if !matches!(state.keys.password().await, Ok(None)) {
        return Redirect::to("/login").into_response();
    }
    let again =
        |status, wrong: &str| state.page_with(&request, status, "welcome.html", json!({ "wrong": wrong }));
    if let Some(wait) = must_wait(&state, &tries(&request, None)) {
        return too_often(again(StatusCode::TOO_MANY_REQUESTS, "wait"), wait);
    }
    if !state.is_code(fields.get("code")) {
        return again(StatusCode::FORBIDDEN, "code");
    }
    if let Err(wrong) = check(&fields) {
        return again(StatusCode::UNPROCESSABLE_ENTITY, wrong);
    }
    let hashed = match hashed(&state, fields.get("password"), LoginQueue::Stranger).await {
        Ok(hashed) => hashed,
        Err(trouble) => return state.sorry(&request, &trouble),
    };
    match state.keys.set_password(hashed, request.who()).await {
        Ok(()) => {
            state.forget_code();
            admitted(&state, &request).await
        }
        Err(trouble) => state.sorry(&request, &trouble),
    }
}

async fn login(State(state): State<Arc<AppState>>, request: RequestContext) -> Response {
    match request.caller {
        Caller::Page(_) => Redirect::to("/").into_response(),
        Caller::Nobody | Caller::Token(_) => state.page(&request, "login.html", json!({ "wrong": "" })),
    }
}

/// A link that opens the page once, as the demo prints it. Whoever follows it again is where they would be without it.
async fn open(
    State(state): State<Arc<AppState>>,
    request: RequestContext,
    Path(secret): Path<String>,
) -> Response {
    match state.keys.use_link(digest(&secret)).await {
        Ok(true) => admitted(&state, &request).await,
        Ok(false) => Redirect::to("/").into_response(),
        Err(trouble) => state.sorry(&request, &trouble),
    }
}

async fn enter(State(state): State<Arc<AppState>>, request: RequestContext, fields: Fields) -> Response {
    let again =
        |status, wrong: &str| state.page_with(&request, status, "login.html", json!({ "wrong": wrong }));
    let known = match state.keys.password().await {
        Ok(known) => known,
        Err(trouble) => return state.sorry(&request, &trouble),
    };
    let tries = tries(&request, known.as_deref());
    if let Some(wait) = must_wait(&state, &tries) {
        return too_often(again(StatusCode::TOO_MANY_REQUESTS, "wait"), wait);
    }
    let is_known = matches!(tries.first(), Some((Key::Known(_), _)));
    let whose = if is_known { LoginQueue::Known } else { LoginQueue::Stranger };
    match is_right(&state, fields.get("password"), whose).await {
        Ok(true) => admitted(&state, &request).await,
        Ok(false) => {
            state.keys.refused(request.who());
            again(StatusCode::FORBIDDEN, "password")
        }
        Err(trouble) => state.sorry(&request, &trouble),
    }
}

async fn leave(State(state): State<Arc<AppState>>, request: RequestContext, _checked: Fields) -> Response {
    if let Caller::Page(cookie) = &request.caller
        && let Err(trouble) = state.keys.close_session(digest(cookie), request.who()).await
    {
        return state.sorry(&request, &trouble);
    }
    with_cookie(Redirect::to("/login").into_response(), &session_cookie(&request, "", 0))
}

async fn change_password(
    State(state): State<Arc<AppState>>,
    request: RequestContext,
    fields: Fields,
) -> Response {
    if let Some(wait) = must_wait(&state, &tries(&request, None)) {
        let trouble = ApiError::Unavailable("Too many tries; wait a moment.".into());
        return too_often(state.sorry(&request, &trouble), wait);
    }
    let refuse = |words: &str| state.sorry(&request, &ApiError::Malformed(words.to_owned()));
    match is_right(&state, fields.get("old"), LoginQueue::Known).await {
        Ok(true) => {}
        Ok(false) => return refuse("The old password is not right; nothing was changed."),
        Err(trouble) => return state.sorry(&request, &trouble),
    }
    if check(&fields).is_err() {
        return refuse("The new password needs at least 8 characters, the same twice; nothing was changed.");
    }
    let hashed = match hashed(&state, fields.get("password"), LoginQueue::Known).await {
        Ok(hashed) => hashed,
        Err(trouble) => return state.sorry(&request, &trouble),
    };
    match state.keys.set_password(hashed, request.who()).await {
        Ok(()) => admitted(&state, &request).await,
        Err(trouble) => state.sorry(&request, &trouble),
    }
}

async fn language(request: RequestContext, fields: Fields) -> Response {
    let chosen =
        LANGUAGES.into_iter().find(|language| *language == fields.get("to")).unwrap_or(request.language);
    let back = Some(fields.get("back")).filter(|path| path.starts_with('/') && !path.starts_with("//"));
    let back =
        back.filter(|path| path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')).unwrap_or("/");
    let cookie = format!("language={chosen}; SameSite=Strict; Path=/; Max-Age={LANGUAGE_KEPT}");
    with_cookie(Redirect::to(back).into_response(), &cookie)
}

/// A session of its own each time: one that somebody planted before is never taken over (session fixation).
async fn admitted(state: &AppState, request: &RequestContext) -> Response {
    let hashed = state.keys.password().await.ok().flatten();
    state.throttle(|throttle| throttle.succeeded(&tries(request, hashed.as_deref())));
    let Some(cookie) = fresh("") else { return state.sorry(request, &no_chance()) };
    let agent =
        request.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(200).collect();
    match state.keys.open_session(digest(&cookie), agent, request.who()).await {
        Ok(()) => {
            let session = session_cookie(request, &cookie, SESSION.as_secs());
            let response = with_cookie(Redirect::to("/").into_response(), &session);
            match hashed.as_deref().and_then(make_known) {
                Some(known) => with_cookie(response, &cookie_of(request, KNOWN_COOKIE, &known, KNOWN_KEPT)),
                None => response,
            }
        }
        Err(trouble) => state.sorry(request, &trouble),
    }
}

fn check(fields: &Fields) -> Result<(), &'static str> {
    let password = fields.get("password");
    match password.chars().count() {
        0..PASSWORD_MIN => Err("short"),
        PASSWORD_MIN..=PASSWORD_MAX if password == fields.get("again") => Ok(()),
        PASSWORD_MIN..=PASSWORD_MAX => Err("again"),
        _ => Err("long"),
    }
}

/// Whose password it is: whoever was logged in before waits with their like.
#[derive(Debug, Clone, Copy)]
enum LoginQueue {
    Stranger,
    Known,
}

async fn is_right(state: &AppState, password: &str, whose: LoginQueue) -> Result<bool, ApiError> {
    let Some(hashed) = state.keys.password().await? else { return Ok(false) };
    if password.chars().count() > PASSWORD_MAX {
        return Ok(false);
    }
    let password = password.to_owned();
    apart(state, whose, move |room| verify(&password, &hashed, room)).await
}

async fn hashed(state: &AppState, password: &str, whose: LoginQueue) -> Result<String, ApiError> {
    let password = password.to_owned();
    apart(state, whose, move |room| hash(&password, room)).await?.ok_or_else(no_chance)
}

/// Not on the thread that answers everybody: a quarter of a second on a Pi 3.
async fn apart<T: Send + 'static>(
    state: &AppState,
    whose: LoginQueue,
    work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let full = || ApiError::Unavailable("Many log in at once; try again in a few seconds.".into());
    let places = match whose {
        LoginQueue::Stranger => &state.waiting,
        LoginQueue::Known => &state.known_waiting,
    };
    let _waiting = places.try_acquire().map_err(|_| full())?;
    let one_at_a_time = Arc::clone(&state.hashing).acquire_owned().await.map_err(|_| full())?;
    // The permit goes with the work, which goes on when its connection is closed: 7 MiB until it is done.
    let mut room = HashMemory::new();
    let work = move || (work(&mut room), room, one_at_a_time);
    // A task of its own ends it also when nobody waits any more, and gives the memory back here.
    let work = tokio::spawn(async { tokio::task::spawn_blocking(work).await.map(|(result, ..)| result) });
    work.await.ok().and_then(Result::ok).ok_or_else(full)
}

/// Whose tries this one counts for.
fn tries(request: &RequestContext, hashed: Option<&str>) -> Vec<(Key, u32)> {
    keys(request.peer, request.address, &request.headers, hashed)
}

fn must_wait(state: &AppState, tries: &[(Key, u32)]) -> Option<Duration> {
    state.throttle(|throttle| throttle.admit(tries, state.view.now()))
}

fn no_chance() -> ApiError {
    ApiError::Unavailable("The machine gives no random bytes; restart it.".into())
}

fn too_often(mut response: Response, wait: Duration) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    let name: HeaderName = header::SET_COOKIE;
    match HeaderValue::from_str(cookie) {
        Ok(value) => {
            response.headers_mut().append(name, value);
            response
        }
        Err(_) => (StatusCode::BAD_REQUEST, "that cannot be a cookie\n").into_response(),
    }
}
