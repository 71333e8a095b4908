//! The next state of a message after an answer, a status or a restart. Pure tables; `scheduler` acts on them.

use std::time::Duration;

use crate::ids::{ConnectionName, Wamid};
use crate::outbox::api_error::trace;
pub use crate::outbox::api_error::{Class, Refusal, for_a_person, sentence};
use crate::outbox::message_state::{OnUnknown, State};
use crate::outbox::window::MessageForm;
use crate::random::{Rng, backoff};
use crate::time::Timestamp;
use crate::words::word_enum;

/// The meaning of the Cloud API's answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiAnswer {
    /// 200 with a message id.
    Accepted(AcceptedMessage),
    /// A Graph API error, of a known class.
    Refused(Refusal),
    /// No connection was made: nothing left this machine.
    Offline(String),
    /// Nobody was asked, for a reason of this machine's own: a sentence that says what to do.
    NotAsked(String),
    /// The request left and the answer did not come, or cannot be read: it may have gone out.
    Ambiguous { detail: String, http_status: Option<u16>, fbtrace_id: Option<String> },
}

impl ApiAnswer {
    /// The reason why nothing came of a request that was no message.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Accepted(_) => "the answer is one to a message".to_owned(),
            Self::Refused(refusal) => sentence(refusal),
            Self::Offline(detail) | Self::NotAsked(detail) | Self::Ambiguous { detail, .. } => detail.clone(),
        }
    }
}

/// Meta's answer for a message that it accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedMessage {
    pub wamid: Wamid,
    /// The number or user id to which it goes; a number may be spelled otherwise than it was given.
    pub to: Option<String>,
}

impl From<Wamid> for AcceptedMessage {
    fn from(wamid: Wamid) -> Self {
        Self { wamid, to: None }
    }
}

/// The next state of the message, and what follows for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub state: State,
    /// When a queued or unknown message is looked at again.
    pub not_before: Option<Timestamp>,
    /// A sentence for `outbox show`.
    pub reason: String,
    pub gate: Option<Gate>,
    pub learned: Option<Learned>,
    /// For a held message: what would let it go without a person's decision.
    pub held_for: Option<HeldFor>,
}

/// A fact that an answer tells beyond its own message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// The person has not written for 24 h, whatever we thought (131047).
    WindowClosed,
    /// This template cannot be used until the catalogue says otherwise.
    TemplateUnusable { name: String, language: String, code: i64 },
    /// Its files cannot be sent; without them it can.
    MediaRefused,
}

word_enum! {
    /// What a held message waits for.
    HeldFor {
        /// The person writes.
        Window = "window",
        /// The person asks for messages again.
        Consent = "consent",
        /// The month's budget has room again.
        Budget = "budget",
        /// The number's restriction (131048, 131064) and an operator's `retry`: nothing is tried again by itself.
        Quality = "quality",
        /// An operator's `retry` or `cancel`; nothing else moves it.
        Operator = "operator",
        /// An operator's `restore --release`: another copy of the gateway may have sent it.
        Restore = "restore",
    }
}

impl Next {
    /// Settled there, with nothing else to do.
    #[must_use]
    pub fn to(state: State, reason: impl Into<String>) -> Self {
        Self { state, not_before: None, reason: reason.into(), gate: None, learned: None, held_for: None }
    }

    /// After a copy over a number that the message has left: what that one did not let go, or not yet, says nothing of this one.
    #[must_use]
    pub fn over_another(self, over: &ConnectionName) -> Self {
        let is_of_number = match self.held_for {
            Some(HeldFor::Window | HeldFor::Quality) => true,
            Some(HeldFor::Consent | HeldFor::Budget | HeldFor::Operator | HeldFor::Restore) | None => {
                self.state == State::Queued
            }
        };
        match is_of_number {
            true => Self::to(State::Queued, format!("{}; it leaves over {over} now", self.reason)),
            false => self,
        }
    }
}

/// Something that makes other messages wait too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Nothing leaves over this connection until then.
    Connection { until: Timestamp, reason: String },
    /// Nothing that is as severe or less leaves over this connection until then.
    Severity { until: Timestamp },
    /// Nothing leaves to this recipient until then.
    Pair { until: Timestamp },
}

impl Gate {
    #[must_use]
    pub fn until(&self) -> Timestamp {
        match self {
            Self::Connection { until, .. } | Self::Severity { until } | Self::Pair { until } => *until,
        }
    }
}

/// The time that an ambiguous send waits for the status that would settle it. docs/cloud-api.md 4.1: "wait a few
/// seconds".
pub const UNKNOWN_GRACE: Duration = Duration::from_secs(15);
/// A refused token or account is tried again with one message this often; the token file is read anew each time.
pub const PROBE_EVERY: Duration = Duration::from_secs(60);
/// Back on line within 30 s of the line (docs/reliability.md F35).
const OFFLINE_LIMIT: Duration = Duration::from_secs(30);
/// docs/cloud-api.md 4.2: codes 4, 17, 341, 613, 80007 back off up to an hour.
const THROTTLE_LIMIT: Duration = Duration::from_secs(3_600);
/// docs/cloud-api.md 4.2: 131049 must not be sent again within 24 h.
const LIMIT_WAIT: Duration = Duration::from_secs(24 * 3_600);
/// docs/cloud-api.md 4.2: 131048, retrying makes it worse: hours, by hand.
pub const QUALITY_WAIT: Duration = Duration::from_secs(6 * 3_600);
/// Codes 1 and 131000: "few tries"; then a person looks.
const SERVER_TRIES: u32 = 5;
/// A hub says how long; one that does not is asked again so soon.
const HUB_WAIT: Duration = Duration::from_secs(2);
/// A code that is not in the table: permanent after two more tries (docs/cloud-api.md 4.2, last line).
const UNKNOWN_CODE_TRIES: u32 = 3;

/// The failures so far, this one included; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureCount {
    /// Requests for this message that may have been sent, or were refused with a code that nobody knows. Those that
    /// provably were not sent (no connection, throttled, token refused) do not use up its tries.
    pub tries: u32,
    /// Failures in a row of whatever has to wait: the connection, or for the pair limit the recipient.
    pub streak: u32,
}

/// The message that an answer or a status is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageCase {
    pub count: FailureCount,
    pub on_unknown: OnUnknown,
    /// In which form it went out last.
    pub form: MessageForm,
    /// Templates that may be sent instead of words.
    pub templates: usize,
    /// Whether it carries a file.
    pub has_media: bool,
    /// When it is too old to be worth sending.
    pub expires_at: Timestamp,
}

/// The next state after an answer.
#[must_use]
pub fn after_answer(answer: &ApiAnswer, case: &MessageCase, now: Timestamp, dice: &mut Rng) -> Next {
    let count = case.count;
    let mut not_sent = |reason: String| {
        let until = now + dice.jitter(backoff(Duration::from_secs(1), OFFLINE_LIMIT, count.streak));
        wait(until, reason.clone(), Some(Gate::Connection { until, reason }))
    };
    match answer {
        ApiAnswer::Accepted(_) => Next::to(State::Accepted, "Meta accepted it; waiting for the receipt"),
        ApiAnswer::Refused(refusal) => in_time(after_refusal(refusal, case, now, dice), case.expires_at),
        ApiAnswer::Offline(detail) => {
            not_sent(format!("no connection to the Cloud API: {detail}; it goes out when the line is back"))
        }
        ApiAnswer::NotAsked(why) => not_sent(why.clone()),
        ApiAnswer::Ambiguous { detail, http_status, fbtrace_id } => {
            let status = http_status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
            let what = format!("{detail}{status}{}", trace(fbtrace_id.as_deref()));
            unknown(&what, count.tries, case.on_unknown, now)
        }
    }
}

/// Tried again means before it expires: what would wait for longer ends now, so that somebody hears of it while there is
/// time. A gate that it closes stays closed for the others.
fn in_time(next: Next, expires_at: Timestamp) -> Next {
    match (next.state, next.not_before) {
        (State::Queued, Some(until)) if until >= expires_at => {
            let reason = format!(
                "{}; it is given up now, since it expires before it could be tried again",
                next.reason
            );
            Next { state: State::Failed, not_before: None, reason, ..next }
        }
        (State::Unknown, Some(until)) if until > expires_at => Next { not_before: Some(expires_at), ..next },
        _ => next,
    }
}

fn after_refusal(refusal: &Refusal, case: &MessageCase, now: Timestamp, dice: &mut Rng) -> Next {
    let (said, count) = (sentence(refusal), case.count);
    let pause =
        |until: Timestamp| wait(until, said.clone(), Some(Gate::Connection { until, reason: said.clone() }));
    match refusal.class {
        Class::Auth | Class::Permission | Class::Account | Class::Registration | Class::Config => {
            // The gate alone holds it back: when a person has put it right, the gate opens early.
            Next { not_before: None, ..pause(now + PROBE_EVERY) }
        }
        Class::Throttle => {
            let own = dice.jitter(backoff(Duration::from_secs(2), THROTTLE_LIMIT, count.streak));
            pause(now + refusal.retry_after.unwrap_or(own).min(THROTTLE_LIMIT))
        }
        Class::HubThrottle => {
            let until = now + refusal.retry_after.unwrap_or(HUB_WAIT);
            wait(until, said, Some(Gate::Severity { until }))
        }
        Class::Maintenance => pause(now + dice.jitter(Duration::from_secs(60)).max(Duration::from_secs(20))),
        Class::PairThrottle => {
            // 4^X seconds, X = 0, 1, 2 … (Meta, "Pair rate limits"), an hour at most; a hub, which counts, says when.
            let seconds = 4_u64.saturating_pow(count.streak.saturating_sub(1).min(6)).min(3_600);
            let until = now + refusal.retry_after.unwrap_or(Duration::from_secs(seconds));
            wait(until, said, Some(Gate::Pair { until }))
        }
        Class::Limit => wait(now + refusal.retry_after.unwrap_or(LIMIT_WAIT), said, None),
        Class::Quality => {
            let until = now + QUALITY_WAIT;
            let gate = Gate::Connection { until, reason: said.clone() };
            Next { gate: Some(gate), held_for: Some(HeldFor::Quality), ..Next::to(State::Held, said) }
        }
        Class::ServerAmbiguous if count.tries >= SERVER_TRIES => Next::to(
            State::Held,
            format!("{said}; {} tries failed, `bellwire outbox retry` sends it again", count.tries),
        ),
        Class::ServerAmbiguous => unknown(&said, count.tries, case.on_unknown, now),
        Class::Unknown if count.tries < UNKNOWN_CODE_TRIES => {
            wait(now + dice.jitter(backoff(Duration::from_secs(5), OFFLINE_LIMIT, count.tries)), said, None)
        }
        Class::Window => outside_the_window(said, case),
        Class::Template => without_this_template(said, refusal.code, case),
        Class::Media if case.has_media => Next {
            learned: Some(Learned::MediaRefused),
            ..Next::to(State::Queued, format!("{said}; it is sent again without its file"))
        },
        Class::Unknown | Class::Request | Class::Recipient | Class::Media => Next::to(State::Failed, said),
    }
}

/// The gate that a failure which came as a status closes for other messages: a number that is restricted, a person who
/// gets too many.
#[must_use]
pub fn gate_of(refusal: &Refusal, streak: u32, now: Timestamp, dice: &mut Rng) -> Option<Gate> {
    let count = FailureCount { tries: 1, streak };
    let (on_unknown, form, expires_at) = (OnUnknown::Hold, MessageForm::Free, Timestamp(i64::MAX));
    let case = MessageCase { count, on_unknown, form, templates: 0, has_media: false, expires_at };
    after_refusal(refusal, &case, now, dice).gate
}

/// 131047. A template may go out at any time, so it is sent once instead; without one the person has to write first.
fn outside_the_window(said: String, case: &MessageCase) -> Next {
    let next = match (&case.form, case.templates) {
        (MessageForm::Template { .. }, _) => return Next::to(State::Failed, said),
        (MessageForm::Free, 0) => {
            let reason = format!("{said}; it goes out as soon as the person writes to this number");
            Next { held_for: Some(HeldFor::Window), ..Next::to(State::Held, reason) }
        }
        (MessageForm::Free, _) => Next::to(State::Queued, format!("{said}; its template is sent instead")),
    };
    Next { learned: Some(Learned::WindowClosed), ..next }
}

/// The next template that is configured takes over; each is tried once, so this ends.
fn without_this_template(said: String, code: i64, case: &MessageCase) -> Next {
    let MessageForm::Template { name, language } = case.form.clone() else {
        return Next::to(State::Failed, said);
    };
    let next = Next::to(State::Queued, format!("{said}; the template {name} ({language}) is put aside"));
    Next { learned: Some(Learned::TemplateUnusable { name, language, code }), ..next }
}

/// Whether an answer uses up one of the message's tries.
#[must_use]
pub fn counts(answer: &ApiAnswer) -> bool {
    match answer {
        ApiAnswer::Accepted(_) | ApiAnswer::Ambiguous { .. } => true,
        ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_) => false,
        ApiAnswer::Refused(refusal) => matches!(refusal.class, Class::ServerAmbiguous | Class::Unknown),
    }
}

/// The next state of a message that was `sending` when the process died, or whose answer was lost.
#[must_use]
pub fn unknown(what: &str, tries: u32, on_unknown: OnUnknown, now: Timestamp) -> Next {
    // The grace time doubles, so that a Meta that answers nothing for an hour is not asked every 15 s.
    let until = now + backoff(UNKNOWN_GRACE, Duration::from_secs(15 * 60), tries);
    let then = match on_unknown {
        OnUnknown::Retry => "if none comes it is sent again and may arrive twice",
        OnUnknown::Hold => "if none comes it is held for a person to decide",
    };
    Next {
        state: State::Unknown,
        not_before: Some(until),
        reason: format!("sent or not is not known: {what}; waiting for a status from Meta, {then}"),
        gate: None,
        learned: None,
        held_for: None,
    }
}

/// The next state of an unknown message when its grace time is over.
#[must_use]
pub fn after_grace(on_unknown: OnUnknown, now: Timestamp) -> Next {
    match on_unknown {
        OnUnknown::Retry => {
            wait(now, "no status came after a lost answer; sending again, it may arrive twice".into(), None)
        }
        OnUnknown::Hold => Next::to(
            State::Held,
            "no status came after a lost answer; `bellwire outbox retry` sends it again, `cancel` gives it up",
        ),
    }
}

/// The next state after a status that may move the message. A failure that comes this way is judged like one in an
/// answer (many codes come in either form, docs/cloud-api.md 1.5), except that the message surely did not arrive:
/// nothing is ambiguous.
#[must_use]
pub fn after_status(
    to: State,
    refusal: Option<&Refusal>,
    case: &MessageCase,
    now: Timestamp,
    dice: &mut Rng,
) -> Next {
    let Some(refusal) = refusal.filter(|_| to == State::Failed) else {
        return Next::to(to, format!("WhatsApp reports: {}", to.as_str()));
    };
    let count = case.count;
    let next = after_refusal(refusal, case, now, dice);
    match next.state {
        State::Unknown if count.tries > 1 => Next::to(State::Failed, sentence(refusal)),
        // No gate: nobody refused.
        State::Unknown => {
            in_time(Next { state: State::Queued, reason: sentence(refusal), ..next }, case.expires_at)
        }
        State::Queued if count.tries >= SERVER_TRIES => Next::to(State::Failed, sentence(refusal)),
        State::Queued
        | State::Sending
        | State::Accepted
        | State::Sent
        | State::Delivered
        | State::Read
        | State::Played
        | State::Failed
        | State::Expired
        | State::Cancelled
        | State::Held => {
            let until = next.gate.as_ref().map(Gate::until).filter(|_| next.state == State::Queued);
            in_time(Next { gate: None, not_before: next.not_before.or(until), ..next }, case.expires_at)
        }
    }
}

fn wait(until: Timestamp, reason: String, gate: Option<Gate>) -> Next {
    Next { not_before: Some(until), gate, ..Next::to(State::Queued, reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn case(tries: u32, streak: u32) -> MessageCase {
        let count = FailureCount { tries, streak };
        let expires_at = NOW + Duration::from_secs(48 * 3_600);
        MessageCase {
            count,
            on_unknown: OnUnknown::Retry,
            form: MessageForm::Free,
            templates: 0,
            has_media: false,
            expires_at,
        }
    }

    fn refusal(class: Class) -> Refusal {
        Refusal {
            code: 1,
            class,
            details: "details".into(),
            fbtrace_id: None,
            http_status: None,
            advice: String::new(),
            retry_after: None,
        }
    }

    /// In how many seconds it is looked at again; below zero before now.
    fn seconds(until: Option<Timestamp>) -> Option<i64> {
        until.map(|until| (until.0 - NOW.0) / 1_000)
    }

    #[test]
    fn each_class_has_its_state_and_its_wait() {
        use State::{Failed, Held, Queued, Unknown};
        // At each row: tries, streak; the state, the bounds of the wait, and of the gate.
        let check = |class, (tries, streak), state, wait: Option<(i64, i64)>, gate: Option<(i64, i64)>| {
            for seed in 0..50 {
                let answer = ApiAnswer::Refused(refusal(class));
                let next = after_answer(&answer, &case(tries, streak), NOW, &mut Rng::seeded(seed));
                let gate_until = next.gate.as_ref().map(Gate::until);
                assert_eq!((next.state, next.not_before.is_some()), (state, wait.is_some()), "{class:?}");
                for (found, bounds) in [(next.not_before, wait), (gate_until, gate)] {
                    let (found, bounds) = (seconds(found), bounds.unwrap_or_default());
                    assert!(
                        found.is_none_or(|at| (bounds.0..=bounds.1).contains(&at)),
                        "{class:?}: {found:?}"
                    );
                }
                assert_eq!(gate_until.is_some(), gate.is_some(), "{class:?}");
                let held_for = (class == Class::Quality).then_some(HeldFor::Quality);
                assert_eq!(next.held_for.filter(|_| class != Class::Window), held_for, "{class:?}");
            }
        };
        check(Class::Auth, (1, 1), Queued, None, Some((60, 60)));
        check(Class::Throttle, (1, 4), Queued, Some((4, 16)), Some((4, 16)));
        check(Class::Throttle, (1, 30), Queued, Some((900, 3_600)), Some((900, 3_600)));
        check(Class::Maintenance, (1, 1), Queued, Some((20, 60)), Some((20, 60)));
        check(Class::PairThrottle, (1, 3), Queued, Some((16, 16)), Some((16, 16)));
        check(Class::PairThrottle, (1, 30), Queued, Some((3_600, 3_600)), Some((3_600, 3_600)));
        check(Class::Limit, (1, 1), Queued, Some((86_400, 86_400)), None);
        check(Class::Quality, (1, 1), Held, None, Some((21_600, 21_600)));
        check(Class::ServerAmbiguous, (1, 1), Unknown, Some((15, 15)), None);
        check(Class::ServerAmbiguous, (4, 1), Unknown, Some((120, 120)), None);
        check(Class::ServerAmbiguous, (5, 1), Held, None, None);
        check(Class::Unknown, (2, 1), Queued, Some((2, 10)), None);
        check(Class::Unknown, (3, 1), Failed, None, None);
        check(Class::Window, (1, 1), Held, None, None);
        check(Class::Media, (1, 1), Failed, None, None);
        check(Class::Recipient, (1, 1), Failed, None, None);
        let slow = Refusal { retry_after: Some(Duration::from_secs(90)), ..refusal(Class::Throttle) };
        let next = after_answer(&ApiAnswer::Refused(slow), &case(1, 1), NOW, &mut Rng::seeded(1));
        assert_eq!(seconds(next.not_before), Some(90));
        let by_a_hub = Refusal { retry_after: Some(Duration::from_secs(6)), ..refusal(Class::PairThrottle) };
        let next = after_answer(&ApiAnswer::Refused(by_a_hub), &case(1, 9), NOW, &mut Rng::seeded(1));
        assert_eq!(seconds(next.not_before), Some(6));
        let next = after_answer(&ApiAnswer::Offline("x".into()), &case(1, 3), NOW, &mut Rng::seeded(1));
        assert!(seconds(next.not_before).is_some_and(|at| (1..=4).contains(&at)) && next.gate.is_some());
        let why = "the number `bar` is not connected; connect it on the page under Setup";
        let next = after_answer(&ApiAnswer::NotAsked(why.into()), &case(1, 3), NOW, &mut Rng::seeded(1));
        assert_eq!((next.reason.as_str(), next.gate.is_some()), (why, true), "it is no matter of the line");
    }

    #[test]
    fn ambiguous_attempts_back_off_and_count() {
        let wait = |tries| seconds(unknown("x", tries, OnUnknown::Hold, NOW).not_before);
        assert_eq!([1, 2, 6, 7, 30].map(wait), [15, 30, 480, 900, 900].map(Some));
        let ambiguous = ApiAnswer::Ambiguous { detail: "x".into(), http_status: None, fbtrace_id: None };
        for (answer, expected) in [
            (ApiAnswer::Accepted(Wamid("x".into()).into()), true),
            (ambiguous, true),
            (ApiAnswer::Offline("x".into()), false),
            (ApiAnswer::Refused(refusal(Class::ServerAmbiguous)), true),
            (ApiAnswer::Refused(refusal(Class::Unknown)), true),
            (ApiAnswer::Refused(refusal(Class::Throttle)), false),
        ] {
            assert_eq!(counts(&answer), expected, "{answer:?}");
        }
    }

    /// A failure that comes as a status: it surely did not arrive, so it is sent again, but not for ever.
    #[test]
    fn a_failed_status_is_retried_but_not_for_ever() {
        use State::{Failed, Held, Queued};
        let check = |class, tries, state, wait: Option<i64>| {
            let told = refusal(class);
            let next =
                after_status(State::Failed, Some(&told), &case(tries, tries), NOW, &mut Rng::seeded(1));
            assert_eq!(
                (next.state, seconds(next.not_before), next.gate),
                (state, wait, None),
                "{class:?} {tries}"
            );
            if class == Class::ServerAmbiguous {
                assert_eq!(next.reason, sentence(&told));
            }
        };
        check(Class::ServerAmbiguous, 1, Queued, Some(15));
        check(Class::ServerAmbiguous, 2, Failed, None);
        check(Class::Auth, 1, Queued, Some(60));
        check(Class::PairThrottle, 4, Queued, Some(64));
        check(Class::PairThrottle, 5, Failed, None);
        check(Class::Quality, 1, Held, None);
        check(Class::Recipient, 1, Failed, None);
        let read =
            after_status(State::Read, Some(&refusal(Class::Auth)), &case(1, 1), NOW, &mut Rng::seeded(1));
        assert_eq!((read.state, read.gate), (State::Read, None));
    }
}
