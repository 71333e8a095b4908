//! The only SQL: one SQLite file that is the queue, the inbox and the record (`docs/decisions/0002-sqlite-is-the-queue.md`).
//! It writes what the pure parts decided and hands out what is due. What must be decided in the transaction that reads it is asked of them
//! there (`receipts.rs`, `budget.rs`).

/// The database itself, and what threatens it.
mod db;
/// Read-only questions for people.
mod views;
/// Events, alerts and their messages: what the intake commits.
mod intake;
/// What Meta tells of accounts and numbers, and what they cost.
mod account;
/// What people decide: retry, hold, cancel, a message by hand.
mod operator;
/// Alerts that have a life: what the watch keeps, decides and is told.
mod alerts;
/// What became of an alert, and of an event.
mod alert_story;
/// Who asked for what, and what became of it: append-only, chained.
mod audit;
/// What would cost too much, or reach too many people.
mod budget;
/// Commands on their way to the broker.
mod commands;
/// Versions of the configuration file.
mod configuration_versions;
/// Numbers that were connected on the page.
mod connections;
/// Copies of this gateway, and which of them sends.
mod copies;
/// Events at which a process died.
mod crash;
/// Devices: their position, their commands, what they said.
mod devices;
/// What waits in each lane, and the messages that leave.
mod due;
/// Where many wait for one person: the message that they become.
mod digests;
/// What people say, and what follows: reads the facts, performs the effects.
mod effects;
/// Rows as lines of text, for tests.
#[cfg(test)]
mod dump;
/// What is kept of a person, and how it goes.
mod erase;
/// Files that people sent.
mod received_media;
/// People whom the owner invited.
mod invitations;
/// What Home Assistant is shown.
mod home_assistant;
/// What a hub had for this site, and up to where.
mod hub;
/// Webhook bodies, and the replies in them.
mod inbox;
/// Passwords, sessions, tokens, and what was changed on the page and by the API (the audit is `audit`).
mod credentials;
/// Files that came with events.
mod sent_media;
/// Messages on their way: attempts and outcomes.
mod outbox;
/// What the clock alone decides of them.
mod clock;
/// What is learned of people: user ids, other names of their number.
mod contact_ids;
/// STOP and START: whether somebody may be written to.
mod consent;
/// Last resorts over HTTP.
mod escalation_posts;
/// Questions of machines, and what comes next by the clock.
mod questions;
/// What WhatsApp reports of a message.
mod receipts;
/// What waits for a Yes.
mod requests;
/// What goes on, for whoever compares it with a configuration.
mod running;
/// The bytes of files that people sent.
mod media_files;
/// How people behave: limits, lock-outs, strangers.
mod abuse_limits;
/// What was subscribed to, and since when.
mod subscriptions;
/// Alerts that have reached nobody.
mod undelivered;
/// What rules could not make of events.
mod unjudged;
/// The 24 h window.
mod window;
/// The catalogue of templates for outside it.
mod template_catalogue;

pub use rusqlite::{Error, Result};

pub use account::{FreeRow, NoticeRow, PreviousNotice, UsageRow};
pub use alert_story::{AlertStory, ToldOnce};
pub use alerts::AlertRow;
pub use audit::{AuditEntry, AuditRow, ChainBreak, ChainPosition};
pub use budget::DailyReach;
pub use configuration_versions::{ConfigurationVersion, ShownVersion, VersionOutcome};
pub use connections::KeptConnection;
pub use copies::{RELEASE, Stopped, Unreleased, is_sound};
pub use crash::{Crashes, fingerprint};
pub use credentials::{AdminChange, Change, Posted, Session, Token, TokenRow};
pub use db::lock::{Lock, LockError};
pub use db::open::{OpenError, Store, VERSION};
pub use db::reserve::free_megabytes;
pub use db::thread::{GROUP_MAX, GroupOutcome, Job, StoreError, StoreHandle, StoreQueue, StoreThread};
pub use devices::{DeviceCommandRow, DeviceRow};
pub use effects::{Applied, NoticeOutcome};
pub use escalation_posts::EscalationPost;
pub use inbox::{Signers, Unread};
pub use intake::{AlertDecision, IntakeReport};
pub use media_files::MediaFiles;
pub use operator::ActError;
pub use received_media::{Fetched, FileRow, FileState};
pub use running::{OpenAlert, QueuedCommand, Running, WaitingAlert};
pub use views::json::{OneRow, Page, Rows};
pub use views::listed::{Alert, Command, Message};
pub use views::lists::{Cursor, Direction, Listing};
pub use views::rows_for_people::{
    AttemptRow, EventRow, KeptEvent, MessageFilter, MessageRow, MessageStory, ReceiptRow, TallyRow,
};
pub use views::shown::{
    AlertStory as ShownAlert, ConnectionFacts, ContactFacts, Device, Hour, Order, Overview, RuleHits, Story,
    Tally,
};
pub use views::waiting::{Question, Request, Strangers};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Store;
    use crate::contact::Recipient;
    use crate::ids::MessageId;
    use crate::outbox::message::{Content, Template};
    use crate::outbox::row::{Conversation, MessageUpdate};
    use crate::time::Timestamp;

    pub(super) const NOW: Timestamp = Timestamp(1_795_240_800_000);
    pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

    pub(super) fn lane(contact: &str) -> Conversation {
        Conversation { connection: "main".into(), contact: contact.into() }
    }

    /// A message that may leave once the person writes; with a template, or when the catalogue has changed.
    pub(super) fn held(store: &Store, lane: &Conversation, templates: Vec<Template>) -> MessageId {
        let to = Recipient::parse("+15550100123").expect("a number");
        let content = Content { templates, ..Content::text("The door is open") };
        let id = store.compose(lane, &to, &content, NOW).expect("composed");
        let hold = || MessageUpdate::Held { id, at: NOW, reason: "it waits".into() };
        assert!(store.change(&hold(), NOW).expect("written"));
        assert!(!store.change(&hold(), NOW).expect("read"), "only what is queued");
        id
    }

    pub(super) fn state(store: &Store, id: MessageId) -> &'static str {
        store.state(id).expect("read").expect("a row").as_str()
    }
}
