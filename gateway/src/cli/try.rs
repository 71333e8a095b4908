//! What an event would lead to: the real judgement, and nothing is sent.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Failure, Place, say, say_json};
use crate::alert::effect::{Effect, Notification, told_once};
use crate::alert::ignored::Ignored;
use crate::alert::intake::Decision;
use crate::alert::replay::foresee;
use crate::config::Config;
use crate::contact::Contact;
use crate::event::incoming::{Event, EventSource};
use crate::outbox::message::{Content, WORDS};
use crate::time::{Clock, SystemClock, Timestamp, duration_for_people};
use crate::whatsapp::limits::{BODY, parameter};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The topic of the event
    #[arg(long, required_unless_present = "replay", allow_hyphen_values = true)]
    topic: Option<String>,
    /// Timed events instead, one JSON object a line; `-` is standard input (docs/alerts.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "payload", "payload_file"])]
    replay: Option<PathBuf>,
    /// With --replay: every decision with its reason, too
    #[arg(long, requires = "replay")]
    reasons: bool,
    /// Its payload
    #[arg(long, conflicts_with = "payload_file", default_value = "", allow_hyphen_values = true)]
    payload: String,
    /// Its payload, from a file: CBOR, postcard
    #[arg(long)]
    payload_file: Option<PathBuf>,
    /// The MQTT 5 content type
    #[arg(long)]
    content_type: Option<String>,
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.place.load(true)?;
    if let Some(topic) =
        arguments.topic.as_ref().filter(|topic| topic.is_empty() || topic.contains(['+', '#']))
    {
        return Err(Failure::Usage(format!(
            "`{topic}` is no topic that a device publishes to; write one without + and #"
        )));
    }
    let judge = config.rule_set().map_err(|error| Failure::Io(error.into()))?;
    if let Some(file) = &arguments.replay {
        return super::replay::run(&config, &judge, file, arguments.reasons, arguments.json);
    }
    let payload = match &arguments.payload_file {
        Some(file) => std::fs::read(file)
            .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?,
        None => arguments.payload.clone().into_bytes(),
    };
    let now = SystemClock.now();
    let event = Event {
        content_type: arguments.content_type.clone(),
        ..Event::new(EventSource::Cli, arguments.topic.clone().unwrap_or_default(), payload, now)
    };
    let mut watch = judge.watch();
    let decision = judge.decide(event, &mut watch, now);
    let is_told = decision.effects.iter().any(|effect| matches!(effect, Effect::Send(_)));
    let later = foresee(&mut watch, &decision.effects, now);
    if arguments.json {
        let mut json = as_json(&config, &decision);
        json["later"] = later.map_or(Value::Null, |(at, notices)| {
            let one = |notice: &Notification| {
                let buttons: Vec<&String> =
                    notice.content.buttons.iter().map(|button| &button.title).collect();
                json!({ "to": notice.to.id.0, "text": notice.content.text, "buttons": buttons })
            };
            json!({ "at": at.rfc3339(), "after_s": now.until(at).as_secs(),
                    "messages": notices.iter().map(one).collect::<Vec<_>>() })
        });
        say_json(&json);
    } else {
        say(&as_text(&config, &decision, is_told, later.as_ref()));
    }
    Ok(())
}

fn message(notice: &Notification) -> Vec<String> {
    let mut lines = vec![format!("  to {} ({})", notice.to.name, notice.to.to.masked())];
    lines.extend(notice.content.text.lines().map(|line| format!("  | {line}")));
    lines.extend(notice.content.buttons.iter().map(|button| format!("  [ {} ]", button.title)));
    if notice.content.needs_upload() {
        lines.push("  + a picture of its last values".to_owned()); // of alerts with a life no other file goes
    }
    lines
}

/// Rules whose topic does not match, with their pattern.
fn others<'a>(config: &'a Config, topic: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let unmatched = config.rules.iter().filter(|rule| rule.topic.matches(topic).is_none());
    unmatched.map(|rule| (rule.name.0.as_str(), rule.topic.as_str()))
}

fn as_text(
    config: &Config,
    decision: &Decision,
    is_told: bool,
    later: Option<&(Timestamp, Vec<Notification>)>,
) -> String {
    let mut lines = Vec::new();
    for (alert, messages) in told_once(&decision.effects) {
        lines.push(format!("rule {}: an alert ({})", alert.alert.rule, alert.severity.as_str()));
        lines.extend(alert.flaw.iter().map(|flaw| format!("  but {flaw}")));
        lines.extend(alert.held.iter().map(|why| format!("  {why}")));
        lines.extend(messages.iter().flat_map(|(content, people)| told(content, people)));
    }
    for effect in &decision.effects {
        if let Effect::Send(notice) = effect
            && !effect.is_once()
        {
            lines.extend(message(notice));
        }
    }
    if let Some((at, notices)) = later {
        let wait = duration_for_people(decision.event.received_at.until(*at));
        lines.push(match is_told {
            true => format!("then, in {wait}, if nothing changes and nobody answers:"),
            false => format!("nobody is told now; in {wait}, if nothing changes:"),
        });
        lines.extend(notices.iter().flat_map(message));
    }
    for (rule, why) in &decision.ignored {
        if let Ignored::Life(word) = why {
            lines.push(format!("rule {rule}: {word}; its alerts have a life, --replay shows it"));
            continue;
        }
        let reason = why.reason().unwrap_or_else(|| match why.as_str() {
            "condition-false" => "its `when` does not hold".to_owned(),
            word => word.to_owned(),
        });
        lines.push(format!("rule {rule}: no alert, {reason}"));
    }
    lines.extend(
        others(config, &decision.event.topic)
            .map(|(name, pattern)| format!("rule {name}: not this topic ({pattern})")),
    );
    lines.push("nothing was sent".to_owned());
    lines.join("\n")
}

/// One message, and everybody who gets it.
fn told(content: &Content, people: &[&Contact]) -> Vec<String> {
    let people: Vec<String> =
        people.iter().map(|contact| format!("{} ({})", contact.name, contact.to.masked())).collect();
    let mut lines = vec![format!("  to {}", people.join(", "))];
    lines.extend(content.text.lines().map(|line| format!("  | {line}")));
    lines.extend(content.buttons.iter().map(|button| format!("  [ {} ]", button.title)));
    for template in &content.templates {
        let filled = template.parameters.iter();
        let filled = filled.map(|one| parameter(&one.text.replace(WORDS, &content.text), BODY));
        let filled: Vec<String> = filled.map(|text| format!("“{text}”")).collect();
        lines.push(format!(
            "  outside the 24 h window: template {} ({}) with {}",
            template.name,
            template.language,
            if filled.is_empty() { "nothing to fill in".to_owned() } else { filled.join(", ") }
        ));
    }
    lines
}

fn as_json(config: &Config, decision: &Decision) -> Value {
    let alerts: Vec<Value> = told_once(&decision.effects)
        .into_iter()
        .flat_map(|(alert, mut messages)| {
            if messages.is_empty() {
                messages.push((&alert.content, Vec::new())); // held back from everybody
            }
            let one = |(content, people): (&Content, Vec<&Contact>)| {
                let to: Vec<&str> = people.iter().map(|contact| contact.id.0.as_str()).collect();
                let buttons: Vec<&String> = content.buttons.iter().map(|button| &button.title).collect();
                let templates: Vec<&String> = content.templates.iter().map(|template| &template.name).collect();
                json!({ "rule": alert.alert.rule.0, "severity": alert.severity.as_str(), "to": to, "text": content.text,
                        "buttons": buttons, "templates": templates, "flaw": alert.flaw, "held": alert.held })
            };
            messages.into_iter().map(one).collect::<Vec<Value>>()
        })
        .collect();
    let ignored: Vec<Value> = decision
        .ignored
        .iter()
        .map(|(rule, why)| json!({ "rule": rule.0, "why": why.as_str(), "reason": why.reason() }))
        .collect();
    let other: Vec<Value> = others(config, &decision.event.topic)
        .map(|(name, pattern)| json!({ "rule": name, "topic": pattern }))
        .collect();
    json!({ "alerts": alerts, "no_alert": ignored, "other_topic": other })
}
