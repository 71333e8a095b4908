//! Broker notices: events to the intake, answers to the dispatch.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::hearing;
use super::shared::Shared;
use crate::alert::intake::{Decision, Effect, Input, Intake, Judge};
use crate::command::dispatch;
use crate::ids::CommandId;
use crate::mqtt::{AckToken, Link, Notice};
use crate::store::Store;

/// Notices taken together: as many as the broker sends without an acknowledgement (receive maximum 32).
const BATCH: usize = 32;

pub async fn run(
    shared: Arc<Shared>,
    judge: Judge,
    link: Link,
    mut notices: mpsc::Receiver<Notice>,
    to_dispatch: mpsc::Sender<dispatch::Input>,
) {
    let mut intake: Intake<AckToken> = Intake::new(judge);
    let mut batch = Vec::with_capacity(BATCH);
    while !batch.is_empty() || notices.recv_many(&mut batch, BATCH).await > 0 {
        let turn = turn(&mut batch);
        let is_new = |notice: &Notice| matches!(notice, Notice::Connected { session_present: false });
        if turn.iter().any(is_new) && shared.durably(Store::free_packets).await.is_none() {
            return;
        }
        let mut messages = Vec::new();
        for notice in turn {
            match notice {
                Notice::Message { event, ack, reply_to } => messages.push((event, ack, reply_to)),
                about @ (Notice::Connected { .. }
                | Notice::Disconnected { .. }
                | Notice::Published { .. }
                | Notice::Refused { .. }) => tell(&shared, about, &to_dispatch).await,
            }
        }
        if messages.is_empty() {
            continue;
        }
        shared.metrics.events.inc_by(messages.len() as u64);
        if hearing::take(&shared, &messages).await.is_none() {
            return; // the disk failed: nothing more is acknowledged
        }
        let events = messages.into_iter().map(|(event, ack, _)| (event, ack)).collect();
        for effect in intake.handle(Input::Arrived(events)) {
            if perform(&shared, &mut intake, &link, effect).await.is_none() {
                return;
            }
        }
    }
}

/// What is taken together. With a new session of the broker's packet identifiers mean other events, so what came before
/// it is written down before.
fn turn(batch: &mut Vec<Notice>) -> Vec<Notice> {
    let is_new = |notice: &Notice| matches!(notice, Notice::Connected { session_present: false });
    let until = batch.iter().skip(1).position(is_new).map_or(batch.len(), |at| at + 1);
    batch.drain(..until).collect()
}

async fn perform(
    shared: &Shared,
    intake: &mut Intake<AckToken>,
    link: &Link,
    effect: Effect<AckToken>,
) -> Option<()> {
    match effect {
        Effect::Commit(batch, decisions) => {
            commit(shared, decisions).await?;
            for effect in intake.handle(Input::Committed(batch)) {
                if let Effect::Acknowledge(token) = effect {
                    link.ack(token);
                }
            }
        }
        Effect::Acknowledge(token) => link.ack(token),
    }
    Some(())
}

async fn commit(shared: &Shared, decisions: Vec<Decision>) -> Option<()> {
    for decision in &decisions {
        for (rule, why) in &decision.ignored {
            if let Some(reason) = why.reason() {
                tracing::warn!(rule = %rule, topic = %decision.event.topic, reason, "an event could not be judged");
            }
        }
    }
    let accepted = shared.durably(move |store| store.accept(&decisions)).await?;
    shared.metrics.accepted(&accepted);
    if accepted.messages > 0 {
        shared.outbox.notify_one();
    }
    Some(())
}

async fn tell(shared: &Shared, notice: Notice, to_dispatch: &mpsc::Sender<dispatch::Input>) {
    let input = match notice {
        Notice::Message { .. } => return, // taken above
        Notice::Connected { session_present } => {
            tracing::info!(session_present, "connected to the broker");
            shared.broker_is(None);
            dispatch::Input::Connected
        }
        Notice::Disconnected { reason } => {
            tracing::warn!(reason, "the broker is gone; what it sends waits there, what we send waits here");
            shared.broker_is(Some(format!("the broker is not connected: {reason}")));
            dispatch::Input::Disconnected
        }
        Notice::Published { id, result } => {
            dispatch::Input::Published(CommandId(i64::try_from(id).unwrap_or(i64::MAX)), result)
        }
        Notice::Refused { filter, reason } => {
            tracing::error!(
                filter,
                reason,
                "the broker refused a subscription; give this user the right to read it"
            );
            shared.broker_is(Some(format!("the broker refused the subscription to {filter}: {reason}")));
            return;
        }
    };
    drop(to_dispatch.send(input).await); // the dispatch ends only when the daemon does
}
