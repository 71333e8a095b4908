//! The model people: they tap buttons, quote, write, forward; some may act and some may not.

use bellwire::chance::Dice;
use bellwire::time::Timestamp;
use serde_json::json;

use crate::meta::Meta;

/// What somebody wrote.
#[derive(Debug, Clone)]
pub struct Reply {
    pub wamid: String,
    /// Whether it must become a command; `None` for words that quote a message whose id may never have come back.
    pub acts: Option<bool>,
}

const MANAGER: &str = "15550100001";
const EVERYBODY: [&str; 4] = [MANAGER, "15550100002", "15550100003", "15550109999"];

/// Somebody answers one of the messages that Meta took; `None` when there is none yet.
pub fn reply(meta: &mut Meta, now: Timestamp, dice: &mut Dice) -> Option<Reply> {
    let index = usize::try_from(dice.below(meta.taken.len() as u64)).unwrap_or(0);
    let message = meta.taken.get(index).cloned()?;
    let by = match dice.below(4) {
        0 => EVERYBODY[usize::try_from(dice.below(4)).unwrap_or(0)].to_owned(),
        _ => message.to.clone(),
    };
    let button = message.buttons.first();
    // The freezer's action asks for a role, the door's for none.
    let may = match button {
        Some((id, _)) if id.ends_with("/stop") => by == MANAGER,
        Some(_) => by != "15550109999",
        None => false,
    };
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
            if may && by == message.to { None } else { Some(false) },
        ),
        4 => (
            json!({ "type": "text", "context": { "forwarded": true }, "text": { "body": title } }),
            Some(false),
        ),
        _ => (json!({ "type": "text", "text": { "body": "what is that?" } }), Some(false)),
    };
    content["from"] = json!(by);
    let wamid = meta.write(content, now, dice);
    Some(Reply { wamid, acts: acts.filter(|_| !own) })
}
