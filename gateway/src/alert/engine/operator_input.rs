//! Commands of people, and receipts, applied to alerts.

use serde::{Deserialize, Serialize};

use super::{Engine, StateKey};
use crate::alert::effect::{Effect, NotificationKind, Why};
use crate::alert::lifecycle::{Acknowledged, Alert, AlertKey, EndReason, Transition};
use crate::alert::notification::grouping::Line;
use crate::alert::notification::reached::Reached;
use crate::alert::notification::silence::Silence;
use crate::alert::notification::text;
use crate::ids::ContactId;
use crate::outbox::message_state::State;
use crate::time::{Timestamp, duration_for_people};

/// Something that was written down for the watch by another part, or by another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCommand {
    Acknowledge {
        alert: AlertKey,
        by: Person,
    },
    Resolve {
        alert: AlertKey,
        by: Person,
    },
    /// This person does not want to hear of it for a while.
    Snooze {
        alert: AlertKey,
        by: Person,
        seconds: u64,
    },
    Silence(Silence),
    /// A switch over all alerts: on until then, or off.
    Mute {
        by: String,
        until: Option<Timestamp>,
        /// The rank of what comes through all the same.
        break_through: i64,
    },
    /// Ends a silence.
    Expire {
        silence: u64,
    },
    /// Nobody has got it, and nothing is under way.
    Undelivered {
        alert: AlertKey,
        episode: u32,
    },
    /// What became of a message about it.
    Receipt {
        alert: AlertKey,
        episode: u32,
        contact: ContactId,
        state: String,
    },
}

/// The person who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name that others read.
    pub name: String,
    /// `None`: an operator at the machine.
    #[serde(default)]
    pub contact: Option<ContactId>,
}

impl Engine {
    /// Answers with a sentence when it does not fit what is.
    pub fn note(&mut self, note: &AlertCommand, now: Timestamp) -> Result<(), String> {
        match note {
            AlertCommand::Acknowledge { alert, by } => self.acknowledge(alert, by, now),
            AlertCommand::Resolve { alert, by } => {
                let Some(known) = self.alerts.get_mut(alert) else { return Err(unknown(alert)) };
                let turn = known.resolve(EndReason::Person(by.name.clone()), now);
                if turn == Transition::Nothing {
                    return Err(unknown(alert));
                }
                self.turned(alert, turn, now);
                self.touch(StateKey::Alert(alert.clone()), now);
                Ok(())
            }
            AlertCommand::Snooze { alert, by, seconds } => {
                let time = std::time::Duration::from_secs(*seconds);
                self.record(
                    alert,
                    Why::Silenced,
                    format!("{} snoozes it for {}", by.name, duration_for_people(time)),
                    now,
                );
                self.silence(
                    Silence {
                        rule: Some(alert.rule.clone()),
                        key: Some(alert.key.clone()),
                        contact: by.contact.clone(),
                        ..Silence::over_everything(&by.name, now + time)
                    },
                    now,
                );
                Ok(())
            }
            AlertCommand::Silence(silence) => {
                self.silence(silence.clone(), now);
                Ok(())
            }
            AlertCommand::Mute { by, until, break_through } => {
                self.mute(by, *until, *break_through, now);
                Ok(())
            }
            AlertCommand::Expire { silence } => {
                let Some(known) = self.silences.get_mut(silence) else {
                    return Err(format!(
                        "there is no silence {silence}; `bellwire alerts silences` lists them"
                    ));
                };
                known.until = now;
                self.end_silence(*silence, now);
                self.touch(StateKey::Silence(*silence), now);
                Ok(())
            }
            AlertCommand::Undelivered { alert, episode } => {
                self.undelivered(alert, *episode, now);
                Ok(())
            }
            AlertCommand::Receipt { alert, episode, contact, state } => {
                self.receipt(alert, *episode, contact, state, now);
                Ok(())
            }
        }
    }

    fn acknowledge(&mut self, ident: &AlertKey, by: &Person, now: Timestamp) -> Result<(), String> {
        let Some(alert) = self.alerts.get_mut(ident) else { return Err(unknown(ident)) };
        let episode = alert.episode;
        let Some(firing) = alert.firing_mut() else { return Err(unknown(ident)) };
        if let Some(earlier) = &firing.acknowledged {
            return Err(format!("{} has acknowledged it already", earlier.by));
        }
        firing.acknowledged =
            Some(Acknowledged { by: by.name.clone(), contact: by.contact.clone(), at: now });
        let Some(alert) = self.alerts.get(ident) else { return Err(unknown(ident)) };
        let Some(firing) = alert.firing() else { return Err(unknown(ident)) };
        let told: Vec<ContactId> = firing.told.keys().cloned().collect();
        let words = |to: &ContactId| {
            let own = by.contact.as_ref() == Some(to);
            text::acknowledged(alert, firing, &by.name, own, now, self.people.locale(to))
        };
        let told: Vec<(ContactId, String)> = told.into_iter().map(|to| (to.clone(), words(&to))).collect();
        let what = format!("{} takes care", by.name);
        self.effects.push(Effect::Moved {
            alert: ident.clone(),
            episode,
            state: "acknowledged",
            reason: what.clone(),
            at: now,
        });
        self.record(ident, Why::Acknowledged, what, now);
        let severity = self.rules.get(&ident.rule).map(|rule| rule.severity);
        for (id, text) in told {
            let (Some(contact), Some(severity)) = (self.people.contacts.get(&id).cloned(), severity) else {
                continue;
            };
            let line = Line { alert: ident.clone(), kind: NotificationKind::Acknowledged, severity, text };
            self.deliver(&contact, vec![line], "", 0, now);
        }
        self.touch(StateKey::Alert(ident.clone()), now);
        Ok(())
    }

    fn silence(&mut self, silence: Silence, now: Timestamp) {
        let id = self.silences.last_key_value().map_or(1, |(last, _)| last + 1);
        self.silences.insert(id, silence);
        self.touch(StateKey::Silence(id), now);
    }

    /// Flipped on again it lasts longer: one switch is one silence.
    fn mute(&mut self, by: &str, until: Option<Timestamp>, break_through: i64, now: Timestamp) {
        let known = self.silences.iter().filter(|(_, silence)| silence.is_mute_of(by));
        let known: Vec<u64> = known.map(|(id, _)| *id).collect();
        for id in &known {
            if let Some(silence) = self.silences.get_mut(id) {
                silence.until = until.unwrap_or(now);
                silence.break_through = Some(break_through);
            }
            self.end_silence(*id, now);
            self.touch(StateKey::Silence(*id), now);
        }
        if let Some(until) = until.filter(|_| known.is_empty()) {
            let break_through = Some(break_through);
            self.silence(Silence { break_through, ..Silence::over_everything(by, until) }, now);
        }
    }

    /// Ends a silence: what it held back is told now, and whoever snoozed is reminded.
    pub(in crate::alert) fn end_silence(&mut self, id: u64, now: Timestamp) {
        let Some(silence) = self.silences.get(&id).filter(|silence| silence.until <= now).cloned() else {
            return;
        };
        self.silences.remove(&id);
        let firing: Vec<AlertKey> = self.firing.values().flatten().cloned().collect();
        for ident in firing {
            let Some(alert) = self.alerts.get(&ident) else { continue };
            let Some(firing) = alert.firing().filter(|firing| firing.acknowledged.is_none()) else {
                continue;
            };
            if self.owed.contains(&ident) {
                self.announce(&ident, now);
            } else if let Some(contact) = &silence.contact {
                let severity = self.rules.get(&ident.rule).map(|rule| rule.severity);
                let severity =
                    severity.filter(|severity| silence.covers(&ident, &alert.bindings, *severity, contact));
                let text = text::still(alert, firing, now, self.people.locale(contact));
                let (Some(to), Some(severity)) = (self.people.contacts.get(contact).cloned(), severity)
                else {
                    continue;
                };
                let line = Line { alert: ident.clone(), kind: NotificationKind::Still, severity, text };
                self.deliver(&to, vec![line], "", 0, now);
            }
            self.touch(StateKey::Alert(ident), now);
        }
    }

    /// Nobody can act on what nobody has got: the next step does not wait for its time.
    fn undelivered(&mut self, ident: &AlertKey, episode: u32, now: Timestamp) {
        let Some(life) = self.life(&ident.rule) else { return };
        let of_now = |alert: &&Alert| alert.episode == episode;
        let firing = self.alerts.get(ident).filter(of_now).and_then(|alert| alert.firing());
        if firing.is_none_or(|firing| firing.acknowledged.is_some()) {
            return;
        }
        self.record(ident, Why::Receipt, "nobody got it; the next step does not wait".to_owned(), now);
        self.escalate(ident, &life, now, true);
        self.touch(StateKey::Alert(ident.clone()), now);
    }

    /// A group's message carries one alert's number: what is known of it counts for all that were told with it.
    fn receipt(&mut self, ident: &AlertKey, episode: u32, contact: &ContactId, state: &str, now: Timestamp) {
        let Some(reach) = State::parse(state).and_then(Reached::of) else { return };
        let Some(alert) = self.alerts.get(ident).filter(|alert| alert.episode == episode) else { return };
        let Some(told) = alert.firing().and_then(|firing| firing.told.get(contact)) else { return };
        let (at, grouped) = (told.at, self.life(&ident.rule).is_some_and(|life| life.group.is_some()));
        let same: Vec<AlertKey> = match grouped {
            true => self.firing.values().flatten().cloned().collect(),
            false => vec![ident.clone()],
        };
        for ident in same {
            let Some(firing) = self.alerts.get_mut(&ident).and_then(|alert| alert.firing_mut()) else {
                continue;
            };
            let Some(told) = firing.told.get_mut(contact).filter(|told| told.at == at) else { continue };
            // Receipts come in any order: they only move forward, and a failure does not undo a delivery.
            if reach > told.reach || reach == Reached::Failed && told.reach == Reached::Sent {
                told.reach = reach;
                self.record(&ident, Why::Receipt, format!("WhatsApp reports for {contact}: {state}"), now);
                self.touch(StateKey::Alert(ident), now);
            }
        }
    }
}

fn unknown(alert: &AlertKey) -> String {
    format!("{alert} does not fire; `bellwire alerts list` shows what does")
}
