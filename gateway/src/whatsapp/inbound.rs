//! Webhook bodies, read (docs/cloud-api.md 3.4 to 3.8). Total: a body that is not understood is said to be so, and one item that
//! is not understood holds up no other.

use serde_json::Value;

use super::errors::{ApiMessage, refusal};
use super::notices;
use crate::contact::Phone;
use crate::ids::Wamid;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Refusal;
use crate::reply::inbound::{
    IdentityChange, Inbound, InboundContent, InboundMessage, Moved, NewFile, OF_CALL, Preference, Pricing,
    Status,
};
use crate::time::Timestamp;

/// Numbers of one answer that are shown: a person has one or two.
const SHARED_MAX: usize = 3;

/// Everything that a body says, in its order.
#[must_use]
pub fn read(body: &[u8]) -> Vec<Inbound> {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return vec![Inbound::Ignored("the body is not JSON".into())];
    };
    if body["object"] != "whatsapp_business_account" {
        return vec![Inbound::Ignored(format!("object {} is not WhatsApp's", body["object"]))];
    }
    let changes: Vec<(&Value, &Value)> = list(&body["entry"])
        .iter()
        .flat_map(|entry| list(&entry["changes"]).iter().map(move |change| (entry, change)))
        .collect();
    if changes.is_empty() {
        return vec![Inbound::Ignored("the body holds no change".into())];
    }
    changes.into_iter().flat_map(|(entry, change)| read_change(entry, change)).collect()
}

fn read_change(entry: &Value, change: &Value) -> Vec<Inbound> {
    let (field, value) = (change["field"].as_str().unwrap_or_default(), &change["value"]);
    let number = text(&value["metadata"]["phone_number_id"]).unwrap_or_default();
    let preferences = list(&value["user_preferences"]);
    if field == "user_preferences" && !preferences.is_empty() {
        return preferences.iter().map(|one| read_preference(one, entry, &number)).collect();
    }
    if field != "messages" {
        let notice = notices::read(entry["id"].as_str(), field, value);
        let notice = notice.map(|notice| Inbound::Notice(notices::since(notice, value, entry)));
        return vec![notice.unwrap_or_else(|| Inbound::Ignored(format!("field {field}")))];
    }
    let statuses = list(&value["statuses"]).iter().map(|status| read_status(status, &number));
    let messages = list(&value["messages"]).iter().flat_map(|message| {
        [Some(read_message(message, &number)), read_file(message, &number)].into_iter().flatten()
    });
    let errors = list(&value["errors"]).iter().map(|error| {
        Inbound::Ignored(format!(
            "Meta reports an error of its own: {}",
            crate::outbox::retry_policy::sentence(&read_error(error))
        ))
    });
    let read: Vec<Inbound> = statuses.chain(messages).chain(errors).collect();
    if read.is_empty() {
        vec![Inbound::Ignored("a change without messages or statuses".into())]
    } else {
        read
    }
}

fn read_preference(preference: &Value, entry: &Value, phone_number_id: &str) -> Inbound {
    let at = notices::moment(&preference["timestamp"]).or_else(|| notices::moment(&entry["time"]));
    Inbound::Preference(Preference {
        phone_number_id: phone_number_id.to_owned(),
        from: text(&preference["wa_id"]),
        user_id: text(&preference["user_id"]),
        wants: preference["value"] != "stop",
        at: at.unwrap_or(Timestamp(0)),
    })
}

fn read_status(status: &Value, phone_number_id: &str) -> Inbound {
    let (Some(wamid), Some(word)) = (text(&status["id"]), text(&status["status"])) else {
        return Inbound::Ignored("a status without id or word".into());
    };
    let state = match word.as_str() {
        "sent" => Some(State::Sent),
        "delivered" => Some(State::Delivered),
        "read" => Some(State::Read),
        "played" => Some(State::Played),
        "failed" => Some(State::Failed),
        _ => None, // stored and shown; a later word must not stop us
    };
    let refusal = list(&status["errors"]).first().map(read_error);
    let of_one = ["recipient_participant_id", "recipient_participant_user_id"]
        .iter()
        .any(|key| status[*key].is_string());
    let to_group = status["recipient_type"] == "group" || of_one;
    let group = text(&status["recipient_id"]).filter(|_| to_group);
    let recipients = [&status["recipient_id"], &status["recipient_user_id"]];
    let recipients = recipients.into_iter().filter(|_| !to_group).filter_map(text).collect();
    // That one of a group did not get it is stored and shown: the others may have.
    let (state, word) = match state {
        Some(State::Failed) if of_one => (None, "failed for one of the group".to_owned()),
        state => (state, word),
    };
    Inbound::Status(Status {
        wamid: Wamid(wamid),
        phone_number_id: (!phone_number_id.is_empty()).then(|| phone_number_id.to_owned()),
        callback: text(&status["biz_opaque_callback_data"]),
        state,
        word,
        group,
        at: seconds(&status["timestamp"]),
        refusal,
        recipients,
        pricing: text(&status["pricing"]["category"]).map(|category| Pricing {
            category,
            kind: text(&status["pricing"]["type"]).unwrap_or_else(|| "regular".into()),
        }),
    })
}

fn read_error(error: &Value) -> Refusal {
    let details = text(&error["error_data"]["details"])
        .or_else(|| text(&error["error_data"]))
        .or_else(|| text(&error["message"]))
        .or_else(|| text(&error["title"]));
    refusal(ApiMessage {
        code: error["code"].as_i64().unwrap_or(-1),
        details: details.unwrap_or_else(|| "Meta gave no details".into()),
        ..ApiMessage::default()
    })
}

fn read_message(message: &Value, phone_number_id: &str) -> Inbound {
    let (Some(wamid), Some(kind)) = (text(&message["id"]), text(&message["type"])) else {
        return Inbound::Ignored("a message without id or type".into());
    };
    if kind == "system" {
        return read_system(message, phone_number_id);
    }
    if matches!(kind.as_str(), "edit" | "revoke") {
        return Inbound::Ignored(format!("a message of type {kind}"));
    }
    // A recording that a caller left, or anything else that belongs to a call: nobody wrote it, nobody tapped it (Meta, calls).
    let content = match wamid.starts_with(OF_CALL) {
        true => InboundContent::Other(format!("{kind} of a call")),
        false => read_content(&kind, message),
    };
    let context = &message["context"];
    let is_true = |value: &Value| value.as_bool() == Some(true);
    Inbound::Reply(InboundMessage {
        wamid: Wamid(wamid),
        from: text(&message["from"]),
        user_id: text(&message["from_user_id"]),
        group: text(&message["group_id"]),
        phone_number_id: phone_number_id.to_owned(),
        at: seconds(&message["timestamp"]),
        quotes: text(&context["id"]).or_else(|| text(&message["reaction"]["message_id"])).map(Wamid),
        forwarded: is_true(&context["forwarded"]) || is_true(&context["frequently_forwarded"]),
        content,
    })
}

fn read_system(message: &Value, phone_number_id: &str) -> Inbound {
    let system = &message["system"];
    let said = system["type"].as_str().unwrap_or_default();
    // Earlier forms say `new_wa_id`, and `customer` for the number until then (Meta, webhooks reference, system object).
    let new = || text(&system["wa_id"]).or_else(|| text(&system["new_wa_id"]));
    let what = match said {
        "user_changed_number" | "customer_changed_number" => {
            new().map_or(IdentityChange::UserId, IdentityChange::Number)
        }
        "user_changed_user_id" => IdentityChange::UserId,
        "customer_identity_changed" => IdentityChange::Phone,
        _ => return Inbound::Ignored(format!("a system message of type {said}")),
    };
    Inbound::Moved(Moved {
        phone_number_id: phone_number_id.to_owned(),
        at: seconds(&message["timestamp"]),
        from: text(&message["from"]).or_else(|| text(&system["customer"])),
        user_id: text(&system["previous_user_id"]).or_else(|| text(&message["from_user_id"])),
        what,
    })
}

fn read_file(message: &Value, phone_number_id: &str) -> Option<Inbound> {
    let kind = message["type"].as_str()?;
    if !matches!(kind, "image" | "video" | "audio" | "document" | "sticker") {
        return None;
    }
    let of = &message[kind];
    Some(Inbound::File(NewFile {
        wamid: Wamid(text(&message["id"])?),
        phone_number_id: phone_number_id.to_owned(),
        media_id: text(&of["id"]).filter(|id| is_media_id(id))?,
        kind: kind.to_owned(),
        mime: text(&of["mime_type"]).unwrap_or_default(),
        name: text(&of["filename"]),
        sha256: text(&of["sha256"]),
        at: seconds(&message["timestamp"]),
    }))
}

/// It becomes a part of the address that is asked for the file: nothing in it may lead elsewhere.
fn is_media_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn read_content(kind: &str, message: &Value) -> InboundContent {
    let tap = |id: &Value, title: &Value| {
        let title = text(title).unwrap_or_default();
        InboundContent::Tap { id: text(id).unwrap_or_else(|| title.clone()), title }
    };
    let of = &message[kind];
    match kind {
        "text" => InboundContent::Text(text(&of["body"]).unwrap_or_default()),
        "button" => tap(&of["payload"], &of["text"]),
        "interactive" => match of["type"].as_str() {
            Some(form @ ("button_reply" | "list_reply")) => tap(&of[form]["id"], &of[form]["title"]),
            Some("nfm_reply") => {
                match text(&of["nfm_reply"]["response_json"]).map(|json| serde_json::from_str(&json)) {
                    Some(Ok(facts)) => InboundContent::Given { kind: "flow".to_owned(), facts },
                    Some(Err(_)) | None => {
                        InboundContent::Other("interactive nfm_reply without answers".to_owned())
                    }
                }
            }
            form => InboundContent::Other(format!("interactive {}", form.unwrap_or("without a form"))),
        },
        // An empty emoji, or none, takes a reaction back.
        "reaction" => {
            InboundContent::Reaction { emoji: text(&of["emoji"]).filter(|emoji| !emoji.is_empty()) }
        }
        "contacts" => shared_number(of),
        "location" => some_of(kind, of, &["latitude", "longitude", "name", "address", "url"]),
        "image" | "video" | "audio" | "document" | "sticker" => {
            let file = some_of(kind, of, &["mime_type", "filename", "sha256", "voice"]);
            match (text(&of["caption"]).filter(|caption| !caption.is_empty()), file) {
                (Some(caption), InboundContent::Given { kind, facts }) => {
                    InboundContent::Captioned { kind, caption, facts }
                }
                (_, file) => file,
            }
        }
        other => InboundContent::Other(other.to_owned()),
    }
}

/// Whoever hides the number gave it when we asked (`origin`, Meta's contacts webhook since July 2026). A card of somebody else is
/// no such answer.
fn shared_number(cards: &Value) -> InboundContent {
    let answers = list(cards).iter().filter(|card| card["origin"] == "contact_request");
    let phones = answers.flat_map(|card| list(&card["phones"]));
    let read = |phone: &Value| {
        let written = phone["phone"].as_str().and_then(|written| Phone::parse(written).ok());
        written.or_else(|| Phone::from_wa_id(phone["wa_id"].as_str()?).ok())
    };
    let numbers: Vec<Phone> = phones.filter_map(read).take(SHARED_MAX).collect();
    if numbers.is_empty() {
        InboundContent::Other("contacts".to_owned())
    } else {
        InboundContent::SharedNumber(numbers)
    }
}

/// What a display may know of it: not the ids and links by which Meta gives it out.
fn some_of(kind: &str, of: &Value, wanted: &[&str]) -> InboundContent {
    let known = |name: &&str| of.get(*name).map(|value| ((*name).to_owned(), value.clone()));
    InboundContent::Given {
        kind: kind.to_owned(),
        facts: Value::Object(wanted.iter().filter_map(known).collect()),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Seconds, as a string in most places and as a number in some.
fn seconds(value: &Value) -> Timestamp {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    Timestamp(seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixtures() -> Vec<(String, Vec<u8>)> {
        let root = format!("{}/../tests/fixtures/cloud-api/webhooks", env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        for folder in ["messages", "statuses", "fields", "batches"] {
            for file in std::fs::read_dir(format!("{root}/{folder}")).expect("a folder") {
                let file = file.expect("a file");
                let name = format!("{folder}/{}", file.file_name().to_string_lossy());
                files.push((name, std::fs::read(file.path()).expect("readable")));
            }
        }
        files.sort();
        files
    }

    #[test]
    fn every_body_of_metas_is_taken() {
        let mut seen = String::new();
        for (name, body) in fixtures() {
            for inbound in read(&body) {
                let what = match inbound {
                    Inbound::Status(status) => {
                        let code =
                            status.refusal.map(|refusal| format!(" {} {:?}", refusal.code, refusal.class));
                        let pricing =
                            status.pricing.map(|price| format!(" {} {}", price.category, price.kind));
                        format!(
                            "status {}{}{}",
                            status.word,
                            code.unwrap_or_default(),
                            pricing.unwrap_or_default()
                        )
                    }
                    Inbound::Reply(reply) => {
                        let marks = [
                            (reply.quotes.is_some(), " quoting"),
                            (reply.forwarded, " forwarded"),
                            (reply.from.is_none(), " without phone"),
                        ];
                        let marks: String =
                            marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
                        format!("reply {:?}{marks}", reply.content)
                    }
                    Inbound::Notice(notice) => format!(
                        "notice {} at {}: {} {:?} {:?}",
                        notice.severity.as_str(),
                        notice.at.map_or_else(|| "no time".to_owned(), Timestamp::rfc3339),
                        notice.text,
                        notice.facts,
                        notice.template
                    ),
                    Inbound::File(file) => {
                        format!("file {} {} {}", file.kind, file.mime, file.name.unwrap_or_default())
                    }
                    Inbound::Moved(moved) => format!("moved {:?}", moved.what),
                    Inbound::Preference(wish) => {
                        format!("preference {:?} {:?} {} {}", wish.from, wish.user_id, wish.wants, wish.at)
                    }
                    Inbound::Ignored(why) => format!("ignored: {why}"),
                };
                seen.push_str(&format!("{name}: {what}\n"));
            }
        }
        insta::assert_snapshot!(seen);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            drop(read(&body));
        }

        #[test]
        fn a_damaged_body_is_survived(which in 0usize..80, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let files = fixtures();
            let mut body = files[which % files.len()].1.clone();
            let at = at.index(body.len());
            body[at] = byte;
            drop(read(&body));
        }
    }
}
