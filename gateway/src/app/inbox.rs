//! Webhook bodies, read after they were stored: one body, one transaction.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::alert::message::Content;
use crate::alert::outbox::Lane;
use crate::chance::Dice;
use crate::command::inbound::{Inbound, Reply};
use crate::command::reply::{Outcome, understand};
use crate::config::Config;
use crate::contact::Phone;
use crate::ids::{ContactId, InboxId, MessageId};
use crate::store::Store;
use crate::time::{Clock, SystemClock, Timestamp};
use crate::whatsapp::{inbound, request};

/// A notice that was missed is made up for after this time.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What was in one body.
#[derive(Debug, Default)]
struct Read {
    statuses: usize,
    commands: usize,
    notes: usize,
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
            if read.statuses + read.notes > 0 {
                shared.alerts.notify_one();
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
            hear(store, config, &reply, now)?;
            let outcome = understand(&reply, &config.rules, &config.people, store.tag(), store);
            match &outcome {
                Outcome::Command(command) => {
                    read.commands += 1;
                    tracing::info!(contact = %command.contact, action = command.action, topic = command.topic, "a command");
                }
                Outcome::ReadOn { contact, message } => {
                    read.statuses += 1; // something new is due
                    read_on(store, contact, *message, now)?;
                }
                Outcome::Note { contact, note } => {
                    read.notes += 1;
                    tracing::info!(contact = %contact, ?note, "about an alert");
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

/// Who writes opens the 24 h window of the number that was written to, and lets go what was held for it.
fn hear(store: &Store, config: &Config, reply: &Reply, now: Timestamp) -> rusqlite::Result<()> {
    let phone = reply.from.as_deref().and_then(|from| Phone::from_wa_id(from).ok());
    let contact = config.people.find(phone.as_ref(), reply.user_id.as_deref());
    let connection = config.connections.iter().find(|known| known.phone_number_id == reply.phone_number_id);
    let (Some(contact), Some(connection)) = (contact, connection) else { return Ok(()) };
    let lane = Lane { connection: connection.name.clone(), contact: contact.id.clone() };
    let released = store.heard(&lane, reply.at, now)?;
    if released > 0 {
        tracing::info!(contact = %contact.id, messages = released, "the person has written: what was held goes out");
    }
    Ok(())
}

/// The rest of a message of theirs, as a message of its own. What may be tapped stays with the first part.
fn read_on(store: &Store, contact: &ContactId, message: MessageId, now: Timestamp) -> rusqlite::Result<()> {
    let Some(due) = store.whole(message)?.filter(|due| due.lane.contact == *contact) else { return Ok(()) };
    match request::rest(&due.content) {
        "" => Ok(()),
        rest => store.compose(&due.lane, &due.to, &Content::text(rest), now).map(drop),
    }
}
