//! Decides who is told of an alert, and what holds a message back. Every way out of here leaves a record.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Engine, StateKey};
use crate::alert::effect::{Effect, NotificationKind, RaisedAlert, Why};
use crate::alert::lifecycle::{Alert, AlertKey, EndReason, Firing};
use crate::alert::notification::escalation::{self, StepOutcome};
use crate::alert::notification::grouping::{Line, Resolution};
use crate::alert::notification::text;
use crate::contact::Contact;
use crate::contact::language::Locale;
use crate::ids::ContactId;
use crate::outbox::message::Content;
use crate::rule::attachment::without_secrets;
use crate::rule::definition::Rule;
use crate::rule::lifecycle_settings::{Inhibition, LifecycleSettings, Target};
use crate::time::{Timestamp, duration_for_people};

impl Engine {
    pub(in crate::alert) fn pending(&mut self, ident: &AlertKey, now: Timestamp) {
        let text = self.alerts.get(ident).map(|alert| text::alert_line(&alert.wording.text).to_owned());
        self.record(ident, Why::Pending, format!("`for` runs: {}", text.unwrap_or_default()), now);
    }

    pub(in crate::alert) fn fired(&mut self, ident: &AlertKey, now: Timestamp) {
        let (Some(alert), Some(rule)) = (self.alerts.get(ident), self.rules.get(&ident.rule)) else { return };
        let Some(firing) = alert.firing() else { return };
        let raised = RaisedAlert {
            alert: ident.clone(),
            episode: Some(alert.episode),
            severity: rule.severity,
            bindings: alert.bindings.clone(),
            content: Content::text(firing.wording.said(&self.people.locale)),
            flaw: None,
            held: Vec::new(),
            file: None,
            tag: None,
            actions: Vec::new(),
            at: now,
        };
        let what = match firing.since.until(now) {
            held if held.is_zero() => "the condition holds".to_owned(),
            held => format!("the condition has held for {}", duration_for_people(held)),
        };
        self.effects.push(Effect::Fired(Box::new(raised)));
        self.record(ident, Why::Fired, what, now);
    }

    /// Tells of an alert that fires, unless something holds that back.
    pub(in crate::alert) fn announce(&mut self, ident: &AlertKey, now: Timestamp) {
        let Some(rule) = self.rules.get(&ident.rule).cloned() else { return };
        let Some(life) = &rule.life else { return };
        self.owe(ident, false);
        let firing = self.alerts.get(ident).and_then(|alert| alert.firing());
        if firing.is_none_or(|firing| firing.acknowledged.is_some()) {
            return;
        }
        if self.is_flapping(ident, &rule, life, now) || self.is_inhibited(ident, life, now) {
            return;
        }
        if let Some(grouping) = &life.group {
            self.owe(ident, true);
            self.gather(ident, &rule, grouping, None, now);
            return;
        }
        let Some(alert) = self.alerts.get(ident) else { return };
        let Some(firing) = alert.firing() else { return };
        let mut to = self.on_duty(&rule.notify, now);
        to.retain(|contact| !self.has_heard(ident, &contact.id));
        let text = |locale: &Locale| text::fired(alert, firing, life.expect.is_some(), now, locale);
        let told = voiced(to, text);
        self.tell(ident, &rule, NotificationKind::Fired, told, now);
    }

    /// To whoever is on duty, whether they heard of it before or not.
    pub(in crate::alert) fn tell_again(&mut self, ident: &AlertKey, now: Timestamp) {
        let (Some(alert), Some(rule)) = (self.alerts.get(ident), self.rules.get(&ident.rule).cloned()) else {
            return;
        };
        let Some(firing) = alert.firing().filter(|_| !alert.flapping) else { return };
        let told = voiced(self.on_duty(&rule.notify, now), |locale| text::still(alert, firing, now, locale));
        self.tell(ident, &rule, NotificationKind::Fired, told, now);
    }

    /// Each person what was composed for them: all of it before the first is told, since that changes the alert.
    fn tell(
        &mut self,
        ident: &AlertKey,
        rule: &Rule,
        kind: NotificationKind,
        told: Vec<(Contact, String)>,
        now: Timestamp,
    ) {
        for (contact, text) in told {
            let line = Line { alert: ident.clone(), kind, severity: rule.severity, text };
            self.deliver(&contact, vec![line], "", 0, now);
        }
    }

    /// Whether this person was told before something held the alert back.
    fn has_heard(&self, ident: &AlertKey, contact: &ContactId) -> bool {
        let firing = self.alerts.get(ident).and_then(|alert| alert.firing());
        firing.is_some_and(|firing| firing.told.contains_key(contact))
    }

    /// Notes that somebody has still to be told.
    pub(in crate::alert) fn owe(&mut self, ident: &AlertKey, owed: bool) {
        let firing = self.alerts.get_mut(ident).and_then(|alert| alert.firing_mut());
        if let Some(firing) = firing.filter(|firing| firing.owed != owed) {
            firing.owed = owed;
            self.dirty.insert(StateKey::Alert(ident.clone())); // a group's time changes it, too, and touches the group alone
        }
        if owed {
            self.owed.insert(ident.clone());
        } else {
            self.owed.remove(ident);
        }
    }

    /// Tells those who were told that it is over.
    pub(in crate::alert) fn over(
        &mut self,
        ident: &AlertKey,
        ending: &EndReason,
        firing: &Firing,
        now: Timestamp,
    ) {
        let Some(rule) = self.rules.get(&ident.rule).cloned() else { return };
        let (Some(life), Some(alert)) = (&rule.life, self.alerts.get(ident)) else { return };
        // Records are read by operators, whose commands speak English; the line that tells a time is not in them.
        let record = text::resolved(alert, firing, ending, now, &Locale::default());
        let reason = text::alert_line(&record).to_owned();
        let people = firing.told.keys().filter_map(|id| self.people.contacts.get(id).cloned());
        let told = voiced(people, |locale| text::resolved(alert, firing, ending, now, locale));
        let episode = alert.episode;
        self.owe(ident, false);
        self.effects.push(Effect::Moved {
            alert: ident.clone(),
            episode,
            state: "resolved",
            reason: reason.clone(),
            at: now,
        });
        self.record(ident, Why::Resolved, reason, now);
        let slots: Vec<ContactId> = self.held.keys().cloned().collect();
        for contact in slots {
            if self.held.get_mut(&contact).is_some_and(|held| held.over(ident, now)) {
                self.touch(StateKey::Held(contact), now);
            }
        }
        if self.is_flapping(ident, &rule, life, now) {
            return;
        }
        if firing.told.is_empty() {
            self.record(
                ident,
                Why::Nobody,
                "nobody had been told of it, so nobody is told that it is over".into(),
                now,
            );
            return;
        }
        if !life.send_resolved {
            self.record(ident, Why::Nobody, "`send_resolved` is false".into(), now);
            return;
        }
        if let Some(grouping) = &life.group {
            let over = Resolution::of(told.into_iter().map(|(contact, text)| (contact.id, text)));
            self.gather(ident, &rule, grouping, Some(over), now);
            return;
        }
        self.tell(ident, &rule, NotificationKind::Resolved, told, now);
    }

    fn is_flapping(
        &mut self,
        ident: &AlertKey,
        rule: &Rule,
        life: &LifecycleSettings,
        now: Timestamp,
    ) -> bool {
        let Some(alert) = self.alerts.get_mut(ident) else { return false };
        let changes = alert.changes_within(life.flapping.within, now);
        if !alert.flapping && changes <= life.flapping.changes {
            return false;
        }
        let is_new = !std::mem::replace(&mut alert.flapping, true);
        let what = format!("it has changed {changes} times in {}", duration_for_people(life.flapping.within));
        self.record(ident, Why::Flapping, what, now);
        if is_new && let Some(alert) = self.alerts.get(ident) {
            let text = |locale: &Locale| text::flapping(alert, changes, life.flapping.within, now, locale);
            let told = voiced(self.on_duty(&rule.notify, now), text);
            self.tell(ident, rule, NotificationKind::Flapping, told, now);
        }
        true
    }

    /// After a whole window without a change it is calm.
    pub(in crate::alert) fn calm_down(&mut self, ident: &AlertKey, life: &LifecycleSettings, now: Timestamp) {
        let (Some(alert), Some(rule)) = (self.alerts.get_mut(ident), self.rules.get(&ident.rule).cloned())
        else {
            return;
        };
        if !alert.flapping || alert.changes_within(life.flapping.within, now) > 0 {
            return;
        }
        alert.flapping = false;
        let Some(alert) = self.alerts.get(ident) else { return };
        let told = voiced(self.on_duty(&rule.notify, now), |locale| text::calm(alert, now, locale));
        self.record(ident, Why::Flapping, "calm again".into(), now);
        self.tell(ident, &rule, NotificationKind::Calm, told, now);
    }

    pub(in crate::alert) fn is_inhibited(
        &mut self,
        ident: &AlertKey,
        life: &LifecycleSettings,
        now: Timestamp,
    ) -> bool {
        let Some(alert) = self.alerts.get(ident) else { return false };
        let inhibitor = life.inhibited_by.iter().find_map(|inhibition| self.inhibitor(alert, inhibition));
        let Some(inhibitor) = inhibitor else { return false };
        self.record(ident, Why::Inhibited, format!("silent while {inhibitor} fires"), now);
        self.owe(ident, true);
        true
    }

    fn inhibitor(&self, alert: &Alert, inhibition: &Inhibition) -> Option<AlertKey> {
        let firing = self.firing.get(&inhibition.source)?;
        let same = |other: &&AlertKey| {
            self.alerts.get(other).is_some_and(|other| {
                inhibition.equal.iter().all(|name| other.bindings.get(name) == alert.bindings.get(name))
            })
        };
        let life = self.life(&inhibition.source)?;
        // Where `equal` names its whole key only one can be it: looked up, however many others fire.
        if life.key.iter().all(|name| inhibition.equal.contains(name)) {
            let only = AlertKey::of(&inhibition.source, &life.key, &alert.bindings);
            return firing.get(&only).filter(same).cloned();
        }
        firing.iter().find(same).cloned()
    }

    /// What this alert held back may be told now.
    pub(in crate::alert) fn settle_owed(&mut self, ended: &AlertKey, now: Timestamp) {
        if let Some(firing) = self.firing.get_mut(&ended.rule) {
            firing.remove(ended); // the index is brought up to date before it is asked
        }
        let Some(source) = self.alerts.get(ended).map(|alert| alert.bindings.clone()) else { return };
        let waits = |ident: &&AlertKey| {
            let (Some(life), Some(alert)) = (self.life(&ident.rule), self.alerts.get(ident)) else {
                return false;
            };
            let held = |by: &Inhibition| {
                by.source == ended.rule
                    && by.equal.iter().all(|name| source.get(name) == alert.bindings.get(name))
            };
            life.inhibited_by.iter().any(held)
        };
        let is_source = |rule: &Arc<Rule>| {
            let mut by = rule.life.iter().flat_map(|life| &life.inhibited_by);
            by.any(|by| by.source == ended.rule)
        };
        if !self.rules.values().any(is_source) {
            return; // most ends free nothing: they need not look at what waits
        }
        let owed: Vec<AlertKey> = self.owed.iter().filter(waits).cloned().collect();
        for ident in owed {
            self.announce(&ident, now);
            self.touch(StateKey::Alert(ident), now);
        }
    }

    pub(in crate::alert) fn repeat(&mut self, ident: &AlertKey, life: &LifecycleSettings, now: Timestamp) {
        let (Some(every), Some(rule)) = (life.repeat_interval, self.rules.get(&ident.rule).cloned()) else {
            return;
        };
        let Some(alert) = self.alerts.get(ident) else { return };
        let Some(firing) = alert.firing() else { return };
        let waits = firing.acknowledged.is_none() && !alert.flapping;
        if !waits || firing.told_at.is_none_or(|at| at + every > now) {
            return;
        }
        // Not to who was told, and is not named in the rule any more.
        let named = self.people.ever(rule.tells());
        let mut ids: BTreeSet<ContactId> =
            firing.told.keys().filter(|told| named.contains(told)).cloned().collect();
        ids.extend(self.on_duty(&rule.notify, now).into_iter().map(|contact| contact.id));
        let people = ids.iter().filter_map(|id| self.people.contacts.get(id).cloned());
        let told = voiced(people, |locale| text::still(alert, firing, now, locale));
        if let Some(firing) = self.alerts.get_mut(ident).and_then(|alert| alert.firing_mut()) {
            firing.told_at = Some(now); // whether or not it may be said, the next time is an interval away
        }
        if self.is_inhibited(ident, life, now) {
            return;
        }
        if let Some(grouping) = &life.group {
            return self.gather(ident, &rule, grouping, None, now);
        }
        self.tell(ident, &rule, NotificationKind::Still, told, now);
    }

    /// Takes the steps whose time has come; in a hurry one more, whatever its time.
    pub(in crate::alert) fn escalate(
        &mut self,
        ident: &AlertKey,
        life: &LifecycleSettings,
        now: Timestamp,
        mut hurry: bool,
    ) {
        let Some(rule) = self.rules.get(&ident.rule).cloned() else { return };
        for _ in 0..=life.escalate.len() {
            let Some(alert) = self.alerts.get_mut(ident) else { return };
            let Some(firing) = alert.firing_mut() else { return };
            let Some((number, verdict)) = escalation::advance(firing, life, now, hurry) else { return };
            let StepOutcome::Take(step) = verdict else {
                if let StepOutcome::Skip(why) = verdict {
                    self.record(ident, Why::Step, format!("step {number} is not needed: {why}"), now);
                }
                continue;
            };
            hurry = false;
            if self.is_inhibited(ident, life, now) {
                continue;
            }
            self.take_step(ident, &rule, number, &step.target, now);
        }
    }

    fn take_step(&mut self, ident: &AlertKey, rule: &Rule, number: usize, target: &Target, now: Timestamp) {
        let Some(alert) = self.alerts.get(ident) else { return };
        let Some(firing) = alert.firing() else { return };
        let text = |locale: &Locale| text::escalated(alert, firing, &self.people, now, locale);
        match target {
            Target::People(names) => {
                let told = voiced(self.on_duty(names, now), text);
                self.record(ident, Why::Step, format!("step {number}: {}", names.join(", ")), now);
                self.tell(ident, rule, NotificationKind::Escalated, told, now);
            }
            Target::Topic { topic, payload } => {
                let Some(topic) = topic.fill(&alert.bindings) else {
                    let why = format!(
                        "step {number}: the levels of the alert make no topic that can be published to"
                    );
                    return self.record(ident, Why::Step, why, now);
                };
                let payload = payload.clone();
                self.record(ident, Why::Step, format!("step {number}: published to {topic}"), now);
                self.effects.push(Effect::Publish { alert: ident.clone(), topic, payload, at: now });
            }
            Target::Post { url } => {
                let body = serde_json::json!({
                    "rule": ident.rule, "key": ident.key, "severity": rule.severity.as_str(),
                    "text": text(&self.people.locale),
                    "since": firing.since.rfc3339(), "labels": alert.bindings,
                });
                self.record(
                    ident,
                    Why::Step,
                    format!("step {number}: posted to {}", without_secrets(url)),
                    now,
                );
                let (url, body) = (url.clone(), body.to_string());
                self.effects.push(Effect::Post { alert: ident.clone(), url, body, at: now });
            }
        }
    }

    pub(in crate::alert) fn on_duty(&self, names: &[String], now: Timestamp) -> Vec<Contact> {
        self.people.on_duty(names, now, &self.zone).into_iter().cloned().collect()
    }
}

/// The words for each of these people.
fn voiced(
    people: impl IntoIterator<Item = Contact>,
    text: impl Fn(&Locale) -> String,
) -> Vec<(Contact, String)> {
    let voiced = people.into_iter().map(|contact| {
        let text = text(&contact.locale);
        (contact, text)
    });
    voiced.collect()
}
