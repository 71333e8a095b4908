//! The content of webhooks, in our words. `whatsapp` reads Meta's JSON into these.

use crate::contact::Phone;
use crate::contact::severity::Severity;
use crate::ids::Wamid;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Refusal;
use crate::time::Timestamp;
use crate::words::word_enum;

word_enum! {
    /// Where a webhook body stands.
    InboxState {
        New = "new",
        Done = "done",
        /// The database refused what follows from it.
        Failed = "failed",
        /// Its bytes are not those that came.
        Damaged = "damaged",
    }
}

/// One thing that a webhook body said; a body may hold a thousand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    Status(Status),
    Reply(InboundMessage),
    Notice(AccountNotice),
    /// Somebody has another number, user id or phone.
    Moved(Moved),
    /// Somebody wants marketing messages of this business, or none.
    Preference(Preference),
    /// A message that came before this one in its body has a file.
    File(NewFile),
    /// Stored, and nothing to do: an unknown type, an echo, a field that a later version reads. The text says what.
    Ignored(String),
}

impl InboundMessage {
    /// It belongs to a call: a recording that a caller left, not a message that can be shown as read.
    #[must_use]
    pub fn is_of_call(&self) -> bool {
        self.wamid.0.starts_with(OF_CALL)
    }
}

/// The beginning of ids of calls; those of messages begin with `wamid.` (Meta, calling webhooks).
pub const OF_CALL: &str = "wacid.";

impl Inbound {
    /// The word in metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Reply(_) => "message",
            Self::Notice(_) => "notice",
            Self::Moved(_) => "moved",
            Self::Preference(_) => "preference",
            Self::File(_) => "file",
            Self::Ignored(_) => "other",
        }
    }
}

/// A notice of Meta about the account, a number or a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountNotice {
    /// The phone number that it concerns where Meta names it, or else the business account.
    pub account: Option<String>,
    /// When it was so, as Meta says; webhooks come in any order. `None`: Meta does not say, or it is a notice of our own.
    pub at: Option<Timestamp>,
    /// Meta's name of the webhook field.
    pub field: String,
    /// From `Warning` on the owner is told.
    pub severity: Severity,
    /// A sentence.
    pub text: String,
    /// Facts about the account from now on, by name; one without a value holds no longer.
    pub facts: Vec<(String, String)>,
    /// Name, language and what became of it.
    pub template: Option<(String, String, TemplateNews)>,
}

impl AccountNotice {
    /// Of our own: words under a heading.
    #[must_use]
    pub fn of(field: String, severity: Severity, text: String) -> Self {
        Self { account: None, at: None, field, severity, text, facts: Vec::new(), template: None }
    }
}

/// WhatsApp's notice of a person who moved (docs/cloud-api.md 3.6). It is no message of theirs: it opens no window, and
/// rights follow only when a person of ours says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub phone_number_id: String,
    /// Since when, as Meta says.
    pub at: Timestamp,
    /// The number until now, digits without `+`.
    pub from: Option<String>,
    /// The user id until now.
    pub user_id: Option<String>,
    pub what: IdentityChange,
}

/// A person's wish about marketing messages, as told to WhatsApp. An alarm should be utility, but Meta may make its
/// template marketing, and then refuses it for whoever wants none (131050).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    pub phone_number_id: String,
    /// Digits without `+`.
    pub from: Option<String>,
    pub user_id: Option<String>,
    pub wants: bool,
    /// As Meta says.
    pub at: Timestamp,
}

/// A picture, sound or document of a person; Meta keeps it for 7 days (docs/cloud-api.md 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub wamid: Wamid,
    pub phone_number_id: String,
    pub media_id: String,
    /// `image`, `video`, `audio`, `document`, `sticker`.
    pub kind: String,
    pub mime: String,
    /// The name that its sender gave it.
    pub name: Option<String>,
    /// Base64, as announced.
    pub sha256: Option<String>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityChange {
    /// Digits without `+`.
    Number(String),
    /// A new user id, the number not told.
    UserId,
    /// The same number on another phone, or WhatsApp installed anew.
    Phone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateNews {
    Status(String),
    /// Its text or category: the catalogue has to be read again.
    Changed,
}

/// The reason and rate of Meta's charge (docs/cloud-api.md 3.7, 5.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pricing {
    /// `utility`, `marketing`, `service`, …
    pub category: String,
    /// `regular`, `free_customer_service`, `free_entry_point`.
    pub kind: String,
}

/// A status of a message of ours (`statuses[]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub wamid: Wamid,
    /// Over which number that copy went; none where Meta does not say.
    pub phone_number_id: Option<String>,
    /// Our own thread back to the row, when Meta echoes it.
    pub callback: Option<String>,
    /// `None` for a word that we do not know yet.
    pub state: Option<State>,
    /// Meta's word.
    pub word: String,
    pub at: Timestamp,
    /// The reason of the failure.
    pub refusal: Option<Refusal>,
    pub pricing: Option<Pricing>,
    /// The number, without `+`, and the user id to which it went, as far as Meta tells; of a group nobody's.
    pub recipients: Vec<String>,
    /// The group to which it went: it concerns no other message.
    pub group: Option<String>,
}

/// A message or tap of a person (`messages[]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    pub wamid: Wamid,
    /// Digits without `+`; missing for people who use a username (docs/cloud-api.md 3.6).
    pub from: Option<String>,
    /// The business-scoped user id.
    pub user_id: Option<String>,
    /// Written in this group, not to us alone.
    pub group: Option<String>,
    pub phone_number_id: String,
    pub at: Timestamp,
    /// The message of ours that it answers.
    pub quotes: Option<Wamid>,
    /// Not typed by the sender: never a command.
    pub forwarded: bool,
    pub content: InboundContent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundContent {
    /// A reply button or list row (`interactive`), or a template's quick reply (`button`): our id comes back.
    Tap {
        id: String,
        title: String,
    },
    Text(String),
    Reaction {
        emoji: Option<String>,
    },
    /// A picture, video or document with words under it.
    Captioned {
        kind: String,
        caption: String,
        facts: serde_json::Value,
    },
    /// A location, the answers of a flow, or a file without words.
    Given {
        kind: String,
        facts: serde_json::Value,
    },
    /// The answer to a `contact_request`.
    SharedNumber(Vec<Phone>),
    /// What nothing here reads; the text is Meta's type.
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_word() {
        let status = Status {
            wamid: Wamid("x".into()),
            phone_number_id: None,
            callback: None,
            state: Some(State::Read),
            word: "read".into(),
            at: Timestamp(0),
            refusal: None,
            pricing: None,
            recipients: Vec::new(),
            group: None,
        };
        assert_eq!(
            [Inbound::Status(status), Inbound::Ignored(String::new())].map(|one| one.kind()),
            ["status", "other"]
        );
    }
}
