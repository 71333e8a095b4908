//! Broker notices: events to the intake, answers to the dispatch.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::shared::Shared;
use super::{endings, questions};
use crate::alert::event::Event;
use crate::alert::intake::{Decision, Effect, Input, Intake, Judge};
use crate::command::dispatch;
use crate::command::question::ReplyTo;
use crate::ids::CommandId;
use crate::mqtt::{AckToken, Link, Notice};
use crate::store::Store;
use crate::time::{Clock, SystemClock};

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
    while notices.recv_many(&mut batch, BATCH).await > 0 {
        let mut events = Vec::new();
        for notice in batch.drain(..) {
            match notice {
                Notice::Message { event, ack, reply_to } => {
                    if !concerns_replies(&shared, &event) {
                        events.push((event, ack));
                    } else if take_reply(&shared, &event, reply_to).await.is_none() {
                        return; // the disk failed: nothing more is acknowledged
                    } else if shared
                        .config
                        .rules
                        .iter()
                        .any(|rule| rule.topic.matches(&event.topic).is_some())
                    {
                        events.push((event, ack));
                    } else {
                        ack.into_iter().for_each(|token| link.ack(token)); // it is on disk
                    }
                }
                about @ (Notice::Connected { .. }
                | Notice::Disconnected { .. }
                | Notice::Published { .. }
                | Notice::Refused { .. }) => tell(&shared, about, &to_dispatch).await,
            }
        }
        if events.is_empty() {
            continue;
        }
        shared.metrics.events.inc_by(events.len() as u64);
        for effect in intake.handle(Input::Arrived(events)) {
            if perform(&shared, &mut intake, &link, effect).await.is_none() {
                return; // the disk failed: nothing more is acknowledged
            }
        }
    }
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

/// Whether it is an answer of a device, or a question of a machine.
fn concerns_replies(shared: &Shared, event: &Event) -> bool {
    shared.heard.iter().any(|pattern| pattern.matches(&event.topic).is_some())
}

/// Written down before it is acknowledged, as every event.
async fn take_reply(shared: &Shared, event: &Event, reply_to: Option<ReplyTo>) -> Option<()> {
    let (config, event) = (Arc::clone(&shared.config), event.clone());
    let take = move |store: &Store| {
        let now = SystemClock.now();
        for question in &config.questions {
            if let Some(bindings) = question.topic.matches(&event.topic) {
                questions::ask(store, &config, question, &bindings, (&event, reply_to.as_ref()), now)?;
            }
        }
        endings::heard(store, &config, &event, now)
    };
    shared.durably(take).await?;
    shared.outbox.notify_one();
    shared.deadlines.notify_one();
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
