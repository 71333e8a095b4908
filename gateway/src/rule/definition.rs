//! A rule: which events matter, what is said about them, to whom, and what may be answered.

use std::sync::Arc;
use std::time::Duration;

use crate::command::action::ActionPolicy;
use crate::contact::language::Translated;
use crate::contact::severity::Severity;
use crate::event::decode::PayloadFormat;
use crate::event::topic::is_level;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::ids::fingerprint;
use crate::ids::{ConnectionName, RuleName};
use crate::outbox::message::Template;
use crate::outbox::message_state::OnUnknown;
use crate::rule::attachment::Attachment;
use crate::rule::lifecycle_settings::{LifecycleSettings, Target};

/// Built by `config`, which has checked every name and compiled every expression.
#[derive(Debug, Clone)]
pub struct Rule {
    pub name: RuleName,
    pub topic: TopicPattern,
    /// A Jinja expression; without one every event on the topic is an alert.
    pub when: Option<String>,
    /// Jinja templates.
    pub message: Translated,
    /// What may be sent outside the 24 h window, in order of preference; parameters are Jinja templates.
    pub templates: Vec<Template>,
    pub attach: Option<Attachment>,
    /// Contact ids and team ids.
    pub notify: Vec<String>,
    pub connection: ConnectionName,
    pub severity: Severity,
    pub payload: PayloadFormat,
    pub on_unknown: OnUnknown,
    /// A message that could not leave within this time after the event is not sent as if it were fresh (promise P9).
    pub expires: Duration,
    /// Whether a retained message counts as an event (promise P6: by default not).
    pub on_retained: bool,
    /// Up to three are buttons, up to nine a list.
    pub actions: Vec<ButtonAction>,
    /// Without it each event that matches is an alert of its own, told at once.
    pub life: Option<Arc<LifecycleSettings>>,
    /// Its events are requests of automations (`alert/request.rs`), which name recipients, severity and buttons themselves.
    pub request: Option<Arc<RequestPolicy>>,
}

/// Where taps on what a request offers are published, and under which conditions.
#[derive(Debug, Clone)]
pub struct RequestPolicy {
    pub topic: TopicTemplate,
    pub terms: ActionPolicy,
}

/// A button under the alert, and what a tap publishes.
#[derive(Debug, Clone)]
pub struct ButtonAction {
    pub id: String,
    /// At most 20 characters (Meta, Interactive reply buttons).
    pub title: Translated,
    pub topic: TopicTemplate,
    pub payload: String,
    pub retain: bool,
    /// What may be written instead of its id or title.
    pub words: Vec<String>,
    pub terms: ActionPolicy,
}

impl Rule {
    /// Another number where it reads, judges or says something else: what was found out about the old one is history.
    #[must_use]
    pub fn version(&self) -> i64 {
        let parameters = self.templates.iter().flat_map(|template| &template.parameters);
        let format = format!("{:?}", self.payload);
        let mut sources = vec![self.topic.as_str(), format.as_str()];
        sources.extend(self.expressions());
        sources.extend(self.message.all().map(String::as_str));
        sources.extend(parameters.map(|parameter| parameter.text.as_str()));
        fingerprint(&sources.join("\n")).cast_signed()
    }

    /// Contacts and teams whom it tells, at once or at a step.
    pub fn tells(&self) -> impl Iterator<Item = &String> {
        let steps = self.life.iter().flat_map(|life| &life.escalate).flat_map(|step| match &step.target {
            Target::People(names) => names.as_slice(),
            Target::Topic { .. } | Target::Post { .. } => &[],
        });
        self.notify.iter().chain(steps)
    }

    /// Everything in it that is judged or evaluated on an event.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        let life = self.life.as_deref();
        let resolve_when = life.and_then(|life| life.resolve_when.as_ref());
        let value = life.and_then(|life| life.value.as_ref());
        let dedupe = life.and_then(|life| life.dedupe.as_ref()).map(|dedupe| &dedupe.key);
        let key = life.into_iter().flat_map(|life| life.key.iter().filter(|part| !is_level(part)));
        let one = [self.when.as_ref(), resolve_when, value, dedupe].into_iter().flatten();
        one.chain(key).map(String::as_str)
    }
}
