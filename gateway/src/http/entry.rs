//! The first visit, logging in and out, the language.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::desk::Trouble;
use super::front::{Fields, Front, Visit};
use super::guard::{Caller, session_cookie};
use super::password::{PASSWORD_MAX, PASSWORD_MIN, digest, fresh, hash, verify};
use super::view::LANGUAGES;
use crate::time::{Clock, SystemClock};

/// A month: a screen on the wall should not ask each day; logging out or a new password ends it at once.
pub const SESSION: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Of the language, in seconds: a year.
const LANGUAGE_KEPT: u64 = 365 * 24 * 3_600;

pub fn entry_routes() -> Router<Arc<Front>> {
    Router::new()
        .route("/welcome", get(welcome).post(first_password))
        .route("/login", get(login).post(enter))
        .route("/logout", post(leave))
        .route("/password", post(change_password))
        .route("/language", post(language))
}

async fn welcome(State(front): State<Arc<Front>>, visit: Visit) -> Response {
    match front.keys.password().await {
        Ok(None) => front.page(&visit, "welcome.html", json!({ "wrong": "" })),
        Ok(Some(_)) => Redirect::to("/").into_response(),
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn first_password(State(front): State<Arc<Front>>, visit: Visit, fields: Fields) -> Response {
    if !matches!(front.keys.password().await, Ok(None)) {
        return Redirect::to("/login").into_response();
    }
    let again =
        |status, wrong: &str| front.page_with(&visit, status, "welcome.html", json!({ "wrong": wrong }));
    if let Some(wait) = front.throttle(|throttle| throttle.admit(visit.address, SystemClock.now())) {
        return too_often(again(StatusCode::TOO_MANY_REQUESTS, "wait"), wait);
    }
    if !front.is_code(fields.get("code")) {
        return again(StatusCode::FORBIDDEN, "code");
    }
    if let Err(wrong) = check(&fields) {
        return again(StatusCode::UNPROCESSABLE_ENTITY, wrong);
    }
    let Some(hashed) = hashed(&front, fields.get("password")).await else {
        return front.sorry(&visit, &no_chance());
    };
    match front.keys.set_password(hashed, visit.who()).await {
        Ok(()) => {
            front.forget_code();
            admitted(&front, &visit).await
        }
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn login(State(front): State<Arc<Front>>, visit: Visit) -> Response {
    match visit.caller {
        Caller::Page(_) => Redirect::to("/").into_response(),
        Caller::Nobody | Caller::Token { .. } => front.page(&visit, "login.html", json!({ "wrong": "" })),
    }
}

async fn enter(State(front): State<Arc<Front>>, visit: Visit, fields: Fields) -> Response {
    let again =
        |status, wrong: &str| front.page_with(&visit, status, "login.html", json!({ "wrong": wrong }));
    if let Some(wait) = front.throttle(|throttle| throttle.admit(visit.address, SystemClock.now())) {
        return too_often(again(StatusCode::TOO_MANY_REQUESTS, "wait"), wait);
    }
    match is_right(&front, fields.get("password")).await {
        Ok(true) => admitted(&front, &visit).await,
        Ok(false) => {
            front.keys.refused(visit.who());
            again(StatusCode::FORBIDDEN, "password")
        }
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn leave(State(front): State<Arc<Front>>, visit: Visit, _checked: Fields) -> Response {
    if let Caller::Page(cookie) = &visit.caller
        && let Err(trouble) = front.keys.close_session(digest(cookie), visit.who()).await
    {
        return front.sorry(&visit, &trouble);
    }
    with_cookie(Redirect::to("/login").into_response(), &session_cookie(&visit, "", 0))
}

async fn change_password(State(front): State<Arc<Front>>, visit: Visit, fields: Fields) -> Response {
    if let Some(wait) = front.throttle(|throttle| throttle.admit(visit.address, SystemClock.now())) {
        let trouble = Trouble::Unavailable("Too many tries; wait a moment.".into());
        return too_often(front.sorry(&visit, &trouble), wait);
    }
    let refuse = |words: &str| front.sorry(&visit, &Trouble::Malformed(words.to_owned()));
    match is_right(&front, fields.get("old")).await {
        Ok(true) => {}
        Ok(false) => return refuse("The old password is not right; nothing was changed."),
        Err(trouble) => return front.sorry(&visit, &trouble),
    }
    if check(&fields).is_err() {
        return refuse("The new password needs at least 8 characters, the same twice; nothing was changed.");
    }
    let Some(hashed) = hashed(&front, fields.get("password")).await else {
        return front.sorry(&visit, &no_chance());
    };
    match front.keys.set_password(hashed, visit.who()).await {
        Ok(()) => admitted(&front, &visit).await,
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn language(visit: Visit, fields: Fields) -> Response {
    let chosen =
        LANGUAGES.into_iter().find(|language| *language == fields.get("to")).unwrap_or(visit.language);
    let back = Some(fields.get("back")).filter(|path| path.starts_with('/') && !path.starts_with("//"));
    let back =
        back.filter(|path| path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')).unwrap_or("/");
    let cookie = format!("language={chosen}; SameSite=Strict; Path=/; Max-Age={LANGUAGE_KEPT}");
    with_cookie(Redirect::to(back).into_response(), &cookie)
}

/// A session of its own each time: one that somebody planted before is never taken over (session fixation).
async fn admitted(front: &Front, visit: &Visit) -> Response {
    front.throttle(|throttle| throttle.succeeded(visit.address));
    let Some(cookie) = fresh("") else { return front.sorry(visit, &no_chance()) };
    let agent =
        visit.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent: String = agent.chars().take(200).collect();
    match front.keys.open_session(digest(&cookie), agent, visit.who()).await {
        Ok(()) => {
            let cookie = session_cookie(visit, &cookie, SESSION.as_secs());
            with_cookie(Redirect::to("/").into_response(), &cookie)
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

async fn is_right(front: &Front, password: &str) -> Result<bool, Trouble> {
    let Some(hashed) = front.keys.password().await? else { return Ok(false) };
    if password.chars().count() > PASSWORD_MAX {
        return Ok(false);
    }
    let password = password.to_owned();
    apart(front, move || verify(&password, &hashed)).await.ok_or_else(no_chance)
}

async fn hashed(front: &Front, password: &str) -> Option<String> {
    let password = password.to_owned();
    apart(front, move || hash(&password)).await.flatten()
}

/// Not on the thread that answers everybody: a quarter of a second on a Pi 3.
async fn apart<T: Send + 'static>(front: &Front, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let _one_at_a_time = front.hashing.acquire().await.ok()?;
    tokio::task::spawn_blocking(work).await.ok()
}

fn no_chance() -> Trouble {
    Trouble::Unavailable("The machine gives no random bytes; restart it.".into())
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
