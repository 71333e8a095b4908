//! The stream that subscribes, and gives one copy of each publish where subscriptions overlap: a copy that comes by another one is
//! acknowledged here and goes no further. What the broker delivers again is recognised elsewhere (`event::incoming`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::limits::Limits;
use super::loopback;
use super::subscriptions::{DeliveredCopy, Delivery, Granted, Grants, SubscribeRequest, Subscriptions};
use crate::mqtt::protocol::{Cause, EventStream, Heard, Incoming, Publisher, RECEIVE_MAX, SilenceWatch};

/// What was refused is asked for again: an access list may have been put right. A minute is soon enough for whoever just
/// did that, and nothing for the broker.
const ASK_AGAIN: Duration = Duration::from_secs(60);

type Message<E> = (Incoming, Option<<<E as EventStream>::Publisher as Publisher>::Ack>);

/// One SUBSCRIBE.
enum Subscribing {
    Events(SubscribeRequest),
    Loopback,
}

pub struct OverlapFilter<'a, E: EventStream> {
    stream: SilenceWatch<E>,
    publisher: &'a E::Publisher,
    subscriptions: &'a mut Subscriptions,
    /// Where our own test message comes back; `None`: none is sent.
    loopback: Option<&'a str>,
    lacks_loopback: bool,
    /// Handed to the library, in their order.
    asked: VecDeque<Subscribing>,
    /// Sent, by packet identifier.
    under_way: BTreeMap<u16, Subscribing>,
    asked_at: Instant,
    /// Until the broker has answered; it sends no more than this without an acknowledgement.
    held: VecDeque<Message<E>>,
    ready: VecDeque<Message<E>>,
    told: Option<Grants>,
}

impl<'a, E: EventStream> OverlapFilter<'a, E> {
    /// Every connection subscribes, though the broker says that it kept the session: another client with our id may have
    /// emptied it in between, and brokers have been seen to keep a session without its subscriptions (eclipse/paho.mqtt.cpp
    /// #507). A subscription that is there is replaced by the same one (MQTT 5, 3.8.4); with 3.1.1 the retained messages
    /// come once more, which rules take as states and not as events.
    pub fn begin(
        stream: E,
        publisher: &'a E::Publisher,
        subscriptions: &'a mut Subscriptions,
        (session_present, limits): (bool, &Limits),
        loopback: Option<&'a str>,
    ) -> Self {
        let mut once = Self {
            stream: SilenceWatch::new(stream, limits.idle()),
            publisher,
            subscriptions,
            loopback,
            lacks_loopback: false,
            asked: VecDeque::new(),
            under_way: BTreeMap::new(),
            asked_at: Instant::now(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
            told: None,
        };
        let asks = once.subscriptions.begin(session_present, limits);
        once.ask(asks);
        once.ask_for_loopback();
        once
    }

    /// The next thing; a message is an event.
    pub async fn poll(&mut self) -> Result<Heard<<E::Publisher as Publisher>::Ack>, (Cause, String)> {
        loop {
            if let Some((incoming, ack)) = self.ready.pop_front() {
                return Ok(Heard::Message(incoming, ack));
            }
            match self.stream.poll().await? {
                Heard::Message(incoming, ack) if incoming.topic.as_deref().is_ok_and(loopback::is_topic) => {
                    if let Some(payload) = self.looped((incoming, ack)) {
                        return Ok(Heard::Loopback(payload));
                    }
                }
                Heard::Message(incoming, ack) => {
                    self.sort((incoming, ack));
                    let asks = self.subscriptions.reconsider();
                    self.ask(asks);
                }
                Heard::Asked(packet) => {
                    let ask = self.asked.pop_front();
                    self.under_way.extend(ask.map(|ask| (packet, ask)));
                }
                Heard::Answered(packet, answers) => match self.under_way.remove(&packet) {
                    None => {}
                    Some(Subscribing::Loopback) => {
                        let answer = answers.into_iter().next().unwrap_or(Ok(true)).map(drop);
                        self.lacks_loopback = answer.is_err();
                        return Ok(Heard::LoopbackGranted(answer));
                    }
                    Some(Subscribing::Events(ask)) => {
                        if let Some(outcome) = self.answered(&ask, answers) {
                            return Ok(Heard::Subscribed(outcome));
                        }
                    }
                },
                Heard::Alive => {
                    self.ask_again();
                    return Ok(Heard::Alive);
                }
                other @ (Heard::Connected { .. }
                | Heard::Subscribed(_)
                | Heard::LoopbackGranted(_)
                | Heard::Loopback(_)
                | Heard::Ended(..)
                | Heard::Unfit(_)
                | Heard::Sent) => return Ok(other),
            }
        }
    }

    fn ask(&mut self, asks: Vec<SubscribeRequest>) {
        for ask in asks {
            if !self.publisher.subscribe(&ask) {
                tracing::error!(filters = ?ask.filters, "a subscription found no room; it is made with the next connection");
                continue;
            }
            self.asked_at = Instant::now();
            self.asked.push_back(Subscribing::Events(ask));
        }
    }

    fn ask_for_loopback(&mut self) {
        if self.loopback.is_some_and(|topic| self.publisher.subscribe_to_own(topic)) {
            self.asked_at = Instant::now();
            self.asked.push_back(Subscribing::Loopback);
            self.lacks_loopback = false;
        }
    }

    fn ask_again(&mut self) {
        if self.asked_at.elapsed() < ASK_AGAIN || !self.subscriptions.is_settled() {
            return;
        }
        if self.lacks_loopback {
            self.ask_for_loopback();
        }
        if self.subscriptions.lacks() {
            let asks = self.subscriptions.again();
            self.ask(asks);
        }
    }

    /// A test message is acknowledged here and is never an event, whoever's it is: what it says if it is ours.
    fn looped(&self, (incoming, ack): Message<E>) -> Option<Bytes> {
        if ack.is_some_and(|ack| !self.publisher.acknowledge(ack)) {
            tracing::warn!("an acknowledgement found no room; the broker will send the test message again");
        }
        let is_ours = incoming.topic.as_deref().ok() == self.loopback;
        is_ours.then_some(incoming.payload)
    }

    fn answered(&mut self, ask: &SubscribeRequest, answers: Vec<Granted>) -> Option<Grants> {
        let next = self.subscriptions.answered(ask, answers);
        self.ask(next);
        self.settled()
    }

    /// Other subscriptions, by their difference; what the broker has granted is told again, now or when it has answered.
    pub fn want(&mut self, filters: &[String]) -> Option<Grants> {
        self.told = None;
        let asks = self.subscriptions.want(filters);
        self.ask(asks);
        self.settled()
    }

    /// What is known when the broker has answered all; once.
    fn settled(&mut self) -> Option<Grants> {
        if !self.subscriptions.is_settled() {
            return None;
        }
        for filters in self.subscriptions.leftovers() {
            self.publisher.unsubscribe(&filters);
        }
        let held = std::mem::take(&mut self.held);
        held.into_iter().for_each(|message| self.sort(message));
        let outcome = Some(self.subscriptions.outcome());
        if self.told == outcome {
            return None;
        }
        self.told.clone_from(&outcome);
        outcome
    }

    fn sort(&mut self, (incoming, ack): Message<E>) {
        let verdict = match &incoming.topic {
            Ok(topic) => self.subscriptions.judge(&DeliveredCopy {
                topic,
                payload: &incoming.payload,
                retained: incoming.retain,
                identifiers: &incoming.subscriptions,
            }),
            Err(_) => Delivery::Take,
        };
        match verdict {
            Delivery::Take => self.ready.push_back((incoming, ack)),
            // The event itself is acknowledged when it is on disk; the broker sends it again if that fails.
            Delivery::Repeated | Delivery::Unwanted => {
                if ack.is_some_and(|ack| !self.publisher.acknowledge(ack)) {
                    tracing::warn!("an acknowledgement found no room; the broker will send the copy again");
                }
            }
            Delivery::Later => {
                if self.held.len() >= usize::from(RECEIVE_MAX) {
                    self.ready.extend(self.held.pop_front()); // twice, perhaps; and not lost
                }
                self.held.push_back((incoming, ack));
            }
        }
    }
}
