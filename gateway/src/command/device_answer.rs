//! What a device's answer means.

use minijinja::value::{Serde, Value};
use serde_json::json;

use crate::command::action::Awaited;
use crate::command::phrase::same;
use crate::event::decode::PayloadFormat;
use crate::event::decode::decode;
use crate::rule::template::Expressions;

/// What is shown of a device's words: two lines on a phone.
const SHOWN_MAX: usize = 160;
/// Of a device that says no more than No; each person reads it in their own words.
pub const REFUSED: &str = "the device refused";
/// More than any answer. A longer one is not read in part: cut off, a No in JSON is mere text, and text is a Yes.
const PAYLOAD_MAX: usize = 16 * 1024;
const YES: [&str; 8] = ["ok", "done", "true", "1", "yes", "success", "accepted", "completed"];
const NO: [&str; 11] =
    ["no", "false", "0", "error", "failed", "failure", "refused", "rejected", "denied", "busy", "locked"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceVerdict {
    /// Done; what the device had to say about it.
    Done(Option<String>),
    Refused(String),
    /// A state on the way, or one that tells nothing.
    Undecided,
}

/// What arrived on the topic that is awaited.
#[must_use]
pub fn of(awaited: &Awaited, content_type: Option<&str>, payload: &[u8]) -> DeviceVerdict {
    if payload.len() > PAYLOAD_MAX {
        return DeviceVerdict::Undecided;
    }
    let Ok(value) = decode(PayloadFormat::Auto, content_type, payload) else {
        return DeviceVerdict::Undecided; // noise says neither
    };
    let context = Value::from(Serde(json!({ "payload": value })));
    let judge = |condition: &Option<String>| {
        condition.as_ref().map(|condition| Expressions::default().judge(condition, &context).decided())
    };
    let refused = || DeviceVerdict::Refused(words(&value).unwrap_or_else(|| REFUSED.into()));
    match (judge(&awaited.refused_when), judge(&awaited.when)) {
        (Some(Some(true)), _) => refused(),
        (_, Some(Some(true))) => DeviceVerdict::Done(None),
        // What cannot be judged is neither a Yes nor a No: devices report other things on the same topic.
        (Some(None), _) | (_, Some(None)) => DeviceVerdict::Undecided,
        // A state may still change; an answer that is not the one that was hoped for is a refusal.
        (_, Some(Some(false))) if awaited.topic.is_some() || awaited.refused_when.is_some() => {
            DeviceVerdict::Undecided
        }
        (_, Some(Some(false))) => refused(),
        (Some(Some(false)) | None, None) => plain(&value),
    }
}

/// `{"ok": false, "reason": "the door is locked"}`, `{"status": "done"}`, `true`, `ok`, `error: …`.
fn plain(value: &serde_json::Value) -> DeviceVerdict {
    if value.as_str().is_some_and(|text| text.trim_start().starts_with('{')) {
        return DeviceVerdict::Undecided; // JSON that a device or the line has broken may have said No
    }
    let refused = |text: Option<String>| DeviceVerdict::Refused(text.unwrap_or_else(|| REFUSED.into()));
    let verdict = ["ok", "done", "success", "accepted", "status", "result", "state"]
        .into_iter()
        .find_map(|key| value.get(key))
        .unwrap_or(value);
    let said = words(value);
    let word = match verdict {
        serde_json::Value::Bool(yes) => yes.to_string(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => String::new(),
    };
    let begins = |no: &&str| {
        let word = word.to_lowercase();
        word.strip_prefix(no).is_some_and(|rest| rest.starts_with([':', ' ']))
    };
    if NO.iter().any(|no| same(no, &word)) || NO.iter().any(begins) || value.get("error").is_some() {
        refused(said.or_else(|| value.is_string().then(|| shorten(&word))))
    } else if YES.iter().any(|yes| same(yes, &word)) || word.is_empty() {
        DeviceVerdict::Done(said)
    } else {
        DeviceVerdict::Done(said.or_else(|| Some(shorten(&word))))
    }
}

/// What the device says for people.
fn words(value: &serde_json::Value) -> Option<String> {
    let text = ["text", "message", "reason", "error"].into_iter().find_map(|key| value.get(key)?.as_str());
    text.map(shorten).filter(|text| !text.is_empty())
}

fn shorten(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_devices_give_them() {
        let check = |when: Option<&str>, topic: Option<&str>, payload: &str, expected: DeviceVerdict| {
            let awaited = Awaited {
                topic: topic.map(str::to_owned),
                when: when.map(str::to_owned),
                refused_when: None,
                within_ms: 1_000,
            };
            assert_eq!(of(&awaited, None, payload.as_bytes()), expected, "{payload}");
        };
        let (done, refused) = (DeviceVerdict::Done(None), |text: &str| DeviceVerdict::Refused(text.into()));
        for payload in ["ok", "OK", "true", "1", "done", "", r#"{"ok": true}"#, r#"{"status": "success"}"#] {
            check(None, None, payload, done.clone());
        }
        check(
            None,
            None,
            r#"{"ok": true, "text": "open for 5 s"}"#,
            DeviceVerdict::Done(Some("open for 5 s".into())),
        );
        check(None, None, "defrost ends at 14:20", DeviceVerdict::Done(Some("defrost ends at 14:20".into())));
        check(None, None, "error: door is locked", refused("error: door is locked"));
        check(None, None, r#"{"ok": false, "reason": "till is closed"}"#, refused("till is closed"));
        check(None, None, r#"{"error": "no card"}"#, refused("no card"));
        check(None, None, "false", refused("the device refused"));
        let when = Some("payload.defrost == false");
        check(when, Some("state"), r#"{"defrost": false}"#, done.clone());
        check(when, Some("state"), r#"{"defrost": true}"#, DeviceVerdict::Undecided);
        check(when, None, r#"{"defrost": true}"#, refused("the device refused"));
        check(when, Some("state"), "garbage \u{1}", DeviceVerdict::Undecided);
        let long = |padding: usize| {
            format!(r#"{{"ok": false, "reason": "locked", "log": "{}"}}"#, "x".repeat(padding))
        };
        let around = long(0).len();
        check(None, None, &long(16_384 - around), refused("locked"));
        check(None, None, &long(16_385 - around), DeviceVerdict::Undecided);
        check(None, None, r#"{"ok": false, "reas"#, DeviceVerdict::Undecided);
        for when in [None, when] {
            let awaited =
                Awaited { topic: None, when: when.map(str::to_owned), refused_when: None, within_ms: 1_000 };
            let verdict = of(&awaited, None, &[0xff, 0xfe, 0]);
            assert_eq!(verdict, DeviceVerdict::Undecided, "noise is neither Yes nor No");
        }
    }
}
