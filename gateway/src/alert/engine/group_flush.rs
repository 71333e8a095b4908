//! Alerts that are told together: gathered until their group's time has come.

use std::collections::BTreeSet;

use super::{Engine, StateKey};
use crate::alert::effect::{NotificationKind, Why};
use crate::alert::lifecycle::AlertKey;
use crate::alert::notification::grouping::{Line, PendingGroup, Resolution};
use crate::alert::notification::text;
use crate::contact::Contact;
use crate::contact::severity::Severity;
use crate::ids::ContactId;
use crate::rule::definition::Rule;
use crate::rule::lifecycle_settings::Grouping;
use crate::time::{Timestamp, duration_for_people};

/// A line before it is anybody's: who reads it gives it its words.
struct Open {
    alert: AlertKey,
    kind: NotificationKind,
    severity: Severity,
    is_absence: bool,
}

impl Engine {
    pub(in crate::alert) fn gather(
        &mut self,
        ident: &AlertKey,
        rule: &Rule,
        grouping: &Grouping,
        over: Option<Resolution>,
        now: Timestamp,
    ) {
        let Some(alert) = self.alerts.get(ident) else { return };
        let value = |name: &String| match name.as_str() {
            "rule" => ident.rule.0.clone(),
            name => alert.bindings.get(name).cloned().unwrap_or_default(),
        };
        let label = grouping.by.iter().map(value).collect::<Vec<_>>().join(" ");
        let key = format!("{} {} {} {label}", rule.connection, rule.notify.join(","), grouping.by.join(","));
        let group = self.groups.entry(key.clone()).or_default();
        group.label = label;
        group.add(PendingGroup { alert: ident.clone(), over }, grouping.wait, grouping.interval, now);
        let wait = duration_for_people(group.due.map_or(grouping.wait, |due| now.until(due)));
        self.record(ident, Why::Grouped, format!("waits {wait} to be told together with others"), now);
        self.touch(StateKey::Group(key), now);
    }

    /// The group's time has come.
    pub(in crate::alert) fn flush(&mut self, key: &str, now: Timestamp) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if group.lines.is_empty() {
            self.groups.remove(key); // nothing new for a whole interval
            return;
        }
        let (waiting, more, label) =
            (std::mem::take(&mut group.lines), std::mem::take(&mut group.more), group.label.clone());
        group.flushed_at = Some(now);
        let rule = waiting.iter().find_map(|one| self.rules.get(&one.alert.rule));
        let interval =
            rule.and_then(|rule| rule.life.as_ref()?.group.as_ref()).map(|grouping| grouping.interval);
        group.due = interval.map(|interval| now + interval);
        let (mut lines, mut ended) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for PendingGroup { alert, over } in waiting {
            match over {
                Some(over) => ended.push((alert, over)),
                None if !seen.insert(alert.clone()) => {}
                None => lines.extend(self.still_to_tell(&alert, now)),
            }
        }
        let told = lines.iter().map(|line: &Open| &line.alert.rule);
        let mut told = told.chain(ended.iter().map(|(alert, _)| &alert.rule));
        let known = told.find_map(|rule| self.rules.get(rule).cloned());
        // The end of an alert whose rule is gone since is told all the same.
        let Some(rule) = known.or_else(|| self.rules.values().next().filter(|_| !ended.is_empty()).cloned())
        else {
            return;
        };
        let on_duty = self.on_duty(&rule.notify, now);
        let ids: BTreeSet<ContactId> = ended.iter().flat_map(|(_, over)| over.told().cloned()).collect();
        let others = ids.iter().filter(|id| !on_duty.iter().any(|contact| contact.id == **id));
        let others: Vec<Contact> = others.filter_map(|id| self.people.contacts.get(id).cloned()).collect();
        let again = |alert: &AlertKey| lines.iter().any(|line| line.alert == *alert);
        for (alert, _) in ended.iter().filter(|(alert, _)| again(alert)) {
            let what = "it fires again before its end was told: the new line says how often";
            self.record(alert, Why::Grouped, what.into(), now);
        }
        // All before the first is told: what is said to one does not change what the next one hears.
        let voiced: Vec<Vec<Line>> = on_duty
            .iter()
            .map(|to| lines.iter().filter_map(|line| self.voiced(line, to, now)).collect())
            .collect();
        for (contact, mut own) in on_duty.iter().zip(voiced) {
            let over = ended_for(&ended, contact, rule.severity);
            own.extend(over.into_iter().filter(|line| !again(&line.alert)));
            self.deliver(contact, own, &label, more, now);
        }
        for contact in &others {
            self.deliver(contact, ended_for(&ended, contact, rule.severity), &label, 0, now);
        }
    }

    /// The line of an alert whose group is due, if it still fires and nothing holds it back by now.
    fn still_to_tell(&mut self, ident: &AlertKey, now: Timestamp) -> Option<Open> {
        let rule = self.rules.get(&ident.rule)?.clone();
        let life = rule.life.as_ref()?;
        self.owe(ident, false);
        if self.alerts.get(ident).and_then(|alert| alert.firing()).is_none() {
            self.record(ident, Why::Nobody, "over before its group was told".into(), now);
            return None;
        }
        if self.is_inhibited(ident, life, now) {
            return None;
        }
        let firing = self.alerts.get(ident)?.firing()?;
        let kind = if firing.told.is_empty() { NotificationKind::Fired } else { NotificationKind::Still };
        let is_absence = life.expect.is_some();
        Some(Open { alert: ident.clone(), kind, severity: rule.severity, is_absence })
    }

    fn voiced(&self, open: &Open, to: &Contact, now: Timestamp) -> Option<Line> {
        let alert = self.alerts.get(&open.alert)?;
        let firing = alert.firing()?;
        let text = if open.kind == NotificationKind::Still {
            text::still(alert, firing, now, &to.locale)
        } else {
            text::fired(alert, firing, open.is_absence, now, &to.locale)
        };
        Some(Line { alert: open.alert.clone(), kind: open.kind, severity: open.severity, text })
    }
}

/// The ends that this person has to hear of.
fn ended_for(ended: &[(AlertKey, Resolution)], to: &Contact, severity: Severity) -> Vec<Line> {
    let own = ended.iter().filter_map(|(alert, over)| Some((alert, over.to(&to.id)?)));
    own.map(|(alert, text)| Line {
        alert: alert.clone(),
        kind: NotificationKind::Resolved,
        severity,
        text: text.to_owned(),
    })
    .collect()
}
