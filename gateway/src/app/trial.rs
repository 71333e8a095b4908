//! What an event would lead to, for the try-it box: the real judgement, and nothing is sent.

use serde_json::{Value, json};

use crate::alert::event::Event;
use crate::alert::history::{Effect, Notice};
use crate::alert::intake::{Decision, Judge, NewAlert};
use crate::alert::message::{Content, WORDS};
use crate::config::Config;
use crate::contact::Contact;
use crate::whatsapp::limits::{BODY, parameter};

/// As if it were the first event of all.
pub fn tried(config: &Config, judge: &Judge, event: Event) -> Value {
    let now = event.received_at;
    as_json(config, &judge.decide(event, &mut judge.watch(), now))
}

fn as_json(config: &Config, decision: &Decision) -> Value {
    let one = |alert: &NewAlert, content: &Content, people: &[&Contact]| {
        let templates: Vec<Value> = content
            .templates
            .iter()
            .map(|template| {
                let filled = |text: &str| parameter(&text.replace(WORDS, &content.text), BODY);
                let parameters: Vec<String> =
                    template.parameters.iter().map(|one| filled(&one.text)).collect();
                json!({ "name": template.name, "language": template.language, "parameters": parameters })
            })
            .collect();
        let people: Vec<Value> =
            people.iter().map(|contact| json!({ "id": contact.id.0, "name": contact.name })).collect();
        json!({ "rule": alert.rule.0, "severity": alert.severity.rank(), "to": people, "text": content.text,
                    "buttons": content.buttons.iter().map(|button| &button.title).collect::<Vec<_>>(),
                    "templates": templates, "flaw": alert.flaw })
    };
    let alerts = decision.alerts.iter().flat_map(|alert| {
        let mut messages = alert.messages();
        if messages.is_empty() {
            messages.push((alert.in_voice(&config.people.voice), Vec::new())); // held back from everybody
        }
        messages.iter().map(|(content, people)| one(alert, content, people)).collect::<Vec<Value>>()
    });
    let alerts: Vec<Value> = alerts.collect();
    let told = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Send(notice) => Some(notice),
        Effect::Fired { .. }
        | Effect::Moved { .. }
        | Effect::Record { .. }
        | Effect::Publish { .. }
        | Effect::Post { .. }
        | Effect::Keep(_)
        | Effect::Forget(_) => None,
    });
    let told = for_all(told.map(|notice| of_a_life(notice)));
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

/// A message of an alert with a life, as if it were the first.
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

fn of_a_life(notice: &Notice) -> Value {
    let rule = notice.alert.as_ref().map(|(alert, _)| alert.rule.0.as_str());
    let buttons: Vec<&String> = notice.content.buttons.iter().map(|button| &button.title).collect();
    json!({ "rule": rule, "severity": notice.severity.rank(), "text": notice.content.text, "buttons": buttons,
            "to": [{ "id": notice.to.id.0, "name": notice.to.name }], "templates": [], "flaw": null })
}
