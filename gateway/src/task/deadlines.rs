//! The end of what people asked for: what devices answer, what the broker says, and what the clock decides
//! (`command/outcome.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::command::command_state::CommandState;
use crate::command::decision::decide;
use crate::command::dispatch::{CommandUpdate, PendingCommand};
use crate::command::{device_answer, outcome};
use crate::config::Config;
use crate::contact::severity::Severity;
use crate::device::order::CommandEnd;
use crate::event::incoming::Event;
use crate::ids::CommandId;
use crate::store::{self, Store};
use crate::task::context::TaskContext;
use crate::task::subscriptions::answer_prefix;
use crate::task::undelivered;
use crate::task::unjudged;
use crate::task::wakeups::{Work, Written};
use crate::time::Timestamp;

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
) -> store::Result<()> {
    let answered = event.topic.strip_prefix(&answer_prefix(config));
    let waiting = match answered {
        Some(id) => store
            .tag()
            .read_command(id)
            .map(|id| store.command(id))
            .transpose()?
            .flatten()
            .into_iter()
            .collect(),
        None => store.awaited_on(&event.topic)?,
    };
    let site = config.context(store.seal(), now);
    for command in waiting {
        let Some(awaited) = &command.answer else { continue };
        // A state is an answer only to what has been asked; the broker may be faster to deliver it than our disk is
        // to note that it has the command.
        if answered.is_none() && command.state == CommandState::Queued && !at_broker.contains(&command.id) {
            continue;
        }
        let verdict = device_answer::of(awaited, event.content_type.as_deref(), &event.payload);
        store.apply(&outcome::answered(&command, &verdict, &site), now)?;
    }
    Ok(())
}

/// A command to a device by its own link has an end, which its row says already.
pub fn ended_by_device(
    store: &Store,
    config: &Config,
    id: CommandId,
    ending: &CommandEnd,
    now: Timestamp,
) -> store::Result<()> {
    let (command, site) = (store.command(id)?, config.context(store.seal(), now));
    store.apply(&outcome::ended_by_device(id, command.as_ref(), ending, &site), now).map(drop)
}

/// The commands that wait for the broker, oldest first. A damaged row is refused, never published: `true` when whoever
/// asked for one is told so.
pub fn waiting(
    store: &Store,
    config: &Config,
    limit: usize,
    now: Timestamp,
) -> store::Result<(Vec<PendingCommand>, bool)> {
    let (intact, damaged) = store.waiting_commands(limit)?;
    for id in &damaged {
        let reason = "the row is damaged on disk: its checksum does not match".to_owned();
        record_outcome(store, config, &CommandUpdate::Refused { id: *id, at: now, reason }, now)?;
    }
    Ok((intact, !damaged.is_empty()))
}

/// Records what the dispatch decided, with whatever is said about it: nothing as long as all goes well.
pub fn record_outcome(
    store: &Store,
    config: &Config,
    change: &CommandUpdate,
    now: Timestamp,
) -> store::Result<()> {
    let (CommandUpdate::Published { id, .. }
    | CommandUpdate::Refused { id, .. }
    | CommandUpdate::Expired { id, .. }) = change;
    let Some(command) = store.command(*id)? else { return Ok(()) };
    let site = config.context(store.seal(), now);
    store.apply(&outcome::dispatched(&command, change, &site), now).map(drop)
}

/// Ends what the clock decides: nobody agreed, no device answered, nobody chose.
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

pub fn expire_overdue(store: &Store, config: &Config, now: Timestamp) -> store::Result<bool> {
    let site = config.context(store.seal(), now);
    let mut follows = Vec::new();
    for request in store.overdue_requests(now)? {
        follows.extend(outcome::request_expired(&request, &site));
    }
    for command in store.silent(now)? {
        follows.extend(outcome::silent(&command, &site));
    }
    for question in store.overdue_questions(now)? {
        follows.extend(decide(&question, &question.default_choice, None, store.seal(), now));
    }
    store.apply(&follows, now)?;
    Ok(!follows.is_empty())
}

#[cfg(test)]
mod tests;
