//! The tasks of the driver: each takes one input, hands it to its machine and performs the effects, as in `app`.

use std::rc::Rc;

use bellwire::alert::intake::{IntakeEffect, IntakeInput as Intake};
use bellwire::command::dispatch;
use bellwire::contact::Recipient;
use bellwire::event::incoming::Event;
use bellwire::ids::{CommandId, MessageId};
use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::outbox::row::Conversation;
use bellwire::outbox::scheduler;
use bellwire::random::Rng;
use bellwire::task::outbox_transaction::StepStart;
use bellwire::time::Timestamp;
use bellwire::whatsapp::prepare::{Signature, prepare};
use bellwire::whatsapp::signature::verify;
use secrecy::SecretString;
use serde_json::Value;

use crate::broker::Token;
use crate::gateway::{Gateway, LOOK_EVERY, Notice, Out, both};
use crate::meta::APP_SECRET;
use crate::sabotage::Sabotage;
use crate::site::{NEW_PHONE, NUMBERS, PEOPLE};
use crate::storing::{Job, command_of};

/// `task::mqtt_intake`: notices taken together.
const BATCH: u64 = 32;

impl Gateway {
    /// `task::mqtt_intake`.
    pub(crate) fn take_notices(&mut self, now: Timestamp, dice: &mut Rng) -> Vec<Out> {
        let most = BATCH.min(self.notices.len() as u64);
        let count = usize::try_from(1 + dice.below(most)).unwrap_or(1).min(self.notices.len());
        // A new session begins a new turn.
        let is_new = |notice: &Notice| matches!(notice, Notice::Connected { session_present: false });
        let count = self.notices.iter().take(count).skip(1).position(is_new).map_or(count, |at| at + 1);
        let batch: Vec<Notice> = self.notices.drain(..count).collect();
        let mut events = Vec::new();
        for notice in batch {
            match notice {
                Notice::Message(mut message) => {
                    message.0.retained &= self.sabotage != Some(Sabotage::TakeRetained);
                    events.push(*message);
                }
                Notice::Connected { session_present } => {
                    if !session_present {
                        self.intake.free_packets();
                        self.is_freeing = true;
                        self.jobs.push_back(Job::FreePackets);
                    }
                    self.dispatch_inputs.push_back(dispatch::DispatchInput::Connected);
                }
                Notice::Disconnected => self.dispatch_inputs.push_back(dispatch::DispatchInput::Disconnected),
                Notice::Published(id, result) => {
                    self.dispatch_inputs.push_back(dispatch::DispatchInput::Published(id, result));
                }
            }
        }
        if events.is_empty() {
            return Vec::new();
        }
        let early = match self.sabotage {
            Some(Sabotage::AcknowledgeBeforeCommit) => {
                events.iter().filter_map(|(_, token)| token.clone()).collect()
            }
            Some(_) | None => Vec::new(),
        };
        self.watch_look_at = now + LOOK_EVERY;
        let ours = |event: &&Event| self.is_ours(event);
        let heard: Vec<Event> = events.iter().map(|(event, _)| event).filter(ours).cloned().collect();
        if heard.is_empty() {
            let effects = self.intake.handle(Intake::Arrived(events), both(now, self.ahead));
            self.want(effects);
        } else {
            (self.is_accepting, self.heard) = (true, events);
            self.jobs.push_back(Job::Hear(Rc::new(heard), self.at_broker.clone()));
        }
        early.into_iter().map(Out::Acknowledge).collect()
    }

    /// Whether a device answers or a machine asks.
    fn is_ours(&self, event: &Event) -> bool {
        let asks = self.config.questions.iter().any(|known| known.topic.matches(&event.topic).is_some());
        match self.sabotage {
            Some(Sabotage::SkipQuestion) if asks => false,
            Some(Sabotage::SkipAnswer) if !asks => false,
            Some(_) | None => self.listens_to.iter().any(|known| known.matches(&event.topic).is_some()),
        }
    }

    /// What the intake wants done: in its order, and after each commit.
    pub(crate) fn want(&mut self, effects: Vec<IntakeEffect<Token>>) {
        self.intake_effects.extend(effects);
        while !self.is_accepting
            && let Some(effect) = self.intake_effects.pop_front()
        {
            match effect {
                IntakeEffect::Commit(batch, decisions) => {
                    self.is_accepting = true;
                    self.jobs.push_back(Job::Accept(batch, Rc::new(decisions)));
                }
                IntakeEffect::Watched { effects, taken } => {
                    self.is_accepting = true;
                    self.jobs.push_back(Job::Watched(Rc::new(effects), taken));
                }
                IntakeEffect::Acknowledge(token) => self.acks.push_back(token),
            }
        }
    }

    /// `task::outbox_sender`: one of its inputs or one of its wake-ups.
    pub(crate) fn step_sender(&mut self, now: Timestamp, dice: &mut Rng) {
        let due = self.wake_at.is_some_and(|at| at <= now);
        let told = self.stopping.is_none() && (self.outbox_told || self.written_beside || due);
        let input = match self.inputs.pop_front() {
            Some(input) if told && dice.below(2) == 0 => {
                self.inputs.push_front(input);
                None
            }
            input => input,
        };
        let input = input.unwrap_or_else(|| {
            if due || self.written_beside {
                self.commands_told = true;
                self.wake_at = self.wake_at.filter(|_| !due);
                self.written_beside = false;
            } else {
                self.outbox_told = false;
            }
            scheduler::SchedulerInput::Wake
        });
        self.say("sender:", &input);
        self.jobs.push_back(Job::Turn(StepStart::With(input)));
    }

    /// One request leaves.
    pub(crate) fn post(&mut self, now: Timestamp) -> Vec<Out> {
        let Some((mut due, choice)) = self.posts.pop_front() else { return Vec::new() };
        let old = Recipient::parse("+15550100002");
        if let Some(old) = old.filter(|_| due.to.address().ends_with(NEW_PHONE.1))
            && self.sabotage == Some(Sabotage::OldPhone)
        {
            due.to = old;
        }
        let ours = Signature { tag: self.store.tag(), signer: self.store.seal() };
        let mut request = prepare(&due, &choice, ours, &self.config.people, now);
        if self.sabotage == Some(Sabotage::DropCallback) {
            let mut body: Value = serde_json::from_slice(&request.body).expect("JSON");
            body["biz_opaque_callback_data"] = "".into();
            request.body = body.to_string().into_bytes();
        }
        let over = match self.sabotage {
            Some(Sabotage::OneNumber) => NUMBERS[0],
            Some(_) | None => NUMBERS[usize::from(request.connection.0 != NUMBERS[0])],
        };
        vec![Out::Post(request.message, over, request.body)]
    }

    pub fn answered(&mut self, id: MessageId, answer: ApiAnswer) {
        if let (Some(Sabotage::OneGate), ApiAnswer::Refused(refusal)) = (self.sabotage, &answer) {
            for number in NUMBERS {
                let lane = Conversation { connection: number.into(), contact: PEOPLE[0].0.into() };
                self.inputs.push_back(scheduler::SchedulerInput::Reported(lane, Box::new(refusal.clone())));
            }
        }
        self.inputs.push_back(scheduler::SchedulerInput::Answered(id, answer));
    }

    /// `task::command_publisher`: its newest effect, or its next input when none is left.
    pub(crate) fn step_dispatch(&mut self, now: Timestamp, dice: &mut Rng) -> Vec<Out> {
        let Some(effect) = self.effects.pop() else {
            let asked = self.commands_told || now >= self.dispatch_look_at;
            let input = match self.dispatch_inputs.pop_front() {
                Some(input) if asked && dice.below(2) == 0 => {
                    self.dispatch_inputs.push_front(input);
                    None
                }
                input => input,
            };
            let input = input.unwrap_or_else(|| {
                self.commands_told = false;
                dispatch::DispatchInput::Wake
            });
            self.dispatch_look_at = now + LOOK_EVERY;
            self.say("dispatch:", &input);
            let told = match &input {
                dispatch::DispatchInput::Published(id, _) => Some(*id),
                dispatch::DispatchInput::Wake
                | dispatch::DispatchInput::Connected
                | dispatch::DispatchInput::Disconnected
                | dispatch::DispatchInput::Loaded(_)
                | dispatch::DispatchInput::Busy(_)
                | dispatch::DispatchInput::Committed(_) => None,
            };
            self.effects = self.dispatch.handle(input, now);
            let acts = !self.effects.is_empty();
            return told.map(|id| Out::Told { id, acts }).into_iter().collect();
        };
        self.say("dispatch does", &effect);
        match effect {
            dispatch::DispatchEffect::Load { limit } => {
                self.is_dispatching = true;
                self.jobs.push_back(Job::LoadCommands { limit });
            }
            dispatch::DispatchEffect::Publish(command)
                if command.expires_at <= now || dice.below(12) == 0 =>
            {
                self.has_no_room(command.id, now);
            }
            dispatch::DispatchEffect::Publish(mut command) => {
                if self.sabotage == Some(Sabotage::WrongDevice) {
                    command.topic = command.topic.replace("/bar/", "/hall/");
                }
                self.at_broker.insert(command.id);
                return vec![Out::Publish { command }];
            }
            dispatch::DispatchEffect::Commit(change) => {
                let published = matches!(change, dispatch::CommandUpdate::Published { .. });
                if published && self.sabotage == Some(Sabotage::ForgetPuback) {
                    let input = dispatch::DispatchInput::Committed(command_of(&change));
                    self.effects.extend(self.dispatch.handle(input, now));
                    return Vec::new();
                }
                self.is_dispatching = true;
                self.jobs.push_back(Job::Command { change });
            }
            dispatch::DispatchEffect::WakeAt(at) => self.dispatch_look_at = self.dispatch_look_at.min(at),
        }
        Vec::new()
    }
}

impl Gateway {
    /// The link has no room, or no connection.
    pub fn has_no_room(&mut self, id: CommandId, now: Timestamp) {
        self.at_broker.remove(&id);
        self.effects.extend(self.dispatch.handle(dispatch::DispatchInput::Busy(id), now));
    }

    /// The webhook's door: a body that Meta posts.
    pub fn keep(&mut self, number: u64, body: Vec<u8>, signature: &str) -> Vec<Out> {
        let is_metas = verify(&[SecretString::from(APP_SECRET)], Some(signature), &body);
        if !is_metas && self.sabotage != Some(Sabotage::SkipSignature) {
            return vec![Out::Kept(number, false)];
        }
        self.jobs.push_back(Job::Keep { number, body });
        match self.sabotage {
            Some(Sabotage::AnswerWebhookBeforeCommit) => vec![Out::Kept(number, true)],
            Some(_) | None => Vec::new(),
        }
    }
}
