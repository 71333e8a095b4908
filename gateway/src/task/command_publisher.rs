//! Commands to the broker: performs what `command::dispatch` asks for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::command::dispatch::{Change, Dispatch, Effect, Input, Waiting};
use crate::mqtt::{Link, Publish};
use crate::store::Store;
use crate::task::context::Shared;
use crate::task::deadlines::{answer_prefix, settle, waiting};
use crate::time::{Clock, SystemClock};

/// A notice that was missed is made up for after this time.
const LOOK_EVERY: Duration = Duration::from_secs(30);

pub async fn run(shared: Arc<Shared>, link: Link, mut inputs: mpsc::Receiver<Input>) {
    let mut dispatch = Dispatch::default();
    let mut pause = LOOK_EVERY;
    loop {
        let input = tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => input,
                None => return,
            },
            () = shared.commands.notified() => {
                shared.device_commands.notify_one(); // it may be for a device
                Input::Wake
            }
            () = tokio::time::sleep(pause) => Input::Wake,
        };
        pause = LOOK_EVERY;
        // Bounded: each command of a load causes one effect, and a load has at most 16.
        let mut effects = dispatch.handle(input, SystemClock.now());
        while let Some(effect) = effects.pop() {
            let now = SystemClock.now();
            match effect {
                Effect::Load { limit } => {
                    let config = shared.live();
                    let load = move |store: &Store| waiting(store, &config, limit, now);
                    let Some((waiting, told)) = shared.durably(load).await else { return };
                    if told {
                        shared.outbox.notify_one();
                    }
                    // The disk may have been full for an hour meanwhile.
                    effects.extend(dispatch.handle(Input::Loaded(waiting), SystemClock.now()));
                }
                Effect::Publish(command) => {
                    let id = command.id;
                    let late = command.expires_at <= now; // another effect may have waited for the disk
                    shared.set_at_broker(id, !late);
                    if late || !link.publish(publish(&shared, command)) {
                        shared.set_at_broker(id, false);
                        effects.extend(dispatch.handle(Input::Busy(id), now));
                    }
                }
                Effect::Commit(change) => {
                    let (Change::Published { id, .. }
                    | Change::Refused { id, .. }
                    | Change::Expired { id, .. }) = change;
                    shared.metrics.commanded(&change);
                    tracing::info!(command = id.0, outcome = change.in_words(), "a command has an outcome");
                    let config = shared.live();
                    let settled = move |store: &Store| settle(store, &config, &change, now);
                    if shared.durably(settled).await.is_none() {
                        return;
                    }
                    shared.set_at_broker(id, false);
                    shared.deadlines.notify_one();
                    shared.outbox.notify_one();
                    effects.extend(dispatch.handle(Input::Committed(id), SystemClock.now()));
                }
                Effect::WakeAt(at) => pause = pause.min(now.until(at)),
            }
        }
    }
}

/// What the owner should know, to whoever listens at the broker. Best effort: it is in the store and the log as well.
pub async fn tell(link: Link, mut notices: mpsc::Receiver<String>) {
    while let Some(notice) = notices.recv().await {
        link.tell(Bytes::from(notice));
    }
}

fn publish(shared: &Shared, command: Waiting) -> Publish {
    let id = shared.tag.command(command.id);
    let left = SystemClock.now().until(command.expires_at).as_secs().max(1);
    Publish {
        id: command.id.0.unsigned_abs(),
        topic: command.topic,
        payload: Bytes::from(command.payload),
        retain: command.retain,
        expires_in_s: u32::try_from(left).ok(),
        content_type: None,
        correlation: Some(command.correlation.unwrap_or_else(|| id.clone().into_bytes())),
        response_topic: command.answers.then(|| format!("{}{id}", answer_prefix(&shared.config))),
        user_properties: vec![("command_id".into(), id), ("issued_by".into(), command.issued_by)],
    }
}
