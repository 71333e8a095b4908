//! A test message of our own that goes through the broker and back: the proof that what is published still comes to us. A
//! broker can lose a session's subscriptions while it answers every ping, and nothing else would show it.
//!
//! It proves the session, not each rule's filter: brokers drop a session's subscriptions together. For the same reason an
//! event that came is as good a proof, and where events keep coming no test message goes.

use std::time::Duration;

use tokio::time::Instant;

use crate::mqtt::protocol::Publish;

/// Silence for so long, and one goes. With the deadline a session that was emptied right after a proof is known after
/// 40 + 10 = 50 s: docs/broker.md promises a minute. Each costs three wake-ups, 0.08 a second of the two that a quiet gateway
/// may have, and 450 bytes with TCP's own, 30 MB a month on a line that carries nothing else.
const INTERVAL: Duration = Duration::from_secs(40);
/// How long it may take. It queues behind other events, so each of these gives it as long again.
const DEADLINE: Duration = Duration::from_secs(10);
/// Where it does not come back over a new connection either, nothing is to be won by haste: somebody has to help.
const RETRY: Duration = Duration::from_secs(30);

/// Some brokers end the connection of who publishes without the right to: AWS IoT Core does, and mosquitto 2.0.11 with
/// `max_queued_messages 0`. Two that ended so are enough: rules are worth more than the proof, and it is tried once more
/// after this time.
const CUT_OFF_MAX: u32 = 2;
const CUT_OFF_PAUSE: Duration = Duration::from_secs(600);

/// Whether a test message travels on it, ours or another gateway's: none is an event.
pub fn is_topic(topic: &str) -> bool {
    topic.starts_with("bellwire/") && topic.ends_with("/loopback")
}

/// As it goes to the broker.
pub fn message(topic: &str, payload: String) -> Publish {
    Publish {
        id: 0,
        topic: topic.to_owned(),
        payload: payload.into(),
        retain: false,
        // Kept for us while we are away it would only be thrown away.
        expires_in_s: Some(60),
        content_type: None,
        correlation: None,
        response_topic: None,
        user_properties: Vec::new(),
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoopbackStep {
    Send(String),
    Missed(Missed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// The broker does not even say that it took it: the line is dead, or the broker is.
    Unanswered,
    /// It came back before, and the broker took it: a new connection subscribes to everything again.
    Lost,
    /// It does not come over the new connection either.
    StillLost,
    /// It never came back in this process.
    NeverSeen,
}

#[derive(Debug)]
pub struct LoopbackProbe {
    /// Of this process: what an earlier one left in the queue proves nothing.
    nonce: String,
    count: u64,
    was_seen: bool,
    /// A new connection was made for it, and none has come back since.
    is_lost: bool,
    /// The broker said that it took the one that is under way.
    is_taken: bool,
    /// The broker does not take it, in this connection.
    is_untaken: bool,
    /// How many connections ended over it since one came back.
    cut_off: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The broker is asked for the subscription: before its answer a test message might go nowhere.
    Subscribing {
        until: Instant,
    },
    /// The broker does not let us read it, and is asked again now and then.
    Refused,
    Pause {
        until: Instant,
    },
    /// Something came.
    Proven {
        until: Instant,
    },
    UnderWay {
        since: Instant,
        until: Instant,
    },
}

impl LoopbackProbe {
    pub fn new(nonce: String) -> Self {
        Self {
            nonce,
            count: 0,
            was_seen: false,
            is_lost: false,
            is_taken: false,
            is_untaken: false,
            cut_off: 0,
            stage: Stage::Refused,
        }
    }

    /// A new connection, which has just asked for its subscriptions.
    pub fn connected(&mut self, now: Instant) {
        self.is_untaken = false;
        self.stage = if self.cut_off >= CUT_OFF_MAX {
            Stage::Pause { until: now + CUT_OFF_PAUSE }
        } else {
            Stage::Subscribing { until: now + DEADLINE }
        };
    }

    /// The broker has closed the connection: `true` if the test message seems to be why.
    pub fn closed(&mut self) -> bool {
        let is_why = !self.was_seen && (self.is_untaken || matches!(self.stage, Stage::UnderWay { .. }));
        self.cut_off += u32::from(is_why);
        is_why && self.cut_off >= CUT_OFF_MAX
    }

    /// The broker lets us read it.
    pub fn granted(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Subscribing { .. } | Stage::Refused) {
            self.stage = Stage::Pause { until: now };
        }
    }

    /// The broker does not let us read it.
    pub fn unread(&mut self) {
        self.was_seen = false;
        self.stage = Stage::Refused;
    }

    /// The broker does not let us publish it.
    pub fn untaken(&mut self, now: Instant) {
        self.was_seen = false;
        self.is_untaken = true;
        self.stage = Stage::Pause { until: now + RETRY };
    }

    /// The broker has what we published.
    pub fn taken(&mut self) {
        self.is_taken = true;
    }

    /// When to look again, if nothing happens before.
    pub fn wake_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Refused => None,
            Stage::Subscribing { until }
            | Stage::Pause { until }
            | Stage::Proven { until }
            | Stage::UnderWay { until, .. } => Some(until),
        }
    }

    /// What is due, if anything is.
    pub fn due(&mut self, now: Instant) -> Option<LoopbackStep> {
        if self.wake_at().is_none_or(|at| now < at) {
            return None;
        }
        Some(match self.stage {
            Stage::Pause { .. } | Stage::Proven { .. } => LoopbackStep::Send(self.send(now)),
            Stage::Subscribing { .. } | Stage::UnderWay { .. } | Stage::Refused => {
                LoopbackStep::Missed(self.missed(now))
            }
        })
    }

    fn missed(&mut self, now: Instant) -> Missed {
        self.stage = Stage::Pause { until: now + RETRY };
        if !self.was_seen {
            Missed::NeverSeen
        } else if !self.is_taken {
            Missed::Unanswered
        } else if self.is_lost {
            Missed::StillLost
        } else {
            self.is_lost = true;
            Missed::Lost
        }
    }

    fn send(&mut self, now: Instant) -> String {
        self.count += 1;
        self.is_taken = false;
        self.stage = Stage::UnderWay { since: now, until: now + DEADLINE };
        self.payload()
    }

    fn payload(&self) -> String {
        format!("{} {}", self.nonce, self.count)
    }

    /// Something came over its topic: how long it took if it is the one that is under way.
    pub fn came(&mut self, payload: &[u8], now: Instant) -> Option<Duration> {
        let Stage::UnderWay { since, .. } = self.stage else { return None };
        if payload != self.payload().as_bytes() {
            return None;
        }
        self.was_seen = true;
        self.is_lost = false;
        self.is_untaken = false;
        self.cut_off = 0;
        self.stage = Stage::Proven { until: now + INTERVAL };
        Some(now.saturating_duration_since(since))
    }

    /// An event came: a proof as good, and it may have stood before the test message in the queue.
    pub fn event_came(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Proven { until } => *until = now + INTERVAL,
            Stage::UnderWay { until, .. } => *until = (*until).max(now + DEADLINE),
            Stage::Subscribing { .. } | Stage::Refused | Stage::Pause { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Play {
        loopback: LoopbackProbe,
        began: Instant,
    }

    impl Play {
        fn new() -> Self {
            let began = Instant::now();
            let mut loopback = LoopbackProbe::new("n".into());
            loopback.connected(began);
            Self { loopback, began }
        }

        /// One whose first test message came back at the first second.
        fn proven() -> Self {
            let mut play = Self::new();
            play.granted(0);
            assert_eq!(play.due(0), sent(1));
            assert_eq!(play.came("n 1", 1), Some(Duration::from_secs(1)));
            play
        }

        fn at(&self, seconds: u64) -> Instant {
            self.began + Duration::from_secs(seconds)
        }

        fn due(&mut self, seconds: u64) -> Option<LoopbackStep> {
            let now = self.at(seconds);
            self.loopback.due(now)
        }

        fn came(&mut self, payload: &str, seconds: u64) -> Option<Duration> {
            let now = self.at(seconds);
            self.loopback.came(payload.as_bytes(), now)
        }

        fn granted(&mut self, seconds: u64) {
            let now = self.at(seconds);
            self.loopback.granted(now);
        }

        fn connected(&mut self, seconds: u64) {
            let now = self.at(seconds);
            self.loopback.connected(now);
        }

        fn event_came(&mut self, seconds: u64) {
            let now = self.at(seconds);
            self.loopback.event_came(now);
        }
    }

    fn sent(number: u64) -> Option<LoopbackStep> {
        Some(LoopbackStep::Send(format!("n {number}")))
    }

    fn missed(why: Missed) -> Option<LoopbackStep> {
        Some(LoopbackStep::Missed(why))
    }

    #[test]
    fn a_session_that_was_emptied_is_known_within_a_minute() {
        assert_eq!(Play::new().due(0), None, "before it is granted it might go nowhere");
        let mut play = Play::proven();
        assert_eq!(play.due(40), None);
        assert_eq!(play.due(41), sent(2));
        play.loopback.taken();
        assert_eq!(play.due(50), None);
        assert_eq!(play.due(51), missed(Missed::Lost), "and connects again");
        play.connected(52);
        play.granted(52);
        assert_eq!(play.due(52), sent(3));
        assert_eq!(play.came("n 2", 53), None, "the one before it proves nothing any more");
        assert!(play.came("n 3", 53).is_some());
    }

    #[test]
    fn a_broker_that_does_not_even_take_it_is_dead() {
        let mut play = Play::proven();
        assert_eq!(play.due(41), sent(2));
        assert_eq!(play.due(51), missed(Missed::Unanswered));
    }

    #[test]
    fn lost_test_messages_cause_a_single_reconnection() {
        let mut play = Play::proven();
        assert_eq!(play.due(41), sent(2));
        play.loopback.taken();
        assert_eq!(play.due(51), missed(Missed::Lost));
        play.connected(51);
        play.granted(51);
        for (number, second) in [(3, 51), (4, 91), (5, 131)] {
            assert_eq!(play.due(second), sent(number));
            play.loopback.taken();
            assert_eq!(play.due(second + 10), missed(Missed::StillLost));
            assert_eq!(play.due(second + 39), None);
        }
        assert_eq!(play.due(171), sent(6));
        assert!(play.came("n 6", 172).is_some());
        assert_eq!(play.due(212), sent(7));
    }

    #[test]
    fn missing_rights_cause_no_reconnection() {
        let mut play = Play::new();
        play.granted(0);
        for number in 1..5 {
            let second = (number - 1) * 40;
            assert_eq!(play.due(second), sent(number));
            play.loopback.taken();
            assert_eq!(play.due(second + 10), missed(Missed::NeverSeen));
            assert_eq!(play.due(second + 39), None);
        }
        assert_eq!(play.due(160), sent(5));
        let refused_at = play.at(161);
        play.loopback.untaken(refused_at);
        assert_eq!((play.due(190), play.due(191)), (None, sent(6)));
        play.loopback.unread();
        assert_eq!(play.due(9_999), None);
        play.granted(9_999);
        assert_eq!(play.due(9_999), sent(7));
    }

    #[test]
    fn a_test_message_that_ends_connections_is_paused() {
        let mut play = Play::new();
        for (second, is_why) in [(0, false), (1, true)] {
            play.granted(second);
            assert!(play.due(second).is_some());
            if is_why {
                let refused_at = play.at(second);
                play.loopback.untaken(refused_at); // a word of the broker's before it goes
            }
            assert_eq!(play.loopback.closed(), is_why);
            play.connected(second + 1);
        }
        play.granted(2);
        assert_eq!(play.due(601), None);
        assert!(!play.loopback.closed(), "something else ended it");
        play.connected(601);
        assert_eq!((play.due(1_200), play.due(1_201)), (None, sent(3)));
        assert!(play.loopback.closed(), "once is enough from now on");
        play.connected(1_202);
        assert_eq!((play.due(1_801), play.due(1_802)), (None, sent(4)));
        assert!(play.came("n 4", 1_802).is_some());
        assert!(!play.loopback.closed());
    }

    /// A backlog of a week stands before it in the queue: no alarm. Where events come by themselves nothing is sent.
    #[test]
    fn arriving_events_postpone_the_test_message() {
        let mut play = Play::proven();
        for second in 2..300 {
            play.event_came(second);
            assert_eq!(play.due(second), None);
        }
        assert_eq!(play.due(339), sent(2));
        play.loopback.taken();
        for second in 339..400 {
            play.event_came(second);
            assert_eq!(play.due(second), None);
        }
        assert_eq!(play.due(408), None);
        assert_eq!(play.due(409), missed(Missed::Lost));
    }

    #[test]
    fn what_an_earlier_process_or_another_gateway_sent_proves_nothing() {
        let mut play = Play::new();
        play.granted(0);
        assert_eq!(play.due(0), sent(1));
        for payload in ["m 1", "n 2", "", "n 11"] {
            assert_eq!(play.came(payload, 1), None, "{payload}");
        }
        assert!(play.came("n 1", 1).is_some());
        assert_eq!(play.came("n 1", 1), None, "a second copy of it is no second proof");
    }

    #[test]
    fn test_messages_are_known_by_their_topic() {
        for topic in ["bellwire/bellwire-bar/loopback", "bellwire/a/b/loopback"] {
            assert!(is_topic(topic), "{topic}");
        }
        for topic in ["bellwire/device/freezer/event", "site/bellwire/x/loopback", "bellwire/loopback/x"] {
            assert!(!is_topic(topic), "{topic}");
        }
    }
}
