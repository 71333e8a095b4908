//! The watch by hand: a few rules, one person, and what each moment makes of it.

/// What is kept, and for how long.
mod kept;
/// Events that changed nothing, and come again.
mod passed;
/// What people hear, and what they do not.
mod told;
/// What alerts' numbers were, and the pictures of them.
mod curves;

use std::time::Duration;

use super::*;
use crate::alert::effect::NotificationKind;
use crate::alert::lifecycle::Recent;
use crate::alert::message_text::MessageText;
use crate::contact::language::{Locale, Translated};
use crate::contact::severity::Severity;
use crate::contact::{Contact, Phone, Recipient};
use crate::event::decode::PayloadFormat;
use crate::event::topic::TopicPattern;
use crate::outbox::message::Template;
use crate::outbox::message_state::OnUnknown;
use crate::rule::lifecycle_settings::LifecycleSettings;

/// 10 March 2026, 12:00 UTC.
const START: Timestamp = Timestamp(1_773_144_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn contact(id: &str) -> Contact {
    Contact {
        id: id.into(),
        name: id.to_owned(),
        to: Recipient::Phone(Phone::parse("+15550100123").expect("valid")),
        roles: BTreeSet::new(),
        topics: Vec::new(),
        may_stop: true,
        locale: Locale::default(),
    }
}

fn people(ids: &[&str]) -> People {
    let mut people = People::default();
    people.contacts.extend(ids.iter().map(|id| (ContactId::from(*id), contact(id))));
    people
}

/// One alert for each `id`; what else it has is the test's own.
fn rule(name: &str, life: LifecycleSettings) -> Rule {
    Rule {
        name: name.into(),
        topic: TopicPattern::parse(&format!("{name}/{{id}}")).expect("a pattern"),
        when: None,
        message: Translated::default(),
        templates: Vec::new(),
        attach: None,
        notify: vec!["nino".into(), "giorgi".into()],
        connection: "main".into(),
        severity: Severity::Warning,
        payload: PayloadFormat::Auto,
        on_unknown: OnUnknown::Retry,
        expires: 2 * HOUR,
        on_retained: false,
        request: None,
        actions: Vec::new(),
        life: Some(Arc::new(LifecycleSettings { key: vec!["id".into()], ..life })),
    }
}

fn ident(rule: &str, id: &str) -> AlertKey {
    AlertKey { rule: rule.into(), key: format!("id={id}") }
}

fn template() -> Template {
    Template { name: "alarm".into(), ..Template::default() }
}

fn silence(id: Option<&str>, until: Timestamp) -> AlertCommand {
    let key = id.map(|id| format!("id={id}"));
    AlertCommand::Silence(Silence { key, ..Silence::over_everything("operator", until) })
}

/// A watch and its clocks.
struct Fixture {
    watch: Engine,
    now: Now,
}

impl Fixture {
    fn new(rules: &[Rule]) -> Self {
        Self::with(rules, people(&["nino"]), ALERTS_MAX)
    }

    fn with(rules: &[Rule], people: People, limit: usize) -> Self {
        let rules: Vec<Arc<Rule>> = rules.iter().cloned().map(Arc::new).collect();
        let mut watch = Engine::new(&rules, Arc::new(people), TimeZone::UTC, limit);
        let now = Now { wall: START, steady: Duration::ZERO };
        watch.advance(now);
        Self { watch, now }
    }

    /// One rule, `door`.
    fn door(life: LifecycleSettings) -> Self {
        Self::new(&[rule("door", life)])
    }

    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.set(time, 0)
    }

    /// Time passes, and the clock on the wall is set by so many milliseconds.
    fn set(&mut self, time: Duration, by: i64) -> Vec<Effect> {
        let wall = self.now.wall + time;
        self.now = Now { wall: Timestamp(wall.0 + by), steady: self.now.steady + time };
        self.watch.advance(self.now);
        self.watch.drain()
    }

    fn see(&mut self, rule: &str, id: &str, fires: bool) -> Vec<Effect> {
        let seen = Observation {
            bindings: [("id".to_owned(), id.to_owned())].into(),
            fires,
            clears: !fires,
            wording: Some(MessageText::of(format!("{rule} {id}"))),
            templates: vec![template()],
            ..Observation::default()
        };
        self.watch.observe(&ident(rule, id), &seen, self.now.wall);
        self.watch.drain()
    }

    fn note(&mut self, note: &AlertCommand) -> Vec<Effect> {
        self.watch.note(note, self.now.wall).expect("it fits");
        self.watch.drain()
    }

    fn alert(&self, id: &str) -> &Alert {
        &self.watch.alerts[&ident("door", id)]
    }

    /// The ids of the alerts that are kept.
    fn ids(&self) -> Vec<&str> {
        self.watch.alerts.keys().map(|ident| ident.key.as_str()).collect()
    }
}

/// Of each message to whom it goes, its kind and its first line.
fn said(effects: &[Effect]) -> Vec<(&str, NotificationKind, &str)> {
    let mut said = Vec::new();
    for effect in effects {
        if let Effect::Send(notice) = effect {
            let first = notice.content.text.lines().next().unwrap_or_default();
            said.push((notice.to.id.0.as_str(), notice.kind, first));
        }
    }
    said
}

/// What was written down for that reason.
fn records(effects: &[Effect], reason: Why) -> Vec<&str> {
    let mut records = Vec::new();
    for effect in effects {
        if let Effect::Record { why, what, .. } = effect
            && *why == reason
        {
            records.push(what.as_str());
        }
    }
    records
}

/// What is kept.
fn kept(effects: &[Effect]) -> Vec<Snapshot> {
    let mut kept = Vec::new();
    for effect in effects {
        if let Effect::Keep(one) = effect {
            kept.push(one.clone());
        }
    }
    kept
}

/// What is kept and what is forgotten.
fn slots(effects: &[Effect]) -> (Vec<StateKey>, Vec<StateKey>) {
    let mut forgotten = Vec::new();
    for effect in effects {
        if let Effect::Forget(slot) = effect {
            forgotten.push(slot.clone());
        }
    }
    (kept(effects).into_iter().map(|one| one.slot).collect(), forgotten)
}

fn recent(identity: u64, of_session: bool) -> Recent {
    Recent { identity, at: START, of_session }
}
