//! A machine asks: who is asked, in which words, and by what a repetition is known.

use sha2::{Digest, Sha256};

use crate::command::question::{OpenQuestion, Question, ReplyTo};
use crate::contact::language::{Language, Locale};
use crate::event::decode::PayloadFormat;
use crate::event::decode::decode;
use crate::event::incoming::{Event, Identity};
use crate::event::topic::Bindings;
use crate::hex::hex;
use crate::outbox::button_token::{ButtonSubject, ButtonToken};
use crate::outbox::message::{Button, Content};
use crate::reply::context::SiteContext;
use crate::reply::effect::{AuditRecord, ReplyEffect};
use crate::rule::template;

/// Where the answer goes, and by what a repetition of the question is known.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The number that it gets.
    pub id: i64,
    pub key: String,
    pub response_topic: String,
    pub correlation: Option<Vec<u8>>,
}

/// Writes the question down and asks people.
#[must_use]
pub fn ask(
    question: &Question,
    bindings: &Bindings,
    event: &Event,
    asked: Asked,
    site: &SiteContext,
) -> Vec<ReplyEffect> {
    let voters = site.people.resolve(&question.who);
    let words = |locale: &Locale| {
        let words = text(question, bindings, event, site.name, locale.language);
        format!("{words}\n{}", unless_answered(question, locale))
    };
    let open = OpenQuestion {
        id: asked.id,
        name: question.name.clone(),
        key: Some(asked.key),
        text: words(&site.people.locale),
        choices: question.choices.clone(),
        voters: voters.iter().map(|voter| voter.id.0.clone()).collect(),
        needed: question.answers,
        response_topic: asked.response_topic,
        correlation: asked.correlation,
        default_choice: question.default.clone(),
        connection: question.connection.clone(),
        expires_at: event.received_at + question.within,
        decision: None,
    };
    let subject = ButtonSubject::Question(open.id);
    let mut messages = Vec::new();
    for voter in voters {
        let button = |choice: &String| {
            let token =
                ButtonToken { subject, action: position(&open.choices, choice), expires_at: open.expires_at };
            Button::new(site.seal.close(&token, &voter.id), choice.clone())
        };
        let buttons = open.choices.iter().map(button).collect();
        messages.push((voter.clone(), Content { buttons, ..Content::text(words(&voter.locale)) }));
    }
    let detail = format!("question {} ({}) on {}", open.id, open.name, event.topic);
    let record = AuditRecord { what: "question", who: None, message: None, command: None, detail };
    vec![ReplyEffect::Ask(Box::new(open), messages), ReplyEffect::Record(record)]
}

/// A choice may hold any letter, a button's id may not: it carries the choice's place in the list.
fn position(choices: &[String], choice: &str) -> String {
    format!("c{}", choices.iter().position(|known| known == choice).unwrap_or_default())
}

/// By what a repetition is known, and whether it surely is one.
#[must_use]
pub fn key(question: &Question, event: &Event, reply_to: Option<&ReplyTo>) -> (String, bool) {
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
    // The decision matters more than its wording, as with alerts.
    template::text(question.text.to(language), &context).unwrap_or_else(|_| {
        format!("⚠ {}: {} {}", question.name, event.topic, crate::alert::evaluate::excerpt(&event.payload))
    })
}

/// What the clock will decide.
fn unless_answered(question: &Question, locale: &Locale) -> String {
    let within = locale.duration(question.within);
    locale.say(|s| s.unless_answered, &[("time", &within), ("choice", &question.default)])
}
