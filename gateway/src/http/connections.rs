//! WhatsApp numbers, connected and disconnected on the page.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::http::admin_port::{AdminAction, ApiError, NewConnection};
use crate::http::state::{AppState, Fields, RequestContext};

pub fn number_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/setup/connect", get(form).post(form_sent))
        .route("/connections/{name}/{action}", post(button))
}

type ApiState = State<Arc<AppState>>;

async fn form(State(state): ApiState, request: RequestContext) -> Response {
    let given = json!({ "name": "main", "phone_number_id": "", "business_account_id": "", "api_url": "" });
    state.page(&request, "connect.html", json!({ "given": given, "wrong": "", "checks": [] }))
}

async fn form_sent(State(state): ApiState, request: RequestContext, fields: Fields) -> Response {
    let filled = |name: &str| Some(fields.get(name).trim().to_owned()).filter(|text| !text.is_empty());
    let secret = |name: &str| filled(name).map(Into::into);
    let given = NewConnection {
        name: fields.get("name").trim().to_owned(),
        phone_number_id: filled("phone_number_id"),
        business_account_id: filled("business_account_id"),
        access_token: secret("access_token"),
        app_secret: secret("app_secret"),
        verify_token: secret("verify_token"),
        api_url: filled("api_url"),
        api_version: None,
        messages_per_second: None,
    };
    // Shown again, but for the secrets.
    let again = json!({ "name": fields.get("name"), "phone_number_id": fields.get("phone_number_id"),
                        "business_account_id": fields.get("business_account_id"), "api_url": fields.get("api_url") });
    let (status, wrong, checks) =
        match state.admin.act(AdminAction::Connect(Box::new(given)), request.who()).await {
            Ok(done) => return state.page(&request, "connected.html", done),
            Err(ApiError::Checked(words, checks)) => (StatusCode::UNPROCESSABLE_ENTITY, words, checks),
            Err(trouble) => (trouble.status(), trouble.to_string(), Value::Array(Vec::new())),
        };
    state.page_with(
        &request,
        status,
        "connect.html",
        json!({ "given": again, "wrong": wrong, "checks": checks }),
    )
}

async fn button(
    State(state): ApiState,
    request: RequestContext,
    Path((name, action)): Path<(String, String)>,
    _checked: Fields,
) -> Response {
    let action = match action.as_str() {
        "disconnect" => AdminAction::Disconnect(name),
        "delete" => AdminAction::Forget(name),
        "check" => {
            return match state.admin.act(AdminAction::Check(name), request.who()).await {
                Ok(done) => state.page(&request, "connected.html", done),
                Err(trouble) => state.sorry(&request, &trouble),
            };
        }
        _ => return state.sorry(&request, &ApiError::NotFound("There is no page at this address.".into())),
    };
    match state.admin.act(action, request.who()).await {
        Ok(_) => Redirect::to("/setup").into_response(),
        Err(trouble) => state.sorry(&request, &trouble),
    }
}
