//! A message as Meta wants it (FACTS 1.1, 1.2).

use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation;

use crate::alert::message::{Button, Content};
use crate::contact::Phone;

/// Meta, Text messages. Meta does not say how it counts; UTF-16 units are the larger count for emoji.
const TEXT_MAX: usize = 4_096;
/// Meta, Interactive reply buttons messages.
const BODY_MAX: usize = 1_024;
const TITLE_MAX: usize = 20;
const BUTTONS_MAX: usize = 3;

/// The request body for `POST /{phone_number_id}/messages`. `callback` comes back in every status (at most 512
/// characters), and is the only thread back to the row when the answer is lost.
#[must_use]
pub fn body(content: &Content, to: &Phone, callback: &str) -> Vec<u8> {
    let mut request = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to.e164(),
        "biz_opaque_callback_data": callback,
    });
    let (kind, object) = if content.buttons.is_empty() {
        ("text", json!({ "body": cut(&content.text, TEXT_MAX), "preview_url": false }))
    } else {
        ("interactive", interactive(&content.text, &content.buttons))
    };
    request["type"] = json!(kind);
    request[kind] = object;
    if let Some(wamid) = &content.quotes {
        request["context"] = json!({ "message_id": wamid });
    }
    request.to_string().into_bytes()
}

fn interactive(text: &str, buttons: &[Button]) -> Value {
    let button = |button: &Button| json!({ "type": "reply", "reply": { "id": button.id, "title": cut(&button.title, TITLE_MAX) } });
    let buttons: Vec<Value> = buttons.iter().take(BUTTONS_MAX).map(button).collect();
    json!({ "type": "button", "body": { "text": cut(text, BODY_MAX) }, "action": { "buttons": buttons } })
}

/// At most `limit` UTF-16 units, cut between characters as people see them; a cut shows as `…`.
fn cut(text: &str, limit: usize) -> String {
    let units = |text: &str| text.encode_utf16().count();
    if units(text) <= limit {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1; // the ellipsis
    for character in text.graphemes(true) {
        used += units(character);
        if used > limit {
            break;
        }
        kept.push_str(character);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Value {
        let path = format!("{}/../tests/fixtures/cloud-api/requests/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON")
    }

    fn made(content: &Content, callback: &str) -> Value {
        let to = Phone::parse("+15550100123").expect("valid");
        let mut made: Value = serde_json::from_slice(&body(content, &to, callback)).expect("JSON");
        if callback.is_empty() {
            made.as_object_mut().expect("an object").remove("biz_opaque_callback_data");
        }
        made
    }

    fn text(text: &str) -> Content {
        Content { text: text.into(), buttons: Vec::new(), quotes: None }
    }

    #[test]
    fn a_request_equals_metas_example() {
        let plain = fixture("text_biz_opaque");
        let words = plain["text"]["body"].as_str().expect("text");
        assert_eq!(made(&text(words), plain["biz_opaque_callback_data"].as_str().expect("text")), plain);

        let mut reply = fixture("text_reply");
        reply["text"]["preview_url"] = json!(false); // the default, said aloud
        let quotes = reply["context"]["message_id"].as_str().map(str::to_owned);
        assert_eq!(made(&Content { quotes, ..text("done") }, ""), reply);

        let mut buttons = fixture("interactive_buttons");
        let interactive = buttons["interactive"].as_object_mut().expect("an object");
        interactive.remove("header"); // optional, and the alert says it all in its body
        interactive.remove("footer");
        let titles = [("ack:evt-42", "Acknowledge"), ("mute:evt-42", "Mute 1 h"), ("esc:evt-42", "Escalate")];
        let content = Content {
            buttons: titles.map(|(id, title)| Button { id: id.into(), title: title.into() }).into(),
            ..text("Pump 7: pressure high")
        };
        assert_eq!(made(&content, ""), buttons);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        let family = "👨‍👩‍👧"; // one character to people, 8 UTF-16 units
        assert_eq!(cut(&family.repeat(3), 17), format!("{family}{family}…"));
        assert_eq!(cut(&family.repeat(3), 16), format!("{family}…"));
        let long = made(&text(&"x".repeat(5_000)), "");
        assert_eq!(long["text"]["body"].as_str().expect("text").encode_utf16().count(), TEXT_MAX);
    }
}
