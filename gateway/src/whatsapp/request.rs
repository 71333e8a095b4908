//! A message as Meta wants it (docs/cloud-api.md 1.1 to 1.4).

use serde_json::{Value, json};

use super::limits::{self, cut, parameter, split};
use crate::contact::Recipient;
use crate::contact::language::Sentences;
use crate::outbox::message::{Button, Card, Content, Header, Media, Part, Section, Template, WORDS};

/// How often a parameter may repeat the message's text.
const WORDS_MAX: usize = 2;

/// What one request says. In it every medium is an id or a link already.
#[derive(Debug, Clone, Copy)]
pub enum RequestContent<'a> {
    /// Only inside the 24 h window. `more` is the id of the row that shows what did not fit; our own words are of `sentences`.
    Free { content: &'a Content, more: &'a str, sentences: &'static Sentences },
    /// At any time. `words` fills the blanks that stand for the message's text.
    Template { template: &'a Template, words: &'a str },
}

/// The request body for `POST /{phone_number_id}/messages`. `callback` comes back in every status (at most 512
/// characters), and is the only thread back to the row when the answer is lost.
#[must_use]
pub fn body(form: RequestContent, to: &Recipient, callback: &str) -> Vec<u8> {
    let mut request = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "biz_opaque_callback_data": callback,
    });
    match to {
        // With both, Meta silently takes `to`.
        Recipient::Phone(phone) => request["to"] = json!(phone.e164()),
        Recipient::UserId(id) => request["recipient"] = json!(id),
        Recipient::Group(id) => {
            request["to"] = json!(id);
            request["recipient_type"] = json!("group");
        }
    }
    let (kind, object) = match form {
        RequestContent::Free { content, more, sentences } => free(content, more, sentences),
        RequestContent::Template { template, words } => ("template", self::template(template, words)),
    };
    request["type"] = json!(kind);
    request[kind] = object;
    if let RequestContent::Free { content, .. } = form {
        if let Some(wamid) =
            content.quotes.as_ref().filter(|_| !matches!(content.part, Some(Part::Reaction { .. })))
        {
            request["context"] = json!({ "message_id": wamid });
        }
        if let Some(hash) = &content.identity_key_hash {
            request["recipient_identity_key_hash"] = json!(hash);
        }
    }
    request.to_string().into_bytes()
}

/// Marks a message of a person, and all before it, as read; `typing` shows that an answer is being written, for at most
/// 25 s. For the same address, but without `to` and `type` (docs/cloud-api.md 1.4).
#[must_use]
pub fn mark_read(wamid: &str, typing: bool) -> Vec<u8> {
    let mut request = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": wamid });
    if typing {
        request["typing_indicator"] = json!({ "type": "text" });
    }
    request.to_string().into_bytes()
}

/// What of the text does not fit into the message, and is sent when "Read on" is tapped.
#[must_use]
pub fn rest(content: &Content) -> &str {
    split(&content.text, room(content)).1
}

/// How much text the message holds, in the form that it will have.
fn room(content: &Content) -> usize {
    match &content.part {
        None if has_file_header(content) => limits::BODY,
        None | Some(Part::List { .. }) => limits::TEXT,
        Some(_) => limits::BODY,
    }
}

fn free(content: &Content, more: &str, sentences: &Sentences) -> (&'static str, Value) {
    match content.part.as_ref() {
        None => words(content, more, sentences),
        Some(Part::Image(media)) => ("image", file(media, Some(&content.text))),
        Some(Part::Video(media)) => ("video", file(media, Some(&content.text))),
        Some(Part::Sticker(media)) => ("sticker", file(media, None)),
        Some(Part::Audio { media, voice }) => {
            let mut object = file(media, None);
            if *voice {
                object["voice"] = json!(true);
            }
            ("audio", object)
        }
        Some(Part::Document { media, filename }) => {
            let mut object = file(media, Some(&content.text));
            if let Some(filename) = filename {
                object["filename"] = json!(cut(filename, limits::BODY));
            }
            ("document", object)
        }
        Some(Part::Location { latitude, longitude, name, address }) => {
            let mut object = json!({ "latitude": latitude, "longitude": longitude });
            for (key, value) in [("name", name), ("address", address)] {
                if let Some(value) = value {
                    object[key] = json!(cut(value, limits::BODY));
                }
            }
            ("location", object)
        }
        Some(Part::Contacts(cards)) => ("contacts", cards.iter().map(card).collect()),
        Some(Part::Reaction { to, emoji }) => ("reaction", json!({ "message_id": to, "emoji": emoji })),
        Some(Part::List { label, sections }) => ("interactive", list(content, label, sections)),
        Some(Part::Link { label, url }) => {
            let parameters = json!({ "display_text": cut(label, limits::BUTTON_TITLE), "url": url });
            ("interactive", asking(content, "cta_url", "cta_url", Some(parameters)))
        }
        Some(Part::LocationRequest) => {
            ("interactive", asking(content, "location_request_message", "send_location", None))
        }
        Some(Part::ContactRequest) => {
            ("interactive", asking(content, "request_contact_info", "request_contact_info", None))
        }
        Some(Part::Flow { id, token, label, screen }) => {
            let parameters = json!({
                "flow_message_version": "3", "flow_token": token, "flow_id": id,
                "flow_cta": cut(label, limits::BUTTON_TITLE),
                "flow_action": "navigate", "flow_action_payload": { "screen": screen },
            });
            ("interactive", asking(content, "flow", "flow", Some(parameters)))
        }
    }
}

/// A list takes no picture above it, so with one the message keeps its buttons and the short body.
fn has_file_header(content: &Content) -> bool {
    matches!(content.header, Some(Header::Image(_) | Header::Video(_) | Header::Document(_)))
}

/// A text; with up to three buttons under a short one; else a list, which holds four times the text and ten rows.
fn words(content: &Content, more: &str, sentences: &Sentences) -> (&'static str, Value) {
    let (_, left) = split(&content.text, room(content));
    if content.buttons.is_empty() && left.is_empty() && content.header.is_none() {
        return ("text", json!({ "body": content.text, "preview_url": false }));
    }
    let (most, body) = (limits::BUTTONS, cut(&content.text, limits::BODY));
    let short =
        left.is_empty() && content.buttons.len() <= most && limits::length(&content.text) <= limits::BODY;
    let places = if short || has_file_header(content) { most } else { limits::ROWS };
    let mut rows = content.buttons.clone();
    if !left.is_empty() {
        rows.truncate(places - 1);
        rows.push(Button::new(more, sentences.read_on));
    }
    if places == most {
        let button = |button: &Button| json!({ "type": "reply", "reply": { "id": button.id, "title": cut(&button.title, limits::BUTTON_TITLE) } });
        let action = json!({ "buttons": rows.iter().take(most).map(button).collect::<Vec<_>>() });
        return ("interactive", interactive(content, "button", &body, action));
    }
    let label = if content.buttons.is_empty() { sentences.more } else { sentences.act };
    ("interactive", list(content, label, &[Section { title: String::new(), rows }]))
}

fn list(content: &Content, label: &str, sections: &[Section]) -> Value {
    let mut free = limits::ROWS;
    let mut section = |section: &Section| {
        let rows = section.rows.iter().take(free).map(row).collect::<Vec<_>>();
        free -= rows.len();
        let mut object = json!({ "rows": rows });
        if !section.title.is_empty() {
            object["title"] = json!(cut(&section.title, limits::ROW_TITLE));
        }
        object
    };
    let sections: Vec<Value> = sections.iter().map(&mut section).collect();
    let action = json!({ "button": cut(label, limits::BUTTON_TITLE), "sections": sections });
    interactive(content, "list", &cut(&content.text, limits::TEXT), action)
}

fn row(row: &Button) -> Value {
    let mut object = json!({ "id": row.id, "title": cut(&row.title, limits::ROW_TITLE) });
    if let Some(description) = &row.description {
        object["description"] = json!(cut(description, limits::ROW_DESCRIPTION));
    }
    object
}

fn asking(content: &Content, kind: &str, name: &str, parameters: Option<Value>) -> Value {
    let mut action = json!({ "name": name });
    if let Some(parameters) = parameters {
        action["parameters"] = parameters;
    }
    interactive(content, kind, &cut(&content.text, limits::BODY), action)
}

fn interactive(content: &Content, kind: &str, text: &str, action: Value) -> Value {
    let mut object = json!({ "type": kind, "body": { "text": text } });
    if let Some(header) = &content.header {
        object["header"] = self::header(header);
    }
    if let Some(footer) = &content.footer {
        object["footer"] = json!({ "text": cut(footer, limits::MARGIN) });
    }
    object["action"] = action;
    object
}

fn header(header: &Header) -> Value {
    match header {
        Header::Text(text) => json!({ "type": "text", "text": cut(text, limits::MARGIN) }),
        Header::Image(media) => json!({ "type": "image", "image": file(media, None) }),
        Header::Video(media) => json!({ "type": "video", "video": file(media, None) }),
        Header::Document(media) => json!({ "type": "document", "document": file(media, None) }),
    }
}

fn file(media: &Media, caption: Option<&str>) -> Value {
    let mut object = match media {
        Media::Id(id) => json!({ "id": id }),
        Media::Link(link) => json!({ "link": link }),
        // Uploaded before it comes here; Meta would refuse the empty id by name (131009).
        Media::Kept { .. } | Media::Fetch { .. } | Media::File { .. } => json!({ "id": "" }),
    };
    if let Some(caption) = caption.filter(|caption| !caption.is_empty()) {
        object["caption"] = json!(cut(caption, limits::BODY));
    }
    object
}

fn card(card: &Card) -> Value {
    let wa_id = card.phone.trim_start_matches('+');
    json!({
        "name": { "formatted_name": card.name, "first_name": card.first_name },
        "phones": [{ "phone": card.phone, "type": "WORK", "wa_id": wa_id }],
    })
}

fn template(template: &Template, words: &str) -> Value {
    let mut components = Vec::new();
    if let Some(header) = &template.header {
        components.push(json!({ "type": "header", "parameters": [self::header(header)] }));
    }
    if !template.parameters.is_empty() {
        // Shared evenly, so that a long text does not push the body over its limit whatever else is filled in.
        let room = limits::TEMPLATE_BODY * 3 / 4 / template.parameters.len();
        let words = parameter(words, room);
        let fill = |blank: &crate::outbox::message::Parameter| {
            // Once is what a rule asks for; a payload full of these would otherwise be as many copies of the words.
            let text = blank.text.replacen(WORDS, &words, WORDS_MAX).replace(WORDS, "");
            let mut object = json!({ "type": "text" });
            if let Some(name) = &blank.name {
                object["parameter_name"] = json!(name);
            }
            object["text"] = json!(parameter(&text, room));
            object
        };
        let parameters: Vec<Value> = template.parameters.iter().map(fill).collect();
        components.push(json!({ "type": "body", "parameters": parameters }));
    }
    let reply = |(index, payload): (usize, &String)| {
        json!({ "type": "button", "sub_type": "quick_reply", "index": index.to_string(),
                "parameters": [{ "type": "payload", "payload": payload }] })
    };
    components.extend(template.quick_replies.iter().enumerate().map(reply));
    if let Some(suffix) = &template.url_suffix {
        components.push(
            json!({ "type": "button", "sub_type": "url", "index": template.quick_replies.len().to_string(),
                                "parameters": [{ "type": "text", "text": suffix }] }),
        );
    }
    let mut object = json!({ "name": template.name, "language": { "code": template.language } });
    if !components.is_empty() {
        object["components"] = json!(components);
    }
    object
}

#[cfg(test)]
mod openapi;

#[cfg(test)]
mod tests;
