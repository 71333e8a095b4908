//! The effects of what people, devices and the clock say, as data: `Store::apply` performs it in one transaction.

use crate::alert::engine::AlertCommand;
use crate::command::action::{CommandOrigin, NewCommand};
use crate::command::approval::{Request, RequestState};
use crate::command::command_state::CommandState;
use crate::command::dispatch::CommandUpdate;
use crate::command::question::OpenQuestion;
use crate::contact::{Contact, Guest, GuestState, Recipient};
use crate::ids::{AlertId, CommandId, ConnectionName, ContactId, Wamid};
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::message::Content;
use crate::outbox::row::Conversation;
use crate::reply::inbound::AccountNotice;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyEffect {
    Send(Box<OutgoingMessage>),
    Record(AuditRecord),
    /// A command waits for the broker. What is recorded of it gets its number.
    Command(Box<CommandOrigin>, Box<NewCommand>, AuditRecord),
    /// What the device made of a command, or that it is silent.
    EndCommand {
        command: CommandId,
        state: CommandState,
        reason: Option<String>,
    },
    /// What the broker made of it.
    ChangeCommand(CommandUpdate),
    OpenRequest(Box<Request>),
    /// Its end, or still open with another vote.
    ChangeRequest(Box<Request>, RequestState),
    /// A machine's question, and what asks each person: urgent, and of no use after its time.
    Ask(Box<OpenQuestion>, Vec<(Contact, Content)>),
    Vote {
        question: i64,
        contact: ContactId,
        choice: String,
    },
    CloseQuestion {
        question: i64,
        choice: String,
    },
    Acknowledge {
        alert: AlertId,
        contact: ContactId,
    },
    /// For the alerts that have a life.
    Note(AlertCommand),
    /// Somebody is invited; an earlier invitation of the same number is over.
    Invite {
        guest: Box<Guest>,
        expires_at: Timestamp,
    },
    /// Said Yes with this message, which is theirs from now on.
    Join {
        guest: ContactId,
        with: Wamid,
        at: Timestamp,
    },
    /// Said No.
    Decline {
        guest: ContactId,
        at: Timestamp,
    },
    /// Nobody may answer the invitation any more.
    Dismiss {
        guest: ContactId,
        state: GuestState,
    },
    /// Who writes from this address under this user id.
    Identify {
        contact: ContactId,
        address: String,
        user_id: Option<String>,
        at: Timestamp,
    },
    /// Agreed to be written to, or not. Of several wishes the newest counts.
    Consent {
        contact: ContactId,
        given: bool,
        source: String,
        at: Timestamp,
    },
    /// They wrote: what waited for it may leave.
    Heard {
        conversation: Conversation,
        at: Timestamp,
    },
    /// Somebody who is no contact wrote.
    MeetStranger {
        address: String,
        is_answered: bool,
    },
    /// Off the list: no alert that still waits leaves for them.
    TakeOff(ContactId),
    TellOwner(Box<OwnerNotice>),
    /// Nothing is done: why, for whoever looks for it in the log.
    Nothing(String),
    /// The same, and they asked for what they may not have.
    Refused(ContactId, String),
}

/// A message to one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    pub conversation: Conversation,
    pub to: Recipient,
    pub content: Content,
    /// The subject that words under it answer.
    pub asks: Option<ButtonSubject>,
}

/// A row of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    pub what: &'static str,
    /// `None`: the clock, the broker or a device.
    pub who: Option<ContactId>,
    pub message: Option<Wamid>,
    pub command: Option<CommandId>,
    /// A sentence, without anybody's name or number.
    pub detail: String,
}

/// A notice to the owner: kept, and if it is new, these messages leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerNotice {
    pub about: ConnectionName,
    pub notice: AccountNotice,
    pub messages: Vec<OutgoingMessage>,
}

impl OutgoingMessage {
    /// Words alone, to whoever is in this conversation.
    #[must_use]
    pub fn words(conversation: Conversation, to: Recipient, text: &str) -> Self {
        Self { conversation, to, content: Content::text(text), asks: None }
    }

    #[must_use]
    pub fn to(contact: &Contact, over: &ConnectionName, content: Content) -> Self {
        let conversation = Conversation { connection: over.clone(), contact: contact.id.clone() };
        Self { conversation, to: contact.to.clone(), content, asks: None }
    }
}
