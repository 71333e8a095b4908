//! WhatsApp numbers, connected and disconnected through the API and on the page.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::times;
use super::problem::problem;
use crate::http::admin_port::{AdminAction, AdminQuery, ApiError, NewConnection, Scope};
use crate::http::state::{AppState, Fields, RequestContext};

pub fn number_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/api/connections", get(list).post(create))
        .route("/api/connections/{name}", get(read).patch(change).delete(forget))
        .route("/api/connections/{name}/check", post(check))
        .route("/api/whatsapp/connect", post(connect))
        .route("/api/whatsapp/status", get(list))
        .route("/api/whatsapp/disconnect", post(disconnect))
        .route("/setup/connect", get(form).post(form_sent))
        .route("/connections/{name}/{action}", post(button))
}

type ApiState = State<Arc<AppState>>;
type Body<T> = Result<Json<T>, JsonRejection>;

async fn list(state: ApiState, request: RequestContext) -> Response {
    super::api::answer(state, request, AdminQuery::Connections).await
}

async fn read(state: ApiState, request: RequestContext, Path(name): Path<String>) -> Response {
    super::api::answer(state, request, AdminQuery::Connection(name)).await
}

async fn create(State(state): ApiState, request: RequestContext, body: Body<NewConnection>) -> Response {
    match body {
        Ok(Json(given)) => {
            act(&state, &request, StatusCode::CREATED, AdminAction::Connect(Box::new(given))).await
        }
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

async fn connect(State(state): ApiState, request: RequestContext, body: Body<NewConnection>) -> Response {
    match body {
        Ok(Json(given)) => act(&state, &request, StatusCode::OK, AdminAction::Connect(Box::new(given))).await,
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

/// The name stands in the address; the rest of it, or of what is left out, stays.
async fn change(
    State(state): ApiState,
    request: RequestContext,
    Path(name): Path<String>,
    body: Body<NewConnection>,
) -> Response {
    let given = match body {
        Ok(Json(given)) if given.name.is_empty() || given.name == name => NewConnection { name, ..given },
        Ok(_) => {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, "a connection keeps its name; make a new one");
        }
        Err(wrong) => return problem(wrong.status(), &wrong.body_text()),
    };
    if let Err(refusal) = request.caller.may(Scope::Manage) {
        return *refusal;
    }
    match state.admin.ask(AdminQuery::Connection(given.name.clone())).await {
        Ok(_) => act(&state, &request, StatusCode::OK, AdminAction::Connect(Box::new(given))).await,
        Err(trouble) => trouble.into_response(),
    }
}

async fn forget(State(state): ApiState, request: RequestContext, Path(name): Path<String>) -> Response {
    act(&state, &request, StatusCode::OK, AdminAction::Forget(name)).await
}

async fn check(State(state): ApiState, request: RequestContext, Path(name): Path<String>) -> Response {
    act(&state, &request, StatusCode::OK, AdminAction::Check(name)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

async fn disconnect(State(state): ApiState, request: RequestContext, body: Body<Named>) -> Response {
    match body {
        Ok(Json(Named { name })) => {
            act(&state, &request, StatusCode::OK, AdminAction::Disconnect(name)).await
        }
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

async fn act(
    state: &AppState,
    request: &RequestContext,
    status: StatusCode,
    action: AdminAction,
) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Manage) {
        return *refusal;
    }
    match state.admin.act(action, request.who()).await {
        Ok(mut done) => {
            times(&mut done);
            (status, Json(done)).into_response()
        }
        Err(trouble) => trouble.into_response(),
    }
}

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
