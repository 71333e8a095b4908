//! Alerts of rules that keep no states: each is told once, now or in the summary of somebody's quiet hours, and is over with
//! that. The engine remembers nothing of them.

use std::time::Duration;

use super::notify_person::buttons;
use super::{Engine, StateKey};
use crate::alert::alert_key::AlertKey;
use crate::alert::effect::{Effect, Notification, NotificationKind, RaisedAlert, Why};
use crate::alert::message_text::Said;
use crate::alert::notification::grouping::Line;
use crate::alert::request::Request;
use crate::contact::language::Locale;
use crate::event::incoming::Event;
use crate::event::topic::Bindings;
use crate::ids::ContactId;
use crate::outbox::message::Content;
use crate::outbox::render;
use crate::rule::definition::Rule;
use crate::time::Timestamp;

/// One event as told by a rule that keeps no states.
#[derive(Debug)]
pub struct OneTime<'a> {
    pub rule: &'a Rule,
    pub alert: &'a AlertKey,
    pub bindings: Bindings,
    pub event: &'a Event,
    pub said: Said,
    pub request: Option<&'a Request>,
    /// A fault on the way.
    pub flaw: Option<String>,
    /// The store does not take it as an alert, and it must not stand in a summary either.
    pub is_repetition: bool,
}

impl Engine {
    pub fn tell_once(&mut self, once: OneTime, now: Timestamp) {
        let OneTime { rule, alert, bindings, event, said, request, flaw, is_repetition } = once;
        let (came, severity, file) = (event.received_at, rule.severity, said.file);
        let limit = event.expires_in_s.map(|seconds| Duration::from_secs(seconds.into()));
        let expires_at = event.at() + limit.map_or(rule.expires, |limit| limit.min(rule.expires));
        let language = request.and_then(|request| request.language);
        let content = |locale: &Locale| {
            let text = render::with_time(said.wording.in_language(locale.language), event.at(), locale);
            let (buttons, templates) = (buttons(rule, locale), said.templates.clone());
            let mut content = Content { buttons, templates, language, ..Content::text(text) };
            if let (Some(attach), Some(file)) = (&rule.attach, &file) {
                attach.place(&mut content, &file.media);
            }
            content.in_language(locale.language)
        };
        let (mut messages, mut held) = (Vec::new(), Vec::new());
        // Whose turn it is now, however late the device could tell of it.
        for mut to in self.on_duty(&rule.notify, came) {
            to.locale.language = language.unwrap_or(to.locale.language);
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
            tag: request.and_then(|request| request.tag.clone()),
            actions: request.map(|request| request.actions.clone()).unwrap_or_default(),
            at: came,
        })));
        self.effects.extend(messages);
    }

    /// Ends what an earlier request with the same tag told: what waits of it does not leave, its buttons do nothing,
    /// and where nothing comes in its place whoever had it is told so.
    pub fn replace(&mut self, rule: &Rule, alert: &AlertKey, request: &Request, now: Timestamp) {
        let mut told = Vec::new();
        if request.ends() {
            for mut to in self.people.contacts.values().cloned() {
                to.locale.language = request.language.unwrap_or(to.locale.language);
                let text = format!("✅ {}", to.locale.plain(|s| s.end_it));
                told.push(Notification {
                    alert: None,
                    kind: NotificationKind::Resolved,
                    content: Content::text(render::with_time(&text, now, &to.locale)),
                    to,
                    severity: rule.severity,
                    connection: rule.connection.clone(),
                    on_unknown: rule.on_unknown,
                    at: now,
                    expires_at: now + rule.expires,
                });
            }
        }
        let held: Vec<ContactId> = self.held.keys().cloned().collect();
        for contact in held {
            if self.held.get_mut(&contact).is_some_and(|held| held.over(alert, now)) {
                self.touch(StateKey::Held(contact), now);
            }
        }
        let (alert, tag) = (alert.clone(), request.tag.clone().unwrap_or_default());
        self.effects.push(Effect::Replaced { alert, tag, told, at: now });
    }
}
