//! Configuration and store put together, as the pages show them.

use serde_json::{Value, json};

use crate::config::{Connection, secret};
use crate::contact::Contact;
use crate::http::ApiError;
use crate::outbox::budget::FREE_OF_CHARGE;
use crate::store::{FreeRow, KeptConnection, Result, Store, Unreleased, UsageRow};
use crate::task::context::TaskContext;
use crate::time::{Timestamp, duration_for_people};

pub fn overview(
    context: &TaskContext,
    mut found: Value,
    restored: Option<Unreleased>,
    usage: impl Iterator<Item = UsageRow>,
    free: impl Iterator<Item = FreeRow>,
) -> std::result::Result<Value, ApiError> {
    found["obstacles"] = context.readiness.troubles().into();
    found["broker"] = format!("{}:{}", context.config.mqtt.host, context.config.mqtt.port).into();
    found["connections"] =
        context.live.get().connections.iter().map(|connection| connection.name.0.clone()).collect();
    found["rules"] = context.config.rules.len().into();
    found["contacts"] = context.live.get().people.contacts.len().into();
    found["next"] = next_step(context, found["is_empty"] == true).into();
    found["restored"] = restored.filter(|restored| restored.held > 0).map_or(Value::Null, |restored| {
        json!({
            "taken_at": restored.taken_at.0,
            "restored_at": restored.restored_at.0,
            "held": restored.held,
        })
    });
    found["usage"] = usage_rows(usage);
    found["free"] = free_rows(free);
    Ok(found)
}

/// What a new installation lacks, in the order in which it is made.
fn next_step(context: &TaskContext, is_empty: bool) -> Option<&'static str> {
    let live = context.live.get();
    match () {
        () if live.connections.is_empty() => Some("connect"),
        () if live.people.contacts.is_empty() => Some("contact"),
        () if context.config.written_rules == 0 => Some("rule"),
        () if is_empty => Some("event"),
        () => None,
    }
}

/// Everybody in the configuration, those who wrote last first.
pub fn contacts(context: &TaskContext, store: &Store, now: Timestamp) -> Result<Value> {
    let mut all = Vec::new();
    for person in context.live.get().people.contacts.values() {
        all.push(one_contact(context, store, person, now)?);
    }
    all.sort_by_key(|contact| std::cmp::Reverse(contact["last"]["at"].as_i64()));
    Ok(json!({ "items": all }))
}

pub fn contact(context: &TaskContext, store: &Store, id: &str, now: Timestamp) -> Result<Option<Value>> {
    let live = context.live.get();
    let found = live.people.contacts.values().find(|contact| contact.id.0 == id);
    found.map(|person| one_contact(context, store, person, now)).transpose()
}

fn one_contact(context: &TaskContext, store: &Store, person: &Contact, now: Timestamp) -> Result<Value> {
    let mut facts = store.contact_facts(&person.id.0, now)?;
    let live = context.live.get();
    let teams = live.people.teams.iter().filter(|(_, members)| members.contains(&person.id));
    facts["id"] = person.id.0.clone().into();
    facts["name"] = person.name.clone().into();
    facts["address"] = person.to.address().into();
    facts["roles"] = person.roles.iter().cloned().collect();
    facts["teams"] = teams.map(|(name, _)| name.clone()).collect();
    facts["language"] = person.locale.language.code().into();
    facts["time_zone"] = person.locale.zone.iana_name().into();
    facts["may_stop"] = person.may_stop.into();
    Ok(facts)
}

pub fn rules(context: &TaskContext, store: &Store) -> Result<Value> {
    let (mut all, newest) = (Vec::new(), store.newest_of_rules()?);
    for rule in &context.config.rules {
        let mut facts = store.rule_hits(&rule.name.0, newest.get(&rule.name.0).copied())?;
        facts["name"] = rule.name.0.clone().into();
        facts["topic"] = rule.topic.as_str().into();
        facts["when"] = rule.when.clone().into();
        facts["message"] = rule.message.own.clone().into();
        facts["severity"] = rule.severity.rank().into();
        facts["notify"] = rule.notify.clone().into();
        facts["connection"] = rule.connection.0.clone().into();
        facts["expires"] = duration_for_people(rule.expires).into();
        facts["templates"] = rule.templates.iter().map(|template| template.name.clone()).collect();
        facts["actions"] = rule
            .actions
            .iter()
            .map(|action| json!({ "title": action.title.own, "payload": action.payload, "roles": action.terms.roles }))
            .collect();
        all.push(facts);
    }
    let strays = store.rule_hits("", None)?;
    Ok(json!({ "items": all, "written": context.config.written_rules, "strays": strays["tallies"] }))
}

pub fn usage(rows: Vec<UsageRow>, free: Vec<FreeRow>) -> Value {
    json!({ "items": usage_rows(rows.into_iter()), "free": free_rows(free.into_iter()) })
}

fn free_rows(rows: impl Iterator<Item = FreeRow>) -> Value {
    rows.map(|row| {
        json!({ "connection": row.connection, "month": row.month, "left": row.left, "of": FREE_OF_CHARGE, "charged": row.charged })
    })
    .collect()
}

fn usage_rows(rows: impl Iterator<Item = UsageRow>) -> Value {
    rows.map(|row| {
        json!({ "connection": row.connection, "month": row.month, "category": row.category, "kind": row.kind, "count": row.count })
    })
    .collect()
}

pub fn connections(context: &TaskContext, store: &Store) -> Result<Value> {
    let (mut all, kept) = (Vec::new(), store.kept_connections()?);
    for one in context.live.get().connections.iter() {
        all.push(one_connection(context, store, one)?);
    }
    for gone in kept.iter().filter(|kept| kept.sealed.is_none()) {
        all.push(disconnected(context, store, gone)?);
    }
    Ok(json!({ "items": all, "obstacles": context.readiness.troubles() }))
}

pub fn connection(context: &TaskContext, store: &Store, name: &str) -> Result<Option<Value>> {
    let live = context.live.get();
    if let Some(one) = live.connections.iter().find(|connection| connection.name.0 == name) {
        return one_connection(context, store, one).map(Some);
    }
    store.kept_connection(name)?.map(|gone| disconnected(context, store, &gone)).transpose()
}

fn one_connection(context: &TaskContext, store: &Store, connection: &Connection) -> Result<Value> {
    let mut facts = store.connection_facts(&connection.name.0, context.machine.now())?;
    let secrets = [
        ("access_token", &connection.access_token),
        ("app_secret", &connection.app_secret),
        ("verify_token", &connection.verify_token),
    ];
    // Whether it is there and well kept; never what it is.
    facts["secrets"] = secrets
        .into_iter()
        .map(|(name, place)| json!({ "name": name, "problem": secret(place).err().map(|error| error.to_string()) }))
        .collect();
    let of_file = context.config.connections.iter().any(|known| known.name == connection.name);
    facts["origin"] = if of_file { "file" } else { "page" }.into();
    facts["connected"] = true.into();
    facts["name"] = connection.name.0.clone().into();
    facts["phone_number_id"] = connection.phone_number_id.clone().into();
    facts["business_account_id"] = connection.business_account_id.clone().into();
    facts["api_url"] = connection.api_url.clone().into();
    facts["api_version"] = connection.api_version.clone().into();
    facts["messages_per_second"] = connection.messages_per_second.into();
    Ok(facts)
}

/// Its token is gone; what it sent and what is known of it stays.
fn disconnected(context: &TaskContext, store: &Store, kept: &KeptConnection) -> Result<Value> {
    let mut facts = store.connection_facts(&kept.name, context.machine.now())?;
    facts["secrets"] = json!([]);
    facts["origin"] = "page".into();
    facts["connected"] = false.into();
    facts["name"] = kept.name.clone().into();
    facts["phone_number_id"] = kept.phone_number_id.clone().into();
    facts["business_account_id"] = kept.business_account_id.clone().into();
    facts["api_url"] = kept.api_url.clone().into();
    facts["api_version"] = kept.api_version.clone().into();
    facts["messages_per_second"] = kept.messages_per_second.into();
    Ok(facts)
}

/// What is still to do, in the order of doing it: `{items: [{name, state, detail}]}`; state is done, open or wrong.
pub fn setup(context: &TaskContext, store: &Store) -> Result<Value> {
    let (webhook, connections) = (store.webhook_facts()?, connections(context, store)?);
    let broker = context.readiness.obstacles();
    let empty = Vec::new();
    let all: Vec<&Value> = connections["items"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .filter(|one| one["connected"] == true)
        .collect();
    let bad: Vec<String> = all
        .iter()
        .flat_map(|one| one["secrets"].as_array().unwrap_or(&empty))
        .filter_map(|secret| secret["problem"].as_str().map(str::to_owned))
        .collect();
    let connected = !all.is_empty();
    let account = all.iter().all(|one| one["business_account_id"].is_string());
    let read = all.iter().all(|one| one["catalogue_read_at"].is_i64());
    let sent = all.iter().any(|one| one["last_attempt"]["http_status"] == 200);
    let step = |name: &str, done: bool, wrong: Option<String>| {
        let state = if done {
            "done"
        } else if wrong.is_some() {
            "wrong"
        } else {
            "open"
        };
        json!({ "name": name, "state": state, "detail": wrong })
    };
    let to = |done: bool, words: &str| Some(words.to_owned()).filter(|_| !done);
    Ok(json!({ "items": [
        step("broker", broker.is_empty(), to(broker.is_empty(), &broker.join("; "))),
        step("connected", connected, None),
        step("secrets", connected && bad.is_empty(), to(bad.is_empty(), &bad.join("; "))),
        step("account", connected && account, None),
        step("catalogue", connected && account && read, None),
        step("webhook", !webhook["webhook_at"].is_null(), None),
        step("rules", !context.config.rules.is_empty(), None),
        step("sent", sent, None),
        step("receipt", webhook["receipts"] == true, None),
        step("reply", webhook["replies"] == true, None),
    ], "webhook_at": webhook["webhook_at"] }))
}
