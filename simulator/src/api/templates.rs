//! `/{waba}/message_templates` (docs/cloud-api.md 1.3, 6).

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::media::base;
use super::{Answer, Parameters, json as answer};
use crate::encoding::query_value;
use crate::fields::parse;
use crate::graph::Refusal;
use crate::state::Simulator;
use crate::templates::{Catalogue, Draft, TEMPLATES_MAX, Template, whole};

/// What Meta gives when no limit is asked for, and the most that it gives.
const PAGE: usize = 25;
const PAGE_MAX: usize = 1_000;
const DOOR: &str = "message_templates";

pub fn routes() -> Router<Simulator> {
    Router::new().route("/{version}/{node}/message_templates", get(list).post(create).delete(delete))
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    fields: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
    name: Option<String>,
    language: Option<String>,
    status: Option<String>,
    category: Option<String>,
    quality_score: Option<String>,
    content: Option<String>,
    name_or_content: Option<String>,
    summary: Option<String>,
}

impl Wanted {
    /// A filter may name several, with commas between or as a JSON list. `name` is looked for as a part, as Meta's list does.
    fn takes(&self, template: &Template) -> bool {
        let is = |asked: &Option<String>, found: &str| {
            let word = |asked: &str| {
                asked.trim_matches(|around| " []\"".contains(around)).eq_ignore_ascii_case(found)
            };
            asked.as_ref().is_none_or(|asked| asked.split(',').any(word))
        };
        let part = |asked: &Option<String>, found: &str| {
            asked.as_ref().is_none_or(|asked| found.contains(asked.as_str()))
        };
        let content = json!(template.components).to_string();
        part(&self.name, &template.name)
            && part(&self.content, &content)
            && part(&self.name_or_content, &format!("{} {content}", template.name))
            && is(&self.language, &template.language)
            && is(&self.status, &template.status)
            && is(&self.category, &template.category)
            && is(&self.quality_score, &template.quality)
    }
}

async fn list(
    State(simulator): State<Simulator>,
    Path((version, account)): Path<(String, String)>,
    Parameters(wanted): Parameters<Wanted>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter(&headers, DOOR).await?;
    let url = format!("{}/{version}/{account}/message_templates", base(&headers));
    let listed = {
        let mut world = simulator.world.lock().await;
        world.account.is_account(&account).and_then(|()| page(&world.catalogue, &wanted, &url))
    };
    match listed {
        Ok(page) => Ok(answer(page)),
        Err(refusal) => Err(simulator.refuse(&refusal).await),
    }
}

/// One page. A cursor names the template beside which the page begins, so that it stays right when others come and go.
fn page(catalogue: &Catalogue, wanted: &Wanted, url: &str) -> Result<Value, Refusal> {
    let all: Vec<&Template> = catalogue.templates.iter().filter(|template| wanted.takes(template)).collect();
    let place = |cursor: &str| {
        let id = cursor.strip_prefix("SIM").and_then(|id| id.parse::<u64>().ok());
        let at = id.and_then(|id| all.iter().position(|template| template.id == id));
        at.ok_or_else(|| Refusal::new(131_059, "The cursor is not valid, or its template is gone."))
    };
    let limit = wanted.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let (from, to) = match (&wanted.after, &wanted.before) {
        (Some(after), _) => {
            let from = place(after)? + 1;
            (from, (from + limit).min(all.len()))
        }
        (None, Some(before)) => {
            let to = place(before)?;
            (to.saturating_sub(limit), to)
        }
        (None, None) => (0, limit.min(all.len())),
    };
    let shown = &all[from..to];
    let data: Result<Vec<Value>, Refusal> =
        shown.iter().map(|template| template.shown(wanted.fields.as_deref())).collect();
    let mut page = json!({ "data": data? });
    if let (Some(first), Some(last)) = (shown.first(), shown.last()) {
        let cursor = |template: &Template| format!("SIM{}", template.id);
        page["paging"] = json!({ "cursors": { "before": cursor(first), "after": cursor(last) } });
        if to < all.len() {
            page["paging"]["next"] = json!(beside(url, wanted, limit, "after", &cursor(last)));
        }
        if from > 0 {
            page["paging"]["previous"] = json!(beside(url, wanted, limit, "before", &cursor(first)));
        }
    }
    if let Some(asked) = &wanted.summary {
        let summary = json!({ "total_count": all.len(), "message_template_count": catalogue.templates.len(),
                              "message_template_limit": TEMPLATES_MAX, "are_translations_complete": true });
        let shown = parse(asked)
            .into_iter()
            .filter_map(|field| Some((field.name.to_owned(), summary.get(field.name)?.clone())));
        page["summary"] = Value::Object(shown.collect());
    }
    Ok(page)
}

/// The address of the page after this one, or before it.
fn beside(url: &str, wanted: &Wanted, limit: usize, side: &str, cursor: &str) -> String {
    let filters = [
        ("fields", &wanted.fields),
        ("name", &wanted.name),
        ("language", &wanted.language),
        ("status", &wanted.status),
        ("category", &wanted.category),
        ("quality_score", &wanted.quality_score),
        ("content", &wanted.content),
        ("name_or_content", &wanted.name_or_content),
        ("summary", &wanted.summary),
    ];
    let filters = filters
        .into_iter()
        .filter_map(|(key, value)| Some(format!("&{key}={}", query_value(value.as_ref()?))));
    format!("{url}?limit={limit}&{side}={cursor}{}", filters.collect::<String>())
}

async fn create(
    State(simulator): State<Simulator>,
    Path((_, account)): Path<(String, String)>,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter(&headers, DOOR).await?;
    let draft: Draft = arguments.read(&simulator).await?;
    let created = {
        let mut world = simulator.world.lock().await;
        let now = Simulator::now(&world);
        world.account.is_account(&account).and_then(|()| {
            let template = world.catalogue.create(draft, now.0)?;
            let (status, category) = (&template.status, &template.category);
            Ok(json!({ "id": template.id.to_string(), "status": status, "category": category }))
        })
    };
    match created {
        Ok(created) => Ok(answer(created)),
        Err(refusal) => Err(simulator.refuse(&refusal).await),
    }
}

#[derive(Debug, Deserialize)]
struct Unwanted {
    name: String,
    #[serde(default, deserialize_with = "whole")]
    hsm_id: Option<i64>,
}

async fn delete(
    State(simulator): State<Simulator>,
    Path((_, account)): Path<(String, String)>,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter(&headers, DOOR).await?;
    let unwanted: Unwanted = arguments.read(&simulator).await?;
    let id = unwanted.hsm_id.and_then(|id| u64::try_from(id).ok());
    let deleted = {
        let mut world = simulator.world.lock().await;
        let now = Simulator::now(&world);
        world.account.is_account(&account).and_then(|()| {
            if world.catalogue.delete(&unwanted.name, id, now.0) {
                return Ok(());
            }
            Err(Refusal::new(100, format!("There is no template {}.", unwanted.name)))
        })
    };
    match deleted {
        Ok(()) => super::success(),
        Err(refusal) => Err(simulator.refuse(&refusal).await),
    }
}
