//! Profile, commerce settings, automation, QR codes, blocked people of a number.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::media::base;
use super::{Answer, Parameters, Refused, json as answer};
use crate::business::Business;
use crate::fields;
use crate::graph::Refusal;
use crate::people::Introduction;
use crate::state::Simulator;
use crate::world::World;

/// The door of faults, as of other nodes.
const DOOR: &str = "node";

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/{version}/{node}/whatsapp_business_profile", get(profile).post(set_profile))
        .route("/{version}/{node}/whatsapp_commerce_settings", get(commerce).post(set_commerce))
        .route("/{version}/{node}/conversational_automation", get(automation).post(set_automation))
        .route("/{version}/{node}/message_qrdls", get(codes).post(write_code))
        .route("/{version}/{node}/message_qrdls/{code}", get(code).post(rewrite_code).delete(delete_code))
        .route("/{version}/{node}/block_users", get(blocked).post(block).delete(unblock))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    fields: Option<String>,
    code: Option<String>,
}

impl Simulator {
    /// Does something with what a number has, and answers with it.
    async fn with_business(
        &self,
        number: &str,
        act: impl FnOnce(&mut Business, &World) -> Result<Value, Refusal>,
    ) -> Answer {
        let done = {
            let mut world = self.world.lock().await;
            let mut business = world.account.number_mut(number).business.clone();
            let done = act(&mut business, &world);
            if done.is_ok() {
                world.account.number_mut(number).business = business;
            }
            done
        };
        match done {
            Ok(shown) => Ok(answer(shown)),
            Err(refusal) => Err(self.refuse(&refusal).await),
        }
    }

    async fn enter_number(&self, headers: &HeaderMap, number: &str) -> Result<(), Refused> {
        self.enter(headers, DOOR).await?;
        self.number(number).await
    }
}

fn done() -> Value {
    json!({ "success": true })
}

type Node = Path<(String, String)>;

async fn profile(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let fields = asked.fields.as_deref();
    let show = |business: &mut Business, _: &World| {
        Ok(json!({ "data": [fields::PROFILE.select(&business.profile(), fields)?] }))
    };
    simulator.with_business(&number, show).await
}

async fn set_profile(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let change = arguments.object(&simulator).await?;
    let set = |business: &mut Business, _: &World| {
        product(&change)?;
        business.set_profile(&change).map(|()| done())
    };
    simulator.with_business(&number, set).await
}

fn product(given: &Map<String, Value>) -> Result<(), Refusal> {
    if given.get("messaging_product").is_some_and(|product| product == "whatsapp") {
        return Ok(());
    }
    Err(Refusal::new(100, "The parameter messaging_product is required."))
}

async fn commerce(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let fields = asked.fields.as_deref();
    let show = |business: &mut Business, _: &World| {
        Ok(json!({ "data": [fields::COMMERCE.select(&business.commerce(&number), fields)?] }))
    };
    simulator.with_business(&number, show).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commerce {
    is_cart_enabled: Option<bool>,
    is_catalog_visible: Option<bool>,
}

async fn set_commerce(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let change: Commerce = arguments.read(&simulator).await?;
    let set = |business: &mut Business, _: &World| {
        business.set_commerce(change.is_cart_enabled, change.is_catalog_visible);
        Ok(done())
    };
    simulator.with_business(&number, set).await
}

async fn automation(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    headers: HeaderMap,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let show = |business: &mut Business, _: &World| {
        Ok(json!({ "id": number, "conversational_automation": business.automation }))
    };
    simulator.with_business(&number, show).await
}

async fn set_automation(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let change = arguments.object(&simulator).await?;
    let set = |business: &mut Business, _: &World| {
        let known = ["enable_welcome_message", "prompts", "commands"];
        if let Some(key) = change.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::new(100, format!("Unexpected key \"{key}\" on param \"root\".")));
        }
        business.automation.extend(change.clone());
        Ok(done())
    };
    simulator.with_business(&number, set).await
}

#[derive(Debug, Deserialize)]
struct Written {
    code: Option<String>,
    prefilled_message: String,
    generate_qr_image: Option<String>,
}

async fn write_code(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let wanted: Written = arguments.read(&simulator).await?;
    written(&simulator, &number, wanted, &headers).await
}

/// The code may stand in the address, too.
async fn rewrite_code(
    State(simulator): State<Simulator>,
    Path((_, number, code)): Path<(String, String, String)>,
    headers: HeaderMap,
    arguments: Arguments,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let wanted: Written = arguments.read(&simulator).await?;
    written(&simulator, &number, Written { code: Some(code), ..wanted }, &headers).await
}

async fn written(simulator: &Simulator, number: &str, wanted: Written, headers: &HeaderMap) -> Answer {
    let base = base(headers);
    let write = |business: &mut Business, world: &World| {
        let image = wanted.generate_qr_image.as_deref();
        if image.is_some_and(|image| !["PNG", "SVG"].contains(&image.to_uppercase().as_str())) {
            return Err(Refusal::new(100, "Param generate_qr_image must be one of {PNG, SVG}."));
        }
        let now = Simulator::now(world);
        let code = business.write_code(wanted.code.as_deref(), &wanted.prefilled_message, now)?;
        let mut shown = code.shown(&base, image);
        shown.remove("creation_time");
        Ok(Value::Object(shown))
    };
    simulator.with_business(number, write).await
}

async fn codes(
    state: State<Simulator>,
    Path((version, number)): Node,
    asked: Parameters<Asked>,
    headers: HeaderMap,
) -> Answer {
    let only = asked.0.code.clone();
    listed(state, Path((version, number, only)), asked, headers).await
}

async fn code(
    state: State<Simulator>,
    Path((version, number, code)): Path<(String, String, String)>,
    asked: Parameters<Asked>,
    headers: HeaderMap,
) -> Answer {
    listed(state, Path((version, number, Some(code))), asked, headers).await
}

async fn listed(
    State(simulator): State<Simulator>,
    Path((_, number, only)): Path<(String, String, Option<String>)>,
    Parameters(asked): Parameters<Asked>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let base = base(&headers);
    let fields = asked.fields.as_deref();
    // `qr_image_url.format(SVG)`
    let image = fields.and_then(|fields| fields.split(".format(").nth(1)?.split(')').next());
    let show = |business: &mut Business, _: &World| {
        let wanted = business.codes.iter().filter(|code| only.as_ref().is_none_or(|only| code.code == *only));
        let shown = wanted.map(|code| fields::QR_CODE.select(&code.shown(&base, image), fields));
        Ok(json!({ "data": shown.collect::<Result<Vec<_>, _>>()? }))
    };
    simulator.with_business(&number, show).await
}

async fn delete_code(
    State(simulator): State<Simulator>,
    Path((_, number, code)): Path<(String, String, String)>,
    headers: HeaderMap,
    _: Arguments,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    simulator.with_business(&number, |business, _| business.delete_code(&code).map(|()| done())).await
}

async fn blocked(State(simulator): State<Simulator>, Path((_, number)): Node, headers: HeaderMap) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let show = |business: &mut Business, _: &World| {
        // `wa_id` alone is what the OpenAPI file has; `input` and `user_id` are what pywa reads.
        let one = |(user_id, wa_id): &(String, Option<String>)| {
            let input = wa_id.as_ref().unwrap_or(user_id);
            json!({ "messaging_product": "whatsapp", "input": input, "wa_id": wa_id, "user_id": user_id })
        };
        let data: Vec<Value> = business.blocked.iter().map(one).collect();
        let mut page = json!({ "data": data });
        if !business.blocked.is_empty() {
            page["paging"] =
                json!({ "cursors": { "before": "SIM0", "after": format!("SIM{}", data_length(&page)) } });
        }
        Ok(page)
    };
    simulator.with_business(&number, show).await
}

fn data_length(page: &Value) -> usize {
    page["data"].as_array().map_or(0, Vec::len)
}

#[derive(Debug, Deserialize)]
struct Named {
    block_users: Vec<Who>,
}

#[derive(Debug, Deserialize)]
struct Who {
    user: Option<String>,
    user_id: Option<String>,
}

async fn block(state: State<Simulator>, node: Node, headers: HeaderMap, arguments: Arguments) -> Answer {
    set_blocked(state, node, headers, arguments, true).await
}

async fn unblock(state: State<Simulator>, node: Node, headers: HeaderMap, arguments: Arguments) -> Answer {
    set_blocked(state, node, headers, arguments, false).await
}

async fn set_blocked(
    State(simulator): State<Simulator>,
    Path((_, number)): Node,
    headers: HeaderMap,
    arguments: Arguments,
    block: bool,
) -> Answer {
    simulator.enter_number(&headers, &number).await?;
    let named: Named = arguments.read(&simulator).await?;
    let mut people = Vec::new();
    {
        let mut world = simulator.world.lock().await;
        for who in named.block_users {
            let digits = |user: &String| user.chars().filter(char::is_ascii_digit).collect::<String>();
            let wa_id = who.user.as_ref().map(digits).filter(|digits| !digits.is_empty());
            let Some(input) = who.user.or_else(|| who.user_id.clone()) else { continue };
            let introduction = Introduction { wa_id, user_id: who.user_id, ..Introduction::default() };
            people.push((input, world.people.introduced(introduction)));
        }
    }
    let list = if block { "added_users" } else { "removed_users" };
    let act = |business: &mut Business, _: &World| {
        let mut listed = Vec::new();
        for (input, person) in &people {
            business.block(&person.user_id, person.wa_id.as_deref(), block)?;
            listed.push(json!({ "input": input, "wa_id": person.wa_id, "user_id": person.user_id }));
        }
        Ok(json!({ "messaging_product": "whatsapp", "block_users": { list: listed } }))
    };
    simulator.with_business(&number, act).await
}
