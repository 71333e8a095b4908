//! The states of a message, and the receipts that may move it.
//!
//! ```text
//! queued ─▶ sending ─▶ accepted ─▶ sent ─▶ delivered ─▶ read ─▶ played
//!    ▲         │  └──▶ unknown ──▶ queued again (on_unknown = "retry") or held
//!    └─retry───┴─────▶ failed · held · expired · cancelled
//! ```

use crate::words::word_enum;

word_enum! {
    /// Where a message stands. The order down to `Played` is the one in which receipts may move it, never back.
    State {
        /// Waiting for its turn or its next attempt.
        Queued = "queued",
        /// A request is, or was at a crash, under way.
        Sending = "sending",
        /// Sent or not? The answer was lost; a status may still tell (promise P8).
        Unknown = "unknown",
        /// Meta took it and gave it an id; nothing more is known.
        Accepted = "accepted",
        Sent = "sent",
        Delivered = "delivered",
        Read = "read",
        /// A voice message was listened to.
        Played = "played",
        /// Refused for good.
        Failed = "failed",
        /// Too old to be worth sending.
        Expired = "expired",
        /// It should not go: a person decided so, or what it was about is over or gone.
        Cancelled = "cancelled",
        /// Waits for a person's decision, or for what it was held for (`HeldFor`): a window, a budget, START.
        Held = "held",
    }
}

word_enum! {
    /// What to do when it is not known whether a message went out.
    OnUnknown {
        /// Send again after the grace time: for alarms a second copy is better than none.
        Retry = "retry",
        /// Wait for a person: for what must not come twice.
        Hold = "hold",
    }
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
            let found: Vec<State> = State::ALL.into_iter().filter(|to| may_move(from, *to)).collect();
            assert_eq!(found, expected, "from {}", from.as_str());
        }
    }
}
