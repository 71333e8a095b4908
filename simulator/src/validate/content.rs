//! Text, media, location, contacts, reaction (docs/cloud-api.md 1.2).

use serde_json::Value;

use super::{Missing, Verdict, length, only, refuse};

pub fn content(kind: &str, object: &Value) -> Verdict {
    match kind {
        "text" => {
            only(object, "text", &["body", "preview_url"])?;
            length(&object["body"], "text['body']", 1..=4_096, Missing::Refused)
        }
        "reaction" => {
            only(object, "reaction", &["message_id", "emoji"])?;
            length(&object["message_id"], "reaction['message_id']", 1..=1_000, Missing::Refused)?;
            // One emoji can have a dozen code points; a sentence is no emoji.
            length(&object["emoji"], "reaction['emoji']", 0..=40, Missing::Refused)
        }
        "location" => location(object),
        "contacts" => contacts(object),
        media => attachment(media, object),
    }
}

/// An image, a document, an audio, a video or a sticker: by id or by link, not by both.
pub fn attachment(kind: &str, object: &Value) -> Verdict {
    let more: &[&str] = match kind {
        "document" => &["caption", "filename"],
        "audio" => &["voice"],
        "sticker" => &[],
        _ => &["caption"],
    };
    only(object, kind, &[&["id", "link"], more].concat())?;
    match (object["id"].as_str(), object["link"].as_str()) {
        (Some(id), None) if !id.is_empty() => {}
        (None, Some(link)) if is_link(link) => {}
        (None, Some(_)) => return refuse(100, &format!("Param {kind}['link'] is not a valid URL.")),
        (Some(_), Some(_)) => {
            return refuse(100, &format!("Param {kind} takes either id or link, not both."));
        }
        _ => return refuse(131_008, &format!("Parameter {kind}['id'] or {kind}['link'] is mandatory")),
    }
    length(&object["caption"], &format!("{kind}['caption']"), 0..=1_024, Missing::Fine)?;
    length(&object["filename"], &format!("{kind}['filename']"), 1..=240, Missing::Fine)
}

pub fn is_link(link: &str) -> bool {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

/// Coordinates are documented as strings and numbers are said to work (docs/cloud-api.md 1.2): both are taken.
fn location(object: &Value) -> Verdict {
    only(object, "location", &["latitude", "longitude", "name", "address"])?;
    for (name, limit) in [("latitude", 90.0), ("longitude", 180.0)] {
        let value = &object[name];
        if value.is_null() {
            return refuse(131_008, &format!("Parameter location['{name}'] is mandatory"));
        }
        let degrees = value.as_str().and_then(|text| text.parse::<f64>().ok()).or_else(|| value.as_f64());
        if !degrees.is_some_and(|degrees| degrees.abs() <= limit) {
            return refuse(131_009, &format!("Location {name} is not a number of degrees within {limit}"));
        }
    }
    length(&object["name"], "location['name']", 0..=1_000, Missing::Fine)?;
    length(&object["address"], "location['address']", 0..=1_000, Missing::Fine)
}

fn contacts(list: &Value) -> Verdict {
    let Some(list) = list.as_array() else { return refuse(100, "Param contacts must be an array.") };
    if !(1..=257).contains(&list.len()) {
        return refuse(131_009, "Invalid contacts count. Min: 1, Max: 257");
    }
    for contact in list {
        let name = &contact["name"];
        length(&name["formatted_name"], "contacts['name']['formatted_name']", 1..=1_000, Missing::Refused)?;
        let part = |part: &&str| name[*part].is_string();
        if !["first_name", "last_name", "middle_name", "prefix", "suffix"].iter().any(part) {
            return refuse(131_009, "A contact's name needs one more part than formatted_name");
        }
    }
    Ok(())
}
