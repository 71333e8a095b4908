//! The first visit, logging in and out, the language.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
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
use crate::time::{Clock, SystemClock};

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
        .route("/logout", post(leave))
        .route("/password", post(change_password))
        .route("/language", post(language))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
}

async fn welcome(State(front): State<Arc<AppState>>, visit: RequestContext) -> Response {
    match front.keys.password().await {
        Ok(None) => front.page(&visit, "welcome.html", json!({ "wrong": "" })),
        Ok(Some(_)) => Redirect::to("/").into_response(),
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn first_password(
    State(front): State<Arc<AppState>>,
    visit: RequestContext,
    fields: Fields,
) -> Response {
    if !matches!(front.keys.password().await, Ok(None)) {
        return Redirect::to("/login").into_response();
    }
    let again =
        |status, wrong: &str| front.page_with(&visit, status, "welcome.html", json!({ "wrong": wrong }));
    if let Some(wait) = must_wait(&front, &tries(&visit, None)) {
        return too_often(again(StatusCode::TOO_MANY_REQUESTS, "wait"), wait);
    }
    if !front.is_code(fields.get("code")) {
        return again(StatusCode::FORBIDDEN, "code");
    }
    if let Err(wrong) = check(&fields) {
        return again(StatusCode::UNPROCESSABLE_ENTITY, wrong);
    }
    let hashed = match hashed(&front, fields.get("password"), LoginQueue::Stranger).await {
        Ok(hashed) => hashed,
        Err(trouble) => return front.sorry(&visit, &trouble),
    };
    match front.keys.set_password(hashed, visit.who()).await {
        Ok(()) => {
            front.forget_code();
            admitted(&front, &visit).await
        }
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn login(State(front): State<Arc<AppState>>, visit: RequestContext) -> Response {
    match visit.caller {
        Caller::Page(_) => Redirect::to("/").into_response(),
        Caller::Nobody | Caller::Token(_) => front.page(&visit, "login.html", json!({ "wrong": "" })),
    }
}

async fn enter(State(front): State<Arc<AppState>>, visit: RequestContext, fields: Fields) -> Response {
    let again =
        |status, wrong: &str| front.page_with(&visit, status, "login.html", json!({ "wrong": wrong }));
    let known = match front.keys.password().await {
        Ok(known) => known,
        Err(trouble) => return front.sorry(&visit, &trouble),
    };
    let tries = tries(&visit, known.as_deref());
    if let Some(wait) = must_wait(&front, &tries) {
        return too_often(again(StatusCode::TOO_MANY_REQUESTS, "wait"), wait);
    }
    let is_known = matches!(tries.first(), Some((Key::Known(_), _)));
    let whose = if is_known { LoginQueue::Known } else { LoginQueue::Stranger };
    match is_right(&front, fields.get("password"), whose).await {
        Ok(true) => admitted(&front, &visit).await,
        Ok(false) => {
            front.keys.refused(visit.who());
            again(StatusCode::FORBIDDEN, "password")
        }
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn leave(State(front): State<Arc<AppState>>, visit: RequestContext, _checked: Fields) -> Response {
    if let Caller::Page(cookie) = &visit.caller
        && let Err(trouble) = front.keys.close_session(digest(cookie), visit.who()).await
    {
        return front.sorry(&visit, &trouble);
    }
    with_cookie(Redirect::to("/login").into_response(), &session_cookie(&visit, "", 0))
}

async fn change_password(
    State(front): State<Arc<AppState>>,
    visit: RequestContext,
    fields: Fields,
) -> Response {
    if let Some(wait) = must_wait(&front, &tries(&visit, None)) {
        let trouble = ApiError::Unavailable("Too many tries; wait a moment.".into());
        return too_often(front.sorry(&visit, &trouble), wait);
    }
    let refuse = |words: &str| front.sorry(&visit, &ApiError::Malformed(words.to_owned()));
    match is_right(&front, fields.get("old"), LoginQueue::Known).await {
        Ok(true) => {}
        Ok(false) => return refuse("The old password is not right; nothing was changed."),
        Err(trouble) => return front.sorry(&visit, &trouble),
    }
    if check(&fields).is_err() {
        return refuse("The new password needs at least 8 characters, the same twice; nothing was changed.");
    }
    let hashed = match hashed(&front, fields.get("password"), LoginQueue::Known).await {
        Ok(hashed) => hashed,
        Err(trouble) => return front.sorry(&visit, &trouble),
    };
    match front.keys.set_password(hashed, visit.who()).await {
        Ok(()) => admitted(&front, &visit).await,
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn language(visit: RequestContext, fields: Fields) -> Response {
    let chosen =
        LANGUAGES.into_iter().find(|language| *language == fields.get("to")).unwrap_or(visit.language);
    let back = Some(fields.get("back")).filter(|path| path.starts_with('/') && !path.starts_with("//"));
    let back =
        back.filter(|path| path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')).unwrap_or("/");
    let cookie = format!("language={chosen}; SameSite=Strict; Path=/; Max-Age={LANGUAGE_KEPT}");
    with_cookie(Redirect::to(back).into_response(), &cookie)
}

/// A session of its own each time: one that somebody planted before is never taken over (session fixation).
async fn admitted(front: &AppState, visit: &RequestContext) -> Response {
    let hashed = front.keys.password().await.ok().flatten();
    front.throttle(|throttle| throttle.succeeded(&tries(visit, hashed.as_deref())));
    let Some(cookie) = fresh("") else { return front.sorry(visit, &no_chance()) };
    let agent =
        visit.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(200).collect();
    match front.keys.open_session(digest(&cookie), agent, visit.who()).await {
        Ok(()) => {
            let session = session_cookie(visit, &cookie, SESSION.as_secs());
            let response = with_cookie(Redirect::to("/").into_response(), &session);
            match hashed.as_deref().and_then(make_known) {
                Some(known) => with_cookie(response, &cookie_of(visit, KNOWN_COOKIE, &known, KNOWN_KEPT)),
                None => response,
            }
        }
        Err(trouble) => front.sorry(visit, &trouble),
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

async fn is_right(front: &AppState, password: &str, whose: LoginQueue) -> Result<bool, ApiError> {
    let Some(hashed) = front.keys.password().await? else { return Ok(false) };
    if password.chars().count() > PASSWORD_MAX {
        return Ok(false);
    }
    let password = password.to_owned();
    apart(front, whose, move |room| verify(&password, &hashed, room)).await
}

async fn hashed(front: &AppState, password: &str, whose: LoginQueue) -> Result<String, ApiError> {
    let password = password.to_owned();
    apart(front, whose, move |room| hash(&password, room)).await?.ok_or_else(no_chance)
}

/// Not on the thread that answers everybody: a quarter of a second on a Pi 3.
async fn apart<T: Send + 'static>(
    front: &AppState,
    whose: LoginQueue,
    work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let full = || ApiError::Unavailable("Many log in at once; try again in a few seconds.".into());
    let places = match whose {
        LoginQueue::Stranger => &front.waiting,
        LoginQueue::Known => &front.known_waiting,
    };
    let _waiting = places.try_acquire().map_err(|_| full())?;
    let one_at_a_time = Arc::clone(&front.hashing).acquire_owned().await.map_err(|_| full())?;
    // The permit goes with the work, which goes on when its connection is closed: 7 MiB until it is done.
    let mut room = HashMemory::new();
    let work = move || (work(&mut room), room, one_at_a_time);
    // A task of its own ends it also when nobody waits any more, and gives the memory back here.
    let work = tokio::spawn(async { tokio::task::spawn_blocking(work).await.map(|(result, ..)| result) });
    work.await.ok().and_then(Result::ok).ok_or_else(full)
}

/// Whose tries this one counts for.
fn tries(visit: &RequestContext, hashed: Option<&str>) -> Vec<(Key, u32)> {
    keys(visit.peer, visit.address, &visit.headers, hashed)
}

fn must_wait(front: &AppState, tries: &[(Key, u32)]) -> Option<Duration> {
    front.throttle(|throttle| throttle.admit(tries, SystemClock.now()))
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
