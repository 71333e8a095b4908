//! Meta's webhook bodies, one after the other as they came.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use secrecy::SecretString;

use crate::config::{Config, Connection, Secret, secret};
use crate::ids::{ConnectionName, InboxId};
use crate::reply::inbound::InboxState;
use crate::store::{Signers, Store};
use crate::task::context::TaskContext;
use crate::task::durable_store::StatementRefused;
use crate::task::wakeups::{Work, Written};
use crate::task::webhook_reader::{BodyOutcome, read_next};
use crate::task::{early_reply, owner_notice};
use crate::whatsapp::signature;

/// The connections with whose app secret these raw bytes are signed; none: they are forged.
pub fn signed_by(config: &Config, header: Option<&str>, body: &[u8]) -> BTreeSet<ConnectionName> {
    let signed = |connection: &&Connection| {
        read_secret(&connection.app_secret).is_some_and(|secret| signature::verify(&[secret], header, body))
    };
    config.connections.iter().filter(signed).map(|connection| connection.name.clone()).collect()
}

/// All of them: nothing to tell apart, as with the one number that most have.
pub fn signers(config: &Config, signed_by: BTreeSet<ConnectionName>) -> Signers {
    let all = config.connections.iter().all(|known| signed_by.contains(&known.name));
    (!all).then_some(signed_by)
}

pub fn read_secret(what: &Secret) -> Option<SecretString> {
    secret(what).inspect_err(|error| tracing::error!(%error, "a secret cannot be read")).ok()
}

/// A notice that was missed is made up for after this time.
const LOOK_EVERY: Duration = Duration::from_secs(30);

pub async fn run(context: Arc<TaskContext>) {
    loop {
        loop {
            let config = context.live.get();
            let Some(read) = read(&context, config).await else { return };
            let Some(read) = read else { break };
            context.metrics.heard(&read.kinds);
            let wakes = [
                (read.commands > 0, Written::Command),
                (read.statuses > 0, Written::Status),
                (read.notes > 0, Written::AlertCommand),
                (read.messages, Written::Answer),
                (read.files, Written::FileOffer),
                (read.catalogue, Written::TemplateNews),
            ];
            wakes
                .into_iter()
                .filter(|(is_so, _)| *is_so)
                .for_each(|(_, written)| context.wakeups.after(written));
            context.receipts.add(read.marks);
            context.home.look();
            for turn in read.turns {
                context.scheduler.done(turn).await;
            }
            for (connection, severity, text) in read.notices {
                context.notices.tell(&connection, severity, text);
            }
        }
        let Some(waits) = look(&context).await else { return };
        let pause = if waits { early_reply::LOOK_AGAIN } else { LOOK_EVERY };
        context.wait(Work::WebhookBodies, pause).await; // either way there is something to look for
    }
}

/// Whether a body waits; and an operator may have taken somebody off the list.
async fn look(context: &Arc<TaskContext>) -> Option<bool> {
    let people = Arc::clone(context);
    let look = move |store: &Store| {
        people.live.set_guests(&store.guests()?);
        store.has_webhooks()
    };
    context.store.durably(look).await
}

async fn read(context: &Arc<TaskContext>, config: Arc<Config>) -> Option<Option<BodyOutcome>> {
    let of_next = Arc::clone(context);
    let reading = Arc::new(AtomicI64::new(0));
    let begun = Arc::clone(&reading);
    let next = move |store: &Store| {
        let now = of_next.machine.now();
        let heed = |begin| of_next.scheduler.take(store, begin, &config, now);
        let begin = |id: InboxId| begun.store(id.0, Ordering::Relaxed);
        let read = read_next(store, &config, now, &mut of_next.machine.dice(), begin, heed)?;
        if read.as_ref().is_some_and(|read| read.people) {
            of_next.live.set_guests(&store.guests()?); // before anybody is told of it, so that no event is judged by the older list
        }
        Ok(read)
    };
    match context.store.durably_unless_refused(next).await? {
        Ok(read) => Some(read),
        Err(StatementRefused(why)) => {
            close_refused(context, InboxId(reading.load(Ordering::Relaxed)), why).await
        }
    }
}

/// A body that the database refuses would be refused again, and hold up all that come after it.
async fn close_refused(context: &Arc<TaskContext>, id: InboxId, why: String) -> Option<Option<BodyOutcome>> {
    let note = why.clone();
    context.store.durably(move |store| store.close_webhook(id, InboxState::Failed, &note)).await?;
    let text = format!(
        "body {} of Meta's webhook could not be taken, and what it says has no effect: {why}. A support bundle helps to find out why",
        id.0
    );
    owner_notice::report(context, "inbox", vec![text]).await;
    Some(Some(BodyOutcome::default()))
}
