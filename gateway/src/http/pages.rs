//! The pages: each asks the desk one or two questions and fills a template.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::live::live;
use crate::http::admin_port::{AlertDeed, Deed, Filter, Question, Token, Trouble};
use crate::http::state::{Fields, Front, Visit};

/// What a form may ask to be done with a message.
const OUTBOX_ROUTE: &str = "/outbox/{id}/{deed}";

pub fn page_routes() -> Router<Arc<Front>> {
    Router::new()
        .route("/", get(overview))
        .route("/timeline", get(timeline))
        .route("/messages/{id}", get(message))
        .route("/outbox", get(outbox))
        .route(OUTBOX_ROUTE, post(decide))
        .route("/alerts", get(alerts))
        .route("/alerts/{id}", get(alert))
        .route("/alerts/{id}/{deed}", post(decide_alert))
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

type Desk = State<Arc<Front>>;

async fn overview(State(front): Desk, visit: Visit) -> Response {
    show(&front, &visit, "overview.html", Question::Overview, json!({})).await
}

async fn timeline(State(front): Desk, visit: Visit, Query(filter): Query<Filter>) -> Response {
    let people = match front.desk.ask(Question::Contacts).await {
        Ok(people) => people,
        Err(trouble) => return front.sorry(&visit, &trouble),
    };
    let more = json!({ "people": people, "filter": said(&filter) });
    let filter = Filter { limit: Some(filter.limit.unwrap_or(50)), ..filter };
    show(&front, &visit, "timeline.html", Question::Messages(filter), more).await
}

async fn message(State(front): Desk, visit: Visit, Path(id): Path<i64>) -> Response {
    show(&front, &visit, "message.html", Question::Message(id), json!({})).await
}

async fn outbox(State(front): Desk, visit: Visit, Query(filter): Query<Filter>) -> Response {
    let state = filter.state.clone().unwrap_or_else(|| "waiting".to_owned());
    let more = json!({ "filter": said(&filter), "state": state });
    let filter =
        Filter { state: Some(state).filter(|state| state != "all"), direction: Some("out".into()), ..filter };
    show(&front, &visit, "outbox.html", Question::Messages(filter), more).await
}

async fn decide(
    State(front): Desk,
    visit: Visit,
    Path((id, deed)): Path<(i64, String)>,
    fields: Fields,
) -> Response {
    let deed = match deed.as_str() {
        "retry" => Deed::Retry(id),
        "hold" => Deed::Hold(id),
        "cancel" => Deed::Cancel(id),
        _ => return nothing_here(State(front), visit).await,
    };
    let back = if fields.get("back") == "message" { format!("/messages/{id}") } else { "/outbox".to_owned() };
    match front.desk.act(deed, visit.who()).await {
        Ok(_) => Redirect::to(&back).into_response(),
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn alerts(State(front): Desk, visit: Visit, Query(filter): Query<Filter>) -> Response {
    let more = json!({ "filter": said(&filter) });
    show(&front, &visit, "alerts.html", Question::Alerts(filter), more).await
}

async fn alert(State(front): Desk, visit: Visit, Path(id): Path<i64>) -> Response {
    show(&front, &visit, "alert.html", Question::Alert(id), json!({})).await
}

async fn decide_alert(
    State(front): Desk,
    visit: Visit,
    Path((id, deed)): Path<(i64, String)>,
    _checked: Fields,
) -> Response {
    let Some(deed) = AlertDeed::parse(&deed) else { return nothing_here(State(front), visit).await };
    match front.desk.act(Deed::Alert(id, deed), visit.who()).await {
        Ok(_) => Redirect::to(&format!("/alerts/{id}")).into_response(),
        Err(trouble) => front.sorry(&visit, &trouble),
    }
}

async fn devices(State(front): Desk, visit: Visit) -> Response {
    show(&front, &visit, "devices.html", Question::Devices, json!({})).await
}

async fn device(State(front): Desk, visit: Visit, Path(id): Path<String>) -> Response {
    show(&front, &visit, "device.html", Question::Device(id), json!({})).await
}

#[derive(Deserialize)]
struct Side {
    show: Option<String>,
    cursor: Option<String>,
    /// `all`: the whole chain, from its first entry.
    check: Option<String>,
}

async fn commands(State(front): Desk, visit: Visit, Query(side): Query<Side>) -> Response {
    let filter = Filter { cursor: side.cursor, ..Filter::default() };
    let open = Filter { state: Some("open".into()), ..Filter::default() };
    let (shown, question) = match side.show.as_deref() {
        Some("audit") => ("audit", Question::Audit(filter)),
        Some("trail") => ("trail", Question::Trail(filter)),
        Some("open") => ("open", Question::Requests(open.clone())),
        Some(_) | None => ("devices", Question::Commands(filter)),
    };
    let mut more = vec![("waiting", Question::Waiting)];
    if shown == "open" {
        more.push(("questions", Question::Questions(open)));
    }
    if shown == "trail" && side.check.as_deref() == Some("all") {
        more.push(("all", Question::TrailCheck));
    }
    let mut data = json!({ "show": shown, "all": null });
    for (name, question) in more {
        match front.desk.ask(question).await {
            Ok(found) => data[name] = found,
            Err(trouble) => return front.sorry(&visit, &trouble),
        }
    }
    show(&front, &visit, "commands.html", question, data).await
}

/// Strangers on a page: the latest; the API has more.
const STRANGERS_SHOWN: u32 = 20;

async fn contacts(State(front): Desk, visit: Visit) -> Response {
    let latest = Filter { limit: Some(STRANGERS_SHOWN), ..Filter::default() };
    match front.desk.ask(Question::Strangers(latest)).await {
        Ok(strangers) => {
            let more = json!({ "strangers": strangers });
            show(&front, &visit, "contacts.html", Question::Contacts, more).await
        }
        Err(trouble) => front.sorry(&visit, &trouble),
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
async fn rules(State(front): Desk, visit: Visit, Query(attempt): Query<Attempt>) -> Response {
    let (topic, payload) = (attempt.topic, attempt.payload);
    let mut more = json!({ "topic": topic, "payload": payload, "tried": null });
    if !topic.is_empty() {
        match front.desk.ask(Question::Try { topic, payload, content_type: None }).await {
            Ok(tried) => more["tried"] = tried,
            Err(trouble) => return front.sorry(&visit, &trouble),
        }
    }
    show(&front, &visit, "rules.html", Question::Rules, more).await
}

async fn setup(State(front): Desk, visit: Visit) -> Response {
    settings(&front, &visit, Value::Null).await
}

/// With a token that was just made, to be shown this once.
pub async fn settings(front: &Front, visit: &Visit, fresh: Value) -> Response {
    let mut more = json!({ "fresh": fresh, "here": visit.caller.session(), "lasts": Token::LASTS });
    for (name, question) in [
        ("tokens", Question::Tokens),
        ("sessions", Question::Sessions),
        ("connections", Question::Connections),
        ("usage", Question::Usage),
    ] {
        match front.desk.ask(question).await {
            Ok(found) => more[name] = found,
            Err(trouble) => return front.sorry(visit, &trouble),
        }
    }
    show(front, visit, "setup.html", Question::Setup, more).await
}

async fn file(State(front): Desk, Path(name): Path<String>) -> Response {
    front.view.file(&name)
}

async fn nothing_here(State(front): Desk, visit: Visit) -> Response {
    if visit.path.starts_with("/api/") {
        let how = "there is nothing at this address; /api/openapi.json lists what there is";
        return super::problem::problem(StatusCode::NOT_FOUND, how);
    }
    front.sorry(&visit, &Trouble::NotFound("There is no page at this address.".into()))
}

/// The filter as the page shows it again: every field is a text.
fn said(filter: &Filter) -> Value {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    json!({ "contact": text(&filter.contact), "state": text(&filter.state), "rule": text(&filter.rule),
            "text": text(&filter.text), "cursor": text(&filter.cursor) })
}

async fn show(front: &Front, visit: &Visit, template: &str, question: Question, more: Value) -> Response {
    match front.desk.ask(question).await {
        Ok(found) => {
            let mut data = more;
            data["found"] = found;
            front.page(visit, template, data)
        }
        Err(trouble) => front.sorry(visit, &trouble),
    }
}
