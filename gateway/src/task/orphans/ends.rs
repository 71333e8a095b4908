//! Ends of what has no owner, and the notices about them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{CONTACT_GONE, GONE, NOT_ASKED, Orphan, STEP_GONE, UNTOLD, audience_word, find};
use crate::alert::effect::{Effect, Notification, NotificationKind, Snapshot, Why};
use crate::alert::engine::StateKey;
use crate::command::approval::Request;
use crate::command::decision::decide;
use crate::command::dispatch::CommandUpdate;
use crate::command::outcome;
use crate::config::Config;
use crate::contact::{Contact, GuestState};
use crate::ids::{ConnectionName, ContactId};
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message_state::OnUnknown;
use crate::outbox::row::Conversation;
use crate::store::{AuditEntry, OpenAlert, QueuedCommand, Result, Store, WaitingAlert};
use crate::time::Timestamp;

/// The news that an alert is not watched any more is of no use after a day.
pub(crate) const NEWS_EXPIRES: Duration = Duration::from_secs(24 * 3_600);

/// Ends all of it, in the transaction of whoever starts: what ended, a sentence each. The simulation calls it too.
pub fn end(store: &Store, config: &Config, now: Timestamp) -> Result<Vec<String>> {
    let mut ended = keep_wishes(store, config, now)?;
    ended.extend(end_all(store, config, find(store, config, now)?, now)?);
    let word = audience_word(config);
    if store.audience()?.is_none_or(|known| known != word) {
        store.keep_audience(&word)?;
    }
    Ok(ended)
}

/// A STOP is of a person, and not of the id that the configuration calls them by: whoever is renamed stays stopped. Known by the
/// address, as long as a message to it or their user id is on record.
fn keep_wishes(store: &Store, config: &Config, now: Timestamp) -> Result<Vec<String>> {
    let mut kept = Vec::new();
    for (before, address) in store.stopped()? {
        if config.people.contacts.contains_key(&before) {
            continue;
        }
        let same = config.people.contacts.values().find(|contact| contact.to.address() == address);
        if let Some(contact) = same
            && store.keep_wish(&before, &contact.id, now)?
        {
            kept.push(format!(
                "{} is {before} under another id, who wrote STOP: alerts to them are held until they write START",
                contact.id
            ));
        }
    }
    Ok(kept)
}

pub(super) fn end_all(
    store: &Store,
    config: &Config,
    found: Vec<Orphan>,
    now: Timestamp,
) -> Result<Vec<String>> {
    // Those first: what they cancel is not told over another number.
    let (people, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|orphan| matches!(orphan, Orphan::Messages(..)));
    let all: Vec<Orphan> = people.into_iter().chain(others).collect();
    for orphan in &all {
        end_one(store, config, orphan, now)?;
    }
    Ok(all.iter().map(Orphan::to_string).collect())
}

fn end_one(store: &Store, config: &Config, orphan: &Orphan, now: Timestamp) -> Result<()> {
    match orphan {
        Orphan::Alert(one, why) => end_alert(store, config, one, why, now),
        Orphan::Pending(alert, why) => {
            let record = Effect::Record {
                alert: alert.clone(),
                why: Why::Forgotten,
                what: (*why).to_owned(),
                at: now,
            };
            let forget = Effect::Forget(StateKey::Alert(alert.clone()));
            store.watched(&[record, forget], &[]).map(drop)
        }
        Orphan::Held(contact, _) => store.forget_held(contact),
        Orphan::Untold(one) => end_untold(store, one, now),
        Orphan::Messages(contact, _) => {
            let only_alerts = store.guest_ids()?.contains(contact);
            store.withdraw(&store.waiting_for(contact, only_alerts)?, CONTACT_GONE, now)
        }
        Orphan::Lane(lane) => reroute(store, config, lane, now),
        Orphan::Request(request, why) => end_request(store, config, request, why, now),
        Orphan::Question(question) => {
            store.withdraw(&store.waiting_to_ask(ButtonSubject::Question(question.id))?, GONE, now)?;
            note(store, &format!("question {}: {GONE}", question.id), now)?;
            store.apply(&decide(question, &question.default_choice, None, store.seal(), now), now).map(drop)
        }
        Orphan::Voter(question, _, contact) => {
            let waiting = store.waiting_to_ask_one(ButtonSubject::Question(*question), contact)?;
            store.withdraw(&waiting, NOT_ASKED, now)
        }
        Orphan::Command(command, why) => end_command(store, config, command, why, now),
        Orphan::Invitation(guest) => {
            store.dismiss(&guest.id, GuestState::Removed)?;
            store.withdraw(&store.waiting_for(&guest.id, false)?, "whoever invited may not any more", now)?;
            let detail = "whoever invited may not any more";
            let entry =
                AuditEntry { what: "removed", who: Some(&guest.id), message: None, command: None, detail };
            store.record(&entry, now)
        }
        Orphan::Post(post) => store.settle_post(post, false, STEP_GONE, None, now),
    }
}

/// Keeps the alert's end from whoever was not reached.
pub(super) fn end_untold(store: &Store, one: &WaitingAlert, now: Timestamp) -> Result<()> {
    store.withdraw(&[one.message], UNTOLD, now)?;
    let Some((key, mut memory)) =
        store.open_alert(one.alert)?.and_then(|open| Some((open.alert, open.memory?)))
    else {
        return Ok(());
    };
    if store.told_of(one.alert)?.contains_key(&one.contact) {
        return Ok(()); // of an earlier message they know
    }
    let told = memory.firing_mut().and_then(|firing| firing.told.remove(&one.contact));
    let Some(state) = told.and_then(|_| serde_json::to_string(&memory).ok()) else { return Ok(()) };
    store.watched(&[Effect::Keep(Snapshot { slot: StateKey::Alert(key), state })], &[]).map(drop)
}

/// Moves what waits to the number of its rule, or the first one.
pub(super) fn reroute(store: &Store, config: &Config, lane: &Conversation, now: Timestamp) -> Result<()> {
    let Some(first) = config.connections.first() else { return Ok(()) };
    let is_known = |name: &ConnectionName| config.connections.iter().any(|known| known.name == *name);
    let rules = config.rules.iter().filter(|rule| is_known(&rule.connection)); // it may be the page's, and gone
    let of_rule: BTreeMap<_, _> = rules.map(|rule| (rule.name.clone(), rule.connection.clone())).collect();
    store.reroute(lane, &of_rule, &first.name, now).map(drop)
}

fn note(store: &Store, detail: &str, now: Timestamp) -> Result<()> {
    store.record(&AuditEntry { what: "expired", who: None, message: None, command: None, detail }, now)
}

/// Over the number that was used before, or that there is.
fn over(config: &Config, before: Option<&ConnectionName>) -> Option<ConnectionName> {
    let mut known = config.connections.iter();
    known
        .find(|known| Some(&known.name) == before)
        .or(config.connections.first())
        .map(|known| known.name.clone())
}

/// Whoever was told hears that nobody watches it any more; what had not left does not leave.
fn end_alert(store: &Store, config: &Config, one: &OpenAlert, why: &str, now: Timestamp) -> Result<()> {
    let alert = one.alert.clone();
    let moved = Effect::Moved {
        alert: alert.clone(),
        episode: one.episode,
        state: "resolved",
        reason: why.to_owned(),
        at: now,
    };
    let record = |why: Why, what: String| Effect::Record { alert: alert.clone(), why, what, at: now };
    let mut effects = vec![moved, record(Why::Forgotten, why.to_owned())];
    let written = store.told_of(one.id)?;
    let firing = one.memory.as_ref().and_then(|memory| memory.firing());
    let told = firing.iter().flat_map(|firing| firing.told.keys()).chain(written.keys());
    let told: BTreeSet<&ContactId> = told.collect();
    for contact in told.into_iter().filter_map(|id| config.people.contacts.get(id)) {
        let quiet = config.people.quiet.get(&contact.id);
        if quiet.is_some_and(|quiet| quiet.end(one.severity, now, &contact.locale.zone).is_some()) {
            effects.push(record(Why::Quiet, format!("not to {}: quiet hours", contact.id)));
            continue;
        }
        let Some(connection) = over(config, written.get(&contact.id)) else { continue };
        effects.push(record(Why::Told, format!("{} was told that it is not watched any more", contact.id)));
        effects.push(Effect::Send(Box::new(news(one, contact, connection, now))));
    }
    effects.push(Effect::Forget(StateKey::Alert(alert.clone())));
    store.watched(&effects, &[]).map(drop)
}

fn news(one: &OpenAlert, contact: &Contact, connection: ConnectionName, now: Timestamp) -> Notification {
    let firing = one.memory.as_ref().and_then(|memory| memory.firing());
    let text = firing.map_or_else(|| one.text.clone(), |firing| firing.wording.said(&contact.locale));
    let text = text.lines().next().unwrap_or_default().to_owned();
    let templates = one.memory.as_ref().map(|memory| memory.templates.clone()).unwrap_or_default();
    Notification {
        alert: Some((one.alert.clone(), one.episode)),
        kind: NotificationKind::Resolved,
        to: contact.clone(),
        content: outcome::not_watched(contact, &text, templates),
        severity: one.severity,
        connection,
        on_unknown: OnUnknown::Retry,
        at: now,
        expires_at: now + NEWS_EXPIRES,
    }
}

fn end_request(store: &Store, config: &Config, request: &Request, why: &str, now: Timestamp) -> Result<()> {
    store.withdraw(&store.waiting_to_ask(ButtonSubject::Request(request.id))?, why, now)?;
    let site = config.context(store.seal(), now);
    store.apply(&outcome::request_dropped(request, why, &site), now).map(drop)
}

fn end_command(
    store: &Store,
    config: &Config,
    command: &QueuedCommand,
    why: &str,
    now: Timestamp,
) -> Result<()> {
    let Some(story) = store.command(command.id)? else { return Ok(()) };
    let update = CommandUpdate::Refused { id: command.id, at: now, reason: why.to_owned() };
    let site = config.context(store.seal(), now);
    store.apply(&outcome::dropped(&story, &update, why, command.is_asked, &site), now).map(drop)
}
