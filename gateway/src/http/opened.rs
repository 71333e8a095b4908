//! Tokens of programs and sessions of browsers: made, listed and ended, on the page and through the API. A token makes no
//! token: what it may would outlive it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::api::times;
use super::pages::settings;
use super::password::{digest, fresh};
use super::problem::problem;
use crate::http::admin_port::{AdminAction, AdminQuery, ApiError, ApiToken, Scope};
use crate::http::state::{AppState, Fields, RequestContext};
use crate::time::{Clock, SystemClock};

pub fn opened_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/tokens", post(new_token))
        .route("/tokens/{id}/revoke", post(revoke_button))
        .route("/sessions/{id}/end", post(end_button))
        .route(
            "/api/tokens",
            get(|state: ApiState, request: RequestContext| list(state, request, AdminQuery::Tokens)),
        )
        .route("/api/tokens/{id}/revoke", post(revoke))
        .route(
            "/api/sessions",
            get(|state: ApiState, request: RequestContext| list(state, request, AdminQuery::Sessions)),
        )
        .route("/api/sessions/{id}/end", post(end))
}

type ApiState = State<Arc<AppState>>;

/// Shown once, on the answer to the form itself: no address leads to it again.
async fn new_token(State(state): ApiState, request: RequestContext, fields: Fields) -> Response {
    let scopes = Scope::ALL.into_iter().filter(|scope| fields.get(scope.as_str()) == "on").collect();
    let end = Some(fields.get("expires")).filter(|end| !end.is_empty()).unwrap_or(ApiToken::LASTS);
    let made = ApiToken::new(fields.get("name"), scopes, fields.get("topic"), end, SystemClock.now());
    let made = match made {
        Ok(made) => made,
        Err(how) => return state.sorry(&request, &ApiError::Malformed(how.into())),
    };
    let Some(token) = fresh("bw_") else {
        return state.sorry(
            &request,
            &ApiError::Unavailable("The machine gives no random bytes; restart it.".into()),
        );
    };
    let name = made.name.clone();
    match state.keys.add_token(made, digest(&token), request.who()).await {
        Ok(_) => settings(&state, &request, json!({ "name": name, "token": token })).await,
        Err(trouble) => state.sorry(&request, &trouble),
    }
}

async fn revoke_button(
    State(state): ApiState,
    request: RequestContext,
    Path(id): Path<i64>,
    _checked: Fields,
) -> Response {
    pressed(&state, &request, AdminAction::RevokeToken(id)).await
}

async fn end_button(
    State(state): ApiState,
    request: RequestContext,
    Path(id): Path<String>,
    _checked: Fields,
) -> Response {
    pressed(&state, &request, AdminAction::EndSession(id)).await
}

async fn pressed(state: &AppState, request: &RequestContext, action: AdminAction) -> Response {
    match state.admin.act(action, request.who()).await {
        Ok(_) => Redirect::to("/setup").into_response(),
        Err(trouble) => state.sorry(request, &trouble),
    }
}

async fn list(State(state): ApiState, request: RequestContext, question: AdminQuery) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Manage) {
        return *refusal;
    }
    match state.admin.ask(question).await {
        Ok(mut found) => {
            times(&mut found);
            Json(json!({ "items": found })).into_response()
        }
        Err(trouble) => trouble.into_response(),
    }
}

async fn revoke(state: ApiState, request: RequestContext, Path(id): Path<String>) -> Response {
    match id.parse() {
        Ok(id) => act(state, request, AdminAction::RevokeToken(id)).await,
        Err(_) => problem(StatusCode::NOT_FOUND, "ids of tokens are whole numbers"),
    }
}

async fn end(state: ApiState, request: RequestContext, Path(id): Path<String>) -> Response {
    act(state, request, AdminAction::EndSession(id)).await
}

async fn act(State(state): ApiState, request: RequestContext, action: AdminAction) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Manage) {
        return *refusal;
    }
    match state.admin.act(action, request.who()).await {
        Ok(done) => Json(done).into_response(),
        Err(trouble) => trouble.into_response(),
    }
}
