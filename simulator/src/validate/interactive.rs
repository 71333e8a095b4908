//! Buttons, lists, links, flows (docs/cloud-api.md 1.2).

use serde_json::Value;

use super::content::{attachment, is_link};
use super::{Lengths, Missing, Verdict, length, only, refuse};

pub fn interactive(object: &Value) -> Verdict {
    only(object, "interactive", &["type", "header", "body", "footer", "action"])?;
    let Some(kind) = object["type"].as_str() else {
        return refuse(131_008, "Parameter interactive['type'] is mandatory");
    };
    let action = &object["action"];
    let form: fn(&Value) -> Verdict = match kind {
        "button" => buttons,
        "list" => list,
        "cta_url" => link,
        "location_request_message" => |action| named(action, "send_location"),
        "request_contact_info" => |action| named(action, "request_contact_info"),
        "flow" => flow,
        "product" | "product_list" | "catalog_message" | "address_message" | "call_permission_request" => {
            return refuse(131_051, &format!("The simulator does not play interactive type {kind}."));
        }
        _ => return refuse(131_009, &format!("Interactive type {kind} is not valid")),
    };
    characters(&object["body"]["text"], "Body text", 1..=if kind == "list" { 4_096 } else { 1_024 })?;
    if !object["footer"].is_null() {
        characters(&object["footer"]["text"], "Footer text", 1..=60)?;
    }
    if !object["header"].is_null() {
        header(kind, &object["header"])?;
    }
    if action.is_null() {
        return refuse(131_008, "Parameter interactive['action'] is mandatory");
    }
    form(action)
}

/// Lengths inside an interactive message are refused with 131009 and these words.
fn characters(value: &Value, name: &str, range: Lengths) -> Verdict {
    match value.as_str().map(|text| text.encode_utf16().count()) {
        None => refuse(131_008, &format!("{name} is mandatory")),
        Some(found) if range.contains(&found) => Ok(()),
        Some(_) => refuse(
            131_009,
            &format!("{name} length invalid. Min length: {}, Max length: {}", range.start(), range.end()),
        ),
    }
}

fn header(kind: &str, header: &Value) -> Verdict {
    match (header["type"].as_str().unwrap_or_default(), kind) {
        ("text", _) => characters(&header["text"], "Header text", 1..=60),
        (media @ ("image" | "video" | "document"), "button" | "cta_url" | "flow") => {
            attachment(media, &header[media])
        }
        (other, _) => refuse(131_009, &format!("Header type {other} is not valid for interactive {kind}")),
    }
}

fn buttons(action: &Value) -> Verdict {
    let buttons = action["buttons"].as_array().map_or(&[][..], Vec::as_slice);
    if !(1..=3).contains(&buttons.len()) {
        return refuse(131_009, "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3");
    }
    for (at, button) in buttons.iter().enumerate() {
        if button["type"] != "reply" {
            return refuse(131_009, "Button type is not valid. Allowed: reply");
        }
        characters(&button["reply"]["title"], "Button title", 1..=20)?;
        identifier(&button["reply"]["id"], "Button id", 256)?;
        let twice = |key: &str| buttons[..at].iter().any(|other| other["reply"][key] == button["reply"][key]);
        if twice("id") || twice("title") {
            return refuse(131_009, "Duplicated button: ids and titles must be unique");
        }
    }
    Ok(())
}

fn identifier(value: &Value, name: &str, most: usize) -> Verdict {
    characters(value, name, 1..=most)?;
    let id = value.as_str().unwrap_or_default();
    if id.trim() == id {
        return Ok(());
    }
    refuse(131_009, &format!("{name} must not begin or end with a space"))
}

fn list(action: &Value) -> Verdict {
    characters(&action["button"], "Button label", 1..=20)?;
    let sections = action["sections"].as_array().map_or(&[][..], Vec::as_slice);
    if !(1..=10).contains(&sections.len()) {
        return refuse(131_009, "Invalid sections count. Min: 1, Max: 10");
    }
    let mut ids: Vec<&str> = Vec::new();
    for section in sections {
        if sections.len() > 1 || !section["title"].is_null() {
            characters(&section["title"], "Section title", 1..=24)?;
        }
        let rows = section["rows"].as_array().map_or(&[][..], Vec::as_slice);
        if rows.is_empty() {
            return refuse(131_009, "A section needs at least one row");
        }
        for row in rows {
            identifier(&row["id"], "Row id", 200)?;
            characters(&row["title"], "Row title", 1..=24)?;
            if !row["description"].is_null() {
                // Empty is taken, as heyoo's example has it; no page of Meta's says so.
                characters(&row["description"], "Row description", 0..=72)?;
            }
            let id = row["id"].as_str().unwrap_or_default();
            if ids.contains(&id) {
                return refuse(131_009, &format!("Duplicated row id {id}"));
            }
            ids.push(id);
        }
    }
    if ids.len() > 10 {
        return refuse(131_009, "Total row count exceeds the maximum allowed count: 10");
    }
    Ok(())
}

fn named(action: &Value, name: &str) -> Verdict {
    if action["name"] == name { Ok(()) } else { refuse(131_009, &format!("Action name must be {name}")) }
}

fn link(action: &Value) -> Verdict {
    named(action, "cta_url")?;
    let parameters = &action["parameters"];
    only(parameters, "parameters", &["display_text", "url"])?;
    characters(&parameters["display_text"], "Button label", 1..=20)?;
    match parameters["url"].as_str() {
        Some(url) if is_link(url) => Ok(()),
        Some(_) => refuse(131_009, "Button url is not a valid URL"),
        None => refuse(131_008, "Button url is mandatory"),
    }
}

fn flow(action: &Value) -> Verdict {
    named(action, "flow")?;
    let parameters = &action["parameters"];
    if parameters["flow_message_version"] != "3" {
        return refuse(131_009, "flow_message_version must be \"3\"");
    }
    if parameters["flow_id"].is_string() == parameters["flow_name"].is_string() {
        return refuse(131_009, "Give either flow_id or flow_name");
    }
    length(&parameters["flow_cta"], "flow_cta", 1..=30, Missing::Refused)?;
    let kind = parameters["flow_action"].as_str().unwrap_or("navigate");
    if !["navigate", "data_exchange"].contains(&kind) {
        return refuse(131_009, "flow_action must be navigate or data_exchange");
    }
    let mode = parameters["mode"].as_str().unwrap_or("published");
    if !["published", "draft"].contains(&mode) {
        return refuse(131_009, "mode must be published or draft");
    }
    let payload = &parameters["flow_action_payload"];
    if kind == "navigate" && !payload.is_null() && !payload["screen"].is_string() {
        return refuse(131_009, "flow_action_payload needs a screen");
    }
    Ok(())
}
