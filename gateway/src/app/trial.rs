//! What an event would lead to, for the try-it box: the real judgement, and nothing is sent.

use serde_json::{Value, json};

use crate::alert::intake::Decision;
use crate::alert::message::WORDS;
use crate::config::Config;
use crate::whatsapp::limits::{BODY, parameter};

pub fn as_json(config: &Config, decision: &Decision) -> Value {
    let alerts: Vec<Value> = decision
        .alerts
        .iter()
        .map(|alert| {
            let content = &alert.content;
            let templates: Vec<Value> = content
                .templates
                .iter()
                .map(|template| {
                    let filled = |text: &str| parameter(&text.replace(WORDS, &content.text), BODY);
                    let parameters: Vec<String> = template.parameters.iter().map(|one| filled(&one.text)).collect();
                    json!({ "name": template.name, "language": template.language, "parameters": parameters })
                })
                .collect();
            let people: Vec<Value> =
                alert.recipients.iter().map(|contact| json!({ "id": contact.id.0, "name": contact.name })).collect();
            json!({ "rule": alert.rule.0, "severity": alert.severity.rank(), "to": people, "text": content.text,
                    "buttons": content.buttons.iter().map(|button| &button.title).collect::<Vec<_>>(),
                    "templates": templates, "flaw": alert.flaw })
        })
        .collect();
    let ignored: Vec<Value> = decision
        .ignored
        .iter()
        .map(|(rule, why)| json!({ "rule": rule.0, "why": why.as_str(), "reason": why.reason() }))
        .collect();
    let others: Vec<Value> = config
        .rules
        .iter()
        .filter(|rule| rule.topic.matches(&decision.event.topic).is_none())
        .map(|rule| json!({ "rule": rule.name.0, "topic": rule.topic.as_str() }))
        .collect();
    json!({ "alerts": alerts, "no_alert": ignored, "other_topic": others })
}
