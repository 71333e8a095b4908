//! Tokens of programs and sessions of browsers: made and ended on the page. The API lists and ends them, too, and makes none:
//! what a token made would outlive it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use serde_json::json;

use super::pages::settings;
use super::password::{digest, fresh};
use crate::http::admin_port::{AdminAction, ApiError, ApiToken, Scope};
use crate::http::state::{AppState, Fields, RequestContext};

pub fn opened_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/tokens", post(new_token))
        .route("/tokens/{id}/revoke", post(revoke_button))
        .route("/sessions/{id}/end", post(end_button))
}

type ApiState = State<Arc<AppState>>;

/// Shown once, on the answer to the form itself: no address leads to it again.
async fn new_token(State(state): ApiState, request: RequestContext, fields: Fields) -> Response {
    let scopes = Scope::ALL.into_iter().filter(|scope| fields.get(scope.as_str()) == "on").collect();
    let end = Some(fields.get("expires")).filter(|end| !end.is_empty()).unwrap_or(ApiToken::LASTS);
    let made = ApiToken::new(fields.get("name"), scopes, fields.get("topic"), end, state.view.now());
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
