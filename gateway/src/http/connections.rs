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
        .route("/connections/{name}/{deed}", post(button))
}

type ApiState = State<Arc<AppState>>;
type Body<T> = Result<Json<T>, JsonRejection>;

async fn list(front: ApiState, visit: RequestContext) -> Response {
    super::api::answer(front, visit, AdminQuery::Connections).await
}

async fn read(front: ApiState, visit: RequestContext, Path(name): Path<String>) -> Response {
    super::api::answer(front, visit, AdminQuery::Connection(name)).await
}

async fn create(State(front): ApiState, visit: RequestContext, body: Body<NewConnection>) -> Response {
    match body {
        Ok(Json(given)) => {
            act(&front, &visit, StatusCode::CREATED, AdminAction::Connect(Box::new(given))).await
        }
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

async fn connect(State(front): ApiState, visit: RequestContext, body: Body<NewConnection>) -> Response {
    match body {
        Ok(Json(given)) => act(&front, &visit, StatusCode::OK, AdminAction::Connect(Box::new(given))).await,
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

/// The name stands in the address; the rest of it, or of what is left out, stays.
async fn change(
    State(front): ApiState,
    visit: RequestContext,
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
    if let Err(refusal) = visit.caller.may(Scope::Manage) {
        return *refusal;
    }
    match front.desk.ask(AdminQuery::Connection(given.name.clone())).await {
        Ok(_) => act(&front, &visit, StatusCode::OK, AdminAction::Connect(Box::new(given))).await,
        Err(trouble) => trouble.into_response(),
    }
}

async fn forget(State(front): ApiState, visit: RequestContext, Path(name): Path<String>) -> Response {
    act(&front, &visit, StatusCode::OK, AdminAction::Forget(name)).await
}

async fn check(State(front): ApiState, visit: RequestContext, Path(name): Path<String>) -> Response {
    act(&front, &visit, StatusCode::OK, AdminAction::Check(name)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

async fn disconnect(State(front): ApiState, visit: RequestContext, body: Body<Named>) -> Response {
    match body {
        Ok(Json(Named { name })) => act(&front, &visit, StatusCode::OK, AdminAction::Disconnect(name)).await,
        Err(wrong) => problem(wrong.status(), &wrong.body_text()),
    }
}

async fn act(front: &AppState, visit: &RequestContext, status: StatusCode, deed: AdminAction) -> Response {
    if let Err(refusal) = visit.caller.may(Scope::Manage) {
        return *refusal;
    }
    match front.desk.act(deed, visit.who()).await {
        Ok(mut done) => {
            times(&mut done);
            (status, Json(done)).into_response()
        }
        Err(trouble) => trouble.into_response(),
    }
}

async fn form(State(front): ApiState, visit: RequestContext) -> Response {
    let given = json!({ "name": "main", "phone_number_id": "", "business_account_id": "", "api_url": "" });
    front.page(&visit, "connect.html", json!({ "given": given, "wrong": "", "checks": [] }))
}

async fn form_sent(State(front): ApiState, visit: RequestContext, fields: Fields) -> Response {
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
        match front.desk.act(AdminAction::Connect(Box::new(given)), visit.who()).await {
            Ok(done) => return front.page(&visit, "connected.html", done),
            Err(ApiError::Checked(words, checks)) => (StatusCode::UNPROCESSABLE_ENTITY, words, checks),
            Err(trouble) => (trouble.status(), trouble.to_string(), Value::Array(Vec::new())),
        };
    front.page_with(
        &visit,
        status,
        "connect.html",
        json!({ "given": again, "wrong": wrong, "checks": checks }),
    )
}

async fn button(
    State(front): ApiState,
    visit: RequestContext,
    Path((name, deed)): Path<(String, String)>,
    _checked: Fields,
) -> Response {
    let deed = match deed.as_str() {
        "disconnect" => AdminAction::Disconnect(name),
        "delete" => AdminAction::Forget(name),
        "check" => {
            return match front.desk.act(AdminAction::Check(name), visit.who()).await {
                Ok(done) => front.page(&visit, "connected.html", done),
                Err(trouble) => front.sorry(&visit, &trouble),
            };
        }
        _ => return front.sorry(&visit, &ApiError::NotFound("There is no page at this address.".into())),
    };
    match front.desk.act(deed, visit.who()).await {
        Ok(_) => Redirect::to("/setup").into_response(),
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}
