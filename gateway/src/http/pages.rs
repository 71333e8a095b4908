//! The pages: each asks `AdminApi` one or two questions and fills a template.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::live::live;
use crate::http::admin_port::{
    AdminAction, AdminQuery, AlertAction, ApiError, ApiToken, Filter, MessageAction,
};
use crate::http::state::{AppState, Fields, RequestContext};

/// What a form may ask to be done with a message.
const OUTBOX_ROUTE: &str = "/outbox/{id}/{action}";

pub fn page_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/", get(overview))
        .route("/timeline", get(timeline))
        .route("/timeline/{contact}", post(write))
        .route("/messages/{id}", get(message))
        .route("/outbox", get(outbox))
        .route(OUTBOX_ROUTE, post(decide))
        .route("/outbox/release", post(release))
        .route("/alerts", get(alerts))
        .route("/silences", post(silence))
        .route("/silences/{id}/end", post(end_silence))
        .route("/alerts/{id}", get(alert))
        .route("/alerts/{id}/{action}", post(decide_alert))
        .route("/commands", get(commands))
        .route("/devices", get(devices))
        .route("/devices/{id}", get(device))
        .route("/contacts", get(contacts))
        .route("/rules", get(rules))
        .route("/setup", get(setup))
        .route("/live", get(live))
        .route("/assets/{name}", get(file))
        .fallback(nothing_here)
}

type PageState = State<Arc<AppState>>;

async fn overview(State(front): PageState, request: RequestContext) -> Response {
    show(&front, &request, "overview.html", AdminQuery::Overview, json!({})).await
}

async fn timeline(
    State(front): PageState,
    request: RequestContext,
    Query(filter): Query<Filter>,
) -> Response {
    let people = match front.admin.ask(AdminQuery::Contacts).await {
        Ok(people) => people,
        Err(trouble) => return front.sorry(&request, &trouble),
    };
    let more = json!({ "people": people, "filter": said(&filter) });
    let filter = Filter { limit: Some(filter.limit.unwrap_or(50)), ..filter };
    show(&front, &request, "timeline.html", AdminQuery::Messages(filter), more).await
}

async fn write(
    State(front): PageState,
    request: RequestContext,
    Path(contact): Path<String>,
    fields: Fields,
) -> Response {
    let back = format!("/timeline?contact={}", utf8_percent_encode(&contact, NON_ALPHANUMERIC));
    let action = AdminAction::Write { contact, text: fields.get("text").to_owned() };
    match front.admin.act(action, request.caller.writer(request.address)).await {
        Ok(_) => Redirect::to(&back).into_response(),
        Err(trouble) => front.sorry(&request, &trouble),
    }
}

async fn message(State(front): PageState, request: RequestContext, Path(id): Path<i64>) -> Response {
    show(&front, &request, "message.html", AdminQuery::Message(id), json!({})).await
}

async fn outbox(State(front): PageState, request: RequestContext, Query(filter): Query<Filter>) -> Response {
    let state = filter.state.clone().unwrap_or_else(|| "waiting".to_owned());
    let more = json!({ "filter": said(&filter), "state": state });
    let filter =
        Filter { state: Some(state).filter(|state| state != "all"), direction: Some("out".into()), ..filter };
    show(&front, &request, "outbox.html", AdminQuery::Messages(filter), more).await
}

async fn decide(
    State(front): PageState,
    request: RequestContext,
    Path((id, action)): Path<(i64, String)>,
    fields: Fields,
) -> Response {
    let Some(action) = MessageAction::parse(&action) else {
        return nothing_here(State(front), request).await;
    };
    let back = if fields.get("back") == "message" { format!("/messages/{id}") } else { "/outbox".to_owned() };
    match front.admin.act(AdminAction::Decide(id, action), request.who()).await {
        Ok(_) => Redirect::to(&back).into_response(),
        Err(trouble) => front.sorry(&request, &trouble),
    }
}

async fn release(State(front): PageState, request: RequestContext, _checked: Fields) -> Response {
    match front.admin.act(AdminAction::Release, request.who()).await {
        Ok(_) => Redirect::to("/outbox").into_response(),
        Err(trouble) => front.sorry(&request, &trouble),
    }
}

async fn alerts(State(front): PageState, request: RequestContext, Query(filter): Query<Filter>) -> Response {
    let silences = match front.admin.ask(AdminQuery::Silences).await {
        Ok(silences) => silences,
        Err(trouble) => return front.sorry(&request, &trouble),
    };
    let more = json!({ "filter": said(&filter), "silences": silences });
    show(&front, &request, "alerts.html", AdminQuery::Alerts(filter), more).await
}

async fn silence(State(front): PageState, request: RequestContext, fields: Fields) -> Response {
    let rule = Some(fields.get("rule")).filter(|rule| !rule.is_empty()).map(str::to_owned);
    let (lasts, comment) = (fields.get("lasts").to_owned(), fields.get("comment").to_owned());
    about_silences(&front, &request, AdminAction::Silence { rule, lasts, comment }).await
}

async fn end_silence(
    State(front): PageState,
    request: RequestContext,
    Path(id): Path<u64>,
    _checked: Fields,
) -> Response {
    about_silences(&front, &request, AdminAction::EndSilence(id)).await
}

async fn about_silences(front: &AppState, request: &RequestContext, action: AdminAction) -> Response {
    match front.admin.act(action, request.who()).await {
        Ok(_) => Redirect::to("/alerts#silences").into_response(),
        Err(trouble) => front.sorry(request, &trouble),
    }
}

async fn alert(State(front): PageState, request: RequestContext, Path(id): Path<i64>) -> Response {
    show(&front, &request, "alert.html", AdminQuery::Alert(id), json!({})).await
}

async fn decide_alert(
    State(front): PageState,
    request: RequestContext,
    Path((id, action)): Path<(i64, String)>,
    _checked: Fields,
) -> Response {
    let Some(action) = AlertAction::parse(&action) else { return nothing_here(State(front), request).await };
    match front.admin.act(AdminAction::Alert(id, action), request.who()).await {
        Ok(_) => Redirect::to(&format!("/alerts/{id}")).into_response(),
        Err(trouble) => front.sorry(&request, &trouble),
    }
}

async fn devices(State(front): PageState, request: RequestContext) -> Response {
    show(&front, &request, "devices.html", AdminQuery::Devices, json!({})).await
}

async fn device(State(front): PageState, request: RequestContext, Path(id): Path<String>) -> Response {
    show(&front, &request, "device.html", AdminQuery::Device(id), json!({})).await
}

#[derive(Deserialize)]
struct Side {
    show: Option<String>,
    cursor: Option<String>,
    /// `all`: the whole chain, from its first entry.
    check: Option<String>,
}

async fn commands(State(front): PageState, request: RequestContext, Query(side): Query<Side>) -> Response {
    let filter = Filter { cursor: side.cursor, ..Filter::default() };
    let open = Filter { state: Some("open".into()), ..Filter::default() };
    let (shown, question) = match side.show.as_deref() {
        Some("audit") => ("audit", AdminQuery::Audit(filter)),
        Some("trail") => ("trail", AdminQuery::Trail(filter)),
        Some("open") => ("open", AdminQuery::Requests(open.clone())),
        Some(_) | None => ("devices", AdminQuery::Commands(filter)),
    };
    let mut more = vec![("waiting", AdminQuery::Waiting)];
    if shown == "open" {
        more.push(("questions", AdminQuery::Questions(open)));
    }
    if shown == "trail" && side.check.as_deref() == Some("all") {
        more.push(("all", AdminQuery::TrailCheck));
    }
    let mut data = json!({ "show": shown, "all": null });
    for (name, question) in more {
        match front.admin.ask(question).await {
            Ok(found) => data[name] = found,
            Err(trouble) => return front.sorry(&request, &trouble),
        }
    }
    show(&front, &request, "commands.html", question, data).await
}

/// Strangers on a page: the latest; the API has more.
const STRANGERS_SHOWN: u32 = 20;

async fn contacts(State(front): PageState, request: RequestContext) -> Response {
    let latest = Filter { limit: Some(STRANGERS_SHOWN), ..Filter::default() };
    match front.admin.ask(AdminQuery::Strangers(latest)).await {
        Ok(strangers) => {
            let more = json!({ "strangers": strangers });
            show(&front, &request, "contacts.html", AdminQuery::Contacts, more).await
        }
        Err(trouble) => front.sorry(&request, &trouble),
    }
}

#[derive(Deserialize)]
struct Attempt {
    #[serde(default)]
    topic: String,
    #[serde(default)]
    payload: String,
}

/// Trying changes nothing, so it is an address that can be sent to a colleague.
async fn rules(State(front): PageState, request: RequestContext, Query(attempt): Query<Attempt>) -> Response {
    let (topic, payload) = (attempt.topic, attempt.payload);
    let mut more = json!({ "topic": topic, "payload": payload, "tried": null });
    if !topic.is_empty() {
        match front.admin.ask(AdminQuery::Try { topic, payload, content_type: None }).await {
            Ok(tried) => more["tried"] = tried,
            Err(trouble) => return front.sorry(&request, &trouble),
        }
    }
    show(&front, &request, "rules.html", AdminQuery::Rules, more).await
}

async fn setup(State(front): PageState, request: RequestContext) -> Response {
    settings(&front, &request, Value::Null).await
}

/// With a token that was just made, to be shown this once.
pub async fn settings(front: &AppState, request: &RequestContext, fresh: Value) -> Response {
    let mut more = json!({ "fresh": fresh, "here": request.caller.session(), "lasts": ApiToken::LASTS });
    for (name, question) in [
        ("tokens", AdminQuery::Tokens),
        ("sessions", AdminQuery::Sessions),
        ("connections", AdminQuery::Connections),
        ("usage", AdminQuery::Usage),
    ] {
        match front.admin.ask(question).await {
            Ok(found) => more[name] = found,
            Err(trouble) => return front.sorry(request, &trouble),
        }
    }
    show(front, request, "setup.html", AdminQuery::Setup, more).await
}

async fn file(State(front): PageState, Path(name): Path<String>) -> Response {
    front.view.file(&name)
}

async fn nothing_here(State(front): PageState, request: RequestContext) -> Response {
    if request.path.starts_with("/api/") {
        let how = "there is nothing at this address; /api/openapi.json lists what there is";
        return super::problem::problem(StatusCode::NOT_FOUND, how);
    }
    front.sorry(&request, &ApiError::NotFound("There is no page at this address.".into()))
}

/// The filter as the page shows it again: every field is a text.
fn said(filter: &Filter) -> Value {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    json!({ "contact": text(&filter.contact), "state": text(&filter.state), "rule": text(&filter.rule),
            "text": text(&filter.text), "cursor": text(&filter.cursor) })
}

async fn show(
    front: &AppState,
    request: &RequestContext,
    template: &str,
    question: AdminQuery,
    more: Value,
) -> Response {
    match front.admin.ask(question).await {
        Ok(found) => {
            let mut data = more;
            data["found"] = found;
            front.page(request, template, data)
        }
        Err(trouble) => front.sorry(request, &trouble),
    }
}
