//! What the world tells the gateway: what the link brings, Meta's answers and webhooks.

use std::sync::Arc;

use bellwire::app::WebhookReceiver;
use bellwire::event::incoming::Event;
use bellwire::http::Webhook;
use bellwire::ids::{CommandId, MessageId};
use bellwire::mqtt::{Cause, ConnectionEvent};
use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::outbox::row::Conversation;
use bellwire::outbox::scheduler::SchedulerInput;
use bellwire::store::Store;
use bellwire::task::context::TaskContext;
use bellwire::task::outbox_transaction::StepStart;
use bellwire::time::Timestamp;
use bytes::Bytes;

use crate::broker::Token;
use crate::gateway::{Gateway, SPAWNED, WEBHOOK};
use crate::meta::{APP_SECRET, signed};
use crate::ports::Out;
use crate::sabotage::Sabotage;
use crate::site::{NUMBERS, PEOPLE};

/// What the link tells.
#[derive(Debug)]
pub enum Notice {
    Message(Box<(Event, Option<Token>)>),
    Connected { session_present: bool },
    Disconnected,
    Published(CommandId, Result<(), String>),
}

impl Gateway {
    pub fn tell(&mut self, notice: Notice) {
        let event = match notice {
            Notice::Message(message) => {
                let (mut event, ack) = *message;
                event.retained &= self.sabotage != Some(Sabotage::TakeRetained);
                if let Some(token) = &ack
                    && self.sabotage == Some(Sabotage::AcknowledgeBeforeCommit)
                {
                    self.outside.push(Out::Acknowledge(token.clone()));
                }
                ConnectionEvent::Message { event, ack, reply_to: None }
            }
            Notice::Connected { session_present } => {
                self.outside.is_connected(true);
                ConnectionEvent::Connected { session_present }
            }
            Notice::Disconnected => {
                self.outside.is_connected(false);
                ConnectionEvent::Disconnected { cause: Cause::Line, reason: "the line".into() }
            }
            Notice::Published(id, result) => ConnectionEvent::Published { id: id.0.unsigned_abs(), result },
        };
        self.notices.try_send(event).expect("room for what a run tells");
    }

    /// Meta's answer to a request.
    pub fn answered(&mut self, id: MessageId, answer: ApiAnswer) {
        if let (Some(Sabotage::OneGate), ApiAnswer::Refused(refusal)) = (self.sabotage, &answer) {
            for number in NUMBERS {
                let lane = Conversation { connection: number.into(), contact: PEOPLE[0].0.into() };
                let input = SchedulerInput::Reported(lane, Box::new(refusal.clone()));
                let (context, now) = (Arc::clone(&self.context), self.wall());
                self.spawn(SPAWNED, Box::pin(report(context, input, now)));
            }
        }
        self.outside.answered(id, answer);
    }

    /// The webhook's receiver: a body that Meta posts.
    pub fn keep(&mut self, number: u64, body: Vec<u8>, signature: &str) -> Vec<Out> {
        let receiver = WebhookReceiver::new(Arc::clone(&self.context));
        let ours = signed(APP_SECRET, &body);
        let signature = if self.sabotage == Some(Sabotage::SkipSignature) { &ours } else { signature };
        let signed_by = receiver.signed_by(Some(signature), &body);
        if signed_by.is_empty() {
            return vec![Out::Kept(number, false)];
        }
        let (outside, is_early) =
            (self.outside.clone(), self.sabotage == Some(Sabotage::AnswerWebhookBeforeCommit));
        let kept = receiver.keep(Bytes::from(body), signed_by);
        let keep = async move {
            let kept = kept.await;
            if !is_early {
                outside.push(Out::Kept(number, kept));
            }
        };
        self.spawn(WEBHOOK, Box::pin(keep));
        if is_early { vec![Out::Kept(number, true)] } else { Vec::new() }
    }
}

/// A sabotage: what a number is told, another hears, too.
async fn report(context: Arc<TaskContext>, input: SchedulerInput, now: Timestamp) {
    let (scheduler, live) = (Arc::clone(&context.scheduler), context.live.get());
    let take = move |store: &Store| scheduler.take(store, StepStart::With(input.clone()), &live, now);
    if let Some(step) = context.store.durably(take).await {
        context.scheduler.done(step).await;
    }
}
