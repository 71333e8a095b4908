//! Profile, commerce settings, automation, QR codes, blocked people of a number.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
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
        .route("/{version}/{node}/message_qrdls/{code}", get(codes).post(rewrite_code).delete(delete_code))
        .route("/{version}/{node}/block_users", get(blocked).post(block).delete(unblock))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    fields: Option<String>,
    code: Option<String>,
}

/// A request about a number: its token was judged, a fault was used, and the number exists.
struct Call {
    simulator: Simulator,
    number: String,
    code: Option<String>,
    headers: HeaderMap,
}

/// With what it says, which is read to its end whatever is answered ([`super::unknown`]).
struct Called(Call, Arguments);

impl FromRequest<Simulator> for Called {
    type Rejection = Refused;

    async fn from_request(request: Request, simulator: &Simulator) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let path = Path::<BTreeMap<String, String>>::from_request_parts(&mut parts, simulator).await;
        let Path(mut path) = path.map_err(IntoResponse::into_response)?;
        let (number, code) = (path.remove("node").unwrap_or_default(), path.remove("code"));
        let call = Call { simulator: simulator.clone(), number, code, headers: parts.headers.clone() };
        let arguments = Arguments::from_request(Request::from_parts(parts, body), simulator).await?;
        simulator.enter(&call.headers, DOOR).await?;
        simulator.number(&call.number).await?;
        Ok(Self(call, arguments))
    }
}

impl Call {
    /// Does something with what the number has, and answers with it.
    async fn act(&self, act: impl FnOnce(&mut Business, &World) -> Result<Value, Refusal>) -> Answer {
        let done = {
            let mut world = self.simulator.world.lock().await;
            let mut business = world.account.number_mut(&self.number).business.clone();
            let done = act(&mut business, &world);
            if done.is_ok() {
                world.account.number_mut(&self.number).business = business;
            }
            done
        };
        match done {
            Ok(shown) => Ok(answer(shown)),
            Err(refusal) => Err(self.simulator.refuse(&refusal).await),
        }
    }
}

fn done() -> Value {
    json!({ "success": true })
}

async fn profile(Parameters(asked): Parameters<Asked>, Called(call, _): Called) -> Answer {
    let fields = asked.fields.as_deref();
    let show = |business: &mut Business, _: &World| {
        Ok(json!({ "data": [fields::PROFILE.select(&business.profile(), fields)?] }))
    };
    call.act(show).await
}

async fn set_profile(Called(call, arguments): Called) -> Answer {
    let change = arguments.object(&call.simulator).await?;
    let set = |business: &mut Business, _: &World| {
        product(&change)?;
        business.set_profile(&change).map(|()| done())
    };
    call.act(set).await
}

fn product(given: &Map<String, Value>) -> Result<(), Refusal> {
    if given.get("messaging_product").is_some_and(|product| product == "whatsapp") {
        return Ok(());
    }
    Err(Refusal::new(100, "The parameter messaging_product is required."))
}

async fn commerce(Parameters(asked): Parameters<Asked>, Called(call, _): Called) -> Answer {
    let fields = asked.fields.as_deref();
    let show = |business: &mut Business, _: &World| {
        Ok(json!({ "data": [fields::COMMERCE.select(&business.commerce(&call.number), fields)?] }))
    };
    call.act(show).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commerce {
    is_cart_enabled: Option<bool>,
    is_catalog_visible: Option<bool>,
}

async fn set_commerce(Called(call, arguments): Called) -> Answer {
    let change: Commerce = arguments.read(&call.simulator).await?;
    let set = |business: &mut Business, _: &World| {
        business.set_commerce(change.is_cart_enabled, change.is_catalog_visible);
        Ok(done())
    };
    call.act(set).await
}

async fn automation(Called(call, _): Called) -> Answer {
    let show = |business: &mut Business, _: &World| {
        Ok(json!({ "id": call.number, "conversational_automation": business.automation }))
    };
    call.act(show).await
}

async fn set_automation(Called(call, arguments): Called) -> Answer {
    let change = arguments.object(&call.simulator).await?;
    let set = |business: &mut Business, _: &World| {
        let known = ["enable_welcome_message", "prompts", "commands"];
        if let Some(key) = change.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::new(100, format!("Unexpected key \"{key}\" on param \"root\".")));
        }
        business.automation.extend(change.clone());
        Ok(done())
    };
    call.act(set).await
}

#[derive(Debug, Deserialize)]
struct Written {
    code: Option<String>,
    prefilled_message: String,
    generate_qr_image: Option<String>,
}

async fn write_code(Called(call, arguments): Called) -> Answer {
    let wanted: Written = arguments.read(&call.simulator).await?;
    written(&call, wanted).await
}

/// The code may stand in the address, too.
async fn rewrite_code(Called(call, arguments): Called) -> Answer {
    let wanted: Written = arguments.read(&call.simulator).await?;
    written(&call, Written { code: call.code.clone(), ..wanted }).await
}

async fn written(call: &Call, wanted: Written) -> Answer {
    let base = base(&call.headers);
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
    call.act(write).await
}

/// All of them, or the one that the address or the query names.
async fn codes(Parameters(asked): Parameters<Asked>, Called(call, _): Called) -> Answer {
    let (base, only) = (base(&call.headers), call.code.as_ref().or(asked.code.as_ref()));
    let fields = asked.fields.as_deref();
    // `qr_image_url.format(SVG)`
    let image = fields.and_then(|fields| fields.split(".format(").nth(1)?.split(')').next());
    let show = |business: &mut Business, _: &World| {
        let wanted = business.codes.iter().filter(|code| only.is_none_or(|only| code.code == *only));
        let shown = wanted.map(|code| fields::QR_CODE.select(&code.shown(&base, image), fields));
        Ok(json!({ "data": shown.collect::<Result<Vec<_>, _>>()? }))
    };
    call.act(show).await
}

async fn delete_code(Called(call, _): Called) -> Answer {
    let code = call.code.as_deref().unwrap_or_default();
    call.act(|business, _| business.delete_code(code).map(|()| done())).await
}

async fn blocked(Called(call, _): Called) -> Answer {
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
    call.act(show).await
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

async fn block(called: Called) -> Answer {
    set_blocked(called, true).await
}

async fn unblock(called: Called) -> Answer {
    set_blocked(called, false).await
}

async fn set_blocked(Called(call, arguments): Called, block: bool) -> Answer {
    let named: Named = arguments.read(&call.simulator).await?;
    let mut people = Vec::new();
    {
        let mut world = call.simulator.world.lock().await;
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
    call.act(act).await
}
