//! What a person can tap in a message: reply buttons, rows of a list, quick replies of a template.

use serde_json::{Value, json};

use crate::templates::{Template, index};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    pub id: String,
    pub title: String,
    pub tap: Tap,
}

/// What a tap comes back as: template buttons are another message type than reply buttons (docs/cloud-api.md 3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tap {
    Reply,
    Row { description: Option<String> },
    Template,
}

impl Button {
    /// The `type` and content of the message that the tap sends.
    pub fn tapped(&self) -> Value {
        let (id, title) = (&self.id, &self.title);
        match &self.tap {
            Tap::Reply => json!({ "type": "interactive",
                "interactive": { "type": "button_reply", "button_reply": { "id": id, "title": title } } }),
            Tap::Row { description } => {
                let mut row = json!({ "id": id, "title": title });
                if let Some(description) = description {
                    row["description"] = json!(description);
                }
                json!({ "type": "interactive", "interactive": { "type": "list_reply", "list_reply": row } })
            }
            Tap::Template => json!({ "type": "button", "button": { "payload": id, "text": title } }),
        }
    }
}

/// The buttons of a send.
pub fn of(body: &Value, template: Option<&Template>) -> Vec<Button> {
    let action = &body["interactive"]["action"];
    let mut found = Vec::new();
    for button in list(&action["buttons"]) {
        found.extend(button_of(&button["reply"], Tap::Reply));
    }
    for row in list(&action["sections"]).iter().flat_map(|section| list(&section["rows"])) {
        let description = row["description"].as_str().map(str::to_owned);
        found.extend(button_of(row, Tap::Row { description }));
    }
    for (at, button) in template.map_or(&[][..], Template::buttons).iter().enumerate() {
        if button["type"] != "QUICK_REPLY" {
            continue;
        }
        let title = button["text"].as_str().unwrap_or_default();
        let sent = list(&body["template"]["components"]).iter().find(|component| {
            component["sub_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("quick_reply"))
                && index(component) == Some(at)
        });
        // Without a payload the label comes back (docs/cloud-api.md 1.3).
        let id = sent.and_then(|sent| sent["parameters"][0]["payload"].as_str()).unwrap_or(title);
        found.push(Button { id: id.to_owned(), title: title.to_owned(), tap: Tap::Template });
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn button_of(object: &Value, tap: Tap) -> Option<Button> {
    let text = |key: &str| object[key].as_str().map(str::to_owned);
    Some(Button { id: text("id")?, title: text("title")?, tap })
}
