//! The model people: they tap buttons, quote, write, forward; some may act and some may not.

use bellwire::chance::Dice;
use bellwire::time::Timestamp;
use serde_json::json;

use crate::meta::Meta;

/// What somebody wrote.
#[derive(Debug, Clone)]
pub struct Reply {
    pub wamid: String,
    /// The contact's id.
    pub by: &'static str,
    /// Whether it must become a command; `None` for words that quote a message whose id may never have come back.
    pub acts: Option<bool>,
}

const MANAGER: &str = "nino";
const STRANGER: (&str, &str) = ("nobody", "15550109999");
const EVERYBODY: [(&str, &str); 4] =
    [(MANAGER, "15550100001"), ("giorgi", "15550100002"), ("lali", "15550100003"), STRANGER];

/// Somebody answers one of the messages that Meta took; `None` when there is none yet.
pub fn reply(meta: &mut Meta, now: Timestamp, dice: &mut Dice) -> Option<Reply> {
    let index = usize::try_from(dice.below(meta.taken.len() as u64)).unwrap_or(0);
    let message = meta.taken.get(index).cloned()?;
    let (by, phone) = match dice.below(4) {
        0 => EVERYBODY[usize::try_from(dice.below(4)).unwrap_or(0)],
        _ => EVERYBODY.into_iter().find(|(_, phone)| *phone == message.to).unwrap_or(STRANGER),
    };
    let button = message.buttons.first();
    // A button is one person's, for a day. The freezer's action asks for a role, the door's for none.
    let may = phone == message.to
        && button.is_some_and(|(id, _)| {
            acts_until(id) > meta.told(now) && (by == MANAGER || !id.contains("/stop/"))
        });
    // A button of ours under an alert becomes a note for it, and no command.
    let own = button.is_some_and(|(id, _)| id.contains("/:"));
    let (id, title) = button.cloned().unwrap_or_default();
    let (mut content, acts) = match dice.below(6) {
        0..3 if button.is_some() => (
            json!({ "type": "interactive", "context": { "id": message.wamid },
                    "interactive": { "type": "button_reply", "button_reply": { "id": id, "title": title } } }),
            Some(may),
        ),
        3 if button.is_some() => (
            json!({ "type": "text", "context": { "id": message.wamid }, "text": { "body": title.to_uppercase() } }),
            if phone == message.to && may { None } else { Some(false) },
        ),
        4 => (
            json!({ "type": "text", "context": { "forwarded": true }, "text": { "body": title } }),
            Some(false),
        ),
        _ => (json!({ "type": "text", "text": { "body": "what is that?" } }), Some(false)),
    };
    content["from"] = json!(phone);
    let wamid = meta.write(content, now, dice);
    Some(Reply { wamid, by, acts: acts.filter(|_| !own) })
}

/// A button's id says it: `bellwire/TAG/a42/EXPIRY/stop/MAC`.
fn acts_until(id: &str) -> Timestamp {
    let expiry = id.split('/').nth(3).and_then(|hex| i64::from_str_radix(hex, 16).ok());
    Timestamp(expiry.unwrap_or(0))
}
