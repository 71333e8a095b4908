//! `bellwire try --replay FILE`: recorded or written events with their times, and what would have been sent when.

use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, counted, say, say_json};
use crate::alert::intake::RuleSet;
use crate::alert::replay::{RecordedInput, Replay, ReplayedMessage, Timed};
use crate::config::Config;
use crate::event::cloudevents::Name;
use crate::hex::unhex;
use crate::time::Timestamp;

/// One line of the file: an event, or what somebody does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// `2026-11-21T14:03:07+04:00`, or in the site's time `2026-11-21 14:03:07`.
    at: String,
    topic: Option<String>,
    /// Text as it is, anything else as JSON.
    payload: Option<Value>,
    /// What is no text: two digits a byte.
    payload_hex: Option<String>,
    /// The MQTT 5 content type.
    content_type: Option<String>,
    #[serde(default)]
    retained: bool,
    /// CloudEvents' attributes, where they are properties of the publish: together they name the event.
    source: Option<String>,
    id: Option<String>,
    /// `acknowledge`, `resolve`, `snooze 1h`, `silence 1h`, `read`, `away`, `back`, `restart`, `clock`, `wait`.
    #[serde(rename = "do")]
    act: Option<String>,
    #[serde(default)]
    by: String,
    /// `RULE LEVEL=VALUE …`.
    #[serde(default)]
    alert: String,
    /// What the clock is set to.
    to: Option<String>,
}

pub fn run(config: &Config, judge: &RuleSet, file: &Path, reasons: bool, json: bool) -> Result<(), Failure> {
    let text = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    let wrong = |line: usize, what: &str| Failure::Usage(format!("{}:{line}: {what}", file.display()));
    let text = text.map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    let mut replay = Replay::new(judge, judge.watch());
    let mut last = None;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let timed = read(line, config).map_err(|what| wrong(index + 1, &what))?;
        if last.is_some_and(|last| timed.at < last) {
            return Err(wrong(
                index + 1,
                "it is earlier than the line before; put them in order, or say \"do\": \"clock\"",
            ));
        }
        last = Some(if let RecordedInput::Clock(to) = &timed.what { *to } else { timed.at });
        replay.step(timed);
    }
    if json {
        say_json(&as_json(&replay));
    } else {
        print(config, &replay, reasons);
    }
    Ok(())
}

fn read(line: &str, config: &Config) -> Result<Timed, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let zone = &config.site.time_zone;
    let time = |text: &str| {
        Timestamp::parse(text, zone).ok_or(format!("`{text}` is not a time such as 2026-11-21 14:03:07"))
    };
    let at = time(&line.at)?;
    let what = match (&line.topic, line.act.as_deref()) {
        (Some(topic), None) => {
            let payload = payload(line.payload, line.payload_hex.as_deref())?;
            let (topic, content_type) = (topic.clone(), line.content_type);
            let id = line.source.zip(line.id).and_then(|(source, id)| Name::new(source, id));
            RecordedInput::Publish { topic, payload, retained: line.retained, id, content_type }
        }
        (None, Some("clock")) => RecordedInput::Clock(time(line.to.as_deref().unwrap_or_default())?),
        (None, Some(act)) => RecordedInput::of_words(act, &line.by, &line.alert, &config.people, at)?,
        (Some(_), Some(_)) | (None, None) => return Err("a line has either `topic` or `do`".into()),
    };
    Ok(Timed { at, what })
}

fn payload(words: Option<Value>, hex: Option<&str>) -> Result<Bytes, String> {
    let Some(hex) = hex else {
        let words = words.unwrap_or(Value::String(String::new()));
        return Ok(Bytes::from(words.as_str().map_or_else(|| words.to_string(), str::to_owned)));
    };
    if words.is_some() {
        return Err("a line has either `payload` or `payload_hex`".into());
    }
    unhex(hex)
        .map(Bytes::from)
        .ok_or(format!("`{hex}` is not pairs of hex digits, such as a16763656c73697573"))
}

fn print(config: &Config, replay: &Replay, reasons: bool) {
    let zone = &config.site.time_zone;
    for ReplayedMessage { at, to, text, buttons } in &replay.sent {
        say(&format!("{}  {to}", at.for_tables(zone)));
        for line in text.lines() {
            say(&format!("  | {line}"));
        }
        for button in buttons {
            say(&format!("  [ {button} ]"));
        }
    }
    if reasons {
        for record in &replay.records {
            say(&format!("{}  {}: {}", record.at.for_tables(zone), record.alert, record.what));
        }
    }
    say(&format!("{} would have been sent; nothing was", counted(replay.sent.len(), "message")));
}

fn as_json(replay: &Replay) -> Value {
    let sent: Vec<Value> = replay
        .sent
        .iter()
        .map(|sent| json!({ "at": sent.at.rfc3339(), "to": sent.to, "text": sent.text, "buttons": sent.buttons }))
        .collect();
    let reasons: Vec<Value> = replay
        .records
        .iter()
        .map(|record| {
            json!({ "at": record.at.rfc3339(), "alert": record.alert.to_string(), "why": record.why.as_str(), "what": record.what })
        })
        .collect();
    json!({ "sent": sent, "reasons": reasons })
}
