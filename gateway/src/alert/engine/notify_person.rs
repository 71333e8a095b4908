//! The last door before a person: silences, quiet hours, and what was said before.

use super::{Engine, StateKey};
use crate::alert::effect::{Effect, Notification, NotificationKind, Why};
use crate::alert::lifecycle::AlertKey;
use crate::alert::notification::grouping::{Line, compose};
use crate::alert::notification::quiet_hours_summary::{HeldForSummary, HeldLine};
use crate::alert::notification::reached::{Notified, Reached};
use crate::alert::notification::silence::Silence;
use crate::contact::Contact;
use crate::contact::language::Locale;
use crate::contact::severity::Severity;
use crate::event::topic::Bindings;
use crate::ids::fingerprint;
use crate::ids::{ContactId, RuleName};
use crate::outbox::message::{Button, Content, Template};
use crate::rule::definition::Rule;
use crate::time::Timestamp;

/// The reason why somebody is not told now.
pub(in crate::alert) struct HeldBack {
    pub why: Why,
    pub until: Timestamp,
    pub reason: String,
}

impl Engine {
    /// Tells one person of one or several alerts, in one message.
    pub(in crate::alert) fn deliver(
        &mut self,
        to: &Contact,
        lines: Vec<Line>,
        label: &str,
        more: u32,
        now: Timestamp,
    ) {
        let mut open = Vec::new();
        for line in lines {
            if self.may_say(to, &line, now) {
                open.push(line);
            }
        }
        let Some(first) = open.first().cloned() else { return };
        if let ([line], 0) = (open.as_slice(), more) {
            self.send(to, Some(&line.alert), line.kind, line.text.clone(), line.severity, now);
            self.illustrate(&line.alert, now);
        } else {
            let severity = open.iter().map(|line| line.severity).max().unwrap_or(Severity::Info);
            let kind = open
                .iter()
                .map(|line| line.kind)
                .find(|kind| kind.asks())
                .unwrap_or(NotificationKind::Resolved);
            let text = compose(label, &open, more, &to.locale);
            let asking = open.iter().find(|line| line.kind == kind).unwrap_or(&first).alert.clone();
            self.send(to, Some(&asking), kind, text, severity, now);
        }
        for line in &open {
            self.told(to, line, now);
        }
    }

    /// Whether nothing holds this line back from this person now.
    fn may_say(&mut self, to: &Contact, line: &Line, now: Timestamp) -> bool {
        let Some(alert) = self.alerts.get(&line.alert) else {
            return line.kind == NotificationKind::Resolved; // its rule is gone since
        };
        let held_back = self.held_back(&to.id, (&line.alert, &alert.bindings), line.severity, now);
        let Some(hold) = held_back else { return self.is_news(to, line, now) };
        let is_later = hold.why == Why::Quiet && line.kind != NotificationKind::Acknowledged;
        if is_later {
            // Of what was told before and still fires the summary has the words and the time with which it began.
            let firing = alert.firing().filter(|_| line.kind == NotificationKind::Still);
            let begun = firing.map(|firing| (firing.wording.said(&to.locale), firing.since));
            self.hold(&to.id, hold.until, now, |held| match begun {
                Some((text, since)) => held.add(&Line { text, ..line.clone() }, since),
                None => held.add(line, now),
            });
        } else if hold.why == Why::Silenced && line.kind == NotificationKind::Fired {
            self.owe(&line.alert, true);
        }
        self.not_now(&to.id, &line.alert, &hold, is_later, now);
        false
    }

    /// The reason that holds an alert back from this person now.
    pub(in crate::alert) fn held_back(
        &self,
        to: &ContactId,
        (alert, bindings): (&AlertKey, &Bindings),
        severity: Severity,
        now: Timestamp,
    ) -> Option<HeldBack> {
        if let Some(silence) = self.silenced(to, (alert, bindings), severity, now) {
            let (why, until) = (Why::Silenced, silence.until);
            let reason = format!("silenced by {} until {}", silence.by, until.for_tables(&self.zone));
            return Some(HeldBack { why, until, reason });
        }
        let until = self.quiet_until(to, &alert.rule, severity, now)?;
        let reason = format!("quiet hours until {}", until.for_tables(&self.zone));
        Some(HeldBack { why: Why::Quiet, until, reason })
    }

    fn silenced(
        &self,
        to: &ContactId,
        (alert, bindings): (&AlertKey, &Bindings),
        severity: Severity,
        now: Timestamp,
    ) -> Option<&Silence> {
        let covers = |one: &&Silence| one.until > now && one.covers(alert, bindings, severity, to);
        self.silences.values().find(covers)
    }

    /// Keeps something for the summary of this person's quiet hours.
    pub(in crate::alert) fn hold(
        &mut self,
        to: &ContactId,
        until: Timestamp,
        now: Timestamp,
        add: impl FnOnce(&mut HeldForSummary),
    ) {
        add(self.held.entry(to.clone()).or_insert_with(|| HeldForSummary::new(until)));
        self.touch(StateKey::Held(to.clone()), now);
    }

    /// Writes down that this person hears of it later or not at all.
    pub(in crate::alert) fn not_now(
        &mut self,
        to: &ContactId,
        alert: &AlertKey,
        hold: &HeldBack,
        is_later: bool,
        now: Timestamp,
    ) -> String {
        let what = format!("{} {to}: {}", if is_later { "held for" } else { "not to" }, hold.reason);
        self.record(alert, hold.why, what.clone(), now);
        what
    }

    /// The rule's hours follow the site's clock, a person's own the clock where the person is.
    fn quiet_until(
        &self,
        contact: &ContactId,
        rule: &RuleName,
        severity: Severity,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let life = self.life(rule);
        let rule = life.and_then(|life| life.quiet.as_ref()?.end(severity, now, &self.zone));
        let own = self.people.quiet.get(contact);
        rule.max(own.and_then(|own| own.end(severity, now, &self.people.locale(contact).zone)))
    }

    /// The same words do not come to the same person twice within the repeat interval.
    fn is_news(&mut self, to: &Contact, line: &Line, now: Timestamp) -> bool {
        let every = self.rules.get(&line.alert.rule).and_then(|rule| rule.life.as_ref()?.repeat_interval);
        let told = self.alerts.get(&line.alert).and_then(|alert| alert.firing()?.told.get(&to.id));
        let same = told
            .zip(every)
            .is_some_and(|(told, every)| told.text == fingerprint(&line.text) && told.at.until(now) < every);
        if same {
            self.record(
                &line.alert,
                Why::Repeated,
                format!("not to {}: the same was said before", to.id),
                now,
            );
        }
        !same
    }

    fn told(&mut self, to: &Contact, line: &Line, now: Timestamp) {
        let word = match line.kind {
            NotificationKind::Once | NotificationKind::Fired => "told",
            NotificationKind::Still => "told again",
            NotificationKind::Escalated => "asked",
            NotificationKind::Resolved => "told that it is over",
            NotificationKind::Acknowledged => "told who takes care",
            NotificationKind::Flapping => "told that it changes often",
            NotificationKind::Calm => "told that it is calm",
            NotificationKind::Summary => "told in a summary",
        };
        self.record(&line.alert, Why::Told, format!("{} was {word}", to.id), now);
        if matches!(
            line.kind,
            NotificationKind::Fired
                | NotificationKind::Still
                | NotificationKind::Escalated
                | NotificationKind::Calm
                | NotificationKind::Summary
        ) {
            let firing = self.alerts.get_mut(&line.alert).and_then(|alert| alert.firing_mut());
            if let Some(firing) = firing {
                let text = fingerprint(&line.text);
                firing.told.insert(to.id.clone(), Notified { at: now, reach: Reached::Sent, text });
                firing.told_at = Some(now);
            }
        }
        self.touch(StateKey::Alert(line.alert.clone()), now);
    }

    fn send(
        &mut self,
        to: &Contact,
        about: Option<&AlertKey>,
        kind: NotificationKind,
        text: String,
        severity: Severity,
        now: Timestamp,
    ) {
        let alert = about.and_then(|ident| self.alerts.get(ident));
        // What a night held back of a rule that is gone by the morning is told all the same, over the first rule's number.
        let known = about.and_then(|ident| self.rules.get(&ident.rule));
        let Some(rule) = known.or_else(|| self.rules.values().next()) else { return };
        let content = Content {
            buttons: if kind.asks() { buttons(rule, &to.locale) } else { Vec::new() },
            templates: alert.map(|alert| without_files(&alert.templates)).unwrap_or_default(),
            ..Content::text(text)
        };
        let content = content.in_language(to.locale.language);
        self.effects.push(Effect::Send(Box::new(Notification {
            alert: about.cloned().zip(alert.map(|alert| alert.episode)),
            kind,
            to: to.clone(),
            content,
            severity,
            connection: rule.connection.clone(),
            on_unknown: rule.on_unknown,
            at: now,
            expires_at: now + rule.expires,
        })));
    }

    /// Quiet hours are over: one message of all that they held back. A single alert that still fires comes as itself,
    /// with its buttons.
    pub(in crate::alert) fn release(&mut self, contact: &ContactId, now: Timestamp) {
        let Some(held) = self.held.remove(contact) else { return };
        let Some(to) = self.people.contacts.get(contact).cloned() else { return };
        let Some(held) = self.still_quiet(contact, held, now) else { return };
        let fires = |ident: &AlertKey| self.alerts.get(ident).is_some_and(|alert| alert.firing().is_some());
        let firing: Vec<AlertKey> = held.open().map(|line| line.alert.clone()).filter(fires).collect();
        let silenced = |line: &HeldLine| {
            let (alert, severity) = (&line.alert, Severity::of_rank(line.severity));
            let known = self.alerts.get(alert);
            known.is_some_and(|known| {
                self.silenced(contact, (alert, &known.bindings), severity, now).is_some()
            })
        };
        let lines = held.lines.iter().filter(|line| !silenced(line)).cloned().collect();
        let held = HeldForSummary { lines, ..held };
        let Some(first) = held.lines.first().map(|line| line.alert.clone()) else { return };
        let text = held.text(now, &to.locale);
        // A message that asks carries the buttons of its one alert; a list of several carries none.
        let kind = match (held.lines.len(), firing.len()) {
            (1, 1) => NotificationKind::Still,
            _ => NotificationKind::Summary,
        };
        self.send(&to, Some(&first), kind, text.clone(), held.severity(), now);
        self.illustrate(&first, now);
        if let Some(Effect::Send(notice)) = self.effects.last_mut()
            && notice.content.templates.is_empty()
        {
            notice.content.templates.clone_from(&held.templates);
        }
        for line in &held.lines {
            // Of what was over that night a later beginning is still untold.
            let said = Line {
                alert: line.alert.clone(),
                kind: if line.is_open() { NotificationKind::Summary } else { NotificationKind::Resolved },
                severity: held.severity(),
                text: text.clone(),
            };
            self.told(&to, &said, now);
        }
    }

    /// Keeps what another rule's hours, or the person's own, hold for longer; the rest is due.
    fn still_quiet(
        &mut self,
        contact: &ContactId,
        held: HeldForSummary,
        now: Timestamp,
    ) -> Option<HeldForSummary> {
        let end = |line: &HeldLine| {
            self.quiet_until(contact, &line.alert.rule, Severity::of_rank(line.severity), now)
        };
        let (waiting, due): (Vec<_>, Vec<_>) =
            held.lines.iter().cloned().map(|line| (end(&line), line)).partition(|(end, _)| end.is_some());
        let Some(until) = waiting.iter().filter_map(|(end, _)| *end).min() else { return Some(held) };
        let lines = |lines: Vec<(_, HeldLine)>| lines.into_iter().map(|(_, line)| line).collect();
        let (waiting, due): (Vec<_>, Vec<_>) = (lines(waiting), lines(due));
        let later = HeldForSummary { until, lines: waiting, ..held.clone() };
        if due.is_empty() {
            self.held.insert(contact.clone(), later);
            return None;
        }
        self.held.insert(contact.clone(), HeldForSummary { more: 0, ..later });
        Some(HeldForSummary { lines: due, ..held })
    }
}

/// Those whose header takes no picture: a list, or an end, has none.
fn without_files(templates: &[Template]) -> Vec<Template> {
    templates.iter().filter(|template| !template.needs_file()).cloned().collect()
}

pub(super) fn buttons(rule: &Rule, locale: &Locale) -> Vec<Button> {
    let offers = rule.life.iter().flat_map(|life| life.offers.iter());
    let offers = offers.map(|offer| Button::new(offer.button_id(), offer.title(locale)));
    let actions = rule.actions.iter().map(|action| Button::new(&action.id, action.title.to(locale.language)));
    actions.chain(offers).collect()
}
