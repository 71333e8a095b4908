//! Webhook bodies, read after they were stored: one body, one transaction.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::chance::Dice;
use crate::command::inbound::Inbound;
use crate::command::reply::{Outcome, understand};
use crate::config::Config;
use crate::ids::InboxId;
use crate::store::Store;
use crate::time::{Clock, SystemClock};
use crate::whatsapp::inbound;

/// A notice that was missed is made up for after this time.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What was in one body.
#[derive(Debug, Default)]
struct Read {
    statuses: usize,
    commands: usize,
    nothing: Vec<String>,
}

pub async fn run(shared: Arc<Shared>) {
    loop {
        loop {
            let config = Arc::clone(&shared.config);
            let Some(read) = shared.durably(move |store| next(store, &config)).await else { return };
            let Some(read) = read else { break };
            if read.commands > 0 {
                shared.commands.notify_one();
            }
            if read.statuses > 0 {
                shared.outbox.notify_one(); // a failed one may be due again
            }
        }
        let told = tokio::time::timeout(LOOK_EVERY, shared.inbox.notified()).await;
        drop(told); // either way there is something to look for
    }
}

fn next(store: &Store, config: &Config) -> rusqlite::Result<Option<Read>> {
    let Some((id, body)) = store.next_webhook()? else { return Ok(None) };
    let mut read = Read::default();
    for inbound in inbound::read(&body) {
        take(store, config, id, inbound, &mut read)?;
    }
    let mut note = format!("{} statuses, {} commands", read.statuses, read.commands);
    for reason in &read.nothing {
        note.push_str("; ");
        note.push_str(reason);
    }
    store.close_webhook(id, "done", note.chars().take(1_000).collect::<String>().as_str())?;
    Ok(Some(read))
}

fn take(
    store: &Store,
    config: &Config,
    id: InboxId,
    inbound: Inbound,
    read: &mut Read,
) -> rusqlite::Result<()> {
    let now = SystemClock.now();
    match inbound {
        Inbound::Status(status) => {
            read.statuses += 1;
            if !store.receive(&status, now, &mut Dice::from_machine())? {
                read.nothing.push(format!("a status of {} for a message that is not ours", status.word));
            }
        }
        Inbound::Reply(reply) => {
            if store.knows_reply(&reply.wamid)? {
                read.nothing.push("a message that was taken before".to_owned());
                return Ok(());
            }
            let outcome = understand(&reply, &config.rules, &config.people, store.tag(), store);
            match &outcome {
                Outcome::Command(command) => {
                    read.commands += 1;
                    tracing::info!(contact = %command.contact, action = command.action, topic = command.topic, "a command");
                }
                Outcome::Nothing { reason, .. } => {
                    tracing::info!(reason, "a message does not act");
                    read.nothing.push(reason.clone());
                }
            }
            store.keep_reply(id, &reply, &outcome, now)?;
        }
        Inbound::Ignored(what) => read.nothing.push(what),
    }
    Ok(())
}
