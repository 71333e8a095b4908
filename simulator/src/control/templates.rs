//! `/_simulator/templates`: what Meta's reviewers, its quality rating and its pacing do to a template.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refused, answer, bad, read, refuse};
use crate::graph::Refusal;
use crate::state::Simulator;
use crate::templates::{Draft, Template};
use crate::webhooks::{envelope, written};
use crate::world::{Plan, Sent, World};

pub fn routes() -> Router<Simulator> {
    Router::new().route("/_simulator/templates", get(list).post(change))
}

/// What a template becomes. One that is not there is created, without a webhook.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: String,
    language: Option<String>,
    status: Option<String>,
    category: Option<String>,
    /// A category that comes in 24 h: the notice alone.
    correct_category: Option<String>,
    quality: Option<String>,
    reason: Option<String>,
    components: Option<Vec<Value>>,
    parameter_format: Option<String>,
    message_send_ttl_seconds: Option<i64>,
    /// Whether messages wait for a quality assessment; false lets them go.
    held: Option<bool>,
    /// False: nothing is told.
    #[serde(default = "yes")]
    webhook: bool,
}

fn yes() -> bool {
    true
}

/// Meta's words for the `event` of `message_template_status_update`, which are a template's statuses too.
const STATUSES: [&str; 13] = [
    "APPROVED",
    "REJECTED",
    "PENDING",
    "PAUSED",
    "DISABLED",
    "FLAGGED",
    "REINSTATED",
    "IN_APPEAL",
    "ARCHIVED",
    "DELETED",
    "PENDING_DELETION",
    "LOCKED",
    "LIMIT_EXCEEDED",
];

async fn list(State(simulator): State<Simulator>) -> Answer {
    let world = simulator.world.lock().await;
    let shown: Vec<Value> = world.catalogue.templates.iter().map(describe).collect();
    answer(json!(shown))
}

fn describe(template: &Template) -> Value {
    let mut shown = template.shown(None).unwrap_or_default();
    shown["quality_score"] = json!({ "score": template.quality });
    shown["rejected_reason"] = json!(template.reason);
    shown["held"] = json!(template.held);
    shown
}

async fn change(State(simulator): State<Simulator>, body: Bytes) -> Answer {
    let change: Change = read(&body)?;
    if let Some(status) = change.status.as_ref().filter(|status| !STATUSES.contains(&status.as_str())) {
        return Err(bad(&format!("`{status}` is no status of a template; they are {}", STATUSES.join(", "))));
    }
    let mut world = simulator.world.lock().await;
    if world.catalogue.find_mut(&change.name, change.language.as_deref()).is_none() {
        return create(&mut world, change);
    }
    let (shown, released, posts) = apply(&mut world, &change)?;
    let url = simulator.callback(&world, "").filter(|_| change.webhook);
    drop(world);
    for (sent, plan) in released {
        simulator.receipts(sent, plan);
    }
    if let Some(url) = url {
        tokio::spawn(async move {
            for body in posts {
                simulator.postman.deliver(&url, &body, false).await;
            }
        });
    }
    answer(shown)
}

fn create(world: &mut World, change: Change) -> Answer {
    let (Some(language), Some(components)) = (change.language, change.components) else {
        let what =
            format!("there is no template {}; with `language` and `components` it is created", change.name);
        return Err(refuse(StatusCode::NOT_FOUND, &what));
    };
    let draft = Draft {
        name: change.name.clone(),
        language: language.clone(),
        category: change.category.unwrap_or_else(|| "UTILITY".to_owned()),
        parameter_format: change.parameter_format,
        components,
        message_send_ttl_seconds: change.message_send_ttl_seconds,
    };
    world.catalogue.put(draft, change.status.as_deref().unwrap_or("APPROVED"));
    let created = world.catalogue.find_mut(&change.name, Some(&language));
    answer(created.map_or(Value::Null, |template| {
        template.held = change.held.unwrap_or(false);
        template.quality = change.quality.unwrap_or_else(|| "UNKNOWN".to_owned());
        describe(template)
    }))
}

/// The template as it is now, the held messages that go on, and the webhooks' bodies.
type Applied = (Value, Vec<(Sent, Plan)>, Vec<String>);

fn apply(world: &mut World, change: &Change) -> Result<Applied, Refused> {
    let now = Simulator::now(world).0 / 1_000;
    let account = world.account.id().to_owned();
    let template = world.catalogue.find_mut(&change.name, change.language.as_deref());
    let template = template.ok_or_else(|| bad("the template is gone"))?;
    let mut updates: Vec<(&str, Value)> = Vec::new();
    if let Some(components) = &change.components {
        template.components.clone_from(components);
        template.named =
            change.parameter_format.as_deref().map_or(template.named, |format| format == "NAMED");
        updates.push(("message_template_components_update", edited(template)));
    }
    if let Some(correct) = &change.correct_category {
        let mut value = about(template);
        value["correct_category"] = json!(correct);
        value["new_category"] = json!(template.category);
        value["category_update_timestamp"] = json!(now + 86_400);
        updates.push(("template_category_update", value));
    }
    if let Some(category) = &change.category {
        let mut value = about(template);
        value["previous_category"] = json!(template.category);
        value["new_category"] = json!(category);
        template.category.clone_from(category);
        updates.push(("template_category_update", value));
    }
    if let Some(quality) = &change.quality {
        let mut value = about(template);
        value["previous_quality_score"] = json!(template.quality);
        value["new_quality_score"] = json!(quality);
        template.quality.clone_from(quality);
        updates.push(("message_template_quality_update", value));
    }
    if let Some(status) = &change.status {
        // Two of Meta's events are no states: what is reinstated is approved, what is flagged still may be sent.
        let state = if ["REINSTATED", "FLAGGED"].contains(&status.as_str()) { "APPROVED" } else { status };
        template.status = state.to_owned();
        template.reason = change.reason.clone().unwrap_or_else(|| "NONE".to_owned());
        updates.push(("message_template_status_update", decided(template, status, now)));
    }
    template.held = change.held.unwrap_or(template.held) && template.status == "APPROVED";
    let (held, dropped) = (template.held, template.status != "APPROVED");
    let (shown, language) = (describe(template), template.language.clone());
    // Held messages go out, or each fails with 132015 (docs/cloud-api.md 1.3).
    let error = dropped.then(|| Refusal::new(132_015, "Template is paused due to low quality."));
    let released = if held { Vec::new() } else { world.release(&change.name, &language, error.as_ref()) };
    let posts =
        updates.iter().map(|(field, value)| written(&envelope(&account, Some(now), field, value))).collect();
    Ok((shown, released, posts))
}

/// What all webhooks about a template begin with; the id is a number here (docs/cloud-api.md 3.8).
fn about(template: &Template) -> Value {
    json!({ "message_template_id": template.id, "message_template_name": template.name,
            "message_template_language": template.language })
}

fn decided(template: &Template, event: &str, now: i64) -> Value {
    let mut value = about(template);
    value["event"] = json!(event);
    value["reason"] = json!(template.reason);
    value["message_template_category"] = json!(template.category);
    match event {
        "PAUSED" => {
            value["other_info"] =
                json!({ "title": "FIRST_PAUSE", "description": "Paused for 3 hours due to low quality." });
        }
        "DISABLED" => {
            value["reason"] = Value::Null;
            value["disable_info"] = json!({ "disable_date": now.to_string() });
        }
        "REJECTED" => {
            value["rejection_info"] =
                json!({ "reason": template.reason, "recommendation": "As the simulator was told." });
        }
        _ => {}
    }
    value
}

fn edited(template: &Template) -> Value {
    let text = |kind: &str| template.component(kind).map_or(Value::Null, |found| found["text"].clone());
    let mut value = about(template);
    value["message_template_element"] = text("BODY");
    value["message_template_title"] = text("HEADER");
    value["message_template_footer"] = text("FOOTER");
    let buttons = template.buttons().iter().map(|button| {
        json!({ "message_template_button_type": button["type"], "message_template_button_text": button["text"],
                "message_template_button_url": button["url"] })
    });
    value["message_template_buttons"] = json!(buttons.collect::<Vec<_>>());
    value
}
