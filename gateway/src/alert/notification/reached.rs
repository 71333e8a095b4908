//! The last message about an alert that each person got.

use serde::{Deserialize, Serialize};

use crate::outbox::message_state::State;
use crate::time::Timestamp;

/// The last message about an alert to one person, and how far it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notified {
    pub at: Timestamp,
    pub reach: Reached,
    pub text: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    Failed,
    Sent,
    Delivered,
    Read,
}

impl Reached {
    #[must_use]
    pub fn of(state: State) -> Option<Self> {
        match state {
            State::Delivered => Some(Self::Delivered),
            State::Read | State::Played => Some(Self::Read),
            State::Failed | State::Expired | State::Cancelled => Some(Self::Failed),
            State::Queued | State::Sending | State::Unknown | State::Accepted | State::Sent | State::Held => {
                None
            }
        }
    }
}
