//! Broker notices and devices' events: events to the intake, answers to the dispatch, letters to the fleet.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::devices::{self, Letter, Taken};
use super::shared::Shared;
use crate::alert::event::Event;
use crate::alert::intake::{Decision, Effect, Input, Intake, Judge};
use crate::command::dispatch;
use crate::device;
use crate::ids::CommandId;
use crate::mqtt::{AckToken, Link, Notice};

/// Notices taken together: as many as the broker sends without an acknowledgement (receive maximum 32).
const BATCH: usize = 32;

/// Who is told that an event is ours.
#[derive(Debug)]
enum Token {
    Broker(AckToken),
    Fleet(oneshot::Sender<()>),
}

/// The fleet's end of the intake.
#[derive(Debug)]
pub struct Devices {
    pub events: mpsc::Receiver<Taken>,
    pub letters: mpsc::Sender<Letter>,
}

pub async fn run(
    shared: Arc<Shared>,
    judge: Judge,
    link: Link,
    mut notices: mpsc::Receiver<Notice>,
    to_dispatch: mpsc::Sender<dispatch::Input>,
    mut devices: Devices,
) {
    let mut intake: Intake<Token> = Intake::new(judge);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let mut events = Vec::new();
        tokio::select! {
            count = notices.recv_many(&mut batch, BATCH) => if count == 0 { return },
            Some(taken) = devices.events.recv() => events.push(taken.into()),
        }
        while events.len() < BATCH
            && let Ok(taken) = devices.events.try_recv()
        {
            events.push(taken.into());
        }
        if batch.iter().any(|notice| matches!(notice, Notice::Connected { session_present: false }))
            && shared.durably(crate::store::Store::free_packets).await.is_none()
        {
            return;
        }
        for notice in batch.drain(..) {
            match notice {
                Notice::Message { event, ack } => match Letter::read(&event) {
                    None => events.push((event, ack.map(Token::Broker))),
                    Some(letter) => {
                        if !event.retained {
                            devices::post(&shared, &devices.letters, letter);
                        }
                        // The broker may forget it: the device keeps it until our own acknowledgement.
                        ack.into_iter().for_each(|ack| link.ack(ack));
                    }
                },
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
    intake: &mut Intake<Token>,
    link: &Link,
    effect: Effect<Token>,
) -> Option<()> {
    match effect {
        Effect::Commit(batch, decisions) => {
            commit(shared, decisions).await?;
            for effect in intake.handle(Input::Committed(batch)) {
                if let Effect::Acknowledge(token) = effect {
                    token.acknowledge(link);
                }
            }
        }
        Effect::Acknowledge(token) => token.acknowledge(link),
    }
    Some(())
}

impl Token {
    fn acknowledge(self, link: &Link) {
        match self {
            Self::Broker(token) => link.ack(token),
            Self::Fleet(counted) => drop(counted.send(())), // the fleet ends only when the daemon does
        }
    }
}

impl From<Taken> for (Event, Option<Token>) {
    fn from(taken: Taken) -> Self {
        (taken.event, Some(Token::Fleet(taken.counted)))
    }
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
            let is_ours = device::topic::filters().any(|ours| ours == filter);
            if is_ours && !shared.config.rules.iter().any(|rule| rule.topic.filter() == filter) {
                tracing::warn!(filter, reason, "the broker refused us this; devices cannot come over it");
                return; // serial lines and plain MQTT need no such right
            }
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
