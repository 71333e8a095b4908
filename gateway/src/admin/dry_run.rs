//! What an event would lead to, for the try-it box: the real judgement, and nothing is sent.

use serde::Serialize;

use crate::alert::effect::{Effect, Notification, RaisedAlert, told_once};
use crate::alert::intake::{Decision, RuleSet};
use crate::alert::replay::foresee;
use crate::config::Config;
use crate::contact::Contact;
use crate::event::incoming::Event;
use crate::outbox::message::{Content, WORDS};
use crate::time::Timestamp;
use crate::whatsapp::limits::{BODY, parameter};

/// What an event would lead to.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tried {
    pub alerts: Vec<TriedAlert>,
    /// Rules that its topic fits and that tell nobody.
    pub no_alert: Vec<Ignored>,
    /// The others.
    pub other_topic: Vec<OtherTopic>,
    /// What follows if nothing changes.
    pub later: Option<Later>,
}

/// One message, and everybody who gets it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TriedAlert {
    pub rule: Option<String>,
    #[cfg_attr(test, schemars(range(min = 0, max = 2)))]
    pub severity: i64,
    pub to: Vec<Told>,
    pub text: String,
    /// Titles of what may be tapped.
    pub buttons: Vec<String>,
    /// What goes out instead outside the 24-hour window.
    pub templates: Vec<FilledTemplate>,
    /// What went wrong though it would be sent.
    pub flaw: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told {
    pub id: String,
    pub name: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FilledTemplate {
    pub name: String,
    pub language: String,
    pub parameters: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ignored {
    pub rule: String,
    pub why: &'static str,
    pub reason: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherTopic {
    pub rule: String,
    pub topic: String,
}

/// When somebody is told if nothing changes, and what.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Later {
    pub at: Timestamp,
    pub after_ms: i64,
    pub alerts: Vec<TriedAlert>,
}

/// As if it were the first event of all.
pub fn tried(config: &Config, judge: &RuleSet, event: Event) -> Tried {
    let now = event.received_at;
    let mut watch = judge.watch();
    let decision = judge.decide(event, &mut watch, now);
    let later = foresee(&mut watch, &decision.effects, now);
    let told = told(&decision);
    let is_told = |rule: &str| told.iter().any(|alert| alert.rule.as_deref() == Some(rule));
    let ignored = decision.ignored.iter().filter(|(rule, _)| !is_told(&rule.0)).map(|(rule, why)| Ignored {
        rule: rule.0.clone(),
        why: why.as_str(),
        reason: why.reason(),
    });
    let others = config.rules.iter().filter(|rule| rule.topic.matches(&decision.event.topic).is_none());
    let others =
        others.map(|rule| OtherTopic { rule: rule.name.0.clone(), topic: rule.topic.as_str().to_owned() });
    let (no_alert, other_topic) = (ignored.collect(), others.collect());
    let alerts = told_once(&decision.effects).into_iter().flat_map(|(alert, mut messages)| {
        if messages.is_empty() {
            messages.push((&alert.content, Vec::new())); // held back from everybody
        }
        messages.iter().map(|(content, people)| one(alert, content, people)).collect::<Vec<TriedAlert>>()
    });
    Tried {
        alerts: alerts.chain(told).collect(),
        no_alert,
        other_topic,
        later: later.map(|(at, notices)| foreseen(now, at, &notices)),
    }
}

/// Of an alert that is over at once.
fn one(alert: &RaisedAlert, content: &Content, people: &[&Contact]) -> TriedAlert {
    let filled = |text: &str| parameter(&text.replace(WORDS, &content.text), BODY);
    let templates = content.templates.iter().map(|template| FilledTemplate {
        name: template.name.clone(),
        language: template.language.clone(),
        parameters: template.parameters.iter().map(|one| filled(&one.text)).collect(),
    });
    TriedAlert {
        rule: Some(alert.alert.rule.0.clone()),
        severity: alert.severity.rank(),
        to: people.iter().map(|contact| person(contact)).collect(),
        text: content.text.clone(),
        buttons: buttons(content),
        templates: templates.collect(),
        flaw: alert.flaw.clone(),
    }
}

fn person(contact: &Contact) -> Told {
    Told { id: contact.id.0.clone(), name: contact.name.clone() }
}

fn buttons(content: &Content) -> Vec<String> {
    content.buttons.iter().map(|button| button.title.clone()).collect()
}

/// What alerts with a life say at once.
fn told(decision: &Decision) -> Vec<TriedAlert> {
    let told = decision.effects.iter().filter(|effect| !effect.is_once()).cloned().filter_map(Effect::notice);
    for_all(told.map(|notice| of_a_life(&notice)))
}

fn foreseen(now: Timestamp, at: Timestamp, notices: &[Notification]) -> Later {
    let after_ms = i64::try_from(now.until(at).as_millis()).unwrap_or(i64::MAX);
    Later { at, after_ms, alerts: for_all(notices.iter().map(of_a_life)) }
}

/// The same words to several people are shown once.
fn for_all(told: impl Iterator<Item = TriedAlert>) -> Vec<TriedAlert> {
    let mut all: Vec<TriedAlert> = Vec::new();
    for one in told {
        match all.iter_mut().find(|known| known.rule == one.rule && known.text == one.text) {
            Some(known) => known.to.extend(one.to),
            None => all.push(one),
        }
    }
    all
}

/// A message of an alert with a life, as if it were the first.
fn of_a_life(notice: &Notification) -> TriedAlert {
    TriedAlert {
        rule: notice.alert.as_ref().map(|(alert, _)| alert.rule.0.clone()),
        severity: notice.severity.rank(),
        to: vec![person(&notice.to)],
        text: notice.content.text.clone(),
        buttons: buttons(&notice.content),
        templates: Vec::new(),
        flaw: None,
    }
}
