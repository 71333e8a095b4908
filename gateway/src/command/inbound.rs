//! What a webhook said, in our words. `whatsapp` reads Meta's JSON into these.

use crate::alert::delivery::Refusal;
use crate::alert::state::State;
use crate::ids::Wamid;
use crate::time::Timestamp;

/// One thing that a webhook body said; a body may hold a thousand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    Status(Status),
    Reply(Reply),
    /// Stored, and nothing to do: an unknown type, an echo, a field that a later version reads. The text says what.
    Ignored(String),
}

/// What happened to a message of ours (`statuses[]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub wamid: Wamid,
    /// Our own thread back to the row, when Meta echoes it.
    pub callback: Option<String>,
    /// `None` for a word that we do not know yet.
    pub state: Option<State>,
    /// Meta's word.
    pub word: String,
    pub at: Timestamp,
    /// Why it failed.
    pub refusal: Option<Refusal>,
}

/// What a person wrote or tapped (`messages[]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub wamid: Wamid,
    /// Digits without `+`; missing for people who use a username (FACTS 3.6).
    pub from: Option<String>,
    /// The business-scoped user id.
    pub user_id: Option<String>,
    pub phone_number_id: String,
    pub at: Timestamp,
    /// The message of ours that it answers.
    pub quotes: Option<Wamid>,
    /// Not typed by the sender: never a command.
    pub forwarded: bool,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A reply button or list row (`interactive`), or a template's quick reply (`button`): our id comes back.
    Tap {
        id: String,
        title: String,
    },
    Text(String),
    Reaction {
        emoji: Option<String>,
    },
    /// A picture, a location, … that no rule reads yet; the text is Meta's type.
    Other(String),
}
