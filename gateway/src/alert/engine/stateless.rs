//! Alerts of rules without a life: each is told once, now or in the summary of somebody's quiet hours.

use super::{Engine, StateKey};
use crate::alert::effect::{NotificationKind, Why};
use crate::alert::lifecycle::{AlertKey, Recent};
use crate::alert::new_alert::NewAlert;
use crate::alert::notification::grouping::Line;
use crate::alert::notification::quiet_hours_summary::HeldForSummary;
use crate::contact::Contact;
use crate::ids::fingerprint;
use crate::time::Timestamp;

impl Engine {
    /// Takes from its recipients who is not to be told now, and says why. `again`: a repetition, which the store does not
    /// take as an alert, and which must not stand in a summary either.
    pub fn admit(&mut self, alert: &mut NewAlert, at: Timestamp, again: bool, now: Timestamp) {
        let ident = ident(alert);
        for contact in std::mem::take(&mut alert.recipients) {
            let content = alert.to(&contact);
            let (kind, severity) = (NotificationKind::Fired, alert.severity);
            let line = Line { alert: ident.clone(), kind, severity, text: content.text };
            let why = self.held_back(&contact, &line, alert, now);
            let Some((why, until, what)) = why else {
                alert.recipients.push(contact);
                continue;
            };
            if again {
                continue;
            }
            if let Some(until) = until {
                let held = self.held.entry(contact.id.clone()).or_insert_with(|| HeldForSummary::new(until));
                if held.templates.is_empty() {
                    held.templates = content.templates;
                }
                held.push(&line, at);
                self.touch(StateKey::Held(contact.id), now);
            }
            alert.held.push(what.clone());
            self.record(&ident, why, what, now);
        }
        if alert.recipients.is_empty() {
            alert.kept = None; // no message carries it
        }
    }

    fn held_back(
        &self,
        to: &Contact,
        line: &Line,
        alert: &NewAlert,
        now: Timestamp,
    ) -> Option<(Why, Option<Timestamp>, String)> {
        let mut silences = self.silences.values().filter(|silence| silence.until > now);
        if let Some(silence) =
            silences.find(|one| one.covers(&line.alert, &alert.bindings, alert.severity, &to.id))
        {
            let until = silence.until.for_tables(&self.zone);
            return Some((
                Why::Silenced,
                None,
                format!("not to {}: silenced by {} until {until}", to.id, silence.by),
            ));
        }
        let until = self.quiet_until(&to.id, line, now)?;
        let what = format!("held for {}: quiet hours until {}", to.id, until.for_tables(&self.zone));
        Some((Why::Quiet, Some(until), what))
    }

    /// Whether this event, found under `key`, was met before.
    pub fn knows(&mut self, alert: &NewAlert, key: &str, now: Timestamp) -> bool {
        self.is_repetition(&ident(alert), fingerprint(key), now)
    }

    /// It was. Where nobody has quiet hours no summary can go wrong, and the store alone knows repetitions.
    pub fn met(&mut self, alert: &NewAlert, key: &str, of_session: bool, now: Timestamp) {
        if !self.people.quiet.is_empty() {
            self.pass(&ident(alert), Recent { identity: fingerprint(key), at: now, of_session });
        }
    }
}

fn ident(alert: &NewAlert) -> AlertKey {
    let names: Vec<String> = alert.bindings.keys().cloned().collect();
    AlertKey::of(&alert.rule, &names, &alert.bindings)
}
