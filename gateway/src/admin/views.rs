//! Configuration and store put together, as the pages show them.

use serde::Serialize;

use crate::admin::curves::Curve;
use crate::contact::Contact;
use crate::outbox::budget::FREE_OF_CHARGE;
use crate::store::{
    ContactFacts, FreeRow, Overview, Result, Rows, RuleHits, Store, Tally, Unreleased, UsageRow,
};
use crate::task::context::TaskContext;
use crate::time::{Timestamp, duration_for_people};

/// All of a kind.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct All<T> {
    pub items: T,
}

impl<T> All<T> {
    pub fn of(items: T) -> Self {
        Self { items }
    }
}

/// What is connected, what fires, what waits, the last 24 hours.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Overview"))]
pub struct FirstPage {
    #[serde(flatten)]
    pub found: Overview,
    /// What keeps the gateway from its work, in sentences
    pub obstacles: Vec<String>,
    /// Its address.
    pub broker: String,
    pub connections: Vec<String>,
    /// How many there are.
    pub rules: usize,
    /// How many there are.
    pub contacts: usize,
    /// What a new installation lacks: a number, a person, a rule, an event
    pub next: Option<NextStep>,
    /// The backup that was restored, while messages are held since the other machine may have sent them
    pub restored: Option<Unreleased>,
    /// Of this month.
    pub usage: Vec<UsageRow>,
    /// Of this month.
    pub free: Vec<Free>,
    /// At most six, those of alerts that go on first
    pub curves: Vec<Curve>,
}

/// What a new installation lacks.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(rename_all = "lowercase")]
pub enum NextStep {
    Connect,
    Contact,
    Rule,
    Event,
}

/// Free-form messages that Meta gives away: a thousand a number and month since October 2026
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Free {
    pub connection: String,
    pub month: String,
    pub left: u32,
    pub of: u32,
    /// Those that cost: none is free any more
    pub charged: u32,
}

/// What Meta counted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Usage {
    pub items: Vec<UsageRow>,
    pub free: Vec<Free>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Contact"))]
pub struct ShownContact {
    pub id: String,
    pub name: String,
    /// The number, or WhatsApp's user id.
    pub address: String,
    pub roles: Vec<String>,
    pub teams: Vec<String>,
    pub language: &'static str,
    pub time_zone: Option<String>,
    /// Whether STOP ends what they get.
    pub may_stop: bool,
    #[serde(flatten)]
    pub facts: ContactFacts,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rule"))]
pub struct ShownRule {
    pub name: String,
    pub topic: String,
    pub when: Option<String>,
    pub message: String,
    #[cfg_attr(test, schemars(range(min = 0, max = 2)))]
    pub severity: i64,
    pub notify: Vec<String>,
    pub connection: String,
    /// After how long a message is not sent any more.
    pub expires: String,
    pub templates: Vec<String>,
    pub actions: Vec<RuleAction>,
    #[serde(flatten)]
    pub hits: RuleHits,
}

/// A button under its messages.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleAction {
    pub title: String,
    pub payload: String,
    /// Who may tap it; empty: everybody who gets it.
    pub roles: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Rules {
    pub items: Vec<ShownRule>,
    /// How many stand in the configuration; the others are built in.
    pub written: usize,
    /// Events that no rule wanted.
    pub strays: Rows<Tally>,
}

pub fn overview(
    context: &TaskContext,
    found: Overview,
    restored: Option<Unreleased>,
    usage: Usage,
    curves: Vec<Curve>,
) -> FirstPage {
    let live = context.live.get();
    FirstPage {
        obstacles: context.readiness.troubles(),
        broker: format!("{}:{}", context.config.mqtt.host, context.config.mqtt.port),
        connections: live.connections.iter().map(|connection| connection.name.0.clone()).collect(),
        rules: context.config.rules.len(),
        contacts: live.people.contacts.len(),
        next: next_step(context, found.is_empty),
        restored: restored.filter(|restored| restored.held > 0),
        usage: usage.items,
        free: usage.free,
        curves,
        found,
    }
}

/// What a new installation lacks, in the order in which it is made.
fn next_step(context: &TaskContext, is_empty: bool) -> Option<NextStep> {
    let live = context.live.get();
    match () {
        () if live.connections.is_empty() => Some(NextStep::Connect),
        () if live.people.contacts.is_empty() => Some(NextStep::Contact),
        () if context.config.written_rules == 0 => Some(NextStep::Rule),
        () if is_empty => Some(NextStep::Event),
        () => None,
    }
}

/// Everybody in the configuration, those who wrote last first.
pub fn contacts(context: &TaskContext, store: &Store, now: Timestamp) -> Result<All<Vec<ShownContact>>> {
    let live = context.live.get();
    let people = live.people.contacts.values().map(|person| one_contact(context, store, person, now));
    let mut items = people.collect::<Result<Vec<ShownContact>>>()?;
    items
        .sort_by_key(|one| std::cmp::Reverse(one.facts.last.as_ref().and_then(|last| last.0["at"].as_i64())));
    Ok(All { items })
}

pub fn contact(
    context: &TaskContext,
    store: &Store,
    id: &str,
    now: Timestamp,
) -> Result<Option<ShownContact>> {
    let live = context.live.get();
    let found = live.people.contacts.values().find(|contact| contact.id.0 == id);
    found.map(|person| one_contact(context, store, person, now)).transpose()
}

fn one_contact(
    context: &TaskContext,
    store: &Store,
    person: &Contact,
    now: Timestamp,
) -> Result<ShownContact> {
    let live = context.live.get();
    let teams = live.people.teams.iter().filter(|(_, members)| members.contains(&person.id));
    Ok(ShownContact {
        id: person.id.0.clone(),
        name: person.name.clone(),
        address: person.to.address().to_owned(),
        roles: person.roles.iter().cloned().collect(),
        teams: teams.map(|(name, _)| name.clone()).collect(),
        language: person.locale.language.code(),
        time_zone: person.locale.zone.iana_name().map(str::to_owned),
        may_stop: person.may_stop,
        facts: store.contact_facts(&person.id.0, now)?,
    })
}

pub fn rules(context: &TaskContext, store: &Store) -> Result<Rules> {
    let newest = store.newest_of_rules()?;
    let shown = context.config.rules.iter().map(|rule| {
        let actions = rule.actions.iter().map(|action| RuleAction {
            title: action.title.own.clone(),
            payload: action.payload.clone(),
            roles: action.terms.roles.iter().cloned().collect(),
        });
        Ok(ShownRule {
            name: rule.name.0.clone(),
            topic: rule.topic.as_str().to_owned(),
            when: rule.when.clone(),
            message: rule.message.own.clone(),
            severity: rule.severity.rank(),
            notify: rule.notify.clone(),
            connection: rule.connection.0.clone(),
            expires: duration_for_people(rule.expires),
            templates: rule.templates.iter().map(|template| template.name.clone()).collect(),
            actions: actions.collect(),
            hits: store.rule_hits(&rule.name.0, newest.get(&rule.name.0).copied())?,
        })
    });
    Ok(Rules {
        items: shown.collect::<Result<_>>()?,
        written: context.config.written_rules,
        strays: store.rule_hits("", None)?.tallies,
    })
}

pub fn all_usage(_: &TaskContext, store: &Store) -> Result<Usage> {
    Ok(usage(store.usage()?.into_iter(), store.free()?.into_iter()))
}

pub fn usage(rows: impl Iterator<Item = UsageRow>, free: impl Iterator<Item = FreeRow>) -> Usage {
    let free = free.map(|FreeRow { connection, month, left, charged }| Free {
        connection,
        month,
        left,
        of: FREE_OF_CHARGE,
        charged,
    });
    Usage { items: rows.collect(), free: free.collect() }
}
