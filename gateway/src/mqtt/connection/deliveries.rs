//! Whether what is published comes to us: sends our own test message, and says why it did not come back.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::super::loopback::{self, LoopbackStep, Missed};
use super::super::overlapping::OverlapFilter;
use super::super::takeover::Takeovers;
use super::{ConnectionEvent, Task};
use crate::mqtt::protocol::{Announce, Cause, EventStream, Heard, PublishAck, Publisher};
use crate::time::Timestamp;

impl Task {
    /// The next thing that comes; until then our own test message is looked after. The library is not interrupted for it: it
    /// may have half a packet in its hands.
    pub(in crate::mqtt) async fn poll<E: EventStream>(
        &mut self,
        stream: &mut OverlapFilter<'_, E>,
        publisher: &E::Publisher,
        answer: &mut Option<PublishAck>,
    ) -> Result<Heard<<E::Publisher as Publisher>::Ack>, (Cause, String)> {
        let mut hearing = pin!(stream.poll());
        loop {
            let due = self.loopback.wake_at();
            tokio::select! {
                heard = &mut hearing => return heard,
                () = wait(due) => {}
                taken = taken(answer) => match taken {
                    Ok(()) => self.loopback.taken(),
                    Err(reason) => {
                        self.loopback.untaken(Instant::now());
                        self.tell_of_refusal(&reason);
                    }
                },
            }
            match self.loopback.due(Instant::now()) {
                None => {}
                Some(LoopbackStep::Send(payload)) => {
                    *answer = publisher.publish(loopback::message(&self.settings.loopback_topic, payload));
                }
                Some(LoopbackStep::Missed(missed)) => self.missed(missed)?,
            }
        }
    }

    pub(in crate::mqtt) fn looped(&mut self, payload: &[u8], publisher: &impl Publisher) {
        let time = self.loopback.came(payload, Instant::now());
        if let Some(own) = &self.settings.copy {
            let is_copy = self.copies.hear(payload, own);
            if let Some(newer) = self.copies.newer(own).filter(|_| is_copy || time.is_some()) {
                let told = ConnectionEvent::NewerCopy(Timestamp(newer));
                drop(self.notices.try_send(told)); // without room for it with the next test message
            } else if time.is_some() // what the broker keeps on this topic has come before it
                && let Some(ours) = self.copies.announcement(own)
            {
                publisher.announce(&self.settings.loopback_topic, ours, Announce::Retained);
            }
        }
        if let Some(time) = time {
            self.tell_of_loopback(Ok(time));
        }
    }

    pub(in crate::mqtt) fn loopback_granted(&mut self, answer: Result<(), String>) {
        match answer {
            Ok(()) => self.loopback.granted(Instant::now()),
            Err(reason) => {
                self.loopback.unread();
                self.tell_of_refusal(&reason);
            }
        }
    }

    /// Why a connection ended, in better words where they are known.
    pub(in crate::mqtt) fn explain(
        &mut self,
        (cause, reason): (Cause, String),
        was_connected: bool,
        lasted: Duration,
    ) -> (Cause, String) {
        if !was_connected {
            self.takeovers = Takeovers::default(); // the broker itself is away
            return (cause, reason);
        }
        if cause == Cause::Line && self.loopback.closed() {
            self.tell_of_refusal("the broker ends the connection");
            return (cause, reason);
        }
        self.takeovers.ended((cause, reason), lasted, &self.settings.client_id)
    }

    /// An error ends the connection.
    fn missed(&self, missed: Missed) -> Result<(), (Cause, String)> {
        let (id, topic) = (&self.settings.client_id, &self.settings.loopback_topic);
        let told = match missed {
            Missed::Unanswered => {
                let reason = "the broker did not answer our own test message within 10 s";
                return Err((Cause::Silence, reason.to_owned()));
            }
            Missed::Lost => format!(
                "events no longer come from the broker: it took our own test message on {topic}, and did not send it back. It \
                 has lost our subscriptions, or another client uses the client id {id}; connecting and subscribing again, \
                 but what was published meanwhile may be missing"
            ),
            Missed::StillLost => format!(
                "events no longer come from the broker: our own test message on {topic} does not come back over a new \
                 connection either. If its access list was changed, {}; else restart the broker and look into its log",
                self.settings.right_to_loop()
            ),
            Missed::NeverSeen => format!(
                "nobody knows whether events come: our own test message on {topic} never came back. Rules may work all the \
                 same; {}",
                self.settings.right_to_loop()
            ),
        };
        self.tell_of_loopback(Err(told));
        if missed == Missed::Lost {
            let reason = "what is published does not come to us; connecting again";
            return Err((Cause::Undelivered, reason.to_owned()));
        }
        Ok(())
    }

    fn tell_of_refusal(&self, reason: &str) {
        self.tell_of_loopback(Err(format!(
            "nobody knows whether events come: our own test message on {} is refused ({reason}). Rules may work all the \
             same; {}",
            self.settings.loopback_topic,
            self.settings.right_to_loop()
        )));
    }

    fn tell_of_loopback(&self, result: Result<Duration, String>) {
        drop(self.notices.try_send(ConnectionEvent::Loopback(result))); // without room for it events come, and more than enough
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits until the broker has taken it, or says why it does not.
async fn taken(answer: &mut Option<PublishAck>) -> Result<(), String> {
    if let Some(under_way) = answer {
        let answered = under_way.await;
        *answer = None;
        if let Some(result) = answered {
            return result;
        }
    }
    std::future::pending().await
}
