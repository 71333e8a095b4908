//! The ear that subscribes, and hears each publish once: a copy that comes by another subscription is acknowledged here and
//! goes no further.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;
use super::subscriptions::{Answer, Ask, Copy, Outcome, Subscriptions, Verdict};
use super::wire::{Cause, Ear, Heard, Incoming, Mouth, RECEIVE_MAX, Watchful};

/// What was refused is asked for again: an access list may have been put right. A minute is soon enough for whoever just
/// did that, and nothing for the broker.
const ASK_AGAIN: Duration = Duration::from_secs(60);

type Message<E> = (Incoming, Option<<<E as Ear>::Mouth as Mouth>::Ack>);

pub struct Once<'a, E: Ear> {
    ear: Watchful<E>,
    mouth: &'a E::Mouth,
    subscriptions: &'a mut Subscriptions,
    /// Handed to the library, in their order.
    asked: VecDeque<Ask>,
    /// Sent, by packet identifier.
    under_way: BTreeMap<u16, Ask>,
    asked_at: Instant,
    /// Until the broker has answered; it sends no more than this without an acknowledgement.
    held: VecDeque<Message<E>>,
    ready: VecDeque<Message<E>>,
    told: Option<Outcome>,
}

impl<'a, E: Ear> Once<'a, E> {
    /// Every connection subscribes, though the broker says that it kept the session: another client with our id may have
    /// emptied it in between, and brokers have been seen to keep a session without its subscriptions (eclipse/paho.mqtt.cpp
    /// #507). A subscription that is there is replaced by the same one (MQTT 5, 3.8.4); with 3.1.1 the retained messages
    /// come once more, which rules take as states and not as events.
    pub fn begin(
        ear: E,
        mouth: &'a E::Mouth,
        subscriptions: &'a mut Subscriptions,
        (session_present, limits): (bool, &Limits),
    ) -> Self {
        let mut once = Self {
            ear: Watchful::new(ear, limits.idle()),
            mouth,
            subscriptions,
            asked: VecDeque::new(),
            under_way: BTreeMap::new(),
            asked_at: Instant::now(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
            told: None,
        };
        let asks = once.subscriptions.begin(session_present, limits);
        once.ask(asks);
        once
    }

    /// The next thing; a message is an event.
    pub async fn hear(&mut self) -> Result<Heard<<E::Mouth as Mouth>::Ack>, (Cause, String)> {
        loop {
            if let Some((incoming, ack)) = self.ready.pop_front() {
                return Ok(Heard::Message(incoming, ack));
            }
            match self.ear.hear().await? {
                Heard::Message(incoming, ack) => {
                    self.sort((incoming, ack));
                    let asks = self.subscriptions.reconsider();
                    self.ask(asks);
                }
                Heard::Asked(packet) => {
                    let ask = self.asked.pop_front();
                    self.under_way.extend(ask.map(|ask| (packet, ask)));
                }
                Heard::Answered(packet, answers) => {
                    if let Some(outcome) = self.answered(packet, answers) {
                        return Ok(Heard::Subscribed(outcome));
                    }
                }
                Heard::Alive => {
                    let is_due = self.asked_at.elapsed() >= ASK_AGAIN && self.subscriptions.is_settled();
                    if is_due && self.subscriptions.lacks() {
                        let asks = self.subscriptions.again();
                        self.ask(asks);
                    }
                    return Ok(Heard::Alive);
                }
                other @ (Heard::Connected { .. }
                | Heard::Subscribed(_)
                | Heard::Ended(_)
                | Heard::Unfit(_)
                | Heard::Sent) => return Ok(other),
            }
        }
    }

    fn ask(&mut self, asks: Vec<Ask>) {
        for ask in asks {
            if !self.mouth.subscribe(&ask) {
                tracing::error!(filters = ?ask.filters, "a subscription found no room; it is made with the next connection");
                continue;
            }
            self.asked_at = Instant::now();
            self.asked.push_back(ask);
        }
    }

    fn answered(&mut self, packet: u16, answers: Vec<Answer>) -> Option<Outcome> {
        let ask = self.under_way.remove(&packet)?;
        let next = self.subscriptions.answered(&ask, answers);
        self.ask(next);
        if !self.subscriptions.is_settled() {
            return None;
        }
        for filters in self.subscriptions.leftovers() {
            self.mouth.unsubscribe(&filters);
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
            Ok(topic) => self.subscriptions.judge(&Copy {
                topic,
                payload: &incoming.payload,
                retained: incoming.retain,
                identifiers: &incoming.subscriptions,
            }),
            Err(_) => Verdict::Take,
        };
        match verdict {
            Verdict::Take => self.ready.push_back((incoming, ack)),
            // The event itself is acknowledged when it is on disk; the broker sends it again if that fails.
            Verdict::Repeated | Verdict::Unwanted => {
                if ack.is_some_and(|ack| !self.mouth.acknowledge(ack)) {
                    tracing::warn!("an acknowledgement found no room; the broker will send the copy again");
                }
            }
            Verdict::Later => {
                if self.held.len() >= usize::from(RECEIVE_MAX) {
                    self.ready.extend(self.held.pop_front()); // twice, perhaps; and not lost
                }
                self.held.push_back((incoming, ack));
            }
        }
    }
}
