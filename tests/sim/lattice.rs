//! Which states may follow each other, seen from outside.

use bellwire::outbox::message_state::State;

use crate::meta::Taken;
use crate::rows::Row;

/// The furthest that Meta will report for a row; `None` when a failure makes that a matter of order.
pub fn furthest(taken: &[&Taken]) -> Option<State> {
    let words = || taken.iter().flat_map(|taken| taken.words.iter());
    let seen = |word: &str| words().any(|found| *found == word);
    let reports = [("played", State::Played), ("read", State::Read), ("delivered", State::Delivered)];
    let sent = (seen("sent") && !seen("failed")).then_some(State::Sent);
    reports.into_iter().find(|(word, _)| seen(word)).map(|(_, state)| state).or(sent)
}

/// What a server that fails is asked before a person looks.
const SERVER_TRIES: i64 = 5;

/// It waits for the person to write, or to want messages again. A restricted number and an operator let nothing go by
/// themselves.
fn goes_on_by_itself(held: &Row) -> bool {
    ["window", "consent"].contains(&held.held_for)
}

/// How reasons begin with which a later message about the same alert cancels one that waits.
const OVERTAKEN: [&str; 2] = ["over before", "it had not left when the next one"];

/// What else is known of a change.
#[derive(Clone, Copy)]
pub struct Why {
    /// Meta reports that a copy failed.
    pub fails: bool,
    /// After it was sent.
    pub fails_late: bool,
    pub operated: bool,
    pub expired: bool,
    /// A bit of it was flipped on disk.
    pub damaged: bool,
    /// What carries it must not come twice.
    pub is_once: bool,
    /// The configuration has no place for it any more: a start found that, or its failure, which came after the start.
    pub is_unmeant: bool,
}

/// The legal ways in one look, which may see several commits at once. `outbox::message_state` draws them.
pub fn may_follow(old: &Row, new: &Row, why: Why) -> bool {
    use State::{
        Accepted, Cancelled, Delivered, Expired, Failed, Held, Played, Queued, Read, Sending, Sent, Unknown,
    };
    match (old.state, new.state) {
        (from, to) if from == to => true,
        // A receipt proves it, whatever we believed; what was delivered has been delivered.
        (Delivered, Read | Played) | (Read, Played) => true,
        (Delivered | Read | Played, _) => false,
        (_, Sent | Delivered | Read | Played) => true,
        // Its number is gone: what that one held says nothing of another.
        (Held, Queued | Sending) if old.connection != new.connection => true,
        (Queued, Sending) => true,
        (_, Sending) => may_follow(old, &Row { state: Queued, ..new.clone() }, why), // by way of `queued`, in one commit
        (Queued, Failed) => why.fails,
        (Queued, Held) => why.fails || why.operated || why.damaged || goes_on_by_itself(new),
        (Held, Queued) if goes_on_by_itself(old) => true,
        (Held, Expired) if goes_on_by_itself(old) || why.fails => why.expired, // by way of `queued`
        (Queued | Sending | Unknown, Expired) => why.expired,
        (Sending, Accepted | Unknown | Queued | Failed) => true,
        // Refused in a way that waits for somebody, or that was tried often enough.
        (Sending, Held) => {
            let refused = goes_on_by_itself(new) || new.held_for == "quality";
            // By way of `unknown`, in one commit, when the answer had to wait for a full disk for longer than the grace time.
            refused || why.fails || why.damaged || why.is_once || new.attempts >= SERVER_TRIES
        }
        (Unknown, Queued) => true,
        (Unknown, Held) => why.is_once || goes_on_by_itself(new) || why.fails || why.operated || why.damaged,
        (Unknown, Failed) => why.fails,
        (Accepted | Sent, Failed | Queued | Held) => why.fails,
        // One copy was sent and failed; of the next it is not known.
        (Sent, Unknown) => why.fails,
        (Accepted | Sent, Expired) => why.fails && why.expired, // by way of `queued`
        (Held, Failed) => why.fails,
        // What was held because it might come twice has surely not come: it may be tried again.
        (Held, Queued) if why.fails => why.operated || !old.reason.starts_with("an operator"),
        // One look may see that a copy of it was sent, and failed.
        (Expired | Failed, Queued | Held) if why.fails_late => true, // and perhaps too old, so that it expires again
        (Cancelled, Held) => why.fails && new.reason.starts_with("it was stopped"),
        // It was over before it could leave (promise P9), or the next step of its alert says more.
        (Queued | Sending | Held, Cancelled) if OVERTAKEN.iter().any(|why| new.reason.starts_with(why)) => {
            may_follow(old, &Row { state: Queued, ..new.clone() }, why) // by way of `queued`, in one commit
        }
        // At a start, where what was under way is not known to have come.
        (Queued | Sending | Unknown | Held, Cancelled) if why.is_unmeant => true,
        (Accepted | Sent | Failed | Expired, Cancelled) if why.is_unmeant => why.fails, // by way of `queued`
        (Queued | Unknown | Held, Cancelled) | (Failed | Held | Expired | Cancelled, Queued) => why.operated,
        (
            Queued | Sending | Unknown | Accepted | Sent | Failed | Expired | Cancelled | Held,
            Queued | Unknown | Accepted | Failed | Expired | Cancelled | Held,
        ) => false,
    }
}
