//! What a person's doing looks like in a webhook (docs/cloud-api.md 3.5).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reply::{Reply, missing, newest};
use super::{Refused, bad};
use crate::account::DISPLAY_NUMBER;
use crate::graph::Refusal;
use crate::media::Origin;
use crate::people::{Introduction, Person};
use crate::state::Simulator;
use crate::world::{Sent, World};

/// Where it is done.
pub struct Place<'a> {
    pub simulator: &'a Simulator,
    /// Where media urls lead to.
    pub base: &'a str,
    pub number: &'a str,
}

/// A message before it has an id and a sender.
pub struct Doing {
    pub message: Value,
    /// What the phone shows.
    pub shown: String,
    pub context: Option<Value>,
    /// Whether `contacts[]` comes with it.
    pub contacts: bool,
    /// Whether it opens the window.
    pub opens: bool,
}

/// A notice of WhatsApp about a person.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    #[serde(rename = "type")]
    pub kind: SystemKind,
    /// The new number.
    pub wa_id: Option<String>,
    /// The new user id; one is made when it is absent.
    pub user_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemKind {
    UserChangedNumber,
    UserChangedUserId,
    CustomerIdentityChanged,
}

pub fn doing(place: &Place, world: &mut World, reply: &Reply, person: &Person) -> Result<Doing, Refused> {
    one_thing(reply)?;
    let mut doing = if let Some(tap) = &reply.tap {
        tapped(world, reply, person, tap)?
    } else if let Some(system) = &reply.system {
        notice(world, person, system)?
    } else if let Some(id) = &reply.edit {
        let text = reply.text.clone().unwrap_or_default();
        let new = json!({ "type": "text", "text": { "body": text } });
        let edit = json!({ "type": "edit", "edit": { "original_message_id": id, "message": new } });
        Doing { context: Some(json!({ "id": id })), opens: false, ..plain(edit, text) }
    } else if let Some((kind, encoded)) = file(reply) {
        medium(place, world, reply, kind, encoded)?
    } else {
        simple(world, reply, person)?
    };
    if let Some(quote) = &reply.quote {
        let Some(sent) = newest(world, person, |sent| sent.id == *quote) else {
            return Err(missing("there is no such message to quote"));
        };
        doing.context = Some(answering(sent));
    }
    if reply.forwarded || reply.frequently_forwarded {
        let key = if reply.forwarded { "forwarded" } else { "frequently_forwarded" };
        doing.context = Some(json!({ key: true }));
    }
    Ok(doing)
}

fn one_thing(reply: &Reply) -> Result<(), Refused> {
    let things = [
        reply.text.is_some() && reply.edit.is_none(),
        reply.tap.is_some(),
        reply.image.is_some(),
        reply.audio.is_some(),
        reply.video.is_some(),
        reply.document.is_some(),
        reply.sticker.is_some(),
        reply.reaction.is_some(),
        reply.flow.is_some(),
        reply.location.is_some(),
        reply.contacts.is_some(),
        reply.edit.is_some(),
        reply.delete.is_some(),
        reply.unsupported.is_some(),
        reply.media_error,
        reply.request_welcome,
        reply.system.is_some(),
        reply.raw.is_some(),
    ];
    if things.iter().filter(|thing| **thing).count() == 1 {
        return Ok(());
    }
    Err(bad("say what the person does: either `text` or `tap`, or one other of those in docs/simulator.md"))
}

fn plain(message: Value, shown: impl Into<String>) -> Doing {
    Doing { message, shown: shown.into(), context: None, contacts: true, opens: true }
}

fn answering(sent: &Sent) -> Value {
    json!({ "from": DISPLAY_NUMBER, "id": sent.id })
}

fn tapped(world: &World, reply: &Reply, person: &Person, tap: &str) -> Result<Doing, Refused> {
    let wanted = |sent: &Sent| reply.message_id.as_ref().is_none_or(|id| sent.id == *id);
    let is_it = |button: &&crate::buttons::Button| button.id == tap || button.title == tap;
    let has = |sent: &Sent| wanted(sent) && sent.buttons.iter().any(|button| is_it(&button));
    let found = newest(world, person, has).and_then(|sent| Some((sent, sent.buttons.iter().find(is_it)?)));
    let Some((sent, button)) = found else {
        let who = person.wa_id.as_ref().map_or_else(|| person.user_id.clone(), |wa_id| format!("+{wa_id}"));
        return Err(missing(&format!("no message to {who} has the button `{tap}`")));
    };
    Ok(Doing { context: Some(answering(sent)), ..plain(button.tapped(), button.title.clone()) })
}

/// What needs no file and changes nothing.
fn simple(world: &World, reply: &Reply, person: &Person) -> Result<Doing, Refused> {
    let of = |id: &Option<String>| {
        newest(world, person, |sent| id.as_ref().is_none_or(|id| sent.id == *id))
            .ok_or_else(|| missing("there is no such message to this person"))
    };
    if let Some(text) = &reply.text {
        return Ok(plain(json!({ "type": "text", "text": { "body": text } }), text));
    }
    if let Some(emoji) = &reply.reaction {
        let id = reply.message_id.clone().map_or_else(|| of(&None).map(|sent| sent.id.clone()), Ok)?;
        // A reaction that is taken back has no emoji (docs/cloud-api.md 3.5).
        let reaction = if emoji.is_empty() {
            json!({ "message_id": id })
        } else {
            json!({ "message_id": id, "emoji": emoji })
        };
        let message = json!({ "type": "reaction", "reaction": reaction });
        return Ok(Doing { opens: world.limits.window.reaction_opens, ..plain(message, emoji) });
    }
    if let Some(given) = &reply.flow {
        let is_flow = |sent: &Sent| {
            sent.body["interactive"]["type"] == "flow"
                && reply.message_id.as_ref().is_none_or(|id| sent.id == *id)
        };
        let sent =
            newest(world, person, is_flow).ok_or_else(|| missing("no flow was sent to this person"))?;
        let mut response = given.clone();
        response["flow_token"] = sent.body["interactive"]["action"]["parameters"]["flow_token"].clone();
        let reply = json!({ "name": "flow", "body": "Sent", "response_json": response.to_string() });
        let message =
            json!({ "type": "interactive", "interactive": { "type": "nfm_reply", "nfm_reply": reply } });
        return Ok(Doing { context: Some(answering(sent)), ..plain(message, "(flow)") });
    }
    if let Some(location) = &reply.location {
        return Ok(plain(json!({ "type": "location", "location": location }), "(location)"));
    }
    if let Some(contacts) = &reply.contacts {
        return Ok(plain(json!({ "type": "contacts", "contacts": contacts }), "(contacts)"));
    }
    if let Some(id) = &reply.delete {
        let message = json!({ "type": "revoke", "revoke": { "original_message_id": id } });
        return Ok(Doing { opens: false, ..plain(message, "(deleted)") });
    }
    if let Some(kind) = &reply.unsupported {
        let errors = Refusal::new(131_051, "Message type is currently not supported.").in_webhook();
        let message = json!({ "type": "unsupported", "errors": errors, "unsupported": { "type": kind } });
        return Ok(plain(message, format!("({kind})")));
    }
    if reply.media_error {
        let details = "Media file size too big. Max file size we currently support: 100 MB.";
        let errors = Refusal::new(131_052, details).in_webhook();
        return Ok(plain(json!({ "type": "unsupported", "errors": errors }), "(too large)"));
    }
    if reply.request_welcome {
        return Ok(plain(json!({ "type": "request_welcome" }), "(welcome)"));
    }
    Ok(plain(reply.raw.clone().unwrap_or_default(), "(raw)"))
}

fn file(reply: &Reply) -> Option<(&'static str, &String)> {
    [
        ("image", &reply.image),
        ("audio", &reply.audio),
        ("video", &reply.video),
        ("document", &reply.document),
        ("sticker", &reply.sticker),
    ]
    .into_iter()
    .find_map(|(kind, encoded)| Some((kind, encoded.as_ref()?)))
}

fn medium(
    place: &Place,
    world: &mut World,
    reply: &Reply,
    kind: &str,
    encoded: &str,
) -> Result<Doing, Refused> {
    let bytes = STANDARD.decode(encoded).map_err(|error| bad(&format!("`{kind}` is not base64: {error}")))?;
    let usual = match kind {
        "image" => "image/jpeg",
        "audio" => "audio/ogg; codecs=opus",
        "video" => "video/mp4",
        "sticker" => "image/webp",
        _ => "application/pdf",
    };
    let mime = reply.mime_type.as_deref().unwrap_or(usual);
    let now = Simulator::now(world);
    let secret = place.simulator.options.app_secret.expose_secret();
    let kept = world.media.put(place.number, mime, Bytes::from(bytes), Origin::Received, now);
    if let Some(other) = &reply.sha256 {
        kept.sha256.clone_from(other);
    }
    let mut object = json!({ "mime_type": mime, "sha256": kept.sha256, "id": kept.id.to_string(),
                             "url": kept.url(place.base, secret, now) });
    match kind {
        "audio" => object["voice"] = json!(reply.voice),
        "sticker" => object["animated"] = json!(reply.animated),
        _ => {}
    }
    if let Some(caption) = &reply.caption {
        object["caption"] = json!(caption);
    }
    if let Some(filename) = &reply.filename {
        object["filename"] = json!(filename);
    }
    let shown = reply.caption.clone().unwrap_or_else(|| format!("({kind})"));
    Ok(plain(json!({ "type": kind, kind: object }), shown))
}

/// Not a message of the person: it opens no window, comes from the old number, and without `contacts` (docs/cloud-api.md 3.5).
fn notice(world: &mut World, person: &Person, system: &System) -> Result<Doing, Refused> {
    let (old, name) = (person.wa_id.clone().unwrap_or_default(), &person.name);
    let message = match system.kind {
        SystemKind::UserChangedNumber => {
            let new = system.wa_id.as_ref().ok_or_else(|| bad("`system` needs the new number as `wa_id`"))?;
            let new: String = new.chars().filter(char::is_ascii_digit).collect();
            let moved = world.people.moved(person, &new, system.user_id.clone());
            let mut content = json!({ "type": "user_changed_number", "wa_id": new,
                                      "body": format!("User {name} changed from {old} to {new}") });
            if world.forms.user_ids {
                content["user_id"] = json!(moved.user_id);
                content["previous_user_id"] = json!(person.user_id);
            }
            json!({ "type": "system", "system": content })
        }
        SystemKind::UserChangedUserId => {
            let new =
                system.user_id.clone().ok_or_else(|| bad("`system` needs the new user id as `user_id`"))?;
            world.people.introduced(Introduction {
                wa_id: person.wa_id.clone(),
                user_id: Some(new.clone()),
                name: Some(name.clone()),
                username: person.username.clone(),
            });
            json!({ "type": "system", "system": { "type": "user_changed_user_id", "user_id": new,
                    "previous_user_id": person.user_id, "body": format!("User {name} changed their user id") } })
        }
        SystemKind::CustomerIdentityChanged => {
            let created = (Simulator::now(world).0 / 1_000).to_string();
            json!({ "type": "system", "system": { "type": "customer_identity_changed", "body": "User identity changed" },
                    "identity": { "acknowledged": true, "created_timestamp": created, "hash": "c2ltdWxhdGVk" } })
        }
    };
    let contacts = system.kind == SystemKind::CustomerIdentityChanged;
    Ok(Doing { contacts, opens: false, ..plain(message, "(system)") })
}
