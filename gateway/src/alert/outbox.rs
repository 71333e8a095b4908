//! The rows that the sender and the store speak about.

use crate::alert::message::Content;
use crate::alert::rule::Severity;
use crate::alert::state::{OnUnknown, State};
use crate::contact::Recipient;
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId, Wamid};
use crate::time::Timestamp;

/// A message that may go out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub id: MessageId,
    pub lane: Lane,
    pub to: Recipient,
    pub content: Content,
    pub alert: Option<AlertId>,
    pub severity: Severity,
    /// Requests made before.
    pub attempts: u32,
    /// Those that count against its limit of tries.
    pub tries: u32,
    pub on_unknown: OnUnknown,
}

/// Messages to one person over one connection leave one at a time, so that they arrive in the order of their story:
/// Meta keeps no order between requests that overlap (FACTS 1.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    pub connection: ConnectionName,
    pub contact: ContactId,
}

/// What the store found when asked for work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// The head of each lane that is not closed, most severe first, then oldest.
    pub due: Vec<Due>,
    /// When the next waiting message wants to be looked at.
    pub next_at: Option<Timestamp>,
}

/// What the store is asked to write about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A request is about to leave. Committed before the first byte does (promise P3).
    Sending { id: MessageId, attempt: u32, at: Timestamp },
    /// The answer, and what follows from it.
    Settled {
        id: MessageId,
        attempt: u32,
        /// Whether it counts against the limit of tries.
        counts: bool,
        at: Timestamp,
        state: State,
        not_before: Option<Timestamp>,
        reason: String,
        wamid: Option<Wamid>,
        code: Option<i64>,
        http_status: Option<u16>,
        fbtrace_id: Option<String>,
    },
}
