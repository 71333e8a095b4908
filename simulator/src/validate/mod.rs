//! What Meta would refuse before it looks anything up (docs/cloud-api.md 1.1 to 1.4): the code and the details.

/// Text, media, location, contacts, reaction.
mod content;
/// Buttons, lists, links, flows.
mod interactive;

use serde_json::Value;

use crate::graph::Refusal;

pub type Verdict = Result<(), Refusal>;

/// Meta puts the sender's country code before a number without `+` (docs/cloud-api.md 1.1). The simulated numbers are American, and so is
/// a number of ten digits whose area and exchange begin with 2 to 9 (North American Numbering Plan); any other is complete:
/// what a webhook gave as `from` can be answered as it is.
const COUNTRY_OF_THE_SENDER: &str = "1";
/// The simulated numbers' own digits: nobody can write to oneself.
const SENDER: &str = "15550100100";
const COMMON: [&str; 7] =
    ["messaging_product", "recipient_type", "to", "recipient", "type", "context", "biz_opaque_callback_data"];

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// Digits with the country code, as `wa_id`.
    Phone(String),
    /// A business-scoped user id.
    User(String),
    Group(String),
}

/// A send that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Read { message_id: String, typing: bool },
    Message { recipient: Recipient, kind: String },
}

/// Judges the body of a send.
pub fn message(body: &Value) -> Result<Request, Refusal> {
    if body["messaging_product"] != "whatsapp" {
        return refuse(100, "The parameter messaging_product is required.");
    }
    if !body["status"].is_null() {
        return read(body);
    }
    let kind = body["type"].as_str().unwrap_or("text");
    let recipient = recipient(body, kind)?;
    length(&body["biz_opaque_callback_data"], "biz_opaque_callback_data", 0..=512, Missing::Fine)?;
    if !body["context"].is_null() {
        if kind == "reaction" {
            return refuse(100, "A reaction cannot be a reply: leave out context.");
        }
        length(&body["context"]["message_id"], "context['message_id']", 1..=1_000, Missing::Refused)?;
    }
    let object = &body[kind];
    if kind == "pin" {
        return refuse(131_051, "The simulator does not play message type pin.");
    }
    if !is_kind(kind) {
        return refuse(131_051, &format!("Message type {kind} is not supported."));
    }
    only(body, "root", &[&COMMON[..], &["recipient_identity_key_hash", kind]].concat())?;
    if object.is_null() {
        return refuse(131_008, &format!("Parameter '{kind}' is mandatory for type '{kind}'"));
    }
    match kind {
        "interactive" => interactive::interactive(object)?,
        "template" => template(object)?,
        _ => content::content(kind, object)?,
    }
    Ok(Request::Message { recipient, kind: kind.to_owned() })
}

fn is_kind(kind: &str) -> bool {
    matches!(
        kind,
        "text" | "template" | "image" | "document" | "audio" | "video" | "sticker" | "location" | "contacts"
    ) || matches!(kind, "reaction" | "interactive")
}

fn read(body: &Value) -> Result<Request, Refusal> {
    only(body, "root", &["messaging_product", "status", "message_id", "typing_indicator"])?;
    if body["status"] != "read" {
        return refuse(100, "Param status must be one of {READ}.");
    }
    length(&body["message_id"], "message_id", 1..=1_000, Missing::Refused)?;
    let typing = &body["typing_indicator"];
    if !typing.is_null() && typing["type"] != "text" {
        return refuse(100, "Param typing_indicator['type'] must be one of {TEXT}.");
    }
    let message_id = body["message_id"].as_str().unwrap_or_default().to_owned();
    Ok(Request::Read { message_id, typing: !typing.is_null() })
}

/// `to` wins silently over `recipient` (docs/cloud-api.md 1.1).
fn recipient(body: &Value, kind: &str) -> Result<Recipient, Refusal> {
    let group = match body["recipient_type"].as_str() {
        None | Some("individual") => false,
        Some("group") => true,
        Some(_) => return refuse(100, "Param recipient_type must be one of {INDIVIDUAL, GROUP}."),
    };
    match (body["to"].as_str(), body["recipient"].as_str()) {
        (Some(to), _) if group => Ok(Recipient::Group(to.to_owned())),
        (Some(to), _) => phone(to),
        (None, Some(user)) if is_user_id(user) => Ok(Recipient::User(user.to_owned())),
        (None, Some(user)) => refuse(131_009, &format!("'{user}' is not a business-scoped user id")),
        (None, None) => refuse(131_008, &format!("Parameter 'to' is mandatory for type '{kind}'")),
    }
}

fn phone(to: &str) -> Result<Recipient, Refusal> {
    let usual = to.chars().all(|character| character.is_ascii_digit() || " +-()".contains(character));
    let mut digits: String = to.chars().filter(char::is_ascii_digit).collect();
    if !to.trim_start().starts_with('+') && is_american(&digits) {
        digits.insert_str(0, COUNTRY_OF_THE_SENDER);
    }
    // E.164: at most 15 digits; the shortest subscribers' numbers with a country code have 7.
    if !usual || !(7..=15).contains(&digits.len()) {
        return refuse(131_009, &format!("'{to}' is not a valid phone number"));
    }
    if digits == SENDER {
        return refuse(131_021, "The recipient's phone number is the sender's.");
    }
    Ok(Recipient::Phone(digits))
}

fn is_american(digits: &str) -> bool {
    let digits = digits.as_bytes();
    digits.len() == 10 && [digits[0], digits[3]].iter().all(|digit| (b'2'..=b'9').contains(digit))
}

/// `US.` and up to 128 letters and digits, or `US.ENT.` and the same (docs/cloud-api.md 3.6).
fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else { return false };
    let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.chars().all(|letter| letter.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.chars().all(|letter| letter.is_ascii_alphanumeric())
}

/// The form alone; whether the catalogue has it is judged where the catalogue is.
fn template(object: &Value) -> Verdict {
    only(object, "template", &["name", "language", "components", "namespace"])?;
    length(&object["name"], "template['name']", 1..=512, Missing::Refused)?;
    length(&object["language"]["code"], "template['language']['code']", 1..=20, Missing::Refused)?;
    if object["components"].is_array() || object["components"].is_null() {
        Ok(())
    } else {
        refuse(100, "Param template['components'] must be an array.")
    }
}

fn refuse<T>(code: i64, details: &str) -> Result<T, Refusal> {
    Err(Refusal::new(code, details))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Fine,
    Refused,
}

type Lengths = std::ops::RangeInclusive<usize>;

/// Meta counts characters and does not say which; UTF-16 units are what its clients count.
fn length(value: &Value, name: &str, range: Lengths, missing: Missing) -> Verdict {
    match value.as_str().map(|text| text.encode_utf16().count()) {
        None if value.is_null() && missing == Missing::Fine => Ok(()),
        None if value.is_null() => refuse(131_008, &format!("Parameter {name} is mandatory")),
        None => refuse(100, &format!("Param {name} must be a string.")),
        Some(found) if range.contains(&found) => Ok(()),
        Some(0) => refuse(100, &format!("Param {name} cannot be empty.")),
        Some(_) => refuse(100, &format!("Param {name} must be at most {} characters long.", range.end())),
    }
}

/// A misspelt key is refused, not passed over (code 100, "unsupported or misspelt parameter").
fn only(object: &Value, name: &str, keys: &[&str]) -> Verdict {
    let Some(object) = object.as_object() else {
        return refuse(100, &format!("Param {name} must be a JSON object."));
    };
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => refuse(100, &format!("Unexpected key \"{key}\" on param \"{name}\".")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(body: &Value) -> i64 {
        message(body).map_or_else(|refusal| refusal.code, |_| 0)
    }

    #[test]
    fn every_example_of_metas_is_taken() {
        let folder = format!("{}/../tests/fixtures/cloud-api/requests", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(folder).expect("a folder") {
            let path = file.expect("a file").path();
            let body: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
            assert_eq!(code(&body), 0, "{}: {:?}", path.display(), message(&body));
        }
    }

    #[test]
    fn a_recipient_is_a_phone_number_or_a_user_id() {
        let to = |body: Value| {
            let mut body = body;
            body["messaging_product"] = json!("whatsapp");
            body["text"] = json!({ "body": "x" });
            body
        };
        let phone = |digits: &str| {
            Ok(Request::Message { recipient: Recipient::Phone(digits.into()), kind: "text".into() })
        };
        assert_eq!(message(&to(json!({ "to": "+995 (555) 12-34-56" }))), phone("995555123456"));
        assert_eq!(
            message(&to(json!({ "to": "631 555 1234" }))),
            phone("16315551234"),
            "the sender's country"
        );
        assert_eq!(message(&to(json!({ "to": "995555123456" }))), phone("995555123456"), "complete");
        assert_eq!(
            message(&to(json!({ "to": "4791234567" }))),
            phone("4791234567"),
            "ten digits that are not American"
        );
        assert_eq!(message(&to(json!({ "to": "+15550100123", "recipient": "US.1" }))), phone("15550100123"));
        for (body, expected) in [
            (json!({ "recipient": "US.ENT.13491208655302741918" }), 0),
            (json!({ "recipient": "us.1" }), 131_009),
            (json!({ "to": "+1555" }), 131_009),
            (json!({ "to": "nino" }), 131_009),
            (json!({ "to": "+1 555 010 0100" }), 131_021),
            (json!({}), 131_008),
            (json!({ "to": "+15550100123", "recipient_type": "team" }), 100),
            (json!({ "to": "+15550100123", "typ": "text" }), 100),
            (json!({ "to": "+15550100123", "type": "hologram" }), 131_051),
        ] {
            let body = to(body);
            assert_eq!(code(&body), expected, "{body}");
        }
    }
}
