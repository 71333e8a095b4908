//! Timed events through the rules, with virtual time: what would be sent when, to whom. Nothing waits and nothing is sent;
//! the judgement is the daemon's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::alert::effect::{Effect, Notification, Snapshot, Why};
use crate::alert::engine::{AlertCommand, Engine, Person};
use crate::alert::intake::{Decision, RuleSet};
use crate::alert::lifecycle::AlertKey;
use crate::alert::notification::silence::Silence;
use crate::contact::People;
use crate::contact::severity::Severity;
use crate::event::cloudevents::Name;
use crate::event::incoming::{Event, EventSource, Identity};
use crate::ids::{ContactId, RuleName};
use crate::time::{Now, Timestamp, parse_duration};

/// One line of the recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// As the clock on the wall shows it.
    pub at: Timestamp,
    pub what: RecordedInput,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RecordedInput {
    Publish {
        topic: String,
        payload: Bytes,
        retained: bool,
        /// What its sender calls it, if that is no part of the payload.
        id: Option<Name>,
        content_type: Option<String>,
    },
    Note(AlertCommand),
    /// The phone is off: what is sent from now on is not delivered.
    Away(ContactId),
    Back(ContactId),
    /// Reads what came about this alert.
    Read {
        alert: AlertKey,
        contact: ContactId,
    },
    /// The clock is set.
    Clock(Timestamp),
    /// The gateway stops and starts.
    Restart,
    /// Nothing happens; time passes.
    Wait,
}

/// A message that would have gone out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedMessage {
    pub at: Timestamp,
    /// A contact's id, `mqtt TOPIC` or `http URL`.
    pub to: String,
    pub text: String,
    pub buttons: Vec<String>,
}

/// A decision with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub at: Timestamp,
    pub alert: AlertKey,
    pub why: Why,
    pub what: String,
}

#[derive(Debug)]
pub struct Replay<'a> {
    judge: &'a RuleSet,
    watch: Engine,
    wall: Option<Timestamp>,
    steady: Duration,
    away: BTreeSet<ContactId>,
    kept: BTreeMap<(&'static str, String), Snapshot>,
    pub sent: Vec<ReplayedMessage>,
    pub records: Vec<Recorded>,
}

impl<'a> Replay<'a> {
    #[must_use]
    pub fn new(judge: &'a RuleSet, watch: Engine) -> Self {
        let (kept, away) = (BTreeMap::new(), BTreeSet::new());
        let steady = Duration::ZERO;
        Self { judge, watch, wall: None, steady, away, kept, sent: Vec::new(), records: Vec::new() }
    }

    /// Lets one thing happen, and before it all that the time until then brings.
    pub fn step(&mut self, timed: Timed) {
        if self.wall.is_none() {
            self.wall = Some(timed.at);
            self.judge.begin(&mut self.watch, timed.at);
        }
        while let Some(wake) = self.watch.wake_at().filter(|wake| *wake <= timed.at) {
            self.pass(wake);
        }
        self.pass(timed.at);
        let at = timed.at;
        match timed.what {
            RecordedInput::Publish { topic, payload, retained, id, content_type } => {
                let id = id.or_else(|| Name::of_payload(content_type.as_deref(), &payload));
                let event = Event {
                    content_type,
                    identity: id.map_or(Identity::None, |name| Identity::Named(name.to_string())),
                    retained,
                    ..Event::new(EventSource::Cli, topic, payload, at)
                };
                let decision = self.judge.decide(event, &mut self.watch, at);
                self.decided(decision, at);
            }
            RecordedInput::Note(note) => {
                if let Err(reason) = self.watch.note(&note, at) {
                    tracing::info!(reason, "it changes nothing");
                }
            }
            RecordedInput::Away(contact) => drop(self.away.insert(contact)),
            RecordedInput::Back(contact) => drop(self.away.remove(&contact)),
            RecordedInput::Read { alert, contact } => self.receipt(alert, contact, "read", at),
            RecordedInput::Clock(to) => {
                self.wall = Some(to);
                self.watch.advance(Now { wall: to, steady: self.steady });
            }
            RecordedInput::Restart => {
                let now = Now { wall: at, steady: Duration::ZERO };
                self.watch = self.judge.watch();
                self.watch.restore(self.kept.values().cloned().collect(), now);
                self.judge.begin(&mut self.watch, at);
                self.steady = Duration::ZERO;
            }
            RecordedInput::Wait => {}
        }
        self.perform();
    }

    fn pass(&mut self, to: Timestamp) {
        let from = self.wall.replace(to).unwrap_or(to);
        self.steady += from.until(to);
        self.watch.advance(Now { wall: to, steady: self.steady });
        self.perform();
    }

    fn decided(&mut self, mut decision: Decision, at: Timestamp) {
        decision.effects.extend(self.watch.keep_passed());
        let is_recorded = |reason: &str| {
            decision
                .effects
                .iter()
                .any(|effect| matches!(effect, Effect::Record { what, .. } if what == reason))
        };
        for one in decision.unjudged.iter().filter(|one| !is_recorded(&one.reason)) {
            let alert = AlertKey { rule: one.rule.clone(), key: String::new() };
            let what = format!("{}: {}", decision.event.topic, one.reason);
            self.records.push(Recorded { at, alert, why: Why::Flaw, what });
        }
        self.take(decision.effects);
    }

    fn perform(&mut self) {
        let mut effects = self.watch.drain();
        effects.extend(self.watch.keep_passed());
        self.take(effects);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        let mut delivered = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(notice) => {
                    let buttons = notice.content.buttons.iter().map(|button| button.title.clone()).collect();
                    let (to, text) = (notice.to.id.0.clone(), notice.content.text);
                    self.sent.push(ReplayedMessage { at: notice.at, to, text, buttons });
                    if let Some((alert, _)) = notice.alert.filter(|_| !self.away.contains(&notice.to.id)) {
                        delivered.push((alert, notice.to.id, notice.at));
                    }
                }
                Effect::Publish { topic, payload, at, .. } => {
                    self.sent.push(ReplayedMessage {
                        at,
                        to: format!("mqtt {topic}"),
                        text: payload,
                        buttons: Vec::new(),
                    });
                }
                Effect::Post { url, body, at, .. } => {
                    self.sent.push(ReplayedMessage {
                        at,
                        to: format!("http {url}"),
                        text: body,
                        buttons: Vec::new(),
                    });
                }
                Effect::Record { alert, why, what, at } => {
                    self.records.push(Recorded { at, alert, why, what })
                }
                Effect::Fired(_) | Effect::Moved { .. } | Effect::Replaced { .. } | Effect::Picture(..) => {}
                Effect::Keep(kept) => drop(self.kept.insert(kept.slot.row(), kept)),
                Effect::Forget(slot) => drop(self.kept.remove(&slot.row())),
            }
        }
        for (alert, contact, at) in delivered {
            self.receipt(alert, contact, "delivered", at);
        }
    }

    fn receipt(&mut self, alert: AlertKey, contact: ContactId, state: &str, at: Timestamp) {
        let episode = self.watch.alerts().get(&alert).map_or(0, |alert| alert.episode);
        let note = AlertCommand::Receipt { alert, episode, contact, state: state.to_owned() };
        drop(self.watch.note(&note, at)); // one that is over needs no receipt
        self.perform();
    }

    #[must_use]
    pub fn watch(&self) -> &Engine {
        &self.watch
    }

    /// The snapshots on disk.
    pub fn kept(&self) -> impl Iterator<Item = &Snapshot> {
        self.kept.values()
    }
}

/// How far ahead is looked: a night and a day of quiet hours, `for` and groups.
const AHEAD: Duration = Duration::from_secs(48 * 3_600);
/// Moments at which the watch wakes on the way there.
const LOOKS: usize = 1_000;

/// When somebody is told next if nothing more happens, and what. What is `told` now is delivered, as it is most often: a step
/// that comes only when it is not is not foretold.
pub fn foresee(
    watch: &mut Engine,
    told: &[Effect],
    now: Timestamp,
) -> Option<(Timestamp, Vec<Notification>)> {
    for effect in told {
        if let Effect::Send(notice) = effect
            && let Some((alert, episode)) = notice.alert.clone()
        {
            let (contact, state) = (notice.to.id.clone(), "delivered".to_owned());
            drop(watch.note(&AlertCommand::Receipt { alert, episode, contact, state }, now)); // it fires, so there is nothing to refuse
        }
    }
    watch.advance(Now { wall: now, steady: Duration::ZERO });
    for _ in 0..LOOKS {
        let wake = watch.wake_at().filter(|wake| now.until(*wake) <= AHEAD)?;
        watch.advance(Now { wall: wake, steady: now.until(wake) });
        let notices: Vec<Notification> = watch.drain().into_iter().filter_map(Effect::notice).collect();
        if !notices.is_empty() {
            return Some((wake, notices));
        }
    }
    None
}

impl RecordedInput {
    /// Reads the act of a person: `acknowledge`, `resolve`, `snooze 1h`, `silence 1h`, `mute 1h`, `unmute`, `read`,
    /// `away`, `back`, `restart`, `wait`.
    /// `about` is an alert, `RULE LEVEL=VALUE …`.
    pub fn of_words(
        verb: &str,
        who: &str,
        about: &str,
        people: &People,
        at: Timestamp,
    ) -> Result<Self, String> {
        let (verb, argument) = verb.split_once(' ').unwrap_or((verb, ""));
        let contact = ContactId(who.to_owned());
        let (rule, key) = about.split_once(' ').unwrap_or((about, ""));
        let alert = AlertKey { rule: RuleName(rule.to_owned()), key: key.trim().to_owned() };
        let person = || match people.contacts.get(&contact) {
            Some(known) => Ok(Person { name: known.name.clone(), contact: Some(contact.clone()) }),
            None => Err(format!("there is no contact `{who}`")),
        };
        let time = || parse_duration(argument).ok_or(format!("`{argument}` is not a duration such as 1h"));
        Ok(match verb {
            "acknowledge" => Self::Note(AlertCommand::Acknowledge { alert, by: person()? }),
            "resolve" => Self::Note(AlertCommand::Resolve { alert, by: person()? }),
            "snooze" => Self::Note(AlertCommand::Snooze { alert, by: person()?, seconds: time()?.as_secs() }),
            "silence" => Self::Note(AlertCommand::Silence(Silence {
                rule: Some(alert.rule).filter(|rule| !rule.0.is_empty()),
                key: Some(alert.key).filter(|key| !key.is_empty()),
                ..Silence::over_everything(&person()?.name, at + time()?)
            })),
            "mute" | "unmute" => Self::Note(AlertCommand::Mute {
                by: person()?.name,
                until: (verb == "mute").then(time).transpose()?.map(|time| at + time),
                break_through: Severity::Critical.rank(),
            }),
            "read" => Self::Read { alert, contact: person()?.contact.unwrap_or(contact) },
            "away" => Self::Away(person()?.contact.unwrap_or(contact)),
            "back" => Self::Back(person()?.contact.unwrap_or(contact)),
            "restart" => Self::Restart,
            "wait" => Self::Wait,
            other => {
                return Err(format!(
                    "`{other}` is nothing that happens; there are acknowledge, resolve, snooze, silence, mute, unmute, read, away, back, restart, wait, clock"
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::effect::NotificationKind;
    use crate::alert::tests::{MORNING, event, site};

    #[test]
    fn the_next_message_is_predicted_up_to_two_days() {
        let rule = |name: &str, pending_for: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\ntopic = \"{name}/{{id}}\"\nmessage = \"x\"\nnotify = [\"giorgi\"]\nfor = \"{pending_for}\"\nresolve_after = \"72h\"\n"
            )
        };
        let judge = site(&[rule("soon", "1m"), rule("last", "48h"), rule("late", "49h")].concat()).1;
        for (topic, seconds) in [("soon/1", Some(60)), ("last/1", Some(48 * 3_600)), ("late/1", None)] {
            let mut watch = judge.watch();
            drop(judge.decide(event(topic, "x", Identity::None), &mut watch, MORNING));
            let told = foresee(&mut watch, &[], MORNING).map(|(at, notices)| {
                (at, notices.iter().map(|notice| (notice.kind, notice.to.id.0.clone())).collect::<Vec<_>>())
            });
            let expected = seconds.map(|after| {
                (MORNING + Duration::from_secs(after), vec![(NotificationKind::Fired, "giorgi".to_owned())])
            });
            assert_eq!(told, expected, "{topic}");
        }
    }

    #[test]
    fn a_silence_without_a_subject_covers_everything() {
        let people = site("").0.people;
        for (about, rule, key) in
            [("", None, None), ("door", Some("door"), None), ("door id=1", Some("door"), Some("id=1"))]
        {
            let what =
                RecordedInput::of_words("silence 1h", "nino", about, &people, MORNING).expect("a silence");
            let RecordedInput::Note(AlertCommand::Silence(Silence {
                rule: about_rule,
                key: about_key,
                until,
                ..
            })) = what
            else {
                panic!("{what:?}")
            };
            assert_eq!((about_rule.as_ref().map(|rule| rule.0.as_str()), about_key.as_deref()), (rule, key));
            assert_eq!(until, MORNING + Duration::from_secs(3_600));
        }
    }
}
