//! The end of what people asked for: what devices answer, what the broker says, and what the clock decides. At most one
//! message tells it: messages cost money (docs/cloud-api.md 5.6).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::command::decision::decide;
use crate::command::device_answer::{self, DeviceVerdict, REFUSED};
use crate::command::dispatch::{CommandUpdate, PendingCommand};
use crate::config::Config;
use crate::contact::severity::Severity;
use crate::device::order::{CommandEnd, EndState};
use crate::event::incoming::Event;
use crate::ids::{CommandId, ConnectionName, ContactId, StoreTag, Wamid};
use crate::outbox::message::{Content, Part};
use crate::outbox::row::Conversation;
use crate::rule::template::Templates;
use crate::store::{AuditEntry, CommandStory, Store};
use crate::task::context::TaskContext;
use crate::task::subscriptions::answer_prefix;
use crate::task::undelivered;
use crate::task::unjudged;
use crate::task::wakeups::{Work, Written};
use crate::time::{Timestamp, duration_for_people};

/// A deadline that nobody told us of is found after this time.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// While it is open whether an alert reached anybody.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Something arrived that a command may have waited for.
pub fn heard(
    store: &Store,
    config: &Config,
    event: &Event,
    at_broker: &BTreeSet<CommandId>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let answered = event.topic.strip_prefix(&answer_prefix(config));
    let waiting = match answered {
        Some(id) => read_command(store.tag(), id)
            .map(|id| store.command(id))
            .transpose()?
            .flatten()
            .into_iter()
            .collect(),
        None => store.awaited_on(&event.topic)?,
    };
    let Ok(templates) = Templates::compile([]) else { return Ok(()) };
    for command in waiting {
        let Some(awaited) = &command.answer else { continue };
        // A state is an answer only to what has been asked; the broker may be faster to deliver it than our disk is
        // to note that it has the command.
        if answered.is_none() && command.state == "queued" && !at_broker.contains(&command.id) {
            continue;
        }
        match device_answer::of(awaited, event.content_type.as_deref(), &event.payload, &templates) {
            DeviceVerdict::Done(said) => end(store, config, &command, "done", said.as_deref(), now)?,
            DeviceVerdict::Refused(why) => end(store, config, &command, "failed", Some(&why), now)?,
            DeviceVerdict::Undecided => {}
        }
    }
    Ok(())
}

fn read_command(tag: &StoreTag, id: &str) -> Option<CommandId> {
    id.strip_prefix(tag.0.as_str())?.strip_prefix('-')?.parse().ok().map(CommandId)
}

fn end(
    store: &Store,
    config: &Config,
    command: &CommandStory,
    state: &str,
    said: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if !store.end_command(command.id, state, said, now)? {
        return Ok(()); // it had an end before
    }
    let detail =
        format!("{}: {state}{}", command.title, said.map(|said| format!(", {said}")).unwrap_or_default());
    let entry =
        AuditEntry { what: "answered", who: None, message: None, command: Some(command.id), detail: &detail };
    store.record(&entry, now)?;
    let (title, locale) = (&command.title, config.people.locale(&command.contact));
    let text = match (state, said) {
        ("done", None) => return tell(store, config, command, None, now),
        ("done", Some(said)) => format!("✅ {title}: {said}"),
        ("failed", None | Some(REFUSED)) => format!("❌ {title}: {}", locale.plain(|s| s.device_refused)),
        ("failed", Some(why)) => format!("❌ {title}: {why}"),
        (_, _) => locale.say(|s| s.no_answer, &[("title", title)]),
    };
    tell(store, config, command, Some(text), now)
}

/// A command to a device by its own link has an end, which its row says already.
pub fn ended_by_device(
    store: &Store,
    config: &Config,
    id: CommandId,
    ending: &CommandEnd,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let state = ending.state.as_str();
    let detail = format!("{state}, {}", ending.reason);
    store.record(
        &AuditEntry { what: "answered", who: None, message: None, command: Some(id), detail: &detail },
        now,
    )?;
    let Some(command) = store.command(id)? else { return Ok(()) };
    let (title, locale) = (&command.title, config.people.locale(&command.contact));
    let text = match ending.state {
        EndState::Done if command.answer.is_none() => return Ok(()), // nobody wants to hear that all went well
        EndState::Done => None,
        EndState::Refused => Some(format!("❌ {title}: {}", ending.reason)),
        EndState::Expired => {
            Some(locale.say(|s| s.was_not_done, &[("title", title), ("why", &ending.reason)]))
        }
        EndState::NoAnswer => Some(locale.say(|s| s.no_answer, &[("title", title)])),
    };
    tell(store, config, &command, text, now)
}

/// To whoever asked: a mark on the message that asked, or words under it.
pub(crate) fn tell(
    store: &Store,
    config: &Config,
    command: &CommandStory,
    text: Option<String>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    // Over another number than the one that was written to nothing can be marked.
    let can_mark = config.connections.iter().any(|known| known.name == command.connection);
    let text = text.or_else(|| (!can_mark).then(|| format!("✅ {}", command.title)));
    let content = match (text, &command.reply) {
        (Some(text), _) => Content::text(text),
        (None, Some(reply)) => {
            let part = Part::Reaction { to: reply.0.clone(), emoji: "✅".to_owned() };
            Content { part: Some(part), ..Content::default() }
        }
        (None, None) => return Ok(()),
    };
    put(store, config, (&command.connection, &command.contact, command.reply.as_ref()), content, now)
}

/// Over the number that the person wrote to, under what they wrote; over another one where that number is gone.
pub(crate) fn put(
    store: &Store,
    config: &Config,
    (connection, contact, reply): (&ConnectionName, &ContactId, Option<&Wamid>),
    content: Content,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(person) = config.people.contacts.get(contact) else { return Ok(()) };
    let known = config.connections.iter().find(|known| known.name == *connection);
    let Some(over) = known.or(config.connections.first()) else { return Ok(()) };
    let quotes = reply.filter(|_| content.part.is_none() && known.is_some()).map(|reply| reply.0.clone());
    let content = Content { quotes, ..content };
    let lane = Conversation { connection: over.name.clone(), contact: contact.clone() };
    store.compose(&lane, &person.to, &content, now).map(drop)
}

/// What waits for the broker, oldest first. A damaged row is refused, never published: `true` when whoever asked for one is
/// told so.
pub fn waiting(
    store: &Store,
    config: &Config,
    limit: usize,
    now: Timestamp,
) -> rusqlite::Result<(Vec<PendingCommand>, bool)> {
    let (intact, damaged) = store.waiting_commands(limit)?;
    for id in &damaged {
        let reason = "the row is damaged on disk: its checksum does not match".to_owned();
        record_outcome(store, config, &CommandUpdate::Refused { id: *id, at: now, reason }, now)?;
    }
    Ok((intact, !damaged.is_empty()))
}

/// What the dispatch decided, with whatever is said about it: nothing as long as all goes well.
pub fn record_outcome(
    store: &Store,
    config: &Config,
    change: &CommandUpdate,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if !store.change_command(change)? {
        return Ok(()); // the device was faster than the broker
    }
    let (id, what, detail) = match change {
        CommandUpdate::Published { id, .. } => (*id, "published", "the broker has it"),
        CommandUpdate::Refused { id, reason, .. } => (*id, "failed", reason.as_str()),
        CommandUpdate::Expired { id, .. } => (*id, "expired", "the broker could not be reached in time"),
    };
    store.record(&AuditEntry { what, who: None, message: None, command: Some(id), detail }, now)?;
    let Some(command) = store.command(id)?.filter(|_| what != "published") else { return Ok(()) };
    let locale = config.people.locale(&command.contact);
    let why = match change {
        CommandUpdate::Expired { .. } => locale.plain(|s| s.broker_away),
        CommandUpdate::Published { .. } | CommandUpdate::Refused { .. } => detail.to_owned(), // the broker's own words
    };
    let text = locale.say(|s| s.was_not_done, &[("title", &command.title), ("why", &why)]);
    tell(store, config, &command, Some(text), now)
}

/// What the clock decides: nobody agreed, no device answered, nobody chose.
pub async fn run(context: Arc<TaskContext>) {
    loop {
        let (config, machine) = (context.live.get(), Arc::clone(&context.machine));
        let tended = context.store.durably(move |store| {
            let now = machine.now();
            let said = undelivered::tell(store, &config, now)?;
            let mut changed = expire_overdue(store, &config, now)? || !said.is_empty();
            changed |= unjudged::tell(store, &config, now)?;
            let waits = store.has_undelivered()? || store.has_unjudged()?;
            Ok((changed, said, store.next_deadline()?, waits))
        });
        let Some((changed, said, next, waits)) = tended.await else { return };
        for (connection, text) in said {
            context.notices.tell(&connection, Severity::Critical, text);
            context.wakeups.after(Written::AlertCommand);
        }
        if changed {
            context.wakeups.after(Written::Expiry);
        }
        let now = context.machine.now();
        let longest = if waits { LOOK_AGAIN } else { LOOK_EVERY };
        let pause = next.map_or(longest, |next| now.until(next)).clamp(Duration::from_millis(20), longest);
        context.wait(Work::Deadlines, pause).await; // either way it is time to look
    }
}

pub fn expire_overdue(store: &Store, config: &Config, now: Timestamp) -> rusqlite::Result<bool> {
    let mut changed = false;
    for request in store.overdue_requests(now)? {
        changed = true;
        store.change_request(&request, "expired")?;
        let detail = format!("request {}: the time is over", request.id);
        let entry = AuditEntry {
            what: "expired",
            who: None,
            message: Some(&request.reply),
            command: None,
            detail: &detail,
        };
        store.record(&entry, now)?;
        // Who did not answer a question back knows; who waited for others does not.
        if request.pending.agreed.contains(&request.pending.asker) {
            let locale = config.people.locale(&request.pending.asker);
            let text = locale.say(|s| s.nobody_agreed, &[("title", &request.deed.title)]);
            let to = (&request.connection, &request.pending.asker, Some(&request.reply));
            put(store, config, to, Content::text(text), now)?;
        }
    }
    for command in store.silent(now)? {
        changed = true;
        let within = command.answer.as_ref().map_or(0, |answer| answer.within_ms);
        let why = format!("no answer within {}", duration_for_people(Duration::from_millis(within)));
        end(store, config, &command, "silent", Some(&why), now)?;
    }
    for question in store.overdue_questions(now)? {
        changed = true;
        store.apply(&decide(&question, &question.default_choice, None, store.seal(), now), now)?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
