//! What Meta would refuse (FACTS 1.1, 1.2): the code and the details.

use serde_json::Value;

type Verdict = Result<(), (i64, String)>;

/// Judges the body of a send.
pub fn message(body: &Value) -> Verdict {
    let refuse = |code, details: &str| Err((code, details.to_owned()));
    if body["messaging_product"] != "whatsapp" {
        return refuse(100, "(#100) The parameter messaging_product is required.");
    }
    if body["status"] == "read" {
        let known = body["message_id"].is_string();
        return if known { Ok(()) } else { refuse(100, "Param message_id is required.") };
    }
    let to = body["to"].as_str().or_else(|| body["recipient"].as_str()).unwrap_or_default();
    if to.is_empty() {
        return refuse(100, "The parameter to is required.");
    }
    if body["biz_opaque_callback_data"].as_str().is_some_and(|data| data.chars().count() > 512) {
        return refuse(100, "Param biz_opaque_callback_data must be at most 512 characters long.");
    }
    let kind = body["type"].as_str().unwrap_or("text");
    match kind {
        "text" => length(&body["text"]["body"], "text.body", 1, 4_096),
        "interactive" => interactive(&body["interactive"]),
        "template" => length(&body["template"]["name"], "template.name", 1, 512),
        "reaction" => length(&body["reaction"]["message_id"], "reaction.message_id", 1, 1_000),
        "image" | "document" | "audio" | "video" | "sticker" => {
            let named = body[kind]["id"].is_string() || body[kind]["link"].is_string();
            if named { caption(&body[kind]["caption"]) } else { refuse(100, "An id or a link is required.") }
        }
        "location" | "contacts" if !body[kind].is_null() => Ok(()),
        _ => Err((100, format!("Param type must be one of the supported types, not {kind}."))),
    }
}

fn interactive(object: &Value) -> Verdict {
    let kind = object["type"].as_str().unwrap_or_default();
    let limit = if kind == "list" { 4_096 } else { 1_024 };
    length(&object["body"]["text"], "interactive.body.text", 1, limit)?;
    if object["footer"].is_object() {
        length(&object["footer"]["text"], "interactive.footer.text", 1, 60)?;
    }
    match kind {
        "button" => buttons(object["action"]["buttons"].as_array().map_or(&[], Vec::as_slice)),
        "list" | "cta_url" | "location_request_message" | "flow" | "request_contact_info" => Ok(()),
        _ => Err((100, format!("Param interactive.type {kind} is not supported."))),
    }
}

fn buttons(buttons: &[Value]) -> Verdict {
    if !(1..=3).contains(&buttons.len()) {
        return Err((
            131_009,
            format!(
                "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3, not {}",
                buttons.len()
            ),
        ));
    }
    for (at, button) in buttons.iter().enumerate() {
        length(&button["reply"]["title"], "button title", 1, 20)?;
        length(&button["reply"]["id"], "button id", 1, 256)?;
        let twice = |key: &str| buttons[..at].iter().any(|other| other["reply"][key] == button["reply"][key]);
        if twice("id") || twice("title") {
            return Err((131_009, "Button ids and titles must be unique".to_owned()));
        }
    }
    Ok(())
}

fn caption(caption: &Value) -> Verdict {
    if caption.is_null() { Ok(()) } else { length(caption, "caption", 0, 1_024) }
}

fn length(value: &Value, name: &str, least: usize, most: usize) -> Verdict {
    match value.as_str().map(|text| text.encode_utf16().count()) {
        None => Err((100, format!("Param {name} is required."))),
        Some(found) if (least..=most).contains(&found) => Ok(()),
        Some(found) => {
            Err((100, format!("Param {name} must be {least} to {most} characters long, not {found}.")))
        }
    }
}
