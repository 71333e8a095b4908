//! Bodies as Meta writes them, and what is in ours.

use bellwire::random::Rng;
use bellwire::time::Timestamp;
use serde_json::{Value, json};

use crate::site::phone_number_id;

/// Something to be told by webhook, over one of the numbers.
#[derive(Debug, Clone)]
pub struct Item {
    pub at: Timestamp,
    pub over: &'static str,
    pub key: &'static str,
    pub value: Value,
}

pub fn webhook(items: &[Item]) -> Vec<u8> {
    let change = |item: &Item| {
        let mut value = json!({ "metadata": { "phone_number_id": phone_number_id(item.over) } });
        value[item.key] = json!([item.value]);
        json!({ "field": "messages", "value": value })
    };
    let changes: Vec<Value> = items.iter().map(change).collect();
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": changes }] })
        .to_string()
        .into_bytes()
}

/// An action of a rule, or a button of ours under an alert.
pub fn is_action(id: &str) -> bool {
    ["/stop/", "/lock/", "/:acknowledge/"].iter().any(|part| id.contains(part))
}

/// What a button is about: `bellwire/TAG/r7/…`.
pub fn subject(id: &str) -> &str {
    id.split('/').nth(2).unwrap_or_default()
}

/// What may be tapped: the buttons, or the rows of a list.
pub fn buttons(action: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let rows = list(&action["sections"]).into_iter().flat_map(|section| list(&section["rows"]));
    let buttons = list(&action["buttons"]).into_iter().map(|button| button["reply"].clone());
    buttons.chain(rows).map(|one| (text(&one["id"]), text(&one["title"]))).collect()
}

pub fn status(wamid: &str, word: &str, callback: &str, at: Timestamp, dice: &mut Rng) -> Value {
    let mut status = json!({
        "id": wamid,
        "status": word,
        "timestamp": (at.0 / 1_000).to_string(),
        "biz_opaque_callback_data": callback,
    });
    if word == "failed" {
        // Final, until the person writes, a day, tried again; and seldom the number is restricted, which stops everything.
        let code =
            [131_026, 131_047, 131_049, 131_000, 131_048][usize::try_from(dice.below(33) / 8).unwrap_or(0)];
        status["errors"] = json!([{ "code": code, "title": "a fault of the simulation" }]);
    }
    status
}
