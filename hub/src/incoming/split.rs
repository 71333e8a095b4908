//! One body of Meta's holds up to a thousand messages and statuses of many people. Each becomes a body of its own, of the same
//! form, so that a site reads what it has always read.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::sites::person;

/// One message or status, or a notice of the account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// A webhook body with this alone.
    pub body: Vec<u8>,
    /// The same when Meta sends it again.
    pub id: String,
    /// Over which number.
    pub number: Option<String>,
    /// A notice: for every site of the number.
    pub is_notice: bool,
    /// Of the message that a status is about.
    pub callback: Option<String>,
    /// Which button or row was tapped.
    pub tapped: Option<String>,
    /// A message that it is about or quotes.
    pub wamid: Option<String>,
    pub group: Option<String>,
    /// Whoever wrote, by phone number and by user id.
    pub from: Vec<String>,
    /// A file that the site may ask for.
    pub media: Option<String>,
}

/// Everything in a body; an error is a sentence.
pub fn split(body: &[u8]) -> Result<Vec<Item>, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON ({error})"))?;
    let entries = body["entry"].as_array().ok_or("the body has no entry")?;
    let mut items = Vec::new();
    for entry in entries {
        for change in entry["changes"].as_array().ok_or("an entry has no changes")? {
            split_change(&body, entry, change, &mut items);
        }
    }
    Ok(items)
}

fn split_change(body: &Value, entry: &Value, change: &Value, items: &mut Vec<Item>) {
    let number = text(&change["value"]["metadata"]["phone_number_id"]);
    let mut rest = change.clone();
    let mut taken = false;
    for kind in ["statuses", "messages"] {
        let Some(all) = rest["value"].as_object_mut().and_then(|value| value.remove(kind)) else { continue };
        taken = true;
        for one in all.as_array().map_or(&[][..], Vec::as_slice) {
            items.push(item(body, entry, change, kind, one, number.clone()));
        }
    }
    let has_more = rest["value"]["errors"].is_array() || !taken;
    if has_more {
        let body = wrap(body, entry, rest);
        items.push(Item { id: id(&body), body, number, is_notice: true, ..Item::default() });
    }
}

fn item(
    body: &Value,
    entry: &Value,
    change: &Value,
    kind: &str,
    one: &Value,
    number: Option<String>,
) -> Item {
    let is_status = kind == "statuses";
    let from =
        [&one["from"], &one["from_user_id"]].into_iter().filter_map(text).map(|id| person(&id)).collect();
    let mut alone = change.clone();
    if let Some(value) = alone["value"].as_object_mut() {
        for key in ["statuses", "messages", "errors"] {
            value.remove(key);
        }
        value.insert(kind.to_owned(), json!([one]));
        // The names of the others in the same body are not this site's to know.
        let of_one = |contact: &Value| {
            let ids = [&one["from"], &one["from_user_id"], &one["recipient_id"], &one["recipient_user_id"]];
            ids.into_iter().any(|id| id.is_string() && (*id == contact["wa_id"] || *id == contact["user_id"]))
        };
        if let Some(contacts) = value.get_mut("contacts").and_then(Value::as_array_mut) {
            contacts.retain(of_one);
        }
    }
    let of = &one[one["type"].as_str().unwrap_or_default()];
    let interactive = [&of["button_reply"]["id"], &of["list_reply"]["id"], &of["payload"]];
    let body = wrap(body, entry, alone);
    Item {
        id: id(&body),
        body,
        number,
        is_notice: false,
        callback: text(&one["biz_opaque_callback_data"]),
        tapped: interactive.into_iter().find_map(text),
        wamid: match is_status {
            true => text(&one["id"]),
            false => text(&one["context"]["id"]).or_else(|| text(&one["reaction"]["message_id"])),
        },
        group: text(&one["group_id"]),
        from: if is_status { Vec::new() } else { from },
        media: ["image", "video", "audio", "document", "sticker"]
            .iter()
            .find_map(|kind| text(&one[*kind]["id"])),
    }
}

fn wrap(body: &Value, entry: &Value, change: Value) -> Vec<u8> {
    let mut entry = entry.clone();
    entry["changes"] = json!([change]);
    json!({ "object": body["object"], "entry": [entry] }).to_string().into_bytes()
}

fn id(body: &[u8]) -> String {
    bellwire::hex::hex(&Sha256::digest(body))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use bellwire::reply::inbound::Inbound;
    use bellwire::whatsapp::inbound;

    use super::*;

    /// Every example of Meta's, whole and in parts, says the same to a site.
    #[test]
    fn a_body_in_parts_says_what_the_whole_body_says() {
        let root = format!("{}/../tests/fixtures/cloud-api/webhooks", env!("CARGO_MANIFEST_DIR"));
        let mut seen = 0;
        for folder in ["messages", "statuses", "fields", "batches"] {
            for file in std::fs::read_dir(format!("{root}/{folder}")).expect("a folder") {
                let path = file.expect("a file").path();
                let body = std::fs::read(&path).expect("readable");
                let Ok(items) = split(&body) else { continue };
                let words = |all: Vec<Inbound>| {
                    let says = |one: &&Inbound| !matches!(one, Inbound::Ignored(_));
                    let mut words: Vec<String> =
                        all.iter().filter(says).map(|one| format!("{one:?}")).collect();
                    words.sort();
                    words
                };
                let parts = items.iter().flat_map(|item| inbound::read(&item.body)).collect();
                assert_eq!(words(parts), words(inbound::read(&body)), "{}", path.display());
                assert_eq!(split(&body), Ok(items), "the same again");
                seen += 1;
            }
        }
        assert!(seen > 60, "{seen}");
    }

    #[test]
    fn a_message_brings_its_own_sender_and_nobody_elses() {
        let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [{ "field": "messages",
            "value": { "metadata": { "phone_number_id": "9" },
                "contacts": [{ "wa_id": "1", "profile": { "name": "Ada" } }, { "wa_id": "2", "profile": { "name": "Bo" } }],
                "messages": [
                    { "from": "1", "id": "wamid.a", "type": "image", "image": { "id": "77" }, "context": { "id": "wamid.q" } },
                    { "from": "2", "id": "wamid.b", "type": "interactive",
                      "interactive": { "type": "button_reply", "button_reply": { "id": "bellwire/0badcafe/a1/0/ack/0" } } }
                ] } }] }] });
        let items = split(body.to_string().as_bytes()).expect("good");
        assert_eq!(items.len(), 2);
        assert_eq!((items[0].wamid.as_deref(), items[0].media.as_deref()), (Some("wamid.q"), Some("77")));
        assert_eq!(items[1].tapped.as_deref(), Some("bellwire/0badcafe/a1/0/ack/0"));
        let first = String::from_utf8(items[0].body.clone()).expect("text");
        assert!(first.contains("Ada") && !first.contains("Bo") && !first.contains("wamid.b"), "{first}");
        assert_eq!((items[0].number.as_deref(), &items[1].from), (Some("9"), &vec!["2".to_owned()]));
    }

    #[test]
    fn a_body_not_from_meta_is_refused() {
        for body in ["", "{}", r#"{"entry":[{}]}"#] {
            assert!(split(body.as_bytes()).is_err(), "{body}");
        }
    }
}
