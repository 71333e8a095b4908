//! Alerts of rules that keep no states: each is told once, now or in the summary of somebody's quiet hours, and is over with
//! that. The engine remembers nothing of them.

use std::time::Duration;

use super::Engine;
use super::notify_person::buttons;
use crate::alert::alert_key::AlertKey;
use crate::alert::effect::{Effect, Notification, NotificationKind, RaisedAlert, Why};
use crate::alert::message_text::Said;
use crate::alert::notification::grouping::Line;
use crate::contact::language::Locale;
use crate::event::incoming::Event;
use crate::event::topic::Bindings;
use crate::outbox::message::Content;
use crate::outbox::render;
use crate::rule::definition::Rule;
use crate::time::Timestamp;

/// What a rule that keeps no states says of one event.
#[derive(Debug)]
pub struct OneTime<'a> {
    pub rule: &'a Rule,
    pub alert: &'a AlertKey,
    pub bindings: Bindings,
    pub event: &'a Event,
    pub said: Said,
    /// What went wrong on the way.
    pub flaw: Option<String>,
    /// The store does not take it as an alert, and it must not stand in a summary either.
    pub is_repetition: bool,
}

impl Engine {
    pub fn tell_once(&mut self, once: OneTime, now: Timestamp) {
        let OneTime { rule, alert, bindings, event, said, flaw, is_repetition } = once;
        let (came, severity, file) = (event.received_at, rule.severity, said.file);
        let limit = event.expires_in_s.map(|seconds| Duration::from_secs(seconds.into()));
        let expires_at = event.at() + limit.map_or(rule.expires, |limit| limit.min(rule.expires));
        let content = |locale: &Locale| {
            let text = render::with_time(said.wording.in_language(locale.language), event.at(), locale);
            let (buttons, templates) = (buttons(rule, locale), said.templates.clone());
            let mut content = Content { buttons, templates, ..Content::text(text) };
            if let (Some(attach), Some(file)) = (&rule.attach, &file) {
                attach.place(&mut content, &file.media);
            }
            content.in_language(locale.language)
        };
        let (mut messages, mut held) = (Vec::new(), Vec::new());
        // Whose turn it is now, however late the device could tell of it.
        for to in self.on_duty(&rule.notify, came) {
            let content = content(&to.locale);
            match self.held_back(&to.id, (alert, &bindings), severity, now) {
                None => messages.push(Effect::Send(Box::new(Notification {
                    alert: None,
                    kind: NotificationKind::Once,
                    to,
                    content,
                    severity,
                    connection: rule.connection.clone(),
                    on_unknown: rule.on_unknown,
                    at: came,
                    expires_at,
                }))),
                Some(_) if is_repetition => {}
                Some(hold) => {
                    let is_later = hold.why == Why::Quiet;
                    if is_later {
                        let (alert, kind) = (alert.clone(), NotificationKind::Once);
                        let line = Line { alert, kind, severity, text: content.text };
                        self.hold(&to.id, hold.until, now, |held| {
                            if held.templates.is_empty() {
                                held.templates = content.templates;
                            }
                            held.push(&line, event.at());
                        });
                    }
                    held.push(self.not_now(&to.id, alert, &hold, is_later, now));
                }
            }
        }
        let is_told = !messages.is_empty();
        self.effects.push(Effect::Fired(Box::new(RaisedAlert {
            alert: alert.clone(),
            episode: None,
            severity,
            bindings,
            content: if is_told { Content::default() } else { content(&self.people.locale) },
            flaw,
            held,
            file: file.and_then(|file| file.kept).filter(|_| is_told), // without a message nothing carries it
            at: came,
        })));
        self.effects.extend(messages);
    }
}
