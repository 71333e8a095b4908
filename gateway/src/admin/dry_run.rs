//! What an event would lead to, for the try-it box: the real judgement, and nothing is sent.

use serde_json::{Value, json};

use crate::alert::effect::{Effect, Notification, RaisedAlert, told_once};
use crate::alert::intake::{Decision, RuleSet};
use crate::alert::replay::foresee;
use crate::config::Config;
use crate::contact::Contact;
use crate::event::incoming::Event;
use crate::outbox::message::{Content, WORDS};
use crate::time::Timestamp;
use crate::whatsapp::limits::{BODY, parameter};

/// As if it were the first event of all.
pub fn tried(config: &Config, judge: &RuleSet, event: Event) -> Value {
    let now = event.received_at;
    let mut watch = judge.watch();
    let decision = judge.decide(event, &mut watch, now);
    let told = told(&decision);
    let later = foresee(&mut watch, &decision.effects, now);
    let mut json = as_json(config, &decision, told);
    json["later"] = later.map_or(Value::Null, |(at, notices)| foreseen(now, at, &notices));
    json
}

fn as_json(config: &Config, decision: &Decision, told: Vec<Value>) -> Value {
    let alerts = told_once(&decision.effects).into_iter().flat_map(|(alert, mut messages)| {
        if messages.is_empty() {
            messages.push((&alert.content, Vec::new())); // held back from everybody
        }
        messages.iter().map(|(content, people)| one(alert, content, people)).collect::<Vec<Value>>()
    });
    let alerts: Vec<Value> = alerts.collect();
    let is_told = |rule: &str| told.iter().any(|alert| alert["rule"] == rule);
    let ignored: Vec<Value> = decision
        .ignored
        .iter()
        .filter(|(rule, _)| !is_told(&rule.0))
        .map(|(rule, why)| json!({ "rule": rule.0, "why": why.as_str(), "reason": why.reason() }))
        .collect();
    let others: Vec<Value> = config
        .rules
        .iter()
        .filter(|rule| rule.topic.matches(&decision.event.topic).is_none())
        .map(|rule| json!({ "rule": rule.name.0, "topic": rule.topic.as_str() }))
        .collect();
    let alerts: Vec<Value> = alerts.into_iter().chain(told).collect();
    json!({ "alerts": alerts, "no_alert": ignored, "other_topic": others })
}

/// One message of an alert that is over at once, and everybody who gets it.
fn one(alert: &RaisedAlert, content: &Content, people: &[&Contact]) -> Value {
    let templates = content.templates.iter().map(|template| {
        let filled = |text: &str| parameter(&text.replace(WORDS, &content.text), BODY);
        let parameters: Vec<String> = template.parameters.iter().map(|one| filled(&one.text)).collect();
        json!({ "name": template.name, "language": template.language, "parameters": parameters })
    });
    let templates: Vec<Value> = templates.collect();
    let people: Vec<Value> =
        people.iter().map(|contact| json!({ "id": contact.id.0, "name": contact.name })).collect();
    json!({ "rule": alert.alert.rule.0, "severity": alert.severity.rank(), "to": people, "text": content.text,
            "buttons": content.buttons.iter().map(|button| &button.title).collect::<Vec<_>>(),
            "templates": templates, "flaw": alert.flaw })
}

/// What alerts with a life say at once.
fn told(decision: &Decision) -> Vec<Value> {
    let told = decision.effects.iter().filter(|effect| !effect.is_once()).cloned().filter_map(Effect::notice);
    for_all(told.map(|notice| of_a_life(&notice)))
}

/// When somebody is told if nothing changes, and what.
fn foreseen(now: Timestamp, at: Timestamp, notices: &[Notification]) -> Value {
    let wait = i64::try_from(now.until(at).as_millis()).unwrap_or(i64::MAX);
    json!({ "at": at.0, "after_ms": wait, "alerts": for_all(notices.iter().map(of_a_life)) })
}

/// The same words to several people are shown once.
fn for_all(told: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for mut one in told {
        let same = |known: &&mut Value| known["rule"] == one["rule"] && known["text"] == one["text"];
        match all.iter_mut().find(same).and_then(|known| known["to"].as_array_mut()) {
            Some(people) => people.extend(one["to"].as_array_mut().map(std::mem::take).unwrap_or_default()),
            None => all.push(one),
        }
    }
    all
}

/// A message of an alert with a life, as if it were the first.
fn of_a_life(notice: &Notification) -> Value {
    let rule = notice.alert.as_ref().map(|(alert, _)| alert.rule.0.as_str());
    let buttons: Vec<&String> = notice.content.buttons.iter().map(|button| &button.title).collect();
    json!({ "rule": rule, "severity": notice.severity.rank(), "text": notice.content.text, "buttons": buttons,
            "to": [{ "id": notice.to.id.0, "name": notice.to.name }], "templates": [], "flaw": null })
}
