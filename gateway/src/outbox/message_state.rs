//! Where a message stands, and which receipts may move it.
//!
//! ```text
//! queued ─▶ sending ─▶ accepted ─▶ sent ─▶ delivered ─▶ read ─▶ played
//!    ▲         │  └──▶ unknown ──▶ queued again (on_unknown = "retry") or held
//!    └─retry───┴─────▶ failed · held · expired · cancelled
//! ```

/// Where a message stands. The order of the first seven is the order in which receipts may move it, never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Waiting for its turn or its next attempt.
    Queued,
    /// A request is, or was at a crash, under way.
    Sending,
    /// Sent or not? The answer was lost; a status may still tell (promise P8).
    Unknown,
    /// Meta took it and gave it an id; nothing more is known.
    Accepted,
    Sent,
    Delivered,
    Read,
    /// A voice message was listened to.
    Played,
    /// Refused for good.
    Failed,
    /// Too old to be worth sending.
    Expired,
    /// A person decided that it should not go.
    Cancelled,
    /// Waits for a person's decision.
    Held,
}

/// Every state, for tables and tests.
pub const STATES: [State; 12] = [
    State::Queued,
    State::Sending,
    State::Unknown,
    State::Accepted,
    State::Sent,
    State::Delivered,
    State::Read,
    State::Played,
    State::Failed,
    State::Expired,
    State::Cancelled,
    State::Held,
];

/// What to do when it is not known whether a message went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Send again after the grace time: for alarms a second copy is better than none.
    Retry,
    /// Wait for a person: for what must not come twice.
    Hold,
}

/// Whether a status moves the message: only forward, and never out of an end that is not `failed`'s business.
/// Receipts may come in any order (Meta: "order is not guaranteed"), `read` without `delivered` included.
#[must_use]
pub fn may_move(from: State, to: State) -> bool {
    match (from, to) {
        // A failure may follow `accepted` and `sent`, but what was delivered has been delivered.
        (
            State::Accepted | State::Sent | State::Unknown | State::Sending | State::Queued | State::Held,
            State::Failed,
        ) => true,
        (_, State::Failed) => false,
        // A receipt proves that it went out, whatever we believed.
        (
            State::Failed | State::Expired | State::Cancelled | State::Held | State::Queued,
            State::Sent | State::Delivered | State::Read | State::Played,
        ) => true,
        (_, State::Sent | State::Delivered | State::Read | State::Played) => to > from,
        (
            _,
            State::Queued
            | State::Sending
            | State::Unknown
            | State::Accepted
            | State::Expired
            | State::Cancelled
            | State::Held,
        ) => false,
    }
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Held => "held",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        STATES.into_iter().find(|state| state.as_str() == text)
    }
}

impl OnUnknown {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Retry, Self::Hold].into_iter().find(|policy| policy.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_move_a_message_forward_and_never_back() {
        use State::{
            Accepted, Cancelled, Delivered, Expired, Failed, Held, Played, Queued, Read, Sending, Sent,
            Unknown,
        };
        // From each state, what a receipt may make of it: nothing else.
        let table: [(State, &[State]); 12] = [
            (Queued, &[Sent, Delivered, Read, Played, Failed]),
            (Sending, &[Sent, Delivered, Read, Played, Failed]),
            (Unknown, &[Sent, Delivered, Read, Played, Failed]),
            (Accepted, &[Sent, Delivered, Read, Played, Failed]),
            (Sent, &[Delivered, Read, Played, Failed]),
            (Delivered, &[Read, Played]),
            (Read, &[Played]),
            (Played, &[]),
            (Failed, &[Sent, Delivered, Read, Played]),
            (Expired, &[Sent, Delivered, Read, Played]),
            (Cancelled, &[Sent, Delivered, Read, Played]),
            (Held, &[Sent, Delivered, Read, Played, Failed]),
        ];
        for (from, expected) in table {
            let found: Vec<State> = STATES.into_iter().filter(|to| may_move(from, *to)).collect();
            assert_eq!(found, expected, "from {}", from.as_str());
        }
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        for state in STATES {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("lost"), None);
        for policy in [OnUnknown::Retry, OnUnknown::Hold] {
            assert_eq!(OnUnknown::parse(policy.as_str()), Some(policy));
        }
        assert_eq!((OnUnknown::Retry.as_str(), OnUnknown::parse("later")), ("retry", None));
    }
}
