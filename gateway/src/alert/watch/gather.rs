//! Alerts that are told together: gathered until their group's time has come.

use std::collections::BTreeSet;

use super::{Slot, Watch};
use crate::alert::grouping::{Line, Waiting};
use crate::alert::history::{Kind, Why};
use crate::alert::life::Grouping;
use crate::alert::lifecycle::Ident;
use crate::alert::rule::{Rule, Severity};
use crate::alert::words;
use crate::contact::Contact;
use crate::ids::ContactId;
use crate::time::{Timestamp, duration_for_people};

impl Watch {
    pub(super) fn gather(
        &mut self,
        ident: &Ident,
        rule: &Rule,
        grouping: &Grouping,
        over: Option<(String, Vec<ContactId>)>,
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
        group.add(Waiting { alert: ident.clone(), over }, grouping.wait, grouping.interval, now);
        let wait = duration_for_people(group.due.map_or(grouping.wait, |due| now.until(due)));
        self.record(ident, Why::Grouped, format!("waits {wait} to be told together with others"), now);
        self.touch(Slot::Group(key), now);
    }

    /// The group's time has come.
    pub(super) fn flush(&mut self, key: &str, now: Timestamp) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if group.lines.is_empty() {
            self.groups.remove(key); // nothing new for a whole interval
            return;
        }
        let (waiting, more, label) =
            (std::mem::take(&mut group.lines), std::mem::take(&mut group.more), group.label.clone());
        group.flushed_at = Some(now);
        let rule = waiting.first().and_then(|first| self.rules.get(&first.alert.rule));
        let interval =
            rule.and_then(|rule| rule.life.as_ref()?.group.as_ref()).map(|grouping| grouping.interval);
        group.due = interval.map(|interval| now + interval);
        let (mut lines, mut ended) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for Waiting { alert, over } in waiting {
            match over {
                Some((text, told)) => ended.push((alert, text, told)),
                None if !seen.insert(alert.clone()) => {}
                None => lines.extend(self.still_to_tell(&alert, now)),
            }
        }
        let Some(rule) = lines
            .first()
            .map(|line: &Line| &line.alert.rule)
            .or(ended.first().map(|(alert, _, _)| &alert.rule))
        else {
            return;
        };
        let Some(rule) = self.rules.get(rule).cloned() else { return };
        let on_duty = self.on_duty(&rule.notify, now);
        let ids: BTreeSet<ContactId> = ended.iter().flat_map(|(_, _, told)| told.clone()).collect();
        let others = ids.iter().filter(|id| !on_duty.iter().any(|contact| contact.id == **id));
        let others: Vec<Contact> = others.filter_map(|id| self.people.contacts.get(id).cloned()).collect();
        let again = |alert: &Ident| lines.iter().any(|line| line.alert == *alert);
        for (alert, _, _) in ended.iter().filter(|(alert, _, _)| again(alert)) {
            let what = "it fires again before its end was told: the new line says how often";
            self.record(alert, Why::Grouped, what.into(), now);
        }
        for contact in &on_duty {
            let mut own = lines.clone();
            let over = ended_for(&ended, contact, rule.severity);
            own.extend(over.into_iter().filter(|line| !again(&line.alert)));
            self.deliver(contact, own, &label, more, now);
        }
        for contact in &others {
            self.deliver(contact, ended_for(&ended, contact, rule.severity), &label, 0, now);
        }
    }

    /// The line of an alert whose group is due, if it still fires and nothing holds it back by now.
    fn still_to_tell(&mut self, ident: &Ident, now: Timestamp) -> Option<Line> {
        let rule = self.rules.get(&ident.rule)?.clone();
        let life = rule.life.as_ref()?;
        self.owe(ident, false);
        let Some(mut text) = self.fired_text(ident, life, now) else {
            self.record(ident, Why::Nobody, "over before its group was told".into(), now);
            return None;
        };
        if self.is_inhibited(ident, life, now) {
            return None;
        }
        let alert = self.alerts.get(ident)?;
        let firing = alert.firing()?;
        let kind = if firing.told.is_empty() { Kind::Fired } else { Kind::Still };
        if kind == Kind::Still {
            text = words::still(alert, firing, now, &self.zone);
        }
        Some(Line { alert: ident.clone(), kind, severity: rule.severity, text })
    }
}

/// The ends that this person has to hear of.
fn ended_for(ended: &[(Ident, String, Vec<ContactId>)], to: &Contact, severity: Severity) -> Vec<Line> {
    let own = ended.iter().filter(|(_, _, told)| told.contains(&to.id));
    own.map(|(alert, text, _)| Line {
        alert: alert.clone(),
        kind: Kind::Resolved,
        severity,
        text: text.clone(),
    })
    .collect()
}
