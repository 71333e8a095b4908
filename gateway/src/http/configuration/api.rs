//! The configuration for programs: with the fingerprint of what it began with, as HTTP has it for this (RFC 9110, 13.1.1).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checked;
use crate::http::admin_port::{AdminAction, AdminQuery, ConfigurationQuery, Draft};
use crate::http::api::{Answer, ApiState, Body, act, times};
use crate::http::problem::Refusal;
use crate::http::state::RequestContext;

fn tagged(Json(found): Json<Value>) -> Answer {
    let tag = format!("\"{}\"", found["fingerprint"].as_str().unwrap_or_default());
    Ok(([(header::ETAG, tag)], Json(found)).into_response())
}

pub async fn read(State(state): ApiState) -> Answer {
    let mut found = state.admin.ask(AdminQuery::Configuration(ConfigurationQuery::File)).await?;
    times(&mut found);
    tagged(Json(found))
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "ConfigurationText"))]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// All of the file, TOML; 160 KiB at most.
    text: String,
}

pub async fn check(State(state): ApiState, given: Body<Text>) -> Answer {
    let found = checked(&state, &given?.0.text, None, None).await?;
    let shown = json!({ "problems": found["problems"], "remarks": found["remarks"], "refused": found["refused"],
                        "difference": found["difference"] });
    Ok(Json(shown).into_response())
}

pub async fn replace(
    State(state): ApiState,
    request: RequestContext,
    headers: HeaderMap,
    given: Body<Text>,
) -> Answer {
    let tag = headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let base = tag.trim_matches('"').to_owned();
    if base.is_empty() {
        let how = "send If-Match with the ETag of the configuration that this one began with; GET /api/configuration has it";
        return Err(Refusal::new(StatusCode::PRECONDITION_REQUIRED, how));
    }
    let draft = Draft { text: given?.0.text, base: Some(base), trial: None };
    tagged(act(&state, &request, AdminAction::Configure(Box::new(draft))).await?)
}
