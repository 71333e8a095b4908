//! A machine asks: people are asked to choose.

use sha2::{Digest, Sha256};

use crate::command::question::{OpenQuestion, Question, ReplyTo};
use crate::config::Config;
use crate::contact::language::{Language, Locale};
use crate::event::decode::PayloadFormat;
use crate::event::decode::decode;
use crate::event::incoming::{Event, Identity, REMEMBERED};
use crate::event::topic::{Bindings, TopicTemplate};
use crate::hex::hex;
use crate::outbox::button_token::{ButtonSubject, ButtonToken};
use crate::outbox::message::{Button, Content};
use crate::rule::lifecycle_settings::Target;
use crate::rule::template::Templates;
use crate::store::{AuditEntry, Store};
use crate::time::Timestamp;

/// Writes the question down and asks people. A repetition is left alone.
pub fn ask(
    store: &Store,
    config: &Config,
    question: &Question,
    bindings: &Bindings,
    (event, reply_to): (&Event, Option<&ReplyTo>),
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(response_topic) = place(config, question, bindings, (event, reply_to)) else {
        tracing::warn!(
            question = question.name,
            topic = event.topic,
            "a question without a response topic cannot be answered; send one (MQTT 5), or give `response_topic`"
        );
        return Ok(());
    };
    let (key, surely) = key(question, event, reply_to);
    let since = event.received_at - REMEMBERED;
    if store.knows_question(&key, surely, since)? {
        return Ok(());
    }
    let voters = config.people.resolve(&question.who);
    let words = |locale: &Locale| {
        let words = text(question, bindings, event, &config.site.name, locale.language);
        format!("{words}\n{}", unless_answered(question, locale))
    };
    let mut open = OpenQuestion {
        id: 0,
        name: question.name.clone(),
        key: Some(key),
        text: words(&config.people.locale),
        choices: question.choices.clone(),
        voters: voters.iter().map(|voter| voter.id.0.clone()).collect(),
        needed: question.answers,
        response_topic,
        correlation: reply_to.and_then(|to| to.correlation.clone()),
        default_choice: question.default.clone(),
        connection: question.connection.clone(),
        expires_at: event.received_at + question.within,
        decision: None,
    };
    open.id = store.insert_question(&open, now)?;
    let detail = format!("question {} ({}) on {}", open.id, open.name, event.topic);
    store.record(
        &AuditEntry { what: "question", who: None, message: None, command: None, detail: &detail },
        now,
    )?;
    let subject = ButtonSubject::Question(open.id);
    for voter in voters {
        let button = |choice: &String| {
            let token =
                ButtonToken { subject, action: position(&open.choices, choice), expires_at: open.expires_at };
            Button::new(store.seal().close(&token, &voter.id), choice.clone())
        };
        let buttons = open.choices.iter().map(button).collect();
        let text = words(&voter.locale);
        let message =
            store.compose_question(&open, voter, &Content { buttons, ..Content::text(text) }, now)?;
        store.keep_asked(message, subject)?;
    }
    Ok(())
}

/// Where the answer goes: where the request asks for it, if it may; else where the question says.
fn place(
    config: &Config,
    question: &Question,
    bindings: &Bindings,
    (event, reply_to): (&Event, Option<&ReplyTo>),
) -> Option<String> {
    let refused = |to: &&ReplyTo| {
        let why = question.refuses(&to.topic, commands(config), &ours(config));
        if let Some(why) = why {
            let (question, topic, response_topic) = (&question.name, &event.topic, &to.topic);
            let what = "the answer does not go where the question asks for it";
            tracing::warn!(question, topic, response_topic, why, "{what}");
        }
        why.is_some()
    };
    let asked = reply_to.filter(|to| !refused(to)).map(|to| to.topic.clone());
    asked.or_else(|| question.response_topic.as_ref().and_then(|topic| topic.fill(bindings)))
}

/// Every topic that something of ours commands on.
fn commands(config: &Config) -> impl Iterator<Item = &TopicTemplate> {
    let actions = config.rules.iter().flat_map(|rule| rule.actions.iter().map(|action| &action.topic));
    let steps = config.rules.iter().filter_map(|rule| rule.life.as_deref()).flat_map(|life| &life.escalate);
    let steps = steps.filter_map(|step| match &step.target {
        Target::Topic { topic, .. } => Some(topic),
        Target::People(_) | Target::Post { .. } => None,
    });
    let spoken = config.commands.iter().map(|spoken| &spoken.topic);
    actions.chain(steps).chain(spoken).chain(config.onward.iter().map(|onward| &onward.topic))
}

/// How topics begin that are the gateway's, devices' or Home Assistant's.
fn ours(config: &Config) -> Vec<String> {
    let discovery =
        config.home_assistant.as_ref().map_or("homeassistant", |home| home.appearance.prefix.as_str());
    vec!["bellwire/".to_owned(), "homeassistant/".to_owned(), format!("{discovery}/")]
}

/// A choice may hold any letter, a button's id may not: it carries the choice's place in the list.
fn position(choices: &[String], choice: &str) -> String {
    format!("c{}", choices.iter().position(|known| known == choice).unwrap_or_default())
}

/// By what a repetition is known, and whether it surely is one.
fn key(question: &Question, event: &Event, reply_to: Option<&ReplyTo>) -> (String, bool) {
    let mut hash = Sha256::new();
    let correlation = reply_to.and_then(|to| to.correlation.as_ref());
    let surely = match (&event.identity, correlation) {
        (Identity::Named(name), _) => {
            hash.update(name);
            true
        }
        (Identity::Counted { device, at }, _) => {
            hash.update(device);
            hash.update(at.boot.to_le_bytes());
            hash.update(at.sequence.to_le_bytes());
            true
        }
        (Identity::Status { device, silent }, _) => {
            hash.update(device);
            hash.update([u8::from(*silent)]);
            false
        }
        (Identity::Packet { redelivered, .. }, Some(correlation)) => {
            hash.update(correlation);
            *redelivered
        }
        (Identity::None, Some(correlation)) => {
            hash.update(correlation);
            false
        }
        (Identity::Packet { id, redelivered }, None) => {
            hash.update(id.to_le_bytes());
            *redelivered
        }
        (Identity::None, None) => {
            hash.update(event.received_at.0.to_le_bytes()); // each is its own
            false
        }
    };
    hash.update(&event.topic);
    hash.update(&event.payload);
    let hash = hex(&hash.finalize()[..16]);
    (format!("{} {hash}", question.name), surely)
}

fn text(question: &Question, bindings: &Bindings, event: &Event, site: &str, language: Language) -> String {
    let payload = decode(PayloadFormat::Auto, event.content_type.as_deref(), &event.payload);
    let payload = payload.unwrap_or(serde_json::Value::Null);
    let mut names = serde_json::Map::new();
    names.extend(bindings.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    names.insert("payload".into(), payload);
    names.insert("site".into(), serde_json::json!({ "name": site }));
    let context = minijinja::value::Value::from(minijinja::value::Serde(names));
    let words = Templates::compile([])
        .ok()
        .and_then(|templates| templates.text(question.text.to(language), &context).ok());
    // The decision matters more than its wording, as with alerts.
    words.unwrap_or_else(|| {
        format!("⚠ {}: {} {}", question.name, event.topic, crate::alert::evaluate::excerpt(&event.payload))
    })
}

/// What the clock will decide.
fn unless_answered(question: &Question, locale: &Locale) -> String {
    let within = locale.duration(question.within);
    locale.say(|s| s.unless_answered, &[("time", &within), ("choice", &question.default)])
}
