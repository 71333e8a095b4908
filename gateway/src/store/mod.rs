//! The only SQL: one SQLite file that is the queue, the inbox and the record (`docs/decisions/0002-sqlite-is-the-queue.md`).
//! Nothing here decides; it writes what the pure parts decided and hands out what is due.

/// Events, alerts and their messages: what the intake commits.
mod accept;
/// What Meta tells of accounts and numbers, and what they cost.
mod account;
/// What people decide: retry, hold, cancel, a message by hand.
mod act;
/// Alerts that have a life: what the watch keeps, decides and is told.
mod alerts;
/// What waits for people, and strangers, as lists.
mod asked;
/// Who asked for what, and what became of it: append-only, chained.
mod audit;
/// What would cost too much, or reach too many people.
mod budget;
/// The first eight bytes of SHA-256 over a row's content.
mod checksum;
/// Commands on their way to the broker.
mod commands;
/// Numbers that were connected on the page.
mod connections;
/// Events at which a process died.
mod crash;
/// Devices: their position, their commands, what they said.
mod devices;
/// What may leave now, and the digest of many.
mod due;
/// Rows as lines of text, for tests.
#[cfg(test)]
mod dump;
/// What is kept of a person, and how it goes.
mod erase;
/// Files that people sent.
mod files;
/// People whom the owner invited.
mod guests;
/// What Home Assistant is shown.
mod home_assistant;
/// Webhook bodies, and the replies in them.
mod inbox;
/// Passwords, sessions, tokens and the audit of the page and the API.
mod keys;
/// Lists for the page and the API: newest first, a page at a time.
mod lists;
/// What people look at: lists and one row's whole story.
mod look;
/// How far the newest commit went, in a file of its own.
mod mark;
/// Files that came with events.
mod media;
/// Opening: pragmas that are read back, the lock, migrations with a backup before.
mod open;
/// Messages on their way: attempts and outcomes.
mod outbox;
/// What is learned of people.
mod people;
/// Last resorts over HTTP.
mod posts;
/// Questions of machines, and what comes next by the clock.
mod questions;
/// What WhatsApp reports of a message.
mod receipts;
/// What waits for a Yes.
mod requests;
/// The reserve on disk that a full disk is cleaned with.
mod reserve;
/// Old rows go, a few at a time.
mod retention;
/// Rows as JSON.
mod rows;
/// What goes on, for whoever compares it with a configuration.
mod running;
/// A damaged database is set aside, and what can be read is taken over.
mod salvage;
/// The bytes of files that people sent.
mod shelf;
/// How people behave: limits, lock-outs, strangers.
mod standing;
/// Who takes care of an alert, and what goes on.
mod status;
/// What was subscribed to, and since when.
mod subscriptions;
/// One alert's or message's whole story, and the summaries of the first page.
mod summary;
/// The thread that owns the connection and commits in groups.
mod thread;
/// Alerts without a life, and what one event led to.
mod told;
/// Alerts that have reached nobody.
mod undelivered;
/// What memory puts back when a transaction does not hold.
mod undo;
/// What rules could not make of events.
mod unjudged;
/// The 24 h window, and the catalogue of templates for outside it.
mod window;

pub use accept::{Accepted, Decided};
pub use account::{FreeRow, Known, NoticeRow, UsageRow};
pub use act::ActError;
pub use alerts::{AlertRow, AlertStory};
pub use audit::{AuditRow, Entry, Flaw, Reached};
pub use budget::Reach;
pub use commands::{CommandStory, Origin};
pub use connections::KeptConnection;
pub use crash::{Crashes, fingerprint};
pub use devices::{DeviceCommandRow, DeviceRow};
pub use files::{Fetched, FileRow};
pub use inbox::{Signers, Unread};
pub use keys::{Change, Posted, TokenRow};
pub use lists::{Cursor, Direction, Listing};
pub use look::{AttemptRow, EventRow, MessageFilter, MessageRow, MessageStory, ReceiptRow, TallyRow};
pub use open::{Lock, LockError, OpenError, Store};
pub use people::Identity;
pub use posts::Post;
pub use questions::OpenQuestion;
pub use requests::Request;
pub use reserve::free_megabytes;
pub use running::{OpenAlert, QueuedCommand, Running};
pub use shelf::Shelf;
pub use status::Going;
pub use thread::{Gone, Handle, StoreThread};
pub use told::Once;
pub use undelivered::Undelivered;
pub use unjudged::UnjudgedRow;
