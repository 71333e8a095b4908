//! Commands to the broker: performs what `command::dispatch` asks for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::command::dispatch::{CommandUpdate, Dispatch, DispatchEffect, DispatchInput, PendingCommand};
use crate::mqtt::{BrokerHandle, Publish};
use crate::store::Store;
use crate::task::context::TaskContext;
use crate::task::deadlines::{record_outcome, waiting};
use crate::task::ports::BrokerPort;
use crate::task::subscriptions::answer_prefix;
use crate::task::wakeups::{Work, Written};

/// How long the broker's answers are waited for when another configuration is taken over. A command without one is published
/// again, as after a connection that broke.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// A notice that was missed is made up for after this time.
const LOOK_EVERY: Duration = Duration::from_secs(30);

pub async fn run(
    context: Arc<TaskContext>,
    link: impl BrokerPort,
    mut inputs: mpsc::Receiver<DispatchInput>,
    mut end: watch::Receiver<bool>,
) {
    let mut dispatch = Dispatch::default();
    let mut pause = LOOK_EVERY;
    let mut answers_until = None;
    loop {
        if *end.borrow() {
            let until = *answers_until.get_or_insert(context.machine.now() + ANSWERS_WITHIN);
            if context.at_broker.all().is_empty() || !link.is_connected() || context.machine.now() >= until {
                return;
            }
            pause = ANSWERS_WITHIN;
        }
        let input = tokio::select! {
            biased; // as a simulation repeats it; each input ends in a look for commands, as a wake-up does
            _ = end.changed(), if answers_until.is_none() => continue,
            input = inputs.recv() => match input {
                Some(input) => input,
                None => return,
            },
            () = context.wakeups.wait(Work::Commands) => DispatchInput::Wake,
            () = context.machine.sleep(pause) => DispatchInput::Wake,
        };
        pause = LOOK_EVERY;
        // Bounded: each command of a load causes one effect, and a load has at most 16.
        let mut effects = dispatch.handle(input, context.machine.now());
        while let Some(effect) = effects.pop() {
            let now = context.machine.now();
            match effect {
                DispatchEffect::Load { limit } => {
                    let config = context.live.get();
                    let load = move |store: &Store| waiting(store, &config, limit, now);
                    let Some((waiting, told)) = context.store.durably(load).await else { return };
                    if told {
                        context.wakeups.after(Written::Message);
                    }
                    // The disk may have been full for an hour meanwhile.
                    effects.extend(dispatch.handle(DispatchInput::Loaded(waiting), context.machine.now()));
                }
                DispatchEffect::Publish(_) if answers_until.is_some() => {} // it waits on disk
                DispatchEffect::Publish(command) => {
                    let id = command.id;
                    let late = command.expires_at <= now; // another effect may have waited for the disk
                    context.at_broker.set(id, !late);
                    if late || !link.publish(publish(&context, command)) {
                        context.at_broker.set(id, false);
                        effects.extend(dispatch.handle(DispatchInput::Busy(id), now));
                    }
                }
                DispatchEffect::Commit(change) => {
                    let (CommandUpdate::Published { id, .. }
                    | CommandUpdate::Refused { id, .. }
                    | CommandUpdate::Expired { id, .. }) = change;
                    context.metrics.commanded(&change);
                    tracing::info!(command = id.0, outcome = change.in_words(), "a command has an outcome");
                    let config = context.live.get();
                    let settled = move |store: &Store| record_outcome(store, &config, &change, now);
                    if context.store.durably(settled).await.is_none() {
                        return;
                    }
                    context.at_broker.set(id, false);
                    context.wakeups.after(Written::CommandEnd);
                    effects.extend(dispatch.handle(DispatchInput::Committed(id), context.machine.now()));
                }
                DispatchEffect::WakeAt(at) => pause = pause.min(now.until(at)),
            }
        }
    }
}

/// Publishes notices to the owner at the broker. Best effort: it is in the store and the log as well.
pub async fn tell(link: BrokerHandle, mut notices: mpsc::Receiver<String>) {
    while let Some(notice) = notices.recv().await {
        link.tell(Bytes::from(notice));
    }
}

fn publish(context: &TaskContext, command: PendingCommand) -> Publish {
    let id = context.tag.command(command.id);
    let left = context.machine.now().until(command.expires_at).as_secs().max(1);
    Publish {
        id: command.id.0.unsigned_abs(),
        topic: command.topic,
        payload: Bytes::from(command.payload),
        retain: command.retain,
        expires_in_s: u32::try_from(left).ok(),
        content_type: None,
        correlation: Some(command.correlation.unwrap_or_else(|| id.clone().into_bytes())),
        response_topic: command.answers.then(|| format!("{}{id}", answer_prefix(&context.config))),
        user_properties: vec![("command_id".into(), id), ("issued_by".into(), command.issued_by)],
    }
}
