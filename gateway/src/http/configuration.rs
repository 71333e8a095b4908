//! The configuration's page. A draft is in the fields of a form, and comes back with each button: nothing of it is kept here.

/// For programs.
pub mod api;
/// A contact, a team, a rule or a button in a form.
mod fields;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::edit::{FORMS, Form, named};
use crate::http::admin_port::{AdminAction, AdminQuery, ApiError, ConfigurationQuery, Draft, Trial};
use crate::http::state::{AppState, Fields, RequestContext};

pub fn configuration_routes() -> Router<Arc<AppState>> {
    Router::new().route("/configuration", get(page).post(pressed))
}

type PageState = State<Arc<AppState>>;

#[derive(Deserialize)]
struct Wanted {
    /// The draft begins with this version.
    version: Option<i64>,
    saved: Option<i64>,
}

async fn page(State(state): PageState, request: RequestContext, Query(wanted): Query<Wanted>) -> Response {
    let more = json!({ "saved": wanted.saved, "back": wanted.version });
    let found = async {
        let file = state.admin.ask(AdminQuery::Configuration(ConfigurationQuery::File)).await?;
        let draft = match wanted.version {
            Some(id) => {
                Some(state.admin.ask(AdminQuery::Configuration(ConfigurationQuery::Version(id))).await?)
            }
            None => None,
        };
        let text = draft.as_ref().unwrap_or(&file)["text"].as_str().unwrap_or_default().to_owned();
        let base = file["fingerprint"].as_str().map(str::to_owned);
        let checked = match draft {
            Some(_) => Some(checked(&state, &text, base.clone(), None).await?),
            None => None,
        };
        Ok((file, Draft { text, base, trial: None }, checked))
    };
    match found.await {
        Ok((file, draft, checked)) => show(&state, &request, StatusCode::OK, (file, &draft, checked), more),
        Err(trouble) => state.sorry(&request, &trouble),
    }
}

/// Every button of the draft, and of a form that changes it.
async fn pressed(State(state): PageState, request: RequestContext, fields: Fields) -> Response {
    let file = match state.admin.ask(AdminQuery::Configuration(ConfigurationQuery::File)).await {
        Ok(file) => file,
        Err(trouble) => return state.sorry(&request, &trouble),
    };
    let on_disk = file["text"].as_str().unwrap_or_default();
    let mut draft = Draft {
        text: as_written(fields.get("text"), on_disk),
        base: Some(fields.get("base").to_owned()),
        trial: trial(&fields),
    };
    let mut more = json!({ "topic": fields.get("topic"), "payload": fields.get("payload"), "saved": null, "back": null });
    if let Some(place) = fields.0.get("form") {
        return fields::asked(&state, &request, &draft, place);
    }
    let (mut trouble, mut status) = (None, StatusCode::OK);
    match fields.get("do") {
        "set" | "remove" => match fields::changed(&draft.text, &fields) {
            Ok(text) => draft.text = text,
            Err(error) if fields.get("do") == "set" => {
                return fields::refused(&state, &request, &draft, &error, &fields);
            }
            Err(error) => trouble = Some(error.to_string()),
        },
        "keep" => draft.base = file["fingerprint"].as_str().map(str::to_owned),
        "save" => match state.admin.act(AdminAction::Configure(Box::new(draft.clone())), request.who()).await
        {
            Ok(saved) => {
                return Redirect::to(&format!("/configuration?saved={}#state", saved["version"]))
                    .into_response();
            }
            Err(refused) => {
                status = refused.status();
                trouble = Some(refused.to_string());
            }
        },
        _ => {}
    }
    more["trouble"] = trouble.into();
    match checked(&state, &draft.text, draft.base.clone(), draft.trial.clone()).await {
        Ok(found) => show(&state, &request, status, (file, &draft, Some(found)), more),
        Err(wrong) => {
            more["trouble"] = wrong.to_string().into();
            show(&state, &request, wrong.status(), (file, &draft, None), more)
        }
    }
}

async fn checked(
    state: &AppState,
    text: &str,
    base: Option<String>,
    trial: Option<Trial>,
) -> Result<Value, ApiError> {
    let draft = Draft { text: text.to_owned(), base, trial };
    state.admin.ask(AdminQuery::Configuration(ConfigurationQuery::Draft(Box::new(draft)))).await
}

fn trial(fields: &Fields) -> Option<Trial> {
    match fields.get("do") {
        "try" => Some(Trial::Event {
            topic: fields.get("topic").to_owned(),
            payload: fields.get("payload").to_owned(),
        }),
        "replay" => Some(Trial::LastDay),
        _ => None,
    }
}

/// A browser sends every end of a line as two characters; they stay as the file has them.
fn as_written(text: &str, on_disk: &str) -> String {
    let plain = text.replace("\r\n", "\n");
    if on_disk.contains("\r\n") { plain.replace('\n', "\r\n") } else { plain }
}

fn show(
    state: &AppState,
    request: &RequestContext,
    status: StatusCode,
    (mut file, draft, checked): (Value, &Draft, Option<Value>),
    mut more: Value,
) -> Response {
    let problems = checked.as_ref().map_or(&file["problems"], |checked| &checked["problems"]).clone();
    let lines: Vec<Value> = draft
        .text
        .lines()
        .enumerate()
        .map(|(at, text)| {
            let wrong: Vec<&Value> =
                problems.as_array().into_iter().flatten().filter(|one| one["line"] == at + 1).collect();
            json!({ "text": text, "problems": wrong })
        })
        .collect();
    let tables = |form: &Form| {
        let names = named(&draft.text, form, "")?.into_iter();
        let names = names.filter_map(|table| table.get(form.identity())?.as_str().map(str::to_owned));
        Some(names.collect::<Vec<String>>())
    };
    let forms: Option<Vec<Value>> = FORMS
        .iter()
        .filter(|form| form.within.is_none())
        .map(|form| Some(json!({ "list": form.list, "names": tables(form)? })))
        .collect();
    file["text_on_disk"] = file["text"].take();
    for (key, value) in [
        ("text", json!(draft.text)),
        ("base", json!(draft.base)),
        ("problems", problems),
        ("lines", json!(lines)),
        ("forms", json!(forms)),
        ("checked", json!(checked)),
        ("found", file),
    ] {
        more[key] = value;
    }
    for key in ["trouble", "topic", "payload"] {
        if more.get(key).is_none() {
            more[key] = Value::Null;
        }
    }
    state.page_with(request, status, "configuration.html", more)
}
