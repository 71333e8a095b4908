//! The model people: they tap buttons, quote, write, forward; some may act and some may not.

use bellwire::random::Rng;
use bellwire::time::Timestamp;
use serde_json::json;

use crate::bodies::subject;
use crate::meta::{Meta, Taken};
use crate::site::{NEW_PHONE, NUMBERS, PEOPLE};

/// What somebody wrote.
#[derive(Debug, Clone)]
pub struct Reply {
    pub wamid: String,
    /// The number that they wrote to.
    pub over: &'static str,
    /// The contact's id.
    pub by: &'static str,
    /// Whether it must become a command; `None` for words that quote a message whose id may never have come back.
    pub acts: Option<bool>,
    /// About what it is asked, and the word.
    pub says: Option<(String, String)>,
}

const MANAGER: &str = "nino";
const STRANGER: (&str, &str) = ("nobody", "15550109999");
/// The first four write by themselves.
const EVERYBODY: [(&str, &str); 5] = [PEOPLE[0], PEOPLE[1], PEOPLE[2], STRANGER, NEW_PHONE];

/// Somebody answers one of the messages that Meta took; `None` when there is none yet.
pub fn reply(meta: &mut Meta, now: Timestamp, dice: &mut Rng) -> Option<Reply> {
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
    let wamid = meta.write(content, message.over, now, dice);
    Some(Reply { wamid, over: message.over, by, acts: acts.filter(|_| !own), says: None })
}

/// Somebody wants no more messages, or wants them again: more often that, or soon nobody would hear anything.
pub fn wish(meta: &mut Meta, now: Timestamp, dice: &mut Rng) -> Reply {
    let (by, phone) = EVERYBODY[usize::try_from(dice.below(4)).unwrap_or(0)];
    let word = if dice.below(3) == 0 { "STOP" } else { "start" };
    let content = json!({ "from": phone, "type": "text", "text": { "body": word } });
    let over = NUMBERS[usize::from(dice.below(2) == 1)];
    let wamid = meta.write(content, over, now, dice);
    Reply { wamid, over, by, acts: Some(false), says: None }
}

/// Somebody wants something that needs a Yes, or answers what was asked, mostly whoever was.
pub fn answer(meta: &mut Meta, now: Timestamp, dice: &mut Rng) -> Reply {
    let asked: Vec<&Taken> =
        meta.taken.iter().rev().filter(|taken| !taken.choices.is_empty()).take(8).collect();
    let index = usize::try_from(dice.below(asked.len() as u64 * 2)).unwrap_or(0);
    let asked = asked.get(index).copied().cloned();
    let over = asked.as_ref().map(|asked| asked.over);
    let anybody = EVERYBODY[usize::try_from(dice.below(4)).unwrap_or(0)];
    let (by, phone, mut content, says) = match asked {
        None => {
            let words = ["open gate", "sound the horn"][usize::from(dice.below(2) == 1)];
            (anybody.0, anybody.1, json!({ "type": "text", "text": { "body": words } }), None)
        }
        Some(asked) => {
            let whom =
                EVERYBODY.into_iter().find(|(_, phone)| *phone == asked.to).filter(|_| dice.below(6) > 0);
            let (by, phone) = whom.unwrap_or(anybody);
            let first = asked.choices.len() == 1 || dice.below(3) > 0;
            let (id, title) = &asked.choices[usize::from(!first)];
            let says = Some((subject(id).to_owned(), title.clone()));
            let content = match dice.below(4) {
                0 => json!({ "type": "text", "context": { "id": asked.wamid }, "text": { "body": title } }),
                _ => json!({ "type": "interactive", "context": { "id": asked.wamid },
                    "interactive": { "type": "button_reply", "button_reply": { "id": id, "title": title } } }),
            };
            (by, phone, content, says)
        }
    };
    content["from"] = json!(phone);
    let over = over.unwrap_or(NUMBERS[usize::from(dice.below(2) == 1)]);
    let wamid = meta.write(content, over, now, dice);
    Reply { wamid, over, by, acts: None, says }
}

/// A button's id says it: `bellwire/TAG/a42/EXPIRY/stop/MAC`.
fn acts_until(id: &str) -> Timestamp {
    let expiry = id.split('/').nth(3).and_then(|hex| i64::from_str_radix(hex, 16).ok());
    Timestamp(expiry.unwrap_or(0))
}
