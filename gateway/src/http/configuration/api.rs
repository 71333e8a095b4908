//! The configuration for programs: with the fingerprint of what it began with, as HTTP has it for this (RFC 9110, 13.1.1).

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::{PageState, checked};
use crate::http::admin_port::{AdminAction, AdminQuery, ConfigurationQuery, Draft, Scope};
use crate::http::api::times;
use crate::http::problem::problem;
use crate::http::state::RequestContext;

pub async fn read(State(state): PageState, request: RequestContext) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Configure) {
        return *refusal;
    }
    match state.admin.ask(AdminQuery::Configuration(ConfigurationQuery::File)).await {
        Ok(mut found) => {
            let tag = format!("\"{}\"", found["fingerprint"].as_str().unwrap_or_default());
            times(&mut found);
            ([(header::ETAG, tag)], Json(found)).into_response()
        }
        Err(trouble) => trouble.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    text: String,
}

type Given = Result<Json<Text>, JsonRejection>;

pub async fn check(State(state): PageState, request: RequestContext, given: Given) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Configure) {
        return *refusal;
    }
    let text = match given {
        Ok(Json(given)) => given.text,
        Err(wrong) => return problem(wrong.status(), &wrong.body_text()),
    };
    match checked(&state, &text, None, None).await {
        Ok(found) => Json(
            json!({ "problems": found["problems"], "remarks": found["remarks"], "refused": found["refused"],
                                  "difference": found["difference"] }),
        )
        .into_response(),
        Err(trouble) => trouble.into_response(),
    }
}

pub async fn replace(
    State(state): PageState,
    request: RequestContext,
    headers: HeaderMap,
    given: Given,
) -> Response {
    if let Err(refusal) = request.caller.may(Scope::Configure) {
        return *refusal;
    }
    let tag =
        headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok()).map(|tag| tag.trim_matches('"'));
    let Some(base) = tag.filter(|tag| !tag.is_empty()) else {
        let how = "send If-Match with the ETag of the configuration that this one began with; GET /api/configuration has it";
        return problem(StatusCode::PRECONDITION_REQUIRED, how);
    };
    let text = match given {
        Ok(Json(given)) => given.text,
        Err(wrong) => return problem(wrong.status(), &wrong.body_text()),
    };
    let draft = Draft { text, base: Some(base.to_owned()), trial: None };
    match state.admin.act(AdminAction::Configure(Box::new(draft)), request.who()).await {
        Ok(saved) => {
            let tag = format!("\"{}\"", saved["fingerprint"].as_str().unwrap_or_default());
            ([(header::ETAG, tag)], Json(saved)).into_response()
        }
        Err(trouble) => trouble.into_response(),
    }
}
