//! `POST /_simulator/reply`: a person writes, taps, sends, reacts.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};

use super::inbound::{self, Doing};
use super::{Answer, Refused, answer, bad, read, refuse};
use crate::people::{Introduction, Person};
use crate::state::Simulator;
use crate::webhooks::{messages, written};
use crate::world::{World, Written};

/// The largest picture or video that a person sends, 16 MB, in base64, and the JSON around it.
const REPLY_MAX: usize = 24 * 1024 * 1024;

pub fn routes() -> Router<Simulator> {
    Router::new().route("/_simulator/reply", post(reply).layer(DefaultBodyLimit::max(REPLY_MAX)))
}

/// Who does something, what, and how the webhook goes out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    pub from: Option<String>,
    pub user_id: Option<String>,
    pub username: Option<String>,
    pub name: Option<String>,
    pub phone_number_id: Option<String>,
    pub group_id: Option<String>,
    /// What the person does; exactly one of these, `edit` with its new `text`.
    pub text: Option<String>,
    pub tap: Option<String>,
    pub image: Option<String>,
    pub audio: Option<String>,
    pub video: Option<String>,
    pub document: Option<String>,
    pub sticker: Option<String>,
    pub reaction: Option<String>,
    pub flow: Option<Value>,
    pub location: Option<Value>,
    pub contacts: Option<Vec<Value>>,
    pub edit: Option<String>,
    pub delete: Option<String>,
    pub unsupported: Option<String>,
    pub media_error: bool,
    pub request_welcome: bool,
    pub system: Option<inbound::System>,
    pub raw: Option<Value>,
    /// Which message of a business is meant.
    pub quote: Option<String>,
    pub message_id: Option<String>,
    pub forwarded: bool,
    pub frequently_forwarded: bool,
    /// Of what is sent as a file.
    pub mime_type: Option<String>,
    pub caption: Option<String>,
    pub filename: Option<String>,
    pub voice: bool,
    pub animated: bool,
    /// Announced instead of the true digest.
    pub sha256: Option<String>,
    /// The webhook itself.
    pub id: Option<String>,
    pub timestamp: Option<i64>,
    pub duplicate: Option<u8>,
    pub forge: bool,
}

async fn reply(State(simulator): State<Simulator>, headers: HeaderMap, body: Bytes) -> Answer {
    let reply: Reply = read(&body)?;
    let base = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let (id, url, body) = {
        let mut world = simulator.world.lock().await;
        let person = person(&mut world, &reply)?;
        let number = number(&simulator, &world, &reply, &person);
        if world.account.number(&number).is_some_and(|number| number.business.has_blocked(&person.user_id)) {
            return Err(bad(
                "the number has blocked this person; DELETE /{phone_number_id}/block_users unblocks",
            ));
        }
        let place =
            inbound::Place { simulator: &simulator, base: &format!("http://{base}"), number: &number };
        let doing = inbound::doing(&place, &mut world, &reply, &person)?;
        let (id, body) = remember(&mut world, &reply, &person, &number, doing)?;
        (id, simulator.callback(&world, &number), body)
    };
    if let Some(url) = url {
        let (copies, forge) = (reply.duplicate.unwrap_or(1), reply.forge);
        tokio::spawn(async move {
            for _ in 0..copies {
                simulator.postman.deliver(&url, &body, forge).await;
            }
        });
    }
    answer(json!({ "id": id }))
}

fn person(world: &mut World, reply: &Reply) -> Result<Person, Refused> {
    let digits = |from: &String| from.chars().filter(char::is_ascii_digit).collect::<String>();
    let wa_id = reply.from.as_ref().map(digits).filter(|digits| !digits.is_empty());
    if wa_id.is_none() && reply.user_id.is_none() {
        return Err(bad("say who does it: `from`, a phone number, or `user_id`"));
    }
    let (user_id, name, username) = (reply.user_id.clone(), reply.name.clone(), reply.username.clone());
    Ok(world.people.introduced(Introduction { wa_id, user_id, name, username }))
}

/// The number that is written to: the named one, or the one that wrote last to this person, or to anyone, or the first.
fn number(simulator: &Simulator, world: &World, reply: &Reply, person: &Person) -> String {
    let of_person = || world.sent.iter().rev().find(|sent| sent.person.user_id == person.user_id);
    let named = reply.phone_number_id.clone();
    named
        .or_else(|| of_person().map(|sent| sent.phone_number_id.clone()))
        .or_else(|| simulator.options.phone_number_ids.first().cloned())
        .or_else(|| world.sent.back().map(|sent| sent.phone_number_id.clone()))
        .unwrap_or_default()
}

/// Keeps what was done, opens the window, and writes the webhook.
fn remember(
    world: &mut World,
    reply: &Reply,
    person: &Person,
    number: &str,
    doing: Doing,
) -> Result<(String, String), Refused> {
    let now = Simulator::now(world);
    let id = reply
        .id
        .clone()
        .unwrap_or_else(|| world.inbound_id(person.wa_id.as_deref().unwrap_or(&person.user_id), now));
    let Doing { mut message, shown, context, contacts, opens } = doing;
    let Some(object) = message.as_object_mut() else { return Err(bad("`raw` must be a JSON object")) };
    object.insert("id".to_owned(), json!(id));
    object.insert("timestamp".to_owned(), json!(reply.timestamp.unwrap_or(now.0 / 1_000).to_string()));
    if let Some(wa_id) = person.wa_id.as_ref().filter(|_| reply.from.is_some()) {
        object.insert("from".to_owned(), json!(wa_id));
    }
    if world.forms.user_ids {
        object.insert("from_user_id".to_owned(), json!(person.user_id));
    }
    if let Some(group) = &reply.group_id {
        world.people.joined(group, person);
        object.insert("group_id".to_owned(), json!(group));
    }
    let quotes = context.as_ref().and_then(|context| context["id"].as_str()).map(str::to_owned);
    if let Some(context) = context {
        object.insert("context".to_owned(), context);
    }
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if opens {
        world.limits.opened(number, &person.user_id, now);
    }
    world.wrote(Written {
        id: id.clone(),
        from: person.wa_id.clone().unwrap_or_default(),
        user_id: person.user_id.clone(),
        kind,
        text: shown,
        quotes,
        at: now,
        read: false,
        typing: false,
    });
    let named = person.contact(world.forms.user_ids, reply.from.is_some());
    let contacts = if contacts { vec![named] } else { Vec::new() };
    Ok((id, written(&messages(&world.account, number, contacts, "messages", &[message]))))
}

/// The newest message to a person for which this holds.
pub fn newest<'a>(
    world: &'a World,
    person: &Person,
    wanted: impl Fn(&super::Sent) -> bool,
) -> Option<&'a super::Sent> {
    world.sent.iter().rev().find(|sent| sent.person.user_id == person.user_id && wanted(sent))
}

pub fn missing(what: &str) -> Refused {
    refuse(StatusCode::NOT_FOUND, &format!("{what}; GET /_simulator/messages shows them"))
}
